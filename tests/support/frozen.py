# SPDX-License-Identifier: MIT
"""A device that stops to answer, for the device tests."""
import os

import device as d

# What the kernel may still use when a target is given up is left alone on purpose: no leak to report.
ABANDONS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "exitcode=99") + ":detect_leaks=0"}


class Frozen:
    """A loop device whose backing file lies on a file system that can be frozen: from then on no write
    is answered, and none fails either, like a device that hangs."""

    def __init__(self, bed, size):
        d.require_loop()
        d.require_program("fsfreeze", "mkfs.ext4")
        host, backing = bed.loop("host", size + size // 4 + 64 * d.MIB)
        del backing
        d.check_run("mkfs.ext4", "-q", "-F", host)
        self.where = bed.mount(host)
        self.frozen = False
        self.backing = os.path.join(self.where, "target")
        d.pattern_fill(self.backing, size)
        self.device = bed.attach(self.backing)
        bed.later(self.thaw)  # before the detach and the unmount: they wait for ever else

    def freeze(self):
        self.frozen = True
        d.check_run("fsfreeze", "-f", self.where)

    def thaw(self):
        if self.frozen:
            d.run("fsfreeze", "-u", self.where, timeout=20)
            self.frozen = False
