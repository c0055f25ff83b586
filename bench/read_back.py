#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The step in which a target is read back, against fio reading as many bytes from the same device at the
same depth, and against SHA-256 of as many on all processors: it should cost no more than the slower of
both. And the memory that it costs: peak PSS with and without, for 1, 2, 4 and 8 targets.

Needs fio. Devices are loop devices in memory: reading costs next to nothing, so what shows is what we add."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common as c  # noqa: E402
from common import d  # noqa: E402

CASES = {  # options, what judges
    "map": ([], "the bmap's SHA-256, long ranges XXH3"),
    "one-range": (["--bmap", "WHOLE"], "XXH3: the only range is long"),
    "no-verify": (["--no-verify"], "XXH3 of what was written"),
    "nobmap": (["--nobmap"], "XXH3 of what was written"),
    "targets": ([], "as map, 4 targets at once"),
    "memory": ([], ""),
}
DEPTH, FIO_BLOCK_KIB = 12, 1024  # 6 reads a worker: as range_loop does on two processors


class ReadBack(c.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.devices = []

    def add_device(self, size):
        self.attach(size)
        os.rename(self.path("device"), self.path("device%d" % len(self.devices)))
        self.devices.append(self.device)

    def close(self):
        for device in self.devices:
            subprocess.run(["losetup", "-d", device], stderr=subprocess.DEVNULL)
        self.devices, self.device = [], None
        super().close()

    def copy(self, options, image, devices):
        """Seconds of the step, of the slowest target."""
        report = self.path("report.json")
        c.timed([self.args.ours, "-q", "copy", "--read-back", "--report", report] + options +
                [image] + devices)
        with open(report) as f:
            targets = json.load(f)["targets"]
        return max(t["read_back_ms"] for t in targets) / 1000

    def fio(self, devices, length):
        argv = ["fio", "--minimal", "--rw=read", "--ioengine=io_uring", "--direct=1",
                "--bs=%dk" % FIO_BLOCK_KIB, "--iodepth=%d" % DEPTH, "--size=%d" % length]
        for i, device in enumerate(devices):
            argv += ["--name=job%d" % i, "--filename=" + device]
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            sys.exit("fio: " + done.stderr)
        # Field 9: run time of the reads in ms (fio(1), terse version 3).
        return max(int(line.split(";")[8]) for line in done.stdout.splitlines()
                   if line.startswith("3;")) / 1000

    def sha256(self, length):
        """On all processors, from memory that is in their caches."""
        cpus = len(os.sched_getaffinity(0))
        block = os.urandom(d.MIB)

        def work():
            digest = hashlib.sha256()
            for _ in range(length // cpus // len(block)):
                digest.update(block)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(cpus) as pool:
            for job in [pool.submit(work) for _ in range(cpus)]:
                job.result()
        return time.monotonic() - begun

    def case(self, name, options, judge, image, length, devices):
        rows = {"ours": [], "fio": [], "sha": []}
        for n in range(self.args.runs + 1):
            ours = self.copy(options, image, devices)
            fio = self.fio(devices, length)
            sha = self.sha256(length * len(devices))
            if n:
                for key, value in (("ours", ours), ("fio", fio), ("sha", sha)):
                    rows[key].append(value)
        ours, fio, sha = (statistics.median(rows[key]) for key in ("ours", "fio", "sha"))
        print("%-10s %6d MiB %8.2f %8.2f %8.2f %8.2f   %s" % (
            name, length // d.MIB, ours, fio, sha, ours / max(fio, sha), judge), flush=True)

    def memory(self, bmap, image):
        print("\n%-8s %14s %14s %10s" % ("targets", "PSS without", "with, MiB", "a target"))
        for count in (1, 2, 4, 8):
            while len(self.devices) < count:
                self.add_device(os.path.getsize(image))
            peaks = []
            for choice in ("--no-read-back", "--read-back"):
                argv = [self.args.ours, "-q", "copy", choice, "--bmap", bmap, image]
                peaks.append(statistics.median(
                    c.peak_memory(argv + self.devices[:count])[0] for _ in range(self.args.runs)))
            print("%-8d %14.1f %14.1f %10.2f" % (count, peaks[0], peaks[1],
                                                (peaks[1] - peaks[0]) / count), flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    c.add_options(ap, CASES, size=2048, runs=3)
    args, only = c.parse(ap, CASES)
    if not shutil.which("fio"):
        sys.exit("fio is not installed")
    bench = ReadBack(args)
    bench.add_device(args.size * d.MIB)
    image, bmap = bench.disk()
    whole = bench.path("whole.bmap")
    mapped = d.Map(bmap).mapped_bytes
    print("%-10s %10s %8s %8s %8s %8s   judged by" % ("case", "bytes", "s", "fio", "SHA-256", "ratio"))
    for name in only:
        options, judge = CASES[name]
        if name == "memory":
            continue
        length, devices = mapped, bench.devices[:1]
        if "WHOLE" in options:
            d.write_map(whole, image, args.size * d.MIB, [(0, args.size * 256 - 1)])
            options = ["--bmap", whole]
            length = args.size * d.MIB
        elif name == "nobmap":
            length = args.size * d.MIB
        else:
            options = options + ["--bmap", bmap]
        if name == "targets":
            while len(bench.devices) < 4:
                bench.add_device(args.size * d.MIB)
            devices = bench.devices[:4]
        bench.case(name, options, judge, image, length, devices)
    if "memory" in only:
        bench.memory(bmap, image)


if __name__ == "__main__":
    main()
