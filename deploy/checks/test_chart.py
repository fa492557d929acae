"""The Helm chart: it renders, Kubernetes would take it, the gateway takes what it says, and nonsense is refused."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import helm_python as helm
import kubernetes_validate
import yaml

import chart
import gateway
from chart import ALONE, CHART, INSTALLATIONS, REFUSED, TRIAL, of_kind, rendered, with_values

# The oldest that the chart is for, and the newest there is a schema of.
OLDEST = re.search(r">=(\d+\.\d+)", (CHART / "Chart.yaml").read_text())[1]
NEWEST = kubernetes_validate.latest_version()
# Kinds that are not Kubernetes' own: the Gateway API's, and the Prometheus operator's.
GATEWAY_API = {"HTTPRoute"}
FOREIGN = GATEWAY_API | {"PodMonitor"}


def container(objects):
    return of_kind("Deployment", objects)["spec"]["template"]["spec"]["containers"][0]


class Chart(unittest.TestCase):
    def test_helm_finds_nothing_wrong(self):
        for name, values in INSTALLATIONS.items():
            with self.subTest(name):
                report = helm.lint(str(CHART), values, strict=True)
                self.assertEqual(report["errors"], [])
                worse = [said for said in report["messages"] if said["severity"] > 1]
                self.assertEqual(worse, [])

    def test_kubernetes_takes_each_object(self):
        for name, values in INSTALLATIONS.items():
            for thing in rendered(values):
                if thing["kind"] in FOREIGN:
                    continue
                for version in (OLDEST, NEWEST):
                    with self.subTest(name, kind=thing["kind"], version=version):
                        kubernetes_validate.validate(thing, version, strict=True)

    def test_what_kubernetes_does_not_take_would_be_seen(self):
        deployment = of_kind("Deployment", rendered(with_values()))
        deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, NEWEST, strict=True)

    def test_the_gateway_api_takes_the_route(self):
        route = of_kind("HTTPRoute", rendered(INSTALLATIONS["with everything"]))
        wrong = json.loads(json.dumps(route))
        wrong["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Prefix"
        for routes, status in [([route], 0), ([wrong], 1)]:
            command = ["node", gateway.ROOT / "deploy/checks/http_route.mjs"]
            done = subprocess.run(command, input=json.dumps(routes), capture_output=True, text=True)
            self.assertEqual(done.returncode, status, done.stderr)

    def test_what_cannot_work_is_refused(self):
        for said, change in REFUSED.items():
            with self.subTest(said):
                with self.assertRaisesRegex(helm.HelmError, said):
                    rendered(with_values(change))

    def test_a_wrong_store_is_not_told_with_its_password(self):
        with self.assertRaises(helm.HelmError) as refused:
            rendered(with_values({"store": {"url": "redis://:hunter2@redis:6379"}}))
        self.assertNotIn("hunter2", str(refused.exception))

    def test_it_is_of_this_version(self):
        stated = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(stated["appVersion"], chart.workspace_version())
        image = container(rendered(with_values()))["image"]
        self.assertEqual(image, f"registry.example.com/entrada:{chart.workspace_version()}")

    def test_every_value_has_a_place_in_the_schema(self):
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        schema = json.loads((CHART / "values.schema.json").read_text())
        self.assertEqual(set(schema["properties"]) - {"global"}, set(values))
        for name, value in values.items():
            if schema["properties"][name].get("additionalProperties") is False:
                self.assertEqual(set(schema["properties"][name]["properties"]), set(value), name)

    def test_probes_are_those_of_the_gateway(self):
        paths, found = gateway.probes(), container(rendered(with_values()))
        for probe, path in [("livenessProbe", "HEALTHZ"), ("readinessProbe", "READYZ")]:
            self.assertEqual(found[probe]["httpGet"], {"path": paths[path], "port": "http"})

    def test_pods_are_of_the_strictest_kind(self):
        """Kubernetes, *Pod Security Standards*, restricted; and nothing to write to."""
        for name, values in INSTALLATIONS.items():
            with self.subTest(name):
                pod = of_kind("Deployment", rendered(values))["spec"]["template"]["spec"]
                security = pod["securityContext"]
                self.assertIs(security["runAsNonRoot"], True)
                self.assertGreater(security["runAsUser"], 0)
                self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
                own = pod["containers"][0]["securityContext"]
                expected = {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                self.assertEqual(own, expected)
                self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(pod))
                self.assertIs(pod["automountServiceAccountToken"], False)
                self.assertIs(pod["enableServiceLinks"], False)
                kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
                self.assertLessEqual(kinds, {"configMap", "secret", "persistentVolumeClaim", "emptyDir"})

    def test_user_is_that_of_the_image(self):
        user = re.search(r"^USER (\d+):(\d+)$", (gateway.ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
        spec = of_kind("Deployment", rendered(with_values()))["spec"]["template"]["spec"]["securityContext"]
        self.assertEqual((spec["runAsUser"], spec["runAsGroup"]), (int(user[1]), int(user[2])))

    def test_a_pod_outlives_its_drain(self):
        values = with_values({"drainSeconds": 120, "preStopSeconds": 9})
        objects = rendered(values)
        pod = of_kind("Deployment", objects)["spec"]["template"]["spec"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], 129)
        self.assertEqual(pod["containers"][0]["lifecycle"], {"preStop": {"sleep": {"seconds": 9}}})
        self.assertIn('drain_timeout = "120s"', of_kind("ConfigMap", objects)["data"]["entrada.toml"])

    def test_what_shares_a_store_needs_no_volume_and_rolls(self):
        objects = rendered(with_values())
        self.assertIsNone(of_kind("PersistentVolumeClaim", objects))
        spec = of_kind("Deployment", objects)["spec"]
        self.assertEqual(spec["strategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        self.assertEqual([volume["name"] for volume in spec["template"]["spec"]["volumes"]], ["config", "secret"])
        self.assertIsNotNone(of_kind("PodDisruptionBudget", objects))

        objects = rendered(with_values(ALONE))
        self.assertIsNotNone(of_kind("PersistentVolumeClaim", objects))
        self.assertEqual(of_kind("Deployment", objects)["spec"]["strategy"], {"type": "Recreate"})
        self.assertIsNone(of_kind("PodDisruptionBudget", objects))

    def test_a_change_of_what_is_read_at_the_start_begins_pods_anew(self):
        def marks(*changes):
            objects = rendered(with_values(TRIAL, *changes))
            return of_kind("Deployment", objects)["spec"]["template"]["metadata"]["annotations"]

        before = marks()
        self.assertNotEqual(before["checksum/config"], marks({"config": {"log_level": "debug"}})["checksum/config"])
        self.assertNotEqual(before["checksum/secret"], marks({"secret": {"storePassword": "new"}})["checksum/secret"])

    def test_no_secret_stands_in_what_anybody_may_read(self):
        objects = rendered(with_values(TRIAL))
        text = json.dumps([thing for thing in objects if thing["kind"] != "Secret"])
        for secret in ("clientSecret", "storePassword", "keyEncryptionKey"):
            self.assertNotIn(TRIAL["secret"][secret], text)

    def test_each_secret_the_gateway_reads_is_mounted(self):
        for name, values in INSTALLATIONS.items():
            with self.subTest(name):
                objects = rendered(values)
                toml = of_kind("ConfigMap", objects)["data"]["entrada.toml"]
                read = set(re.findall(r'"/run/secrets/entrada/([\w-]+)"', toml))
                volumes = of_kind("Deployment", objects)["spec"]["template"]["spec"]["volumes"]
                items = [item for volume in volumes for item in volume.get("secret", {}).get("items", [])]
                self.assertEqual({item["path"] for item in items}, read)
                made = of_kind("Secret", objects)
                if made:
                    self.assertEqual(set(made["data"]), read)

    def test_the_network_leads_where_it_must(self):
        def ports(values):
            policy = of_kind("NetworkPolicy", rendered(values))["spec"]
            self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
            # Neither the MCP servers' ports nor the store's lead to the metadata of the node.
            for rule in policy["egress"]:
                for block in [to["ipBlock"] for to in rule.get("to", [{}]) if "ipBlock" in to]:
                    if block["cidr"] == "0.0.0.0/0":
                        self.assertIn("169.254.0.0/16", block["except"])
                if [port["port"] for port in rule["ports"]] != [53, 53]:
                    self.assertTrue(rule.get("to"), rule)
            return [[port["port"] for port in rule["ports"]] for rule in policy["egress"]]

        dns_and_web = [[53, 53], [443]]
        for url, expected in [
            ("redis://redis.data.svc", [6379]),
            ("rediss://redis.data.svc:6380/2", [6380]),
            ("redis+cluster://a.svc:7000,b.svc:7001", [7000, 7001]),
            ("redis+sentinel://a.svc:26379,b.svc:26379/mymaster", [26379, 6379]),
            ("rediss+sentinel://a.svc/mymaster?timeout=2s", [26379, 6379]),
            ("valkeys+cluster://u@[2001:db8::1]:7000,b.svc", [6379, 7000]),
            ("postgres://entrada@db.data.svc/entrada?sslmode=verify-full", [5432]),
            ("postgresql://entrada@db1.svc:6432,db2.svc/entrada", [5432, 6432]),
        ]:
            with self.subTest(url):
                self.assertEqual(ports(with_values({"store": {"url": url}})), [*dns_and_web, [3000], expected])
        self.assertEqual(ports(with_values(ALONE)), [*dns_and_web, [3000]])
        several = INSTALLATIONS["Redis with Sentinel, and a few servers"]
        self.assertEqual(ports(several)[2], [3001, 443])

    def test_metrics_are_off_and_have_a_port_of_their_own(self):
        without = rendered(with_values())
        self.assertNotIn("9464", json.dumps(without))
        objects = rendered(INSTALLATIONS["with everything"])
        toml = of_kind("ConfigMap", objects)["data"]["entrada.toml"]
        self.assertIn('metrics_listen = "[::]:9464"', toml)
        ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
        self.assertEqual(ports, {"http": 8000, "metrics": 9464})
        # Neither service nor ingress lead there.
        for kind in ("Service", "Ingress", "HTTPRoute"):
            self.assertNotIn("metrics", json.dumps(of_kind(kind, objects)["spec"]))
        monitor = of_kind("PodMonitor", objects)
        self.assertEqual(monitor["spec"]["podMetricsEndpoints"][0]["port"], "metrics")
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        pod = of_kind("Deployment", objects)["spec"]["template"]["metadata"]
        self.assertEqual(pod["annotations"]["prometheus.io/port"], "9464")
        self.assertEqual(monitor["spec"]["selector"]["matchLabels"].items() - pod["labels"].items(), set())
        rules = of_kind("NetworkPolicy", objects)["spec"]["ingress"]
        self.assertEqual([rule["ports"][0]["port"] for rule in rules], ["http", "metrics"])
        self.assertNotEqual(rules[0]["from"], rules[1]["from"])

    def test_an_identity_of_the_cluster_needs_no_secret(self):
        objects = rendered(INSTALLATIONS["with an identity, and nothing secret"])
        account = of_kind("ServiceAccount", objects)["metadata"]
        self.assertEqual(account["annotations"], {"azure.workload.identity/client-id": gateway.CLIENT_ID})
        labels = of_kind("Deployment", objects)["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(labels["azure.workload.identity/use"], "true")
        self.assertNotIn("/run/secrets", json.dumps(objects))

    def test_the_gateway_knows_every_setting(self):
        for name, values in INSTALLATIONS.items():
            with self.subTest(name):
                toml = of_kind("ConfigMap", rendered(values))["data"]["entrada.toml"]
                gateway.all_known(self, gateway.toml_keys(toml))
        refused = (CHART / "templates/_refusals.tpl").read_text()
        named = re.search(r'list ("listen"[^-]*) -}}', refused)[1]
        gateway.all_known(self, set(re.findall(r'"(\w+)"', named)))

    def test_the_gateway_serves_with_what_is_rendered(self):
        """What the pod has at fixed places is in a folder here, and there is no shared store."""
        values = INSTALLATIONS["one with a volume"]
        objects = rendered(values)
        toml = of_kind("ConfigMap", objects)["data"]["entrada.toml"]
        ports = container(objects)["ports"]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "client-secret").write_text(gateway.CLIENT_SECRET)
            toml = toml.replace("/run/secrets/entrada", str(folder)).replace("/var/lib/entrada", str(folder / "data"))
            (folder / "entrada.toml").write_text(toml)
            arguments = container(objects)["args"]
            self.assertEqual(arguments[0], "serve")
            arguments = [word.replace("/etc/entrada", str(folder)) for word in arguments[1:]]
            with gateway.Gateway(arguments, cwd=os.sep) as served:
                for probe in ("livenessProbe", "readinessProbe"):
                    path = container(objects)[probe]["httpGet"]["path"]
                    self.assertEqual(served.status(path), 200)
                self.assertEqual(served.status("/mcp"), 401)
                self.assertEqual(served.stop(), 0)
        self.assertIn(f'listen = "0.0.0.0:{ports[0]["containerPort"]}"', toml)


if __name__ == "__main__":
    unittest.main()
