"""`entrada serve` beside other proxies that verify the same tokens: see `compare.sh`, which builds what this runs."""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass, field

from load import ECHO, MCP_HEADERS, REPORT, ROOT, Entra, serving

from contenders import Contender, Kind, axum_proxy, envoy, haproxy, pem, running
from oauth import Client
from programs import ARTEFACTS, Program, free_port, stop, wait_for
from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE, AXUM = TARGET / "release", TARGET / "axum-proxy" / "release"
CONNECTIONS = 8
ISSUERS_AT_ONCE = 4
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
    """Access tokens of as many as sign in, who then refresh."""

    def tokens(share: int) -> list[str]:
        client = Client(f"{base_url}/mcp")
        client.sign_in(USERNAME, PASSWORD)
        made = [client.tokens["access_token"]]
        while len(made) < share:
            reply = client.refresh()
            assert reply.status == 200, reply
            made.append(client.tokens["access_token"])
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


def kind(name: str, token: str, keys: dict, folder: pathlib.Path) -> Kind:
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


# ---- Turns ----


@dataclass
class Turns:
    """What the turns of one contender with one load showed."""

    cpu_us: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    asked: int = 0


def drive(contender: Contender, port: int, tokens: pathlib.Path, seconds: int, seen: Turns) -> None:
    headers = "".join(f"wrk.headers[{json.dumps(n)}] = {json.dumps(v)}\n" for n, v in MCP_HEADERS.items())
    begin = {"begin": seen.asked, "file": json.dumps(str(tokens))}
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
    seen.asked += requests
    seen.cpu_us.append(spent / requests * 1e6)
    seen.per_second.append(requests / (duration_us / 1e6))


def compare(contenders: list[Contender], kinds: list[Kind], loads: dict[str, dict[str, pathlib.Path]], rounds: int, seconds: int) -> None:
    for kind in kinds:
        for load, files in loads.items():
            seen = {contender.name: Turns() for contender in contenders}
            for number in range(rounds + 1):
                # Who goes first changes, so that nobody has the better of it.
                turn = number % len(contenders)
                for contender in contenders[turn:] + contenders[:turn]:
                    drive(contender, contender.ports[kind.name], files[kind.name], seconds, seen[contender.name])
            report(f"{kind.name} {load}", seen)
    for contender in contenders:
        highest, now = contender.memory_mb("VmHWM"), contender.memory_mb("VmRSS")
        print(f"{contender.name:14} resident {now:6.1f} MB, highest {highest:6.1f} MB")


def report(what: str, seen: dict[str, Turns]) -> None:
    ours = seen[next(iter(seen))].cpu_us[1:]
    for name, turns in seen.items():
        # The first was to warm up.
        cpu_us = turns.cpu_us[1:]
        ratio = statistics.median(theirs / our for theirs, our in zip(cpu_us, ours))
        print(
            f"{what:12} {name:14} {statistics.median(cpu_us):6.1f} µs CPU a request ({min(cpu_us):.1f} to {max(cpu_us):.1f}), "
            f"{ratio:5.2f} of ours, {statistics.median(turns.per_second):7.0f} requests/s",
            flush=True,
        )


# ---- Everything ----


def settings(base_url: str, entra: Entra, backend: int) -> dict[str, str]:
    return {
        "TENANT_ID": TENANT,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "BASE_URL": base_url,
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
    shutil.copytree(data, copy)
    given = given | {"LISTEN": f"127.0.0.1:{port}", "DATA_DIR": str(copy)}
    env = {f"ENTRADA_{key}": value for key, value in given.items()}
    return running(name, [program, "serve"], {kind.name: port for kind in kinds}, **env)


def written(folder: pathlib.Path, name: str, tokens: list[str]) -> pathlib.Path:
    path = folder / name
    path.write_text("\n".join(tokens) + "\n")
    return path


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
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
        ready = stack.enter_context(Program(RELEASE / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", folder / "ca.pem"))
        entra, mint, backend = Entra(ready["authority_host"], folder / "ca.pem"), Mint(ready), free_port()
        served = subprocess.Popen([AXUM / "backend", f"127.0.0.1:{backend}"])
        stack.callback(stop, served)
        wait_for(backend, served)
        most = max(args.pool, args.new)
        port = free_port()
        given = settings(f"http://127.0.0.1:{port}", entra, backend)
        del given["BASE_URL"]
        with serving(RELEASE / "entrada", folder / "data", entra, port, "serve", **given) as server:
            tokens = {"ours": tokens_of_ours(server.base_url, most), "entra": mint.tokens(most)}
            with urllib.request.urlopen(f"{server.base_url}/.well-known/jwks.json", timeout=10) as keys:
                our_keys = json.load(keys)
        given["BASE_URL"] = f"http://127.0.0.1:{port}"
        print(f"{most} tokens of each kind", flush=True)
        their_keys = mint.ask(f"/{TENANT}/discovery/v2.0/keys")
        kinds = [kind("ours", tokens["ours"][0], our_keys, folder), kind("entra", tokens["entra"][0], their_keys, folder)]
        data = folder / "data"
        starts = {
            "entrada": lambda: entrada("entrada", RELEASE / "entrada", data, given, kinds),
            "entrada quiet": lambda: entrada("entrada quiet", RELEASE / "entrada", data, given | {"LOG_LEVEL": "warn"}, kinds),
            "haproxy": lambda: haproxy(folder, backend, kinds),
            "envoy": lambda: envoy(folder, backend, kinds),
            "axum": lambda: axum_proxy(AXUM / "axum-proxy", backend, kinds),
        }
        if args.before:
            starts["before"] = lambda: entrada("before", args.before, data, given, kinds)
        wanted = args.only.split(",") if args.only else list(starts)
        contenders = [stack.enter_context(starts[name]()) for name in wanted]
        expected = ask(backend, None)[2]
        bad = {"ours": {}, "entra": {
            "expired": mint.token(claims={"set": {"exp": 1_700_000_000}}),
            "another audience": mint.token(claims={"set": {"aud": "another"}}),
            "another issuer": mint.token(claims={"set": {"iss": "https://login.example/"}}),
        }}
        for contender in contenders:
            for one in kinds:
                good = tokens[one.name][0]
                refused = {"no token": None, "broken": broken(good), **bad[one.name]}
                does_the_work(contender, one, good, refused, expected)
        loads = {
            load: {name: written(folder, f"{name}-{load}", made[:count]) for name, made in tokens.items()}
            for load, count in (("one", 1), ("pool", args.pool), ("new", args.new))
        }
        compare(contenders, kinds, loads, args.rounds, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
