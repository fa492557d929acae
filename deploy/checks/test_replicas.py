"""Three pods of the chart, as processes, with the Redis of the Compose file for the store that they share."""

import base64
import contextlib
import os
import pathlib
import tempfile
import unittest

import chart
import gateway
import redis
from project import project



class Replicas(unittest.TestCase):
    def test_three_replicas_are_one_and_hear_when_the_store_goes(self):
        with contextlib.ExitStack() as held:
            folder = pathlib.Path(held.enter_context(tempfile.TemporaryDirectory()))
            server = held.enter_context(redis.Redis(project()["services"]["redis"], folder))
            (folder / "client-secret").write_text(gateway.CLIENT_SECRET)
            (folder / "key-encryption-key").write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
            values = chart.with_values({"store": {"url": f"redis://127.0.0.1:{server.port}"}})
            toml = chart.of_kind("ConfigMap", chart.rendered(values))["data"]["entrada.toml"]
            path = folder / "entrada.toml"
            path.write_text(toml.replace("/run/secrets/entrada", str(folder)))
            # As in a pod, where there is nothing to write to.
            nowhere = folder / "nothing"
            nowhere.mkdir()
            pods = [
                held.enter_context(gateway.Gateway([f"--config={path}"], cwd=nowhere))
                for _ in range(values.get("replicas", 3))
            ]
            for probe in gateway.probes().values():
                self.assertEqual([pod.status(probe) for pod in pods], [200] * 3, probe)
            keys = {pod.body("/.well-known/jwks.json") for pod in pods}
            self.assertEqual(len(keys), 1, keys)
            self.assertEqual(list(nowhere.iterdir()), [])

            self.assertEqual(server.stop(), 0)
            for pod in pods:
                # The last look at the store is believed for a second.
                pod.until(lambda _, pod=pod: pod.status(gateway.probes()["READYZ"]) == 503, "503 of /readyz")
                self.assertEqual(pod.status(gateway.probes()["HEALTHZ"]), 200)
                self.assertEqual(pod.stop(), 0)


if __name__ == "__main__":
    unittest.main()
