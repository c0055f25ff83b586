#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several targets of which one is slow, or stops to answer: the others are done in their own time, and the
slow one in a pass of its own."""
import json
import re
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
from frozen import ABANDONS, Frozen  # noqa: E402

SIZE = 96 * d.MIB
HOLD_S = 10  # the default: so long a target may hold the others
LOOK_S = 2  # and what it takes until that is noticed
SLACK_S = 4  # for a busy machine
DETACHED = "left for a pass of its own"


class Tray:
    """Fast targets, full of old bytes, and an image without holes; but without its head, if that is not
    to be withheld and blanked."""

    def __init__(self, bed, count, size=SIZE, head=True):
        d.require_loop()
        self.bed, self.size = bed, size
        self.image, self.bmap = bed.path("disk.img"), bed.path("disk.bmap")
        with open(self.image, "wb") as f:
            if not head:
                f.write(d.pattern_block()[:d.HEAD_BYTES])
            while f.tell() < size:
                f.write(bed.rng.randbytes(min(8 * d.MIB, size - f.tell())))
        first, middle, end = 0 if head else d.HEAD_BYTES // 4096, size // 8192, size // 4096
        d.write_map(self.bmap, self.image, size, [(first, middle - 1), (middle, end - 1)])
        self.digest = d.sha256_of(self.image)
        self.targets = [bed.loop("target%d" % n, size, pattern=True)[0] for n in range(count)]

    def start(self, *args, targets=None, **kw):
        return d.start_tool("-d", "copy", "--json", "--bmap", self.bmap, *args,
                            *(targets or self.targets), **kw)

    def copy(self, *args, **kw):
        return self.start(self.image, *args, **kw).wait()

    def expect_written(self, targets):
        for target in targets:
            d.drop_cache(target)
            d.expect(d.sha256_of(target) == self.digest, "%s is not the image" % target)


def states(job):
    """The state of each target, as the last progress said."""
    lines = [line for line in job.stdout_now().splitlines(keepends=True) if line.endswith("\n")]
    events = [e for e in map(json.loads, lines) if e["event"] == "progress"]
    return {t["target"]: t["state"] for t in events[-1]["targets"]} if events else {}


def wait_until_done(job, targets, seconds):
    d.wait_until(lambda: job.proc.poll() is not None or all(
        states(job).get(t) == "done" for t in targets), seconds, "done: " + " ".join(targets))


def expect_detached(done, target, passes=1):
    lines = [line for line in done.err.splitlines() if DETACHED in line]
    d.expect(len(lines) == 1 and target in lines[0], "%s was not detached" % target, done)
    d.expect(done.err.count("another pass over the image") == passes, "%d passes" % passes, done)


def seven_fast_and_one_slow_take_the_time_of_both(bed):
    if d.sanitized():
        raise d.Skip("a sanitizer's build is slow itself")
    bps = 6 * d.MIB
    tray = Tray(bed, 8)
    slow, fast = tray.targets[5], tray.targets[:5] + tray.targets[6:]
    fast_alone = d.expect_exit(tray.copy(targets=fast), 0).seconds
    for target in fast:
        d.pattern_fill(target, tray.size)
    enter, _group = bed.limited_cgroup(slow, bps)
    slow_alone = d.expect_exit(tray.copy(targets=[slow], preexec_fn=enter), 0).seconds
    d.pattern_fill(slow, tray.size)
    job = tray.start(tray.image, preexec_fn=enter)
    wait_until_done(job, fast, HOLD_S + LOOK_S + fast_alone + SLACK_S)
    fast_done = d.time.monotonic() - job.started
    if job.proc.poll() is not None:
        raise d.Fail("it ended with the fast ones: %s" % job.wait())
    done = d.expect_exit(job.wait(), 0)
    bed.note("alone: 7 fast %.1f s, slow %.1f s; together: fast %.1f s, all %.1f s" % (
        fast_alone, slow_alone, fast_done, done.seconds))
    expect_detached(done, slow)
    d.expect(done.seconds <= fast_done + slow_alone + SLACK_S, "it took too long", done)
    tray.expect_written(tray.targets)


def who_is_to_wait_waits_for_the_slow_one(bed):
    """Asked to, or because the source cannot be read twice."""
    for asked in (True, False):
        tray = Tray(bed, 3)
        enter, _group = bed.limited_cgroup(tray.targets[1], 7 * d.MIB)  # 13.7 s
        if asked:
            done = tray.copy("--straggler", "wait", preexec_fn=enter)
        else:
            with open(tray.image, "rb") as source:
                done = tray.start("-", stdin=source, preexec_fn=enter).wait()
        d.expect_exit(done, 0)
        d.expect(DETACHED not in done.err, "one was detached", done)
        said = [line for line in done.err.splitlines() if "speed of the slowest" in line]
        d.expect(len(said) == (0 if asked else 1), "it is not said once", done)
        tray.expect_written(tray.targets)


def to_detach_with_a_source_that_cannot_be_read_twice_is_refused(bed):
    tray = Tray(bed, 2)
    before = [d.sha256_of(t) for t in tray.targets]
    with open(tray.image, "rb") as source:
        done = tray.start("-", "--straggler", "detach", stdin=source).wait()
    d.expect(done.code in (1, 2), "exit 1 or 2 expected", done)
    d.expect("--straggler" in done.err, "the option is not named", done)
    d.expect([d.sha256_of(t) for t in tray.targets] == before, "something was written")


def an_interrupted_second_pass_leaves_the_fast_ones_done(bed):
    tray = Tray(bed, 3)
    slow, fast = tray.targets[0], tray.targets[1:]
    enter, _group = bed.limited_cgroup(slow, 4 * d.MIB)
    job = tray.start(tray.image, preexec_fn=enter)
    d.wait_until(lambda: "another pass" in job.stderr_now(), 30, "a second pass begins")
    d.time.sleep(bed.rng.uniform(0, 3))
    job.signal(d.signal.SIGINT)
    begun = d.time.monotonic()
    done = job.wait(30)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect(d.time.monotonic() - begun < 10, "it took too long to end", done)
    d.expect(re.search(re.escape(slow) + r" .*interrupted, incomplete.*left zeroed", done.err),
             "it does not say what is incomplete", done)
    tray.expect_written(fast)
    d.expect_head_blank(slow, d.Map(tray.bmap))


def a_bad_checksum_at_the_end_fails_the_detached_one_too(bed):
    tray = Tray(bed, 3)
    enter, _group = bed.limited_cgroup(tray.targets[2], 4 * d.MIB)
    with open(tray.image, "r+b") as f:
        f.seek(tray.size - 4096)
        f.write(b"rot" * 1000)
    done = d.expect_exit(tray.copy(preexec_fn=enter), 1)
    expect_detached(done, tray.targets[2], passes=0)
    d.expect("checksum mismatch" in done.err, "why?", done)
    for target in tray.targets:
        d.expect_head_blank(target, d.Map(tray.bmap))


def an_image_that_changed_between_the_passes_fails_the_detached_one(bed):
    """No checksum tells, nor its length."""
    tray = Tray(bed, 3)
    enter, group = bed.limited_cgroup(tray.targets[0], 2 * d.MIB)
    job = d.start_tool("copy", "--json", "--nobmap", "--no-read-back", tray.image, *tray.targets,
                       preexec_fn=enter)
    d.wait_until(lambda: DETACHED in job.stderr_now(), HOLD_S + LOOK_S + SLACK_S, "it is detached")
    wait_until_done(job, tray.targets[1:], 20)
    with open(tray.image, "r+b") as f:
        f.seek(SIZE // 2)
        f.write(b"changed")
    bed.relimit(group, tray.targets[0], 64 * d.GIB)
    done = d.expect_exit(job.wait(60), 1)
    d.expect("disk.img: has changed since it was read first" in done.err, "not said", done)
    tray.expect_written(tray.targets[1:])
    d.drop_cache(tray.targets[0])
    d.expect(not any(d.read_at(tray.targets[0], 0, d.HEAD_BYTES)), "its head is not blank", done)


def the_detached_one_is_written_although_the_others_fail(bed):
    """Later than it is left out, and before the image was read to its end."""
    tray = Tray(bed, 1)
    slow = tray.targets[0]
    where = bed.mount("none", "-t", "tmpfs", "-o", "size=150m")  # for two: 75 MiB each
    for n in range(2):
        backing = os.path.join(where, "target%d" % n)
        with open(backing, "wb") as f:
            f.truncate(tray.size)
        tray.targets.append(bed.attach(backing))
    # By then 50 MiB, and the ring.
    enter, _group = bed.limited_cgroup(slow, 5 * d.MIB)
    done = d.expect_exit(tray.copy(preexec_fn=enter), 1)
    expect_detached(done, slow)
    for target in tray.targets[1:]:
        d.expect(re.search(re.escape(target) + r" .*cannot write", done.err), "it did not fail", done)
    tray.expect_written([slow])


def one_that_stops_to_answer(bed, stall_s, detached, wrap=(), size=64 * d.MIB):
    """Frozen in the middle with many requests in flight, beside two that go on: those are written, it is
    given up."""
    tray = Tray(bed, 2, size)
    frozen = Frozen(bed, size)
    pace, group = bed.limited_cgroup(frozen.device, 24 * d.MIB)
    before = d.written_bytes(frozen.device)
    job = d.Running(list(wrap) + [d.BMAPTOOL, "-d", "copy", "--stall-timeout", str(stall_s),
                                  "--queue-depth", "16", "--bmap", tray.bmap, tray.image, frozen.device] + tray.targets,
                    preexec_fn=pace, env=ABANDONS)
    d.wait_until(lambda: d.written_bytes(frozen.device) - before >= 8 * d.MIB, 30, "it is written")
    frozen.freeze()
    bed.relimit(group, frozen.device, 64 * d.GIB)
    d.wait_until(lambda: "1 of 3 targets failed" in job.stderr_now(), stall_s + 12, "it ends")
    if wrap:  # threads inside of the kernel keep the process
        frozen.thaw()
    done = d.expect_exit(job.wait(), 1)
    d.expect((DETACHED in done.err) == detached, "detached?", done)
    d.expect(re.search(re.escape(frozen.device) + r": the device did not answer for %d s" % stall_s,
                       done.err), "the target is not named", done)
    tray.expect_written(tray.targets)
    frozen.thaw()
    d.wait_until(lambda: d.in_flight(frozen.device) == 0, 30, "nothing is in flight after the thaw")
    d.expect_head_blank(frozen.device, d.Map(tray.bmap))


def one_that_stops_to_answer_is_detached_and_given_up(bed):
    one_that_stops_to_answer(bed, 14, True)


def one_that_stops_to_answer_is_given_up_before_it_is_detached(bed):
    one_that_stops_to_answer(bed, 4, False)


def without_io_uring_one_that_stops_to_answer_holds_nobody(bed):
    if d.sanitized():
        raise d.Skip("a given up write reads what is overwritten, which a sanitizer may see here")
    one_that_stops_to_answer(bed, 4, False, [d.compile_helper(bed, "no_uring"), "EPERM"])


def set_tags(device, count):
    with open("/sys/block/%s/queue/nr_requests" % os.path.basename(device), "w") as f:
        f.write(str(count))


def devices_without_a_free_tag_hold_nobody(bed):
    """Four tags each, on slow devices, and far more requests than that: an image that fits the ring is
    on the fast ones before the slow ones have written a fraction of it."""
    slow_bps, size = 512 * d.KIB, 12 * d.MIB
    tray = Tray(bed, 3, size, head=False)
    fast = list(tray.targets)
    lowers = [bed.loop("lower%d" % n, size, pattern=True)[0] for n in range(3)]
    few = []
    for lower in lowers:
        upper = bed.attach(lower)
        set_tags(upper, 4)
        bed.later(set_tags, upper, 128)  # it outlives the detaching
        few.append(upper)
    alone = d.expect_exit(tray.copy("--queue-depth", "16"), 0).seconds
    for target in fast:
        d.pattern_fill(target, size)
    enter, group = bed.limited_cgroup(lowers[0], slow_bps)
    for lower in lowers:
        bed.relimit(group, lower, slow_bps)
        bed.later(bed.relimit, group, lower, 64 * d.GIB)
    tray.targets = few + fast
    job = tray.start(tray.image, "--queue-depth", "16", preexec_fn=enter)
    wait_until_done(job, fast, alone + SLACK_S)
    took = d.time.monotonic() - job.started
    if job.proc.poll() is not None:
        raise d.Fail("the slow ones were not slow: %s" % job.wait())
    for lower in lowers:
        bed.relimit(group, lower, 64 * d.GIB)
    done = d.expect_exit(job.wait(), 0)
    longest_us = max(int(n) for n in re.findall(r"longest submit (\d+) us", done.err))
    bed.note("fast: alone %.2f s, beside the slow ones %.2f s; longest submit %.1f ms" % (
        alone, took, longest_us / 1000))
    # One request of theirs takes two seconds.
    d.expect(longest_us < 500000, "a submission waited", done)
    tray.expect_written(tray.targets)


if __name__ == "__main__":
    sys.exit(d.main([
        seven_fast_and_one_slow_take_the_time_of_both,
        who_is_to_wait_waits_for_the_slow_one,
        to_detach_with_a_source_that_cannot_be_read_twice_is_refused,
        an_interrupted_second_pass_leaves_the_fast_ones_done,
        a_bad_checksum_at_the_end_fails_the_detached_one_too,
        the_detached_one_is_written_although_the_others_fail,
        an_image_that_changed_between_the_passes_fails_the_detached_one,
        one_that_stops_to_answer_is_detached_and_given_up,
        one_that_stops_to_answer_is_given_up_before_it_is_detached,
        without_io_uring_one_that_stops_to_answer_holds_nobody,
        devices_without_a_free_tag_hold_nobody,
    ], need_bytes=12 * SIZE))
