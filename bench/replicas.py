"""What a login and a refresh cost, by store and by number of replicas: see `replicas.sh`, which builds what this runs."""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from load import LOAD, ROOT, TICKS, Entra, Server, serving

sys.path.insert(0, str(ROOT / "interop"))

from tenant import PASSWORD, USERNAME  # noqa: E402
from oauth import Client  # noqa: E402
from programs import ARTEFACTS, Program, free_port, wait_for  # noqa: E402

# So many clients refresh at once when throughput is measured.
CLIENTS = 8
# How long any measurement may take.
PATIENCE = 120
FORM = {"content-type": "application/x-www-form-urlencoded"}
# What each keeps through a crash is what it acknowledged.
REDIS = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]


# ---- The CPU of processes ----


def stat(pid: int) -> list[str]:
    """The fields behind the name, which may hold spaces."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid: int) -> Iterator[int]:
    """A process and its children."""
    yield pid
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(stat(int(entry.name))[1]) == pid:
                yield int(entry.name)


def cpu_ms(pids: Iterable[int]) -> float:
    """User and system time of these processes, their children, and those children that have ended."""
    ticks = 0
    for first in pids:
        ticks += sum(map(int, stat(first)[13:15]))
        for pid in family(first):
            with contextlib.suppress(OSError):
                ticks += sum(map(int, stat(pid)[11:13]))
    return ticks * 1000 / TICKS


# ---- Stores ----


@dataclass
class Store:
    """Where the records are: its URL, and the process that has them, if it is one of its own."""

    url: str
    pids: list[int]


@contextlib.contextmanager
def ending(command: list[object], log: pathlib.Path, port: int, how: signal.Signals) -> Iterator[int]:
    with open(log, "ab") as output:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent)
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        process.send_signal(how)
        process.wait(timeout=30)


@contextlib.contextmanager
def redis(folder: pathlib.Path) -> Iterator[Store]:
    port = free_port()
    command = ["redis-server", "--port", port, "--dir", folder, *REDIS]
    with ending(command, folder / "redis.log", port, signal.SIGTERM) as pid:
        yield Store(f"redis://127.0.0.1:{port}", [pid])


def postgres_program(name: str) -> list[object]:
    """The newest there is, as a user it agrees to be run by: not as root."""
    installed = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    path = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    assert path, f"{name} is missing"
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.getuid() == 0 else []
    return [*user, path]


@contextlib.contextmanager
def postgres(folder: pathlib.Path) -> Iterator[Store]:
    port = free_port()
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    made = [*postgres_program("initdb"), "--auth=trust", "--username=entrada", "--no-locale", "-E", "UTF8", folder / "data"]
    subprocess.run([str(word) for word in made], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [*postgres_program("postgres"), "-D", folder / "data", *options]
    with ending(command, folder / "postgres.log", port, signal.SIGINT) as pid:
        yield Store(f"postgres://entrada@127.0.0.1:{port}/postgres", [pid])


@contextlib.contextmanager
def store_of(kind: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == "file":
            yield Store(f"file:{folder}/grants.redb", [])
        else:
            with {"redis": redis, "postgres": postgres}[kind](folder) as store:
                yield store


@contextlib.contextmanager
def replicas(number: int, store: Store, entra: Entra) -> Iterator[list[Server]]:
    """Gateways on one store, which all are at the address of the first for their clients."""
    with contextlib.ExitStack() as running:
        folder = pathlib.Path(running.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        settings = {
            "BASE_URL": f"http://127.0.0.1:{port}",
            # Nobody calls it.
            "UPSTREAM": "http://127.0.0.1:9/mcp",
            "RATE_LIMITS": "none",
            "CLIENT_DOCUMENT_HOSTS": "none",
            "STORE": store.url,
        }
        if store.pids:
            key = folder / "key-encryption-key"
            drawn = subprocess.run([LOAD / "entrada", "keys", "new-encryption-key"], check=True, capture_output=True)
            key.touch(0o600)
            key.write_bytes(drawn.stdout)
            settings["KEY_ENCRYPTION_KEY_FILE"] = str(key)
        servers = []
        for at in range(number):
            data, listen = folder / f"data-{at}", port if at == 0 else free_port()
            server = serving(LOAD / "entrada", data, entra, listen, "serve", **{"LISTEN": f"127.0.0.1:{listen}", **settings})
            servers.append((running.enter_context(server), listen))
        for _, listen in servers:
            wait_until_it_can(listen)
        yield [Server(f"http://127.0.0.1:{listen}", server.process, server.ready_after) for server, listen in servers]


def wait_until_it_can(port: int) -> None:
    deadline = time.perf_counter() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        assert time.perf_counter() < deadline, f"/readyz answers {status}"
        time.sleep(0.05)


# ---- What is measured ----


@dataclass
class Grant:
    client_id: str
    refresh_token: str


def refresh(grant: Grant, count: int, ports: list[int], host: str) -> list[float]:
    """Refreshes so often, at each replica in turn; how long each took, in ms."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for port in ports]
    took = []
    for number in range(count):
        form = {"grant_type": "refresh_token", "client_id": grant.client_id, "refresh_token": grant.refresh_token}
        connection = connections[number % len(connections)]
        began = time.perf_counter()
        connection.request("POST", "/token", urllib.parse.urlencode(form), {**FORM, "host": host})
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, (answer.status, body)
        grant.refresh_token = json.loads(body)["refresh_token"]
    for connection in connections:
        connection.close()
    return took


