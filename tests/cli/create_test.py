#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool create: where the map goes, what stays if it does not come to be."""
import os
import signal
import subprocess
import sys

from common import content, d, expect_log_lines, image, on_terminal, wait_until_signals_are_handled


def standard_output_and_a_file_get_the_same_map(bed):
    source, out = image(bed, bmap=False), bed.path("o.bmap")
    printed = d.expect_exit(d.tool("create", source), 0)
    # A build or a kernel without io_uring says so.
    others = [line for line in printed.err.splitlines() if "io_uring" not in line]
    d.expect(not others, "something beside the map", printed)
    for argv in (["-o", out], ["-o" + out], ["--output=" + out], ["--outp", out]):
        done = d.expect_exit(d.tool("create", *argv, source), 0)
        expect_log_lines(done)
        d.expect(content(out).decode() == printed.out, "the two differ", done)
        os.unlink(out)


def each_checksum_type_is_understood_again(bed):
    source, out = image(bed, bmap=False), bed.path("o.bmap")
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "SHA512"):
        d.expect_exit(d.tool("create", "--checksum-type", name, "-o", out, source), 0)
        d.expect("> %s <" % name.lower() in content(out).decode(), "not %s" % name)
        d.expect_exit(d.tool("verify", "--bmap", out, source), 0)


def checksums_can_be_left_out(bed):
    source, out = image(bed, bmap=False), bed.path("o.bmap")
    d.expect_exit(d.tool("create", "--no-check", "-o", out, source), 0)
    d.expect("chksum=" not in content(out).decode(), "there are checksums")
    done = d.expect_exit(d.tool("verify", "--bmap", out, source), 0)
    d.expect("WARNING" in done.err and "no checksums" in done.err, "nothing was said", done)


def a_failure_leaves_the_old_file(bed):
    out = bed.path("o.bmap")
    with open(out, "w") as f:
        f.write("old")
    with open(bed.path("empty"), "w"):
        pass
    for source in (bed.path("absent"), bed.path("empty"), bed.folder, "/dev/null"):
        done = d.expect_exit(d.tool("create", source, "-o", out), 1)
        d.expect(os.path.basename(source) in done.err, "the error does not name it", done)
        d.expect(content(out) == b"old", "the old map is gone", done)
    d.expect(sorted(os.listdir(bed.folder)) == ["empty", "o.bmap"], "a file was left")


def the_image_is_not_replaced_by_its_bmap(bed):
    source = image(bed, bmap=False)
    before = content(source)
    os.symlink(source, bed.path("link"))
    for out in (source, bed.path("link"), os.path.join(bed.folder, ".", "disk.img")):
        done = d.expect_exit(d.tool("create", source, "-o", out), 1)
        d.expect(content(source) == before, "the image is gone", done)
        d.expect("refused: it is the image itself" in done.err, "another reason", done)
    d.expect(sorted(os.listdir(bed.folder)) == ["disk.img", "link"], "a file was left")


def what_cannot_be_written_to_is_said_before_the_image_is_looked_at(bed):
    for out, why in ((bed.path("no/such/folder"), "No such file"), (bed.folder, "Is a directory")):
        done = d.expect_exit(d.tool("create", bed.path("absent.img"), "-o", out), 1)
        d.expect(out in done.err and why in done.err, "another reason", done)
        d.expect("absent.img" not in done.err.splitlines()[-1], "the image was looked at", done)
    d.expect(os.listdir(bed.folder) == [], "a file was left")


def a_full_disk_is_a_failure(bed):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([d.BMAPTOOL, "create", image(bed, bmap=False)], stdout=full,
                              stderr=subprocess.PIPE)
    d.expect(done.returncode == 1 and b"No space left" in done.stderr, str(done))


def an_interrupted_one_leaves_no_file(bed):
    big, out = bed.path("big.img"), bed.path("o.bmap")
    with open(big, "wb") as f:
        for _ in range(768):
            f.write(bytes(d.MIB))
    running = d.start_tool("create", "--workers=1", "--queue-depth=1", "--checksum-type=md5", big,
                           "-o", out)
    wait_until_signals_are_handled(running)
    if running.proc.poll() is not None:
        raise d.Skip("768 MiB were read and hashed at once")
    running.signal(signal.SIGINT)
    done = running.wait(20)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect("ERROR" in done.err and "interrupted" in done.err, "nothing said", done)
    d.expect(os.listdir(bed.folder) == ["big.img"], "a file was left: %s" % os.listdir(bed.folder))


an_interrupted_one_leaves_no_file.need_bytes = d.GIB


def the_map_on_a_terminal_begins_on_a_line_of_its_own(bed):
    code, shown = on_terminal("create", image(bed, bmap=False))
    d.expect(code == 0, shown)
    at = shown.index("<?xml")
    d.expect(at == 0 or shown[at - 1] == "\n", "behind the progress: %r" % shown[:300])


if __name__ == "__main__":
    sys.exit(d.main([
        standard_output_and_a_file_get_the_same_map,
        each_checksum_type_is_understood_again,
        checksums_can_be_left_out,
        a_failure_leaves_the_old_file,
        the_image_is_not_replaced_by_its_bmap,
        what_cannot_be_written_to_is_said_before_the_image_is_looked_at,
        a_full_disk_is_a_failure,
        an_interrupted_one_leaves_no_file,
        the_map_on_a_terminal_begins_on_a_line_of_its_own,
    ]))
