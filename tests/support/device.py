#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shared by the device tests: cases, loop devices, images, maps, processes that are watched.

A test program is a list of functions whose names are sentences, handed to main(). Each case gets a Bed:
a folder of its own and a stack of things to undo (loop devices, mounts, sysctls), undone also on a
failure, on SIGTERM and on ^C. Output is TAP; exit 77 if every case was skipped, with the reasons.
Only devices and files that the case made itself are ever written.

BMAPTOOL          the program under test (set by meson)
BMAP_TEST_TMP     where to work; else /dev/shm if it has the room, else /var/tmp
BMAP_TEST_SEED    for the random moments; printed, so that a failure can be repeated"""
import atexit
import ctypes
import fcntl
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
HEAD_BYTES = MIB  # what is written last on a block device
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BMAPTOOL = os.environ.get("BMAPTOOL", "bmaptool")
SEED = int(os.environ.get("BMAP_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
TIMEOUT_S = 120


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Fail(AssertionError):
    """The program is wrong; the text says what was seen."""


# ---------------------------------------------------------------- what a case may need

def require_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def require_program(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip("%s is not installed" % name)


def require_loop():
    require_root()
    require_program("losetup")
    done = subprocess.run(["losetup", "-f"], capture_output=True, text=True)
    if done.returncode:
        raise Skip("no loop devices: %s" % done.stderr.strip())


def room_bytes(path):
    st = os.statvfs(path)
    return st.f_bavail * st.f_frsize


def available_memory_bytes():
    with open("/proc/meminfo") as f:
        m = re.search(r"MemAvailable:\s+(\d+) kB", f.read())
    return int(m.group(1)) * KIB if m else 0


def work_folder(need_bytes):
    """Memory if there is plenty (half of it must stay free), else the disk."""
    base = os.environ.get("BMAP_TEST_TMP")
    if not base:
        ram = os.access("/dev/shm", os.W_OK) and room_bytes("/dev/shm") > need_bytes and \
            available_memory_bytes() > 2 * need_bytes
        base = "/dev/shm" if ram else "/var/tmp"
    if room_bytes(base) < need_bytes:
        raise Skip("%s has no room for %d MiB" % (base, need_bytes // MIB))
    return base


# ---------------------------------------------------------------- bytes

def pattern_block():
    """The MiB that pattern_fill() repeats."""
    word = b"\xa5\x5aOLDBYTES"
    return (word * (MIB // len(word) + 1))[:MIB]


def pattern_fill(path, size):
    """Fills a file or device with bytes that no image has by chance."""
    block = pattern_block()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        at = 0
        while at < size:
            at += os.pwrite(fd, block[:min(MIB, size - at)], at)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_at(path, offset, length):
    with open(path, "rb", buffering=0) as f:
        f.seek(offset)
        out = b""
        while len(out) < length:
            got = f.read(length - len(out))
            if not got:
                break
            out += got
    return out


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while True:
            data = f.read(4 * MIB)
            if not data:
                return digest.hexdigest()
            digest.update(data)


def random_image(path, size, seed, pieces=12):
    """A sparse file of incompressible pieces; the first and the last block are data, as on a disk with
    partition tables at both ends."""
    rng = random.Random(seed)
    with open(path, "wb") as f:
        f.truncate(size)
        spots = [(0, 2 * MIB), (size - 64 * KIB, 64 * KIB)]
        for _ in range(pieces):
            length = rng.randrange(1, 512) * 4096
            spots.append((rng.randrange((size - length) // 4096) * 4096, length))
        for at, length in spots:
            f.seek(at)
            f.write(rng.randbytes(min(length, size - at)))
    return path


class Map:
    """A bmap, read by other means than ours."""

    def __init__(self, path):
        root = ET.parse(path).getroot()
        self.block = int(root.find("BlockSize").text)
        self.size = int(root.find("ImageSize").text)
        self.ranges = []  # (offset, length) in bytes
        for r in root.find("BlockMap").iter("Range"):
            ends = [int(x) for x in r.text.split("-")]
            first, last = ends[0], ends[-1]
            at = first * self.block
            self.ranges.append((at, min((last + 1) * self.block, self.size) - at))

    @property
    def mapped_bytes(self):
        return sum(length for _, length in self.ranges)

    def head(self):
        """The mapped pieces of the first HEAD_BYTES."""
        return [(at, min(length, HEAD_BYTES - at)) for at, length in self.ranges if at < HEAD_BYTES]


def write_map(path, image, size, ranges, block=4096):
    """A bmap 2.0 of given (first block, last block) ranges, made here and not by the program."""
    rows = []
    with open(image, "rb") as f:
        for first, last in ranges:
            f.seek(first * block)
            data = f.read(min((last + 1) * block, size) - first * block)
            rows.append("    <Range chksum=\"%s\"> %d-%d </Range>\n" % (
                hashlib.sha256(data).hexdigest(), first, last))
    text = ("<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n<ImageSize> %d </ImageSize>\n"
            "<BlockSize> %d </BlockSize>\n<BlocksCount> %d </BlocksCount>\n"
            "<MappedBlocksCount> %d </MappedBlocksCount>\n<ChecksumType> sha256 </ChecksumType>\n"
            "<BmapFileChecksum> %s </BmapFileChecksum>\n<BlockMap>\n%s</BlockMap>\n</bmap>\n")
    values = (size, block, -(-size // block), sum(b - a + 1 for a, b in ranges))
    draft = text % (values + ("0" * 64, "".join(rows)))
    digest = hashlib.sha256(draft.encode()).hexdigest()
    with open(path, "w") as f:
        f.write(text % (values + (digest, "".join(rows))))
    return path


def overlay(image, pattern_file, ranges):
    """Writes the image's mapped bytes over pattern_file: what a target must look like afterwards."""
    src = os.open(image, os.O_RDONLY)
    dst = os.open(pattern_file, os.O_WRONLY)
    try:
        for at, length in ranges:
            end = at + length
            while at < end:
                data = os.pread(src, min(4 * MIB, end - at), at)
                if not data:
                    raise Fail("%s ends at %d, inside a mapped range" % (image, at))
                os.pwrite(dst, data, at)
                at += len(data)
    finally:
        os.close(src)
        os.close(dst)


