"""One client among hostile traffic: see `hostile.sh`, which builds what this runs."""

import argparse
import base64
import contextlib
import http.client
import json
import multiprocessing
import os
import pathlib
import secrets
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator

from load import ECHO, LOAD, MCP_HEADERS, PROTOCOL, ROOT, Entra, Server, newest, serving

sys.path.insert(0, str(ROOT / "interop"))

from tenant import PASSWORD, USERNAME  # noqa: E402
from oauth import Client  # noqa: E402
from programs import ARTEFACTS, Program  # noqa: E402

# Nineteen in twenty requests are hostile.
HOSTILE_FOR_A_GOOD_ONE = 19
SLOW_BODIES = 50
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}

Request = tuple[str, str, bytes, dict[str, str]]


# ---- What is hostile ----


def made_up_token(key: str) -> str:
    """A token that looks like one of ours, with a signature nobody made."""

    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": "x", "sub": "x", "aud": "x", "exp": int(time.time()) + 600, "jti": secrets.token_hex(8)}
    signature = base64.urlsafe_b64encode(secrets.token_bytes(64)).rstrip(b"=").decode()
    return f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': key})}.{part(claims)}.{signature}"


def call_with(token: str) -> Request:
    return "POST", "/mcp", json.dumps(ECHO).encode(), MCP_HEADERS | {"authorization": f"Bearer {token}"}


def hostile(kid: str) -> list[Callable[[], Request]]:
    """Ways to ask; `kid` is that of the key that signs."""

    def register() -> Request:
        asked = {"redirect_uris": [f"https://{secrets.token_hex(4)}.example/cb"], "client_name": "x" * 200}
        return "POST", "/register", json.dumps(asked).encode(), JSON

    def token(**form: str) -> Request:
        return "POST", "/token", urllib.parse.urlencode(form).encode(), FORM

    def authorize() -> Request:
        asked = {"response_type": "code", "client_id": secrets.token_urlsafe(16), "redirect_uri": "https://x.example/"}
        return "GET", f"/authorize?{urllib.parse.urlencode(asked)}", b"", {}

    return [
        lambda: call_with(secrets.token_urlsafe(300)),
        lambda: call_with(made_up_token(secrets.token_urlsafe(32))),
        # What costs most: its key is known, so its signature is looked at.
        lambda: call_with(made_up_token(kid)),
        lambda: call_with(made_up_token(kid)),
        register,
        lambda: ("POST", "/register", b"x" * (1 << 20), JSON),
        lambda: ("POST", "/mcp", b"x" * (1 << 20), MCP_HEADERS),
        lambda: token(grant_type="refresh_token", client_id="x", refresh_token=secrets.token_urlsafe(48)),
        lambda: token(grant_type="authorization_code", client_id="x", code=secrets.token_urlsafe(32), code_verifier="x" * 43),
        authorize,
    ]


def attack(port: int, kid: str, number: int, per_second: float, until: float, results: multiprocessing.Queue) -> None:
    """Asks so often, from an address of its own; tells what the answers were."""
    ways = hostile(kid)
    address = f"127.0.1.{number + 1}"
    connection = None
    seen: dict[str, int] = {}
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) < until:
        if (wait := began + sent / per_second - now) > 0:
            time.sleep(wait)
        method, path, body, headers = ways[sent % len(ways)]()
        sent += 1
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(address, 0))
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            outcome = str(answer.status)
        except OSError:
            # Large bodies are refused before they are whole.
            outcome = "cut off"
        except http.client.HTTPException:
            outcome = "cut off"
        if outcome in ("cut off", "413"):
            connection.close()
            connection = None
        seen[outcome] = seen.get(outcome, 0) + 1
    results.put(seen)


@contextlib.contextmanager
def slow_bodies(port: int) -> Iterator[None]:
    """Connections that promise a body and do not send it."""
    head = b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\ng"
    held = []
    for number in range(SLOW_BODIES):
        connection = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.2.{number % 200 + 1}", 0))
        connection.sendall(head)
        held.append(connection)
    yield
    for connection in held:
        connection.close()


@contextlib.contextmanager
def attacked(port: int, kid: str, per_second: float, seconds: float) -> Iterator[dict[str, int]]:
    """Hostile traffic for so long; the answers are there at the end."""
    processes, results = [], multiprocessing.Queue()
    until = time.perf_counter() + seconds
    answers: dict[str, int] = {}
    with slow_bodies(port):
        for number in range(2):
            given = (port, kid, number, per_second / 2, until, results)
            processes.append(multiprocessing.Process(target=attack, args=given))
        for process in processes:
            process.start()
        yield answers
        for process in processes:
            for outcome, count in results.get(timeout=30).items():
                answers[outcome] = answers.get(outcome, 0) + count
        for process in processes:
            process.join()


