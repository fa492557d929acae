"""A client that binds its tokens to a key (RFC 9449), its proofs made by PyJWT."""

import base64
import hashlib
import time
import urllib.parse
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from oauth import Client, Reply, send

# Each algorithm, a new key for it, and how its public half is written.
KEYS = {
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
}


class KeyedClient(Client):
    def __init__(self, mcp_url: str, algorithm: str = "ES256"):
        super().__init__(mcp_url)
        assert algorithm in self.metadata["dpop_signing_alg_values_supported"], self.metadata
        generate, kind = KEYS[algorithm]
        self.algorithm, self.key = algorithm, generate()
        self.jwk = kind.to_jwk(self.key.public_key(), as_dict=True)
        self.jwk.pop("key_ops", None)
        self.nonce: str | None = None

    def proof(self, method: str, url: str, access_token: str | None = None) -> str:
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": str(uuid.uuid4())}
        if self.nonce:
            claims["nonce"] = self.nonce
        if access_token:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()).rstrip(b"=").decode()
        return jwt.encode(claims, self.key, self.algorithm, {"typ": "dpop+jwt", "jwk": self.jwk})

    def token_request(self, **form: str) -> Reply:
        url = self.metadata["token_endpoint"]
        body = urllib.parse.urlencode({**form, "client_id": self.client_id}).encode()
        reply = send(url, body, {"DPoP": self.proof("POST", url)})
        self.nonce = reply.headers.get("dpop-nonce", self.nonce)
        if reply.status == 400 and reply.json()["error"] == "use_dpop_nonce":
            reply = send(url, body, {"DPoP": self.proof("POST", url)})
        return reply

    def credentials(self) -> dict[str, str]:
        if not self.tokens:
            return {}
        assert self.tokens["token_type"] == "DPoP", self.tokens
        access_token = self.tokens["access_token"]
        return {"Authorization": f"DPoP {access_token}", "DPoP": self.proof("POST", self.mcp_url, access_token)}
