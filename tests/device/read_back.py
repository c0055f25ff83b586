#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Targets that are read back: what does not come back as it was written fails the target, which then shows
neither system, and the message names the first byte. A bad medium is made by changing a byte behind the
program's back, in the loop device's backing file, as soon as it was written; reads are throttled, so that
there is time for it.

Images are incompressible, so that no byte is right by chance elsewhere."""
import os
import re
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 24 * d.MIB + 1536  # no multiple of 4096
DEVICE = 32 * d.MIB
BLOCKS = -(-SIZE // 4096)
RANGES = [  # also one over the head's end, a long one, and the short block at the image's end
    (0, 99), (130, 300), (400, 4000), (4003, 4003), (BLOCKS - 200, BLOCKS - 1)]
READ_BPS = 8 * d.MIB
# A thread that waits in the kernel is left behind: what it uses is leaked, and OpenSSL ends without it.
LEFT_BEHIND = {"ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "report_bugs=0"}


class World:
    def __init__(self, bed, sector=512):
        d.require_loop()
        self.bed = bed
        self.image = bed.path("disk.img")
        with open(self.image, "wb") as f:
            f.write(bed.rng.randbytes(SIZE))
        with open(self.image, "r+b") as f:
            f.seek(510)
            f.write(b"\x55\xaaEFI PART")
        self.bmap = d.write_map(bed.path("disk.bmap"), self.image, SIZE, RANGES)
        self.map = d.Map(self.bmap)
        self.device, self.backing = bed.loop("target", DEVICE, sector, pattern=True)
        self.enter, _group = bed.limited_cgroup(self.device, 64 * d.GIB, READ_BPS)

    def map_without_checksums(self):
        with open(self.bmap) as f:
            text = re.sub(r" chksum=\"\w+\"", "", f.read())
        text = re.sub(r"(<BmapFileChecksum> )\w+", r"\g<1>" + "0" * 64, text)
        digest = d.hashlib.sha256(text.encode()).hexdigest()
        path = self.bed.path("plain.bmap")
        with open(path, "w") as f:
            f.write(text.replace("0" * 64, digest))
        return path

    def zst(self):
        if not os.path.exists(self.image + ".zst"):
            d.require_program("zstd")
            d.check_run("zstd", "-1", "-q", self.image, "-o", self.image + ".zst")
        return self.image + ".zst"

    def blocks_of(self, byte):
        for at, length in self.map.ranges:
            if at <= byte < at + length:
                return "blocks %d-%d (byte offset %d, %d bytes)" % (
                    at // 4096, (at + length - 1) // 4096, at, length)
        raise AssertionError(byte)

    def reset(self):
        d.pattern_fill(self.backing, DEVICE)
        d.drop_cache(self.device)

    def copy(self, *args, **kw):
        return d.start_tool("copy", *args, preexec_fn=self.enter, **kw)


class StuckBit:
    """A medium that changes one byte of the image, whenever it is written."""

    def __init__(self, path, image, byte):
        self.path, self.byte = path, byte
        self.good = d.read_at(image, byte, 1)
        self.bad = bytes([self.good[0] ^ 0x10])
        self.ends = False
        self.changed = 0

    def watch(self):
        fd = -1
        while not self.ends:
            d.time.sleep(0.0003)
            try:
                fd = fd if fd >= 0 else os.open(self.path, os.O_RDWR)
            except FileNotFoundError:
                continue
            if os.pread(fd, 1, self.byte) == self.good:
                os.pwrite(fd, self.bad, self.byte)
                self.changed += 1
        if fd >= 0:
            os.close(fd)

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


def expect_named(world, done, name, byte, where):
    d.expect_exit(done, 1)
    text = ("%s: read back: byte %d (sector %d) differs from what was written, in %s: the medium is bad, "
            "or smaller than it says: replace it") % (name, byte, byte // 512, where)
    d.expect(text in done.err, "not said: %s" % text, done)


def expect_complete(world, backing):
    expected = world.bed.path("expected")
    d.pattern_fill(expected, DEVICE)
    d.overlay(world.image, expected, world.map.ranges)
    d.expect(d.sha256_of(expected) == d.sha256_of(backing), "%s is not what it should be" % backing)


# ---------------------------------------------------------------- good ones

def what_comes_back_as_it_was_written_is_good(bed):
    world = World(bed)
    four_k, four_k_backing = bed.loop("4k", DEVICE, 4096)
    for device, backing in ((world.device, world.backing), (four_k, four_k_backing)):
        for options in (["--bmap", world.bmap], ["--bmap", world.bmap, "--no-verify"],
                        ["--bmap", world.map_without_checksums()]):
            d.pattern_fill(backing, DEVICE)
            d.drop_cache(device)
            done = d.expect_exit(d.tool("copy", "--read-back", *options, world.image, device), 0)
            d.expect(done.err.count("reading back '%s'" % device) == 1, "the step is not said", done)
            d.drop_cache(device)
            expect_complete(world, backing)
        done = d.expect_exit(d.tool("copy", "--read-back", "--nobmap", world.zst(), device), 0)
        d.expect("reading back" in done.err, "the step is not said", done)
        d.drop_cache(device)
        d.expect(d.read_at(backing, 0, SIZE) == d.read_at(world.image, 0, SIZE), "it differs")


def it_is_the_default_for_several_targets_only(bed):
    world = World(bed)
    other, _backing = bed.loop("other", DEVICE)
    args = ["copy", "--bmap", world.bmap, world.image]
    done = d.expect_exit(d.tool(*args, world.device), 0)
    d.expect("reading back" not in done.err, "one target was read back", done)
    args += [world.device, other, bed.path("file")]
    done = d.expect_exit(d.tool(*args), 0)
    for name in (world.device, other, bed.path("file")):
        d.expect(done.err.count("reading back '%s'" % name) == 1, "%s was not" % name, done)
    done = d.expect_exit(d.tool(*args, "--no-read-back"), 0)
    d.expect("reading back" not in done.err, "it was not to", done)
    done = d.expect_exit(d.tool("-d", "copy", "--bmap", world.bmap, world.image, "/dev/null",
                                "--read-back"), 0)
    d.expect("nothing is read back" in done.err, "nothing is said of /dev/null", done)


# ---------------------------------------------------------------- bad media

def a_byte_that_changed_is_named_wherever_it_is(bed):
    world = World(bed)
    with_map, plain = ["--bmap", world.bmap], ["--bmap", world.map_without_checksums()]
    body, last = 4000 * 4096 + 77, SIZE - 1
    for source, options, byte in (
            (world.image, with_map, d.MIB), (world.image, with_map, body),
            (world.image, with_map, last), (world.zst(), with_map, last),
            (world.zst(), with_map + ["--no-verify"], body), (world.zst(), plain, last),
            (world.image, plain, 4003 * 4096), (world.zst(), with_map, 300 * 4096 + 4095)):
        world.reset()
        with StuckBit(world.backing, world.image, byte) as bit:
            done = world.copy("--read-back", *options, source, world.device).wait()
        d.expect(bit.changed > 0, "the byte was never written", done)
        expect_named(world, done, world.device, byte, world.blocks_of(byte))
        d.expect_head_blank(world.device, world.map)


def without_a_map_the_bytes_around_it_are_named(bed):
    world = World(bed)
    for source, byte, first, end in ((world.image, 5 * d.MIB + 9, 5 * d.MIB, 6 * d.MIB),
                                     (world.zst(), SIZE - 1, 24 * d.MIB, SIZE)):
        world.reset()
        with StuckBit(world.backing, world.image, byte):
            done = world.copy("--read-back", "--nobmap", source, world.device).wait()
        expect_named(world, done, world.device, byte, "bytes %d-%d" % (first, end - 1))
        d.expect_head_blank(world.device, world.map)


def a_head_that_changed_is_zeroed_again(bed):
    world = World(bed)
    # So slow that a single read takes long enough, after the head's last byte was written.
    world.enter, _group = bed.limited_cgroup(world.device, 64 * d.GIB, 256 * d.KIB)
    d.write_map(world.bmap, world.image, SIZE, [(0, 9), (200, 209), (240, 270)])
    world.map = d.Map(world.bmap)
    for byte in (700, 5000, 209 * 4096, d.MIB - 1):
        world.reset()
        with StuckBit(world.backing, world.image, byte) as bit:
            done = world.copy("--read-back", "--bmap", world.bmap, world.image, world.device).wait()
        d.expect(bit.changed > 0, "the byte was never written", done)
        expect_named(world, done, world.device, byte, world.blocks_of(byte))
        d.expect_head_blank(world.device, world.map)


def of_an_image_that_cannot_be_read_twice_the_range_is_named(bed):
    world = World(bed)
    byte = 4000 * 4096 + 77
    for options, where in ((["--bmap", world.bmap], world.blocks_of(byte)),
                           (["--nobmap"], "bytes %d-%d" % (15 * d.MIB, 16 * d.MIB - 1))):
        world.reset()
        with StuckBit(world.backing, world.image, byte), open(world.image, "rb") as f:
            cat = d.subprocess.Popen(["cat"], stdin=f, stdout=d.subprocess.PIPE)
            done = world.copy("--read-back", *options, "-", world.device, stdin=cat.stdout).wait()
            cat.stdout.close()
            cat.wait()
        d.expect_exit(done, 1)
        text = ("%s: read back: %s differ from what was written; which byte is the first is not known: "
                "the image cannot be read twice") % (world.device, where)
        d.expect(text in done.err, "not said: %s" % text, done)
        d.expect_head_blank(world.device, world.map)


def one_bad_target_of_three_ends_alone(bed):
    world = World(bed)
    byte = 4000 * 4096 + 77
    second, second_backing = bed.loop("second", DEVICE, pattern=True)
    third, third_backing = bed.loop("third", DEVICE, pattern=True)
    with StuckBit(world.backing, world.image, byte):
        done = world.copy("--bmap", world.bmap, world.zst(), second, world.device, third).wait()
    d.expect_exit(done, 1)
    d.expect(re.search(r"%s +failed .* sector %d +read back: byte %d \(sector" % (
        world.device, byte // 512, byte), done.err), "it is not named", done)
    d.expect_head_blank(world.device, world.map)
    for device, backing in ((second, second_backing), (third, third_backing)):
        d.drop_cache(device)
        expect_complete(world, backing)


def a_file_is_read_back_too(bed):
    world = World(bed)
    d.check_run("mkfs.ext4", "-q", world.device)
    where = bed.mount(world.device)
    out = os.path.join(where, "out.img")
    for existed in (False, True):
        if existed:
            with open(out, "wb") as f:
                f.write(b"x")
        for byte in (77, SIZE - 1):
            with StuckBit(out, world.image, byte):
                done = world.copy("--read-back", "--bmap", world.bmap, world.image, out).wait()
            expect_named(world, done, out, byte, world.blocks_of(byte))
            d.expect(os.path.exists(out) == existed, "the file", done)
            d.expect(not existed or os.path.getsize(out) == 0, "an existing file is left empty", done)


def a_file_system_without_o_direct_is_said_once(bed):
    world = World(bed)
    where = bed.mount("none", "-t", "ramfs")
    try:
        os.close(os.open(os.path.join(where, "probe"), os.O_RDWR | os.O_CREAT | os.O_DIRECT))
        raise d.Skip("ramfs takes O_DIRECT on this kernel")
    except OSError:
        pass
    out = os.path.join(where, "out.img")
    done = d.expect_exit(world.copy("--read-back", "--bmap", world.bmap, world.image, out).wait(), 0)
    d.expect(done.err.count("read back without O_DIRECT") == 1, "not said once", done)


# ---------------------------------------------------------------- ends

def a_read_error_is_a_failure_with_offset_and_sector(bed):
    world = World(bed)
    job = world.copy("--read-back", "--bmap", world.bmap, world.image, world.device)
    d.wait_until(lambda: "reading back" in job.stderr_now(), 30, "it is read back")
    os.truncate(world.backing, 16 * d.MIB + 4096)  # the loop device has errors behind it
    done = d.expect_exit(job.wait(), 1)
    bad = RANGES[-1][0] * 4096
    d.expect("%s: read back: cannot read at offset %d (sector %d): Input/output error" % (
        world.device, bad, bad // 512) in done.err, "not said", done)
    d.expect_head_blank(world.device, world.map)


def an_interrupt_while_it_is_read_back_leaves_a_blank_head(bed):
    world = World(bed)
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        world.reset()
        job = world.copy("--read-back", "--bmap", world.bmap, world.image, world.device)
        d.wait_until(lambda: "reading back" in job.stderr_now(), 30, "it is read back")
        d.time.sleep(0.3)
        d.expect(job.proc.poll() is None, "the device was not slow")
        job.signal(signum)
        begun = d.time.monotonic()
        done = job.wait(30)
        d.expect(done.code == code, "exit %d expected" % code, done)
        d.expect(d.time.monotonic() - begun < 5, "it took more than 5 s", done)
        d.expect("%s: interrupted, incomplete" % world.device in done.err and
                 "first MiB was left zeroed" in done.err, "it does not say what is left", done)
        d.expect_head_blank(world.device, world.map)


def a_device_that_stops_answering_is_given_up_and_the_others_complete(bed):
    world = World(bed)
    other, backing = bed.loop("other", DEVICE, pattern=True)
    world.enter, group = bed.limited_cgroup(world.device, 64 * d.GIB, 64)  # a read takes for ever
    for signum in (0, signal.SIGINT):
        world.reset()
        job = world.copy("--stall-timeout", "3", "--bmap", world.bmap, world.image, world.device,
                         other, env=LEFT_BEHIND)
        d.wait_until(lambda: "reading back '%s'" % world.device in job.stderr_now(), 30, "it begins")
        begun = d.time.monotonic()
        if signum:
            d.time.sleep(0.5)
            job.signal(signum)
        d.wait_until(lambda: re.search("ERROR: ", job.stderr_now()), 20, "it is given up")
        d.expect(d.time.monotonic() - begun < 10, "that took too long")
        # The kernel ends the process when its reads have ended.
        bed.relimit(group, world.device, 64 * d.GIB, 64 * d.GIB)
        done = job.wait(20)
        if signum:
            d.expect(done.code == 130, "exit 130 expected", done)
        else:
            d.expect_exit(done, 1)
            d.expect(re.search(r"did not answer for \d+ s while it was read back: given up", done.err),
                     "not said", done)
            d.drop_cache(other)
            expect_complete(world, backing)
        d.wait_for_release(world.device)
        d.expect_head_blank(world.device, world.map)
        bed.relimit(group, world.device, 64 * d.GIB, 64)


def a_file_that_must_not_be_read_is_refused_before_it_is_changed(bed):
    world = World(bed)
    d.require_program("setpriv")
    out = bed.path("out.img")
    with open(out, "wb") as f:
        f.write(b"precious")
    os.chmod(out, 0o222)
    for name in (bed.folder, world.image, world.bmap):
        os.chmod(name, 0o755)
    done = d.run("setpriv", "--reuid=65534", "--clear-groups", d.BMAPTOOL, "copy", "--read-back",
                 "--bmap", world.bmap, world.image, out)
    d.expect_exit(done, 1)
    d.expect("%s: refused: there is no permission to read it" % out in done.err, "not said", done)
    d.expect(d.read_at(out, 0, 100) == b"precious", "it was changed", done)


if __name__ == "__main__":
    sys.exit(d.main([
        what_comes_back_as_it_was_written_is_good,
        it_is_the_default_for_several_targets_only,
        a_byte_that_changed_is_named_wherever_it_is,
        without_a_map_the_bytes_around_it_are_named,
        a_head_that_changed_is_zeroed_again,
        of_an_image_that_cannot_be_read_twice_the_range_is_named,
        one_bad_target_of_three_ends_alone,
        a_file_is_read_back_too,
        a_file_system_without_o_direct_is_said_once,
        a_read_error_is_a_failure_with_offset_and_sector,
        an_interrupt_while_it_is_read_back_leaves_a_blank_head,
        a_device_that_stops_answering_is_given_up_and_the_others_complete,
        a_file_that_must_not_be_read_is_refused_before_it_is_changed,
    ], need_bytes=8 * DEVICE))
