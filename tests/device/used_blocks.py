#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""create --used-blocks: a device that holds other bytes is flashed by the map, and has then the same
tables, file systems without a fault, and the same files."""
import os
import random
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

EXT = ("ext2", "ext3", "ext4")


class Part:
    """kind: "fat12", "ext4", ...; "raw": bytes that are no file system."""

    def __init__(self, kind, start, size, options=()):
        self.kind, self.start, self.size, self.options = kind, start, size, list(options)


def require_all():
    d.require_loop()
    d.require_program("sfdisk", "mkfs.fat", "fsck.fat", "mcopy", "mkfs.ext4", "e2fsck")
    if os.environ.get("BMAP_NO_BLKID") or os.environ.get("BMAP_NO_EXT2FS"):
        raise d.Skip("this build has no libblkid or no libext2fs")


def attach_at(backing, part):
    done = d.run("losetup", "-f", "--show", "-o", str(part.start), "--sizelimit", str(part.size),
                 backing)
    if done.code:
        raise d.Skip("losetup: %s" % done.err.strip())
    return done.out.strip()


def make_file_system(device, kind, options):
    if kind in EXT:
        # A discard would make holes: the old bytes are to stay.
        d.check_run("mkfs." + kind, "-q", "-F", "-E", "nodiscard", *options, device)
    else:
        d.check_run("mkfs.fat", "-F", kind[3:], *options, device)


def write_files(where, rng, room):
    """Of all sizes, with gaps between where some were removed."""
    used, number, removed = 0, 0, []
    os.mkdir(os.path.join(where, "folder"))
    while used < room:
        size = min(room - used, rng.choice((1, 700, 5000, 40000, 300000)))
        name = os.path.join(where, "folder" if number % 3 else "", "file%d" % number)
        with open(name, "wb") as f:
            f.write(rng.randbytes(size))
        if number % 4 == 1:
            removed.append(name)
        used += size
        number += 1
    os.sync()
    for name in removed:
        os.unlink(name)


def files_of(where):
    found = {}
    for folder, _dirs, names in os.walk(where):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, where)] = d.sha256_of(path)
    return found


def mounted(bed, device, fn, *options):
    where = bed.path("mnt")
    os.makedirs(where, exist_ok=True)
    done = d.run("mount", *options, device, where)
    if done.code:
        raise d.Skip("mount: %s" % done.err.strip())
    try:
        return fn(where)
    finally:
        d.unmount(where)


def mtool(device, program, *args):
    """FAT by mtools: not every kernel has it. Partitions of any geometry."""
    return d.check_run("env", "MTOOLS_SKIP_CHECK=1", program, "-i", device, *args)


def fat_files(bed, device):
    where = os.path.join(bed.path("read"), str(len(os.listdir(bed.folder))))
    os.makedirs(where)
    mtool(device, "mcopy", "-s", "-n", "-Q", "::", where)
    found = files_of(where)
    shutil.rmtree(where)
    return found


def fill_fat(bed, device, rng, room):
    for turn in ("a", "b"):
        where = bed.path(turn)
        os.mkdir(where)
        write_files(where, rng, room // 2)
        mtool(device, "mcopy", "-s", "-Q", where, "::")
        for name in sorted(files_of(where))[::3]:  # the second turn goes between the rest
            if turn == "a":
                mtool(device, "mdel", "::a/" + name)
        shutil.rmtree(where)
    return fat_files(bed, device)


def fill_ext(bed, device, rng, room):
    mounted(bed, device, lambda where: write_files(where, rng, room))
    return mounted(bed, device, files_of, "-o", "ro")


def make_part(bed, backing, part, rng):
    if part.kind == "raw":
        return None
    device = attach_at(backing, part)
    try:
        make_file_system(device, part.kind, part.options)
        fill = fill_ext if part.kind in EXT else fill_fat
        return fill(bed, device, rng, part.size // 4)
    finally:
        d.detach(device)


def make_disk(bed, size, table, parts):
    """A disk of old bytes that got a table and file systems. Returns backing and files by part."""
    rng = random.Random(bed.rng.random())
    backing = bed.path("source.img")
    with open(backing, "wb") as f:
        for _ in range(size // d.MIB):
            f.write(rng.randbytes(d.MIB))
    if table:
        with open(bed.path("table"), "w") as f:
            f.write(table)
        with open(bed.path("table")) as f:
            d.check_run("sfdisk", "-q", "--no-reread", "--wipe=always", backing, stdin=f)
    files = [make_part(bed, backing, part, rng) for part in parts]
    # What mkfs let be zeros are holes now; no card has any.
    d.check_run("cp", "--sparse=never", backing, backing + ".full")
    os.rename(backing + ".full", backing)
    return backing, files


def check_part(bed, backing, target_backing, part, files):
    if part.kind == "raw":
        d.expect(d.read_at(backing, part.start, part.size) ==
                 d.read_at(target_backing, part.start, part.size), "the raw one differs")
        return
    device = bed.attach_part(target_backing, part.start, part.size)
    check = ["e2fsck", "-fn"] if part.kind in EXT else ["fsck.fat", "-n"]
    d.expect_exit(d.run(*check, device), 0)
    found = mounted(bed, device, files_of, "-o", "ro") if part.kind in EXT else \
        fat_files(bed, device)
    d.expect(files and found == files, "the files of %s differ" % part.kind)


def flash_and_check(bed, size, backing, parts, files, *options, pattern=True):
    """From the device, and from the image of it."""
    bmap, other = bed.path("d.bmap"), bed.path("i.bmap")
    device = bed.attach(backing)
    done = d.expect_exit(d.tool("create", "--used-blocks", *options, device, "-o", bmap), 0)
    d.expect_exit(d.tool("create", "--used-blocks", *options, backing, "-o", other), 0)
    d.expect(open(bmap).read() == open(other).read(), "the image has another map than the device")
    d.expect(d.Map(bmap).mapped_bytes < 0.7 * size,
             "%d of %d bytes are mapped" % (d.Map(bmap).mapped_bytes, size), done)
    target, target_backing = bed.loop("target.img", size, pattern=pattern)
    d.expect_exit(d.tool("copy", "--bmap", bmap, backing, target), 0)
    d.expect_exit(d.tool("verify", "--bmap", bmap, target), 0)
    for part, there in zip(parts, files):
        check_part(bed, backing, target_backing, part, there)
    return done, target


def entries_of(disk):
    """What its table says, whatever the disk's name."""
    lines = d.check_run("sfdisk", "--dump", disk).out.splitlines()
    return [line.split(" : ")[-1] for line in lines if not line.startswith("device:")]


