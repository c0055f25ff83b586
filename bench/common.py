# SPDX-License-Identifier: MIT
"""What the benchmarks share: a loop device that lies in memory, commands timed in pairs, the image."""
import atexit
import fcntl
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
sys.dont_write_bytecode = True
import device as d  # noqa: E402
from packing import frames_of_zstd  # noqa: E402


COLD_START_MATTERS_SECONDS = 3


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
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else atexit would be left out
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

    def pairs(self, ours, theirs, runs=None, seconds=None):
        """Both once to warm up, then in turn; (our timings, theirs). With `seconds`: the first pair counts,
        too, if it took so long that a cold start does not show, and after that time two pairs are enough."""
        runs = runs or self.args.runs
        mine, other = [], []
        begun = time.monotonic()
        warm = False
        while len(mine) < runs:
            for command, out in ((ours, mine), (theirs, other)):
                if command:
                    self.settle()
                    out.append(timed(command))
            spent = time.monotonic() - begun
            if not warm and not (seconds and spent > COLD_START_MATTERS_SECONDS):
                mine.clear()
                other.clear()
            warm = True
            if seconds and spent > seconds and len(mine) >= 2:
                break
        return mine, other

    def alone(self, argv, runs=None):
        """Best-known competitor without any flashing: a decompressor to /dev/null."""
        if not shutil.which(argv[0]):
            return None
        return statistics.median(timed(argv).wall for _ in range(runs or self.args.runs))

    def disk(self, name="disk", divisor=1):
        """The image, or a smaller one, and its bmap: (image, bmap)."""
        args = self.args
        size, files = args.size // divisor, args.files // divisor
        image, bmap = self.path(name + ".img"), self.path(name + ".bmap")
        subprocess.run([os.path.join(TOP, "tests", "support", "make-image.sh"), image, str(size),
                        str(files)], check=True)
        subprocess.run([args.ours, "-q", "create", "-o", bmap, image], check=True)
        print("# image of %d MiB, %d MiB mapped, on %s; %d pairs" % (
            size, d.Map(bmap).mapped_bytes // d.MIB, self.device or "loop devices", args.runs))
        return image, bmap


def pack(command, image, out):
    with open(out, "wb") as f:
        subprocess.run(command + [image], stdout=f, check=True)
    return out


def pack_frames(image, out):
    """Frames of 4 MiB with their content size, as a parallel packer writes them."""
    frames_of_zstd(image, out, 4 * d.MIB)
    return out


def add_options(ap, cases, size=9216, runs=5):
    ap.add_argument("--ours", default=os.path.join(TOP, "build", "src", "cli", "bmaptool"))
    ap.add_argument("--size", type=int, default=size, metavar="MIB", help="size of the image")
    ap.add_argument("--files", type=int, metavar="MIB", help="of real files in it (a fifth)")
    ap.add_argument("--runs", type=int, default=runs, help="pairs, after one that is not counted")
    ap.add_argument("--only", default=",".join(cases), help="of " + ",".join(cases))
    ap.add_argument("--tmp", default="/dev/shm")


def parse(ap, cases):
    """(args, the cases that are wanted). Ends the program where it cannot run."""
    args = ap.parse_args()
    args.files = args.files or args.size * 1900 // 9216
    only = [c for c in args.only.split(",") if c]
    unknown = set(only) - set(cases)
    if unknown:
        ap.error("no such case: " + ", ".join(unknown))
    if os.geteuid():
        sys.exit("skipped: needs root, for a loop device")
    if not os.access(args.ours, os.X_OK):
        sys.exit("%s is not built: tools/quick-start.sh, or meson and ninja" % args.ours)
    return args, only


def print_machine():
    with open("/proc/cpuinfo") as f:
        cpu = re.search(r"model name\s*: (.*)", f.read())
    print("# %s, %d processors, Linux %s; load %s" % (
        cpu.group(1) if cpu else "?", os.cpu_count(), os.uname().release, os.getloadavg()[0]))
