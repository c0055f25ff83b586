#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does `bmaptool bench` measure what fio measures? The same points with both, in turn, on a loop device in
memory, a file on a disk, and a loop device that a cgroup throttles. Prints for each the median of the pairs'
ratios of throughput and of the 99th percentile of latencies (fio's lat: from submission to completion, as
ours), and the spread of each: where the machine is not quiet it is wide, and the median says nothing.
Wanted: within 3 % and 10 %. Exit 1 if a point is not.

As root, in about 4 minutes: bench/bench_fio.py [--runs N] [--seconds S] [--only TARGET,...] BMAPTOOL"""
import argparse
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "support"))
sys.dont_write_bytecode = True
import device as d  # noqa: E402

SIZE = 512 * d.MIB
SPEED_OFF, P99_OFF = 0.03, 0.10
LIMIT = 50 * d.MIB
# fio's buffers lie in huge pages as ours do; in small ones large requests are cut in pieces.
HUGE_PAGES = 64
# Operation, size of requests, how many in flight. What is in flight is little where it is slow: fio counts what
# was begun before its time all the same.
POINTS = {
    "memory": [("read", "1M", 8), ("randread", "4K", 1), ("randread", "4K", 32), ("write", "1M", 8)],
    "disk": [("read", "1M", 8), ("randread", "4K", 8)],
    "throttled": [("read", "256K", 2), ("write", "64K", 8)],
}


class Measured:
    def __init__(self, bytes_per_s, p99_ns):
        self.bytes_per_s, self.p99_ns = bytes_per_s, p99_ns


def run(argv, enter):
    done = subprocess.run(argv, capture_output=True, text=True, preexec_fn=enter)
    if done.returncode:
        sys.exit("%s: exit %d: %s" % (" ".join(argv), done.returncode, done.stderr))
    return done.stdout


def ours(args, target, op, size, depth, enter):
    out = os.path.join(args.folder, "ours.json")
    write = ["--write"] if "write" in op else []
    run([args.tool, "-q", "bench", *write, "--op", op, "--block-size", size, "--depth", str(depth), "--time",
         str(args.seconds), "--json", out, target], enter)
    with open(out) as f:
        point = json.load(f)["points"][0]
    return Measured(point["bytes_per_s"], point["latency_ns"]["p99"])


def fio(args, target, op, size, depth, enter):
    argv = ["fio", "--name=point", "--filename=" + target, "--size=%d" % SIZE, "--ioengine=io_uring",
            "--fixedbufs=1", "--iomem=mmaphuge", "--direct=1", "--rw=" + op, "--bs=" + size, "--iodepth=%d" % depth,
            "--time_based", "--runtime=%d" % args.seconds, "--ramp_time=%dms" % (100 * args.seconds),
            "--lat_percentiles=1", "--clat_percentiles=0", "--output-format=json"]
    said = run(argv, enter)
    job = json.loads(said[said.index("{"):])["jobs"][0]["write" if "write" in op else "read"]
    return Measured(job["bw_bytes"], job["lat_ns"]["percentile"]["99.000000"])


def compare(args, where, target, point, enter=None):
    pairs = [(ours(args, target, *point, enter), fio(args, target, *point, enter)) for _ in range(args.runs)]
    good = True
    text = "%-10s %-9s %5s x %-3d" % (where, *point)
    for name, unit, scale, off in (("bytes_per_s", "MiB/s", d.MIB, SPEED_OFF), ("p99_ns", "us p99", 1000, P99_OFF)):
        ratios = [getattr(a, name) / getattr(b, name) for a, b in pairs]
        median = statistics.median(ratios)
        good &= abs(median - 1) <= off
        text += "  %9.1f %s, %.3f of fio's (%.2f to %.2f)" % (
            statistics.median(getattr(a, name) for a, _ in pairs) / scale, unit, median, min(ratios), max(ratios))
    print(text + ("" if good else "  OFF"), flush=True)
    return good


def huge_pages():
    with open("/proc/sys/vm/nr_hugepages") as f:
        return int(f.read())


def random_file(path):
    with open(path, "wb") as f:
        for _ in range(SIZE // d.MIB):
            f.write(os.urandom(d.MIB))
        f.flush()
        os.fsync(f.fileno())
    return path


def targets(bed, only):
    """(name, path, preexec_fn) of each, made when it is its turn."""
    if "memory" in only or "throttled" in only:
        dev = bed.attach(random_file(bed.path("disk")))
    if "memory" in only:
        yield "memory", dev, None
    if "disk" in only:
        path = "/var/tmp/bmapbench-%d" % os.getpid()
        bed.later(os.unlink, path)
        yield "disk", random_file(path), None
    if "throttled" in only:
        enter, _ = bed.limited_cgroup(dev, LIMIT, LIMIT)
        yield "throttled", dev, enter


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("tool", metavar="BMAPTOOL")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--seconds", type=int, default=2)
    ap.add_argument("--only", default=",".join(POINTS))
    args = ap.parse_args()
    d.require_root()
    d.require_loop()
    d.require_program("fio")
    bed = d.Bed("bench_fio", 2 * SIZE)
    args.folder = bed.folder
    good = True
    try:
        bed.sysctl("vm.nr_hugepages", str(HUGE_PAGES + huge_pages()))
        print("# load %.1f on %d processors" % (os.getloadavg()[0], os.cpu_count()))
        for where, target, enter in targets(bed, args.only.split(",")):
            for point in POINTS[where]:
                good &= compare(args, where, target, point, enter)
    finally:
        bed.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
