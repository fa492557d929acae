"""The Grafana dashboard over a real Prometheus: each panel has something to show of a gateway that is used."""

import contextlib
import http.server
import json
import math
import pathlib
import socket
import tempfile
import threading
import time
import unittest
import urllib.parse

from oauth import Client, open_url, send
from programs import ROOT, free_port
from serving import running, serve
from tenant import PASSWORD, USERNAME
from user_agent import UserAgent

MOST_A_SECOND, MOST_CONNECTIONS = 3, 20
# Whoever connects too often; everybody else is at 127.0.0.1.
GREEDY = "127.0.0.2"
# Nothing here speaks TLS.
OF_TLS = "The certificate"
DASHBOARD = ROOT / "deploy/grafana/entrada.json"
# What Grafana would put in, for a scrape each second.
VARIABLES = {"$job": ".*", "$__rate_interval": "15s", "$__range": "5m"}
SCRAPES = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: entrada
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""
SETTINGS = """
[[route]]
path = "/gone"
upstream = "http://127.0.0.1:{nowhere}/mcp"
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers every message with what was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps({"jsonrpc": "2.0", "id": json.loads(body).get("id"), "result": {}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):
        """A stream on which one event comes, which ends with the client."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: {}\n\n")
        self.connection.recv(1)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server(handler):
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        yield served.server_address[1]
    finally:
        served.shutdown()
        served.server_close()


def expressions() -> dict[str, list[str]]:
    """What each panel asks for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {panel["title"]: [target["expr"] for target in panel.get("targets", [])] for panel in panels}
    for name, value in VARIABLES.items():
        asked = {title: [one.replace(name, value) for one in expressions] for title, expressions in asked.items()}
    return {title: expressions for title, expressions in asked.items() if expressions and title != OF_TLS}


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        backend, metrics, prometheus = cls.enterClassContext(server(Echo)), free_port(), free_port()
        cls.config = folder / "entrada.toml"
        cls.config.write_text(SETTINGS.format(nowhere=free_port()))
        gateway = serve(
            "dashboard-entrada",
            upstream=f"http://127.0.0.1:{backend}/mcp",
            config=cls.config,
            metrics_listen=f"127.0.0.1:{metrics}",
            audit_log=f"file:{folder}/audit.log",
            otlp_endpoint=f"http://127.0.0.1:{free_port()}",
            rate_limit_user=f"{MOST_A_SECOND}/1s",
            max_connections_per_address=MOST_CONNECTIONS,
        )
        cls.base_url = cls.enterClassContext(gateway).base_url
        cls.client, cls.elsewhere = Client(f"{cls.base_url}/mcp"), Client(f"{cls.base_url}/gone")
        (folder / "prometheus.yml").write_text(SCRAPES.format(port=metrics))
        cls.prometheus = f"http://127.0.0.1:{prometheus}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
        command += [f"--web.listen-address=127.0.0.1:{prometheus}", "--log.level=warn"]
        cls.enterClassContext(running(command, "dashboard-prometheus", prometheus))

    def use(self) -> None:
        """What happens at a gateway in a day, once."""
        refuses = Client(f"{self.base_url}/mcp")
        UserAgent(USERNAME, PASSWORD, approves=False).authorize(refuses.authorization_url())
        spends, leaves = Client(f"{self.base_url}/mcp"), Client(f"{self.base_url}/mcp")
        for client in (spends, leaves, self.client, self.elsewhere):
            client.sign_in(USERNAME, PASSWORD)
        spent = spends.tokens["refresh_token"]
        for _ in range(2):
            self.assertEqual(spends.refresh().status, 200)
        spends.tokens["refresh_token"] = spent
        self.assertEqual(spends.refresh().status, 400)
        self.assertEqual(leaves.revoke().status, 200)
        with contextlib.ExitStack() as open_sockets:
            address = ("127.0.0.1", urllib.parse.urlsplit(self.base_url).port)
            for _ in range(MOST_CONNECTIONS + 1):
                last = open_sockets.enter_context(socket.create_connection(address, source_address=(GREEDY, 0)))
            self.assertEqual(last.recv(1), b"")
        send(f"{self.base_url}/auth/callback?state=nobodys&error=access_denied")
        # Another configuration, which is taken over.
        self.config.write_text(self.config.read_text() + "body_limit = \"1MiB\"\n")
        with self.assertRaises(AssertionError):
            while True:
                Client(f"{self.base_url}/mcp")

    def call(self) -> None:
        """What happens again and again."""
        self.assertEqual(self.client.refresh().status, 200)
        calls = [self.client.mcp("ping", {}).status for _ in range(MOST_A_SECOND + 1)]
        self.assertEqual({calls[0], calls[-1]}, {200, 429})
        self.assertEqual(self.elsewhere.mcp("ping", {}).status, 502)
        self.assertEqual(send(self.client.mcp_url, b"{}", {"Content-Type": "application/json"}).status, 401)

    def asked(self, expression: str) -> list[float]:
        """What Prometheus answers now."""
        reply = send(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        self.assertEqual(reply.status, 200, reply.text)
        return [float(found["value"][1]) for found in reply.json()["data"]["result"]]

    def test_each_panel_has_something_to_show(self):
        missing = {(title, one) for title, asked in expressions().items() for one in asked}
        self.assertGreater(len(missing), 30)
        deadline = time.monotonic() + 30
        self.use()
        headers = {"Accept": "text/event-stream", **self.client.credentials()}
        stream = self.enterContext(open_url(self.client.mcp_url, headers=headers))
        self.assertEqual(stream.read(5), b"data:")
        while missing and time.monotonic() < deadline:
            time.sleep(1)
            self.call()
            # NaN is what a quantile of nothing is.
            missing = {(title, one) for title, one in missing if all(map(math.isnan, self.asked(one)))}
        self.assertEqual(missing, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
