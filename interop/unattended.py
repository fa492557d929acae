"""Programs that nobody signs in with, as the Python SDK of MCP writes them."""

import asyncio
import http.server
import json
import threading
import time
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from httpx2 import AsyncClient
from jwt.algorithms import RSAAlgorithm
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client

SECRET = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d"
CLIENTS = """
[[client]]
client_id = "jobs"
client_name = "Nightly jobs"
client_credentials = "mcp.read"
app_roles = "Jobs.Run"
secret_file = "{secret}"

[[client]]
client_id = "signer"
client_credentials = "mcp.read"
jwks_file = "{jwks}"

[[client]]
client_id = "assistant"
identity_assertions = true
secret_file = "{secret}"

[[trusted_issuer]]
issuer = "{issuer}"
jwks_uri = "{issuer}/keys"
"""


class Key:
    """A key, and what is published of it."""

    def __init__(self):
        self.private = rsa.generate_private_key(65537, 2048)
        public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self.jwks = json.dumps({"keys": [{**public, "kid": "1", "alg": "RS256", "use": "sig"}]})

    def pem(self) -> str:
        kind = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


class Issuer(Key):
    """The identity provider of an organisation, which vouches for its users."""

    def __enter__(self):
        body = self.jwks.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    async def vouch(self, audience: str, resource: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "user-1", "email": "user@example.com", "aud": audience, "resource": resource,
            "client_id": "assistant", "scope": "mcp.read", "jti": str(uuid.uuid4()), "iat": now, "exp": now + 300,
        }
        return jwt.encode(claims, self.private, "RS256", headers={"typ": "oauth-id-jag+jwt", "kid": "1"})


class Memory:
    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


def of_secret(mcp_url: str, issuer: str, method: str) -> ClientCredentialsOAuthProvider:
    return ClientCredentialsOAuthProvider(mcp_url, Memory(), "jobs", SECRET, method, issuer=issuer)


def of_key(mcp_url: str, issuer: str, key: Key) -> PrivateKeyJWTOAuthProvider:
    signed = SignedJWTParameters(issuer="signer", subject="signer", signing_key=key.pem())
    return PrivateKeyJWTOAuthProvider(mcp_url, Memory(), "signer", signed.create_assertion_provider(), issuer=issuer)


def of_issuer(mcp_url: str, issuer: str, idp: Issuer) -> IdentityAssertionOAuthProvider:
    return IdentityAssertionOAuthProvider(mcp_url, Memory(), "assistant", SECRET, issuer, idp.vouch)


def headers_seen(mcp_url: str, provider) -> dict[str, str]:
    """What the MCP server sees of a program that signs in by `provider`."""

    async def call() -> dict[str, str]:
        async with AsyncClient(auth=provider) as http_client:
            async with Client(streamable_http_client(mcp_url, http_client=http_client)) as client:
                result = await client.call_tool("headers", {})
                return json.loads(result.content[0].text)

    return asyncio.run(call())
