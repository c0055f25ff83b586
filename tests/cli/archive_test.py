#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Images in archives: which file is taken, what is said about it, and what is refused."""
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile

from common import RANGES, SIZE, content, d, expect_copied, image


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def zstd_of(data):
    return subprocess.run(["zstd", "-q", "-1", "-c"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


FORMS = [("tar", tar_of), ("tar.gz", lambda m: gzip.compress(tar_of(m), 1)),
         ("tar.xz", lambda m: lzma.compress(tar_of(m), preset=0)),
         ("tar.zst", lambda m: zstd_of(tar_of(m))), ("zip", zip_of)]


def put(bed, name, data):
    path = bed.path(name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def a_member_is_taken_by_its_name(bed):
    source = image(bed)
    data = content(source)
    members = [("readme.txt", b"read me"), ("images/disk.img", data), ("other", b"x" * 3000)]
    for suffix, make in FORMS:
        path = put(bed, "disk.img." + suffix, make(members))
        for name in ("disk.img", "images/disk.img"):
            done = d.expect_exit(d.tool("copy", "--member", name, path, bed.path("out")), 0)
            expect_copied(source, bed.path("out"))
            d.expect("--member" not in done.err, "nothing was to be said", done)
        done = d.expect_exit(d.tool("verify", "--member=disk.img", path), 0)
        d.expect("4 ranges match" in done.err, "not verified", done)
        done = d.expect_exit(d.tool("copy", "--nobmap", path, bed.path("out")), 0)
        d.expect("%s: taking 'readme.txt', the first of 3 files: --member NAME" % path in done.err,
                 "the choice is not said", done)
        d.expect(content(bed.path("out")) == b"read me", "another file", done)
        done = d.expect_exit(d.tool("copy", "--nobmap", "--member=disk", path, bed.path("out")), 1)
        d.expect("no file 'disk'" in done.err and "'images/disk.img'" in done.err and
                 path in done.err, "the names are not listed", done)


def from_a_pipe_it_is_the_same(bed):
    source = image(bed)
    data = content(source)
    for suffix, make in FORMS:
        path = put(bed, "packed", make([("a", b"a"), ("disk.img", data)]))
        done = subprocess.run("cat '%s' | '%s' copy --member disk.img --bmap '%s.bmap' - '%s'" %
                              (path, d.BMAPTOOL, source, bed.path("out")), shell=True,
                              stderr=subprocess.PIPE, text=True)
        d.expect(done.returncode == 0, "%s: %s" % (suffix, done.stderr))
        expect_copied(source, bed.path("out"))


def what_is_no_archive_has_no_member(bed):
    source = image(bed)
    packed = put(bed, "disk.img.gz", gzip.compress(content(source), 1))
    for path in (source, packed):
        for argv in (["copy", "--member=x", path, bed.path("out")], ["verify", "--member=x", path]):
            done = d.expect_exit(d.tool(*argv), 1)
            d.expect("%s: is no archive" % path in done.err, "no reason", done)
    d.expect(not os.path.exists(bed.path("out")), "something was written")


def the_content_decides_and_another_name_is_said(bed):
    source = image(bed)
    data = content(source)
    cases = [("disk.tar.gz", gzip.compress(data, 1), "the name says tar"),
             ("disk.tgz", gzip.compress(data, 1), "the name says tar"),
             ("disk.gz", gzip.compress(tar_of([("disk.img", data)]), 1), "nothing of a tar"),
             ("disk.tar", data, "the name says tar, but the content is not compressed"),
             ("disk.tar.gz", zip_of([("disk.img", data)]), "the name says gzip, but"),
             ("disk.zip", data, "the name says zip"),
             ("disk.tgz", gzip.compress(tar_of([("disk.img", data)]), 1), None),
             ("download", gzip.compress(tar_of([("disk.img", data)]), 1), None)]
    for name, packed, words in cases:
        path = put(bed, name, packed)
        done = d.expect_exit(d.tool("copy", "--bmap", source + ".bmap", path, bed.path("out")), 0)
        expect_copied(source, bed.path("out"))
        if words:
            d.expect(words in done.err, "no line with %r" % words, done)
        else:
            d.expect("the name says" not in done.err, "the name is right", done)


def an_archive_shows_behind_a_first_block_of_any_size(bed):
    """zstd leaves noise as blocks of 128 KiB: nothing comes out before one is there."""
    source = bed.path("disk.img")
    noise = bed.rng.randbytes(SIZE)
    put(bed, "disk.img", noise)
    d.write_map(source + ".bmap", source, SIZE, RANGES)
    path = put(bed, "disk.img.tar.zst", zstd_of(tar_of([("disk.img", noise)])))
    d.expect_exit(d.tool("copy", "--nobmap", path, bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    done = subprocess.run("cat '%s' | '%s' copy --nobmap - '%s'" %
                          (path, d.BMAPTOOL, bed.path("out")), shell=True)
    d.expect(done.returncode == 0, "from a pipe")
    expect_copied(source, bed.path("out"))


def damage_inside_and_outside_is_told_apart(bed):
    tar = tar_of([("disk.img", content(image(bed)))])
    header = tar.index(b"ustar")
    cases = [(gzip.compress(tar[:len(tar) // 2]), "the tar data ends at offset"),
             (gzip.compress(tar)[:-5], "the gzip data ends at offset"),
             (gzip.compress(tar + b"x"), "bytes behind the end of the tar data"),
             (gzip.compress(tar) + b"x", "bytes behind the end of the gzip data")]
    d.expect(header == 257, "no pax header in front is expected")
    for packed, words in cases:
        path = put(bed, "disk.img.tar.gz", packed)
        for argv in (["--nobmap"], ["--bmap", bed.path("disk.img.bmap")]):
            done = d.expect_exit(d.tool("copy", *argv, path, bed.path("out")), 1)
            d.expect(words in done.err and path in done.err, "no line with %r" % words, done)


if __name__ == "__main__":
    sys.exit(d.main([
        a_member_is_taken_by_its_name,
        from_a_pipe_it_is_the_same,
        what_is_no_archive_has_no_member,
        the_content_decides_and_another_name_is_said,
        an_archive_shows_behind_a_first_block_of_any_size,
        damage_inside_and_outside_is_told_apart,
    ]))
