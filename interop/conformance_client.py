"""MCP's conformance suite for clients, with a client that is connected directly and through `entrada serve`: the same must come of it.

The suite starts the server of a scenario, and a client with its URL: `conformance_client.py WAY CLIENT URL` is that client.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from programs import NODE, ROOT, TOOLS
from serving import serve
from verdicts import SUITE, Results, differences, failures, read, told

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
# What is of no revision.
EXTENSIONS = "extensions"
SCRIPTS = TOOLS / "node" / "clients"
TYPESCRIPT = [str(NODE), str(SCRIPTS / "typescript_conformance.mjs")]
# How each client is started, and what it is asked to speak: the newest of either generation, and one of them all there is.
CLIENTS = {
    "TypeScript SDK 1.x": ([*TYPESCRIPT, "1"], REVISIONS[2:3]),
    "TypeScript SDK 2.x": ([*TYPESCRIPT, "2"], (*REVISIONS, EXTENSIONS)),
    "Python SDK": ([sys.executable, str(ROOT / "interop" / "clients" / "python_conformance.py")], REVISIONS[2:]),
}
# There the suite is the authorization server, too, which of a server behind the gateway the gateway is.
LEFT_OUT = "auth/"
LEAVE_OUT = f'case "$MCP_CONFORMANCE_SCENARIO" in {LEFT_OUT}*) exit 1;; esac; exec "$@"'
LIMIT = 120


@functools.cache
def scenarios(chosen: str) -> set[str]:
    """The names of what the suite has for a revision, or for extensions."""
    narrowed = [] if chosen == EXTENSIONS else ["--spec-version", chosen]
    listed = subprocess.run([str(NODE), str(SUITE), "list", "--client", *narrowed], capture_output=True, text=True, timeout=LIMIT, check=True)
    found = re.findall(r"^  - (\S+) \[(.*)]$", listed.stdout, re.MULTILINE)
    return {name for name, revisions in found if (revisions == "extension") == (chosen == EXTENSIONS)}


def results(chosen: str, way: str, client: str) -> Results:
    """What the suite makes of the client that is connected in one way or the other."""
    expected = {name for name in scenarios(chosen) if not name.startswith(LEFT_OUT)}
    # Of a revision it runs all at once.
    runs = [["--suite", "all", "--spec-version", chosen]]
    if chosen == EXTENSIONS:
        runs = [["--scenario", name] for name in sorted(expected)]
    connected = shlex.join(["sh", "-c", LEAVE_OUT, "client", sys.executable, __file__, way, client])
    with tempfile.TemporaryDirectory() as folder:
        output = ""
        for which in runs:
            command = [str(NODE), str(SUITE), "client", *which, "--command", connected, "--timeout", str(LIMIT * 1000), "-o", folder]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * LIMIT)
            output += done.stdout + done.stderr
        # What is left out is a folder deeper.
        found = read(folder)
        assert found.keys() == expected, f"{found.keys() ^ expected}\n{output}"
        return found


def is_transparent(chosen: str, client: str) -> bool:
    direct = results(chosen, "directly", client)
    # A client need not do all that could be looked at.
    verdict = told(f"{chosen} {client} directly", direct, failures(direct, ("SUCCESS", "SKIPPED"), ()))
    if not direct:
        return verdict
    through = results(chosen, "through", client)
    return told(f"{chosen} {client} through the gateway", through, differences(direct, through)) and verdict


def connect(way: str, client: str, url: str) -> int:
    """Runs the client."""

    def run(url: str, **more: str) -> int:
        command, _ = CLIENTS[client]
        return subprocess.run([*command, url], env={**os.environ, **more}).returncode

    if way == "directly":
        return run(url)
    with serve("conformance-client-entrada", upstream=url, resource_path="/mcp") as gateway:
        return run(f"{gateway.base_url}/mcp", TOKEN=gateway.token())


def main() -> int:
    shutil.copytree(ROOT / "interop" / "clients", SCRIPTS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
    verdicts = [is_transparent(chosen, client) for client, (_, spoken) in CLIENTS.items() for chosen in spoken]
    print(f"{len(verdicts)} sets: {verdicts.count(True)} passed, {verdicts.count(False)} failed")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(connect(*sys.argv[1:]) if sys.argv[1:] else main())
