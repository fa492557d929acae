"""What MCP's conformance suite says of one side directly and with the gateway in between, held against each other."""

import collections
import json
import pathlib
from collections.abc import Iterable

from programs import TOOLS

SUITE = TOOLS / "node" / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

# How often each check of a scenario came to each verdict. What is merely noted differs from run to run.
Results = dict[str, collections.Counter]


def read(folder: str, prefix: str = "") -> Results:
    """What the suite has written to `folder`."""
    found: Results = {}
    for checks in pathlib.Path(folder).glob("*/checks.json"):
        # server-SCENARIO-2026-12-01T07-59-23-400Z
        scenario = checks.parent.name.removeprefix(prefix)[: -len("-2026-12-01T07-59-23-400Z")]
        verdicts = ((check["id"], check["name"], check["status"]) for check in json.loads(checks.read_text()))
        found[scenario] = collections.Counter(verdict for verdict in verdicts if verdict[2] != "INFO")
    return found


def failures(found: Results, passing: Iterable[str], known: Iterable[str]) -> list[str]:
    verdicts = ((scenario, *verdict) for scenario, counted in found.items() for verdict in counted)
    failed = ((scenario, check) for scenario, check, _, status in verdicts if status not in passing)
    return [f"{scenario}: {check} does not pass directly" for scenario, check in failed if check not in known]


def differences(direct: Results, through: Results, expected: Iterable[str] = ()) -> list[str]:
    told, met = [], set()
    for scenario in sorted(direct.keys() | through.keys()):
        ours, theirs = (side.get(scenario, collections.Counter()) for side in (through, direct))
        sides = [("directly", theirs - ours), ("through the gateway", ours - theirs)]
        apart = [(where, verdict) for where, verdicts in sides for verdict in verdicts.elements()]
        met |= {check for _, (check, _, _) in apart} & set(expected)
        told += [f"{scenario}: {where} {verdict}" for where, verdict in apart if verdict[0] not in expected]
    return told + [f"{check} is the same, and should not be" for check in set(expected) - met]


def told(what: str, found: Results, wrong: list[str]) -> bool:
    count = sum(sum(counted.values()) for counted in found.values())
    print(f"{'FAILED' if wrong else 'ok    '} {what}: {len(found)} scenarios, {count} checks", flush=True)
    for line in wrong:
        print(f"       {line}")
    return not wrong
