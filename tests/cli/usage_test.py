#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Command lines: what is wrong usage, what help and version print, which options exclude each other."""
import os
import subprocess
import sys

from common import d, image

CONFLICTS = [
    (["--nobmap", "--bmap", "B"], "--nobmap and --bmap"),
    (["--nobmap", "--bmap-sig", "S"], "--nobmap and --bmap-sig"),
    (["--nobmap", "--keyring=K"], "--nobmap and --keyring"),
    (["--fingerprint", "00", "--nobmap"], "--nobmap and --fingerprint"),
    (["--bmap-sig", "S", "--no-sig-verify"], "--bmap-sig and --no-sig-verify"),
    (["--no-sig-verify", "--keyring", "K"], "--no-sig-verify and --keyring"),
    (["--fingerprint=00", "--no-sig-verify"], "--no-sig-verify and --fingerprint"),
    (["--no-read-back", "--read-back"], "--read-back and --no-read-back"),
    (["-q", "-d"], "--quiet and --debug"),
    (["--nob", "--bmap=B"], "--nobmap and --bmap"),
]

WRONG = [
    [],
    ["bench"],
    ["bench", "a", "--depth", "0"],
    ["bench", "a", "--op=erase"],
    ["bench", "a", "--block-size", "5000"],
    ["bench", "a", "--time", "0"],
    ["bench", "a", "--op", "write"],
    ["bench", "a", "--write", "--op", "read"],
    ["bench", "a", "--write", "--pattern", "ones"],
    ["frobnicate"],
    ["cop", "a", "b"],  # commands are not shortened
    ["--frobnicate", "copy", "a", "b"],
    ["copy"],
    ["copy", "a"],
    ["copy", "a", "--nobmap"],
    ["copy", "--frobnicate", "a", "b"],
    ["copy", "--no", "a", "b"],
    ["copy", "--bma", "x", "a", "b"],
    ["copy", "a", "b", "--bmap"],
    ["copy", "a", "b", "--nobmap=yes"],
    ["copy", "a", "b", "--memory", "lots"],
    ["copy", "a", "b", "--queue-depth", "0"],
    ["copy", "a", "b", "--stall-timeout", "-1"],
    ["copy", "a", "b", "--workers=1.5"],
    ["copy", "a", "b", "--target-by", "by-id"],
    ["copy", "a", "--target-by", "by-name", "x"],
    ["copy", "--target-by", "by-id", "x"],
    ["copy", "--targets-from", "x"],
    ["copy", "a", "b", "--expect-size", "32X"],
    ["copy", "a", "b", "--expect-size=32G+5%"],
    ["copy", "a", "b", "--expect-count", "0"],
    ["copy", "a", "b", "--straggler", "leave"],
    ["copy", "a", "b", "--straggler="],
    ["copy", "a", "b", "--expect-count=1025"],
    ["create"],
    ["create", "a", "b"],
    ["create", "a", "-o"],
    ["create", "a", "--checksum-type", "crc32"],
    ["create", "a", "--checksum-type", "none"],
    ["create", "a", "--nobmap"],
    ["pack", "a"],
    ["pack", "-o", "b"],
    ["pack", "a", "-o", "b", "--level", "0"],
    ["pack", "a", "-o", "b", "--level=20"],
    ["list", "--jsn"],
    ["list", "--all=yes"],
    ["verify"],
    ["verify", "a", "b"],
    ["verify", "a", "--no-verify"],
]


def wrong_usage_exits_2_and_says_how_it_is_right(bed):
    for argv in WRONG:
        done = d.expect_exit(d.tool(*argv, cwd=bed.folder), 2)
        d.expect(done.out == "", "something on standard output", done)
        d.expect(done.err.startswith("usage: bmaptool"), "no usage line", done)
        d.expect(len(done.err.splitlines()) == 2, "two lines expected", done)
        d.expect("bmaptool: ERROR: " in done.err and "--help" in done.err, "no error line", done)
    d.expect(os.listdir(bed.folder) == [], "a file was made")


def options_that_exclude_each_other_are_named(bed):
    source = image(bed)
    with open(bed.path("dest"), "w") as f:
        f.write("precious")
    for argv, names in CONFLICTS:
        done = d.expect_exit(d.tool("copy", *argv, source, bed.path("dest")), 2)
        d.expect(names + " cannot be used together" in done.err, "not named", done)
        with open(bed.path("dest")) as f:
            d.expect(f.read() == "precious", "the destination was touched", done)
    for argv, names in CONFLICTS:
        if "--no-sig-verify" in argv:
            done = d.expect_exit(d.tool("verify", *argv, source), 2)
            d.expect(names + " cannot be used together" in done.err, "not named", done)
    done = d.expect_exit(d.tool("-q", "copy", "-d", source, bed.path("dest")), 2)
    d.expect("--quiet and --debug" in done.err, "not named", done)


def help_and_version_go_to_standard_output(bed):
    for argv in (["-h"], ["--help"], ["--hel"], ["copy", "--help"], ["write", "-h"],
                 ["create", "a", "b", "c", "-h"][:2] + ["-h"], ["verify", "--help"], ["pack", "-h"], ["list", "-h"],
                 ["bench", "-h"],
                 ["-q", "copy", "-h"]):
        done = d.expect_exit(d.tool(*argv), 0)
        d.expect(done.out.startswith("usage: bmaptool") and done.err == "", "no help", done)
        for line in done.out.splitlines():
            d.expect(len(line) <= 85, "wider than a terminal: %r" % line)
    done = d.expect_exit(d.tool("--version"), 0)
    d.expect(done.out.startswith("bmaptool ") and done.out.count(".") == 2, "no version", done)


def output_that_cannot_be_written_is_a_failure(bed):
    for argv in (["--help"], ["--version"], ["copy", "-h"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([d.BMAPTOOL] + argv, stdout=full, stderr=subprocess.PIPE)
        d.expect(done.returncode == 1 and b"No space left" in done.stderr,
                 "%s: %s" % (argv, done))


def closed_descriptors_are_not_given_to_files(bed):
    source = image(bed)
    for closed in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
        def close():
            for fd in closed:
                os.close(fd)
        done = subprocess.run([d.BMAPTOOL, "copy", source, bed.path("out")], preexec_fn=close)
        d.expect(done.returncode == 0, "%s closed: exit %d" % (closed, done.returncode))
        with open(source, "rb") as a, open(bed.path("out"), "rb") as b:
            d.expect(a.read() == b.read(), "%s closed: log lines in the destination" % (closed,))
    # What needs them fails as it did.
    done = subprocess.run([d.BMAPTOOL, "create", source], preexec_fn=lambda: os.close(1),
                          stderr=subprocess.PIPE)
    d.expect(done.returncode == 1, "a map that went nowhere was a success")
    done = subprocess.run([d.BMAPTOOL, "copy", "--nobmap", "-", bed.path("out2")],
                          preexec_fn=lambda: os.close(0), stderr=subprocess.PIPE)
    d.expect(done.returncode == 1, "an image from nowhere was a success")


if __name__ == "__main__":
    sys.exit(d.main([
        wrong_usage_exits_2_and_says_how_it_is_right,
        options_that_exclude_each_other_are_named,
        help_and_version_go_to_standard_output,
        output_that_cannot_be_written_is_a_failure,
        closed_descriptors_are_not_given_to_files,
    ]))
