"""Tokens that Microsoft's own client library gets from (emulated) Entra, at a server that only verifies them."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import msal

from oauth import query
from programs import ARTEFACTS, DEBUG, emulator, free_port, stop, wait_for
from user_agent import UserAgent

# From the emulator's built-in directory.
TENANT = "10000000-0000-4000-8000-000000000001"
API = "30000000-0000-4000-8000-000000000001"
DAEMON, DAEMON_SECRET = "30000000-0000-4000-8000-000000000004", "daemon~5R.a-public_test-secret_012345678"
COMMAND_LINE = "30000000-0000-4000-8000-000000000007"
USERNAME, PASSWORD = "alice@contoso.onmicrosoft.com", "password"
REDIRECT_URI = "http://localhost/callback"
GRAPH = "https://graph.microsoft.com/User.Read"


class Answer:
    def __init__(self, status: int, headers, body: bytes):
        self.status, self.headers, self.text = status, headers, body.decode()

    def __repr__(self) -> str:
        return f"{self.status} {self.headers.get('www-authenticate')} {self.text}"

    def scopes(self) -> list[str]:
        """What the challenge says to ask for."""
        return re.search(r'scope="([^"]*)"', self.headers["www-authenticate"]).group(1).split()


def send(url: str, token: str | None = None, method: str = "POST") -> Answer:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refusal:
        return Answer(refusal.code, refusal.headers, refusal.read())


def people(authority: str, ca_file: str):
    return msal.PublicClientApplication(COMMAND_LINE, authority=authority, instance_discovery=False, verify=ca_file)


def programs(authority: str, ca_file: str):
    return msal.ConfidentialClientApplication(
        DAEMON, client_credential=DAEMON_SECRET, authority=authority, instance_discovery=False, verify=ca_file
    )


def sign_in(application, scopes: list[str]) -> dict:
    """A person signs in at Entra, and msal redeems the code."""
    flow = application.initiate_auth_code_flow(scopes, redirect_uri=REDIRECT_URI)
    callback = UserAgent(USERNAME, PASSWORD).authorize(flow["auth_uri"]).url
    return application.acquire_token_by_auth_code_flow(flow, query(callback))


def token(result: dict, name: str = "access_token") -> str:
    assert name in result, result
    return result[name]


def a_client_finds_its_way(base_url: str, authority: str, ca_file: str) -> None:
    refused = send(f"{base_url}/mcp")
    assert refused.status == 401, refused
    where = re.search(r'resource_metadata="([^"]*)"', refused.headers["www-authenticate"]).group(1)
    metadata = json.loads(send(where, method="GET").text)
    assert metadata["authorization_servers"] == [f"{authority}/v2.0"], metadata
    assert metadata["scopes_supported"] == refused.scopes() == [f"api://{API}/mcp.read"], metadata
    result = sign_in(people(authority, ca_file), metadata["scopes_supported"])
    greeted = send(f"{base_url}/mcp", token(result))
    assert (greeted.status, greeted.text) == (200, f"hello, {USERNAME}\n"), greeted


def one_step_up_is_enough(base_url: str, authority: str, ca_file: str) -> None:
    application = people(authority, ca_file)
    scopes = [f"api://{API}/mcp.read"]
    less = token(sign_in(application, scopes))
    refused = send(f"{base_url}/mcp/write", less)
    assert refused.status == 403 and "insufficient_scope" in refused.headers["www-authenticate"], refused
    assert refused.scopes() == [f"api://{API}/mcp.read", f"api://{API}/mcp.write"], refused
    more = sign_in(application, refused.scopes())
    assert send(f"{base_url}/mcp/write", token(more)).status == 200


def programs_come_with_a_role(base_url: str, authority: str, ca_file: str) -> None:
    daemon = programs(authority, ca_file)
    greeted = send(f"{base_url}/mcp", token(daemon.acquire_token_for_client([f"api://{API}/.default"])))
    assert (greeted.status, greeted.text) == (200, f"hello, {DAEMON}\n"), greeted
    # No scope makes up for what it lacks there, so none is asked for.
    refused = send(f"{base_url}/mcp/write", token(daemon.acquire_token_for_client([f"api://{API}/.default"])))
    assert refused.status == 403 and refused.headers["www-authenticate"] is None, refused


def other_tokens_are_refused(base_url: str, authority: str, ca_file: str) -> None:
    application = people(authority, ca_file)
    result = sign_in(application, [f"api://{API}/mcp.read"])
    graph = sign_in(application, [GRAPH])
    for wrong in (token(result, "id_token"), token(graph), token(result)[:-4] + "AAAA"):
        refused = send(f"{base_url}/mcp", wrong)
        assert refused.status == 401 and "invalid_token" in refused.headers["www-authenticate"], refused


CHECKS = [a_client_finds_its_way, one_step_up_is_enough, programs_come_with_a_role, other_tokens_are_refused]


def main() -> int:
    ARTEFACTS.mkdir(exist_ok=True)
    failed = 0
    # msal is told which authority to trust; these would overrule it.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder, open(ARTEFACTS / "verify_only.log", "wb") as log:
        ca_file = pathlib.Path(folder) / "ca.pem"
        # What the person's browser trusts.
        os.environ["SSL_CERT_FILE"] = str(ca_file)
        with emulator("--ca-file", ca_file) as ready:
            port = free_port()
            base_url, host = f"http://127.0.0.1:{port}", ready["authority_host"]
            env = {
                **os.environ,
                "ENTRADA_TENANT_ID": TENANT,
                "ENTRADA_CLIENT_ID": API,
                "ENTRADA_BASE_URL": base_url,
                "ENTRADA_LISTEN": f"127.0.0.1:{port}",
                "ENTRADA_REQUIRED_SCOPES": "mcp.read",
                "ENTRADA_REQUIRED_APP_ROLES": "Mcp.Run",
                "ENTRADA_AUTHORITY_HOST": host,
                "ENTRADA_CA_FILE": str(ca_file),
            }
            # The server must learn of the authority by its own configuration.
            env.pop("SSL_CERT_FILE")
            command = [DEBUG / "examples" / "verify_only"]
            server = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                wait_for(port, server)
                for check in CHECKS:
                    try:
                        check(base_url, f"https://{host}/{TENANT}", str(ca_file))
                        print(f"ok     {check.__name__}", flush=True)
                    except Exception as error:  # noqa: BLE001 - whatever went wrong is this check's verdict
                        failed += 1
                        print(f"FAILED {check.__name__}: {error!r}", flush=True)
            finally:
                stop(server)
    print(f"{len(CHECKS)} checks: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
