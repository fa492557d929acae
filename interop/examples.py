"""Runs every example of the workspace. A server is run against the emulator, and must protect its tools."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from oauth import Client
from key_vault import Vault
from programs import ARTEFACTS, DEBUG, ROOT, emulator, free_port, stop, wait_for
from tenant import CLIENT_ID, CLIENT_SECRET, COLLEAGUE, OID, PASSWORD, TENANT, USERNAME

# A client, which `clients.py` runs.
NOT_A_SERVER = {"sign_in"}
# Is not protected, and stands behind a gateway, in `conformance_server.py`.
NOT_PROTECTED = {"conformance_server"}
# Takes Entra's own tokens, which `direct.py` gets.
NO_AUTHORIZATION_SERVER = {"verify_only"}
# Has the tools `graph_me` and `list_mails`, which show that on-behalf-of works.
ASKS_GRAPH = {"protect_a_server"}
# Has the tool `settings`, which takes an app role that `USERNAME` has and `COLLEAGUE` has not.
HAS_ADMINISTRATORS = {"protect_a_server"}
# Any app can stand behind the guard: this one greets its caller, whatever the message.
GREETS = {"protect_an_axum_app"}
# And this one reads a secret from a vault, as its caller.
ASKS_A_VAULT = {"azure_sdk"}


def examples() -> list[str]:
    """Every example there is, so that a new one cannot be forgotten."""
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT))
    targets = [target for package in metadata["packages"] for target in package["targets"]]
    elsewhere = NOT_A_SERVER | NOT_PROTECTED | NO_AUTHORIZATION_SERVER
    return sorted(t["name"] for t in targets if "example" in t["kind"] and t["name"] not in elsewhere)


def administer(client: Client, base_url: str) -> None:
    """Calls the tool that is for administrators, as one and as somebody else."""
    assert "graph_url" in client.call("settings")
    colleague = Client(f"{base_url}/mcp")
    colleague.sign_in(COLLEAGUE, PASSWORD)
    session = colleague.initialize().headers.get("mcp-session-id")
    refused = colleague.mcp("tools/call", {"name": "settings", "arguments": {}}, session)
    assert refused.status == 403 and refused.json()["error"] == "access_denied", refused
    assert "settings" not in colleague.mcp("tools/list", {}, session).text


def use(name: str, base_url: str) -> None:
    client = Client(f"{base_url}/mcp")
    refused = client.initialize()
    assert refused.status == 401 and "resource_metadata=" in refused.headers["www-authenticate"], refused
    client.sign_in(USERNAME, PASSWORD)
    if name in ASKS_A_VAULT:
        assert client.initialize().text == f"hello, {OID}"
        return
    if name in GREETS:
        assert client.initialize().text == f"hello, {USERNAME}\n"
        return
    assert client.call("echo", message="hello") == "hello"
    assert USERNAME in client.call("whoami")
    if name in ASKS_GRAPH:
        assert USERNAME in client.call("graph_me")
        assert "Quarterly figures" in client.call("list_mails")
    if name in HAS_ADMINISTRATORS:
        administer(client, base_url)
    assert client.refresh().status == 200
    assert USERNAME in client.call("whoami")
    assert client.revoke().status == 200


def run(name: str, authority_host: str, ca_file: pathlib.Path, vault_url: str) -> bool:
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data, open(ARTEFACTS / f"{name}.log", "wb") as log:
        env = {
            **os.environ,
            "ENTRADA_TENANT_ID": TENANT,
            "ENTRADA_CLIENT_ID": CLIENT_ID,
            "ENTRADA_CLIENT_SECRET": CLIENT_SECRET,
            "ENTRADA_BASE_URL": base_url,
            "ENTRADA_LISTEN": f"127.0.0.1:{port}",
            "ENTRADA_REQUIRED_SCOPES": "mcp.read",
            "ENTRADA_ADDITIONAL_SCOPES": "https://graph.microsoft.com/User.Read",
            "ENTRADA_AUTHORITY_HOST": authority_host,
            "ENTRADA_CA_FILE": str(ca_file),
            "ENTRADA_DATA_DIR": data,
            "ENTRADA_VAULT_URL": vault_url,
            "ENTRADA_GRAPH_URL": f"https://{authority_host}/graph",
        }
        # The example must learn of the authority by its own configuration.
        env.pop("SSL_CERT_FILE", None)
        command = [DEBUG / "examples" / name]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            use(name, base_url)
            verdict = None
        except Exception as error:  # noqa: BLE001 - whatever went wrong is this example's verdict
            verdict = error
        finally:
            stop(process)
    print(f"ok     {name}" if verdict is None else f"FAILED {name}: {verdict!r}; see {log.name}", flush=True)
    return verdict is None


def main() -> int:
    ARTEFACTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ca_file = pathlib.Path(folder) / "ca.pem"
        # What the person's browser trusts.
        os.environ["SSL_CERT_FILE"] = str(ca_file)
        with emulator("--ca-file", ca_file) as ready, Vault() as vault:
            trusted = pathlib.Path(folder) / "trusted.pem"
            trusted.write_bytes(ca_file.read_bytes() + vault.authority)
            results = [run(name, ready["authority_host"], trusted, vault.url) for name in examples()]
    print(f"{len(results)} examples: {results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
