"""Our gateway and azure-identity exchange the same token: what each sends Entra, field by field."""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import requests
from azure.identity import OnBehalfOfCredential

from emulator import ALICE, CLIENT_ID, CLIENT_SECRET, DAEMON_CERTIFICATE, DAEMON_KEY, GRAPH, PASSWORD, TENANT, EmulatorCase, Form

ENTRADA = pathlib.Path(os.environ["ENTRA_EMULATOR"]).with_name("entrada")
SCOPE = f"{GRAPH}/User.Read"
CALLBACK = "http://127.0.0.1:39393/callback"
# A request of its own each time: a fresh assertion of the same certificate.
FRESH = {"client_assertion"}
# What azure-identity asks for besides, and we have no use for: an ID token, a refresh token of the downstream
# API, and the account's ids beside the token.
THEIRS = {"client_info": "1"}
THEIR_SCOPES = {"openid", "offline_access", "profile"}


class Upstream(http.server.BaseHTTPRequestHandler):
    """A server behind the gateway."""

    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SideBySide(EmulatorCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        self.addCleanup(upstream.server_close)
        self.addCleanup(upstream.shutdown)
        self.upstream = f"http://127.0.0.1:{upstream.server_port}/mcp"

    def gateway(self, **credential: str) -> str:
        """Starts one, and gives its URL."""
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        settings = {
            "tenant_id": TENANT,
            "client_id": CLIENT_ID,
            "base_url": base_url,
            "listen": f"127.0.0.1:{port}",
            "upstream": self.upstream,
            "upstream_scope": SCOPE,
            "required_scopes": "mcp.read",
            "authority_host": self.host,
            "ca_file": self.ca,
            "data_dir": os.path.join(self.folder, "data"),
            "log_level": "error",
            **credential,
        }
        environment = {f"ENTRADA_{name.upper()}": value for name, value in settings.items()}
        process = subprocess.Popen([ENTRADA, "serve"], env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return base_url
            time.sleep(0.05)
        raise AssertionError("the gateway does not listen")

    def end(self, process: subprocess.Popen):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20), 0)

    def call(self, base_url: str) -> None:
        """Signs alice in at the gateway, and sends one request through it."""
        metadata = requests.get(f"{base_url}/.well-known/oauth-authorization-server", timeout=10).json()
        registration = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
        client = requests.post(metadata["registration_endpoint"], json=registration, timeout=10).json()["client_id"]
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "resource": f"{base_url}/mcp",
        }
        code = self.sign_in(f"{metadata['authorization_endpoint']}?{urllib.parse.urlencode(asked)}")
        form = {
            "grant_type": "authorization_code",
            "client_id": client,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": CALLBACK,
            "resource": f"{base_url}/mcp",
        }
        token = requests.post(metadata["token_endpoint"], data=form, timeout=10).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.post(f"{base_url}/mcp", json={}, headers=headers, timeout=30)
        self.assertEqual(answer.status_code, 200, answer.text)

    def sign_in(self, url: str) -> str:
        answers = {"username": ALICE, "password": PASSWORD}
        with self.browser() as session:
            page = session.get(url, allow_redirects=False, timeout=10)
            for _ in range(12):
                if page.status_code in (302, 303):
                    url = urllib.parse.urljoin(page.url, page.headers["location"])
                    if url.startswith(CALLBACK):
                        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["code"]
                    page = session.get(url, allow_redirects=False, timeout=10)
                    continue
                form = Form(page.text)
                fields = {name: answers.get(name, value) for name, value in form.fields.items()}
                answer = "accept" if self.host in page.url else "allow"
                action = urllib.parse.urljoin(page.url, form.action)
                page = session.post(action, data={**fields, "answer": answer}, allow_redirects=False, timeout=10)
        raise AssertionError(page.text)

    def last_exchange(self) -> dict[str, str]:
        forms = [dict(form) for form in self.control("token-forms")["forms"]]
        return [form for form in forms if form["grant_type"].endswith("jwt-bearer")][-1]

    def compare(self, base_url: str, **credential) -> None:
        self.call(base_url)
        ours = self.last_exchange()
        options = {"authority": self.url, "disable_instance_discovery": True, "connection_verify": self.ca}
        theirs = OnBehalfOfCredential(
            TENANT, CLIENT_ID, user_assertion=ours["assertion"], **credential, **options
        )
        with theirs:
            theirs.get_token(SCOPE)
        theirs = self.last_exchange()
        self.assertEqual({name: theirs.pop(name) for name in THEIRS}, THEIRS)
        scopes = set(theirs.pop("scope").split())
        self.assertEqual(scopes - THEIR_SCOPES, set(ours.pop("scope").split()))
        self.assertEqual(scopes & THEIR_SCOPES, THEIR_SCOPES)
        for name in FRESH & ours.keys():
            self.assert_alike(ours.pop(name), theirs.pop(name))
        self.assertEqual(ours, theirs)

    def assert_alike(self, ours: str, theirs: str) -> None:
        """Two assertions of one certificate say the same, but for when and how often."""
        parts = [[self.decoded(part) for part in token.split(".")[:2]] for token in (ours, theirs)]
        (our_header, our_claims), (their_header, their_claims) = parts
        # Microsoft asks for PS256 and a SHA-256 thumbprint; its library names the certificate by SHA-1, too.
        self.assertEqual(our_header["alg"], "PS256")
        self.assertEqual(our_header["x5t#S256"], their_header.get("x5t#S256", our_header["x5t#S256"]))
        self.assertEqual(our_header["typ"], their_header["typ"])
        for name in ("aud", "iss", "sub"):
            self.assertEqual(our_claims[name], their_claims[name])
        # Microsoft documents nbf, and its library leaves it out.
        self.assertEqual(our_claims.keys() - {"nbf"}, their_claims.keys())

    @staticmethod
    def decoded(part: str) -> dict:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    def test_with_a_secret(self):
        base_url = self.gateway(client_secret=CLIENT_SECRET)
        self.compare(base_url, client_secret=CLIENT_SECRET)

    def test_with_a_certificate(self):
        file = pathlib.Path(self.folder) / "app.pem"
        file.write_text(DAEMON_CERTIFICATE + DAEMON_KEY)
        base_url = self.gateway(client_certificate=str(file))
        self.compare(base_url, client_certificate=(DAEMON_KEY + DAEMON_CERTIFICATE).encode())
