#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool bench on loop devices: what is measured, and that a device that is read stays as it is."""
import json
import os
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
                     the_end_of_a_device_is_not_passed,
                     without_io_uring_it_is_said_and_measured]))
