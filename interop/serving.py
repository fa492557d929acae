"""`entrada serve` with the pretend Entra behind it."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

from oauth import Client
from programs import ARTEFACTS, DEBUG, emulator, free_port, stop, wait_for
from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME


class Gateway:
    def __init__(self, port: int):
        self.port, self.base_url = port, f"http://127.0.0.1:{port}"

    def token(self, path: str = "/mcp") -> str:
        """What `USERNAME` gets who signs in to the server at `path`."""
        client = Client(f"{self.base_url}{path}")
        client.sign_in(USERNAME, PASSWORD)
        return client.tokens["access_token"]


def start(command: list, log_name: str, port: int, env: dict[str, str] | None = None) -> subprocess.Popen:
    """Starts a program that listens on `port`, with a log among the artefacts."""
    ARTEFACTS.mkdir(exist_ok=True)
    command = [str(word) for word in command]
    with open(ARTEFACTS / f"{log_name}.log", "ab") as log:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(port, process, within=60)
    except BaseException:
        stop(process)
        raise
    return process


@contextlib.contextmanager
def running(command: list, log_name: str, port: int) -> Iterator[None]:
    process = start(command, log_name, port)
    try:
        yield
    finally:
        stop(process)


@contextlib.contextmanager
def serve(log_name: str, entra: list = (), program: list = (), **more: object) -> Iterator[Gateway]:
    """`entrada serve` with the settings `more`, before `program` if there is one; Entra is started with the options `entra`."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with emulator("--ca-file", folder / "ca.pem", *entra) as entra:
            (folder / "secret").write_text(CLIENT_SECRET)
            gateway = Gateway(free_port())
            settings = {
                "base-url": gateway.base_url,
                "listen": f"127.0.0.1:{gateway.port}",
                "tenant-id": TENANT,
                "client-id": CLIENT_ID,
                "client-secret-file": folder / "secret",
                "required-scopes": "mcp.read",
                "authority-host": entra["authority_host"],
                "ca-file": entra["ca_file"],
                "data-dir": folder / "data",
                **{name.replace("_", "-"): value for name, value in more.items()},
            }
            flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
            # The gateway must learn of the authority by its own configuration.
            environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
            process = start([DEBUG / "entrada", "serve", *flags, *(["--", *program] if program else [])], log_name, gateway.port, environment)
            # What the person's browser trusts.
            os.environ["SSL_CERT_FILE"] = entra["ca_file"]
            try:
                yield gateway
            finally:
                stop(process)
