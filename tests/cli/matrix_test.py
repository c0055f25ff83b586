#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every form of an image, from a file, a pipe and a server, with a bmap and without, byte for byte.

BMAP_TEST_MATRIX_MIB: size of the image, 48 unless told; the long run of the tests takes 1024."""
import os
import subprocess
import sys

from common import content, d
from http_server import HttpServer
from packing import FORMS, sparse_image

MIB = int(os.environ.get("BMAP_TEST_MATRIX_MIB", "48"))
TIMEOUT_S = 60 + MIB // 2
NO_PROXY = {"HOME": "/nonexistent", "http_proxy": "", "all_proxy": "", "no_proxy": "*"}
world = {}


def shared_image():
    """One for all cases: (image, what a bmap lets through, bmap)."""
    if not world:
        bed = d.Bed("matrix", 3 * MIB * d.MIB)
        d.atexit_close(bed)
        image = bed.path("disk.img")
        ranges = sparse_image(image, MIB, bed.rng)
        world.update(image=image, mapped=image + ".mapped",
                     bmap=d.write_map(bed.path("disk.bmap"), image, os.path.getsize(image), ranges))
    return world["image"], world["mapped"], world["bmap"]


def expect_same(got, want, what):
    """Like cmp(1): where they differ first."""
    step = 4 * d.MIB
    d.expect(os.path.getsize(got) == os.path.getsize(want),
             "%s: %d bytes, not %d" % (what, os.path.getsize(got), os.path.getsize(want)))
    with open(got, "rb", buffering=0) as a, open(want, "rb", buffering=0) as b:
        at = 0
        while True:
            one, two = a.read(step), b.read(step)
            if one != two:
                first = next(n for n in range(step) if one[n:n + 1] != two[n:n + 1])
                raise d.Fail("%s: differs at byte %d" % (what, at + first))
            if not one:
                return
            at += len(one)


def copy_all(bed, packed, source):
    """Both ways: with the bmap, and whole."""
    image, mapped, bmap = shared_image()
    dest = bed.path("out.img")
    for options, want in (["--bmap", bmap], mapped), (["--nobmap"], image):
        done = d.expect_exit(source(packed, options, dest), 0)
        expect_same(dest, want, "%s %s" % (" ".join(done.argv), options[0]))
        os.unlink(dest)


def by_file(packed, options, dest):
    return d.tool("copy", *options, packed, dest, timeout=TIMEOUT_S)


def by_pipe(packed, options, dest):
    cat = subprocess.Popen(["cat", packed], stdout=subprocess.PIPE)
    try:
        return d.tool("copy", *options, "-", dest, stdin=cat.stdout, timeout=TIMEOUT_S)
    finally:
        cat.stdout.close()
        cat.wait()


def by_http(server, packed):
    url = server.url("/" + os.path.basename(packed))
    return lambda _packed, options, dest: d.tool("copy", *options, url, dest, env=NO_PROXY,
                                                 timeout=TIMEOUT_S)


def case_of(form):
    def case(bed):
        form.require()
        image = shared_image()[0]
        packed = form.pack(image, bed.path("disk.img" + form.suffix))
        copy_all(bed, packed, by_file)
        copy_all(bed, packed, by_pipe)
        if os.environ.get("BMAP_NO_CURL"):
            print("# %s: not from a server: built without libcurl" % form)
            return
        server = HttpServer({"/" + os.path.basename(packed): content(packed)})
        bed.later(server.close)
        copy_all(bed, packed, by_http(server, packed))
    words = form.name.replace(" ", "_").replace(".", "_")
    case.__name__ = "%s_gives_the_image_from_a_file_a_pipe_and_a_server" % words
    case.need_bytes = 3 * MIB * d.MIB
    return case


if __name__ == "__main__":
    sys.exit(d.main([case_of(form) for form in FORMS]))
