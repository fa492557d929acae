"""The image: the Dockerfile is well made, and what its commands build serves in a root with nothing else in it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import dockerfile
import gateway
import names

USER = (65532, 65532)


class Dockerfile(unittest.TestCase):
    def test_hadolint_finds_nothing_wrong(self):
        done = subprocess.run(["hadolint", dockerfile.DOCKERFILE], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_it_builds_with_the_toolchain_of_the_project(self):
        channel = re.search(r'channel = "([\d.]+)"', (gateway.ROOT / "rust-toolchain.toml").read_text())[1]
        *builders, last = [dockerfile.of_kind(stage, "FROM")[0] for stage in dockerfile.instructions()]
        for base in builders:
            self.assertTrue(base.startswith(f"rust:{channel}-slim-"), base)
        self.assertEqual(last, "scratch")

    def test_it_runs_as_nobody_in_particular(self):
        last = dockerfile.instructions()[-1]
        self.assertEqual(dockerfile.of_kind(last, "USER"), ["{}:{}".format(*USER)])
        self.assertEqual(json.loads(dockerfile.of_kind(last, "ENTRYPOINT")[0]), ["/entrada"])
        self.assertEqual(json.loads(dockerfile.of_kind(last, "CMD")[0]), ["serve"])

    def test_it_sets_what_the_gateway_knows(self):
        last = dockerfile.instructions()[-1]
        found = dockerfile.variables(last)
        gateway.all_known(self, {name.removeprefix("ENTRADA_").lower() for name in found})
        self.assertEqual(dockerfile.of_kind(last, "EXPOSE"), [found["ENTRADA_LISTEN"].split(":")[1]])

    def test_context_has_the_sources_and_nothing_else(self):
        found = {str(path) for path in dockerfile.walk(gateway.ROOT)}
        for needed in ("Cargo.toml", "Cargo.lock", "README.md", "crates/entrada-gateway/src/main.rs"):
            self.assertIn(needed, found)
        tops = {path.split("/")[0] for path in found}
        self.assertEqual(tops, {"Cargo.toml", "Cargo.lock", "README.md", "crates"})
        self.assertFalse([path for path in found if re.match(r"crates/[^/]+/(tests|target)/", path)])


class Image(unittest.TestCase):
    """Built by the Dockerfile's own commands, but for --release, and run in an empty root in place of a container."""

    @classmethod
    def setUpClass(cls):
        work = gateway.TARGET / "image"
        shutil.rmtree(work / "context", ignore_errors=True)
        shutil.rmtree(work / "image", ignore_errors=True)
        for old in (work / "build/crates", work / "manifests"):
            shutil.rmtree(old, ignore_errors=True)
        dockerfile.context(work / "context")
        manifests, build, last = dockerfile.instructions()
        env = {name: value for name, value in os.environ.items() if name not in ("CARGO_TARGET_DIR", "RUSTFLAGS")}
        env |= {"CARGO_PROFILE_DEV_DEBUG": "0"}
        dockerfile.carry_out(manifests, work / "manifests", work / "context", work / "image", env)
        cls.manifests = {str(path.relative_to(work / "manifests")): path.read_text() for path in files(work / "manifests")}
        dockerfile.copy(work / "manifests", work / "build")
        env |= dockerfile.variables(build)
        dockerfile.carry_out(build, work / "build", work / "context", work / "image", env)
        cls.image, cls.env = work / "image", dockerfile.variables(last)

    def gateway(self, root, *more):
        """The gateway of the image in `root`, as the image's user, with what the image sets."""

        def enter():
            os.chroot(root)
            os.chdir("/")
            os.setgroups([])
            os.setgid(USER[1])
            os.setuid(USER[0])

        env = {**self.env, "ENTRADA_CLIENT_SECRET": gateway.CLIENT_SECRET}
        return gateway.Gateway([*gateway.MINIMAL, *more], entrada="/entrada", env=env, preexec_fn=enter)

    def test_sources_are_not_in_what_dependencies_are_built_from(self):
        self.assertIn("Cargo.lock", self.manifests)
        self.assertEqual(self.manifests["crates/entrada-gateway/src/main.rs"], "fn main() {}\n")
        self.assertEqual(self.manifests["crates/entrada/src/lib.rs"], "")
        other = {path for path in self.manifests if not path.endswith((".rs", "Cargo.toml", "Cargo.lock"))}
        self.assertEqual(other, set())

    def test_there_is_one_program_which_is_static_and_the_authorities(self):
        found = {str(path.relative_to(self.image)) for path in files(self.image)}
        self.assertEqual(found, {"entrada", "etc/ssl/certs/ca-certificates.crt"})
        said = subprocess.run(["readelf", "--program-headers", self.image / "entrada"], capture_output=True, text=True)
        self.assertIn("LOAD", said.stdout)
        self.assertNotIn("INTERP", said.stdout)

    def test_it_serves_and_finds_entra_by_names_of_files(self):
        with root_like(self.image) as root, gateway.emulator() as entra:
            (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
            host = f"--authority-host=localhost:{gateway.emulator_port(entra)}"
            with self.gateway(root, host, "--insecure-http-authority=true") as served:
                for path in gateway.probes().values():
                    self.assertEqual(served.status(path), 200)
                served.logged("entra answers, and knows the tenant")
                self.assertEqual(served.stop(), 0)

    def test_it_finds_entra_by_dns_with_the_search_list_of_a_cluster(self):
        with root_like(self.image) as root, gateway.emulator() as entra, names.Server() as server:
            (root / "etc/resolv.conf").write_text(
                f"nameserver {server.address}\nsearch mcp.svc.cluster.test cluster.test\noptions ndots:5\n"
            )
            server.names["localhost.cluster.test"] = "127.0.0.1"
            host = f"--authority-host=localhost:{gateway.emulator_port(entra)}"
            with self.gateway(root, host, "--insecure-http-authority=true") as served:
                served.logged("entra answers, and knows the tenant")
                self.assertEqual(served.stop(), 0)
            self.assertIn("localhost.mcp.svc.cluster.test", server.asked)
            self.assertIn("localhost.cluster.test", server.asked)

    def test_its_authorities_are_read(self):
        with root_like(self.image) as root:
            os.unlink(root / "etc/ssl/certs/ca-certificates.crt")
            with self.assertRaises(AssertionError) as failed:
                with self.gateway(root):
                    pass
        self.assertRegex(str(failed.exception), "(?i)certificate")


def files(folder):
    """All files below `folder`."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@contextlib.contextmanager
def root_like(image):
    """A copy of `image`, which goes when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "--archive", f"{image}/.", folder], check=True)
        yield pathlib.Path(folder)


if __name__ == "__main__":
    unittest.main()
