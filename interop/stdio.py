"""`entrada serve` in front of MCP servers that speak stdio: one from npm, one from the Python SDK; with both SDKs' clients."""

import asyncio
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from httpx2 import AsyncClient
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from oauth import Client as Browser
from programs import NODE, ROOT, TOOLS
from serving import serve
from tenant import PASSWORD, USERNAME

PACKAGES = TOOLS / "node" / "node_modules"
EVERYTHING = [str(NODE), str(PACKAGES / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"), "stdio"]
PYTHON = [sys.executable, str(ROOT / "interop" / "servers" / "python_stdio.py")]
# What each has that tells of its progress.
COUNTING = {
    "everything": {"tool": "trigger-long-running-operation", "args": {"duration": 1, "steps": 3}, "steps": 3},
    "python": {"tool": "count", "args": {}, "steps": 3},
    "shared": {"tool": "count", "args": {}, "steps": 3},
}
ROUTES = """
[[route]]
path = "/mcp/python"
command = {python}

[[route]]
path = "/mcp/shared"
command = {python}
child_mode = "shared"
"""


class Stdio(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (folder / "routes.toml").write_text(ROUTES.format(python=json.dumps(PYTHON)))
        serving = serve("stdio-entrada", program=EVERYTHING, forward_identity="all", config=folder / "routes.toml")
        gateway = cls.enterClassContext(serving)
        cls.base_url = gateway.base_url
        # Each server is signed in to by itself.
        cls.tokens = {server: cls.token(cls.url(server)) for server in COUNTING}
        scripts = TOOLS / "node" / "clients"
        shutil.copytree(ROOT / "interop" / "clients", scripts, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
        cls.script = scripts / "typescript_token.mjs"

    @classmethod
    def url(cls, server: str) -> str:
        return f"{cls.base_url}/mcp" if server == "everything" else f"{cls.base_url}/mcp/{server}"

    @staticmethod
    def token(url: str) -> str:
        browser = Browser(url)
        browser.sign_in(USERNAME, PASSWORD)
        return browser.tokens["access_token"]

    def test_the_typescript_client(self):
        for server, counting in COUNTING.items():
            for mode in ("auto", "legacy"):
                with self.subTest(server=server, mode=mode):
                    command = [NODE, self.script, mode, self.url(server), self.tokens[server], json.dumps(counting)]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_python_client(self):
        for server, counting in COUNTING.items():
            for mode in ("auto", "legacy"):
                with self.subTest(server=server, mode=mode):
                    asyncio.run(asyncio.wait_for(self.use(server, mode, counting), 60))

    async def use(self, server: str, mode: str, counting: dict) -> None:
        told = []

        async def note(progress: float, _total: float | None, _message: str | None) -> None:
            told.append(progress)

        async with (
            AsyncClient(headers={"Authorization": f"Bearer {self.tokens[server]}"}, timeout=30) as http,
            Client(streamable_http_client(self.url(server), http_client=http), mode=mode) as client,
        ):
            names = {tool.name for tool in (await client.list_tools()).tools}
            self.assertLessEqual({"echo", counting["tool"]}, names)

            async def echo(message: str) -> None:
                result = await client.call_tool("echo", {"message": message})
                self.assertTrue(result.content[0].text.endswith(message), result)

            await asyncio.gather(*(echo(f"call {call}") for call in range(10)))
            await client.call_tool(counting["tool"], counting["args"], progress_callback=note)
            self.assertEqual(len(told), counting["steps"], told)
            if server == "python":
                found = await client.call_tool("environment")
                user = json.loads(found.content[0].text)
                self.assertEqual(user["ENTRADA_PREFERRED_USERNAME"], USERNAME)
                self.assertNotIn("ENTRADA_CLIENT_SECRET", user)

    def test_the_server_speaks_the_newest_revision_where_it_can(self):
        for server, stateless in (("everything", False), ("python", True)):
            async def version() -> str:
                async with (
                    AsyncClient(headers={"Authorization": f"Bearer {self.tokens[server]}"}, timeout=30) as http,
                    Client(streamable_http_client(self.url(server), http_client=http), mode="auto") as client,
                ):
                    await client.list_tools()
                    return client.protocol_version

            with self.subTest(server):
                self.assertEqual(asyncio.run(version()) >= "2026", stateless)


if __name__ == "__main__":
    unittest.main(verbosity=2)