def a_gpt_disk_has_all_its_files_again(bed):
    require_all()
    m = d.MIB
    parts = [Part("fat32", 4 * m, 48 * m, ["-s", "1"]), Part("ext4", 52 * m, 80 * m, ["-b", "1024"]),
             Part("raw", 132 * m, 2 * m), Part("fat16", 134 * m, 20 * m)]
    table = "label: gpt\nunit: sectors\n" + "".join(
        "start=%d, size=%d, type=L\n" % (p.start // 512, p.size // 512) for p in parts)
    size = 192 * m
    backing, files = make_disk(bed, size, table, parts)
    done, target = flash_and_check(bed, size, backing, parts, files)
    d.expect("partition 3" in done.err and "as a whole" in done.err, "the raw one: not said", done)
    d.expect("no partition is at" in done.err, "the free space: not said", done)
    d.expect(entries_of(target) == entries_of(backing), "another table")
    for at, length in ((0, 4 * m), (size - 33 * 512, 33 * 512)):
        d.expect(d.read_at(backing, at, length) == d.read_at(target, at, length),
                 "other bytes at %d" % at)


def logical_partitions_have_their_tables(bed):
    require_all()
    m = d.MIB
    parts = [Part("ext2", m, 20 * m, ["-b", "1024"]),
             Part("fat12", 24 * m, 6 * m), Part("ext3", 100 * m, 24 * m, ["-b", "2048"]),
             Part("ext4", 125 * m, 60 * m, ["-O", "bigalloc,^resize_inode", "-C", "65536"])]
    table = "label: dos\nunit: sectors\nstart=2048, size=%d, type=83\n" % (20 * m // 512)
    table += "start=%d, size=%d, type=f\n" % (22 * m // 512, 170 * m // 512)
    table += "".join("start=%d, size=%d, type=83\n" % (p.start // 512, p.size // 512)
                     for p in parts[1:])
    size = 240 * m
    backing, files = make_disk(bed, size, table, parts)
    _done, target = flash_and_check(bed, size, backing, parts, files)
    d.expect(entries_of(target) == entries_of(backing), "another table")


def a_disk_without_a_table_is_one_file_system(bed):
    require_all()
    size = 64 * d.MIB
    for kind, options in (("ext4", []), ("fat32", ["-s", "1"])):
        parts = [Part(kind, 0, size, options)]
        backing, files = make_disk(bed, size, None, parts)
        flash_and_check(bed, size, backing, parts, files)
        # Zeros that are used are left out, too: right only for a device that reads as zeros.
        flash_and_check(bed, size, backing, parts, files, "--detect-zeroes", pattern=False)


def expect_whole(bed, backing, *words):
    bmap = bed.path("whole.bmap")
    done = d.expect_exit(d.tool("create", "--used-blocks", "--no-checksum", backing, "-o", bmap), 0)
    for word in words:
        d.expect(word in done.err, "'%s' is not said" % word, done)
    d.expect_exit(d.tool("create", "--no-checksum", backing, "-o", bed.path("all.bmap")), 0)
    d.expect(d.Map(bmap).ranges == d.Map(bed.path("all.bmap")).ranges, "not whole", done)


def patch(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def what_cannot_be_judged_is_mapped_as_a_whole(bed):
    require_all()
    size = 40 * d.MIB
    backing, _files = make_disk(bed, size, None, [])
    expect_whole(bed, backing, "nothing that is known")
    d.check_run("mkswap", backing)
    expect_whole(bed, backing, "holds swap")

    # Without checksums of metadata, so that these can be changed.
    make_file_system(backing, "ext4", ["-O", "^metadata_csum"])
    incompat, = struct.unpack("<I", d.read_at(backing, 1024 + 96, 4))
    state = d.read_at(backing, 1024 + 58, 2)
    for offset, good, bad, word in (
            (96, struct.pack("<I", incompat), struct.pack("<I", incompat | 4), "cleanly"),
            (58, state, b"\0\0", "cleanly"),
            (58, state, b"\3\0", "errors"),
            (4, d.read_at(backing, 1028, 4), struct.pack("<I", 20000), "damaged"),
            # Groups that begin nowhere: libext2fs alone would overrun its bitmap.
            (20, d.read_at(backing, 1044, 4), b"\xff\0\0\0", "damaged"),
            (96, struct.pack("<I", incompat), struct.pack("<I", incompat | 1 << 30), "features")):
        patch(backing, 1024 + offset, bad)
        expect_whole(bed, backing, word)
        patch(backing, 1024 + offset, good)

    os.truncate(backing, size // 2)
    expect_whole(bed, backing, "larger")

    make_file_system(backing, "fat16", [])
    table = struct.unpack("<H", d.read_at(backing, 14, 2))[0] * 512
    for offset, bad, word in ((37, b"\1", "cleanly"), (table + 3, b"\x7f", "cleanly"),
                              (table + 3, b"\xbf", "errors"), (22, b"\1\0", "too short")):
        good = d.read_at(backing, offset, len(bad))
        patch(backing, offset, bad)
        expect_whole(bed, backing, word)
        patch(backing, offset, good)


def a_compressed_image_is_refused(bed):
    require_all()
    backing, _files = make_disk(bed, 4 * d.MIB, None, [])
    d.check_run("gzip", "-1k", backing)
    for options in ((), ("--detect-zeroes",)):
        done = d.expect_exit(d.tool("create", "--used-blocks", *options, backing + ".gz"), 1)
        d.expect("unpack it" in done.err, "another reason", done)


def a_device_without_either_option_is_refused_and_a_mounted_one_said(bed):
    require_all()
    device, backing = bed.loop("disk.img", 64 * d.MIB)
    done = d.expect_exit(d.tool("create", device), 1)
    d.expect("--used-blocks" in done.err and "--detect-zeroes" in done.err, "no advice", done)
    make_file_system(device, "ext4", [])
    where = bed.mount(device)
    done = d.expect_exit(d.tool("create", "--used-blocks", device, "-o", bed.path("o.bmap")), 0)
    d.expect("WARNING" in done.err and where in done.err, "the mount: not said", done)
    d.expect("cleanly" in done.err, "a file system in use is not to be trusted", done)


if __name__ == "__main__":
    sys.exit(d.main([
        a_gpt_disk_has_all_its_files_again,
        logical_partitions_have_their_tables,
        a_disk_without_a_table_is_one_file_system,
        what_cannot_be_judged_is_mapped_as_a_whole,
        a_compressed_image_is_refused,
        a_device_without_either_option_is_refused_and_a_mounted_one_said,
    ], need_bytes=d.GIB))
