#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Images that are not whole, in every form, from a file and a pipe: exit 1, one ERROR line that names
the format and the offsets in it and in the image (or the range that is wrong), no file left, within a time limit.

BMAP_TEST_LONG: each from a file and from a pipe; else in turn."""
import bz2
import itertools
import lzma
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
import zlib

from common import BLOCK, RANGES, SIZE, content, d, expect_copied, image
from packing import FORMS, FORMS_BY_NAME

LIMIT_S = 60  # sanitizers, on a busy machine: far less without
ENDLESS = 1 << 40
# What a run says in place of the format, where the data unpacks but is not the image.
OTHER_RANGE = r"checksum mismatch for blocks \d+-\d+ \(byte offset \d+"
OTHER_SIZE = r"the image (has|ends after|goes on behind byte|is longer|is shorter)"


def flip(data, at, bit=0x10):
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]


def put(bed, name, data):
    path = bed.path(name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def from_file(path, options, dest):
    return d.tool("copy", *options, path, dest, timeout=LIMIT_S), path


def from_pipe(path, options, dest):
    cat = subprocess.Popen(["cat", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return d.tool("copy", *options, "-", dest, stdin=cat.stdout, timeout=LIMIT_S), "standard input"
    finally:
        cat.stdout.close()
        cat.wait()


SOURCES = itertools.cycle([(from_file, from_pipe)] if os.environ.get("BMAP_TEST_LONG") else
                          [(from_file,), (from_pipe,), (from_pipe,), (from_file,)])


def expect_refused(bed, path, options, words, why):
    """words: expressions, one of which the ERROR line has to have. Returns the lines."""
    lines = []
    dest = bed.path("out")
    for source in next(SOURCES):
        done, name = source(path, options, dest)
        d.expect_exit(done, 1)
        errors = [x for x in done.err.splitlines() if x.startswith("bmaptool: ERROR: ")]
        d.expect(len(errors) == 1 and name in errors[0], "%s: one error that names it" % why, done)
        d.expect(any(re.search(w, errors[0]) for w in words), "%s: none of %s" % (why, words), done)
        d.expect("copying time" not in done.err, "%s: it claims success" % why, done)
        d.expect(not os.path.exists(dest), "%s: a file was left" % why, done)
        lines.append(errors[0])
    return lines


def names_of(form):
    """The format's name, or that of the archive in it."""
    return "(%s)" % ((form.decoder or "raw") + ("|tar" if "tar" in form.name else ""))


def broken(form):
    """The format, the offset in its data, and the one in the image (or in the archive)."""
    return r"\b%s data\b.* offset \d+.* \(after \d+ bytes of the (image|tar archive)\)$" % names_of(form)


def other_size(form):
    """The image's length is wrong: where in the image, and where in the format's data."""
    return OTHER_SIZE + (r".* \(at offset \d+ of the %s data\)$" % names_of(form) if form.decoder else "")


def bytes_before(line):
    """What the line says to have been decoded; of an archive's bytes, if they are not the image's yet."""
    return int(re.search(r"\(after (\d+) bytes", line).group(1))


def packed(bed, form, source):
    form.require()
    return content(form.pack(source, bed.path("packed" + form.suffix)))


def every_form(check):
    """One case of all forms: those that cannot be had are named, and skipped."""
    def case(bed):
        missing = []
        for form in FORMS:
            try:
                check(bed, form)
            except d.Skip as reason:
                missing.append("%s: %s" % (form, reason))
        for line in missing:
            bed.note("skipped: " + line)
        if len(missing) == len(FORMS):
            raise d.Skip("no form can be packed here")
    case.__name__ = check.__name__
    return case


