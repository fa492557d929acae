"""`entrada serve` beside other proxies that verify the same tokens: see `compare.sh`, which builds what this runs."""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from load import ECHO, MCP_HEADERS, REPORT, ROOT, Entra, serving

from contenders import Contender, Kind, axum_proxy, envoy, haproxy, pem, running
from oauth import Client
from programs import ARTEFACTS, Program, free_port, stop, wait_for
from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE, AXUM = TARGET / "release", TARGET / "axum-proxy" / "release"
Contending = contextlib.AbstractContextManager[Contender]
CONNECTIONS = 8
ISSUERS_AT_ONCE = 4
REFRESHES_OF_ONE_ADDRESS = 100
DAEMON = "30000000-0000-4000-8000-000000000004"
ROLE = "Mcp.Run"

# Asks with each token of a file in turn, from where the last turn ended.
TOKENS = """
local requests, at = {}, %(begin)d
function init()
  for token in io.lines(%(file)s) do
    wrk.headers["authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("POST", "/mcp")
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


# ---- Tokens ----


def tokens_of_ours(base_url: str, count: int) -> list[str]:
    """Access tokens of as many as sign in, who then refresh, from ever new addresses: one may not do so much."""
    addresses = itertools.count(1)

    def refreshed(client: Client, count: int) -> Iterator[str]:
        number = next(addresses)
        address = f"127.0.{1 + number // 250}.{1 + number % 250}"
        host = urllib.parse.urlsplit(base_url).netloc
        connection = http.client.HTTPConnection(host, timeout=30, source_address=(address, 0))
        for _ in range(count):
            form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": client.tokens["refresh_token"]}
            connection.request("POST", "/token", urllib.parse.urlencode(form), {"content-type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            client.tokens = json.loads(answer.read())
            assert answer.status == 200, client.tokens
            yield client.tokens["access_token"]
        connection.close()

    def tokens(share: int) -> list[str]:
        client = Client(f"{base_url}/mcp")
        client.sign_in(USERNAME, PASSWORD)
        made = [client.tokens["access_token"]]
        while len(made) < share:
            made.extend(refreshed(client, min(REFRESHES_OF_ONE_ADDRESS, share - len(made))))
        return made

    share = -(-count // ISSUERS_AT_ONCE)
    with concurrent.futures.ThreadPoolExecutor(ISSUERS_AT_ONCE) as pool:
        made = [token for tokens in pool.map(tokens, [share] * ISSUERS_AT_ONCE) for token in tokens]
    return made[:count]


class Mint:
    """Makes tokens at the pretend Entra."""

    def __init__(self, ready: dict):
        self.host, self.local = ready["http_url"].removeprefix("http://"), threading.local()
        self.issuer = f"https://{ready['authority_host']}/{TENANT}/v2.0"
        # Which the issuer begins with, wherever tokens are asked for.
        self.base_url = ready["https_url"]

    def token(self, **more: object) -> str:
        order = {"kind": "app_only", "client_id": DAEMON, "resource": CLIENT_ID, "base_url": self.base_url, **more}
        return self.ask("/control/mint-token", json.dumps(order))["token"]

    def ask(self, path: str, body: str | None = None) -> dict:
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.host, timeout=60)
        self.local.connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"})
        answer = self.local.connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (answer.status, text)
        return json.loads(text)

    def tokens(self, count: int) -> list[str]:
        with concurrent.futures.ThreadPoolExecutor(ISSUERS_AT_ONCE) as pool:
            return list(pool.map(lambda _: self.token(), range(count)))


def part(token: str, number: int) -> dict:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[number] + "=="))


def verified_by(name: str, token: str, keys: dict, folder: pathlib.Path) -> Kind:
    """What verifies tokens like `token`, by the `keys` their issuer publishes."""
    header, claims = part(token, 0), part(token, 1)
    key = next(key for key in keys["keys"] if key["kid"] == header["kid"])
    jwks, public = folder / f"{name}.json", folder / f"{name}.pem"
    # Only what signs, so that nobody has to look for it longer than others; and the algorithm, which Entra does not tell.
    jwks.write_text(json.dumps({"keys": [key | {"alg": header["alg"]}]}))
    public.write_text(pem(key))
    scope = claims["scope"] if "scope" in claims else ROLE
    return Kind(name, claims["iss"], claims["aud"], header["alg"], scope, jwks, public)


# ---- The same work ----


def ask(port: int, token: str | None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = MCP_HEADERS | ({"authorization": f"Bearer {token}"} if token else {})
    connection.request("POST", "/mcp", json.dumps(ECHO), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def does_the_work(contender: Contender, kind: Kind, good: str, bad: dict[str, str | None], expected: bytes) -> None:
    """It lets a good token through, without passing it on, and no other."""
    status, headers, body = ask(contender.ports[kind.name], good)
    assert (status, body) == (200, expected), (contender.name, kind.name, status, body)
    assert "x-token-seen" not in headers, f"{contender.name} passes tokens on"
    for what, token in bad.items():
        status, _, body = ask(contender.ports[kind.name], token)
        # Envoy calls another audience forbidden.
        refused = (401, 403) if what == "another audience" else (401,)
        assert status in refused, (contender.name, kind.name, what, status, body)


def broken(token: str) -> str:
    """Signed by nobody: in the middle, for the last letter has bits that say nothing."""
    at = token.rindex(".") + 20
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def wrong(mint: Mint) -> dict[str, str]:
    """What only Entra's keys can be had to sign."""
    return {
        "expired": mint.token(claims={"set": {"exp": 1_700_000_000}}),
        "another audience": mint.token(claims={"set": {"aud": "another"}}),
        "another issuer": mint.token(claims={"set": {"iss": "https://login.example/"}}),
    }


