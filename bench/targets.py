#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times one image to many devices at once: 1, 2, 4 and 8 loop devices that lie in memory, and 8 that are
held to 50 MB/s each; against the same targets one after the other, and against as many processes of the
Python tool at once. A .zst of real files, checksums checked, nothing read back (the Python tool cannot).

As root. Needs about 10 times --files of memory in /dev/shm. Packages: tools/setup-debian.sh bench."""
import argparse
import os
import resource
import statistics
import sys
import time

import common
from common import d, pack

CASES = ["ram", "throttled"]
COUNTS = [1, 2, 4, 8]
MOST = max(COUNTS)
BYTES_PER_SECOND = 50 * 1000 * 1000
ROOT_LIMIT = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"


class Run:
    """Some processes at once: how long until the last has ended, CPU of all, peak memory of the first."""

    def __init__(self, *commands, enter=None):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        jobs = [d.Running(c, preexec_fn=enter) for c in commands]
        while any(j.proc.poll() is None for j in jobs):
            jobs[0].sample()
            time.sleep(0.01)
        self.wall = time.monotonic() - begun
        for job in jobs:
            done = job.wait()
            if done.code:
                sys.exit("failed: %s" % done)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.pss = jobs[0].peak_pss / d.MIB


class Runs:
    """The same a few times: medians."""

    def __init__(self):
        self.all = []

    def __getattr__(self, name):
        return statistics.median(getattr(run, name) for run in self.all)


class Bench(common.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.bed = None
        self.devices = []
        self.enter = None  # what a process does to be held to the limits

    def attach_all(self):
        self.bed = d.Bed("bench", 0)
        d.atexit_close(self.bed)
        for n in range(MOST):
            backing = self.path("device%d" % n)
            with open(backing, "wb") as f:
                f.truncate(self.args.size * d.MIB)
            self.devices.append(self.bed.attach(backing))

    def limit(self, bytes_per_second):
        """In the root group where that has limits (cgroup v1): what the page cache writes is held, too."""
        for device in self.devices:
            if os.path.exists(ROOT_LIMIT):
                number = os.stat(device).st_rdev
                rule = "%d:%d " % (os.major(number), os.minor(number))
                with open(ROOT_LIMIT, "w") as f:
                    f.write(rule + str(bytes_per_second))
                self.bed.later(lift, rule)
            elif self.enter is None:
                self.enter, self.group = self.bed.limited_cgroup(device, bytes_per_second)
            else:
                self.bed.relimit(self.group, device, bytes_per_second)

    def ours(self, count, *options):
        return [self.args.ours, "-q", "copy", "--no-read-back", *options, "--bmap",
                self.path("disk.bmap"), self.source, *self.devices[:count]]

    def one_after_the_other(self, count):
        return sum(Run([*self.ours(0), device], enter=self.enter).wall
                   for device in self.devices[:count])

    def python(self, count):
        if not self.args.python:
            return None
        return Run(*([self.args.python, "-q", "copy", "--bmap", self.path("disk.bmap"), self.source,
                      device] for device in self.devices[:count]), enter=self.enter)

    def say(self, text):
        print(text, flush=True)
        self.rows.append(text)

    def aim(self, text, met):
        self.say("         aim %s: %s" % (text, "met" if met else "MISSED"))


def lift(rule):
    with open(ROOT_LIMIT, "w") as f:
        f.write(rule + "0")


def row(case, count, ours, serial, theirs):
    text = "%-9s %d target%s %6.2f s (%5.2f CPU, PSS %2.0f MiB)" % (
        case, count, " " if count == 1 else "s", ours.wall, ours.cpu, ours.pss)
    if serial is not None:
        text += "  one after the other %6.2f s" % serial
    if theirs is not None:
        text += "  Python %6.2f s (%6.2f CPU)  %5.2fx" % (
            theirs.wall, theirs.cpu, theirs.wall / ours.wall)
    return text


def run_ram(bench, image):
    """What a further target may cost at most: an image that needs no decoding and no checksums, which is
    read and written, and nothing else."""
    source = bench.source
    bench.source = image
    write_path = Runs()
    for _ in range(bench.args.runs):
        write_path.all.append(Run(bench.ours(1, "--no-verify")))
    bench.source = source
    by_count = {count: Runs() for count in COUNTS}
    python = {count: Runs() for count in COUNTS}
    for _ in range(bench.args.runs):
        for count in COUNTS:
            by_count[count].all.append(Run(bench.ours(count)))
            theirs = bench.python(count)
            if theirs:
                python[count].all.append(theirs)
    serial = bench.one_after_the_other(MOST)
    for count in COUNTS:
        bench.say(row("ram", count, by_count[count], serial * count / MOST,
                      python[count] if python[count].all else None))
    extra = (by_count[MOST].cpu - by_count[1].cpu) / (MOST - 1)
    bench.aim("%.3f s of CPU for each further target, its write path alone %.3f s" % (
        extra, write_path.cpu), extra <= write_path.cpu)


def run_throttled(bench):
    bench.limit(BYTES_PER_SECOND)
    one, most = Runs(), Runs()
    for _ in range(bench.args.runs):
        one.all.append(Run(bench.ours(1), enter=bench.enter))
        most.all.append(Run(bench.ours(MOST), enter=bench.enter))
    bench.say(row("throttled", 1, one, None, None))
    bench.say(row("throttled", MOST, most, bench.one_after_the_other(MOST), bench.python(MOST)))
    bench.aim("%d devices in %.3f of the time of one, at most 1.05" % (MOST, most.wall / one.wall),
              most.wall <= 1.05 * one.wall)
    growth = (most.pss - one.pss) / (MOST - 1)
    bench.aim("%.2f MiB (PSS) for each further target, at most 1" % growth, growth <= 1)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    common.add_options(ap, CASES)
    ap.set_defaults(size=1536, runs=2)
    ap.add_argument("--python", default="/usr/bin/bmaptool", help="the Python tool; '' for none")
    args, only = common.parse(ap, CASES)
    if args.python and not os.access(args.python, os.X_OK):
        print("# %s is not there: ours alone (tools/setup-debian.sh bench)" % args.python)
        args.python = None
    bench = Bench(args)
    bench.attach_all()
    common.print_machine()
    image, _bmap = bench.disk()
    bench.source = pack(["zstd", "-3", "-T0", "-q", "-c"], image, bench.path("disk.img.zst"))
    Run(bench.ours(MOST))  # the devices' memory is touched for the first time
    if "ram" in only:
        run_ram(bench, image)
    if "throttled" in only:
        run_throttled(bench)
    return 1 if any("MISSED" in r for r in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