def cuts(form, data):
    """Where something begins or ends: a magic, a header, a block's first bytes, an index, a footer, a
    checksum; tar may do without its last blocks of zeros, so that the cut is in its data."""
    end = SIZE // 512 * 512 if form.name.startswith("tar") and form.decoder == "tar" else len(data)
    if form.name == "tar sparse":
        end -= sum(b - a for (_, a), (b, _) in zip(RANGES, RANGES[1:])) * BLOCK
    return [16, 2 * end // 3, end - 22, end - 4, end - 1]


def gzip_bytes(data):
    return len(zlib.decompressobj(31).decompress(data))


# How many bytes a cut file gives by other means; and how many fewer may have come, as a library may keep
# what it has not seen the end of.
GIVES = {"gz": (gzip_bytes, 1024), "bz2": (lambda b: len(bz2.BZ2Decompressor().decompress(b)), 0),
         "xz": (lambda b: len(lzma.LZMADecompressor().decompress(b)), 0),
         "lzma": (lambda b: len(lzma.LZMADecompressor().decompress(b)), 0),
         "tar": (lambda b: len(b) - 512, 0),
         "zip stored": (lambda b: len(b) - len(ZIP_HEAD), 0)}


def expect_offsets(form, line, data, why):
    d.expect(not re.search(r"truncated", line) or "offset %d " % len(data) in line or "|tar" in names_of(form),
             "%s: not where the file ends: %s" % (why, line))
    if form.name in GIVES:
        gives, less = GIVES[form.name]
        want = max(0, min(gives(data), SIZE))
        d.expect(want - less <= bytes_before(line) <= want, "%s: not after %d bytes: %s" % (why, want, line))


@every_form
def a_truncated_image_is_refused_wherever_it_ends(bed, form):
    source = image(bed)
    data = packed(bed, form, source)
    for keep in cuts(form, data):
        path = put(bed, "cut" + form.suffix, data[:keep])
        words = [broken(form)] if form.decoder else [OTHER_SIZE]
        words += [OTHER_SIZE] * (keep < 512) # of some nobody can tell yet what they are
        for options in (["--bmap", source + ".bmap"], ["--nobmap"]):
            if options == ["--nobmap"] and (not form.decoder or (form.decoder == "tar" and keep < 512)):
                continue  # any file is a whole raw image
            why = "%s, %d of %d bytes" % (form, keep, len(data))
            for line in expect_refused(bed, path, options, words, why):
                if " bytes of the " in line:
                    expect_offsets(form, line, data[:keep], why)


@every_form
def a_flipped_bit_is_refused(bed, form):
    """In the middle of what is compressed: the bytes of the image, of which no hole packs to much."""
    source = image(bed)
    data = packed(bed, form, source)
    places = [len(data) // 3, 2 * len(data) // 3]
    if len(data) >= SIZE:  # not compressed: holes are as long as they are
        begin = data.index(content(source)[:BLOCK])
        places = [begin + n for n in (700, 136 * BLOCK)]
    for at in places:
        path = put(bed, "flipped" + form.suffix, flip(data, at))
        # What is wrong in a block may also decode to more than the image has, before its checksum is reached.
        words = [OTHER_RANGE] + ([broken(form), other_size(form)] if form.decoder else [])
        why = "%s, bit at %d of %d bytes" % (form, at, len(data))
        expect_refused(bed, path, ["--bmap", source + ".bmap"], words, why)
        if form.checks:
            expect_refused(bed, path, ["--nobmap"], [broken(form)], why)


@every_form
def garbage_behind_the_end_is_refused_with_its_offset(bed, form):
    source = image(bed)
    data = packed(bed, form, source)
    for options in (["--bmap", source + ".bmap"], ["--nobmap"]):
        if not form.decoder and options == ["--nobmap"]:
            continue
        words = [r"offset %d\b.* end of the %s data.* \(after \d{6,7} bytes of the (image|tar archive)\)$"
                 % (len(data), names_of(form))]
        if form.decoder and "tar" not in names_of(form):
            words = [words[0].replace(r"\d{6,7}", str(SIZE))]
        if not form.decoder:
            words = [OTHER_SIZE]
        path = put(bed, "more" + form.suffix, data + b"garbage, longer than any header of any format")
        expect_refused(bed, path, options, words, "%s with garbage" % form)


@every_form
def an_image_of_another_length_is_refused(bed, form):
    source = image(bed)
    for size in (SIZE - BLOCK, SIZE + 1, SIZE + 3 * d.MIB):
        os.truncate(source, size)
        path = put(bed, "other" + form.suffix, packed(bed, form, source))
        expect_refused(bed, path, ["--bmap", source + ".bmap"], [other_size(form), OTHER_RANGE],
                       "%s of %d bytes" % (form, size))
    os.truncate(source, SIZE)


# (form, the length of its blocks, where a wrong one shows): random bytes are stored as they are, so that
# it is known which block is broken. xz sees it by the check behind the block.
BLOCKS = [("lz4 checked", 65536, "begin"), ("lzo", 262144, "begin"), ("xz blocks", 2 * d.MIB, "end")]


def a_broken_block_is_named_by_its_place_in_the_image(bed):
    source = image(bed)
    whole = content(source)
    for name, block, where in BLOCKS:
        form = FORMS_BY_NAME[name]
        try:
            data = packed(bed, form, source)
        except d.Skip as reason:
            bed.note("skipped: %s: %s" % (form, reason))
            continue
        in_image = 120 * BLOCK + 100
        at = data.index(whole[in_image:in_image + 32])
        path = put(bed, "block" + form.suffix, flip(data, at))
        for line in expect_refused(bed, path, ["--bmap", source + ".bmap"], [broken(form)], name):
            begin = bytes_before(line) - (block if where == "end" else 0)
            d.expect(begin == in_image // block * block, "%s: byte %d is broken: %s" % (name, in_image, line))


def tar_size(data, size):
    info = tarfile.TarInfo.frombuf(data[:512], "utf-8", "strict")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + data[512:]


# (form, why, what is done to its bytes): a length that the container says, and that is not so.
LENGTHS = [
    ("gz", "ISIZE", lambda b: flip(b, len(b) - 3)),
    ("zst frames", "content size of a frame", lambda b: flip(b, 6, 1)),
    ("xz blocks", "size in a block header", lambda b: flip(b, 15, 1)),
    ("xz blocks", "size in the index", lambda b: flip(b, len(b) - 12 - 8, 1)),
    ("xz", "size of the index", lambda b: flip(b, len(b) - 8, 1)),
    ("lz4", "a block too long", lambda b: flip(b, 9, 0x40)),
    ("lz4 checked", "a block too short", lambda b: flip(b, 7, 0x01)),
    ("lz4 linked", "a block of 2 GiB - 1", lambda b: b[:7] + b"\xff\xff\xff\x7f" + b[11:]),
    ("lz4 legacy", "a block of 4 GiB", lambda b: b[:4] + b"\xff\xff\xff\xff" + b[8:]),
    ("lzma", "one byte more", lambda b: b[:5] + struct.pack("<Q", SIZE + 1) + b[13:]),
    ("lzma", "one byte less", lambda b: b[:5] + struct.pack("<Q", SIZE - 1) + b[13:]),
    ("tar", "size of the member", lambda b: tar_size(b, 2 * SIZE)),
    ("zip", "length in the central directory", lambda b: flip(b, b.rindex(b"PK\1\2") + 24, 1)),
    ("zip", "length in front of the data", lambda b: flip(b, 22, 1)),
    ("zip stored", "length in front of the data", lambda b: flip(b, 18, 1)),
    ("zip streamed", "length behind the data", lambda b: flip(b, b.rindex(b"PK\7\x08") + 12, 1)),
]


def a_length_that_is_not_so_is_refused(bed):
    source = image(bed)
    for name, why, damage in LENGTHS:
        form = FORMS_BY_NAME[name]
        try:
            data = packed(bed, form, source)
        except d.Skip as reason:
            bed.note("skipped: %s: %s" % (form, reason))
            continue
        path = put(bed, "length" + form.suffix, damage(data))
        d.expect(content(path) != data, "nothing was changed")
        for options in (["--bmap", source + ".bmap"], ["--nobmap"]):
            # lz4's legacy frame ends where no length of a block follows; a frame of zstd that is
            # too long for the bmap is not decoded.
            words = [broken(form), other_size(form), r"garbage at offset \d+.* %s data" % form.decoder]
            expect_refused(bed, path, options, words, "%s: %s" % (form, why))


def deflate_endlessly(head):
    """Blocks of zeros behind a header."""
    pack = zlib.compressobj(1, zlib.DEFLATED, -15)
    yield head
    while True:
        yield pack.compress(bytes(d.MIB)) + pack.flush(zlib.Z_SYNC_FLUSH)


def bzip2_endlessly():
    """Eight blocks end on a byte. (The program shows nothing before 4 GB of zeros.)"""
    bits = "".join("{:08b}".format(byte) for byte in bz2.compress(bytes(d.MIB)))
    block = bits[32:bits.rindex("{:048b}".format(0x177245385090))]
    yield b"BZh9"
    yield from itertools.repeat(int(block * 8, 2).to_bytes(len(block), "big"))


def tar_endlessly():
    info = tarfile.TarInfo("disk.img")
    info.size = ENDLESS
    yield info.tobuf(tarfile.GNU_FORMAT)
    yield from itertools.repeat(bytes(d.MIB))


def program_endlessly(command):
    zeros = subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE)
    child = subprocess.Popen(command, stdin=zeros.stdout, stdout=subprocess.PIPE)
    zeros.stdout.close()
    try:
        while True:
            yield child.stdout.read1(65536)
    finally:
        for process in (child, zeros):
            process.kill()
            process.wait()
        child.stdout.close()


ZIP_HEAD = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 8, 8, 0, 0x21, 0, 0, 0, 8, 0) + b"disk.img"
BOMBS = {"zip streamed": lambda: deflate_endlessly(ZIP_HEAD), "tar": tar_endlessly,
         "bz2": bzip2_endlessly, "raw": lambda: itertools.repeat(bytes(d.MIB))}
for one in ("gz", "zst", "zst pzstd", "xz", "xz blocks", "lz4", "lz4 checked", "lz4 linked", "lz4 legacy",
            "lzo", "lzma"):
    BOMBS[one] = lambda command=FORMS_BY_NAME[one].how[0]: program_endlessly(command)


def feed(chunks, writer, given):
    try:
        for chunk in chunks:
            given.append(len(chunk))
            while chunk:
                chunk = chunk[os.write(writer, chunk):]
    except BrokenPipeError:
        pass
    finally:
        os.close(writer)
        if hasattr(chunks, "close"):
            chunks.close()


def zeros_without_end_are_cut_short(bed):
    """The bmap says how long the image is: nothing is decoded for long behind that."""
    source = bed.path("zeros.img")
    with open(source, "wb") as f:
        f.truncate(SIZE)
    d.write_map(source + ".bmap", source, SIZE, [(0, 3)])
    for name, make in BOMBS.items():
        form = FORMS_BY_NAME[name]
        try:
            form.require()
        except d.Skip as reason:
            bed.note("skipped: %s: %s" % (form, reason))
            continue
        reader, writer = os.pipe()
        given = []
        feeder = threading.Thread(target=feed, args=(make(), writer, given))
        feeder.start()
        try:
            done = d.tool("copy", "--bmap", source + ".bmap", "-", bed.path("out"), stdin=reader,
                          timeout=LIMIT_S)
        finally:
            os.close(reader)
            feeder.join()
        d.expect_exit(done, 1)
        d.expect(re.search(other_size(form), done.err, re.M), "%s: not why" % form, done)
        d.expect(str(SIZE) in done.err, "%s: not where" % form, done)
        d.expect(not os.path.exists(bed.path("out")), "%s: a file was left" % form, done)
        bed.note("%s: %d KiB were read" % (form, sum(given) // 1024))


def members_without_number_are_cut_short(bed):
    """Many small members, one behind the other: each is whole, and a hole."""
    source = bed.path("zeros.img")
    with open(source, "wb") as f:
        f.truncate(SIZE)
    d.write_map(source + ".bmap", source, SIZE, [(0, 3)])
    with open(bed.path("member"), "wb") as f:
        f.truncate(d.MIB)
    for form in FORMS:
        if not form.joins:
            continue
        try:
            member = packed(bed, form, bed.path("member"))
        except d.Skip as reason:
            bed.note("skipped: %s: %s" % (form, reason))
            continue
        path = put(bed, "many" + form.suffix, member * 2000)
        expect_refused(bed, path, ["--bmap", source + ".bmap"], [other_size(form)], "%s, 2000 times" % form)


def zeros_behind_the_end_are_no_garbage_where_the_format_pads(bed):
    """gzip on tapes, xz's stream padding, tar's records: as their own tools take them."""
    source = image(bed)
    for name in ("gz", "xz", "xz blocks", "tar", "tar.gz"):
        form = FORMS_BY_NAME[name]
        data = packed(bed, form, source)
        path = put(bed, "padded" + form.suffix, data + bytes(8192))
        for from_any in (from_file, from_pipe):
            done, _ = from_any(path, ["--bmap", source + ".bmap"], bed.path("out"))
            d.expect_exit(done, 0)
            expect_copied(source, bed.path("out"))


if __name__ == "__main__":
    sys.exit(d.main([
        a_truncated_image_is_refused_wherever_it_ends,
        a_flipped_bit_is_refused,
        a_broken_block_is_named_by_its_place_in_the_image,
        garbage_behind_the_end_is_refused_with_its_offset,
        an_image_of_another_length_is_refused,
        a_length_that_is_not_so_is_refused,
        zeros_without_end_are_cut_short,
        members_without_number_are_cut_short,
        zeros_behind_the_end_are_no_garbage_where_the_format_pads,
    ]))
