#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool verify: what it says of a good and of a bad image."""
import hashlib
import re
import signal
import subprocess
import sys

from common import BLOCK, RANGES, SIZE, content, d, expect_log_lines, image, on_terminal, \
    wait_until_signals_are_handled


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 4]))


def a_good_image_is_said_to_be_good(bed):
    source = image(bed)
    done = d.expect_exit(d.tool("verify", source), 0)
    expect_log_lines(done)
    d.expect(re.search(r"info: .*disk.img: 4 ranges match", done.err), "no verdict", done)
    done = d.expect_exit(d.tool("verify", "-q", source), 0)
    d.expect(done.err == "", "not quiet", done)


def every_bad_range_is_named_and_counted(bed):
    source = image(bed)
    flip(source, RANGES[1][0] * BLOCK)
    flip(source, SIZE - 1)  # in the short last block
    flip(source, 5 * BLOCK)  # in no range
    done = d.expect_exit(d.tool("verify", source), 1)
    expect_log_lines(done)
    errors = [x for x in done.err.splitlines() if " ERROR: " in x]
    d.expect(len(errors) == 3, "two ranges and the count", done)
    whole = content(source)
    with open(source + ".bmap") as f:
        good = re.findall(r'chksum="(\w+)"> ', f.read())
    for number in (1, 3):
        first, last = RANGES[number]
        data = whole[first * BLOCK:(last + 1) * BLOCK]
        line = "blocks %d-%d (byte offset %d, %d bytes): expected %s, found %s" % (
            first, last, first * BLOCK, len(data), good[number], hashlib.sha256(data).hexdigest())
        d.expect(any(line in x for x in errors), "no line with '%s'" % line, done)
    d.expect("2 of 4" in errors[-1], "no count at the end", done)


def a_bmap_that_lists_nothing_is_not_called_one_without_checksums(bed):
    with open(bed.path("hole.img"), "wb") as f:
        f.truncate(64 * BLOCK)
    d.expect_exit(d.tool("create", bed.path("hole.img"), "-o", bed.path("hole.img.bmap")), 0)
    with open(bed.path("hole.img"), "rb") as f:
        for args, kw in ((("verify", bed.path("hole.img")), {}),
                         (("verify", "--bmap", bed.path("hole.img.bmap"), "-"), {"stdin": f})):
            done = d.expect_exit(d.tool(*args, **kw), 0)
            d.expect("WARNING" in done.err and "lists no blocks" in done.err, "not said", done)


def a_signal_ends_a_verify_of_an_idle_pipe(bed):
    source = image(bed)
    running = d.start_tool("verify", "--bmap", source + ".bmap", "-", stdin=subprocess.PIPE)
    running.proc.stdin.write(content(source)[:100000])
    running.proc.stdin.flush()
    wait_until_signals_are_handled(running)
    running.signal(signal.SIGTERM)
    done = running.wait(10)
    running.proc.stdin.close()
    d.expect(done.code == 143 and "interrupted" in done.err, "exit 143 expected", done)


def the_percentage_is_of_what_was_verified(bed):
    code, shown = on_terminal("verify", image(bed))
    d.expect(code == 0 and "ranges match" in shown, shown)
    seen = [int(x) for x in re.findall(r"bmaptool: info: (\d+)% verified", shown)]
    d.expect(seen == sorted(seen) and (not seen or seen[-1] == 100), str(seen))


if __name__ == "__main__":
    sys.exit(d.main([
        a_good_image_is_said_to_be_good,
        every_bad_range_is_named_and_counted,
        a_bmap_that_lists_nothing_is_not_called_one_without_checksums,
        a_signal_ends_a_verify_of_an_idle_pipe,
        the_percentage_is_of_what_was_verified,
    ]))
