#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy of images whose containers have an index: what is not mapped is not read, from files and
servers, and an index that lies is found out."""
import functools
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from common import content, d
from http_server import HttpServer

UNIT = d.MIB
SIZE = 32 * UNIT - 700
BLOCKS = -(-SIZE // 4096)
# A quarter: two runs, one of them not at a unit's border, and the last bytes.
RANGES = [(5, 5 + 3 * 256), (12 * 256, 15 * 256 - 1), (BLOCKS - 20, BLOCKS - 1)]
WANTED = {0, 1, 2, 3, 12, 13, 14, 31}  # units
CLEAN = {"HOME": "/nonexistent", "http_proxy": "", "HTTP_PROXY": "", "all_proxy": "", "ALL_PROXY": "",
         "no_proxy": ""}


def tool(*args, **kw):
    return d.tool(*args, env=CLEAN, **kw)


@functools.lru_cache(None)
def image_bytes():
    noise = random.Random(d.SEED)
    return b"".join(noise.randbytes(300 * 1024) + b"text" * (UNIT // 4 - 75 * 1024)
                    for _ in range(SIZE // UNIT + 1))[:SIZE]


def image(bed):
    path = bed.path("u.img")
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(image_bytes())
        d.write_map(path + ".bmap", path, SIZE, RANGES)
    return path


def output_of(*argv, data=None):
    return subprocess.run(argv, input=data, capture_output=True, check=True).stdout


@functools.lru_cache(None)
def zstd_units():
    """Compressed and image length of each frame, and the frames."""
    d.require_program("zstd")
    units, frames = [], b""
    for at in range(0, SIZE, UNIT):
        data = image_bytes()[at:at + UNIT]
        with tempfile.NamedTemporaryFile() as f:  # of a file zstd knows the size
            f.write(data)
            f.flush()
            frame = output_of("zstd", "-qc1", "--check", f.name)
        units.append((len(frame), len(data)))
        frames += frame
    return units, frames


def seek_table(units, checksums=False):
    entries = b"".join(struct.pack("<II", *u) + (b"\0" * 4 if checksums else b"") for u in units)
    return struct.pack("<II", 0x184D2A5E, len(entries) + 9) + entries + \
        struct.pack("<IBI", len(units), 0x80 if checksums else 0, 0x8F92EAB1)


def xz_blocks(data):
    """Offset and length of each block, as xz tells."""
    with tempfile.NamedTemporaryFile(suffix=".xz") as f:
        f.write(data)
        f.flush()
        text = output_of("xz", "--robot", "-lvv", f.name).decode()
    return [(int(r[4]), int(r[6])) for r in (line.split("\t") for line in text.splitlines())
            if r[0] == "block"]


def marked(units, frames, edit=lambda i, n: n):
    """Each frame behind a skippable one with its length, as pzstd does it; of frames that tell their size."""
    made, at, places = [], 0, []
    for i, (length, _) in enumerate(units):
        places.append((sum(map(len, made)), 12 + length))
        made.append(struct.pack("<III", 0x184D2A50, 4, edit(i, length)) + frames[at:at + length])
        at += length
    return b"".join(made), places


@functools.lru_cache(None)
def forms():
    """Name, whole file, units as (offset, length)."""
    made = []
    if shutil.which("zstd"):
        units, frames = zstd_units()
        at = [sum(u[0] for u in units[:i]) for i in range(len(units))]
        for name, checksums in (("seekable.zst", False), ("checksums.zst", True)):
            made.append((name, frames + seek_table(units, checksums),
                         [(a, u[0]) for a, u in zip(at, units)]))
        made.append(("marks.zst",) + marked(units, frames))
    if shutil.which("xz"):
        for name, threads in (("sizes.xz", "-T2"), ("no-sizes.xz", "-T1")):
            data = output_of("xz", "-0", threads, "--block-size=%d" % UNIT, "-c", data=image_bytes())
            made.append((name, data, xz_blocks(data)))
    if not made:
        raise d.Skip("neither zstd nor xz")
    return made


def expect_mapped(bed, dest):
    with open(image(bed), "rb") as a, open(dest, "rb") as b:
        d.expect(os.path.getsize(dest) == SIZE, "size")
        for first, last in RANGES:
            a.seek(first * 4096)
            b.seek(first * 4096)
            n = (last + 1 - first) * 4096
            d.expect(a.read(n) == b.read(n), "wrong bytes in blocks %d-%d" % (first, last))


def without_holes(data, units):
    """Garbage in the place of every unit that has no mapped byte, behind what tells its sizes."""
    data = bytearray(data)
    for i, (at, length) in enumerate(units):
        keep = 32 if data[:4] == struct.pack("<I", 0x184D2A50) else 0
        if i not in WANTED:
            data[at + keep:at + length] = b"\xff" * (length - keep)
    return bytes(data)


def write(bed, name, data):
    with open(bed.path(name), "wb") as f:
        f.write(data)
    return bed.path(name)


def left_out(done):
    found = re.search(r"(\d+) bytes hold nothing that is mapped", done.err)
    return int(found.group(1)) if found else 0


def bmap(bed):
    return image(bed) + ".bmap"


def holes_are_not_read_from_a_file(bed):
    for name, data, units in forms():
        path = write(bed, name, without_holes(data, units))
        holes = sum(n for i, (_, n) in enumerate(units) if i not in WANTED)
        for more in ((), ("--memory", "24M"), ("--workers", "1")):
            done = d.expect_exit(tool("copy", path, bed.path("out"), "--bmap", bmap(bed), "-d", *more), 0)
            expect_mapped(bed, bed.path("out"))
            d.expect(left_out(done) == holes, "%s: %d bytes in holes" % (name, holes), done)
        d.expect_exit(tool("verify", path, "--bmap", bmap(bed)), 0)


def holes_are_read_where_no_checksum_judges_or_nothing_can_seek(bed):
    for name, data, units in forms():
        good, broken = write(bed, name, data), write(bed, "broken-" + name, without_holes(data, units))
        done = d.expect_exit(tool("copy", good, bed.path("out"), "--bmap", bmap(bed), "-d",
                                  "--no-verify"), 0)
        expect_mapped(bed, bed.path("out"))
        d.expect(not left_out(done), "left out", done)
        done = d.expect_exit(tool("copy", good, bed.path("out"), "--nobmap", "-d"), 0)
        d.expect(content(bed.path("out")) == image_bytes() and not left_out(done), "--nobmap", done)
        d.expect_exit(tool("copy", broken, bed.path("o"), "--bmap", bmap(bed), "--no-verify"), 1)
        with open(good, "rb") as f:
            done = d.expect_exit(tool("copy", "-", bed.path("out"), "--bmap", bmap(bed), "-d", stdin=f), 0)
        expect_mapped(bed, bed.path("out"))
        reader = subprocess.Popen(["cat", good], stdout=subprocess.PIPE)
        done = d.expect_exit(tool("copy", "-", bed.path("out"), "--bmap", bmap(bed), "-d",
                                  stdin=reader.stdout), 0)
        reader.stdout.close()
        reader.wait()
        expect_mapped(bed, bed.path("out"))
        d.expect(not left_out(done), "left out of a pipe", done)


def a_broken_end_is_found_although_all_was_written(bed):
    for name, data, _ in forms():
        for cut in (1, 4, 13, 5000):
            path = write(bed, name, data[:-cut])
            done = tool("copy", path, bed.path("o"), "--bmap", bmap(bed))
            d.expect(done.code == 1, "%s less %d bytes: exit %s" % (name, cut, done.code), done)
        d.expect_exit(tool("copy", write(bed, name, data + b"garbage!"), bed.path("o"), "--bmap",
                           bmap(bed)), 1)


def a_seek_table_that_lies_is_found_out(bed):
    units, frames = zstd_units()

    def lie(*edits):
        told = list(units)
        for i, source, img in edits:
            told[i] = (told[i][0] + source, told[i][1] + img)
        return told

    # Sums are right, so the table is believed until the frames say something else.
    for name, told in (
            ("a hole is longer, the next shorter", lie((6, 0, 65536), (20, 0, -65536))),
            ("a hole begins inside a mapped frame", lie((3, -4000, 0), (4, 4000, 0))),
            ("a hole ends inside a mapped frame", lie((11, 5000, 0), (12, -5000, 0))),
            ("two holes, other lengths", lie((11, 70, 0), (15, -70, 0))),
            ("a mapped frame is larger", lie((14, 0, 4096), (15, 0, -4096)))):
        path = write(bed, "lie.zst", frames + seek_table(told))
        done = tool("copy", path, bed.path("o"), "--bmap", bmap(bed), "-d")
        d.expect(left_out(done) > 0, name + ": not believed", done)
        d.expect(done.code == 1 and done.err.count("ERROR") in (1, 2), name, done)
        d.expect(not os.path.exists(bed.path("o")), "the file was left behind", done)
    # Moved borders between two holes are nobody's loss.
    path = write(bed, "lie.zst", frames + seek_table(lie((5, 99, 4096), (6, -99, -4096))))
    d.expect_exit(tool("copy", path, bed.path("out"), "--bmap", bmap(bed)), 0)
    expect_mapped(bed, bed.path("out"))
    # Sums are wrong: it is not believed, and skipped like any skippable frame.
    for told in (units[:-1], units + [(9, 0)], lie((6, 1, 0)), lie((6, 0, 1)), lie((0, 0, -1))):
        path = write(bed, "lie.zst", frames + seek_table(told))
        done = d.expect_exit(tool("copy", path, bed.path("out"), "--bmap", bmap(bed), "-d"), 0)
        d.expect(not left_out(done), "believed", done)
        expect_mapped(bed, bed.path("out"))


def marks_that_lie_are_not_believed_or_found_out(bed):
    units, frames = zstd_units()
    over = sum(u[0] + 12 for u in units[5:13]) - 12
    for edit in (lambda i, n: n + 9 if i == 6 else n, lambda i, n: 0xfffffff0 if i == 31 else n,
                 lambda i, n: over if i == 5 else n, lambda i, n: 0 if i == 0 else n):
        path = write(bed, "lie.zst", marked(units, frames, edit)[0])
        done = d.expect_exit(tool("copy", path, bed.path("out"), "--bmap", bmap(bed), "-d"), 0)
        d.expect(not left_out(done), "believed", done)
        expect_mapped(bed, bed.path("out"))
    # Frames in holes whose header lies make the image longer here and shorter there.
    data, places = marked(units, frames)
    data = bytearray(data)
    for i, size in ((6, UNIT + 65536), (20, UNIT - 65536)):
        at = places[i][0] + 12
        field = at + (5 if data[at + 4] & 0x20 else 6)
        d.expect(data[at + 4] >> 6 == 2 and struct.unpack_from("<I", data, field)[0] == UNIT,
                 "not the header that zstd writes")
        struct.pack_into("<I", data, field, size)
    done = tool("copy", write(bed, "lie.zst", bytes(data)), bed.path("o"), "--bmap", bmap(bed), "-d")
    d.expect(done.code == 1 and left_out(done) and not os.path.exists(bed.path("o")), "lengths", done)


def serve(bed, name, data, **knobs):
    server = HttpServer({"/" + name: data})
    for key, value in knobs.items():
        setattr(server, key, value)
    bed.later(server.close)
    return server


def only_what_is_mapped_is_fetched(bed):
    for name, data, units in forms():
        # Not known to be many blocks before its end was read; and a request for each mark would cost.
        if name in ("no-sizes.xz", "marks.zst"):
            continue
        mapped = sum(n for i, (_, n) in enumerate(units) if i in WANTED)
        server = serve(bed, name, without_holes(data, units))
        done = d.expect_exit(tool("copy", server.url("/" + name), bed.path("out"), "--bmap", bmap(bed),
                                  "-d"), 0)
        expect_mapped(bed, bed.path("out"))
        ranges = [r for r in server.requests if r.status == 206]
        d.expect(sum(r.sent for r in ranges) < mapped + 600 * 1024, "%s: %s" % (name, ranges), done)
        d.expect(len(ranges) == 4 and len(server.requests) == 5, "%s: %s" % (name, server.requests), done)
        d.expect(server.connections <= 2, "%d connections" % server.connections, done)


def fetching_goes_on_where_it_broke_or_fails(bed):
    name, data, units = forms()[0]
    holes = without_holes(data, units)
    server = serve(bed, name, holes, drops=[300000, 100, 200000, None, 1000, 0])
    done = d.expect_exit(tool("copy", server.url("/" + name), bed.path("out"), "--bmap", bmap(bed)), 0)
    expect_mapped(bed, bed.path("out"))
    d.expect(done.err.count("going on in") >= 3, "tries", done)
    for knobs in ({"ranges": False}, {"say_ranges": False}, {"etag": None, "modified": None}):
        server = serve(bed, name, data, **knobs)
        d.expect_exit(tool("copy", server.url("/" + name), bed.path("out"), "--bmap", bmap(bed)), 0)
        expect_mapped(bed, bed.path("out"))
        d.expect(len(server.requests) <= 3, str(server.requests))
    # Another file under the same name from the second request on.
    server = serve(bed, name, data, etag=lambda n: '"%d"' % min(n, 2))
    done = d.expect_exit(tool("copy", server.url("/" + name), bed.path("o"), "--bmap", bmap(bed)), 1)
    d.expect("has changed" in done.err, "what is wrong", done)
    server = serve(bed, name, data, edit_range=lambda b, e, t: "bytes %d-%d/%d" % (b + 1, e, t))
    done = d.expect_exit(tool("copy", server.url("/" + name), bed.path("o"), "--bmap", bmap(bed)), 1)
    d.expect(not os.path.exists(bed.path("o")), "the file was left behind", done)


if __name__ == "__main__":
    cases = [
        holes_are_not_read_from_a_file,
        holes_are_read_where_no_checksum_judges_or_nothing_can_seek,
        a_broken_end_is_found_although_all_was_written,
        a_seek_table_that_lies_is_found_out,
        marks_that_lie_are_not_believed_or_found_out,
    ]
    if not os.environ.get("BMAP_NO_CURL"):
        cases += [only_what_is_mapped_is_fetched, fetching_goes_on_where_it_broke_or_fails]
    sys.exit(d.main(cases))
