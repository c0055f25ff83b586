#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Targets that are slow or do not answer: the window grows and shrinks, a stalled target is named, and
given up in the time asked for."""
import re
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
from frozen import ABANDONS, Frozen  # noqa: E402

SIZE = 768 * d.MIB


def image_with_map(bed, size=SIZE, pieces=200):
    image = d.random_image(bed.path("disk.img"), size, bed.rng.random(), pieces)
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    return image, d.Map(bed.path("disk.bmap"))


def stalled_target_is_given_up(bed, when_written):
    """Frozen while most of the body is still to come: the head is zeroed then."""
    image, bmap = image_with_map(bed, 256 * d.MIB, 150)
    target = Frozen(bed, 256 * d.MIB)
    enter, _group = bed.limited_cgroup(target.device, 40 * d.MIB)
    before = d.written_bytes(target.device)
    job = d.start_tool("copy", "--stall-timeout", "3", "--bmap", bed.path("disk.bmap"), image,
                       target.device, preexec_fn=enter, env=ABANDONS)
    d.wait_until(lambda: d.written_bytes(target.device) - before >= when_written, 30,
                 "%d bytes were written" % when_written)
    target.freeze()
    frozen_at = d.time.monotonic()
    done = job.wait(40)
    took = d.time.monotonic() - frozen_at
    d.expect_exit(done, 1)
    errors = [line for line in done.err.splitlines() if "ERROR: " in line]
    d.expect(any(target.device in line for line in errors), "the target is not named", done)
    d.expect(2 <= took < 15, "given up after %.1f s, 3 s were asked for" % took, done)
    bed.note("given up after %.1f s" % took)
    target.thaw()
    d.wait_until(lambda: d.in_flight(target.device) == 0, 30, "nothing is in flight after the thaw")
    d.expect_head_blank(target.device, bmap)


def a_target_that_stalls_in_the_middle_is_given_up_and_named(bed):
    stalled_target_is_given_up(bed, 24 * d.MIB)


def a_target_that_answers_nothing_from_the_start_is_given_up_and_named(bed):
    image, _bmap = image_with_map(bed, 64 * d.MIB, 20)
    target = Frozen(bed, 64 * d.MIB)
    target.freeze()
    begun = d.time.monotonic()
    done = d.tool("copy", "--stall-timeout", "3", "--bmap", bed.path("disk.bmap"), image,
                  target.device, timeout=40, env=ABANDONS)
    d.expect_exit(done, 1)
    d.expect(target.device in done.err, "the target is not named", done)
    d.expect(d.time.monotonic() - begun < 20, "it took too long", done)


def a_target_that_answers_again_in_time_is_flashed(bed):
    image, bmap = image_with_map(bed, 128 * d.MIB, 30)
    target = Frozen(bed, 128 * d.MIB)
    enter, _group = bed.limited_cgroup(target.device, 30 * d.MIB)
    before = d.written_bytes(target.device)
    job = d.start_tool("copy", "--stall-timeout", "20", "--bmap", bed.path("disk.bmap"), image,
                       target.device, preexec_fn=enter)
    d.wait_until(lambda: d.written_bytes(target.device) - before >= 8 * d.MIB, 30, "it writes")
    target.freeze()
    d.time.sleep(4)
    d.expect(job.proc.poll() is None, "it ended while the target was frozen")
    target.thaw()
    d.expect_exit(job.wait(60), 0)
    d.expect_exit(d.tool("verify", "--bmap", bed.path("disk.bmap"), target.device), 0)
    del bmap


def a_signal_ends_a_copy_to_a_target_that_does_not_answer(bed):
    image, _bmap = image_with_map(bed, 64 * d.MIB, 20)
    target = Frozen(bed, 64 * d.MIB)
    target.freeze()
    job = d.start_tool("copy", "--stall-timeout", "4", "--bmap", bed.path("disk.bmap"), image,
                       target.device, env=ABANDONS)
    d.time.sleep(1)
    d.expect(job.proc.poll() is None, "it ended while the target was frozen")
    job.signal(d.signal.SIGINT)
    # The requests in flight are the kernel's: it waits for them, but not longer than asked for.
    done = job.wait(20)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect(target.device in done.err, "the target is not named", done)


def windows(done):
    """(window at the end, largest window) of the only target, as --debug tells."""
    m = re.search(r"window (\d+).*largest (\d+)", done.err)
    if not m:
        raise d.Fail("no line 'window N, largest M' in --debug: %s" % done)
    return int(m.group(1)), int(m.group(2))


def the_window_grows_on_a_fast_target_and_stays_small_on_a_slow_one(bed):
    d.require_loop()
    image, _bmap = image_with_map(bed)
    fast, _ = bed.loop("fast", SIZE)
    slow, _ = bed.loop("slow", SIZE)
    fast_done = d.expect_exit(d.tool("-d", "copy", "--bmap", bed.path("disk.bmap"), image, fast), 0)
    fast_end, fast_most = windows(fast_done)
    enter, _group = bed.limited_cgroup(slow, 24 * d.MIB)
    slow_done = d.expect_exit(d.tool("-d", "copy", "--bmap", bed.path("disk.bmap"), image, slow,
                                     preexec_fn=enter), 0)
    slow_end, slow_most = windows(slow_done)
    bed.note("window: fast %d, largest %d; slow %d, largest %d" % (
        fast_end, fast_most, slow_end, slow_most))
    d.expect(fast_most > slow_end, "fast %d is not more than slow %d" % (fast_most, slow_end))


def the_window_shrinks_when_the_target_becomes_slow(bed):
    d.require_loop()
    image = bed.path("dense.img")
    block = bed.rng.randbytes(8 * d.MIB)
    with open(image, "wb") as f:
        for _ in range(SIZE // len(block)):
            f.write(block)
    bmap = d.write_map(bed.path("dense.bmap"), image, SIZE, [(0, SIZE // 4096 - 1)])
    target, _ = bed.loop("target", SIZE)
    enter, group = bed.limited_cgroup(target, 64 * d.GIB)
    before = d.written_bytes(target)
    # Nothing but the target holds it up: no hashing, and the image is in memory.
    job = d.start_tool("-d", "copy", "--no-verify", "--bmap", bmap, image, target,
                       preexec_fn=enter)
    d.wait_until(lambda: d.written_bytes(target) - before >= SIZE // 4 or
                 job.proc.poll() is not None, 30, "a quarter was written")
    bed.relimit(group, target, 48 * d.MIB)
    done = d.expect_exit(job.wait(), 0)
    end, most = windows(done)
    bed.note("window at the end %d, largest %d; %.1f s" % (end, most, done.seconds))
    if done.seconds < 2:
        raise d.Skip("the copy had ended before the target became slow")
    d.expect(end < most, "the window did not shrink", done)


if __name__ == "__main__":
    sys.exit(d.main([
        a_target_that_stalls_in_the_middle_is_given_up_and_named,
        a_target_that_answers_nothing_from_the_start_is_given_up_and_named,
        a_target_that_answers_again_in_time_is_flashed,
        a_signal_ends_a_copy_to_a_target_that_does_not_answer,
        the_window_grows_on_a_fast_target_and_stays_small_on_a_slow_one,
        the_window_shrinks_when_the_target_becomes_slow,
    ], need_bytes=3 * SIZE))
