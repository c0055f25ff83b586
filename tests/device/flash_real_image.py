#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real GPT/ext4 image in every form, on devices of both sector sizes, compared by cmp(1).

BMAP_TEST_IMAGE_MIB, BMAP_TEST_FILES_MIB: size of the image and of the files in it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE_MIB = int(os.environ.get("BMAP_TEST_IMAGE_MIB", 3072))
FILES_MIB = int(os.environ.get("BMAP_TEST_FILES_MIB", 1024))
SIZE = SIZE_MIB * d.MIB
FRAME = 4 * d.MIB
# (name, how the image is packed)
FORMS = ["img", "img.gz", "img.zst", "frames.zst", "pzstd.zst"]


def pack_frames(image, out):
    """Concatenated zstd frames of 4 MiB, each with its content size: what a parallel packer makes."""
    with open(image, "rb") as src, open(out, "wb") as dst:
        size = os.fstat(src.fileno()).st_size
        zeros = None
        for at in range(0, size, FRAME):
            data = src.read(FRAME)
            whole_hole = len(data) == FRAME and not data.strip(b"\0")
            if whole_hole and zeros:
                dst.write(zeros)
                continue
            done = d.subprocess.run(["zstd", "-1", "-q", "-c", "--stream-size=%d" % len(data)],
                                    input=data, stdout=d.subprocess.PIPE, check=True)
            if whole_hole:
                zeros = done.stdout
            dst.write(done.stdout)


class Image:
    """The image in all forms, its map by the Python tool if there is one, else by ours."""

    def __init__(self, bed):
        d.require_program("sfdisk", "mkfs.ext4", "zstd", "gzip")
        self.path = bed.path("disk.img")
        d.check_run(os.path.join(d.TOP, "tests", "support", "make-image.sh"), self.path, SIZE_MIB,
                    FILES_MIB, timeout=300)
        self.bmap = bed.path("disk.bmap")
        reference = "/usr/bin/bmaptool"
        if os.path.exists(reference) and os.path.realpath(reference) != os.path.realpath(d.BMAPTOOL):
            d.check_run(reference, "create", "-o", self.bmap, self.path)
            bed.note("map by the Python tool")
        else:
            d.expect_exit(d.tool("create", "-o", self.bmap, self.path), 0)
        self.map = d.Map(self.bmap)
        self.forms = {"img": self.path}
        gzip = next(g for g in ("igzip", "pigz", "gzip") if d.shutil.which(g))
        for form, command in (("img.gz", [gzip, "-1", "-c", self.path]),
                              ("img.zst", ["zstd", "-1", "-T0", "-q", "-c", self.path]),
                              ("pzstd.zst", ["pzstd", "-1", "-q", "-c", self.path])):
            if not d.shutil.which(command[0]):
                bed.note("%s is not installed: %s left out" % (command[0], form))
                continue
            self.forms[form] = bed.path("disk." + form)
            with open(self.forms[form], "wb") as out:
                d.subprocess.run(command, stdout=out, check=True)
        self.forms["frames.zst"] = bed.path("disk.frames.zst")
        pack_frames(self.path, self.forms["frames.zst"])


_cache = []


def image_for_all():
    """Made once for all cases; removed when the program ends."""
    if not _cache:
        bed = d.Bed("image", 5 * SIZE)
        d.atexit_close(bed)
        _cache.append((Image(bed), bed))
        for text in bed.notes:
            print("#   " + text)
    return _cache[0]


def expected_target(image, bed):
    """The pattern with the image's mapped bytes over it."""
    path = bed.path("expected")
    if not os.path.exists(path):
        d.pattern_fill(path, SIZE)
        d.overlay(image.path, path, image.map.ranges)
    return path


