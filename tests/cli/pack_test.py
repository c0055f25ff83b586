#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool pack: any zstd unpacks it, ours flashes it without its holes, a failure leaves nothing."""
import os
import signal
import struct
import subprocess
import sys

from common import SIZE, content, d, expect_copied, expect_log_lines, image, on_terminal, \
    wait_until_signals_are_handled


def unpacked(path):
    d.require_program("zstd")
    done = subprocess.run(["zstd", "-dc", path], capture_output=True)
    d.expect(done.returncode == 0, "zstd -dc: %s" % done.stderr)
    return done.stdout


def sparse_image(bed, name="big.img"):
    """40 MiB with data at 1 and 30 MiB."""
    path = bed.path(name)
    with open(path, "wb") as f:
        f.truncate(40 * d.MIB + 5)
        for at in (d.MIB, 30 * d.MIB):
            f.seek(at)
            f.write(bed.rng.randbytes(300 * d.KIB))
    return path


def every_zstd_unpacks_it(bed):
    source, out = image(bed, bmap=False), bed.path("disk.img.zst")
    for argv in (["-o", out], ["-o" + out, "--level", "1"], ["--output=" + out, "--level=19"],
                 ["--workers=1", "--outp", out]):
        done = d.expect_exit(d.tool("pack", *argv, source), 0)
        expect_log_lines(done)
        d.check_run("zstd", "-qt", out)
        d.expect(unpacked(out) == content(source), "not the image", done)
        d.expect("packed into '%s'" % out in done.err, "not said", done)
        os.unlink(out)


def the_bmap_is_written_beside_it_and_found(bed):
    source, out = image(bed, bmap=False), bed.path("disk.img.zst")
    done = d.expect_exit(d.tool("pack", source, "-o", out), 0)
    d.expect("its bmap was written to '%s'" % bed.path("disk.img.bmap") in done.err, "not said", done)
    d.expect_exit(d.tool("verify", out), 0)
    done = d.expect_exit(d.tool("copy", out, bed.path("dest")), 0)
    d.expect("discovered bmap file" in done.err, "not discovered", done)
    expect_copied(source, bed.path("dest"))
    created = d.expect_exit(d.tool("create", source), 0)
    d.expect(content(bed.path("disk.img.bmap")).decode() == created.out, "not what create makes")


def no_bmap_is_written_if_none_is_wanted(bed):
    source, out = image(bed, bmap=False), bed.path("x.zst")
    done = d.expect_exit(d.tool("pack", "--nobmap", source, "-o", out), 0)
    d.expect("its bmap" not in done.err, "something was said", done)
    d.expect(sorted(os.listdir(bed.folder)) == ["disk.img", "x.zst"], "a file was written")


def a_given_bmap_is_checked_and_used(bed):
    source, out = image(bed), bed.path("x.zst")
    bmap = source + ".bmap"
    d.expect_exit(d.tool("pack", "--bmap", bmap, source, "-o", out), 0)
    d.expect_exit(d.tool("verify", out), 0)
    with open(source, "r+b") as f:
        f.write(b"changed")
    os.unlink(out)
    done = d.expect_exit(d.tool("pack", "--bmap", bmap, source, "-o", out), 1)
    d.expect("do not match their checksum" in done.err, "not said", done)
    d.expect(not os.path.exists(out), "something was written")


def holes_are_neither_decoded_nor_written(bed):
    """What a hole's frame holds is made wrong: only who decodes it notices."""
    source, out = sparse_image(bed), bed.path("big.img.zst")
    d.expect_exit(d.tool("pack", source, "-o", out), 0)
    packed = bytearray(content(out))
    # A frame of 4 MiB: a header of 9 bytes, a raw block of 1 byte, RLE blocks of 128 KiB.
    hole = b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", 4 * d.MIB)
    at = packed.find(hole)
    d.expect(at > 0 and packed.count(hole) >= 5, "no frames of holes")
    while at > 0:
        packed[at + 9 + 4 + 3] = 0x55
        at = packed.find(hole, at + 1)
    with open(out, "wb") as f:
        f.write(packed)
    d.expect_exit(d.tool("copy", out, bed.path("dest")), 0)
    expect_copied(source, bed.path("dest"))
    done = d.expect_exit(d.tool("copy", "--nobmap", out, bed.path("dest2")), 1)
    d.expect("checksum" in done.err, "zstd's checksum was not looked at", done)


holes_are_neither_decoded_nor_written.need_bytes = 512 * d.MIB


