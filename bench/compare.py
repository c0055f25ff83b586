#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times this bmaptool against the Python one, on the same image, in pairs (A B A B), on a loop device that
lies in memory, with direct I/O; beside it what the decompressors alone need. Medians, and the median of
the pairs' ratios.

As root. Needs about 4 times --files of memory in /dev/shm (and the image, sparse). Packages:
tools/setup-debian.sh bench."""
import argparse
import atexit
import fcntl
import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
sys.dont_write_bytecode = True
import device as d  # noqa: E402

MANY_RANGES = 100000
CASES = ["raw", "gz", "zst", "frames", "create", "many", "single"]


class Timing:
    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu


def timed(argv, stdout=subprocess.DEVNULL):
    """Runs it; wall and CPU seconds (its own and its children's)."""
    begun = time.monotonic()
    proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
    text = proc.stderr.read()
    _pid, status, usage = os.wait4(proc.pid, 0)
    proc.returncode = os.waitstatus_to_exitcode(status)
    if proc.returncode:
        sys.exit("failed (exit %d): %s\n%s" % (proc.returncode, " ".join(argv),
                                              text.decode(errors="replace")[-2000:]))
    return Timing(time.monotonic() - begun, usage.ru_utime + usage.ru_stime)


def peak_memory(argv):
    """(PSS, VmHWM) in MiB, sampled every 5 ms in a run of its own."""
    job = d.Running(argv)
    hwm = 0
    while job.proc.poll() is None:
        hwm = max(hwm, job.sample())
        time.sleep(0.005)
    job.wait()
    return job.peak_pss / d.MIB, hwm / d.MIB


class Bench:
    def __init__(self, args):
        self.args = args
        self.folder = tempfile.mkdtemp(prefix="bmapbench-", dir=args.tmp)
        self.device = None
        atexit.register(self.close)
        self.rows = []

    def close(self):
        if self.device:
            subprocess.run(["losetup", "-d", self.device], stderr=subprocess.DEVNULL)
            self.device = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def attach(self, size):
        """One device for all: its memory is touched once, before anything is measured."""
        backing = self.path("device")
        with open(backing, "wb") as f:
            f.truncate(size)
        done = subprocess.run(["losetup", "-f", "--show", "--direct-io=on", backing],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit("losetup: " + done.stderr.strip())
        self.device = done.stdout.strip()
        d.reset_queue_limits(self.device)

    def settle(self):
        BLKFLSBUF = 0x1261
        fd = os.open(self.device, os.O_RDONLY)
        fcntl.ioctl(fd, BLKFLSBUF)
        os.close(fd)

    def pairs(self, ours, theirs):
        """Both once to warm up, then in turn; (our timings, theirs)."""
        mine, other = [], []
        for run in range(self.args.runs + 1):
            for command, out in ((ours, mine), (theirs, other)):
                if command is None:
                    continue
                self.settle()
                timing = timed(command)
                if run:
                    out.append(timing)
        return mine, other

    def alone(self, argv, runs=None):
        """Best-known competitor without any flashing: a decompressor to /dev/null."""
        if not shutil.which(argv[0]):
            return None
        return statistics.median(timed(argv).wall for _ in range(runs or self.args.runs))

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


def pack(command, image, out):
    with open(out, "wb") as f:
        subprocess.run(command + [image], stdout=f, check=True)
    return out


def pack_frames(image, out):
    """Frames of 4 MiB with their content size, as a parallel packer writes them."""
    zeros = None
    with open(image, "rb") as src, open(out, "wb") as dst:
        while True:
            data = src.read(4 * d.MIB)
            if not data:
                return out
            hole = len(data) == 4 * d.MIB and not data.strip(b"\0")
            if not (hole and zeros):
                frame = subprocess.run(["zstd", "-3", "-q", "-c", "--stream-size=%d" % len(data)],
                                       input=data, stdout=subprocess.PIPE, check=True).stdout
                zeros = frame if hole else zeros
            dst.write(zeros if hole else frame)


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
    ap.add_argument("--ours", default=os.path.join(TOP, "build", "src", "cli", "bmaptool"))
    ap.add_argument("--python", default="/usr/bin/bmaptool", help="the Python tool; '' for none")
    ap.add_argument("--size", type=int, default=9216, metavar="MIB", help="size of the image")
    ap.add_argument("--files", type=int, metavar="MIB", help="of real files in it (a fifth)")
    ap.add_argument("--runs", type=int, default=5, help="pairs, after one that is not counted")
    ap.add_argument("--only", default=",".join(CASES), help="of " + ",".join(CASES))
    ap.add_argument("--slow", action="store_true", help="also gzip -dc, which takes long")
    ap.add_argument("--tmp", default="/dev/shm")
    args = ap.parse_args()
    args.files = args.files or args.size * 1900 // 9216
    only = [c for c in args.only.split(",") if c]
    unknown = set(only) - set(CASES)
    if unknown:
        ap.error("no such case: " + ", ".join(unknown))
    if os.geteuid():
        sys.exit("skipped: needs root, for a loop device")
    if not os.access(args.ours, os.X_OK):
        sys.exit("%s is not built: tools/quick-start.sh, or meson and ninja" % args.ours)
    if args.python and not os.access(args.python, os.X_OK):
        print("# %s is not there: ours alone (tools/setup-debian.sh bench)" % args.python)
        args.python = None
    bench = Bench(args)
    bench.attach(args.size * d.MIB)
    image = bench.path("disk.img")
    with open("/proc/cpuinfo") as f:
        cpu = re.search(r"model name\s*: (.*)", f.read())
    print("# %s, %d processors, Linux %s; load %s" % (
        cpu.group(1) if cpu else "?", os.cpu_count(), os.uname().release, os.getloadavg()[0]))
    if set(only) - {"many", "single"}:
        subprocess.run([os.path.join(TOP, "tests", "support", "make-image.sh"), image, str(args.size),
                        str(args.files)], check=True)
        subprocess.run([args.ours, "-q", "create", "-o", bench.path("disk.bmap"), image], check=True)
        print("# image of %d MiB, %d MiB mapped, on %s; %d pairs" % (
            args.size, d.Map(bench.path("disk.bmap")).mapped_bytes // d.MIB, bench.device, args.runs))
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
