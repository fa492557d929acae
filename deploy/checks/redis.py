"""The Redis of the Compose file, on a free port of loopback."""

import os
import pathlib
import socket
import subprocess

import gateway

# With what has a meaning in a configuration, in a shell or in a URL.
PASSWORD = "a+b/c=="


class Redis(gateway.Process):
    """`service` as Compose has it, with its files in `folder`."""

    def __init__(self, service, folder):
        self.port = free_port()
        self.folder = pathlib.Path(folder)
        self.password_file = self.folder / "store-password"
        self.password_file.write_text(PASSWORD + "\n")
        configuration = (gateway.ROOT / "deploy/compose/redis.conf").read_text()
        configuration = configuration.replace("dir /data", f"dir {folder}")
        (self.folder / "redis.conf").write_text(f"{configuration}\nport {self.port}\nbind 127.0.0.1\n")
        kind, probe = service["healthcheck"]["test"]
        assert kind == "CMD-SHELL", kind
        self.probe = self.here(probe)
        super().__init__([*service["entrypoint"], *map(self.here, service["command"])])

    def here(self, text):
        """A command of the service with what it names where that is here."""
        text = text.replace("$$", "$").replace("/run/secrets/store-password", str(self.password_file))
        text = text.replace("/etc/entrada-redis.conf", str(self.folder / "redis.conf"))
        return text.replace("redis-cli", f"redis-cli -p {self.port}")

    def __enter__(self):
        super().__enter__()
        try:
            self.until(lambda text: "Ready to accept connections" in text, "readiness")
        except BaseException:
            self.__exit__()
            raise
        return self

    def ask(self, *command, password=PASSWORD):
        """What it answers."""
        env = {**os.environ, **({"REDISCLI_AUTH": password} if password else {})}
        said = subprocess.run(
            ["redis-cli", "-p", str(self.port), *command], env=env, capture_output=True, text=True, check=True
        )
        return said.stdout


def free_port():
    """A port of loopback that nobody has just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
