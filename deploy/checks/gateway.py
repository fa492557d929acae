"""`entrada serve`, run for a check, and what it says of itself."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ["CARGO_TARGET_DIR"])
ENTRADA = TARGET / "debug/entrada"
EMULATOR = TARGET / "debug/entra-emulator"

# An application of the emulator's.
TENANT = "contoso.onmicrosoft.com"
CLIENT_ID = "30000000-0000-4000-8000-000000000001"
CLIENT_SECRET = "mcp~8Q.a-public_test-secret_0123456789ab"
# Enough to start with.
MINIMAL = [
    "--upstream=http://localhost:1/mcp",
    "--base-url=http://127.0.0.1:8000",
    f"--tenant-id={TENANT}",
    f"--client-id={CLIENT_ID}",
    "--required-scopes=mcp.read",
]


def settings(entrada=ENTRADA):
    """The names of all settings, as its help lists them."""
    said = subprocess.run([entrada, "serve", "--help"], check=True, capture_output=True, text=True)
    variables = re.findall(r"\[env:\s+ENTRADA_([A-Z_]+)", said.stdout)
    return {name.lower() for name in variables} | {"client_secret", "client_certificate_password"}


def probes():
    """The paths of the probes, as the gateway's source has them."""
    source = (ROOT / "crates/entrada-gateway/src/health.rs").read_text()
    return dict(re.findall(r'const (HEALTHZ|READYZ): &str = "([^"]+)"', source))


class Process:
    """A child that ends with the block it is used in."""

    def __init__(self, command, **options):
        self.command = command
        self.options = options

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, **self.options
        )
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.log.close()

    def said(self):
        """All it has written."""
        # Not by the file's own position, at which the child writes.
        return os.pread(self.log.fileno(), 1 << 20, 0).decode()

    def until(self, found, what):
        """What `found` makes of what it has written, once that is something."""
        for _ in range(600):
            result = found(self.said())
            if result:
                return result
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {what}; it said:\n{self.said()}")

    def stop(self):
        """Its exit status, after SIGTERM."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)


class Gateway(Process):
    """`entrada serve` on a free port of loopback."""

    def __init__(self, arguments, entrada=ENTRADA, env=None, **options):
        command = [entrada, "serve", "--listen=127.0.0.1:0", "--log-format=json", *arguments]
        super().__init__([str(word) for word in command], env=env or {}, **options)

    def __enter__(self):
        super().__enter__()
        try:
            self.address = self.logged("ready")["listen"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def logged(self, message):
        """The first line of the log with `message`."""

        def found(text):
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
            return next((line for line in lines if line["message"] == message), None)

        return self.until(found, f"line {message!r}")

    def status(self, path):
        """The status it answers a GET of `path` with."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def body(self, path):
        """What it answers a GET of `path` with."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return answer.read()


def emulator():
    """A pretend Entra, and where it is."""
    return Process([EMULATOR, "--http=127.0.0.1:0", "--no-https"])


def emulator_port(process):
    """The port that it listens on."""
    url = process.until(lambda text: re.search(r'"http_url":"http://127\.0\.0\.1:(\d+)"', text), "http_url")
    return int(url[1])


def toml_keys(text):
    """The settings that a configuration file sets, those of its routes among them."""
    content = tomllib.loads(text)
    return set(content) - {"route", "client", "trusted_issuer"}


def all_known(case, names):
    """Fails where one of `names` is no setting of the gateway's."""
    case.assertEqual(names - settings(), set(), "no settings of the gateway")
