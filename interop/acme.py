"""`entrada serve` with a certificate of its own from Pebble, Let's Encrypt's test server."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import time
import unittest
import urllib.request

import trustme

from programs import ARTEFACTS, DEBUG, free_port, stop, wait_for

NAME, OTHER = "mcp.entrada.test", "other.entrada.test"
# In seconds. It is renewed after two thirds of them.
LIFETIME = 24
EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@contextlib.contextmanager
def logged(command: list, log_name: str, **more):
    ARTEFACTS.mkdir(exist_ok=True)
    with open(ARTEFACTS / f"acme-{log_name}.log", "ab") as log:
        command = [str(word) for word in command]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
    try:
        yield process
    finally:
        if process.poll() is None:
            stop(process)


class Pebble:
    """The authority: ports, how it is trusted, and how it looks names up."""

    def __init__(self, folder: pathlib.Path, tls_port: int, **settings):
        self.folder, self.tls_port, self.settings = folder, tls_port, settings
        self.port, self.management, self.dns, self.control = (free_port() for _ in range(4))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        own = authority.issue_cert("localhost", "127.0.0.1")
        own.private_key_pem.write_to_path(folder / "pebble.key")
        own.cert_chain_pems[0].write_to_path(folder / "pebble.pem")
        self.directory = f"https://localhost:{self.port}/dir"

    @contextlib.contextmanager
    def running(self):
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.folder / "pebble.pem"),
            "privateKey": str(self.folder / "pebble.key"),
            "httpPort": free_port(),
            "tlsPort": self.tls_port,
            "certificateValidityPeriod": LIFETIME,
            **self.settings,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        # A twentieth of all nonces is refused, and no authorization is used twice.
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "5", "PEBBLE_AUTHZREUSE": "0"}
        off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
        dns = ["pebble-challtestsrv", "-management", f"127.0.0.1:{self.control}", "-dns01", f"127.0.0.1:{self.dns}"]
        pebble = ["pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"]
        with logged([*dns, "-defaultIPv4", "127.0.0.1", *off], "dns") as names:
            wait_for(self.control, names)
            with logged(pebble, "pebble", env=env) as process:
                wait_for(self.port, process)
                wait_for(self.management, process)
                yield self

    def root(self) -> str:
        """The certificate its own lead to, which is another each time it is started."""
        trusted = ssl.create_default_context(cafile=self.folder / "authority.pem")
        url = f"https://localhost:{self.management}/roots/0"
        with urllib.request.urlopen(url, context=trusted) as answer:
            return answer.read().decode()


class Gateway:
    """`entrada serve`, which gets its certificate from `pebble`."""

    def __init__(self, folder: pathlib.Path, pebble: Pebble, **more):
        self.port, self.data, self.log = pebble.tls_port, folder / "data", folder / "entrada.log"
        self.settings = {
            "upstream": "http://127.0.0.1:9/mcp",
            "base-url": f"https://{NAME}:{self.port}",
            "listen": f"127.0.0.1:{self.port}",
            "tenant-id": "11111111-1111-1111-1111-111111111111",
            "client-id": "22222222-2222-2222-2222-222222222222",
            "required-scopes": "mcp.read",
            "authority-host": "127.0.0.1:9",
            "data-dir": self.data,
            "log-level": "trace",
            "acme-domains": f"{NAME},{OTHER}",
            "acme-accept-terms": "true",
            "acme-contact": "operations@example.com",
            "acme-directory": pebble.directory,
            "acme-ca-file": pebble.folder / "authority.pem",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def command(self, *words: str) -> list:
        flags = [f"--{name}={value}" for name, value in self.settings.items() if value is not None]
        return [DEBUG / "entrada", *words, *flags]

    @contextlib.contextmanager
    def running(self):
        env = {**os.environ, "ENTRADA_CLIENT_SECRET": "secret"}
        with open(self.log, "ab") as log:
            command = [str(word) for word in self.command("serve")]
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(self.port, process)
            yield process
        finally:
            status = stop(process)
            ARTEFACTS.mkdir(exist_ok=True)
            (ARTEFACTS / "acme-entrada.log").write_bytes(self.log.read_bytes())
        assert status == 0, status

    def refused(self) -> str:
        """What it says that does not begin."""
        env = {**os.environ, "ENTRADA_CLIENT_SECRET": "secret"}
        command = [str(word) for word in self.command("config", "check")]
        ended = subprocess.run(command, env=env, capture_output=True, text=True)
        assert ended.returncode == 2, ended
        return ended.stdout + ended.stderr

    def said(self) -> str:
        return self.log.read_text()

    def connect(self, root: str, name: str = NAME, alpn: list[str] | None = None) -> ssl.SSLSocket:
        """A connection of a client that believes what leads to `root` alone."""
        trusted = ssl.create_default_context(cadata=root)
        trusted.set_alpn_protocols(alpn or ["http/1.1"])
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            return trusted.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def serial(self, root: str, name: str = NAME) -> str:
        with self.connect(root, name) as connection:
            return connection.getpeercert()["serialNumber"]

    def eventually(self, look, within: float):
        """What `look` gives, as soon as it gives something."""
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(OSError):
                if found := look():
                    return found
            ours = [line for line in self.said().splitlines() if '"entrada_gateway::' in line]
            assert time.monotonic() < deadline, "\n".join(ours[-10:])
            time.sleep(0.2)

    def orders(self) -> int:
        return self.said().count("a certificate is ordered")


def ask(connection: ssl.SSLSocket, path: str) -> int:
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: {NAME}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


class Acme(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def stage(self, more: dict | None = None, **settings) -> tuple[Pebble, Gateway]:
        pebble = Pebble(self.folder, free_port(), **settings)
        return pebble, Gateway(self.folder, pebble, **(more or {}))

    def test_a_certificate_is_got_kept_renewed_and_outlives_its_authority(self):
        pebble, gateway = self.stage()
        with pebble.running():
            root = pebble.root()
            with gateway.running():
                first = gateway.eventually(lambda: gateway.serial(root), 30)
                self.assertEqual(gateway.serial(root, OTHER), first)
                with gateway.connect(root) as connection:
                    self.assertEqual(ask(connection, "/readyz"), 200)
                # There is nothing for an authority now, whatever it asks for.
                with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
                    gateway.connect(root, alpn=["acme-tls/1"])
                gateway.eventually(lambda: '"ready"' in gateway.said() or " ready" in gateway.said(), 10)
            self.assertEqual(gateway.orders(), 1)

            with gateway.running() as process:
                self.assertEqual(gateway.serial(root), first)
                # Nobody gets one before its time.
                process.send_signal(signal.SIGHUP)
                self.assertEqual(gateway.serial(root), first)
                self.assertEqual(gateway.orders(), 1)

                with gateway.connect(root) as old:
                    self.assertEqual(ask(old, "/healthz"), 200)
                    changed = lambda: (found := gateway.serial(root)) != first and found
                    second = gateway.eventually(changed, LIFETIME)
                    self.assertEqual(old.getpeercert()["serialNumber"], first)
                    self.assertEqual(ask(old, "/healthz"), 200)
                self.assertEqual(gateway.orders(), 2)

        # The authority is gone, and what it issued is good.
        with gateway.running() as process:
            self.assertEqual(gateway.serial(root), second)
            stays = "there is no new certificate: the one in use stays"
            gateway.eventually(lambda: stays in gateway.said(), LIFETIME)
            self.assertEqual(gateway.serial(root), second)
            # It begins anew, with another root, and has never heard of the account.
            with pebble.running():
                new_root = pebble.root()
                process.send_signal(signal.SIGHUP)
                third = gateway.eventually(lambda: gateway.serial(new_root), 30)
                self.assertNotEqual(third, second)

        self.look_at_what_is_kept(gateway)

    def look_at_what_is_kept(self, gateway: Gateway) -> None:
        kept = gateway.data / "acme"
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o700)
        names = sorted(path.name for path in kept.iterdir())
        self.assertEqual(names, ["account.json", "attempts.json", "certificate.pem"])
        for path in kept.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        account = json.loads((kept / "account.json").read_text())["credentials"]["key_pkcs8"]
        pem = (kept / "certificate.pem").read_text()
        key = re.search(r"PRIVATE KEY-----\n(\S+)", pem)[1]
        for secret in [account, account[40:80], key]:
            self.assertNotIn(secret, gateway.said())

    def test_an_authority_that_wants_an_account_there_is_gets_its_key(self):
        settings = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {"kid-1": EAB_KEY}}
        (self.folder / "key").write_text(EAB_KEY + "\n")
        more = {"acme_eab_key_id": "kid-1", "acme_eab_hmac_key_file": self.folder / "key"}
        pebble, gateway = self.stage(more, **settings)
        with pebble.running():
            without = Gateway(self.folder, pebble)
            with without.running():
                without.eventually(lambda: "externalAccountRequired" in without.said(), 30)
                with self.assertRaises(ssl.SSLError):
                    without.connect(pebble.root())
            # What it is told has changed, but not what is ordered: the pause holds, unless somebody asks.
            with gateway.running() as process:
                process.send_signal(signal.SIGHUP)
                gateway.eventually(lambda: gateway.serial(pebble.root()), 30)
        self.assertNotIn(EAB_KEY, gateway.said())

    def test_a_name_that_leads_elsewhere_is_told_and_not_asked_for_over_and_over(self):
        pebble, gateway = self.stage()
        with pebble.running():
            request = {"host": f"{OTHER}.", "addresses": ["127.0.0.2"]}
            body = json.dumps(request).encode()
            urllib.request.urlopen(f"http://127.0.0.1:{pebble.control}/add-a", body).close()
            with gateway.running():
                gateway.eventually(lambda: "does not see that" in gateway.said(), 60)
                self.assertIn(OTHER, gateway.said())
            # Started over and over by whatever watches it, it waits all the same.
            for _ in range(2):
                with gateway.running():
                    with self.assertRaises(ssl.SSLError):
                        gateway.connect(pebble.root())
            self.assertEqual(gateway.orders(), 1)

    def test_what_cannot_be_meant_is_refused_before_anything_is_asked(self):
        for more, told in [
            ({"acme_accept_terms": None}, "acme_accept_terms = true"),
            ({"acme_accept_terms": "false"}, "acme_accept_terms = true"),
            ({"acme_directory": "http://ca.example.com/dir"}, "over https://"),
            ({"acme_directory": "nowhere"}, "the URL of the authority's directory"),
            ({"acme_domains": OTHER}, f"{NAME} is served too"),
            ({"acme_domains": f"{NAME},*.entrada.test"}, "write each name"),
        ]:
            _, gateway = self.stage(more)
            self.assertIn(told, gateway.refused())


if __name__ == "__main__":
    unittest.main(verbosity=2)
