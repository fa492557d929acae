"""mcp-remote: a stdio server to the program that started it, an OAuth client to us. mcp_remote.py NODE SCRIPT PORT"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading

DEMO = json.loads(os.environ["INTEROP_DEMO"])
AGENT = json.loads(os.environ["INTEROP_AGENT"])


def sign_in(stderr) -> None:
    """Visits the URL that mcp-remote asks the person to, and keeps reading so that it never blocks."""
    visited = False
    for line in stderr:
        sys.stderr.write(line)
        found = re.search(r"https?://\S+response_type=code\S*", line)
        if found and not visited:
            visited = True
            subprocess.run([*AGENT, "--deliver", found.group()], check=True, stdout=subprocess.DEVNULL)


class Session:
    def __init__(self, process: subprocess.Popen):
        self.process, self.id = process, 0

    def send(self, method: str, params: dict, **more) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params) -> dict:
        self.id += 1
        self.send(method, params, id=self.id)
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == self.id:
                assert "result" in message, message
                return message["result"]
        raise AssertionError("mcp-remote has gone")

    def call(self, tool: str, **arguments) -> str:
        return self.ask("tools/call", name=tool, arguments=arguments)["content"][0]["text"]


def main(node: str, script: str, port: str) -> None:
    with tempfile.TemporaryDirectory() as config:
        command = [node, script, DEMO["mcp_url"], port, "--allow-http"]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        env = {**os.environ, "MCP_REMOTE_CONFIG_DIR": config}
        with subprocess.Popen(command, **pipes, text=True, env=env) as process:
            try:
                threading.Thread(target=sign_in, args=(process.stderr,), daemon=True).start()
                session = Session(process)
                client = {"name": "interop", "version": "1"}
                session.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
                session.send("notifications/initialized", {})
                assert "hello" in session.call("echo", message="hello")
                assert DEMO["username"] in session.call("whoami")
            finally:
                process.kill()


main(*sys.argv[1:])