def flash_all_forms(bed, sector):
    d.require_loop()
    d.require_program("cmp")
    image, image_bed = image_for_all()
    expected = expected_target(image, image_bed)
    target, backing = bed.loop("target", SIZE, sector, pattern=True)
    for form in FORMS:
        if form not in image.forms:
            continue
        done = d.expect_exit(d.tool("-d", "copy", "--bmap", image.bmap, image.forms[form], target), 0)
        d.expect("io_uring" in done.err, "%s: the normal run must use io_uring" % form, done)
        os.sync()
        d.check_run("cmp", expected, backing)
        bed.note("%s: %.1f s" % (form, done.seconds))
        d.expect_exit(d.tool("verify", "--bmap", image.bmap, target), 0)
        restore_pattern(backing, image.map.ranges)
        d.drop_cache(target)
    return image, target, backing


def restore_pattern(backing, ranges):
    """So that the next form cannot pass on what the last one wrote."""
    block = d.pattern_block()
    fd = os.open(backing, os.O_WRONLY)
    try:
        for at, length in ranges:
            end = at + length
            while at < end:
                n = min(end - at, d.MIB - at % d.MIB)
                os.pwrite(fd, block[at % d.MIB:at % d.MIB + n], at)
                at += n
    finally:
        os.close(fd)


def every_form_lands_byte_for_byte_on_512_byte_sectors(bed):
    image, target, backing = flash_all_forms(bed, 512)
    d.expect_exit(d.tool("copy", "--bmap", image.bmap, image.path, target), 0)
    d.require_program("fsck.ext4")
    root = bed.attach_part(backing, 33 * d.MIB, SIZE - 34 * d.MIB)
    done = d.run("fsck.ext4", "-fn", root)
    d.expect(done.code == 0, "fsck finds errors in the flashed file system", done)


def every_form_lands_byte_for_byte_on_4096_byte_sectors(bed):
    flash_all_forms(bed, 4096)


def our_map_of_the_image_is_the_python_tools(bed):
    image, _ = image_for_all()
    ours = bed.path("ours.bmap")
    d.expect_exit(d.tool("create", "-o", ours, image.path), 0)
    mine, theirs = d.Map(ours), image.map
    d.expect(mine.size == theirs.size and mine.block == theirs.block and
             mine.ranges == theirs.ranges, "the maps differ: %d and %d ranges" % (
                 len(mine.ranges), len(theirs.ranges)))
    done = d.tool("verify", "--bmap", ours, image.forms["img.zst"])
    d.expect_exit(done, 0)


def the_partition_table_is_read_again(bed):
    d.require_loop()
    d.require_program("strace")
    image, _ = image_for_all()
    target, backing = bed.loop("target", SIZE)
    trace = bed.path("trace")
    done = d.run("strace", "-f", "-qq", "-e", "trace=ioctl", "-o", trace, d.BMAPTOOL, "copy",
                 "--bmap", image.bmap, image.forms["img.zst"], target)
    if "ptrace" in done.err:
        raise d.Skip("strace: %s" % done.err.strip())
    d.expect_exit(done, 0)
    with open(trace) as f:
        d.expect("BLKRRPART" in f.read(), "the kernel was not asked to read the table again")
    # Seen by the user, where the kernel reads GPTs at all (it shows them for the image itself).
    again = bed.attach(image.path, read_only=True, part_scan=True)
    if part_2_is_there(again):
        scanned = bed.attach(backing, part_scan=True)
        d.wait_until(lambda: part_2_is_there(scanned), 5, "no partition 2 of %s" % scanned)
    else:
        bed.note("this kernel reads no GPT: only the request was seen")


def part_2_is_there(device):
    name = os.path.basename(device)
    return os.path.exists("/sys/block/%s/%sp2" % (name, name))


if __name__ == "__main__":
    for case in (every_form_lands_byte_for_byte_on_512_byte_sectors,
                 every_form_lands_byte_for_byte_on_4096_byte_sectors):
        case.need_bytes = SIZE + 64 * d.MIB
    sys.exit(d.main([
        every_form_lands_byte_for_byte_on_512_byte_sectors,
        every_form_lands_byte_for_byte_on_4096_byte_sectors,
        our_map_of_the_image_is_the_python_tools,
        the_partition_table_is_read_again,
    ]))
