#!/usr/bin/env python3
"""Adds up a JUnit report of ctest.

Usage: ctest_report.py <report.xml> <report of the second run.xml> <preset> <folder of logs>

Tests that failed may have been run a second time, alone; what passed then counts as passed, but is named as unsteady.
Appends to skipped, failed and unsteady in the folder of logs: names, with what a failed test printed last.
Prints "<passed> <failed> <skipped>". No tests at all count as a failure: a suite that ran nothing has shown nothing."""

import pathlib
import sys
import xml.etree.ElementTree as xml


LINES_OF_A_FAILURE = 30


def printed(case):
    return [line.rstrip() for line in (case.findtext("system-out") or "").splitlines() if line.strip()]


def reason(case):
    """The last line that a skipped test printed: it says why."""
    return (printed(case) or ["it does not say why"])[-1].strip()


def failed(case):
    return case.find("failure") is not None or case.get("status") == "fail"


def skipped(case):
    return case.find("skipped") is not None or case.get("status") in ("notrun", "disabled")


def cases_of(report):
    return list(xml.parse(report).getroot().iter("testcase")) if report.exists() else []


def main():
    report, second_report, preset, logs = sys.argv[1:]
    cases = cases_of(pathlib.Path(report))
    second = cases_of(pathlib.Path(second_report))
    passed_alone = {case.get("name") for case in second if not failed(case) and not skipped(case)}
    counts = {"passed": 0, "failed": 0, "skipped": 0}

    def note(file, text):
        with open(pathlib.Path(logs) / file, "a", encoding="utf-8") as lines:
            lines.write(text + "\n")

    for case in cases:
        name = f"({preset}) {case.get('name')}"
        if failed(case):
            steady = case.get("name") in passed_alone
            counts["passed" if steady else "failed"] += 1
            note("unsteady" if steady else "failed", "\n    ".join([name, *printed(case)[-LINES_OF_A_FAILURE:]]))
        elif skipped(case):
            counts["skipped"] += 1
            note("skipped", f"{name}: {reason(case)}")
        else:
            counts["passed"] += 1
    if not cases:
        counts["failed"] = 1
        note("failed", f"({preset}) there are no tests")
    print(*counts.values())


if __name__ == "__main__":
    main()
