#!/usr/bin/env python3
"""Adds up a JUnit report of ctest.

Usage: ctest_report.py <report.xml> <preset> <file for the names of skipped tests>

Prints "<passed> <failed> <skipped>". No tests at all count as a failure: a suite that ran nothing has shown nothing."""

import sys
import xml.etree.ElementTree as xml


def reason(case):
    """The last line that a skipped test printed: it says why."""
    lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"


def main():
    report, preset, skipped_file = sys.argv[1:]
    passed = failed = skipped = 0
    with open(skipped_file, "a", encoding="utf-8") as names:
        for case in xml.parse(report).getroot().iter("testcase"):
            if case.find("failure") is not None or case.get("status") == "fail":
                failed += 1
                print(f"  FAILED ({preset}) {case.get('name')}", file=sys.stderr)
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
                names.write(f"({preset}) {case.get('name')}: {reason(case)}\n")
            else:
                passed += 1
    if passed + failed + skipped == 0:
        print(f"  FAILED ({preset}) there are no tests", file=sys.stderr)
        failed = 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
