"""MCP's conformance suite for servers, against a server directly and through `entrada serve`: the same must come of it."""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile

from bearer import Bearer
from programs import DEBUG, NODE, TOOLS, free_port
from serving import running, serve

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
LIMIT = 120
SUITE = TOOLS / "node" / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
# The server that all of it is run against, which has what the suite asks for.
FIXTURE = DEBUG / "examples" / "conformance_server"
# What the server itself fails, as scenario and check, and why: {("scenario", "check"): "reason"}.
KNOWN_FAILURES: dict[tuple[str, str], str] = {}

# How often each check of a scenario came to each verdict. What is merely noted differs from run to run.
Results = dict[str, collections.Counter]


def results(url: str, revision: str) -> Results:
    """What the suite makes of the server at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(NODE), str(SUITE), "server", "--url", url, "--suite", "all", "--spec-version", revision, "-o", folder]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        found: Results = {}
        for checks in pathlib.Path(folder).glob("*/checks.json"):
            # server-SCENARIO-2026-12-01T07-59-23-400Z
            scenario = checks.parent.name.removeprefix("server-")[: -len("-2026-12-01T07-59-23-400Z")]
            verdicts = ((check["id"], check["name"], check["status"]) for check in json.loads(checks.read_text()))
            found[scenario] = collections.Counter(verdict for verdict in verdicts if verdict[2] != "INFO")
        assert found, done.stdout + done.stderr
        return found


def failures(found: Results) -> set[tuple[str, str]]:
    return {(scenario, check) for scenario, counted in found.items() for check, _, status in counted if status != "SUCCESS"}


def differences(direct: Results, through: Results) -> list[str]:
    told = []
    for scenario in sorted(direct.keys() | through.keys()):
        ours, theirs = (side.get(scenario, collections.Counter()) for side in (through, direct))
        told += [f"{scenario}: directly {verdict}" for verdict in (theirs - ours).elements()]
        told += [f"{scenario}: through the gateway {verdict}" for verdict in (ours - theirs).elements()]
    return told


def is_transparent(revision: str, direct_url: str, gateway_url: str) -> bool:
    direct, through = results(direct_url, revision), results(gateway_url, revision)
    wrong = differences(direct, through)
    wrong += [f"{scenario}: {check} fails, which is not known" for scenario, check in failures(direct) - KNOWN_FAILURES.keys()]
    counts = [sum(sum(counted.values()) for counted in side.values()) for side in (direct, through)]
    verdict = "FAILED" if wrong else "ok    "
    print(f"{verdict} {revision}: {len(direct)} scenarios; {counts[0]} checks directly, {counts[1]} through the gateway", flush=True)
    for line in wrong:
        print(f"       {line}")
    return not wrong


def main() -> int:
    port, relay_port = free_port(), free_port()
    direct, through = (f"http://localhost:{at}/mcp" for at in (port, relay_port))
    settings = {
        "upstream": f"http://127.0.0.1:{port}/mcp",
        # The suite looks whether a server on this machine takes what names it, and refuses what names another host.
        "host_header": "preserve",
        "allowed_origins": f"http://localhost:{relay_port}",
    }
    with (
        running([FIXTURE, port], "conformance-server", port),
        serve("conformance-entrada", **settings) as gateway,
        Bearer(relay_port, gateway.port, gateway.token()),
    ):
        verdicts = [is_transparent(revision, direct, through) for revision in REVISIONS]
    print(f"{len(verdicts)} revisions: {verdicts.count(True)} passed, {verdicts.count(False)} failed")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
