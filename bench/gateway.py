"""Counts the instructions of a request through `entrada serve`: see `gateway.sh`, which builds what this runs."""

import argparse
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from load import ECHO, MCP_HEADERS

from compare import RELEASE, Stage, stage
from contenders import Contender, running
from programs import ARTEFACTS, free_port

# Requests before anything is counted, so that what stays is there; and again while counting begins.
FIRST, BEGIN = 50, 5


@contextlib.contextmanager
def counting(on: Stage, program: pathlib.Path, folder: pathlib.Path) -> Iterator[Contender]:
    """One that serves under callgrind, which counts nothing yet."""
    port, copy = free_port(), folder / "counted"
    shutil.copytree(folder / "data", copy)
    given = on.given | {"LISTEN": f"127.0.0.1:{port}", "DATA_DIR": str(copy)}
    env = {f"ENTRADA_{key}": value for key, value in given.items()}
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
    with running("gateway", [*valgrind, program, "serve"], {kind.name: port for kind in on.kinds}, **env) as contender:
        yield contender
    shutil.rmtree(copy)


def tell(contender: Contender, *order: str) -> None:
    subprocess.run(["callgrind_control", *order, str(contender.process.pid)], check=True, capture_output=True)


def ask(port: int, tokens: list[str]) -> None:
    """A request with each token, one after the other, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for token in tokens:
        connection.request("POST", "/mcp", json.dumps(ECHO), MCP_HEADERS | {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()


def counted(contender: Contender, port: int, tokens: list[str], to: pathlib.Path) -> float:
    """How many instructions a request takes; `to` tells of which functions."""
    tell(contender, "-i", "on")
    ask(port, tokens[:BEGIN])
    tell(contender, "-z")
    ask(port, tokens[BEGIN:])
    tell(contender, "-d")
    tell(contender, "-i", "off")
    # Each time it is told to write, it writes another.
    (written,) = to.parent.glob("counts.*")
    written.rename(to)
    total = re.search(r"^(?:summary|totals): (\d+)", to.read_text(errors="replace"), re.M)
    assert total, to
    return int(total[1]) / (len(tokens) - BEGIN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--before", type=pathlib.Path, help="another build of ours, to be counted, too")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for what callgrind writes")
    args = parser.parse_args()
    ARTEFACTS.mkdir(exist_ok=True)
    programs = {"now": RELEASE / "entrada"} | ({"before": args.before} if args.before else {})
    with tempfile.TemporaryDirectory() as name, stage(pathlib.Path(name), FIRST + args.requests) as on:
        folder = pathlib.Path(name)
        for build, program in programs.items():
            with counting(on, program, folder) as contender:
                for kind in on.kinds:
                    tokens, port = on.tokens[kind.name], contender.ports[kind.name]
                    ask(port, tokens[:FIRST])
                    for load, asked in (("one", tokens[:1] * args.requests), ("new", tokens[FIRST:])):
                        to = folder / f"{build}-{kind.name}-{load}"
                        print(f"{build:7} {kind.name:6} {load:4} {counted(contender, port, asked, to):9.0f} instructions", flush=True)
                        if args.keep:
                            args.keep.mkdir(exist_ok=True)
                            shutil.copy(to, args.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