# ---------------------------------------------------------------- processes

class Result:
    def __init__(self, argv, code, out, err, seconds):
        self.argv, self.code, self.out, self.err, self.seconds = argv, code, out, err, seconds

    def __str__(self):
        return "%s\n-> exit %s after %.1f s\n%s%s" % (
            " ".join(self.argv), self.code, self.seconds, self.out[-1500:], self.err[-3000:])


class Running:
    """A process of ours. Always reaped; its peak memory is sampled when asked."""

    def __init__(self, argv, stdin=subprocess.DEVNULL, **kw):
        self.argv = [str(a) for a in argv]
        self.started = time.monotonic()
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        env = dict(os.environ, LC_ALL="C")
        env.update(kw.pop("env", {}))
        self.proc = subprocess.Popen(self.argv, stdin=stdin, stdout=self.out, stderr=self.err,
                                     env=env, **kw)
        self.peak_pss = 0

    @property
    def pid(self):
        return self.proc.pid

    def signal(self, signum):
        self.proc.send_signal(signum)

    def stderr_now(self):
        size = os.fstat(self.err.fileno()).st_size
        return os.pread(self.err.fileno(), size, 0).decode(errors="replace")

    def stdout_now(self):
        size = os.fstat(self.out.fileno()).st_size
        return os.pread(self.out.fileno(), size, 0).decode(errors="replace")

    def sample(self):
        try:
            with open("/proc/%d/smaps_rollup" % self.pid) as f:
                m = re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)
            if m:
                self.peak_pss = max(self.peak_pss, int(m.group(1)) * KIB)
            with open("/proc/%d/status" % self.pid) as f:
                m = re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)
            return int(m.group(1)) * KIB if m else 0
        except OSError:
            return 0

    def wait(self, timeout=TIMEOUT_S):
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                pass
            raise Fail("did not end within %d s: %s\n%s" % (
                timeout, " ".join(self.argv), self.stderr_now()[-2000:]))
        texts = []
        for f in (self.out, self.err):
            f.seek(0)
            texts.append(f.read().decode(errors="replace"))
        return Result(self.argv, self.proc.returncode, texts[0], texts[1],
                      time.monotonic() - self.started)


