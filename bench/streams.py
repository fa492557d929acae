"""Streams of events through `entrada serve`: see `streams.sh`, which builds what this runs."""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

from load import ROOT, Entra, Server, serving

from compare import RELEASE, tokens_of_ours
from programs import ARTEFACTS, Program, free_port, stop, wait_for

# How soon the MCP server must know that a client has left, and events must have come.
SOON = 2.0
OPENING_AT_ONCE = 50
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


@dataclass
class Stream:
    """One client, with a token and a session of its own."""

    name: str
    token: str
    session: str = ""
    events: list[int] = field(default_factory=list)
    first_after: float | None = None
    left_at: float | None = None
    # Whether the other side ended it.
    broke: bool = False
    writer: asyncio.StreamWriter | None = None
    reading: asyncio.Task | None = None

    async def ask(self, port: int, method: str, body: bytes = b"", **more: str) -> tuple[asyncio.StreamReader, dict[str, str]]:
        """The answer's headers, and what brings the rest of it."""
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        fields = {
            "host": f"127.0.0.1:{port}",
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "mcp-param-name": self.name,
            **({"mcp-session-id": self.session} if self.session else {}),
            **more,
        }
        lines = [f"{method} /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert status.split(" ")[1] == "200", (status, lines)
        answered = (line.split(":", 1) for line in lines if line)
        return reader, {name.lower(): value.strip() for name, value in answered}

    async def begin_session(self, port: int) -> None:
        _, fields = await self.ask(port, "POST", json.dumps(INITIALIZE).encode())
        self.session = fields["mcp-session-id"]
        self.leave()

    async def open(self, port: int, method: str = "GET", body: bytes = b"", **more: str) -> None:
        began = time.perf_counter()
        reader, fields = await self.ask(port, method, body, **more)
        assert fields["content-type"] == "text/event-stream", fields
        self.reading = asyncio.ensure_future(self.read(reader, began))

    async def read(self, reader: asyncio.StreamReader, began: float) -> None:
        try:
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self.events.append(int(line[4:]))
                    self.first_after = self.first_after or time.perf_counter() - began
        except ConnectionError:
            pass
        self.broke = self.left_at is None

    def leave(self) -> None:
        self.left_at = time.time() if self.reading else None
        self.writer.transport.abort()


async def all_of(streams: list[Stream], do) -> None:
    turn = asyncio.Semaphore(OPENING_AT_ONCE)

    async def one(stream: Stream) -> None:
        async with turn:
            await do(stream)

    await asyncio.gather(*map(one, streams))


def seen(upstream: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{upstream}/seen", timeout=30) as answer:
        return json.load(answer)


def spread(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=20)
    return f"median {cuts[9] * 1000:.1f} ms, 95 % within {cuts[18] * 1000:.1f} ms, longest {max(values) * 1000:.1f} ms"


def say(text: str) -> None:
    print(text, flush=True)


async def hold(server: Server, upstream: int, tokens: list[str], seconds: float) -> None:
    port = int(server.base_url.rpartition(":")[2])
    streams = [Stream(str(number), token) for number, token in enumerate(tokens)]
    await all_of(streams, lambda stream: stream.begin_session(port))
    before = server.resident_mb()
    began = time.perf_counter()
    await all_of(streams, lambda stream: stream.open(port))
    opened, cpu = time.perf_counter() - began, server.cpu_seconds()
    say(f"resident before {before:.1f} MB; {len(streams)} streams opened in {opened:.1f} s: {server.resident_mb():.1f} MB")
    await asyncio.sleep(seconds)
    spent = server.cpu_seconds() - cpu
    events = sum(len(stream.events) for stream in streams)
    say(f"resident with them after {seconds:.0f} s {server.resident_mb():.1f} MB, highest {server.resident_mb('VmHWM'):.1f} MB")
    say(f"CPU meanwhile {spent:.2f} s, {spent / seconds * 100:.1f} % of a core; {events} events, {spent / events * 1e6:.0f} µs each")
    say(f"first event after: {spread([stream.first_after for stream in streams])}")

    leaving, staying = streams[::2], streams[1::2]
    for stream in leaving:
        stream.leave()
    await asyncio.sleep(SOON)
    noticed = seen(upstream)["ended"]
    missing = [stream.name for stream in leaving if stream.name not in noticed]
    assert not missing, f"{len(missing)} clients have left, and the server does not know it after {SOON} s"
    assert len(noticed) == len(leaving), "streams of others ended, too"
    say(f"half have left, which the server notices after: {spread([noticed[s.name] - s.left_at for s in leaving])}")
    say(f"resident with the other half {server.resident_mb():.1f} MB")
    await asyncio.sleep(10)
    sent = seen(upstream)["sent"]
    await asyncio.sleep(SOON)
    check(staying, sent)
    # What was sent to those who left may not have come to them any more.
    check(leaving, {stream.name: len(stream.events) for stream in leaving})
    say(f"every one of {sum(sent[s.name] for s in staying)} events of the others arrived, once and in order")
    for stream in staying:
        stream.leave()
    for after in (2, 28):
        await asyncio.sleep(after)
        say(f"all have left; resident {after} s later {server.resident_mb():.1f} MB")
    assert len(seen(upstream)["ended"]) == len(streams)


def check(streams: list[Stream], sent: dict[str, int]) -> None:
    for stream in streams:
        assert not stream.broke, f"stream {stream.name} ended by itself"
        assert len(stream.events) >= sent[stream.name], (stream.name, len(stream.events), sent[stream.name])
        assert stream.events == list(range(len(stream.events))), (stream.name, stream.events)


async def idle(server: Server, upstream: int, token: str, seconds: float) -> None:
    """Streams in a session, without one, and in answer to a call: nothing comes for so long, and then something."""
    port = int(server.base_url.rpartition(":")[2])
    silent = {"mcp-param-silent": str(seconds)}
    streams = [Stream(name, token) for name in ("in a session", "without a session", "in answer to a call")]
    in_session, without, answering = streams
    for stream in (in_session, answering):
        await stream.begin_session(port)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "slow", "arguments": {}}}
    await in_session.open(port, **silent)
    # The head of the answer may wait for the first event here.
    begun = asyncio.ensure_future(without.open(port, **silent))
    await answering.open(port, "POST", json.dumps(call).encode(), **silent)
    cpu = server.cpu_seconds()
    await asyncio.sleep(seconds - 1)
    assert not any(stream.events for stream in streams)
    spent = server.cpu_seconds() - cpu
    await asyncio.sleep(1 + SOON)
    await begun
    for stream in streams:
        assert stream.events and not stream.broke, f"the stream {stream.name} did not stay open"
    say(f"nothing came for {seconds:.0f} s on streams {', '.join(s.name for s in streams)}, and then an event on each")
    say(f"CPU meanwhile {spent:.2f} s; resident {server.resident_mb():.1f} MB")
    for stream in streams:
        stream.leave()


