#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times this bmaptool against the Python one, on the same image, in pairs (A B A B), on a loop device that
lies in memory, with direct I/O; beside it what the decompressors alone need. Medians, and the median of
the pairs' ratios.

As root. Needs about 4 times --files of memory in /dev/shm (and the image, sparse). Packages:
tools/setup-debian.sh bench."""
import argparse
import hashlib
import os
import shutil
import statistics
import sys
import time

import common
from common import d, pack, pack_frames, peak_memory

MANY_RANGES = 100000
CASES = ["raw", "gz", "zst", "frames", "create", "many", "single"]


class Bench(common.Bench):
    def row(self, case, mine, other, aims, beside=(), memory=None):
        """aims: (text, function of (ratio, our seconds, beside) -> bool or None if not measured)."""
        wall = statistics.median(t.wall for t in mine)
        cpu = statistics.median(t.cpu for t in mine)
        text = "%-8s ours %6.2f s (%5.2f CPU)" % (case, wall, cpu)
        ratio = None
        if other:
            theirs = statistics.median(t.wall for t in other)
            ratio = statistics.median(o.wall / m.wall for m, o in zip(mine, other))
            text += "  Python %6.2f s (%5.2f CPU)  %5.2fx" % (
                theirs, statistics.median(t.cpu for t in other), ratio)
        for name, seconds in beside:
            if seconds is not None:
                text += "  %s %.2f s (ours is %.2f of it)" % (name, seconds, wall / seconds)
        if memory:
            text += "  peak PSS %.0f MiB, VmHWM %.0f MiB" % memory
        known = dict(beside)
        for aim, judge in aims:
            verdict = judge(ratio, wall, known)
            text += "\n         aim %s: %s" % (
                aim, "not measured" if verdict is None else "met" if verdict else "MISSED")
        if memory:
            text += "\n         aim peak memory at most 64 MiB: %s" % (
                "met" if memory[0] <= 64 else "MISSED")
        print(text, flush=True)
        self.rows.append(text)


def at_least(times):
    return ("%.1fx the Python tool" % times,
            lambda ratio, _wall, _known: None if ratio is None else ratio >= times)


def within(share, name):
    return ("within %.2f of %s" % (share, name),
            lambda _ratio, wall, known: None if known.get(name) is None else
            wall <= share * known[name])


def python_command(args, *rest):
    return [args.python] + list(rest) if args.python else None


def copy_commands(bench, bmap, image):
    args = bench.args
    rest = ["copy", "--bmap", bmap, image, bench.device]
    return [args.ours] + rest, python_command(args, *rest)


def run_form(bench, case, source, aims, beside=()):
    ours, theirs = copy_commands(bench, bench.path("disk.bmap"), source)
    if case == "frames":
        theirs = None
    mine, other = bench.pairs(ours, theirs)
    bench.row(case, mine, other, aims, beside, peak_memory(ours))


def run_create(bench, image):
    args = bench.args
    out = bench.path("created.bmap")
    ours = [args.ours, "create", "-o", out, image]
    theirs = python_command(args, "create", "-o", out, image)
    mine, other = bench.pairs(ours, theirs)
    bench.row("create", mine, other, [at_least(2)], memory=peak_memory(ours))


def run_many(bench):
    """100,000 ranges of one block, with a gap of one block between."""
    count = max(1000, int(MANY_RANGES * min(1.0, bench.args.files / 1900)))
    size = count * 2 * 4096
    image = bench.path("many.img")
    with open(image, "wb") as f:
        f.truncate(size)
        for n in range(count):
            f.seek(n * 8192)
            f.write((b"%015d " % n) * 256)
    bmap = d.write_map(bench.path("many.bmap"), image, size, [(n * 2, n * 2) for n in range(count)])
    ours, theirs = copy_commands(bench, bmap, image)
    mine, other = bench.pairs(ours, theirs)
    print("# %d ranges of one block" % count)
    bench.row("many", mine, other, [at_least(5)], memory=peak_memory(ours))
    os.unlink(image)


def sha256_bytes_per_second():
    data = os.urandom(64 * d.MIB)
    best = 0
    for _ in range(3):
        begun = time.monotonic()
        hashlib.sha256(data).digest()
        best = max(best, len(data) / (time.monotonic() - begun))
    return best


def run_single(bench):
    """One range, so that nothing can be hashed in parallel: bounded by SHA-256 on one core."""
    size = min(bench.args.files, 1024) * d.MIB
    image = bench.path("single.img")
    block = os.urandom(8 * d.MIB)
    with open(image, "wb") as f:
        for n in range(size // len(block)):
            f.write(block[n % 4096:] + block[:n % 4096])
    size = os.path.getsize(image)
    bmap = d.write_map(bench.path("single.bmap"), image, size, [(0, size // 4096 - 1)])
    speed = sha256_bytes_per_second()
    bound = size / speed
    ours, theirs = copy_commands(bench, bmap, image)
    mine, other = bench.pairs(ours, theirs)
    print("# one range of %d MiB; SHA-256 of one core: %.2f GB/s" % (size // d.MIB, speed / 1e9))
    bench.row("single", mine, other, [], [("SHA-256 of its bytes", bound)], peak_memory(ours))
    os.unlink(image)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    common.add_options(ap, CASES)
    ap.add_argument("--python", default="/usr/bin/bmaptool", help="the Python tool; '' for none")
    ap.add_argument("--slow", action="store_true", help="also gzip -dc, which takes long")
    args, only = common.parse(ap, CASES)
    if args.python and not os.access(args.python, os.X_OK):
        print("# %s is not there: ours alone (tools/setup-debian.sh bench)" % args.python)
        args.python = None
    bench = Bench(args)
    bench.attach(args.size * d.MIB)
    common.print_machine()
    if set(only) - {"many", "single"}:
        image, _bmap = bench.disk()
    if "raw" in only:
        run_form(bench, "raw", image, [at_least(1.4)])
    if "create" in only:
        run_create(bench, image)
    if "gz" in only:
        packed = pack(["pigz" if shutil.which("pigz") else "gzip", "-6", "-c"], image,
                      bench.path("disk.img.gz"))
        beside = [("igzip -dc", bench.alone(["igzip", "-dc", packed]))]
        if args.slow:
            beside.append(("gzip -dc", bench.alone(["gzip", "-dc", packed], 1)))
        run_form(bench, "gz", packed, [at_least(5), within(1.15, "igzip -dc")], beside)
        os.unlink(packed)
    if "zst" in only:
        packed = pack(["zstd", "-3", "-T0", "-q", "-c"], image, bench.path("disk.img.zst"))
        beside = [("zstd -dc", bench.alone(["zstd", "-dc", "-q", packed]))]
        run_form(bench, "zst", packed, [at_least(4), within(1.0, "zstd -dc")], beside)
        os.unlink(packed)
    if "frames" in only:
        packed = pack_frames(image, bench.path("disk.frames.zst"))
        beside = [("zstd -dc", bench.alone(["zstd", "-dc", "-q", packed]))]
        run_form(bench, "frames", packed, [within(1.0, "zstd -dc")], beside)
        os.unlink(packed)
    if "many" in only:
        run_many(bench)
    if "single" in only:
        run_single(bench)
    return 1 if any("MISSED" in row for row in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
