# SPDX-License-Identifier: MIT
"""Shared by the command tests: small images, and the program on a terminal."""
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

BLOCK = 4096
SIZE = 2 * d.MIB + 700  # not a multiple of anything
RANGES = [(0, 2), (8, 8), (100, 136), (511, 512)]
LOG_LINE = re.compile(r"bmaptool: (info|WARNING|ERROR|debug): .")
# What LAVA waits for.
LAVA = [re.compile(r"copying time: [0-9ms\.\ ]+, copying speed [0-9\.]+ MiB\/sec"),
        re.compile(r"bmaptool: info: copying time: [0-9hms\.\ ]+, "
                   r"copying speed [0-9\.]+ [MKiBbytes]+\/sec")]


def image(bed, name="disk.img", bmap=True):
    path = bed.path(name)
    with open(path, "wb") as f:
        f.truncate(SIZE)
        for first, last in RANGES:
            f.seek(first * BLOCK)
            f.write(bed.rng.randbytes(min((last + 1) * BLOCK, SIZE) - first * BLOCK))
    if bmap:
        d.write_map(path + ".bmap", path, SIZE, RANGES)
    return path


def content(path):
    with open(path, "rb") as f:
        return f.read()


def expect_copied(source, dest):
    d.expect(content(source) == content(dest), "%s is not %s" % (dest, source))


def expect_log_lines(done):
    for line in done.err.splitlines():
        d.expect(LOG_LINE.match(line), "%r is no log line" % line, done)
    d.expect(done.out == "", "something on standard output", done)


def wait_until_signals_are_handled(running):
    """... and a moment more, so that the job has begun."""
    def handled():
        d.expect(running.proc.poll() is None, "ended by itself: %s" % running.stderr_now())
        with open("/proc/%d/status" % running.pid) as f:
            caught = int(re.search(r"^SigCgt:\s+(\w+)", f.read(), re.M).group(1), 16)
        return caught & 1 << (signal.SIGTERM - 1)
    d.wait_until(handled, 10, "signals are handled")
    time.sleep(0.2)


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, 0x5414, struct.pack("HHHH", rows, columns, 0, 0))  # TIOCSWINSZ


def on_terminal(*args, rows=24, columns=80, during=None, resize=None, before=None):
    """Runs the program with a terminal as standard output and error: (exit code, what it showed).
    during(pid, shown) is called whenever something was shown; resize(shown) then says (rows, columns)
    or None. before() is called in the new process."""
    pid, master = pty.fork()
    if not pid:
        try:
            os.environ["TERM"] = "xterm"
            set_size(1, rows, columns)
            if before:
                before()
            os.execv(d.BMAPTOOL, [d.BMAPTOOL] + [str(a) for a in args])
        finally:
            os._exit(99)
    shown = b""
    end = time.monotonic() + d.TIMEOUT_S
    while time.monotonic() < end:
        try:
            part = os.read(master, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not part:
            break
        shown += part
        size = resize(shown.decode(errors="replace")) if resize else None
        if size:
            set_size(master, *size)
        if during:
            during(pid, shown.decode(errors="replace"))
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")
