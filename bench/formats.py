#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times a whole flash (decode, hash, write to a loop device that lies in memory, flush) of each format,
on one processor and on two, against the best tool that only decodes it to /dev/null, in pairs (A B A B).
Medians, the median of the pairs' ratios (ours to the tool's: less is better), how much faster two
processors are than one, and the peak memory; beside them what is aimed at on two processors. Exit 1 if an
aim was missed. By default meant to take less than 6 minutes: formats that are slow to unpack have half of
the image, two long pairs are enough, and one where nothing is aimed at.

As root. Needs about 4 times --files of memory in /dev/shm (and the image, sparse). Packages:
tools/setup-debian.sh bench."""
import argparse
import os
import shutil
import statistics
import sys

import common
from common import d, pack, pack_frames, peak_memory

SLOW_DIVISOR = 2
PAIRS_SECONDS = 10
MEMORY_AIM_MIB = 64
SPEED_UP_AIM = 1.8


class Format:
    def __init__(self, name, suffix, packer, tool, aim=None, scales=False, forced=None, slow=False):
        self.name, self.suffix, self.packer, self.tool = name, suffix, packer, tool
        self.aim = aim  # of the tool's time, on two processors
        self.scales = scales  # two processors are to be SPEED_UP_AIM times as fast as one
        self.forced = forced  # why its units need more memory than MEMORY_AIM_MIB
        self.slow = slow  # to unpack: has the smaller image


def first_of(*commands):
    return next((c for c in commands if shutil.which(c[0])), commands[-1])


FORMATS = [
    Format("gz", ".gz", first_of(["pigz", "-6", "-c"], ["gzip", "-6", "-c"]), ["igzip", "-dc"], 1.05),
    Format("zst", ".zst", ["zstd", "-3", "-T0", "-q", "-c"], ["zstd", "-dc", "-q"], 1.0),
    Format("frames", ".zst", pack_frames, ["zstd", "-dc", "-q"], 1.0),
    Format("packed", ".zst", "ours", ["zstd", "-dc", "-q"], 1.0, scales=True),
    Format("xz", ".xz", ["xz", "-T1", "-1", "-c"], ["xz", "-T0", "-dc"], slow=True),
    # Blocks and dictionary as `xz -T0` makes them, but packed with less effort.
    Format("xzblocks", ".xz", ["xz", "-T0", "--block-size=24MiB", "--lzma2=preset=1,dict=8MiB", "-c"],
           ["xz", "-T0", "-dc"], 0.6, scales=True, slow=True,
           forced="blocks of 24 MiB and a dictionary of 8 MiB a worker"),
    Format("bz2", ".bz2", first_of(["lbzip2", "-9", "-c"], ["bzip2", "-9", "-c"]), ["lbzip2", "-dc"], 1.05,
           scales=True, slow=True, forced="a block can unpack to 45.9 MB"),
    Format("lz4", ".lz4", ["lz4", "-1", "-q", "-c"], ["lz4", "-dc", "-q"], 0.5),
    Format("linked", ".lz4", ["lz4", "-1", "-q", "-B4", "-BD", "-c"], ["lz4", "-dc", "-q"], 0.5),
    Format("legacy", ".lz4", ["lz4", "-1", "-q", "-l", "-c"], ["lz4", "-dc", "-q"]),
    Format("lzo", ".lzo", ["lzop", "-3", "-q", "-c"], ["lzop", "-dc", "-q"]),
    Format("lzma", ".lzma", ["xz", "--format=lzma", "-1", "-c"], ["xz", "-dc"], slow=True),
]


def make(bench, form, image):
    """The packed image, or None with a word why not."""
    out = bench.path("disk.img" + form.suffix)
    if form.packer == "ours":
        common.timed([bench.args.ours, "-q", "pack", "--nobmap", "-o", out, image])
    elif callable(form.packer):
        form.packer(image, out)
    elif not shutil.which(form.packer[0]):
        print("%-8s skipped: %s is not installed" % (form.name, form.packer[0]))
        return None
    else:
        pack(form.packer, image, out)
    return out


def verdict(text, met):
    return "%s: %s" % (text, "met" if met else "MISSED")


def measure(bench, form, packed, bmap):
    flash = [bench.args.ours, "-q", "copy", "--bmap", bmap, packed, bench.device]
    tool = form.tool + [packed] if shutil.which(form.tool[0]) else None
    if not tool:
        print("# %s is not installed: ours alone" % form.tool[0])
    walls, ratio = {}, None
    for processors in ("0", "0,1"):
        bound = ["taskset", "-c", processors]
        mine, other = bench.pairs(bound + flash, tool and bound + tool,
                                  None if form.aim or form.scales else 1, PAIRS_SECONDS)
        count = processors.count(",") + 1
        walls[count] = statistics.median(t.wall for t in mine)
        text = "%-8s %d CPU  ours %6.2f s (%5.2f CPU)" % (
            form.name, count, walls[count], statistics.median(t.cpu for t in mine))
        if other:
            ratio = statistics.median(m.wall / o.wall for m, o in zip(mine, other))
            text += "  %s %6.2f s (%5.2f CPU)  ratio %.2f" % (
                " ".join(form.tool), statistics.median(t.wall for t in other),
                statistics.median(t.cpu for t in other), ratio)
        print(text, flush=True)
    judge(bench, form, ratio, walls[1] / walls[2], peak_memory(flash))


def judge(bench, form, ratio, speed_up, memory):
    parts = ["%.2f times as fast as on one" % speed_up, "peak PSS %.0f MiB, VmHWM %.0f MiB" % memory]
    if form.aim and ratio is not None:
        parts.append(verdict("aim ratio %.2f" % form.aim, ratio <= form.aim))
    if form.scales:
        parts.append(verdict("aim %.1f times as fast" % SPEED_UP_AIM, speed_up >= SPEED_UP_AIM))
    if form.forced:
        parts.append("aim %d MiB and %s" % (MEMORY_AIM_MIB, form.forced))
    else:
        parts.append(verdict("aim %d MiB" % MEMORY_AIM_MIB, memory[0] <= MEMORY_AIM_MIB))
    print("         " + "; ".join(parts), flush=True)
    bench.rows += parts


def main():
    names = [form.name for form in FORMATS]
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    common.add_options(ap, names, size=2048, runs=3)
    args, only = common.parse(ap, names)
    if len(os.sched_getaffinity(0)) < 2 or not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("skipped: needs processors 0 and 1")
    d.require_program("taskset")
    bench = common.Bench(args)
    bench.attach(args.size * d.MIB)
    common.print_machine()
    disks = {}
    for form in FORMATS:
        if form.name not in only:
            continue
        if form.slow not in disks:
            disks[form.slow] = bench.disk("half" if form.slow else "disk", SLOW_DIVISOR if form.slow else 1)
        image, bmap = disks[form.slow]
        packed = make(bench, form, image)
        if packed:
            measure(bench, form, packed, bmap)
            os.unlink(packed)
    return 1 if any("MISSED" in row for row in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
