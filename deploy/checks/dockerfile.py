"""The Dockerfile without an engine: its instructions, and its commands carried out by hand."""

import fnmatch
import os
import pathlib
import re
import shutil
import subprocess

import gateway

DOCKERFILE = gateway.ROOT / "deploy/Dockerfile"
IGNORE = gateway.ROOT / ".dockerignore"


def instructions():
    """Each instruction with what follows it, by stage."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    stages = []
    for line in filter(None, map(str.strip, lines)):
        word, rest = line.split(None, 1)
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def of_kind(stage, word):
    """What follows each instruction `word` of `stage`."""
    return [rest for kind, rest in stage if kind == word]


def variables(stage):
    """What ENV sets in `stage`."""
    pairs = " ".join(of_kind(stage, "ENV"))
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', pairs)}


def is_ignored(path):
    """Whether .dockerignore keeps `path` out of the context: the last pattern counts that fits it or a folder it is in."""
    ignored = False
    parts = path.parts
    for line in IGNORE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        depth = pattern.count("/") + 1
        if pattern.startswith("**/"):
            fits = any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        else:
            wanted = pattern.split("/")
            fits = len(parts) >= depth and all(map(fnmatch.fnmatchcase, parts, wanted))
        if fits:
            ignored = not line.startswith("!")
    return ignored


def context(folder):
    """Puts what an engine would be sent into `folder`."""
    for path in walk(gateway.ROOT):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(gateway.ROOT / path, place)


def walk(root):
    """The files below `root` that are not ignored, relative to it."""
    for folder, folders, files in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        # Only what lies at the top is let in by name, so whatever else is there need not be looked through.
        folders[:] = [name for name in folders if not is_ignored(here / name)]
        yield from (here / name for name in files if not is_ignored(here / name))


def copy(source, place):
    """COPY of a file or of what is in a folder, over what is there."""
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)


def carry_out(stage, build, sources, image, env):
    """Does what `stage` says in `build`, which stands for its /build, with `image` for its /image: unoptimised."""
    for word, rest in stage:
        if word == "COPY" and not rest.startswith("--from"):
            *names, _ = rest.split()
            for name in names:
                # `COPY crates crates` and `COPY README.md ./` alike.
                copy(sources / name, build / name)
        elif word == "RUN":
            script = rest.replace("/image", str(image)).replace(" --release", "").replace("/release/", "/debug/")
            subprocess.run(["sh", "-ec", script], check=True, cwd=build, env=env)
