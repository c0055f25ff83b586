#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool create: where the map goes, what stays if it does not come to be."""
import os
import shutil
import signal
import subprocess
import sys

from common import RANGES, content, d, expect_log_lines, image, on_terminal, wait_until_signals_are_handled


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


def image_with_zeros(bed, name="zeros.img"):
    """No holes; runs of zeros of all lengths, two of them over the end of a stretch of 64 MiB."""
    path = bed.path(name)
    size = 130 * d.MIB + 300
    with open(path, "wb") as f:
        f.write(bytes(size))
        for offset, length in ((0, 1), (d.MIB + 5000, 9), (3 * d.MIB, 200000), (20 * d.MIB, d.MIB),
                               (64 * d.MIB - 40000, 10), (64 * d.MIB + 20000, 10),
                               (100 * d.MIB, 500), (127 * d.MIB, 2 * d.MIB), (size - 1, 1)):
            f.seek(offset)
            f.write(bed.rng.randbytes(length))
        for i in range(60):
            f.seek(bed.rng.randrange(4 * d.MIB, 16 * d.MIB))
            f.write(bed.rng.randbytes(bed.rng.choice((1, 600, 5000, 70000))))
    return path


def mapped_by_the_rule(data, block, run, kept=()):
    """The blocks of what has to be mapped; kept: spans that are, whatever they hold."""
    count = -(-len(data) // block)
    nothing = bytes(block)
    zero = [nothing.startswith(data[i * block:(i + 1) * block]) for i in range(count)]
    mapped, i = [], 0
    while i < count:
        end = i + 1
        while end < count and zero[end] == zero[i]:
            end += 1
        if not zero[i] or min(end * block, len(data)) - i * block < run:
            mapped += range(i, end)
        i = end
    for begin, end in kept:
        mapped += range(begin // block, min(-(-end // block), count))
    return sorted(set(mapped))


def mapped_in(path):
    found = d.Map(path)
    return [block for at, length in found.ranges
            for block in range(at // found.block, -(-(at + length) // found.block))]


def all_runs_of_zeros_are_left_out_and_nothing_else(bed):
    source, out = image_with_zeros(bed), bed.path("o.bmap")
    data = content(source)
    for block, run, options in ((4096, 65536, []),
                                (4096, 1, ["--zero-run=1"]),
                                (4096, 61440, ["--zero-run", "60K"]),
                                (512, 4096, ["--block-size=512", "--zero-run=4K"]),
                                (65536, 65536, ["--block-size", "64K"]),
                                (d.MIB, 3 * d.MIB, ["--block-size=1M", "--zero-run=3M"])):
        done = d.expect_exit(d.tool("create", "--detect-zeroes", *options, source, "-o", out), 0)
        expect_log_lines(done)
        d.expect(mapped_in(out) == mapped_by_the_rule(data, block, run), "others", done)
        d.expect_exit(d.tool("verify", "--bmap", out, source), 0)
        d.expect_exit(d.tool("create", "--detect-zeroes", "--no-checksum", *options, source,
                             "-o", out), 0)
        d.expect(mapped_in(out) == mapped_by_the_rule(data, block, run), "others", done)


def what_the_image_comes_in_does_not_matter_to_its_zeros(bed):
    source, out, other = image_with_zeros(bed), bed.path("o.bmap"), bed.path("other.bmap")
    d.expect_exit(d.tool("create", "--detect-zeroes", "--map=1M:2M", source, "-o", out), 0)
    for program, suffix in (("gzip", ".gz"), ("zstd", ".zst")):
        if not shutil.which(program):
            bed.note("no %s" % program)
            continue
        d.check_run(program, "-1kq", source)
        d.expect_exit(d.tool("create", "--detect-zeroes", "--map=1M:2M", source + suffix,
                             "-o", other), 0)
        d.expect(content(out) == content(other), "another map of %s" % suffix)
    with open(source, "rb") as f:
        d.expect_exit(d.tool("create", "--detect-zeroes", "--map=1M:2M", "-", "-o", other,
                             stdin=f), 0)
    d.expect(content(out) == content(other), "another map of standard input")
    d.check_run("tar", "-C", bed.folder, "-cf", bed.path("a.tar"), "o.bmap", "zeros.img")
    d.expect_exit(d.tool("create", "--detect-zeroes", "--map=1M:2M", bed.path("a.tar"),
                         "--member=zeros.img", "-o", other), 0)
    d.expect(content(out) == content(other), "another map of an archive")


def holes_stay_holes_and_the_zeros_beside_them_too(bed):
    source, out = bed.path("sparse.img"), bed.path("o.bmap")
    with open(source, "wb") as f:
        f.truncate(d.MIB)
        f.seek(512 * d.KIB)
        f.write(b"x" * 4096 + bytes(20480))
    d.expect_exit(d.tool("create", source, "-o", out), 0)
    d.expect(mapped_in(out) == list(range(128, 134)), "not a file with holes: %s" % mapped_in(out))
    d.expect_exit(d.tool("create", "--detect-zeroes", source, "-o", out), 0)
    d.expect(mapped_in(out) == [128], "other blocks: %s" % mapped_in(out))


def blocks_can_be_mapped_whatever_they_hold(bed):
    source, out = image(bed, bmap=False), bed.path("o.bmap")
    blocks = [block for first, last in RANGES for block in range(first, last + 1)]
    for options, more in ((["--map=0:1"], []),
                          (["--map", "30000:40961"], range(7, 11)),
                          (["--map=1M:1100K", "--map", "0:64K"],
                           [*range(16), *range(256, 275)]),
                          (["--map=2M:1G"], [512])):
        d.expect_exit(d.tool("create", *options, source, "-o", out), 0)
        d.expect(mapped_in(out) == sorted({*blocks, *more}), "%s: %s" % (options, mapped_in(out)))
        d.expect_exit(d.tool("verify", "--bmap", out, source), 0)
    done = d.expect_exit(d.tool("create", "--map=3M:4M", source, "-o", out), 1)
    d.expect("ends before" in done.err, "another reason", done)
    zeros = image_with_zeros(bed)
    d.expect_exit(d.tool("create", "--detect-zeroes", "--map=1M:2M", "--map=63M:66M", zeros,
                         "-o", out), 0)
    spans = ((d.MIB, 2 * d.MIB), (63 * d.MIB, 66 * d.MIB))
    d.expect(mapped_in(out) == mapped_by_the_rule(content(zeros), 4096, 65536, spans), "others")
    d.expect_exit(d.tool("verify", "--bmap", out, zeros), 0)


def larger_and_smaller_blocks_hold_all_data(bed):
    source, out = image(bed, bmap=False), bed.path("o.bmap")
    data = content(source)
    for size in (512, 4096, 65536, d.MIB):
        d.expect_exit(d.tool("create", "--block-size=%d" % size, source, "-o", out), 0)
        touched = set()
        for first, last in RANGES:
            touched |= set(range(first * 4096 // size, ((last + 1) * 4096 - 1) // size + 1))
        touched = sorted(b for b in touched if b * size < len(data))
        d.expect(mapped_in(out) == touched, "blocks of %d: %s" % (size, mapped_in(out)))
        d.expect_exit(d.tool("verify", "--bmap", out, source), 0)


def options_that_make_no_sense_are_refused(bed):
    source = image(bed, bmap=False)
    for options, word in ((["--zero-run=4K"], "--detect-zeroes"),
                          (["--member=x"], "--detect-zeroes"),
                          (["--block-size=1000"], "power of two"),
                          (["--block-size=256"], "power of two"),
                          (["--block-size=2M"], "power of two"),
                          (["--map=1M"], "START:END"),
                          (["--map=2M:1M"], "START:END"),
                          (["--map=1M:1M"], "START:END"),
                          (["--map=:1M"], "START:END"),
                          (["--map=x:1M"], "START:END")):
        done = d.expect_exit(d.tool("create", *options, source), 2)
        d.expect(word in done.err, "another reason", done)


all_runs_of_zeros_are_left_out_and_nothing_else.need_bytes = d.GIB
what_the_image_comes_in_does_not_matter_to_its_zeros.need_bytes = d.GIB


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
        all_runs_of_zeros_are_left_out_and_nothing_else,
        what_the_image_comes_in_does_not_matter_to_its_zeros,
        holes_stay_holes_and_the_zeros_beside_them_too,
        blocks_can_be_mapped_whatever_they_hold,
        larger_and_smaller_blocks_hold_all_data,
        options_that_make_no_sense_are_refused,
    ]))
