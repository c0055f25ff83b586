#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool report: facts, ranges, map, two maps compared; broken maps as far as they can be read."""
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree

from common import BLOCK, RANGES, SIZE, content, d, image
import schema  # noqa: E402, found by way of common


def fact(done, name):
    for line in done.out.splitlines():
        if line.startswith(name + ":"):
            return line[len(name) + 1:].strip()
    raise d.Fail("no '%s' in %s" % (name, done.out))


def document(done):
    found = json.loads(done.out)
    problem = schema.problem([found], "bmap-report.schema.json")
    d.expect(not problem, "not as its schema says: %s" % problem, done)
    return found


def digests(path):
    data = content(path)
    return [hashlib.sha256(data[first * BLOCK:(last + 1) * BLOCK]).hexdigest()
            for first, last in RANGES]


def facts_of_a_map_and_of_an_image_are_the_same(bed):
    path = image(bed)
    done = d.expect_exit(d.tool("report", path + ".bmap"), 0)
    d.expect(d.expect_exit(d.tool("report", path), 0).out == done.out, "differs for the image", done)
    d.expect(fact(done, "image size").startswith("%d bytes" % SIZE), "size", done)
    d.expect(fact(done, "block size") == "%d bytes" % BLOCK, "block size", done)
    mapped = sum(last - first + 1 for first, last in RANGES)
    d.expect(fact(done, "mapped blocks").startswith("%d (" % mapped), "mapped", done)
    d.expect(fact(done, "checksum type") == "sha256", "type", done)
    d.expect(fact(done, "own checksum") == "good", "own checksum", done)
    d.expect(fact(done, "signature") == "none", "signature", done)
    d.expect(fact(done, "ranges").startswith("%d: smallest 4.0 KiB" % len(RANGES)), "ranges", done)
    d.expect(fact(done, "gaps").startswith("3: smallest 20.0 KiB"), "gaps", done)


def speeds_are_the_users(bed):
    path = image(bed)
    done = d.expect_exit(d.tool("report", "--speed", "1K,1M", path), 0)
    d.expect(fact(done, "flash time").endswith("at 1.0 KiB a second"), "first speed", done)
    d.expect("500" not in done.out, "a default speed", done)
    for bad in ("", "x", "1M,", ",1M", "0", ",".join(["1M"] * 17), "1" * 40):
        d.expect_exit(d.tool("report", "--speed=" + bad, path), 2)


def ranges_are_listed_with_their_checksums(bed):
    path = image(bed)
    done = d.expect_exit(d.tool("report", "--ranges", path), 0)
    for (first, last), digest in zip(RANGES, digests(path)):
        line = "%d-%d %d %s" % (first, last, min((last + 1) * BLOCK, SIZE) - first * BLOCK, digest)
        d.expect(line in done.out.splitlines(), "no line '%s'" % line, done)


def json_has_it_all(bed):
    path = image(bed)
    found = document(d.expect_exit(d.tool("report", "--json", "--ranges", path), 0))
    d.expect(found["whole"] is True and found["problem"] is None, "whole")
    d.expect(found["image_size_bytes"] == SIZE and found["version"] == "2.0", "size, version")
    d.expect([(r["first_block"], r["last_block"]) for r in found["ranges"]] == RANGES, "ranges")
    d.expect([r["checksum"] for r in found["ranges"]] == digests(path), "checksums")
    total = sum(r["size_bytes"] for r in found["ranges"])
    d.expect(found["mapped_bytes"] == total == found["range_lengths"]["total_bytes"], "mapped bytes")
    d.expect(found["gap_lengths"]["total_bytes"] == SIZE - total, "gaps")
    odd = os.path.join(os.path.dirname(path), "b\udcff.bmap")
    os.rename(path + ".bmap", odd)
    document(d.expect_exit(d.tool("report", "--json", odd), 0))


def the_map_is_drawn(bed):
    path = image(bed)
    for locale, full in (("C", "#"), ("C.UTF-8", "\u2588")):
        env = dict(os.environ, LC_ALL=locale)
        done = subprocess.run([os.environ["BMAPTOOL"], "report", "--map", path], env=env, capture_output=True)
        d.expect(done.returncode == 0, "exit %d" % done.returncode)
        strip = done.stdout.decode("utf-8").split("all\n")[1].replace("\n", "")
        # 513 blocks, a character each, the last is short
        want = {i for first, last in RANGES for i in range(first, last + 1)}
        d.expect(len(strip) == 513, "%d characters" % len(strip))
        drawn = {i for i, c in enumerate(strip) if c == full}
        d.expect(len(drawn ^ want) <= 2 * len(RANGES), "drawn wrongly: %s" % strip)