def run(*argv, timeout=TIMEOUT_S, **kw):
    return Running(argv, **kw).wait(timeout)


def check_run(*argv, **kw):
    done = run(*argv, **kw)
    if done.code:
        raise Fail("a tool of the test failed: %s" % done)
    return done


def tool(*args, **kw):
    return run(BMAPTOOL, *args, **kw)


def start_tool(*args, **kw):
    return Running((BMAPTOOL,) + args, **kw)


def expect(what, text, done=None):
    if not what:
        raise Fail(text if done is None else "%s: %s" % (text, done))


def expect_exit(done, code):
    if isinstance(code, int):
        code = (code,)
    expect(done.code in code, "exit %s expected" % " or ".join(map(str, code)), done)
    expect("AddressSanitizer" not in done.err and "runtime error" not in done.err and
           "ThreadSanitizer" not in done.err, "a sanitizer spoke", done)
    if done.code == 1:
        expect("bmaptool: ERROR: " in done.err, "an ERROR line expected", done)
    return done


class Feed:
    """A pipe into a job's standard input that we keep open: it gives some bytes and then falls idle."""

    def __init__(self, bed):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        bed.later(self.close)

    def started(self):
        """The child has its end: without ours, a child that ended is noticed."""
        os.close(self.reader)
        self.reader = -1

    def give(self, path, length, seconds=30):
        end = time.monotonic() + seconds
        with open(path, "rb") as f:
            data = f.read(length)
        at = 0
        while at < len(data):
            try:
                at += os.write(self.writer, data[at:at + 64 * KIB])
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Fail("the program reads no more after %d bytes" % at)
                time.sleep(0.002)
            except BrokenPipeError:
                raise Fail("the program closed its input after %d bytes" % at)

    def close(self):
        for fd in (self.reader, self.writer):
            if fd >= 0:
                os.close(fd)
        self.reader = self.writer = -1


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    raise Fail("within %g s: %s" % (seconds, what))


# ---------------------------------------------------------------- a case's own world

