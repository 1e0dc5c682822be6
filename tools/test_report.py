#!/usr/bin/env python3
"""test_report.py PRESET - after ctest: minutes per group of tests, and what was skipped.

Reads build/PRESET/tests.xml (ctest --output-junit), and the groups from ctest itself.  A skip is a
test that says so (exit status 77), or a case of it (`[  SKIPPED ] case` in its output).
tests/skips.txt lists those that are expected; any other is told, and with CI set it fails."""
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIST = os.path.join("tests", "skips.txt")
SLOW_S, SLOWEST = 20, 5


class Expected:
    """The lines of tests/skips.txt: TEST CASE PRESETS REASON; `*` stands for all."""

    def __init__(self, path, known_tests):
        self.rows, self.wrong = [], []
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.startswith("#"):
                    self.add(number, line.split(maxsplit=3), known_tests)

    def add(self, number, fields, known_tests):
        if len(fields) != 4:
            self.wrong.append(f"{LIST}:{number}: a line is TEST CASE PRESETS REASON")
        elif fields[0] not in known_tests:
            self.wrong.append(f"{LIST}:{number}: there is no test {fields[0]}; remove the line")
        else:
            self.rows.append(fields)

    def has(self, test, case, preset):
        return any(row[0] == test and row[1] in ("*", case) and
                   (row[2] == "*" or preset in row[2].split(",")) for row in self.rows)


def groups_of(folder):
    """{test: group}: its label, with what runs beside a broker apart."""
    shown = json.loads(subprocess.run(["ctest", "--test-dir", folder, "--show-only=json-v1"],
                                      capture_output=True, check=True).stdout)
    groups = {}
    for test in shown["tests"]:
        labels = {each["name"]: each["value"] for each in test.get("properties", [])}.get("LABELS")
        group = labels[0] if labels else "fixtures"
        groups[test["name"]] = group + (" on Kafka" if "kafka" in test["name"] and labels else "")
    return groups


def skips_of(case):
    """[(case or `*`, what it says)] of one test."""
    output = case.findtext("system-out") or ""
    if case.find("skipped") is not None:
        said = output.strip().splitlines()
        return [("*", said[-1] if said else "without a word")]
    found = re.findall(r"^\[  SKIPPED \] (?:\w+: )?(\w\S*)(?: -- (.*))?$", output, re.M)
    # cmocka names each of them a second time, in its summary.
    return sorted({name: why for name, why in found if not name.isdigit()}.items())


def tell_minutes(preset, cases, groups):
    seconds, counts = {}, {}
    for case in cases:
        group = groups.get(case.get("name"), "?")
        seconds[group] = seconds.get(group, 0) + float(case.get("time"))
        counts[group] = counts.get(group, 0) + 1
    for group in sorted(seconds, key=seconds.get, reverse=True):
        print(f"minutes: {preset}: {group}: {seconds[group] / 60:.1f} ({counts[group]} tests)")
    slow = sorted(cases, key=lambda case: float(case.get("time")), reverse=True)[:SLOWEST]
    told = [f"{case.get('name')} {float(case.get('time')):.0f} s" for case in slow
            if float(case.get("time")) > SLOW_S]
    if told:
        print(f"slowest: {', '.join(told)}")


def tell_skips(preset, cases, expected):
    """The number of those that nobody expects."""
    found = [(case.get("name"), name, why) for case in cases for name, why in skips_of(case)]
    surprising = [each for each in found if not expected.has(each[0], each[1], preset)]
    if found:
        print(f"skipped: {len(found)}, of which {LIST} lists {len(found) - len(surprising)}")
    for test, name, why in surprising:
        print(f"skipped: {test}{'' if name == '*' else ' ' + name}: {why or 'no reason given'}")
    return len(surprising)


def main(preset):
    folder = os.path.join(ROOT, "build", preset)
    groups = groups_of(folder)
    root = xml.etree.ElementTree.parse(os.path.join(folder, "tests.xml")).getroot()
    cases = root.findall("testcase")
    expected = Expected(os.path.join(ROOT, LIST), groups)
    tell_minutes(preset, cases, groups)
    surprising = tell_skips(preset, cases, expected)
    for line in expected.wrong:
        print(line)
    if os.environ.get("CI") and surprising:
        print(f"{surprising} skipped tests are failures in CI: what they need comes with "
              f"`make setup`, or a line in {LIST} says why not")
    return 1 if expected.wrong or (os.environ.get("CI") and surprising) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
