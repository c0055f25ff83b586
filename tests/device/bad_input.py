#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Inputs that are not whole: exit 1, a line that says where, and a device that does not look flashed."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 96 * d.MIB


def pack(path, form):
    command = {"gz": ["gzip", "-1", "-c"], "zst": ["zstd", "-1", "-q", "-c"]}[form]
    d.require_program(command[0])
    with open(path + "." + form, "wb") as out:
        d.subprocess.run(command + [path], stdout=out, check=True)
    return path + "." + form


def cut(data, keep):
    return data[:keep]


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]


# (form, why, what is done to the packed bytes)
DAMAGES = [
    ("gz", "header cut", lambda b: cut(b, 7)),
    ("gz", "half", lambda b: cut(b, len(b) // 2)),
    ("gz", "trailer cut", lambda b: cut(b, len(b) - 4)),
    ("gz", "one byte short", lambda b: cut(b, len(b) - 1)),
    ("gz", "bit flipped in the middle", lambda b: flip(b, len(b) // 2)),
    ("gz", "CRC wrong", lambda b: flip(b, len(b) - 8)),
    ("gz", "length wrong", lambda b: flip(b, len(b) - 2)),
    ("gz", "trailing garbage", lambda b: b + b"garbage, not a member"),
    ("zst", "header cut", lambda b: cut(b, 5)),
    ("zst", "half", lambda b: cut(b, len(b) // 2)),
    ("zst", "checksum cut", lambda b: cut(b, len(b) - 4)),
    ("zst", "one byte short", lambda b: cut(b, len(b) - 1)),
    ("zst", "bit flipped in the middle", lambda b: flip(b, len(b) // 2)),
    ("zst", "trailing garbage", lambda b: b + b"garbage, not a frame"),
]


def device_with_old_system(bed):
    device, backing = bed.loop("target", SIZE, pattern=True)
    with open(backing, "r+b") as f:
        f.seek(510)
        f.write(b"\x55\xaaEFI PART")
    return device, backing


def image_with_map(bed):
    image = d.random_image(bed.path("disk.img"), SIZE, 11, pieces=20)
    with open(image, "r+b") as f:
        f.seek(510)
        f.write(b"\x55\xaaEFI PART")
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    return image, d.Map(bed.path("disk.bmap"))


def expect_not_flashed(device, backing, bmap, untouched):
    """Untouched as a whole, or its head is blank."""
    if d.sha256_of(backing) != untouched:
        d.expect_head_blank(device, bmap)


def refuse_all_damages(bed, nobmap):
    d.require_loop()
    image, bmap = image_with_map(bed)
    whole = bmap
    if nobmap:
        whole = type("Whole", (), {"head": staticmethod(lambda: [(0, d.HEAD_BYTES)])})
    device, backing = device_with_old_system(bed)
    packed = {}
    for form in ("gz", "zst"):
        with open(pack(image, form), "rb") as f:
            packed[form] = f.read()
    damages = DAMAGES
    if nobmap:
        # Without a map, a frame cut at its checksum is all the container says: it has to be enough.
        damages = DAMAGES + [("zst", "checksum wrong", lambda b: flip(b, len(b) - 2))]
    for form, why, damage in damages:
        bad = bed.path("bad.img." + form)
        with open(bad, "wb") as f:
            f.write(damage(packed[form]))
        untouched = d.sha256_of(backing)
        options = ["--nobmap"] if nobmap else ["--bmap", bed.path("disk.bmap")]
        done = d.tool("copy", *options, bad, device)
        d.expect(done.code == 1, "%s, %s: exit 1 expected" % (form, why), done)
        d.expect(bad in done.err, "%s, %s: the file is not named" % (form, why), done)
        expect_not_flashed(device, backing, whole, untouched)
        d.expect("copying time" not in done.err, "%s, %s: it claims success" % (form, why), done)


def damaged_containers_fail_with_a_map(bed):
    refuse_all_damages(bed, nobmap=False)


def damaged_containers_fail_without_a_map(bed):
    refuse_all_damages(bed, nobmap=True)


def trailing_garbage_is_named_with_its_offset(bed):
    image, _bmap = image_with_map(bed)
    for form in ("gz", "zst"):
        path = pack(image, form)
        size = os.path.getsize(path)
        with open(path, "ab") as f:
            f.write(b"\1\2\3\4garbage")
        done = d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), path, "/dev/null"), 1)
        d.expect(str(size) in done.err, "%s: offset %d expected" % (form, size), done)


def a_wrong_checksum_fails_and_leaves_no_system_to_be_seen(bed):
    d.require_loop()
    image, bmap = image_with_map(bed)
    device, backing = device_with_old_system(bed)
    at, length = bmap.ranges[len(bmap.ranges) // 2]
    with open(image, "r+b") as f:
        f.seek(at + length // 2)
        byte = f.read(1)
        f.seek(at + length // 2)
        f.write(bytes([byte[0] ^ 1]))
    for source in (image, pack(image, "gz"), pack(image, "zst")):
        untouched = d.sha256_of(backing)
        done = d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), source, device), 1)
        d.expect("checksum" in done.err.lower() or "mismatch" in done.err.lower(),
                 "no word of a checksum", done)
        expect_not_flashed(device, backing, bmap, untouched)
    d.expect_exit(d.tool("copy", "--no-verify", "--bmap", bed.path("disk.bmap"), image, device), 0)


def a_broken_map_leaves_the_device_untouched(bed):
    d.require_loop()
    image, bmap = image_with_map(bed)
    device, backing = device_with_old_system(bed)
    with open(bed.path("disk.bmap")) as f:
        text = f.read()
    untouched = d.sha256_of(backing)
    bads = [
        ("one digit changed", text.replace("<MappedBlocksCount> ", "<MappedBlocksCount> 1", 1)),
        ("cut", text[:len(text) // 2]),
        ("no XML", "garbage"),
        ("empty", ""),
        ("major version 3", text.replace('version="2.0"', 'version="3.0"')),
    ]
    for why, bad in bads:
        d.expect(bad != text, "the test did not change the map: " + why)
        with open(bed.path("bad.bmap"), "w") as f:
            f.write(bad)
        done = d.tool("copy", "--bmap", bed.path("bad.bmap"), image, device)
        d.expect(done.code == 1, "%s: exit 1 expected" % why, done)
        d.expect(d.sha256_of(backing) == untouched, "%s: the device was touched" % why, done)


def an_image_of_another_size_than_its_map_fails(bed):
    d.require_loop()
    image, bmap = image_with_map(bed)
    device, backing = bed.loop("big", SIZE + 8 * d.MIB, pattern=True)
    os.truncate(image, SIZE + 4096)
    longer = [image, pack(image, "gz"), pack(image, "zst")]
    untouched = d.sha256_of(backing)
    for source in longer:
        done = d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), source, device), 1)
        d.expect(source in done.err, "the image is not named", done)
        expect_not_flashed(device, backing, bmap, untouched)
    os.truncate(image, SIZE - 4096)
    for source in [image, pack(image, "gz"), pack(image, "zst")]:
        d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), source, device), 1)
        expect_not_flashed(device, backing, bmap, untouched)


if __name__ == "__main__":
    sys.exit(d.main([
        damaged_containers_fail_with_a_map,
        damaged_containers_fail_without_a_map,
        trailing_garbage_is_named_with_its_offset,
        a_wrong_checksum_fails_and_leaves_no_system_to_be_seen,
        a_broken_map_leaves_the_device_untouched,
        an_image_of_another_size_than_its_map_fails,
    ], need_bytes=6 * SIZE))
