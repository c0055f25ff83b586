#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: summarize-tests.py TESTLOG_JSON EXIT_CODE_OF_MESON

Counts the cases inside the test programs (cmocka's and TAP's lines; a program without such lines is one
case), lists what was skipped with its reason and what failed, and ends with "N passed, N failed, N
skipped". Exit 1 if anything failed."""
import json
import re
import sys

CMOCKA = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([A-Za-z_]\w*)\s*$", re.M)
TAP = re.compile(r"^(ok|not ok) \d+ - ([^#\n]*?)(?:\s*# SKIP ?(.*))?$", re.M)
WORDS = {"OK": "ok", "FAILED": "fail", "SKIPPED": "skip"}


def cases(test):
    """[(ok|fail|skip, name, reason)] of one program."""
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    found = {}
    for word, name in CMOCKA.findall(text):
        found[name] = (WORDS[word], name, "see its output")
    for word, name, reason in TAP.findall(text):
        found[name] = ("fail" if word == "not ok" else "skip" if reason else "ok", name, reason)
    out = list(found.values())
    result = test["result"]
    if result in ("SKIP",) and not out:
        last = [line for line in text.strip().splitlines() if line.strip()]
        out = [("skip", "all", last[-1].strip() if last else "no reason given")]
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and not any(o[0] == "fail" for o in out):
        out.append(("fail", "the program", "%s, exit %s" % (result.lower(), test.get("returncode"))))
    if not out:
        out = [("ok", "", "")]
    return out


def skip_reason(test, name):
    """cmocka says no reason: the tests print one line before they skip."""
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if re.match(r"^\[ RUN\s+\] %s$" % re.escape(name), line):
            said = [x for x in lines[i + 1:i + 4] if x.strip() and not x.startswith("[")]
            if said:
                return said[0].strip()
    m = re.search(r"^.*(?:skip|needs|without|not installed).*$", text, re.M | re.I)
    return m.group(0).strip() if m else "no reason given"


def main():
    count = {"ok": 0, "fail": 0, "skip": 0}
    code = int(sys.argv[2])
    skipped, failed = [], []
    try:
        with open(sys.argv[1]) as f:
            tests = [json.loads(line) for line in f if line.strip()]
    except OSError:
        tests = []
    for test in tests:
        for what, name, reason in cases(test):
            count[what] += 1
            if what == "skip":
                if reason in ("", "see its output"):
                    reason = skip_reason(test, name)
                skipped.append("%s: %s: %s" % (test["name"], name, reason))
            elif what == "fail":
                failed.append("%s: %s%s" % (test["name"], name, ": " + reason if reason else ""))
    if not tests:
        failed.append("no test was run")
        count["fail"] += 1
    elif code and not failed:
        failed.append("meson test: exit %d" % code)
        count["fail"] += 1
    for title, lines in (("skipped", skipped), ("FAILED", failed)):
        for line in lines:
            print("%s: %s" % (title, line))
    print("%d passed, %d failed, %d skipped" % (count["ok"], count["fail"], count["skip"]))
    return 1 if count["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())
