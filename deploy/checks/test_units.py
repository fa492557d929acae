"""The systemd unit: it is understood, it is tight, and the gateway runs in it."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import gateway
import sandbox

UNITS = gateway.ROOT / "deploy/systemd"
UNIT = UNITS / "entrada.service"
SHARED_STORE = UNITS / "entrada.service.d/shared-store.conf"
# In tenths, as systemd-analyze wants it. What is left is the network, which is what a gateway is for.
MOST_EXPOSED = 12


class Units(unittest.TestCase):
    def verify(self, *drop_ins):
        """What systemd says of the unit with `drop_ins`; the program is one that is here."""
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / UNIT.name
            unit.write_text(UNIT.read_text().replace("/usr/local/bin/entrada", str(gateway.ENTRADA)))
            (unit.parent / f"{unit.name}.d").mkdir()
            for drop_in in drop_ins:
                shutil.copy(drop_in, unit.parent / f"{unit.name}.d")
            command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", unit]
            env = {"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"}
            done = subprocess.run(command, env=env, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def test_systemd_understands_all_of_it(self):
        self.assertEqual(self.verify(), (0, ""))
        self.assertEqual(self.verify(SHARED_STORE), (0, ""))

    def test_what_is_misspelt_would_be_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            wrong = pathlib.Path(folder) / "wrong.conf"
            wrong.write_text("[Service]\nProtectHme=yes\n")
            status, said = self.verify(wrong)
        self.assertNotEqual(status, 0)
        self.assertIn("ProtectHme", said)

    def test_it_is_as_tight_as_it_was(self):
        command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNIT]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_it_stops_after_the_drain_timeout(self):
        table = (gateway.ROOT / "crates/entrada-gateway/src/config/table/settings/process.rs").read_text()
        drain = re.search(r'"drain_timeout",\s+"TIME",[^)]*\)\s+\.or\("(\d+)s"\)', table)
        stop = sandbox.settings(UNIT)["TimeoutStopSec"]
        self.assertGreater(int(stop[0]), int(drain[1]))

    def test_the_gateway_serves_in_it_and_leaves_in_good_order(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "entrada.toml").write_text("\n".join(toml_of(gateway.MINIMAL)))
            (folder / "client-secret").write_text(gateway.CLIENT_SECRET + "\n")
            said = sandbox.settings(UNIT)
            at = {"%S/entrada": str(folder / "state"), "%d": str(folder)}
            env = dict(value.split("=", 1) for value in said["Environment"])
            for name, value in env.items():
                for specifier, path in at.items():
                    value = value.replace(specifier, path)
                env[name] = value
            arguments = said["ExecStart"][0].split()[2:]
            arguments = [word.replace("/etc/entrada", str(folder)) for word in arguments]
            confine = sandbox.of(UNIT)
            with gateway.emulator() as entra:
                port = gateway.emulator_port(entra)
                more = [f"--authority-host=localhost:{port}", "--insecure-http-authority=true"]
                with gateway.Gateway(arguments + more, env=env, preexec_fn=confine) as served:
                    for path in gateway.probes().values():
                        self.assertEqual(served.status(path), 200, path)
                    self.assertEqual(served.status("/mcp"), 401)
                    # It got there by a name.
                    served.logged("entra answers, and knows the tenant")
                    self.assertEqual(served.stop(), 0)

    def test_the_sandbox_of_the_check_forbids_what_the_unit_does(self):
        confine = sandbox.of(UNIT)
        for forbidden, socket in [("", "AF_INET"), ("PermissionError", "AF_NETLINK")]:
            command = ["python3", "-c", f"import socket; socket.socket(socket.{socket}, socket.SOCK_DGRAM)"]
            done = subprocess.run(command, preexec_fn=confine, capture_output=True, text=True)
            self.assertIn(forbidden, done.stderr)
            self.assertEqual(done.returncode != 0, bool(forbidden), done.stderr)

    def test_its_variables_are_settings(self):
        lines = [*sandbox.settings(UNIT)["Environment"], *sandbox.settings(SHARED_STORE)["Environment"]]
        named = {line.split("=")[0].removeprefix("ENTRADA_").lower() for line in lines}
        gateway.all_known(self, named)

    def test_each_credential_is_read(self):
        for unit in (UNIT, SHARED_STORE):
            said = sandbox.settings(unit)
            loaded = {value.split(":")[0] for value in said["LoadCredential"]}
            read = set(re.findall(r"%d/([\w-]+)", " ".join(said["Environment"])))
            self.assertEqual(loaded, read)

    def test_a_wrong_configuration_is_not_tried_again(self):
        with self.assertRaises(AssertionError):
            with gateway.Gateway(["--tenant-id="]) as never:
                self.fail(never.said())
        done = subprocess.run([gateway.ENTRADA, "serve"], env={}, capture_output=True)
        self.assertEqual(sandbox.settings(UNIT)["RestartPreventExitStatus"], [str(done.returncode)])


def toml_of(flags):
    """The flags as lines of a configuration file."""
    for flag in flags:
        name, value = flag.removeprefix("--").split("=", 1)
        yield f'{name.replace("-", "_")} = "{value}"'


if __name__ == "__main__":
    unittest.main()
