"""An Azure Key Vault with one secret, which greets whoever reads it."""

import base64
import http.server
import json
import ssl
import threading

import trustme

# The API of the pretend Entra that stands for the vault's.
RESOURCE = "api://downstream.contoso.onmicrosoft.com"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            challenge = f'Bearer authorization="https://login.example/tenant", resource="{RESOURCE}"'
            self.answer(401, {"error": {"code": "Unauthorized"}}, {"WWW-Authenticate": challenge})
            return
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
        assert claims["scp"] == "data.read", claims
        secret = {"value": f"hello, {claims['oid']}", "id": f"https://{self.headers['Host']}/secrets/greeting/1"}
        self.answer(200, {**secret, "attributes": {"enabled": True}}, {})

    def answer(self, status: int, body: dict, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Vault:
    """`with Vault() as vault:` serves it; `vault.authority` is the certificate authority to trust (PEM)."""

    def __enter__(self) -> "Vault":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.authority = authority.cert_pem.bytes()
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
