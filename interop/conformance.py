"""MCP's conformance suite for authorization servers, against `entrada demo`, at every revision of the protocol."""

import queue
import re
import subprocess
import sys
import threading
import time

from oauth import Client
from programs import NODE, demo, free_port
from user_agent import UserAgent
from verdicts import SUITE

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
LIMIT = 90


def watch(process: subprocess.Popen, ready: dict) -> str:
    """Reads the suite's output, and plays the person when it asks for one."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline, output, walked = time.monotonic() + LIMIT, "", False
    while (line := lines.get(timeout=max(0.1, deadline - time.monotonic()))) is not None:
        output += line
        found = re.search(r"https?://[^\s'\"<>\x1b]+response_type=code[^\s'\"<>\x1b]*", line)
        if found and not walked:
            walked = True
            agent = UserAgent(ready["username"], ready["password"])
            agent.deliver(agent.authorize(found.group()).url)
    return output


def verdict(revision: str, metadata: dict) -> str:
    """The line that says everything ran and passed: the suite exits 0 for what it skips, too."""
    assert metadata["client_id_metadata_document_supported"] is True, metadata
    return f"Total: {3 if revision >= '2025-11-25' else 2} passed, 0 failed"


def conforms(revision: str, ready: dict) -> bool:
    port = free_port()
    client = Client(ready["mcp_url"], f"http://127.0.0.1:{port}/callback")
    command = [str(NODE), str(SUITE), "authorization", "--url", client.metadata["issuer"]]
    command += ["--client-id", client.client_id, "-p", str(port), "--resource", ready["mcp_url"]]
    command += ["--spec-version", revision]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output = watch(process, ready)
    except queue.Empty:
        output = "the suite did not end in time"
    finally:
        process.kill()
        process.wait()
    passed = verdict(revision, client.metadata) in output
    print(f"{'ok    ' if passed else 'FAILED'} {revision}", flush=True)
    if not passed:
        print(output)
    return passed


def main() -> int:
    with demo("--client-documents") as ready:
        results = [conforms(revision, ready) for revision in REVISIONS]
    print(f"{len(results)} revisions: {results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
