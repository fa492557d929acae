"""Dashboard and alert rules: Prometheus takes them, and they ask for metrics and labels there are."""

import json
import re
import subprocess
import tempfile
import unittest

import yaml

import gateway

DASHBOARD = gateway.ROOT / "deploy/grafana/entrada.json"
RULES = gateway.ROOT / "deploy/prometheus/alerts.yml"
METRIC = r"\b(?:entrada|process)_[a-z_]+\b"
# What Prometheus adds to each series.
ADDED = {"job", "instance", "le"}


def documented():
    """The metrics of docs/METRICS.md: their kinds and labels by name."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", (gateway.ROOT / "docs/METRICS.md").read_text(), re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return shown, rules


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], cwd=RULES.parent, capture_output=True, text=True)


class Observing(unittest.TestCase):
    def test_what_is_asked_for_is_there(self):
        there = documented()
        self.assertGreater(len(there), 20)
        shown, rules = expressions()
        self.assertGreater(len(shown), 30)
        for expression in shown + rules:
            with self.subTest(expression):
                found = re.findall(METRIC, expression)
                self.assertTrue(found)
                labels = set(ADDED)
                for name in found:
                    base = re.sub(r"_bucket$", "", name)
                    self.assertIn(base, there)
                    kind, own = there[base]
                    self.assertEqual(name != base, kind == "histogram")
                    labels |= own
                asked = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
                asked += [word for by in re.findall(r"by \(([^)]*)\)", expression) for word in by.split(", ")]
                self.assertLessEqual(set(asked), labels)

    def test_everything_that_is_told_is_shown(self):
        shown, _ = expressions()
        found = {re.sub(r"_bucket$", "", name) for expression in shown for name in re.findall(METRIC, expression)}
        self.assertEqual(found, set(documented()))

    def test_legends_name_labels_that_are_kept(self):
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            for target in panel.get("targets", []):
                with self.subTest(panel["title"]):
                    kept = {word for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in by.split(", ")}
                    named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                    self.assertLessEqual(named, kept | {"instance"})

    def test_panels_do_not_lie_on_each_other(self):
        taken = set()
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(taken & cells, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells

    def test_prometheus_takes_the_rules(self):
        done = promtool("check", "rules", "alerts.yml")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def test_prometheus_takes_the_queries(self):
        shown, _ = expressions()
        for variable, value in [("$__rate_interval", "5m"), ("$__range", "6h"), ("$job", ".*")]:
            shown = [expression.replace(variable, value) for expression in shown]
        group = {"name": "shown", "rules": [{"record": f"a{at}", "expr": it} for at, it in enumerate(shown)]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [group]}, file)
            file.flush()
            done = promtool("check", "rules", file.name)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertIn(f"{len(shown)} rules found", done.stdout)

    def test_the_alerts_go_off_when_they_should(self):
        done = promtool("test", "rules", "alerts_test.yml")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