class Bed:
    def __init__(self, name, need_bytes=256 * MIB):
        self.name = name
        self.rng = random.Random("%d %s" % (SEED, name))
        self.undo = []
        self.notes = []
        self.folder = tempfile.mkdtemp(prefix="bmapdev-", dir=work_folder(need_bytes))
        os.chmod(self.folder, 0o755)
        self.later(shutil.rmtree, self.folder, True)

    def later(self, fn, *args):
        self.undo.append((fn, args))

    def note(self, text):
        self.notes.append(text)

    def path(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        """Everything is tried; nothing that fails here hides what the case found."""
        while self.undo:
            fn, args = self.undo.pop()
            try:
                fn(*args)
            except Exception as e:  # noqa: BLE001: goes on to the next
                print("# cleaning up: %s%r: %s" % (fn.__name__, args, e), flush=True)

    def attach(self, backing, sector=512, read_only=False, part_scan=False):
        """A loop device on backing with direct I/O where the file system allows it."""
        require_loop()
        base = ["losetup", "-f", "--show", "-b", str(sector)]
        base += ["-r"] if read_only else []
        base += ["-P"] if part_scan else []
        done = run(*(base + ["--direct-io=on", backing]))
        if done.code:
            done = run(*(base + [backing]))
            self.note("no direct I/O on %s" % backing)
        if done.code:
            raise Skip("losetup: %s" % done.err.strip())
        device = done.out.strip()
        self.later(detach, device)
        reset_queue_limits(device)
        return device

    def attach_part(self, backing, offset, size):
        """A partition of a disk image, as a read-only loop device of its own."""
        done = run("losetup", "-f", "--show", "-r", "-o", str(offset), "--sizelimit", str(size), backing)
        if done.code:
            raise Skip("losetup: %s" % done.err.strip())
        self.later(detach, done.out.strip())
        return done.out.strip()

    def loop(self, name, size, sector=512, pattern=False, **kw):
        backing = self.path(name)
        if pattern:
            pattern_fill(backing, size)
        else:
            with open(backing, "wb") as f:
                f.truncate(size)
        return self.attach(backing, sector, **kw), backing

    def mount(self, source, *options):
        where = self.path("mnt%d" % len(self.undo))
        os.mkdir(where)
        done = run("mount", *options, source, where)
        if done.code:
            raise Skip("mount: %s" % done.err.strip())
        self.later(unmount, where)
        return where

    def sysctl(self, name, value):
        path = "/proc/sys/" + name.replace(".", "/")
        if not os.path.exists(path):
            raise Skip("this kernel has no %s" % name)
        with open(path) as f:
            old = f.read().strip()

        def write(text):
            with open(path, "w") as f:
                f.write(text)
        try:
            write(value)
        except OSError as e:
            raise Skip("%s: %s" % (name, e))
        self.later(write, old)

    def limited_cgroup(self, device, write_bps, read_bps=None):
        """(a preexec_fn that puts the child under a limit for device, the group's folder)"""
        v1 = "/sys/fs/cgroup/blkio"
        v2 = "/sys/fs/cgroup"
        name = "bmaptest-%d-%d" % (os.getpid(), len(self.undo))
        if os.path.exists(v1 + "/blkio.throttle.write_bps_device"):
            group = os.path.join(v1, name)
        elif os.path.exists(v2 + "/cgroup.controllers"):
            try:
                with open(v2 + "/cgroup.subtree_control", "w") as f:
                    f.write("+io")
            except OSError as e:
                raise Skip("the io controller cannot be used: %s" % e)
            group = os.path.join(v2, name)
        else:
            raise Skip("no cgroup controller that limits writes")
        try:
            os.makedirs(group)
            self.later(remove_cgroup, group)
            self.relimit(group, device, write_bps, read_bps)
            # First of all: what is still queued would hold device and group for long.
            self.later(self.relimit, group, device, 64 * GIB, read_bps and 64 * GIB)
        except OSError as e:
            raise Skip("cannot limit the writes of a group: %s" % e)

        def enter():
            with open(os.path.join(group, "cgroup.procs"), "w") as f:
                f.write("0")
        return enter, group

    def relimit(self, group, device, write_bps, read_bps=None):
        number = os.stat(device).st_rdev
        number = "%d:%d" % (os.major(number), os.minor(number))
        for what, short, bps in (("write", "wbps", write_bps), ("read", "rbps", read_bps)):
            v1 = os.path.join(group, "blkio.throttle.%s_bps_device" % what)
            if bps is None:
                continue
            with open(v1 if os.path.exists(v1) else os.path.join(group, "io.max"), "w") as f:
                f.write("%s %d" % (number, bps) if os.path.exists(v1) else
                        "%s %s=%d" % (number, short, bps))


def atexit_close(bed):
    """For what several cases share: undone when the program ends, however it ends."""
    atexit.register(bed.close)


def remove_cgroup(group):
    end = time.monotonic() + 5
    while True:
        try:
            os.rmdir(group)
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def reset_queue_limits(device):
    """A limit that somebody set on this loop device outlives its detaching."""
    queue = "/sys/block/%s/queue/" % os.path.basename(device)
    try:
        with open(queue + "max_hw_sectors_kb") as f:
            most = f.read().strip()
        with open(queue + "max_sectors_kb", "w") as f:
            f.write(str(min(1280, int(most))))
    except OSError as e:
        print("# %s: %s" % (queue, e))


def wait_for_release(device):
    """After a killed process: the kernel ends its requests, and closes its files, later."""
    def free():
        try:
            os.close(os.open(device, os.O_RDWR | os.O_EXCL))
            return True
        except OSError:
            return False
    wait_until(free, 60, "%s is free again" % device)


def detach(device):
    subprocess.run(["losetup", "-d", device], stderr=subprocess.DEVNULL, timeout=30)


def unmount(where):
    if subprocess.run(["umount", where], stderr=subprocess.DEVNULL, timeout=30).returncode:
        subprocess.run(["umount", "-l", where], stderr=subprocess.DEVNULL, timeout=30)


def written_bytes(device):
    """What the device's queue has completed, as the kernel counts."""
    with open("/sys/block/%s/stat" % os.path.basename(device)) as f:
        return int(f.read().split()[6]) * 512


def in_flight(device):
    with open("/sys/block/%s/inflight" % os.path.basename(device)) as f:
        return int(f.read().split()[1])


def drop_cache(device):
    """What is read next comes from the device, not from the page cache."""
    BLKFLSBUF = 0x1261
    fd = os.open(device, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, BLKFLSBUF)
    finally:
        os.close(fd)


def expect_head_blank(device, bmap):
    """Neither the old system nor the new one is visible: mapped bytes of the head are zero, and
    neither sfdisk's nor blkid's eye finds anything."""
    drop_cache(device)
    for at, length in bmap.head():
        data = read_at(device, at, length)
        if data != bytes(length):
            first = len(data) - len(data.lstrip(b"\0"))
            raise Fail("%s: bytes %d+%d of the head are not zero: first %d, %d in all: %r" % (
                device, at, length, at + first, length - data.count(0), data[first:first + 16]))
    data = read_at(device, 0, 2 * KIB)
    expect(data[510:512] != b"\x55\xaa" and b"EFI PART" not in data, "a partition table is visible")
    if shutil.which("blkid"):
        done = run("blkid", "-p", "-s", "PTTYPE", "-s", "TYPE", device)
        # A backup GPT at the end stays; blkid -p does not report it without the primary's PMBR.
        expect(done.code != 0 or "=" not in done.out, "blkid finds %s" % done.out.strip())


def compile_helper(bed, name, *flags):
    """Builds tests/support/NAME.c; meson hands in the built one by BMAP_TEST_NAME."""
    built = os.environ.get("BMAP_TEST_" + name.upper())
    if built:
        return built
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Skip("no C compiler for %s" % name)
    out = bed.path(name)
    check_run(compiler, "-D_GNU_SOURCE", "-o", out, os.path.join(TOP, "tests", "support", name + ".c"),
              *flags)
    return out


def sanitized():
    """Sanitizers multiply memory and time: cases that measure those are skipped then."""
    done = subprocess.run(["grep", "-qE", "__(a|t)san_init", BMAPTOOL])
    return done.returncode == 0


# ---------------------------------------------------------------- running the cases

def main(cases, need_bytes=256 * MIB):
    if sys.argv[1:] == ["--list"]:
        print("\n".join(c.__name__ for c in cases))
        return 0
    wanted = sys.argv[1:]
    cases = [c for c in cases if not wanted or any(w in c.__name__ for w in wanted)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Ignored under nohup or in the background of a script: a program that we start would ignore them too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, lambda *_: None)
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: nothing of ours outlives us unseen
    print("TAP version 13\n1..%d\n# seed %d" % (len(cases), SEED), flush=True)
    failed = skipped = 0
    for number, case in enumerate(cases, 1):
        title = case.__name__.replace("_", " ")
        bed = None
        begun = time.monotonic()
        try:
            bed = Bed(case.__name__, getattr(case, "need_bytes", need_bytes))
            case(bed)
            print("ok %d - %s" % (number, title), flush=True)
        except Skip as e:
            skipped += 1
            print("ok %d - %s # SKIP %s" % (number, title, e), flush=True)
        except Exception as e:  # noqa: BLE001
            failed += 1
            print("not ok %d - %s" % (number, title))
            text = str(e) if isinstance(e, Fail) else traceback.format_exc()
            print("# " + text.replace("\n", "\n# "), flush=True)
        finally:
            if bed is not None:
                bed.close()
        for text in bed.notes if bed else ():
            print("#   %s" % text)
        print("#   %.1f s" % (time.monotonic() - begun), flush=True)
    if failed:
        return 1
    return 77 if cases and skipped == len(cases) else 0
