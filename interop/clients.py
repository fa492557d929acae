"""Real MCP clients, unmodified, against `entrada demo`.

Each registers, signs in, calls `echo` and `whoami`, refreshes when its access token has expired, and is refused once
its grant is revoked. A client program gets the demo's ready line in INTEROP_DEMO and the command that plays the person
at the browser in INTEROP_AGENT, both JSON, and exits 0 when all of that happened.

With INTEROP_CLIENT_DOCUMENT the client does not register: that is the URL of a document which describes it.

With INTEROP_SCENARIO=step_up Entra wants a second factor once the user is signed in: the client must fetch its user
again, and its calls then work.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from documents import documents
from oauth import Client, send
from programs import DEBUG, NODE, ROOT, TOOLS, demo

ACCESS_TOKEN_LIFETIME = 4
# What the guard may go on believing of a grant it has just looked up, and some.
REVOCATION_REACHES_ALL = 15
CLIENT_LIMIT = 120
HERE = ROOT / "interop"


def clients() -> dict[str, list[str]]:
    """Every client program, by name."""
    scripts = TOOLS / "node" / "clients"
    shutil.copytree(HERE / "clients", scripts, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
    node = str(NODE)
    bridge = TOOLS / "node" / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    mcp_remote = [sys.executable, str(HERE / "clients" / "mcp_remote.py"), node, str(bridge), "39397"]
    return {
        "python mcp, auto": [sys.executable, str(HERE / "clients" / "python_mcp.py"), "auto"],
        "python mcp, legacy": [sys.executable, str(HERE / "clients" / "python_mcp.py"), "legacy"],
        "typescript sdk 1.x": [node, str(scripts / "typescript_sdk.mjs")],
        "typescript client 2.x, auto": [node, str(scripts / "typescript_client.mjs"), "auto"],
        "typescript client 2.x, legacy": [node, str(scripts / "typescript_client.mjs"), "legacy"],
        "mcp-remote": mcp_remote,
        "rmcp": [str(DEBUG / "examples" / "sign_in")],
    }


DOCUMENTED = {"python mcp, auto", "python mcp, legacy", "typescript sdk 1.x", "typescript client 2.x, auto"}
STEP_UP = {"python mcp, auto", "typescript sdk 1.x", "typescript client 2.x, auto", "typescript client 2.x, legacy"}


def demand_second_factor(ready: dict, username: str) -> None:
    told = json.dumps({"user": username, "demanded": True}).encode()
    reply = send(f"{ready['emulator_url']}/control/demand-mfa-at-obo", told)
    assert reply.status == 200, reply


def run(name: str, command: list[str], ready: dict, scenario: str = "", document: str = "") -> bool:
    agent = [sys.executable, str(HERE / "user_agent.py")]
    agent += ["--username", ready["username"], "--password", ready["password"]]
    env = {**os.environ, "INTEROP_DEMO": json.dumps(ready), "INTEROP_AGENT": json.dumps(agent)}
    env["INTEROP_SCENARIO"] = scenario
    if document:
        env["INTEROP_CLIENT_DOCUMENT"] = document
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CLIENT_LIMIT
        )
        status, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        status, output = "timeout", f"{late.stdout or b''}{late.stderr or b''}"
    except OSError as error:
        status, output = "not started", str(error)
    remark = scenario or ("described by a document" if document else "")
    name = f"{name}, {remark}" if remark else name
    print(f"{'ok    ' if status == 0 else 'FAILED'} {name} ({time.monotonic() - started:.1f} s)", flush=True)
    if status != 0:
        print(f"status {status}\n{output}")
    return status == 0


def revocation_reaches_the_guard(ready: dict) -> None:
    """With an access token that has not expired, so that only the revocation can refuse it."""
    client = Client(ready["mcp_url"])
    assert client.initialize().status == 401
    client.sign_in(ready["username"], ready["password"])
    assert client.initialize().status == 200
    assert client.refresh().status == 200
    assert client.initialize().status == 200
    assert client.revoke().status == 200
    deadline = time.monotonic() + REVOCATION_REACHES_ALL
    while (reply := client.initialize()).status == 200:
        assert time.monotonic() < deadline, "a revoked grant is still honoured"
        time.sleep(0.25)
    assert reply.status == 401 and 'error="invalid_token"' in reply.headers["www-authenticate"], reply
    refused = client.refresh()
    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant"), refused
    print("ok     revocation reaches the guard and the token endpoint", flush=True)


def documented() -> list[bool]:
    """Clients that a document describes, over HTTPS with a certificate of our own."""
    with tempfile.TemporaryDirectory() as folder, documents(pathlib.Path(folder)) as (url, ca_file, asked):
        options = ["--client-documents", "--ca-file", ca_file]
        for address in ("127.0.0.1", "::1"):
            options += ["--insecure-document-address", address]
        with demo("--access-token-lifetime", f"{ACCESS_TOKEN_LIFETIME}s", *options) as ready:
            known = [(name, command) for name, command in clients().items() if name in DOCUMENTED]
            with ThreadPoolExecutor(max_workers=4) as pool:
                results = list(pool.map(lambda client: run(*client, ready, document=url), known))
        # One look at it served them all.
        assert asked == ["/client.json"], asked
    return results


def main() -> int:
    with demo() as ready:
        revocation_reaches_the_guard(ready)
    with demo("--access-token-lifetime", f"{ACCESS_TOKEN_LIFETIME}s") as ready:
        # Each mostly waits for its access token to expire.
        with ThreadPoolExecutor(max_workers=4) as pool:
            results = list(pool.map(lambda client: run(*client, ready), clients().items()))
    results += documented()
    with demo() as ready:
        ready["username"] = "bob@contoso.onmicrosoft.com"
        demand_second_factor(ready, ready["username"])
        results += [run(name, command, ready, "step_up") for name, command in clients().items() if name in STEP_UP]
    print(f"{len(results)} clients: {results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
