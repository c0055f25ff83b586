#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One image to several devices: each has its own verdict, and who fails does so alone."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import device as d  # noqa: E402
from common import on_terminal  # noqa: E402

SIZE = 24 * d.MIB


class World:
    """An image with its map, and what a device with our pattern looks like after it."""

    def __init__(self, bed):
        d.require_loop()
        self.bed = bed
        self.image = d.random_image(bed.path("disk.img"), SIZE, 77, pieces=10)
        d.expect_exit(d.tool("create", "-o", self.image + ".bmap", self.image), 0)
        self.map = d.Map(self.image + ".bmap")
        self.old = bed.path("old")
        d.pattern_fill(self.old, SIZE)
        new = bed.path("new")
        d.pattern_fill(new, SIZE)
        d.overlay(self.image, new, self.map.ranges)
        self.new = new
        self.good, self.untouched = d.sha256_of(new), d.sha256_of(self.old)

    def targets(self, count=3):
        return [self.bed.loop("target%d" % i, SIZE, pattern=True)[0] for i in range(count)]

    def copy(self, code, *args):
        return d.expect_exit(d.tool("copy", self.image, *args), code)

    def expect(self, done, device, digest, what):
        d.drop_cache(device)
        if d.sha256_of(device) != digest:
            raise d.Fail("%s is not %s: %s: %s" % (device, what, self.difference(device), done))

    def difference(self, device):
        """Which blocks are not what the image makes of them, and what is there instead."""
        found, new, old = (d.read_at(path, 0, SIZE) for path in (device, self.new, self.old))
        wrong = [at for at in range(0, SIZE, 4096) if found[at:at + 4096] != new[at:at + 4096]]
        stale = sum(found[at:at + 4096] == old[at:at + 4096] for at in wrong)
        behind = d.run("losetup", "-n", "-O", "BACK-FILE", device).out.strip()
        return "%d blocks from %s to %s, %d of them as before, over %s" % (
            len(wrong), wrong[:1], wrong[-1:], stale, behind)

    def expect_done(self, done, *devices):
        for device in devices:
            level, row = row_of(done, device)
            d.expect(level == "info" and re.match("(done|read back) ", row), "a row of something done: %s"
                     % row, done)
            self.expect(done, device, self.good, "good")

    def expect_untouched(self, done, *devices):
        for device in devices:
            self.expect(done, device, self.untouched, "as it was")


def row_of(done, name):
    """The table's line for a target: (level, what stands behind the name)."""
    rows = re.findall(r"^bmaptool: (info: |ERROR:) (?:\.\.\.)?%s +(.*)$" % re.escape(name), done.err, re.M)
    d.expect(len(rows) == 1, "%d rows for %s" % (len(rows), name), done)
    return rows[0][0].strip(": "), rows[0][1]


def expect_failed(done, name, *words):
    level, row = row_of(done, name)
    d.expect(level == "ERROR" and row.startswith("failed"), "a row of something failed: %s" % row, done)
    for word in words:
        d.expect(word in row, "%r is not in the row %r" % (word, row), done)


def who_is_refused_ends_alone(bed):
    world = World(bed)
    mounted, _ = bed.loop("mounted", SIZE)
    d.check_run("mkfs.ext4", "-q", mounted)
    where = bed.mount(mounted, "-o", "ro")
    small, _ = bed.loop("small", SIZE - d.MIB, pattern=True)
    read_only, _ = bed.loop("read-only", SIZE, pattern=True, read_only=True)
    good = world.targets(2)
    for bad, words in ((small, (str(SIZE - d.MIB), str(SIZE))), (mounted, (where,)),
                       (read_only, ("read-only",)), ("/no/such/target", ("No such file",))):
        before = d.sha256_of(bad) if os.path.exists(bad) else None
        for place in range(3):
            for device in good:
                d.pattern_fill(device, SIZE)
            names = good[:]
            names.insert(place, bad)
            done = world.copy(1, *names)
            expect_failed(done, bad, *words)
            world.expect_done(done, *good)
            d.expect(done.err.splitlines()[-1].endswith("1 of 3 targets failed: " + bad), "who", done)
            d.expect(before is None or d.sha256_of(bad) == before, "%s was changed" % bad, done)


