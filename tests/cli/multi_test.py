#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy to several targets, which are files here: each has its own verdict."""
import os
import sys

from common import content, d, expect_copied, expect_log_lines, image


def each_of_several_targets_gets_the_image(bed):
    source = image(bed)
    names = [bed.path("out%d" % i) for i in range(3)]
    done = d.expect_exit(d.tool("copy", source, names[0], "--bmap", source + ".bmap", *names[1:]), 0)
    expect_log_lines(done)
    for name in names:
        expect_copied(source, name)


def who_is_refused_ends_alone(bed):
    source = image(bed)
    for bad in range(3):
        names = [bed.path("out%d" % i) for i in range(3)]
        names[bad] = bed.path("no/such/dir")
        done = d.expect_exit(d.tool("copy", source, *names), 1)
        expect_log_lines(done)
        d.expect(names[bad] in done.err, "not named", done)
        for i in range(3):
            if i != bad:
                expect_copied(source, names[i])
                os.unlink(names[i])


def a_target_named_twice_refuses_all(bed):
    source, out = image(bed), bed.path("out")
    with open(out, "w") as f:
        f.write("precious")
    os.symlink(out, bed.path("link"))
    os.link(out, bed.path("hard"))
    for names in ((out, out), (out, bed.path("link")), (bed.path("hard"), bed.path("new"), out)):
        done = d.expect_exit(d.tool("copy", source, *names), 1)
        d.expect("name each once" in done.err, "not said", done)
        d.expect(content(out) == b"precious", "it was written", done)
        d.expect(not os.path.exists(bed.path("new")), "a file was made", done)


def a_bmap_among_the_targets_refuses_all(bed):
    source, out = image(bed), bed.path("out")
    before = content(source + ".bmap")
    done = d.expect_exit(d.tool("copy", "--nobmap", source, source + ".bmap", out), 1)
    d.expect("--bmap" in done.err and source + ".bmap" in done.err, "not said what to do", done)
    d.expect(content(source + ".bmap") == before and not os.path.exists(out), "written", done)


if __name__ == "__main__":
    sys.exit(d.main([
        each_of_several_targets_gets_the_image,
        who_is_refused_ends_alone,
        a_target_named_twice_refuses_all,
        a_bmap_among_the_targets_refuses_all,
    ]))
