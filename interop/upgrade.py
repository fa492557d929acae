"""WebSockets through `entrada serve`: uvicorn's server with wsproto, and the client of websocket-client."""

import contextlib
import json
import pathlib
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator

import websocket

from oauth import Client
from programs import ROOT, free_port
from serving import Gateway, running, serve
from tenant import PASSWORD, USERNAME

LIMIT = 30
ROUTES = """
websocket = true

[[route]]
path = "/ws"
upstream = "http://127.0.0.1:{port}/ws"

[[route]]
path = "/echo"
upstream = "http://127.0.0.1:{port}/echo"

[[route]]
path = "/plain"
upstream = "http://127.0.0.1:{port}/echo"
websocket = false
"""


@contextlib.contextmanager
def before_server(name: str, **more: object) -> Iterator[Gateway]:
    """A gateway with the settings `more`, and the server behind it."""
    port = free_port()
    server = [sys.executable, ROOT / "interop" / "servers" / "python_websocket.py", port]
    with tempfile.TemporaryDirectory() as folder, running(server, f"{name}-server", port):
        config = pathlib.Path(folder) / "entrada.toml"
        config.write_text(ROUTES.format(port=port))
        with serve(f"{name}-entrada", config=config, **more) as gateway:
            yield gateway


def connect(gateway: Gateway, path: str, token: str | None, **more: object) -> websocket.WebSocket:
    header = [f"Authorization: Bearer {token}"] if token else []
    url = f"ws://127.0.0.1:{gateway.port}{path}"
    return websocket.create_connection(url, header=header, timeout=LIMIT, suppress_origin=True, **more)


def told(opened: websocket.WebSocket) -> int:
    """The code of the Close frame that comes next."""
    opcode, said = opened.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE, (opcode, said)
    return int.from_bytes(said[:2], "big")


class Upgrade(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = cls.enterClassContext(before_server("upgrade"))

    def signed_in(self, path: str) -> Client:
        client = Client(f"{self.gateway.base_url}{path}")
        client.sign_in(USERNAME, PASSWORD)
        return client

    def open(self, path: str, token: str | None, **more: object) -> websocket.WebSocket:
        opened = connect(self.gateway, path, token, **more)
        self.addCleanup(opened.shutdown)
        return opened

    def refusal(self, path: str, token: str | None) -> websocket.WebSocketBadStatusException:
        with self.assertRaises(websocket.WebSocketBadStatusException) as refused:
            self.open(path, token)
        return refused.exception

    def test_a_conversation_of_mcp(self):
        token = self.gateway.token("/ws")
        opened = self.open("/ws", token, subprotocols=["mcp"])
        self.assertEqual(opened.getsubprotocol(), "mcp")

        def ask(number: int, method: str, **params: object) -> dict:
            opened.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
            while True:
                answer = json.loads(opened.recv())
                if answer.get("id") == number:
                    return answer["result"]

        client = {"name": "interop", "version": "1"}
        ask(1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        opened.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        said = "hällo" * 100_000
        result = ask(2, "tools/call", name="echo", arguments={"message": said})
        self.assertEqual(result["content"][0]["text"], said)

    def test_the_server_learns_who_opened_it_and_gets_no_token(self):
        token = self.gateway.token("/echo")
        opened = self.open("/echo", token)
        seen = json.loads(opened.recv())
        self.assertNotIn("authorization", seen)
        self.assertNotIn(token, str(seen))
        self.assertTrue(seen["x-entrada-assertion"].startswith("ey"))
        for size in 0, 1, 125, 126, 65_536, 3 << 20:
            opened.send_binary(b"x" * size)
            self.assertEqual(len(opened.recv()), size)
        opened.ping("still there?")
        opened.send_binary(b"after a ping")
        self.assertEqual(opened.recv(), b"after a ping")
        opened.close(status=1000, timeout=LIMIT)

    def test_who_may_not_call_opens_none(self):
        refused = self.refusal("/echo", None)
        self.assertEqual(refused.status_code, 401)
        self.assertIn("resource_metadata=", refused.resp_headers["www-authenticate"])
        # It is a token for another server.
        self.assertEqual(self.refusal("/echo", self.gateway.token("/ws")).status_code, 401)

    def test_where_they_are_off_there_is_none(self):
        token = self.gateway.token("/plain")
        self.assertIn(self.refusal("/plain", token).status_code, (400, 404, 426))

    def test_one_whose_grant_is_revoked_ends(self):
        client = self.signed_in("/echo")
        opened, other = self.open("/echo", client.tokens["access_token"]), self.open("/echo", self.gateway.token("/echo"))
        opened.recv(), other.recv()
        began = time.monotonic()
        client.revoke()
        self.assertEqual(told(opened), 1008)
        self.assertLess(time.monotonic() - began, 20)
        other.send_binary(b"still here")
        self.assertEqual(other.recv(), b"still here")


class Stopping(unittest.TestCase):
    def test_who_is_there_when_the_gateway_stops_is_told(self):
        with before_server("stopping", drain_timeout="1s") as gateway:
            opened = connect(gateway, "/echo", gateway.token("/echo"))
            self.addCleanup(opened.shutdown)
            opened.recv()
        self.assertEqual(told(opened), 1001)


if __name__ == "__main__":
    unittest.main(verbosity=2)