def a_disk_named_twice_refuses_all(bed):
    d.require_program("addpart", "delpart")
    world = World(bed)
    first, second = world.targets(2)
    link = bed.path("by-id-of-second")
    os.symlink(second, link)
    pairs = [(second, second), (link, second), (second, link)]
    part = second + "p1"
    if d.run("addpart", second, "1", "2048", "8192").code == 0 and os.path.exists(part):
        bed.later(d.run, "delpart", second, "1")
        pairs += [(part, second), (second, part), (link, part)]
    else:
        bed.note("no partitions on loop devices here")
    for a, b in pairs:
        done = world.copy(1, a, first, b)
        d.expect("%s and %s are the same disk: name each once" % (a, b) in done.err, "not said", done)
        world.expect_untouched(done, first, second)


def a_loop_device_and_the_file_behind_it_refuse_all(bed):
    world = World(bed)
    target, backing = bed.loop("target", SIZE, pattern=True)
    done = world.copy(1, target, backing)
    d.expect("name each once" in done.err, "not said", done)
    world.expect_untouched(done, target)


def who_fails_in_the_middle_ends_alone_with_a_blank_head(bed):
    world = World(bed)
    good = world.targets(2)
    # A file that has all of its size, on a file system that has the room for a part of it.
    full = bed.path("full")
    os.mkdir(full)
    d.check_run("mount", "-t", "tmpfs", "-o", "size=6m", "none", full)
    bed.later(d.unmount, full)
    with open(os.path.join(full, "disk"), "wb") as f:
        f.write(b"\xa5" * d.MIB)
        f.truncate(SIZE)
    bad = bed.attach(os.path.join(full, "disk"))
    for place in range(3):
        for device in good:
            d.pattern_fill(device, SIZE)
        names = good[:]
        names.insert(place, bad)
        done = world.copy(1, *names, "/dev/full")
        expect_failed(done, bad, "cannot write")
        d.expect(re.search(r" sector \d+ ", row_of(done, bad)[1]), "no sector", done)
        expect_failed(done, "/dev/full", "No space left")
        world.expect_done(done, *good)
        d.expect_head_blank(bad, world.map)


def a_broken_image_leaves_every_head_blank(bed):
    world = World(bed)
    targets = world.targets(3)
    at, length = world.map.ranges[-1]
    with open(world.image, "r+b") as f:
        f.seek(at + length - 3)
        f.write(b"!!!")
    for _ in range(20):
        done = world.copy(1, *targets)
        d.expect(done.err.count("checksum mismatch") == 1, "said once", done)
        if "verdict" in done.err:
            break
        world.expect_untouched(done, *targets)  # it was found before anything was written
    else:
        raise d.Skip("it was always found before anything was written")
    for target in targets:
        expect_failed(done, target)
        d.expect_head_blank(target, world.map)


def linked(bed, kind, name, device):
    """What udev would make; where it runs it is not asked."""
    folder = "/dev/disk/" + kind
    for path in ("/dev/disk", folder):
        if not os.path.isdir(path):
            os.mkdir(path)
            bed.later(os.rmdir, path)
    link = os.path.join(folder, name)
    os.symlink("../../" + os.path.basename(device), link)
    bed.later(os.unlink, link)