# ---- What is not ----


class Worker:
    """A client that signed in, and calls a tool in a session."""

    def __init__(self, base_url: str, per_second: int):
        self.per_second = per_second
        self.client = Client(f"{base_url}/mcp")
        self.client.sign_in(USERNAME, PASSWORD)
        opened = self.client.initialize()
        assert opened.status == 200, opened
        self.session = opened.headers["mcp-session-id"]
        self.client.mcp("notifications/initialized", {}, self.session)
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(base_url).netloc, timeout=30)

    def work(self, seconds: float) -> list[float]:
        """Calls at an even pace; how long each took, in ms. Now and then there is a new token."""
        took = []
        began = time.perf_counter()
        for number in range(int(seconds * self.per_second)):
            if (wait := began + number / self.per_second - time.perf_counter()) > 0:
                time.sleep(wait)
            if number % (5 * self.per_second) == self.per_second:
                reply = self.client.refresh()
                assert reply.status == 200, reply
            headers = MCP_HEADERS | {
                "authorization": f"Bearer {self.client.tokens['access_token']}",
                "mcp-session-id": self.session,
                "mcp-protocol-version": PROTOCOL,
            }
            sent = time.perf_counter()
            self.connection.request("POST", "/mcp", json.dumps(ECHO), headers)
            answer = self.connection.getresponse()
            body = answer.read()
            took.append((time.perf_counter() - sent) * 1000)
            assert answer.status == 200 and b"hello" in body, (answer.status, body)
        return took


def percentiles(took: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(took, n=20)
    return cuts[9], cuts[18]


def compare(server: Server, rounds: int, seconds: float, per_second: int) -> None:
    port = urllib.parse.urlsplit(server.base_url).port
    worker = Worker(server.base_url, per_second)
    kid = json.loads(base64.urlsafe_b64decode(worker.client.tokens["access_token"].split(".")[0] + "=="))["kid"]
    worker.work(2)
    before = server.resident_mb()
    ratios = []
    total: dict[str, int] = {}
    for _ in range(rounds):
        alone = percentiles(worker.work(seconds))
        with attacked(port, kid, HOSTILE_FOR_A_GOOD_ONE * per_second, seconds + 1) as answers:
            time.sleep(0.5)
            among = percentiles(worker.work(seconds))
        for outcome, count in answers.items():
            total[outcome] = total.get(outcome, 0) + count
        ratios.append((among[0] / alone[0], among[1] / alone[1]))
        print(
            f"alone: median {alone[0]:.2f} ms, 95 % within {alone[1]:.2f} ms; "
            f"among hostile traffic: {among[0]:.2f} ms, {among[1]:.2f} ms",
            flush=True,
        )
    for what, at in (("median", 0), ("95th percentile", 1)):
        print(f"ratio of the {what}: {statistics.median(ratio[at] for ratio in ratios):.2f}")
    hostile_requests = sum(total.values())
    print(f"hostile: {hostile_requests} requests, {hostile_requests / rounds / (seconds + 1):.0f} a second: {dict(sorted(total.items()))}")
    print(f"resident before {before:.1f} MB, after {server.resident_mb():.1f} MB, highest {server.resident_mb('VmHWM'):.1f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--per-second", type=int, default=20, help="what the good client asks for")
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        ca_file = pathlib.Path(folder) / "ca.pem"
        os.environ["SSL_CERT_FILE"] = str(ca_file)
        ready = running.enter_context(Program(LOAD / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", ca_file))
        entra = Entra(ready["authority_host"], ca_file)
        upstream = running.enter_context(serving(newest("load_server-*"), pathlib.Path(folder) / "upstream", entra))
        settings = {
            "UPSTREAM": f"{upstream.base_url}/bare/mcp",
            "RESOURCE_PATH": "/mcp",
            # Nobody's host is asked from here.
            "CLIENT_DOCUMENT_HOSTS": "none",
        }
        gateway = serving(LOAD / "entrada", pathlib.Path(folder) / "data", entra, None, "serve", **settings)
        server = running.enter_context(gateway)
        compare(server, args.rounds, args.seconds, args.per_second)
    return 0


if __name__ == "__main__":
    sys.exit(main())
