"""`entrada serve` in front of an MCP server from the Python SDK, which knows nothing of authorization."""

import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import jwt

from direct import DAEMON, people, programs, sign_in, token
from dpop import KEYS, KeyedClient
from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME
from oauth import Client, send
from programs import ARTEFACTS, DEBUG, ROOT, emulator, free_port, stop, wait_for
from unattended import CLIENTS, SECRET, Issuer, Key, headers_seen, of_issuer, of_key, of_secret


# The same server once more, which here gets a token for Microsoft Graph.
ROUTES = """
dpop_nonce = true

[[route]]
path = "/mcp/graph"
upstream = "http://127.0.0.1:{port}/mcp"
upstream_scope = "https://graph.microsoft.com/User.Read"
upstream_token_header = "X-Graph-Token"
upstream_app_only_fallback = true

[[route]]
path = "/mcp/entra"
upstream = "http://127.0.0.1:{port}/mcp"
tokens = "entra"

[[route]]
path = "/mcp/both"
upstream = "http://127.0.0.1:{port}/mcp"
tokens = "both"
"""


def claims_of(access_token: str) -> dict:
    payload = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.entra = cls.enterClassContext(emulator("--ca-file", cls.folder / "ca.pem"))
        (cls.folder / "secret").write_text(CLIENT_SECRET + "\n")
        (cls.folder / "jobs").write_text(SECRET)
        cls.key, cls.idp = Key(), cls.enterClassContext(Issuer())
        (cls.folder / "keys.json").write_text(cls.key.jwks)
        cls.upstream = free_port()
        server = [sys.executable, ROOT / "interop" / "servers" / "python_mcp.py", str(cls.upstream)]
        process = cls.start(server, "upstream", cls.upstream)
        cls.addClassCleanup(stop, process)

        # What the person's browser trusts; the gateway must learn of it by its own configuration.
        cls.environment = dict(os.environ)
        cls.environment.pop("SSL_CERT_FILE", None)
        os.environ["SSL_CERT_FILE"] = cls.entra["ca_file"]
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            os.environ.pop(name, None)
        cls.port = free_port()
        cls.base_url = f"http://127.0.0.1:{cls.port}"
        cls.serve()
        cls.addClassCleanup(lambda: stop(cls.gateway))

    @classmethod
    def start(cls, command: list, name: str, port: int, env: dict[str, str] | None = None) -> subprocess.Popen:
        ARTEFACTS.mkdir(exist_ok=True)
        with open(ARTEFACTS / f"gateway-{name}.log", "ab") as log:
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(port, process)
        return process

    @classmethod
    def serve(cls) -> None:
        settings = {
            "upstream": f"http://127.0.0.1:{cls.upstream}/mcp",
            "base-url": cls.base_url,
            "listen": f"127.0.0.1:{cls.port}",
            "tenant-id": TENANT,
            "client-id": CLIENT_ID,
            "client-secret-file": cls.folder / "secret",
            "required-scopes": "mcp.read",
            "authority-host": cls.entra["authority_host"],
            "ca-file": cls.entra["ca_file"],
            "data-dir": cls.folder / "data",
            "log-level": "trace",
            "allowed-applications": DAEMON,
            "forward-identity": "all",
            "config": cls.folder / "routes.toml",
        }
        clients = CLIENTS.format(secret=cls.folder / "jobs", jwks=cls.folder / "keys.json", issuer=cls.idp.url)
        (cls.folder / "routes.toml").write_text(ROUTES.format(port=cls.upstream) + clients)
        flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        cls.gateway = cls.start([DEBUG / "entrada", "serve", *flags], "entrada", cls.port, cls.environment)

    def signed_in(self, path: str = "/mcp") -> Client:
        client = Client(f"{self.base_url}{path}")
        client.sign_in(USERNAME, PASSWORD)
        return client

    def test_the_server_learns_who_calls_and_gets_no_token(self):
        client = self.signed_in()
        client.headers = {"X-Entrada-Roles": "Forged", "X-Entrada-Grant": "Forged", "X-Mine": "kept"}
        seen = json.loads(client.call("headers"))
        self.assertEqual(seen["x-entrada-tenant-id"], TENANT)
        self.assertEqual(seen["x-entrada-preferred-username"], USERNAME)
        self.assertEqual(seen["x-entrada-client-id"], client.client_id)
        self.assertEqual(seen["x-mine"], "kept")
        self.assertNotIn("Forged", seen.values())
        self.assertNotIn("authorization", seen)
        self.assertNotIn(client.tokens["access_token"], json.dumps(seen))

    def test_the_server_verifies_who_calls(self):
        client = self.signed_in()
        assertion = json.loads(client.call("headers"))["x-entrada-assertion"]
        keys = jwt.PyJWKClient(f"{self.base_url}/.well-known/jwks.json")
        self.assertEqual(jwt.get_unverified_header(assertion)["typ"], "entrada-caller+jwt")
        claims = jwt.decode(
            assertion,
            keys.get_signing_key_from_jwt(assertion),
            algorithms=["ES256", "EdDSA"],
            issuer=self.base_url,
            audience=client.mcp_url,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        told = [claims.get(name) for name in ("tid", "preferred_username", "client_id", "idtyp")]
        self.assertEqual(told, [TENANT, USERNAME, client.client_id, "user"])
        client.tokens = {"access_token": assertion}
        self.assertEqual(client.initialize().status, 401)

    def test_a_route_has_a_token_of_its_own(self):
        client = self.signed_in("/mcp/graph")
        seen = json.loads(client.call("headers"))
        claims = claims_of(seen["x-graph-token"])
        self.assertEqual((claims["aud"], claims["upn"]), ("https://graph.microsoft.com", USERNAME))
        self.assertNotIn("authorization", seen)
        self.assertNotIn(client.tokens["access_token"], json.dumps(seen))

    def test_an_application_comes_with_a_token_of_entras(self):
        client = Client(f"{self.base_url}/mcp")
        application = programs(f"https://{self.entra['authority_host']}/{TENANT}", self.entra["ca_file"])
        access_token = token(application.acquire_token_for_client([f"api://{CLIENT_ID}/.default"]))
        client.tokens = {"access_token": access_token}
        seen = json.loads(client.call("headers"))
        self.assertEqual(seen["x-entrada-client-id"], DAEMON)
        self.assertNotIn(access_token, json.dumps(seen))
        client.mcp_url += "/graph"
        seen = json.loads(client.call("headers"))
        claims = claims_of(seen["x-graph-token"])
        self.assertEqual((claims["idtyp"], claims["appid"]), ("app", CLIENT_ID))
        self.assertNotIn(access_token, json.dumps(seen))

    def test_a_users_own_token_of_entras_is_not_let_in(self):
        client = Client(f"{self.base_url}/mcp")
        application = people(f"https://{self.entra['authority_host']}/{TENANT}", self.entra["ca_file"])
        client.tokens = {"access_token": token(sign_in(application, [f"api://{CLIENT_ID}/mcp.read"]))}
        self.assertEqual(client.initialize().status, 403)

    def test_a_users_own_token_of_entras_is_let_in_where_it_is_taken(self):
        client = Client(f"{self.base_url}/mcp/entra")
        application = people(f"https://{self.entra['authority_host']}/{TENANT}", self.entra["ca_file"])
        metadata = send(f"{self.base_url}/.well-known/oauth-protected-resource/mcp/entra").json()
        self.assertIn(TENANT, metadata["authorization_servers"][0])
        client.tokens = {"access_token": token(sign_in(application, metadata["scopes_supported"]))}
        for path in ("entra", "both"):
            client.mcp_url = f"{self.base_url}/mcp/{path}"
            seen = json.loads(client.call("headers"))
            self.assertEqual(seen["x-entrada-preferred-username"], USERNAME)
            claims = claims_of(seen["x-entrada-assertion"])
            self.assertIn(TENANT, claims["token_issuer"])
        self.assertEqual(self.signed_in("/mcp/both").initialize().status, 200)
        ours = self.signed_in()
        ours.mcp_url = f"{self.base_url}/mcp/entra"
        self.assertEqual(ours.initialize().status, 401)

    def test_tokens_bound_to_a_key_are_of_use_with_it_alone(self):
        for algorithm in KEYS:
            with self.subTest(algorithm):
                client = KeyedClient(f"{self.base_url}/mcp", algorithm)
                client.sign_in(USERNAME, PASSWORD)
                self.assertEqual(client.refresh().status, 200)
                seen = json.loads(client.call("headers"))
                self.assertEqual(seen["x-entrada-preferred-username"], USERNAME)
                self.assertNotIn("authorization", seen)
                self.assertNotIn("dpop", seen)
                for thief in Client(client.mcp_url), KeyedClient(client.mcp_url):
                    thief.tokens, thief.nonce = client.tokens, client.nonce
                    self.assertEqual(thief.initialize().status, 401)
                    thief.client_id = client.client_id
                    self.assertEqual(thief.refresh().json()["error"], "invalid_grant")

    def test_programs_come_without_anybody_signing_in(self):
        mcp_url = f"{self.base_url}/mcp"
        for method in ("client_secret_basic", "client_secret_post"):
            with self.subTest(method):
                seen = headers_seen(mcp_url, of_secret(mcp_url, self.base_url, method))
                told = [seen.get(f"x-entrada-{name}") for name in ("subject", "client-id", "name", "roles", "object-id")]
                self.assertEqual(told, ["jobs", "jobs", "Nightly%20jobs", "Jobs.Run", None])
        seen = headers_seen(mcp_url, of_key(mcp_url, self.base_url, self.key))
        self.assertEqual(seen["x-entrada-subject"], "signer")

    def test_a_user_comes_by_the_word_of_another_issuer(self):
        mcp_url = f"{self.base_url}/mcp"
        seen = headers_seen(mcp_url, of_issuer(mcp_url, self.base_url, self.idp))
        told = [seen.get(f"x-entrada-{name}") for name in ("client-id", "preferred-username", "scope", "object-id")]
        self.assertEqual(told, ["assistant", "user@example.com", "mcp.read", None])
        self.assertNotIn("user-1", json.dumps(seen))

    def test_events_come_as_they_are_sent(self):
        client = self.signed_in()
        session = client.initialize().headers["mcp-session-id"]
        client.mcp("notifications/initialized", {}, session)
        params = {"name": "count", "arguments": {}, "_meta": {"progressToken": "count"}}
        arrivals = []
        with client.open("tools/call", params, session) as response:
            for line in response:
                if line.startswith(b"data:") and line[5:].strip():
                    arrivals.append((time.monotonic(), json.loads(line[5:])))
        self.assertEqual(len(arrivals), 4, arrivals)
        self.assertIn("result", arrivals[-1][1])
        self.assertGreater(arrivals[-1][0] - arrivals[0][0], 1.0, "the first event waited for the last")

    def test_a_killed_gateway_loses_no_grant(self):
        client = self.signed_in()
        self.assertEqual(client.call("echo", message="before"), "before")
        self.gateway.send_signal(signal.SIGKILL)
        self.gateway.wait()
        type(self).serve()
        self.assertEqual(client.call("echo", message="after"), "after")
        self.assertEqual(client.refresh().status, 200)
        self.assertEqual(client.call("echo", message="refreshed"), "refreshed")

    def test_logs_hold_nothing_secret(self):
        client = self.signed_in()
        secrets = [CLIENT_SECRET, PASSWORD, client.verifier, client.code, *self.bearer_secrets(client)]
        client.call("headers")
        client.refresh()
        secrets += self.bearer_secrets(client)
        client.revoke()
        log = (ARTEFACTS / "gateway-entrada.log").read_text()
        self.assertIn("grant revoked", log)
        self.assertEqual([secret for secret in secrets if secret in log], [])
        # However a token of Entra's begins, its header is JSON in base64url.
        self.assertNotIn("eyJ", log)

    def bearer_secrets(self, client: Client) -> list[str]:
        return [client.tokens["access_token"], client.tokens["refresh_token"]]

    def test_it_says_that_it_is_well(self):
        self.assertEqual(send(f"{self.base_url}/healthz").status, 200)
        self.assertEqual(send(f"{self.base_url}/readyz").status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
