"""Starts the programs under test, waits for their ready line, and sees that they leave."""

import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEBUG = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
TOOLS = ROOT / "target" / "interop"
ARTEFACTS = ROOT / "artefacts"
# The conformance suite wants a newer Node than Debian has, so the lock file brings one.
NODE = next((TOOLS / "node" / "node_modules").glob("node-linux-*/bin/node"), "node")


class Program:
    """A server that prints one line of JSON when it is ready, and ends well on SIGTERM.

    `with Program(command) as ready:` gives that line, parsed.
    """

    def __init__(self, *command: object, env: dict[str, str] | None = None, ready_within: float = 30):
        self.command = [str(word) for word in command]
        self.env = {**os.environ, **(env or {})}
        self.ready_within = ready_within

    def __enter__(self) -> dict:
        name = pathlib.Path(self.command[0]).name
        ARTEFACTS.mkdir(exist_ok=True)
        log = open(ARTEFACTS / f"{name}.log", "ab")
        with log:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        try:
            return json.loads(lines.get(timeout=self.ready_within))
        except (queue.Empty, ValueError) as error:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{' '.join(self.command)}: no ready line; see {log.name}") from error

    def _read(self, lines: "queue.Queue[str]") -> None:
        for line in self.process.stdout:
            lines.put(line)
        lines.put("")

    def __exit__(self, failed, *_) -> None:
        status = stop(self.process)
        self._reader.join()
        self.process.stdout.close()
        if status and not failed:
            raise RuntimeError(f"{self.command[0]} ended with {status} on SIGTERM")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, within: float = 20) -> None:
    """Waits until `process` listens."""
    deadline = time.monotonic() + within
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, f"ended with {process.returncode}"
            assert time.monotonic() < deadline, "does not listen"
            time.sleep(0.05)


def stop(process: subprocess.Popen) -> int:
    """Asks a program to end, makes it end if it does not, and gives its exit status."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def demo(*options: object) -> Program:
    """`entrada demo`: emulator, sample server and gateway in one process."""
    return Program(DEBUG / "entrada", "demo", "--listen", "127.0.0.1:0", "--json", *options)


def emulator(*options: object) -> Program:
    return Program(DEBUG / "entra-emulator", "--http", "127.0.0.1:0", *options)