def targets_can_be_named_by_a_pattern(bed):
    world = World(bed)
    stick, other, third = world.targets(3)
    linked(bed, "by-id", "bmaptest-Stick_1", stick)
    linked(bed, "by-id", "bmaptest-Stick_2", other)
    linked(bed, "by-path", "bmaptest-pci-3", third)
    done = world.copy(0, "--target-by", "by-id", "bmaptest-Stick*", "--target-by=by-path", "bmaptest-pci-?")
    world.expect_done(done, stick, other, third)
    for device in (stick, other, third):
        d.pattern_fill(device, SIZE)
    done = world.copy(0, "--target-by", "by-id", "*Stick_1", third)
    world.expect_done(done, stick, third)
    world.expect_untouched(done, other)
    # What matches nothing, and what is meant twice, writes nothing.
    d.pattern_fill(stick, SIZE)
    done = world.copy(1, stick, "--target-by", "by-id", "bmaptest-Card*")
    d.expect("by-id name like 'bmaptest-Card*'" in done.err, "not named", done)
    done = world.copy(1, stick, "--target-by", "by-id", "bmaptest-*_1")
    d.expect("name each once" in done.err, "not said", done)
    world.expect_untouched(done, stick, other)


def what_does_not_belong_on_the_line_is_refused(bed):
    world = World(bed)
    right, wrong = world.targets(1)[0], bed.loop("large", 2 * SIZE, pattern=True)[0]
    large = d.sha256_of(wrong)

    def unchanged(done):
        world.expect(done, wrong, large, "as it was")
    for size in (str(SIZE), "24M", "24M+-0.1%", "25MB\u00b11%", "30M+-25"):
        d.pattern_fill(right, SIZE)
        done = world.copy(1, "--expect-size", size, right, wrong)
        expect_failed(done, wrong, "expected")
        world.expect_done(done, right)
        unchanged(done)
    d.pattern_fill(right, SIZE)
    for args, word in ((["--expect-size", "32GB+-5"], "expected"), (["--expect-model", "Stick*"], "Stick*"),
                       (["--expect-count", "1"], "1 is expected"), (["--expect-count", "3"], "3 are expected")):
        done = world.copy(1, *args, right, wrong)
        d.expect(word in done.err and "copying image" not in done.err, "refused first of all", done)
        world.expect_untouched(done, right)
        unchanged(done)
    done = world.copy(0, "--expect-count", "2", "--expect-size", "36M+-50%", right, wrong)
    world.expect_done(done, right)


def a_terminal_shows_reading_back_as_a_step_of_its_own(bed):
    world = World(bed)
    first, second = world.targets(2)
    enter, group = bed.limited_cgroup(first, 64 * d.GIB, 8 * d.MIB)
    code, shown = on_terminal("copy", "--read-back", world.image, first, before=enter)
    d.expect(code == 0, shown)
    steps = [int(x) for x in re.findall(r"\d+% copied, reading back (\d+)% \[", shown)]
    d.expect(len(set(steps)) >= 3 and steps == sorted(steps), "%s in %r" % (steps, shown))
    d.expect(re.search(r"reading back \d+% \[#*\.*\], \d+\.\d MiB/s, 0:0\d left", shown), "%r" % shown)
    d.expect("all as it was written" in shown and "100% copied [" in shown, "%r" % shown)
    code, shown = on_terminal("copy", world.image, first, second, before=enter)
    d.expect(code == 0, shown)
    steps = [int(x) for x in re.findall(r"%s +(\d+)%% \[#*\.*\] +\d+\.\d MiB/s  reading back, 0:0\d left"
                                        % first, shown)]
    d.expect(len(set(steps)) >= 3 and steps == sorted(steps), "%s in %r" % (steps, shown))
    d.expect(re.search(r"%s +100%% \[#+\] +done in " % second, shown), "it waits: %r" % shown)
    d.expect("1 reading back, 1 done" in shown, "%r" % shown)


if __name__ == "__main__":
    sys.exit(d.main([
        who_is_refused_ends_alone,
        a_disk_named_twice_refuses_all,
        a_loop_device_and_the_file_behind_it_refuse_all,
        who_fails_in_the_middle_ends_alone_with_a_blank_head,
        a_broken_image_leaves_every_head_blank,
        targets_can_be_named_by_a_pattern,
        what_does_not_belong_on_the_line_is_refused,
        a_terminal_shows_reading_back_as_a_step_of_its_own,
    ], need_bytes=12 * SIZE))
