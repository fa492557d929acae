"""What is written of this folder: files, settings, paths and figures are those there are."""

import re
import tomllib
import unittest

import yaml

import chart
import gateway
import sandbox

DEPLOYMENT = gateway.ROOT / "docs/DEPLOYMENT.md"
PAPERS = [DEPLOYMENT, gateway.ROOT / "deploy/helm/entrada/README.md"]


def prose(paper):
    """The text of `paper` without its examples."""
    return re.sub(r"```.*?```", "", paper.read_text(), flags=re.DOTALL)


class Papers(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for paper in [*PAPERS, gateway.ROOT / "README.md"]:
            for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", paper.read_text()):
                path = (paper.parent / link).resolve()
                self.assertTrue(path.exists(), f"{paper.name}: {link}")

    def test_links_within_lead_to_headings(self):
        for paper in PAPERS:
            for link, heading in re.findall(r"\]\(([^)#:]+)#([\w-]+)\)", paper.read_text()):
                text = (paper.parent / link).read_text()
                headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", found).lower().replace(" ", "-") for found in headings}
                self.assertIn(heading, slugs, f"{paper.name}: {link}")

    def test_files_that_are_named_exist(self):
        for paper in PAPERS:
            for path in re.findall(r"\bdeploy/[\w./-]*\w", paper.read_text()):
                self.assertTrue((gateway.ROOT / path).exists(), f"{paper.name}: {path}")

    def test_settings_that_are_named_exist(self):
        named = {word for paper in PAPERS for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", prose(paper))}
        variables = {word.lower() for paper in PAPERS for word in re.findall(r"\bENTRADA_([A-Z_]+)", paper.read_text())}
        self.assertIn("drain_timeout", named)
        gateway.all_known(self, (named | variables) - {"trusted_issuer"})

    def test_values_that_are_named_exist(self):
        schema = yaml.safe_load((chart.CHART / "values.schema.json").read_text())["properties"]
        for paper in PAPERS:
            for word in re.findall(r"`(\w+\.\w+)(?:: [^`]*)?`", prose(paper)):
                value, part = word.split(".")
                if value in schema and value != "config":
                    self.assertIn(part, schema[value]["properties"], f"{paper.name}: {word}")

    def test_the_example_of_values_renders(self):
        (example,) = re.findall(r"```yaml\n(# values.yaml\n.*?)```", DEPLOYMENT.read_text(), re.DOTALL)
        objects = chart.rendered(yaml.safe_load(example))
        self.assertEqual(chart.of_kind("Deployment", objects)["spec"]["replicas"], 3)
        (secret,) = [volume["secret"] for volume in volumes(objects) if "secret" in volume]
        self.assertIn(f"create secret generic {secret['secretName']}", DEPLOYMENT.read_text())
        given = re.findall(r"--from-file=([\w-]+)", DEPLOYMENT.read_text())
        self.assertEqual({item["key"] for item in secret["items"]}, set(given))
        tomllib.loads(chart.of_kind("ConfigMap", objects)["data"]["entrada.toml"])

    def test_lines_to_alert_on_are_logged(self):
        sources = "".join(path.read_text() for path in gateway.ROOT.glob("crates/entrada*/src/**/*.rs"))
        (table,) = re.findall(r"## What to alert on\n(.*)", DEPLOYMENT.read_text(), re.DOTALL)
        lines = re.findall(r"^\| `([a-z][a-z, ]+ [a-z ]+)` \|", table, re.MULTILINE)
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertIn(line, sources)

    def test_probes_are_those_of_the_gateway(self):
        (table,) = re.findall(r"## Probes\n(.*?)\n## ", DEPLOYMENT.read_text(), re.DOTALL)
        self.assertEqual(re.findall(r"^\| `(/\w+)`", table, re.MULTILINE), list(gateway.probes().values()))

    def test_figures_are_those_of_the_files(self):
        text = DEPLOYMENT.read_text()
        unit = sandbox.settings(gateway.ROOT / "deploy/systemd/entrada.service")
        limit = int(re.search(r"above (\d+) seconds raises `TimeoutStopSec`", text)[1])
        self.assertLess(limit, int(unit["TimeoutStopSec"][0]))
        memory = chart.of_kind("Deployment", chart.rendered(chart.with_values()))
        memory = memory["spec"]["template"]["spec"]["containers"][0]["resources"]
        said = re.search(r"a tenth of a core and (\d+) MiB, and allows (\d+) MiB", text)
        self.assertEqual(memory["requests"], {"cpu": "100m", "memory": f"{said[1]}Mi"})
        self.assertEqual(memory["limits"], {"memory": f"{said[2]}Mi"})
        oldest = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["kubeVersion"]
        self.assertIn(f"Kubernetes {re.search(r'[0-9]+[.][0-9]+', oldest)[0]} or later", text)


def volumes(objects):
    return chart.of_kind("Deployment", objects)["spec"]["template"]["spec"]["volumes"]


if __name__ == "__main__":
    unittest.main()