@contextlib.contextmanager
def gateway(folder: pathlib.Path, upstream: int) -> Iterator[Server]:
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    server = subprocess.Popen([sys.executable, ROOT / "bench" / "stream_server.py", str(upstream)])
    try:
        wait_for(upstream, server)
        with Program(RELEASE / "entra-emulator", "--http", "127.0.0.1:0", "--ca-file", folder / "ca.pem") as ready:
            entra = Entra(ready["authority_host"], folder / "ca.pem")
            settings = {"UPSTREAM": f"http://127.0.0.1:{upstream}/mcp", "CLIENT_DOCUMENT_HOSTS": "none"}
            with serving(RELEASE / "entrada", folder / "data", entra, None, "serve", **settings) as running:
                yield running
    finally:
        server.send_signal(signal.SIGINT)
        stop(server)


def allow_files(streams: int) -> None:
    needed, (_, most) = 2 * streams + 200, resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > most:
        sys.exit(f"{needed} open files are needed, and {most} allowed: see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--idle", type=float, help="hold streams on which nothing comes for so many seconds, instead")
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    allow_files(args.streams)
    upstream = free_port()
    with tempfile.TemporaryDirectory() as folder, gateway(pathlib.Path(folder), upstream) as server:
        if args.idle:
            limit = args.idle + 60
            [token] = tokens_of_ours(server.base_url, 1)
            work = idle(server, upstream, token, args.idle)
        else:
            limit = args.seconds + 300
            work = hold(server, upstream, tokens_of_ours(server.base_url, args.streams), args.seconds)
        asyncio.run(asyncio.wait_for(work, limit))
    return 0


if __name__ == "__main__":
    sys.exit(main())