# ---- Turns ----


@dataclass
class Turns:
    """What the turns of one contender with one load showed; the first is to warm up."""

    cpu: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    resident_mb: float = 0

    def cpu_us(self) -> float:
        """Over all, for a turn without much of a processor says little."""
        return sum(self.cpu[1:]) / sum(self.requests[1:]) * 1e6

    def range_us(self) -> tuple[float, float]:
        """In which half of the turns lie."""
        turns = [cpu / requests * 1e6 for cpu, requests in zip(self.cpu[1:], self.requests[1:])]
        low, _, high = statistics.quantiles(turns, n=4) if len(turns) > 1 else turns * 3
        return low, high


def drive(contender: Contender, port: int, tokens: pathlib.Path, seconds: int, seen: Turns) -> None:
    headers = "".join(f"wrk.headers[{json.dumps(n)}] = {json.dumps(v)}\n" for n, v in MCP_HEADERS.items())
    begin = {"begin": sum(seen.requests), "file": json.dumps(str(tokens))}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.body = {json.dumps(json.dumps(ECHO))}\n{headers}{TOKENS % begin}{REPORT}")
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, f"http://127.0.0.1:{port}"]
        before = contender.cpu_seconds()
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
        spent = contender.cpu_seconds() - before
    line = next(line for line in output.splitlines() if line.startswith("requests "))
    requests, duration_us, errors = map(int, line.split()[1:])
    assert requests and not errors, (contender.name, output)
    seen.cpu.append(spent)
    seen.requests.append(requests)
    seen.seconds.append(duration_us / 1e6)


def compare(contenders: list[Contender], kind: Kind, loads: dict[str, pathlib.Path], rounds: int, seconds: int) -> None:
    for load, tokens in loads.items():
        seen = {contender.name: Turns() for contender in contenders}
        for number in range(rounds + 1):
            # Who goes first changes, so that nobody has the better of it.
            turn = number % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                drive(contender, contender.ports[kind.name], tokens, seconds, seen[contender.name])
        for contender in contenders:
            seen[contender.name].resident_mb = contender.resident_mb()
        report(f"{kind.name} {load}", seen)


def report(what: str, seen: dict[str, Turns]) -> None:
    ours = next(iter(seen.values())).cpu_us()
    for name, turns in seen.items():
        low, high = turns.range_us()
        print(
            f"{what:10} {name:13} {turns.cpu_us():6.1f} µs CPU a request (half of the turns {low:.1f} to {high:.1f}), "
            f"{turns.cpu_us() / ours:5.2f} of ours, {sum(turns.requests) / sum(turns.seconds):6.0f} requests/s, "
            f"resident {turns.resident_mb:.1f} MB",
            flush=True,
        )


# ---- Everything ----


def settings(entra: Entra, backend: int) -> dict[str, str]:
    return {
        "TENANT_ID": TENANT,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "REQUIRED_SCOPES": "mcp.read",
        "REQUIRED_APP_ROLES": ROLE,
        "AUTHORITY_HOST": entra.host,
        "CA_FILE": str(entra.ca_file),
        "UPSTREAM": f"http://127.0.0.1:{backend}/mcp",
        # Nobody's host is asked from here.
        "CLIENT_DOCUMENT_HOSTS": "none",
    }


