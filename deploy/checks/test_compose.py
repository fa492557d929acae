"""The Compose file: Compose understands it, what is in it fits together, and its Redis and its proxy start."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

import gateway
import redis
from project import COMPOSE, DEPLOY, EXAMPLE, compose, project


class Compose(unittest.TestCase):
    def test_compose_understands_it(self):
        done = compose("config", "--quiet")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_what_must_be_filled_in_is_asked_for(self):
        required = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
        self.assertEqual(len(required), 4)
        for name in required:
            lines = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith(f"{name}=")]
            with tempfile.NamedTemporaryFile("w", suffix=".env") as without:
                without.write("\n".join(lines))
                without.flush()
                done = compose("config", "--quiet", env_file=without.name)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(name, done.stderr)

    def test_the_example_sets_what_is_used_and_nothing_else(self):
        used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
        named = set(re.findall(r"^(\w+)=", EXAMPLE.read_text(), re.MULTILINE))
        self.assertEqual(named, used)

    def test_its_variables_are_settings(self):
        named = set(project()["services"]["gateway"]["environment"])
        gateway.all_known(self, {name.removeprefix("ENTRADA_").lower() for name in named})

    def test_files_that_it_names_exist(self):
        for service in project()["services"].values():
            for volume in service.get("volumes", []):
                if volume["type"] == "bind":
                    self.assertTrue(pathlib.Path(volume["source"]).is_file(), volume)

    def test_secrets_are_where_the_gateway_looks_and_where_the_example_puts_them(self):
        whole = project()
        found = whole["services"]["gateway"]
        files = {value for name, value in found["environment"].items() if name.endswith("_FILE")}
        self.assertEqual(files, {f"/run/secrets/{secret['source']}" for secret in found["secrets"]})
        put = set(re.findall(r"> (compose/secrets/[\w-]+)", EXAMPLE.read_text()))
        self.assertEqual({str(DEPLOY / path) for path in put}, {secret["file"] for secret in whole["secrets"].values()})

    def test_secrets_are_not_committed(self):
        paths = [DEPLOY / ".env", *(pathlib.Path(secret["file"]) for secret in project()["secrets"].values())]
        done = subprocess.run(["git", "check-ignore", *paths], capture_output=True, text=True, cwd=gateway.ROOT)
        self.assertEqual(done.stdout.splitlines(), [str(path) for path in paths], done.stderr)

    def test_nobody_but_the_gateway_reaches_the_server_and_the_store(self):
        whole = project()
        members = {}
        for name, service in whole["services"].items():
            for network in service["networks"]:
                members.setdefault(network, set()).add(name)
            self.assertEqual(name == "proxy", "ports" in service, name)
        expected = {"front": {"proxy", "gateway"}, "server": {"gateway", "mcp"}, "store": {"gateway", "redis"}}
        self.assertEqual(members, expected)
        self.assertTrue(whole["networks"]["server"]["internal"])
        self.assertTrue(whole["networks"]["store"]["internal"])

    def test_the_gateway_believes_the_network_of_its_proxy(self):
        whole = project()
        believed = whole["services"]["gateway"]["environment"]["ENTRADA_TRUSTED_PROXIES"]
        self.assertEqual(believed, whole["networks"]["front"]["ipam"]["config"][0]["subnet"])

    def test_gateways_are_several_and_confined(self):
        found = project()["services"]["gateway"]
        self.assertEqual(found["deploy"]["replicas"], 3)
        self.assertIs(found["read_only"], True)
        self.assertEqual(found["cap_drop"], ["ALL"])
        self.assertEqual(found["security_opt"], ["no-new-privileges"])
        drain = found["environment"]["ENTRADA_DRAIN_TIMEOUT"]
        self.assertGreater(int(found["stop_grace_period"][:-1]), int(drain[:-1]))
        self.assertEqual(pathlib.Path(found["build"]["context"], found["build"]["dockerfile"]), DEPLOY / "Dockerfile")

    def test_redis_starts_as_it_is_told_to(self):
        with tempfile.TemporaryDirectory() as folder, redis.Redis(project()["services"]["redis"], folder) as server:
            subprocess.run(["sh", "-c", server.probe], check=True)
            self.assertIn("NOAUTH", server.ask("get", "a", password=None))
            for name, expected in [
                ("appendonly", "yes"),
                ("appendfsync", "everysec"),
                ("maxmemory-policy", "noeviction"),
            ]:
                self.assertEqual(server.ask("config", "get", name).split(), [name, expected])
            # Not among the arguments, which others see; and it is this very process, so it hears SIGTERM.
            arguments = pathlib.Path(f"/proc/{server.child.pid}/cmdline").read_bytes()
            self.assertIn(b"redis-server", arguments)
            self.assertNotIn(redis.PASSWORD.encode(), arguments)
            self.assertEqual(server.stop(), 0)

    def test_the_proxy_passes_requests_on_by_name(self):
        """Caddy itself, with a name of the hosts file in place of one of Docker's resolver."""
        port = redis.free_port()
        with tempfile.TemporaryDirectory() as folder, gateway.Gateway(
            [*gateway.MINIMAL, f"--data-dir={folder}/data"], env={"ENTRADA_CLIENT_SECRET": gateway.CLIENT_SECRET}
        ) as served:
            configuration = (DEPLOY / "compose/Caddyfile").read_text()
            configuration = configuration.replace("name gateway", "name localhost")
            configuration = configuration.replace("port 8000", f"port {served.address.split(':')[1]}")
            path = pathlib.Path(folder, "Caddyfile")
            path.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + configuration)
            env = {
                "ENTRADA_BASE_URL": f"http://localhost:{port}",
                "HOME": folder,
                "PATH": os.environ["PATH"],
            }
            command = [shutil.which("caddy"), "run", "--adapter", "caddyfile", "--config", path]
            with gateway.Process(command, env=env) as caddy:
                caddy.until(lambda text: "serving initial configuration" in text, "proxy")
                with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=20) as answer:
                    self.assertEqual(answer.read(), b"alive\n")


if __name__ == "__main__":
    unittest.main()
