#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does it matter which I/O scheduler a device has, and which share of dirty memory (max_ratio) it may
have? The Python tool sets both before it writes; ours writes past the page cache and leaves them alone.
Times a copy for each setting on a loop device of its own that lies in memory, in turn with the first
setting (A B A B), and prints the median of the pairs' ratios.

As root: bench/schedulers.py [--mib N] [--runs N] BMAPTOOL"""
import argparse
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "support"))
sys.dont_write_bytecode = True
import device as d  # noqa: E402


def put(path, value):
    with open(path, "w") as f:
        f.write(str(value))


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("tool", metavar="BMAPTOOL")
    ap.add_argument("--mib", type=int, default=512)
    ap.add_argument("--runs", type=int, default=5)
    args = ap.parse_args()
    d.require_root()
    d.require_loop()
    bed = d.Bed("schedulers", 3 * args.mib * d.MIB)
    try:
        image = bed.path("disk.img")
        with open(image, "wb") as f:
            for _ in range(args.mib):
                f.write(os.urandom(d.MIB))
        subprocess.run([args.tool, "create", image, "-o", image + ".bmap"], check=True,
                       stderr=subprocess.DEVNULL)
        dev, _backing = bed.loop("target", args.mib * d.MIB)
        name = os.path.basename(dev)
        scheduler = "/sys/block/%s/queue/scheduler" % name
        ratio = "/sys/block/%s/bdi/max_ratio" % name
        with open(scheduler) as f:
            known = f.read().replace("[", "").replace("]", "").split()
        settings = [(s, 100) for s in known] + [("none", 1)]

        def copy(setting):
            put(scheduler, setting[0])
            put(ratio, setting[1])
            begun = time.monotonic()
            subprocess.run([args.tool, "-q", "copy", image, dev], check=True)
            return time.monotonic() - begun

        copy(settings[0])
        for setting in settings[1:]:
            pairs = [(copy(settings[0]), copy(setting)) for _ in range(args.runs)]
            print("%-12s max_ratio %3d: %.2f of the time with %s" % (
                setting[0], setting[1], statistics.median(b / a for a, b in pairs), settings[0][0]),
                flush=True)
    finally:
        bed.close()


if __name__ == "__main__":
    main()
