"""MCP's conformance suite for servers, against a server directly and through `entrada serve`: the same must come of it."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

from bearer import Bearer
from programs import DEBUG, NODE, free_port
from serving import running, serve
from verdicts import SUITE, Results, differences, failures, read, told

# What is run at each revision of the protocol: all there is for it. At the newest that includes the extension for tasks.
SETS = {revision: ["--suite", "all", "--spec-version", revision] for revision in ("2025-03-26", "2025-06-18", "2025-11-25")}
SETS["2026-07-28"] = ["--requirements", "2026-07-28"]
LIMIT = 120
# The server that all of it is run against, which has what the suite asks for.
FIXTURE = DEBUG / "examples" / "conformance_server"
# What the server itself does not pass, and why.
NOT_PASSED = {"tasks-status-notifications": "the suite always skips it"}

# The same server under rules that allow everybody everything, for which the gateway reads all there is.
ROUTE = """
[[route]]
path = "/mcp/ruled"
upstream = "http://127.0.0.1:{port}/mcp"
filter_lists = true
# Methods that MCP has not, too.
without_rule = "allow"

[[route.rule]]
tools = ["*"]
prompts = ["*"]
resources = ["*"]
"""
# Where the answer is the gateway's under rules. The server refuses the same, and says so by another error.
NO_VERSION = "a header says a version that the body does not: -32020, and not -32602"
NO_URI = "names no resource, so no rule is met: 400, and not 404"
REFUSED_BY_RULES = {
    "sep-2575-request-meta-invalid-missing-meta": NO_VERSION,
    "sep-2575-request-meta-invalid-missing-protocol-version": NO_VERSION,
    "sep-2575-http-server-method-not-found-404-resources-subscribe": NO_URI,
    "sep-2575-http-server-method-not-found-404-resources-unsubscribe": NO_URI,
}


def results(url: str, revision: str) -> Results:
    """What the suite makes of the server at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(NODE), str(SUITE), "server", "--url", url, *SETS[revision], "-o", folder]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        found = read(folder, "server-")
        assert found, done.stdout + done.stderr
        return found


def is_transparent(revision: str, direct_url: str, ways: dict[str, str]) -> bool:
    direct = results(direct_url, revision)
    verdicts = [told(f"{revision} directly", direct, failures(direct, ("SUCCESS",), NOT_PASSED))]
    for way, url in ways.items():
        through = results(url, revision)
        differ = REFUSED_BY_RULES if way == "under rules" and revision >= "2026" else {}
        verdicts.append(told(f"{revision} {way}", through, differences(direct, through, differ)))
    return all(verdicts)


def main() -> int:
    port, paths = free_port(), {"through the gateway": "/mcp", "under rules": "/mcp/ruled"}
    relays = {way: free_port() for way in paths}
    ways = {way: f"http://localhost:{relays[way]}{path}" for way, path in paths.items()}
    with contextlib.ExitStack() as stack:
        config = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "entrada.toml"
        config.write_text(ROUTE.format(port=port))
        settings = {
            "config": config,
            "upstream": f"http://127.0.0.1:{port}/mcp",
            # The suite looks whether a server on this machine takes what names it, and refuses what names another host.
            "host_header": "preserve",
            "allowed_origins": " ".join(f"http://localhost:{relay}" for relay in relays.values()),
        }
        stack.enter_context(running([FIXTURE, port], "conformance-server", port))
        gateway = stack.enter_context(serve("conformance-entrada", **settings))
        for way, path in paths.items():
            stack.enter_context(Bearer(relays[way], gateway.port, gateway.token(path)))
        verdicts = [is_transparent(revision, f"http://localhost:{port}/mcp", ways) for revision in SETS]
    print(f"{len(verdicts)} revisions: {verdicts.count(True)} passed, {verdicts.count(False)} failed")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