def entrada(name: str, program: pathlib.Path, data: pathlib.Path, given: dict[str, str], kinds: list[Kind]):
    """One that serves with a copy of `data`: one process at a time can open it."""
    port, copy = free_port(), data.with_name(name.replace(" ", "-"))
    shutil.copytree(data, copy, dirs_exist_ok=True)
    given = given | {"LISTEN": f"127.0.0.1:{port}", "DATA_DIR": str(copy)}
    env = {f"ENTRADA_{key}": value for key, value in given.items()}
    return running(name, [program, "serve"], {kind.name: port for kind in kinds}, **env)


def written(folder: pathlib.Path, name: str, tokens: list[str]) -> pathlib.Path:
    path = folder / name
    path.write_text("\n".join(tokens) + "\n")
    return path


@dataclass
class Stage:
    """What all contenders share: tokens, who verifies them how, and the MCP server."""

    entra: Entra
    mint: Mint
    backend: int
    tokens: dict[str, list[str]]
    kinds: list[Kind]
    given: dict[str, str]


@contextlib.contextmanager
def stage(folder: pathlib.Path, most: int) -> Iterator[Stage]:
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    backend, port = free_port(), free_port()
    served = subprocess.Popen([AXUM / "backend", f"127.0.0.1:{backend}"])
    try:
        wait_for(backend, served)
        with Program(RELEASE / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", folder / "ca.pem") as ready:
            entra, mint = Entra(ready["authority_host"], folder / "ca.pem"), Mint(ready)
            base_url = f"http://127.0.0.1:{port}"
            given = settings(entra, backend)
            with serving(RELEASE / "entrada", folder / "data", entra, port, "serve", **given):
                tokens = {"ours": tokens_of_ours(base_url, most), "entra": mint.tokens(most)}
                with urllib.request.urlopen(f"{base_url}/.well-known/jwks.json", timeout=10) as keys:
                    keys = {"ours": json.load(keys), "entra": mint.ask(f"/{TENANT}/discovery/v2.0/keys")}
            kinds = [verified_by(name, made[0], keys[name], folder) for name, made in tokens.items()]
            yield Stage(entra, mint, backend, tokens, kinds, given | {"BASE_URL": base_url})
    finally:
        stop(served)


def all_contenders(on: Stage, folder: pathlib.Path, before: pathlib.Path | None) -> dict[str, Callable[[], Contending]]:
    def ours(name: str, program: pathlib.Path = RELEASE / "entrada", **more: str) -> Contending:
        return entrada(name, program, folder / "data", on.given | more, on.kinds)

    known = {
        "entrada": lambda: ours("entrada"),
        "entrada quiet": lambda: ours("entrada quiet", LOG_LEVEL="warn"),
        "haproxy": lambda: haproxy(folder, on.backend, on.kinds),
        "haproxy quiet": lambda: haproxy(folder, on.backend, on.kinds, quiet=True),
        "envoy": lambda: envoy(folder, on.backend, on.kinds),
        "envoy quiet": lambda: envoy(folder, on.backend, on.kinds, quiet=True),
        "axum": lambda: axum_proxy(AXUM / "axum-proxy", on.backend, on.kinds),
    }
    return known | ({"before": lambda: ours("before", before)} if before else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--pool", type=int, default=2000, help="tokens that are seen again, which all who remember do")
    parser.add_argument("--new", type=int, default=20_000, help="tokens, which are more than anybody remembers")
    parser.add_argument("--only", help="these contenders, apart by commas")
    parser.add_argument("--before", type=pathlib.Path, help="another build of ours, to be compared, too")
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    counts = {"one": 1, "pool": args.pool, "new": args.new}
    with tempfile.TemporaryDirectory() as name, stage(pathlib.Path(name), max(counts.values())) as on:
        folder = pathlib.Path(name)
        starts = all_contenders(on, folder, args.before)
        wanted = args.only.split(",") if args.only else list(starts)
        _, _, expected = ask(on.backend, None)
        for kind in on.kinds:
            made = on.tokens[kind.name]
            loads = {load: written(folder, f"{kind.name}-{load}", made[:count]) for load, count in counts.items() if count}
            bad = {"no token": None, "broken": broken(made[0]), **(wrong(on.mint) if kind.name == "entra" else {})}
            # Anew for each kind, so that memory tells of one alone.
            with contextlib.ExitStack() as contending:
                contenders = [contending.enter_context(starts[name]()) for name in wanted]
                for contender in contenders:
                    does_the_work(contender, kind, made[0], bad, expected)
                compare(contenders, kind, loads, args.rounds, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