def standard_output_and_pipes_get_it_too(bed):
    source, whole = image(bed, bmap=False), bed.path("whole.zst")
    d.expect_exit(d.tool("pack", source, "-o", whole, "--nobmap"), 0)
    done = subprocess.run([d.BMAPTOOL, "pack", source, "-o", "-"], capture_output=True)
    d.expect(done.returncode == 0 and done.stdout == content(whole), "not the same: %s" % done.stderr)
    d.expect(b"no bmap is written" in done.stderr, "not said")
    os.mkfifo(bed.path("fifo"))
    with subprocess.Popen(["cmp", bed.path("fifo"), whole]) as cmp:
        d.expect_exit(d.tool("pack", source, "-o", bed.path("fifo")), 0)
        d.expect(cmp.wait() == 0, "not the same")
    d.expect(sorted(os.listdir(bed.folder)) == ["disk.img", "fifo", "whole.zst"], "a bmap was left")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([d.BMAPTOOL, "pack", source, "-o", "-"], stdout=full,
                              stderr=subprocess.PIPE)
    d.expect(done.returncode == 1 and b"No space left" in done.stderr, str(done))


def a_terminal_gets_progress_but_no_data(bed):
    source, out = image(bed, bmap=False), bed.path("x.zst")
    code, shown = on_terminal("pack", source, "-o", "-")
    d.expect(code == 1 and "is a terminal" in shown, shown)
    code, shown = on_terminal("pack", source, "-o", out)
    d.expect(code == 0, shown)
    d.expect("100% read" in shown and "100% packed" in shown, "no progress: %r" % shown)
    d.expect(shown.index("100% read") < shown.index("100% packed"), shown)


def an_interrupted_one_leaves_nothing(bed):
    big = bed.path("big.img")
    with open(big, "wb") as f:
        for _ in range(64):
            f.write(bed.rng.randbytes(d.MIB // 2) * 2)
    running = d.start_tool("pack", "--workers=1", "--level=19", "--nobmap", big, "-o",
                           bed.path("big.img.zst"))
    wait_until_signals_are_handled(running)
    if running.proc.poll() is not None:
        raise d.Skip("64 MiB were packed at once")
    running.signal(signal.SIGINT)
    done = running.wait(60)
    d.expect(done.code == 130, "exit 130 expected", done)
    d.expect("ERROR" in done.err and "interrupted" in done.err, "nothing said", done)
    d.expect(os.listdir(bed.folder) == ["big.img"], "a file was left: %s" % os.listdir(bed.folder))


def a_reader_that_has_stalled_does_not_hold_a_signal_up(bed):
    source = sparse_image(bed)
    reader, writer = os.pipe()
    bed.later(os.close, reader)
    proc = subprocess.Popen([d.BMAPTOOL, "pack", source, "-o", "-"], stdout=writer,
                            stderr=subprocess.PIPE)
    os.close(writer)
    os.read(reader, 1)  # it has begun to write; nothing more is read
    proc.send_signal(signal.SIGTERM)
    try:
        err = proc.communicate(timeout=20)[1]
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.wait()
        raise d.Fail("waits for the reader")
    d.expect(proc.returncode == 143 and b"interrupted" in err, "%s: %s" % (proc.returncode, err))


def what_is_refused_leaves_everything_as_it_was(bed):
    source = image(bed, bmap=False)
    before = content(source)
    cases = [([source, "-o", source], "replace the image"),
             ([bed.folder, "-o", bed.path("x.zst")], "directory"),
             (["/dev/null", "-o", bed.path("x.zst")], "character device"),
             ([bed.path("absent"), "-o", bed.path("x.zst")], "absent"),
             ([source, "-o", bed.path("no/x.zst")], "No such file"),
             ([source, "-o", bed.path("x.zst"), "--memory=1M"], "--memory")]
    for argv, phrase in cases:
        done = d.expect_exit(d.tool("pack", *argv), 1)
        d.expect(phrase in done.err, "%r expected" % phrase, done)
        d.expect(os.listdir(bed.folder) == ["disk.img"], "a file was left", done)
    d.expect(content(source) == before and len(before) == SIZE, "the image was changed")


if __name__ == "__main__":
    sys.exit(d.main([
        every_zstd_unpacks_it,
        the_bmap_is_written_beside_it_and_found,
        no_bmap_is_written_if_none_is_wanted,
        a_given_bmap_is_checked_and_used,
        holes_are_neither_decoded_nor_written,
        standard_output_and_pipes_get_it_too,
        a_terminal_gets_progress_but_no_data,
        an_interrupted_one_leaves_nothing,
        a_reader_that_has_stalled_does_not_hold_a_signal_up,
        what_is_refused_leaves_everything_as_it_was,
    ]))
