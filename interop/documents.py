"""A web server with the document that describes a client, over HTTPS with an authority of its own."""

import http.server
import json
import pathlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

REDIRECT_URIS = ["http://127.0.0.1/callback"]


@contextmanager
def documents(folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, list[str]]]:
    """The URL of the document, the authority to trust, and every path that is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            document = {"client_id": url, "client_name": "Documented client", "redirect_uris": REDIRECT_URIS}
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    authority = trustme.CA()
    ca_file = folder / "documents.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://localhost:{server.server_port}/client.json"
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield url, ca_file, asked
        finally:
            server.shutdown()
            serving.join()
