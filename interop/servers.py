"""`entrada serve` in front of servers from FastMCP and from the TypeScript SDK, with the clients of both SDKs."""

import asyncio
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from httpx2 import AsyncClient, Client as HttpClient
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from programs import NODE, ROOT, TOOLS, free_port
from serving import running, serve
from tenant import TENANT, USERNAME

LIMIT = 60
SCRIPTS = TOOLS / "node" / "servers"
PROGRAMS = {
    "fastmcp": [TOOLS / "fastmcp" / "venv" / "bin" / "python", ROOT / "interop" / "fastmcp" / "server.py"],
    "typescript": [NODE, SCRIPTS / "typescript_mcp.mjs"],
    "stateless": [NODE, SCRIPTS / "typescript_stateless.mjs"],
}
# Which speak 2026-07-28, and with which there are sessions.
MODERN, WITH_SESSIONS = {"fastmcp", "stateless"}, {"fastmcp", "typescript"}
ROUTE = """
[[route]]
path = "/mcp/{name}"
upstream = "http://127.0.0.1:{port}/mcp"
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "interop", "version": "1"}},
}


class Servers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for folder in "clients", "servers":
            ignored = shutil.ignore_patterns("*.py")
            shutil.copytree(ROOT / "interop" / folder, TOOLS / "node" / folder, dirs_exist_ok=True, ignore=ignored)
        ports = {name: free_port() for name in PROGRAMS}
        config = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory())) / "entrada.toml"
        config.write_text("".join(ROUTE.format(name=name, port=port) for name, port in ports.items()))
        gateway = cls.enterClassContext(serve("servers-entrada", config=config))
        cls.urls = {name: f"{gateway.base_url}/mcp/{name}" for name in PROGRAMS}
        for name, program in PROGRAMS.items():
            command = [*program, ports[name], gateway.base_url, cls.urls[name]]
            cls.enterClassContext(running(command, f"servers-{name}", ports[name]))
        cls.tokens = {name: gateway.token(f"/mcp/{name}") for name in PROGRAMS}

    def headers(self, server: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[server]}"}

    def test_the_typescript_client(self):
        script = TOOLS / "node" / "clients" / "typescript_servers.mjs"
        for server in PROGRAMS:
            for mode in ("sdk", "auto", "legacy") if server in WITH_SESSIONS else ("auto",):
                with self.subTest(server=server, mode=mode):
                    command = [NODE, script, mode, self.urls[server], self.tokens[server], USERNAME]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_python_client(self):
        for server in PROGRAMS:
            for mode in ("auto", "legacy") if server in WITH_SESSIONS else ("auto",):
                with self.subTest(server=server, mode=mode):
                    asyncio.run(asyncio.wait_for(self.use(server, mode), LIMIT))

    async def use(self, server: str, mode: str) -> None:
        async with (
            AsyncClient(headers=self.headers(server), timeout=30) as http,
            Client(streamable_http_client(self.urls[server], http_client=http), mode=mode) as client,
        ):
            self.assertEqual(client.protocol_version >= "2026", mode == "auto" and server in MODERN)
            names = {tool.name for tool in (await client.list_tools()).tools}
            self.assertLessEqual({"echo", "whoami", "count", "wait"}, names)

            async def said(tool: str, **arguments: str) -> str:
                result = await client.call_tool(tool, arguments)
                self.assertFalse(result.is_error, result)
                return result.content[0].text

            self.assertEqual(await said("echo", message="hällo"), "hällo")
            claims = json.loads(await said("whoami"))
            told = [claims[name] for name in ("tid", "preferred_username", "aud", "idtyp")]
            self.assertEqual(told, [TENANT, USERNAME, self.urls[server], "user"])
            note = await client.read_resource("note://today")
            self.assertEqual(note.contents[0].text, "a note")
            prompt = await client.get_prompt("greet", {"name": "Alice"})
            self.assertEqual(prompt.messages[0].content.text, "Greet Alice.")
            await self.see_progress(client, said)
            await self.cancel(client, said)

    async def see_progress(self, client: Client, said) -> None:
        """The tool ends once it is seen that it began, so what it tells of must not wait for its end."""
        seen, began = [], asyncio.Event()

        async def note(progress: float, *_) -> None:
            seen.append(progress)
            began.set()

        counting = asyncio.create_task(client.call_tool("count", progress_callback=note))
        await began.wait()
        await said("proceed")
        self.assertEqual((await counting).content[0].text, "done")
        self.assertEqual(seen, [1, 2])

    async def cancel(self, client: Client, said) -> None:
        before, began = await said("cancellations"), asyncio.Event()

        async def note(*_) -> None:
            began.set()

        waiting = asyncio.create_task(client.call_tool("wait", progress_callback=note))
        await began.wait()
        waiting.cancel()
        # Nothing is said when the server has been told, so it is asked until it has.
        while await said("cancellations") == before:
            pass

    def test_a_session_ends_when_its_client_says_so(self):
        for server in WITH_SESSIONS:
            url = self.urls[server]
            headers = self.headers(server) | {"Accept": "application/json, text/event-stream"}
            with self.subTest(server), HttpClient(headers=headers, timeout=30) as http:
                opened = http.post(url, json=INITIALIZE)
                self.assertEqual(opened.status_code, 200, opened.text)
                http.headers["Mcp-Session-Id"] = opened.headers["Mcp-Session-Id"]
                http.headers["MCP-Protocol-Version"] = "2025-11-25"
                ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
                self.assertEqual(http.post(url, json=ping).status_code, 200)
                self.assertIn(http.delete(url).status_code, (200, 202, 204))
                self.assertEqual(http.post(url, json=ping).status_code, 404)


if __name__ == "__main__":
    os.environ.pop("REQUESTS_CA_BUNDLE", None)
    unittest.main(verbosity=2)
