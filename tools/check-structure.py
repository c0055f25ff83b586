#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what a compiler does not: which folder includes which, the length of files, the licence line,
the formatting. usage: tools/check-structure.py [TOP]. Prints one line per finding; exit 1 if any."""
import os
import re
import shutil
import subprocess
import sys

# What a folder below src/ may include beside itself and include/bmap/ (docs/structure.md).
LAYERS = {
    "base": [],
    "digest": ["base"],
    "bmap": ["digest", "base"],
    "encode": ["base"],
    "io": ["base"],
    "source": ["io", "base"],
    "decode": ["base"],
    "target": ["io", "base"],
    "fs": ["base"],
    "pipeline": ["target", "source", "decode", "encode", "io", "bmap", "digest", "base"],
    "job": ["pipeline", "fs", "target", "source", "decode", "encode", "io", "bmap", "digest", "base"],
    "cli": [],
}
LONG_LINES = 600  # a sign that a file has two jobs
TOO_LONG_LINES = 700
MAX_COLUMNS = 100
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<(bmap/[^>]+)>)', re.M)
SPDX = "SPDX-License-Identifier: MIT"
SKIP = re.compile(r"(^|/)(\.git|build[^/]*|subprojects|__pycache__|corpus|assets)(/|$)")

findings = []
notes = []


def finding(path, text):
    findings.append("%s: %s" % (path, text))


def files(top):
    """All files of the tree that we wrote, as paths relative to it."""
    for folder, dirs, names in os.walk(top):
        rel = os.path.relpath(folder, top)
        dirs[:] = sorted(d for d in dirs
                         if not SKIP.search(d) and not os.path.exists(
                             os.path.join(folder, d, "meson-private")))
        for name in sorted(names):
            yield os.path.normpath(os.path.join(rel, name))


def check_includes(path, text):
    folder = path.split(os.sep)[1]
    if folder not in LAYERS:
        finding(path, "src/%s is no layer: see docs/structure.md and LAYERS in this script" % folder)
        return
    for quoted, public in INCLUDE.findall(text):
        if public:
            continue
        if "/" not in quoted:
            finding(path, '"%s": written from src/, as "%s/%s"' % (quoted, folder, quoted))
            continue
        other = quoted.split("/")[0]
        if other == folder:
            continue
        if other not in LAYERS:
            finding(path, '"%s": no such layer' % quoted)
        elif other not in LAYERS[folder]:
            finding(path, '"%s": %s/ may include %s' % (
                quoted, folder, ", ".join(LAYERS[folder]) or "only <bmap/...> and itself"))
        elif quoted.endswith("_internal.h"):
            finding(path, '"%s": an internal header of %s/' % (quoted, other))


def check_public(path, text):
    for quoted, _public in INCLUDE.findall(text):
        if quoted:
            finding(path, '"%s": a public header includes only <bmap/...> and the C library' % quoted)


def check_file(top, path):
    try:
        with open(os.path.join(top, path), encoding="utf-8") as f:
            text = f.read()
    except (OSError, UnicodeDecodeError):
        return
    lines = text.split("\n")
    code = path.endswith((".c", ".h"))
    script = path.endswith((".sh", ".py")) or text.startswith("#!")
    first = lines[1] if text.startswith("#!") and len(lines) > 1 else lines[0]
    if (code or script) and SPDX not in first:
        finding(path, "the first line (after #!) is not '%s'" % SPDX)
    if code or script:
        if len(lines) > TOO_LONG_LINES:
            finding(path, "%d lines: two files in one" % len(lines))
        elif len(lines) > LONG_LINES:
            notes.append("%s: %d lines: look whether it is two files" % (path, len(lines)))
    if code:
        for n, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > MAX_COLUMNS and "http" not in line:
                finding("%s:%d" % (path, n), "longer than %d columns" % MAX_COLUMNS)
        if path.startswith("src" + os.sep):
            check_includes(path, text)
        elif path.startswith("include" + os.sep):
            check_public(path, text)


def formatter():
    """clang-format 14: other versions format differently."""
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name):
            says = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if "version 14." in says:
                return name
    return None


def check_format(top, paths):
    name = formatter()
    if not name:
        notes.append("clang-format 14 is not installed: formatting not checked")
        return
    done = subprocess.run([name, "--dry-run", "--style=file"] + paths, cwd=top,
                          capture_output=True, text=True)
    seen = set()
    for line in done.stderr.splitlines():
        m = re.match(r"([^:]+):(\d+):\d+: warning: code should be clang-formatted", line)
        if m and m.group(1) not in seen:
            seen.add(m.group(1))
            finding("%s:%s" % (m.group(1), m.group(2)), "not formatted: %s -i %s" % (name, m.group(1)))
    if done.returncode:
        finding(name, done.stderr.strip()[-200:])


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    top = os.path.abspath(top)
    paths = list(files(top))
    if not any(p.startswith("src" + os.sep) for p in paths):
        finding(top, "has no src/: not the project's folder")
    for path in paths:
        check_file(top, path)
    code = [p for p in paths if p.endswith((".c", ".h"))]
    if code:
        check_format(top, code)
    for note in notes:
        print("note: " + note)
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
