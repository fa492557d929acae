"""The least an OAuth 2.1 and MCP client must do, by hand, so that a test can look at every answer."""

import base64
import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from user_agent import UserAgent

REDIRECT_URI = "http://127.0.0.1:39393/callback"
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> dict:
        return json.loads(self.text)


def open_url(url: str, body: bytes | None = None, headers: dict[str, str] | None = None):
    """The response, its body not read yet, whatever its status."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        return _opener.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error


def send(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
    with open_url(url, body, headers) as response:
        return read(response)


def read(response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, headers, response.read().decode())


def query(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


class Client:
    """A public client of the authorization server that protects `mcp_url`."""

    def __init__(self, mcp_url: str, redirect_uri: str = REDIRECT_URI, name: str = "Interop"):
        self.mcp_url, self.redirect_uri = mcp_url, redirect_uri
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(mcp_url))
        self.metadata = send(f"{origin}/.well-known/oauth-authorization-server").json()
        self.client_id = self._register(name)
        self.tokens: dict = {}
        self.headers: dict[str, str] = {}

    def _register(self, name: str) -> str:
        asked = {
            "client_name": name,
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }
        reply = send(
            self.metadata["registration_endpoint"], json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        assert reply.status == 201, reply
        return reply.json()["client_id"]

    def authorization_url(self) -> str:
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            "resource": self.mcp_url,
        }
        return f"{self.metadata['authorization_endpoint']}?{urllib.parse.urlencode(asked)}"

    def sign_in(self, username: str, password: str) -> None:
        answer = UserAgent(username, password).authorize(self.authorization_url())
        assert answer.status in (302, 303), (answer.url, answer.status, answer.body)
        self.redeem(answer.url)

    def redeem(self, callback: str) -> None:
        given = query(callback)
        assert given["state"] == self.state, given
        assert given["iss"] == self.metadata["issuer"], given
        self.code = given["code"]
        form = {"code": self.code, "redirect_uri": self.redirect_uri, "code_verifier": self.verifier}
        reply = self.token_request(grant_type="authorization_code", resource=self.mcp_url, **form)
        assert reply.status == 200, reply
        assert reply.headers["cache-control"] == "no-store", reply.headers
        self.tokens = reply.json()

    def refresh(self) -> Reply:
        reply = self.token_request(grant_type="refresh_token", refresh_token=self.tokens["refresh_token"])
        if reply.status == 200:
            self.tokens = reply.json()
        return reply

    def revoke(self) -> Reply:
        form = {"token": self.tokens["refresh_token"], "client_id": self.client_id}
        return send(self.metadata["revocation_endpoint"], urllib.parse.urlencode(form).encode())

    def token_request(self, **form: str) -> Reply:
        body = urllib.parse.urlencode({**form, "client_id": self.client_id}).encode()
        return send(self.metadata["token_endpoint"], body)

    def mcp(self, method: str, params: dict, session: str | None = None) -> Reply:
        with self.open(method, params, session) as response:
            return read(response)

    def credentials(self) -> dict[str, str]:
        """The headers of a call that say who calls."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}

    def open(self, method: str, params: dict, session: str | None = None):
        """Sends a message; the response may be a stream of events."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **self.headers}
        headers |= self.credentials()
        if session:
            headers["Mcp-Session-Id"] = session
            headers["MCP-Protocol-Version"] = "2025-06-18"
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if not method.startswith("notifications/"):
            message["id"] = 1
        return open_url(self.mcp_url, json.dumps(message).encode(), headers)

    def initialize(self) -> Reply:
        return self.mcp(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "interop", "version": "1"}},
        )

    def call(self, tool: str, **arguments: str) -> str:
        """The text a tool answers with, through a session of its own."""
        opened = self.initialize()
        assert opened.status == 200, opened
        session = opened.headers.get("mcp-session-id")
        self.mcp("notifications/initialized", {}, session)
        reply = self.mcp("tools/call", {"name": tool, "arguments": arguments}, session)
        assert reply.status == 200, reply
        result = message(reply)
        assert "result" in result and not result["result"].get("isError"), result
        return result["result"]["content"][0]["text"]


def message(reply: Reply) -> dict:
    """The JSON-RPC answer in a reply, which may be JSON or a stream of events."""
    if reply.headers["content-type"].startswith("application/json"):
        return reply.json()
    data = [line[5:].strip() for line in reply.text.splitlines() if line.startswith("data:")]
    return next(found for found in map(json.loads, filter(None, data)) if "id" in found)