def refresh_when_told(go, done: multiprocessing.Queue, grant: Grant, *given: object) -> None:
    go.wait(PATIENCE)
    done.put(refresh(grant, *given))


@dataclass
class Costs:
    """What was seen, each time."""

    login_ms: list[float] = field(default_factory=list)
    refresh_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    # CPU in ms by whose it is.
    of_login: dict[str, list[float]] = field(default_factory=dict)
    of_refresh: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Stage:
    """The processes whose CPU is told apart."""

    processes: dict[str, list[int]]

    @contextlib.contextmanager
    def counting(self, seen: dict[str, list[float]], operations: int) -> Iterator[None]:
        before = {who: cpu_ms(pids) for who, pids in self.processes.items()}
        yield
        for who, pids in self.processes.items():
            seen.setdefault(who, []).append((cpu_ms(pids) - before[who]) / operations)


def measure(costs: Costs, stage: Stage, servers: list[Server], logins: int, refreshes: int) -> None:
    mcp_url = f"{servers[0].base_url}/mcp"
    host = urllib.parse.urlsplit(mcp_url).netloc
    ports = [urllib.parse.urlsplit(server.base_url).port for server in servers]
    grants = []
    for number in range(CLIENTS):
        client = Client(mcp_url, name=f"Client {number}")
        client.sign_in(USERNAME, PASSWORD)
        grants.append(Grant(client.client_id, client.tokens["refresh_token"]))
    with stage.counting(costs.of_login, logins):
        for _ in range(logins):
            began = time.perf_counter()
            client.sign_in(USERNAME, PASSWORD)
            costs.login_ms.append((time.perf_counter() - began) * 1000)
    costs.refresh_ms += refresh(grants[0], refreshes // 8, ports, host)
    each = refreshes // CLIENTS
    go, done = multiprocessing.Event(), multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=refresh_when_told, args=(go, done, grant, each, ports, host)) for grant in grants
    ]
    for worker in workers:
        worker.start()
    # They are all there, and wait.
    time.sleep(0.5)
    with stage.counting(costs.of_refresh, each * CLIENTS):
        began = time.perf_counter()
        go.set()
        for _ in workers:
            done.get(timeout=PATIENCE)
        costs.per_second.append(each * CLIENTS / (time.perf_counter() - began))
    for worker in workers:
        worker.join(PATIENCE)


def report(kind: str, number: int, costs: Costs) -> None:
    def middle_and_most(took: list[float]) -> str:
        cuts = statistics.quantiles(took, n=20)
        return f"{cuts[9]:.1f}, {cuts[18]:.1f}"

    def cpu(seen: dict[str, list[float]]) -> str:
        return " | ".join(f"{statistics.median(seen[who]):.2f}" if who in seen else "" for who in ("gateway", "store", "entra"))

    print(
        f"| {kind} | {number} | {middle_and_most(costs.refresh_ms)} | {statistics.median(costs.per_second):.0f} "
        f"| {cpu(costs.of_refresh)} | {middle_and_most(costs.login_ms)} | {cpu(costs.of_login)} |",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="file,redis,postgres")
    parser.add_argument("--replicas", default="1,2,3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--refreshes", type=int, default=2400)
    parser.add_argument("--logins", type=int, default=50)
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    numbers = [int(number) for number in args.replicas.split(",")]
    cases = [(kind, number) for kind in args.stores.split(",") for number in (numbers if kind != "file" else [1])]
    seen = {case: Costs() for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        ca_file = pathlib.Path(folder) / "ca.pem"
        os.environ["SSL_CERT_FILE"] = str(ca_file)
        with contextlib.ExitStack() as running:
            program = Program(LOAD / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", ca_file)
            ready = running.enter_context(program)
            entra = Entra(ready["authority_host"], ca_file)
            # In turns, so that whatever else the machine does falls on all of them.
            for _ in range(args.rounds):
                for (kind, number), costs in seen.items():
                    with store_of(kind) as store, replicas(number, store, entra) as servers:
                        processes = {
                            "gateway": [server.process.pid for server in servers],
                            "store": store.pids,
                            "entra": [program.process.pid],
                        }
                        stage = Stage({who: pids for who, pids in processes.items() if pids})
                        measure(costs, stage, servers, args.logins, args.refreshes)
    print("refresh and login: median and 95th percentile in ms, one after the other; refreshes a second:")
    print(f"{CLIENTS} clients at once; CPU: ms each, of the gateways, the store and the pretend Entra\n")
    print("| store | replicas | refresh | a second | gateway | store | entra | login | gateway | store | entra |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (kind, number), costs in seen.items():
        report(kind, number, costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
