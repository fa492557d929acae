"""Drives the example server over loopback: see `load.sh`, which builds what this runs."""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "interop"))

from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME  # noqa: E402
from oauth import Client, Reply  # noqa: E402
from programs import ARTEFACTS, Program, free_port, stop  # noqa: E402

LOAD = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "load"
PROTOCOL = "2025-06-18"
ECHO = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "hello"}}}
MCP_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 8
STARTS = 10

# Tells what wrk saw on one line.
REPORT = """
function done(summary)
  local e = summary.errors
  print(string.format("requests %d %d %d", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status))
end
"""


def newest(pattern: str) -> pathlib.Path:
    """A benchmark has a digest in its name."""
    found = [path for path in (LOAD / "deps").glob(pattern) if os.access(path, os.X_OK) and not path.suffix]
    return max(found, key=lambda path: path.stat().st_mtime)


@dataclass
class Entra:
    host: str
    ca_file: pathlib.Path


@dataclass
class Server:
    base_url: str
    process: subprocess.Popen
    ready_after: float

    def cpu_seconds(self) -> float:
        # The name, in parentheses, may hold spaces.
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self, which: str = "VmRSS") -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{which}:"))
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def serving(
    program: pathlib.Path, data_dir: pathlib.Path, entra: Entra, port: int | None = None, *arguments: str, **more: str
) -> Iterator[Server]:
    """A server, from the moment it answers; `more` are further settings."""
    port = port or free_port()
    base_url = f"http://127.0.0.1:{port}"
    settings = {
        "TENANT_ID": TENANT,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "BASE_URL": base_url,
        "LISTEN": f"127.0.0.1:{port}",
        "REQUIRED_SCOPES": "mcp.read",
        "AUTHORITY_HOST": entra.host,
        "CA_FILE": str(entra.ca_file),
        "DATA_DIR": str(data_dir),
        **more,
    }
    env = {**os.environ, **{f"ENTRADA_{name}": value for name, value in settings.items()}}
    # That is for the person's browser, which is this process.
    env.pop("SSL_CERT_FILE", None)
    with open(ARTEFACTS / f"load-{program.name}.log", "ab") as log:
        started = time.perf_counter()
        process = subprocess.Popen([program, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until_ready(port, process)
        yield Server(base_url, process, time.perf_counter() - started)
    finally:
        stop(process)


def wait_until_ready(port: int, process: subprocess.Popen) -> None:
    deadline = time.perf_counter() + 20
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/.well-known/oauth-authorization-server")
            assert connection.getresponse().status == 200
            return
        except ConnectionError:
            assert process.poll() is None, f"ended with {process.returncode}"
            assert time.perf_counter() < deadline, "does not answer"
            time.sleep(0.001)
        finally:
            connection.close()


# ---- The guard's share of a request ----


@dataclass
class Drive:
    """One way to ask, and what each round of it showed."""

    url: str
    headers: dict[str, str]
    body: str
    per_second: list[float]
    cpu_us: list[float]

    def script(self) -> str:
        headers = "".join(f"wrk.headers[{json.dumps(n)}] = {json.dumps(v)}\n" for n, v in self.headers.items())
        return f'wrk.method = "POST"\nwrk.body = {json.dumps(self.body)}\n{headers}{REPORT}'

    def run(self, server: Server, seconds: int) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(self.script())
            script.flush()
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, self.url]
            before = server.cpu_seconds()
            output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
            spent = server.cpu_seconds() - before
        line = next(line for line in output.splitlines() if line.startswith("requests "))
        requests, duration_us, errors = map(int, line.split()[1:])
        assert requests and not errors, output
        self.per_second.append(requests / (duration_us / 1e6))
        self.cpu_us.append(spent / requests * 1e6)


def open_session(client: Client, path: str, server: Server) -> dict[str, str]:
    """The headers of a tool call in a session of its own."""
    client.mcp_url = f"{server.base_url}{path}"
    opened: Reply = client.initialize()
    assert opened.status == 200, opened
    session = opened.headers["mcp-session-id"]
    client.mcp("notifications/initialized", {}, session)
    return {"mcp-session-id": session, "mcp-protocol-version": PROTOCOL}


def compare(entra: Entra, rounds: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as data, serving(newest("load_server-*"), pathlib.Path(data), entra) as server:
        client = Client(f"{server.base_url}/mcp")
        client.sign_in(USERNAME, PASSWORD)
        # Both ways get the same request, so the guard alone makes the difference.
        common = MCP_HEADERS | {"authorization": f"Bearer {client.tokens['access_token']}"}
        for what, paths in (
            ("tool call", ("/mcp", "/bare/mcp")),
            ("empty handler", ("/guarded/hello", "/bare/hello")),
        ):
            drives = []
            for path in paths:
                session = open_session(client, path, server) if path.endswith("/mcp") else {}
                body = json.dumps(ECHO) if session else ""
                drives.append(Drive(server.base_url + path, common | session, body, [], []))
            for number in range(rounds):
                # Who goes first changes, so that neither has the better of it.
                for drive in drives if number % 2 else reversed(drives):
                    drive.run(server, seconds)
            report(what, *drives)


def report(what: str, guarded: Drive, bare: Drive) -> None:
    for name, drive in (("guarded", guarded), ("bare", bare)):
        print(
            f"{what}, {name:8} {statistics.median(drive.per_second):8.0f} requests/s  "
            f"{statistics.median(drive.cpu_us):6.2f} µs CPU a request",
            flush=True,
        )
    ratios = [with_it / without for with_it, without in zip(guarded.cpu_us, bare.cpu_us)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{what}, CPU guarded/bare by round: median {middle:.3f}, half of the rounds from {low:.3f} to {high:.3f} "
        f"({len(ratios)} rounds)",
        flush=True,
    )


# ---- Memory and start ----


def start_often(entra: Entra) -> None:
    program = LOAD / "examples" / "protect_a_server"
    with tempfile.TemporaryDirectory() as folder:
        fresh, again, idle, cpu = [], [], [], []
        for number in range(STARTS):
            data = pathlib.Path(folder) / str(number)
            with serving(program, data, entra) as server:
                fresh.append(server.ready_after * 1000)
            with serving(program, data, entra) as server:
                again.append(server.ready_after * 1000)
                cpu.append(server.cpu_seconds() * 1000)
                time.sleep(0.2)
                idle.append(server.resident_mb())
    print(f"start to first answer, new data directory: best {min(fresh):.0f} ms, median {statistics.median(fresh):.0f} ms")
    print(f"start to first answer, existing one:       best {min(again):.0f} ms, median {statistics.median(again):.0f} ms")
    print(f"CPU until then: {statistics.mean(cpu):.0f} ms")
    print(f"resident when idle: {statistics.median(idle):.1f} MB", flush=True)


def redeem_all(server: Server, codes: list[dict[str, str]]) -> None:
    """Redeems each code and uses each access token once."""
    local = threading.local()
    host = urllib.parse.urlsplit(server.base_url).netloc

    def ask(path: str, body: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(host, timeout=60)
        local.connection.request("POST", path, body, headers)
        answer = local.connection.getresponse()
        return answer.status, answer.read()

    def redeem(code: dict[str, str]) -> None:
        form = {"grant_type": "authorization_code", "resource": f"{server.base_url}/mcp", **code}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, answer = ask("/token", urllib.parse.urlencode(form), headers)
        assert status == 200, answer
        token = json.loads(answer)["access_token"]
        # The guard lets it through, and the server, which knows no such session, keeps nothing.
        status, answer = ask("/mcp", json.dumps(ECHO), MCP_HEADERS | {"authorization": f"Bearer {token}"})
        assert status not in (401, 403, 503), answer

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(redeem, codes))


def grow(entra: Entra, grants: int) -> None:
    program = LOAD / "examples" / "protect_a_server"
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder)
        # Codes are for one resource, which has the port in it.
        port = free_port()
        command = [newest("codes-*"), data, f"http://127.0.0.1:{port}/mcp", str(grants)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.splitlines()
        with serving(program, data, entra, port) as server:
            before = server.resident_mb()
            started = time.perf_counter()
            redeem_all(server, [json.loads(line) for line in lines])
            took = time.perf_counter() - started
            print(
                f"resident before {before:.1f} MB, after {grants} grants and as many tokens used: "
                f"{server.resident_mb():.1f} MB (highest {server.resident_mb('VmHWM'):.1f} MB); took {took:.0f} s"
            )
        with serving(program, data, entra, port) as server:
            time.sleep(0.2)
            print(
                f"started again with {grants} grants: ready after {server.ready_after * 1000:.0f} ms, "
                f"{server.resident_mb():.1f} MB",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--grants", type=int, default=10_000)
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ca_file = pathlib.Path(folder) / "ca.pem"
        os.environ["SSL_CERT_FILE"] = str(ca_file)
        with Program(LOAD / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", ca_file) as ready:
            entra = Entra(ready["authority_host"], ca_file)
            start_often(entra)
            compare(entra, args.rounds, args.seconds)
            grow(entra, args.grants)
    return 0


if __name__ == "__main__":
    sys.exit(main())