def two_maps_are_compared(bed):
    older = image(bed, "old.img")
    newer = bed.path("new.img")
    data = bytearray(content(older))
    data[8 * BLOCK] ^= 1
    data[511 * BLOCK + 3] ^= 1
    with open(newer, "wb") as f:
        f.write(data)
    d.write_map(newer + ".bmap", newer, SIZE, [(0, 2), (8, 8), (90, 120), (300, 301), (511, 512)])
    done = d.expect_exit(d.tool("report", "--diff", older, newer, "--ranges"), 0)
    for text in ("the same:        1 range", "other content:   2 ranges", "other borders:   1 range",
                 "newly mapped:    1 range", "no more mapped:  1 range"):
        d.expect(text in done.out, "no '%s'" % text, done)
    found = document(d.expect_exit(d.tool("report", "--json", "--ranges", "--diff", older, newer), 0))
    changes = [(r["offset_bytes"] // BLOCK, r["change"]) for r in found["ranges"]]
    d.expect(changes == [(8, "content"), (90, "borders"), (121, "gone"), (300, "new"),
                         (511, "content")], "%s" % changes)
    d.expect(found["to_write_bytes"] == (1 + 31 + 2) * BLOCK + SIZE - 511 * BLOCK, "to write")
    done = d.expect_exit(d.tool("report", "--diff", older + ".bmap", older), 0)
    d.expect("to be written:   0 bytes" in done.out, "the same map differs", done)


def broken_maps_are_shown_as_far_as_they_go(bed):
    path = image(bed)
    text = content(path + ".bmap")
    cases = [
        (text.replace(b"</BlockMap>", b"</BlockMap> "), "own checksum", "WRONG", 4),
        (text[:text.index(b"100-136")], "own checksum", "not checked", 2),
        (text.replace(b"100-136", b"100-1x6"), "own checksum", "not checked", 2),
        (text.replace(b"511-512", b"511-513"), "own checksum", "WRONG", 3),
        (text.replace(b"<BlockSize>", b"<BlockSize>0 "), "image size", None, None),
    ]
    for i, (broken, name, value, ranges) in enumerate(cases):
        bad = bed.path("bad%d.bmap" % i)
        with open(bad, "wb") as f:
            f.write(broken)
        done = d.expect_exit(d.tool("report", bad), 1)
        d.expect("ERROR: %s" % bad in done.err, "what is wrong is not said", done)
        if value:
            d.expect(fact(done, name) == value, "%s is not %s" % (name, value), done)
            d.expect(fact(done, "ranges").split(":")[0] == str(ranges), "not %d ranges" % ranges, done)
        found = document(d.expect_exit(d.tool("report", "--json", "--ranges", bad), 1))
        d.expect(found["whole"] is False and bad in found["problem"], "JSON hides the problem")
    for content_of, code in ((b"junk", 1), (b"", 1)):
        bad = bed.path("junk.bmap")
        with open(bad, "wb") as f:
            f.write(content_of)
        done = d.expect_exit(d.tool("report", bad), code)
        d.expect(done.out == "" and bad in done.err, "junk has a report", done)
    d.expect_exit(d.tool("report", bed.path("absent")), 1)


def other_forms_are_read(bed):
    path = image(bed)
    plain = d.expect_exit(d.tool("report", path + ".bmap"), 0).out
    done = subprocess.run([os.environ["BMAPTOOL"], "report", "-"], stdin=open(path + ".bmap", "rb"),
                          capture_output=True, text=True)
    d.expect(done.returncode == 0 and done.stdout.splitlines()[1:] == plain.splitlines()[1:],
             "standard input: %s%s" % (done.stdout, done.stderr))
    d.require_program("gzip")
    subprocess.run(["gzip", "-k", path + ".bmap"], check=True)
    done = d.expect_exit(d.tool("report", path + ".bmap.gz"), 0)
    d.expect(done.out.splitlines()[1:] == plain.splitlines()[1:], "compressed", done)
    os.rename(path + ".bmap.gz", bed.path("strange"))
    d.expect_exit(d.tool("report", bed.path("strange")), 0)
    os.rename(path + ".bmap", bed.path("elsewhere"))
    done = d.expect_exit(d.tool("report", path, "--bmap", bed.path("elsewhere")), 0)
    d.expect(fact(done, "bmap file") == bed.path("elsewhere"), "--bmap", done)


def partitioned(bed):
    """64 MiB: GPT, partitions of 16 and 40 MiB; the first is mapped by a quarter."""
    d.require_program("sfdisk")
    path = bed.path("parts.img")
    with open(path, "wb") as f:
        f.truncate(64 * d.MIB)
    table = "label: gpt\nstart=1MiB,size=16MiB,name=first\nstart=20MiB,size=40MiB,name=\"zw\u00f6lf\"\n"
    done = subprocess.run(["sfdisk", "-q", path], input=table, text=True, capture_output=True)
    d.expect(done.returncode == 0, "sfdisk: %s" % done.stderr)
    with open(path, "r+b") as f:
        f.seek(2 * d.MIB)
        f.write(bed.rng.randbytes(4 * d.MIB))
    d.write_map(path + ".bmap", path, 64 * d.MIB, [(0, 5), (512, 1535), (16376, 16383)])
    return path


def partitions_of_an_image_are_told(bed):
    if os.environ.get("BMAP_NO_BLKID"):
        raise d.Skip("this build has no libblkid")
    path = partitioned(bed)
    done = d.expect_exit(d.tool("report", path), 0)
    d.expect(fact(done, "content") == "gpt", "the table", done)
    d.expect(re.search(r"^partition 1 +16.0 MiB at byte 1048576: unknown first, 25 % mapped$", done.out,
                       re.M), "the first partition", done)
    found = document(d.expect_exit(d.tool("report", "--json", path), 0))
    d.expect([(p["offset_bytes"], p["size_bytes"], p["mapped_bytes"]) for p in found["partitions"]] ==
             [(d.MIB, 16 * d.MIB, 4 * d.MIB), (20 * d.MIB, 40 * d.MIB, 0)], "%s" % found["partitions"])
    # An image of another size is not what the bmap is of.
    os.truncate(path, 63 * d.MIB)
    done = d.expect_exit(d.tool("report", path), 0)
    d.expect("content" not in done.out, "of another image", done)


def plot(*args):
    """What fontconfig keeps until the end (its list of fonts) is no leak of ours."""
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return d.tool("report", *args, env=dict(os.environ, ASAN_OPTIONS=options))


def a_picture_is_drawn(bed):
    done = plot("--plot", "x.svg", bed.path("absent"))
    if "without cairo" in done.err:
        raise d.Skip("this build has no cairo")
    path = partitioned(bed)
    svg, png = bed.path("p.svg"), bed.path("p.png")
    d.expect_exit(plot("--plot", svg, path), 0)
    root = xml.etree.ElementTree.parse(svg).getroot()
    d.expect(root.tag.endswith("svg") and len(list(root.iter())) > 20, "no picture")
    done = d.expect_exit(plot("--json", "--plot", png, path + ".bmap"), 0)
    document(done)
    data = content(png)
    d.expect(data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == struct.pack(">II", 1280, 300), "no PNG")
    for bad in ("p.pdf", ".svg", "svg"):
        d.expect_exit(plot("--plot", bad, path), 2)
    done = d.expect_exit(plot("--plot", bed.path("no/x.svg"), path), 1)
    d.expect(bed.path("no/x.svg") in done.err and fact(done, "version") == "2.0", "where", done)
    tiny = bed.path("tiny.img")  # fewer bytes than columns
    with open(tiny, "wb") as f:
        f.write(b"x" * 700)
    d.write_map(tiny + ".bmap", tiny, 700, [(0, 0)])
    d.expect_exit(plot("--plot", svg, "--map", tiny), 0)


def a_full_disk_is_a_failure(bed):
    path = image(bed)
    for option in ([], ["--json"], ["--ranges"], ["--diff", path]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([os.environ["BMAPTOOL"], "report", *option, path], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        d.expect(done.returncode == 1 and "standard output" in done.stderr, "%s" % done.stderr)


if __name__ == "__main__":
    sys.exit(d.main([facts_of_a_map_and_of_an_image_are_the_same, speeds_are_the_users,
                     ranges_are_listed_with_their_checksums, json_has_it_all, the_map_is_drawn,
                     two_maps_are_compared, broken_maps_are_shown_as_far_as_they_go,
                     other_forms_are_read, partitions_of_an_image_are_told, a_picture_is_drawn,
                     a_full_disk_is_a_failure]))
