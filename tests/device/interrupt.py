#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A flash that is interrupted, at any moment: what is left on the device, how soon it ends, what it
says. Moments are random (BMAP_TEST_SEED repeats them)."""
import signal
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
from frozen import Frozen  # noqa: E402

SIZE = 384 * d.MIB
SLOW_BPS = 24 * d.MIB


class World:
    """A device full of an old system, and an image with its map."""

    def __init__(self, bed, sector=512):
        d.require_loop()
        self.image = d.random_image(bed.path("disk.img"), SIZE, bed.rng.random(), pieces=120)
        # The new system's partition table and superblock: visible if the head was written.
        with open(self.image, "r+b") as f:
            f.seek(510)
            f.write(b"\x55\xaaEFI PART")
        self.bmap = bed.path("disk.bmap")
        d.expect_exit(d.tool("create", "-o", self.bmap, self.image), 0)
        self.map = d.Map(self.bmap)
        self.device, self.backing = bed.loop("target", SIZE, sector, pattern=True)
        with open(self.backing, "r+b") as f:  # the old system's
            f.seek(510)
            f.write(b"\x55\xaaEFI PART")

    def start(self, bed, source=None, slow=True, **kw):
        if slow:
            enter, _group = bed.limited_cgroup(self.device, SLOW_BPS)
            kw["preexec_fn"] = enter
        self.before = d.written_bytes(self.device)
        return d.start_tool("copy", "--bmap", self.bmap, source or self.image, self.device, **kw)

    def written(self):
        return d.written_bytes(self.device) - self.before


def interrupted_at_random_moments(bed, signum, code):
    world = World(bed)
    interrupted = 0
    for round_ in range(4):
        d.pattern_fill(world.backing, 2 * d.MIB)
        d.drop_cache(world.device)
        job = world.start(bed, slow=round_ == 0 or round_ % 2 == 1)
        # By what the device got, not by time: at least the zeroed head, and before the end.
        share = bed.rng.uniform(0.02, 0.6) if round_ else 0.0
        wait_bytes = d.MIB + int(share * world.map.mapped_bytes)
        d.wait_until(lambda: world.written() >= wait_bytes or job.proc.poll() is not None, 30,
                     "the flash wrote %d bytes" % wait_bytes)
        job.signal(signum)
        done = job.wait(60)
        if done.code == 0 and code != 0:
            bed.note("round %d: finished before the signal" % round_)
            continue
        d.expect(done.code == code, "exit %d expected" % code, done)
        interrupted += 1
        if code > 0:
            d.expect(world.device in done.err, "it does not say what is incomplete", done)
        d.wait_for_release(world.device)
        d.expect_head_blank(world.device, world.map)
    d.expect(interrupted > 0, "no round was interrupted")


def sigint_leaves_a_blank_head_and_exit_130(bed):
    interrupted_at_random_moments(bed, signal.SIGINT, 130)


def sigterm_leaves_a_blank_head_and_exit_143(bed):
    interrupted_at_random_moments(bed, signal.SIGTERM, 143)


def sigkill_leaves_a_blank_head(bed):
    interrupted_at_random_moments(bed, signal.SIGKILL, -9)


def a_signal_with_an_idle_stdin_ends_within_two_seconds(bed):
    world = World(bed)
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = d.sha256_of(world.backing)
        feed = d.Feed(bed)
        job = world.start(bed, source="-", slow=False, stdin=feed.reader)
        feed.started()
        d.time.sleep(0.7)
        d.expect(job.proc.poll() is None, "it did not wait for its standard input")
        job.signal(signum)
        begun = d.time.monotonic()
        done = job.wait(10)
        d.expect(done.code == code, "exit %d expected" % code, done)
        d.expect(d.time.monotonic() - begun < 2, "it took more than 2 s", done)
        d.expect(d.sha256_of(world.backing) == before, "the device was touched before any input came")


def a_signal_with_a_source_that_stops_half_way_ends_within_two_seconds(bed):
    world = World(bed)
    feed = d.Feed(bed)
    job = world.start(bed, source="-", slow=False, stdin=feed.reader)
    feed.started()
    feed.give(world.image, 64 * d.MIB)
    d.wait_until(lambda: world.written() >= d.MIB, 20, "the device gets its first bytes")
    d.time.sleep(0.3)
    job.signal(signal.SIGINT)
    begun = d.time.monotonic()
    done = job.wait(10)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect(d.time.monotonic() - begun < 2, "it took more than 2 s", done)
    d.expect_head_blank(world.device, world.map)


def a_signal_with_a_full_ring_ends_as_soon_as_the_device_answers(bed):
    world = World(bed)
    d.check_run("zstd", "-1", "-q", "-f", world.image, "-o", world.image + ".zst")
    job = world.start(bed, source=world.image + ".zst")
    d.time.sleep(2)  # decoding is far faster than 24 MiB/s: the ring is full by now
    d.expect(job.proc.poll() is None, "the device was not slow")
    job.signal(signal.SIGINT)
    begun = d.time.monotonic()
    done = job.wait(30)
    d.expect(done.code == 130, "exit 130 expected", done)
    # What is in flight must be waited for: some MiB at 24 MiB/s, and the head zeroed again.
    d.expect(d.time.monotonic() - begun < 5, "it took more than 5 s", done)
    d.expect_head_blank(world.device, world.map)


def only_a_head_that_was_zeroed_is_called_so(bed):
    world = World(bed)
    for first, zeroed in ((0, True), (4096, False)):  # blocks
        d.write_map(world.bmap, world.image, SIZE, [(first, SIZE // 4096 - 1)])
        feed = d.Feed(bed)
        job = world.start(bed, source="-", slow=False, stdin=feed.reader)
        feed.started()
        feed.give(world.image, 64 * d.MIB)
        d.wait_until(lambda: world.written() >= 8 * d.MIB, 20, "the device gets its first bytes")
        job.signal(signal.SIGINT)
        done = job.wait(10)
        d.expect(done.code == 130, "exit 130 expected", done)
        d.expect(("first MiB was left zeroed" in done.err) == zeroed, "what was left?", done)


def a_second_signal_leaves_at_once(bed):
    world = World(bed)
    enter, _group = bed.limited_cgroup(world.device, 64 * d.KIB)
    job = d.start_tool("copy", "--bmap", world.bmap, world.image, world.device, preexec_fn=enter)
    d.time.sleep(1.5)  # a MiB of zeros for the head takes 16 s
    d.expect(job.proc.poll() is None, "the device was not slow")
    job.signal(signal.SIGINT)
    d.time.sleep(0.7)
    if job.proc.poll() is not None:
        raise d.Fail("the first signal must wait for what is in flight: %s" % job.wait())
    job.signal(signal.SIGINT)
    begun = d.time.monotonic()
    done = job.wait(20)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect(d.time.monotonic() - begun < 1, "the second signal took more than 1 s", done)


def a_signal_behind_the_commit_point_is_too_late(bed):
    """The device does not answer the last write when the signal comes; then it does."""
    size = 32 * d.MIB
    image, bmap = bed.path("disk.img"), bed.path("disk.bmap")
    with open(image, "wb") as f:
        f.write(bed.rng.randbytes(size))
    # Of the head nothing but the commit block.
    d.write_map(bmap, image, size, [(0, 0), (d.HEAD_BYTES // 4096, size // 4096 - 1)])
    frozen = Frozen(bed, size)
    other, _backing = bed.loop("other", size)
    enter, group = bed.limited_cgroup(frozen.device, 64 * d.GIB, 16 * d.MIB)
    for targets in ((frozen.device,), (frozen.device, other)):
        job = d.start_tool("copy", "--json", "--read-back", "--bmap", bmap, image, *targets,
                           preexec_fn=enter)
        d.wait_until(lambda: "reading back '%s'" % frozen.device in job.stderr_now(), 20, "it is read")
        frozen.freeze()
        d.wait_until(lambda: '"state":"head"' in job.stdout_now(), 20, "the head is written")
        job.signal(signal.SIGINT)
        d.wait_until(lambda: "interrupted" in job.stderr_now(), 5, "the signal is seen")
        d.time.sleep(0.5)
        d.expect(job.proc.poll() is None, "the device was not frozen")
        frozen.thaw()
        done = d.expect_exit(job.wait(20), 0)
        d.expect('"verdict":"success","exit_code":0' in done.out, "no success", done)
        d.expect("ERROR" not in done.err, "what went wrong?", done)
        d.wait_for_release(frozen.device)
    bed.relimit(group, frozen.device, 64 * d.GIB, 64 * d.GIB)


def the_signal_decides_of_the_exit_code_also_beside_a_target_that_failed(bed):
    world = World(bed)
    enter, _group = bed.limited_cgroup(world.device, SLOW_BPS)
    job = d.start_tool("copy", "--bmap", world.bmap, world.image, bed.path("no/such/folder"),
                       world.device, preexec_fn=enter)
    d.wait_until(lambda: "cannot create" in job.stderr_now(), 20, "one is refused")
    d.time.sleep(0.5)
    job.signal(signal.SIGTERM)
    done = job.wait(20)
    d.expect(done.code == 143, "exit 143 expected", done)


def the_signal_decides_of_the_exit_code_also_if_one_cannot_be_ejected(bed):
    world = World(bed)
    done_one, _backing = bed.loop("done", SIZE)
    name = bed.path("name")
    os.symlink(done_one, name)
    enter, _group = bed.limited_cgroup(world.device, SLOW_BPS)
    job = d.start_tool("copy", "--json", "--eject", "--straggler", "wait", "--memory", "1G",
                       "--bmap", world.bmap, world.image, name, world.device, preexec_fn=enter)
    d.wait_until(lambda: '"state":"done"' in job.stdout_now(), 30, "one is done")
    os.unlink(name)
    job.signal(signal.SIGTERM)
    done = job.wait(20)
    d.expect("name: cannot eject" in done.err, "it was ejected", done)
    d.expect(done.code == 143, "exit 143 expected", done)


def an_interrupted_regular_file_is_gone_or_empty(bed):
    image = d.random_image(bed.path("disk.img"), SIZE, 5, pieces=200)
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    for existed in (False, True):
        out = bed.path("out.img")
        if existed:
            with open(out, "wb") as f:
                f.write(b"x" * 5000)
        feed = d.Feed(bed)
        job = d.start_tool("copy", "--bmap", bed.path("disk.bmap"), "-", out, stdin=feed.reader)
        feed.started()
        feed.give(image, 32 * d.MIB)
        d.wait_until(lambda: os.path.exists(out) and os.path.getsize(out) == SIZE, 20,
                     "%s has its size" % out)
        job.signal(signal.SIGTERM)
        done = job.wait(10)
        d.expect(done.code == 143, "exit 143 expected", done)
        if existed:
            d.expect(os.path.getsize(out) == 0, "an existing file must be left empty")
        else:
            d.expect(not os.path.exists(out), "the half-written file is still there")


if __name__ == "__main__":
    sys.exit(d.main([
        sigint_leaves_a_blank_head_and_exit_130,
        sigterm_leaves_a_blank_head_and_exit_143,
        sigkill_leaves_a_blank_head,
        a_signal_with_an_idle_stdin_ends_within_two_seconds,
        a_signal_with_a_source_that_stops_half_way_ends_within_two_seconds,
        a_signal_with_a_full_ring_ends_as_soon_as_the_device_answers,
        only_a_head_that_was_zeroed_is_called_so,
        a_second_signal_leaves_at_once,
        a_signal_behind_the_commit_point_is_too_late,
        the_signal_decides_of_the_exit_code_also_beside_a_target_that_failed,
        the_signal_decides_of_the_exit_code_also_if_one_cannot_be_ejected,
        an_interrupted_regular_file_is_gone_or_empty,
    ], need_bytes=3 * SIZE))
