#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool bench on loop devices: what is measured, and that a device that is read stays as it is."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
import schema  # noqa: E402

SIZE = 32 * d.MIB


def measure(bed, *args, code=0):
    out = bed.path("out.json")
    done = d.expect_exit(d.tool("bench", "--time", "1", "--json", out, *args), code)
    with open(out) as f:
        found = json.load(f)
    problem = schema.problem([found], "bench.schema.json")
    d.expect(not problem, "not as its schema says: %s" % problem)
    return done, found


def a_device_that_is_read_stays_as_it_is(bed):
    dev, _ = bed.loop("disk", SIZE, pattern=True)
    before, written = d.sha256_of(dev), d.written_bytes(dev)
    done, found = measure(bed, "--op=read,randread", "--depth=1,8", dev)
    d.expect(d.sha256_of(dev) == before and d.written_bytes(dev) == written, "it was written to", done)
    d.expect(found["kind"] == "device" and found["size_bytes"] == SIZE, "what it is", done)
    d.expect(found["direct"] and found["engine"] == "io_uring", "not the fast way", done)
    d.expect(found["device"]["transport"] == "loop" and bed.path("disk") in found["device"]["model"],
             "facts: %s" % found["device"], done)
    d.expect("loop" in done.out.splitlines()[0] and "32.0 MiB" in done.out.splitlines()[0], "title", done)


def a_mounted_device_may_be_read(bed):
    d.require_program("mkfs.ext4")
    dev, _ = bed.loop("disk", SIZE)
    d.check_run("mkfs.ext4", "-q", dev)
    bed.mount(dev)
    measure(bed, "--depth=2", dev)


def writes_are_said_before_and_stay_inside(bed):
    backing = bed.path("disk")
    d.pattern_fill(backing, 3 * SIZE)
    done = d.run("losetup", "-f", "--show", "-o", str(SIZE), "--sizelimit", str(SIZE), backing)
    d.expect_exit(done, 0)
    dev = done.out.strip()
    bed.later(d.detach, dev)
    d.check_run("mkfs.ext4", "-q", "-L", "precious", dev)
    done, found = measure(bed, "--write", "--op=write,randwrite,randread", "--block-size=4K,1M",
                          "--depth=16", dev)
    warned = [x for x in done.err.splitlines() if "everything on it will be overwritten" in x]
    d.expect(len(warned) == 1 and 'it holds ext4 "precious"' in warned[0], "not said", done)
    d.expect(len(found["points"]) == 6 and found["written"], "points", done)
    block = d.pattern_block()
    with open(backing, "rb") as f:
        before, inside, behind = f.read(SIZE), f.read(SIZE), f.read(SIZE)
    want = block * (SIZE // d.MIB)
    d.expect(before == want and behind == want, "a neighbour was written to", done)
    pieces = {inside[i:i + 4096] for i in range(0, SIZE, 4096)}
    d.expect(len(pieces) == SIZE // 4096, "%d different blocks of %d" % (len(pieces), SIZE // 4096), done)
    d.expect(not any(piece in pieces for piece in (block[:4096], bytes(4096))), "what was there is left")


def an_interrupted_one_leaves_no_file_system(bed):
    dev, _ = bed.loop("disk", SIZE)
    d.check_run("mkfs.ext4", "-q", dev)
    before = d.written_bytes(dev)
    running = d.start_tool("bench", "--write", "--op=randwrite", "--depth=1", "--time=60", dev)
    d.wait_until(lambda: d.written_bytes(dev) > before + 2 * d.MIB, 20, "it writes")
    running.signal(signal.SIGINT)
    d.expect_exit(running.wait(10), 130)
    d.expect(d.run("blkid", "-p", dev).code == 2, "a file system is still found")


def a_device_in_use_is_refused(bed):
    dev, _ = bed.loop("disk", SIZE)
    d.check_run("mkfs.ext4", "-q", dev)
    bed.mount(dev, "-o", "ro")
    before = d.sha256_of(dev)
    done = d.expect_exit(d.tool("bench", "--write", "--time=1", dev), 1)
    d.expect("refused" in done.err and "mounted" in done.err, "not said why", done)
    d.expect("overwritten" not in done.err and done.out == "", "said to be overwritten", done)
    d.expect(d.sha256_of(dev) == before, "it was written to", done)
    read_only, _ = bed.loop("other", SIZE, read_only=True)
    done = d.expect_exit(d.tool("bench", "--write", "--time=1", read_only), 1)
    d.expect("read-only" in done.err, "not said why", done)
    d.expect_exit(d.tool("bench", "--time=1", "--depth=1", read_only), 0)


def the_end_of_a_device_is_not_passed(bed):
    dev, _ = bed.loop("disk", SIZE + d.MIB - 4096, sector=4096)
    _, found = measure(bed, "--op=read,randread", "--block-size=4K,1M", "--depth=64", dev)
    d.expect(len(found["points"]) == 4, "points")


def without_io_uring_it_is_said_and_measured(bed):
    dev, _ = bed.loop("disk", SIZE)
    done = d.run(os.environ["BMAP_TEST_NO_URING"], "EPERM",
                 d.BMAPTOOL, "bench", "--time=1", "--depth=4,8", dev)
    d.expect_exit(done, 0)
    d.expect("; psync, O_DIRECT" in done.out, "the engine is not named", done)
    d.expect(done.err.count("worker threads instead") == 1, "not said once", done)


if __name__ == "__main__":
    sys.exit(d.main([a_device_that_is_read_stays_as_it_is, a_mounted_device_may_be_read,
                     the_end_of_a_device_is_not_passed, writes_are_said_before_and_stay_inside,
                     an_interrupted_one_leaves_no_file_system, a_device_in_use_is_refused,
                     without_io_uring_it_is_said_and_measured]))
