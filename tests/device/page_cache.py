#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes go past the page cache: whoever looks at the device meanwhile, as udev and blkid do, must not
keep anybody from seeing what was written."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 24 * d.MIB
READER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.lseek(fd, 0, os.SEEK_END)
print("open", flush=True)
while True:
    for at in range(0, size, 1 << 20):
        os.pread(fd, 1 << 20, at)
"""


def a_reader_does_not_make_old_bytes_stay(bed):
    d.require_loop()
    image = d.random_image(bed.path("disk.img"), SIZE, 5, pieces=6)
    target, _ = bed.loop("target", SIZE)
    with open(image, "rb") as f:
        wanted = f.read()
    # Slow, so that a write is in flight for long: what is read then stands in the cache before it.
    enter, _group = bed.limited_cgroup(target, 16 * d.MIB)
    reader = subprocess.Popen([sys.executable, "-c", READER, target], stdout=subprocess.PIPE)
    try:
        reader.stdout.readline()
        d.expect_exit(d.tool("copy", "--nobmap", image, target, preexec_fn=enter), 0)
        # Through the page cache, as mount does; the reader keeps it from being dropped.
        with open(target, "rb") as f:
            found = f.read(SIZE)
        stale = [i for i in range(0, SIZE, 4096) if found[i:i + 4096] != wanted[i:i + 4096]]
        d.expect(not stale, "%d blocks look as before, the first at %d" %
                 (len(stale), stale[0] if stale else 0))
    finally:
        reader.kill()
        reader.wait()


if __name__ == "__main__":
    sys.exit(d.main([a_reader_does_not_make_old_bytes_stay]))
