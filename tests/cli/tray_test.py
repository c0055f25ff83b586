#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy to several targets on a terminal: a line each, that stay what they are whatever comes
between."""
import os
import re
import signal
import sys
import threading
import time

from common import LAVA, LOG_LINE, content, d, expect_copied, on_terminal
from screen import Screen

TARGETS = 4
IMAGE_BYTES = 8 * d.MIB
STEP_BYTES = IMAGE_BYTES // 32
LINE = r"^(?:\.\.\.)?\S*out%d +(\d+)%% \[#*\.*\] +(?:[\d.]+ MiB/s)?  (\w.*)$"


def begin(bed, pause=0.05):
    """An image that comes slowly, so that there is something to see."""
    source, fifo = bed.path("disk.img"), bed.path("fifo")
    with open(source, "wb") as f:
        f.write(bed.rng.randbytes(IMAGE_BYTES))
    d.write_map(source + ".bmap", source, IMAGE_BYTES, [(0, IMAGE_BYTES // 4096 - 1)])

    def feed():
        try:
            with open(fifo, "wb", buffering=0) as f:
                data = content(source)
                for at in range(0, len(data), STEP_BYTES):
                    f.write(data[at:at + STEP_BYTES])
                    time.sleep(pause)
        except OSError:
            pass
    os.mkfifo(fifo)
    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    bed.later(thread.join)
    names = [bed.path("out%d" % i) for i in range(TARGETS)]
    return source, ["copy", "--bmap", source + ".bmap", fifo] + names, names


def expect_clean_end(screen, names):
    """Each message is whole and there once, and nothing of the lines of progress is left."""
    lines = [x for x in screen.lines if x]
    text = "\n".join(lines)
    joined = re.sub("\n(?!bmaptool: )", "", text)  # what was wrapped
    for line in joined.splitlines():
        d.expect(LOG_LINE.match(line), "%r is no log line in:\n%s" % (line, text))
    for name in names:
        tail = os.path.basename(name)
        d.expect(len(re.findall(r"^bmaptool: .*%s +(?:done|read back|failed|interrupted) " % tail, joined, re.M)) == 1,
                 "the table's row of %s:\n%s" % (tail, text))
    return joined


def each_target_has_a_line_that_moves(bed):
    source, argv, names = begin(bed)
    code, shown = on_terminal(*argv, columns=100)
    d.expect(code == 0, shown)
    for name in names:
        expect_copied(source, name)
    seen = [[] for _ in names]
    # What a person sees: the screen whenever a block is complete.
    screen = Screen(columns=100)
    for part in re.split(r"(?<=left)|(?<=MiB/s)(?=\x1b)", shown):
        screen.feed(part)
        if not screen.lines[-1].startswith("bmaptool: info: ") or len(screen.lines) <= TARGETS:
            continue
        for i in range(TARGETS):
            line = screen.lines[-1 - TARGETS + i]
            m = re.match(LINE % i, line)
            if m and "reading back" not in line:  # a step of its own, from 0 again
                seen[i].append(int(m.group(1)))
    for numbers in seen:
        d.expect(len(set(numbers)) >= 3 and numbers == sorted(numbers), "%s in %r" % (seen, shown))
    d.expect(re.search(r"writing, \d:\d\d left", shown), "no time left: %r" % shown)
    totals = [int(x) for x in re.findall(r"bmaptool: info: (\d+)% copied", shown)]
    d.expect(totals == sorted(totals) and totals[-1] == 100, str(totals))
    for expression in LAVA:
        d.expect(expression.search(shown), "LAVA would wait for ever: %r" % shown)
    expect_clean_end(Screen(columns=100).feed(shown), names)


def a_target_that_fails_has_its_reason_there(bed):
    source, argv, names = begin(bed)
    code, shown = on_terminal(*argv, "/dev/full", columns=120)
    d.expect(code == 1, shown)
    d.expect(re.search(r"/dev/full +\d+% \[#*\.*\] +failed: cannot write", shown), "%r" % shown)
    joined = expect_clean_end(Screen(columns=120).feed(shown), names)
    d.expect("% copied" in shown[:shown.index("info: /dev/full: cannot write")], "said at the end: %r" % shown)
    d.expect(joined.count("info: /dev/full: cannot write") == 1, joined)
    d.expect("failed: /dev/full" in joined.splitlines()[-1], joined)


def a_window_too_small_has_one_line(bed):
    for rows, columns in ((TARGETS + 1, 80), (24, 50)):
        source, argv, names = begin(bed, pause=0.01)
        code, shown = on_terminal(*argv, rows=rows, columns=columns)
        d.expect(code == 0, shown)
        d.expect("\x1b[%dA" % TARGETS not in shown, "a block: %r" % shown)
        d.expect(re.search(r"bmaptool: info: [1-9]\d?% copied, 4 w", shown), "no line: %r" % shown)
        expect_clean_end(Screen(rows, columns).feed(shown), names)
        for name in names + [bed.path("fifo")]:
            os.unlink(name)


def a_window_that_changes_garbles_nothing(bed):
    source, argv, names = begin(bed)
    sizes = [(24, 70), (24, 120), (5, 120), (24, 100)]
    draws = [0]

    def resize(shown):
        count = len(re.findall(r"% copied", shown))
        if count > draws[0] and sizes:
            draws[0] = count
            return sizes.pop(0)
        return None
    code, shown = on_terminal(*argv, columns=100, resize=resize)
    d.expect(code == 0 and not sizes, "%s left: %r" % (sizes, shown))
    d.expect("copying time" in shown.splitlines()[-1], "%r" % shown)
    widths = [len(x) for x in re.findall(r"(?:\r|\n)([^\r\n\x1b]*)\x1b\[K", shown)]
    d.expect(max(widths) < 120, str(max(widths)))


def an_interrupt_is_said_below_what_was_there(bed):
    source, argv, names = begin(bed)
    sent = []

    def interrupt(pid, shown):
        if not sent and re.search(r"[1-9]\d% copied", shown):
            sent.append(os.kill(pid, signal.SIGINT))
    code, shown = on_terminal(*argv, columns=100, during=interrupt)
    d.expect(code == 130, "exit %d: %r" % (code, shown))
    joined = expect_clean_end(Screen(columns=100).feed(shown), names)
    d.expect(joined.count("WARNING: interrupted: waiting") == 1, joined)
    d.expect("4 of 4 targets incomplete" in joined.splitlines()[-1], joined)


def without_a_terminal_there_is_a_line_every_ten_seconds(bed):
    source, argv, names = begin(bed, pause=0.33)
    done = d.expect_exit(d.tool(*argv), 0)
    lines = re.findall(r"^bmaptool: info: (\d+)% copied, 4 writ", done.err, re.M)
    d.expect(1 <= len(lines) <= done.seconds / 10, "%s in %.1f s" % (lines, done.seconds), done)
    d.expect("\x1b" not in done.err and "\r" not in done.err, "control characters", done)


if __name__ == "__main__":
    sys.exit(d.main([
        each_target_has_a_line_that_moves,
        a_target_that_fails_has_its_reason_there,
        a_window_too_small_has_one_line,
        a_window_that_changes_garbles_nothing,
        an_interrupt_is_said_below_what_was_there,
        without_a_terminal_there_is_a_line_every_ten_seconds,
    ]))
