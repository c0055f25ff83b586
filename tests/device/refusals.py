#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What must be refused is refused before a byte of it was changed, and the message says why."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 48 * d.MIB


def world(bed):
    image = d.random_image(bed.path("disk.img"), SIZE, 21, pieces=10)
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    d.check_run("zstd", "-1", "-q", image, "-o", image + ".zst")
    return image


def expect_refused(bed, image, target, backing, *words, options=(), kernels=(0, 0)):
    """kernels: bytes that the kernel may change meanwhile."""
    def looks():
        size = os.path.getsize(backing)
        return d.read_at(backing, 0, kernels[0]) + d.read_at(backing, kernels[1], size - kernels[1])

    before = looks()
    for source in (image, image + ".zst"):
        done = d.tool("copy", *options, "--bmap", bed.path("disk.bmap"), source, target)
        d.expect_exit(done, 1)
        for word in words:
            d.expect(word in done.err, "'%s' is not in the message" % word, done)
        d.expect(looks() == before, "%s was changed" % backing, done)


def a_mounted_device_is_refused_and_the_mount_named(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE)
    d.check_run("mkfs.ext4", "-q", target)
    where = bed.mount(target, "-o", "ro")
    expect_refused(bed, image, target, backing, target, where)


def a_disk_with_a_mounted_partition_is_refused(bed):
    d.require_loop()
    d.require_program("addpart", "delpart")
    image = world(bed)
    target, backing = bed.loop("target", SIZE)
    part = target + "p1"
    # Told to the kernel directly: it need not know any format of partition tables.
    done = d.run("addpart", target, "1", "2048", "65536")
    if done.code or not os.path.exists(part):
        raise d.Skip("no partitions on loop devices here: %s" % done.err.strip())
    bed.later(d.run, "delpart", target, "1")
    d.check_run("mkfs.ext4", "-q", part)
    where = bed.mount(part, "-o", "ro")
    expect_refused(bed, image, target, backing, where)


def a_device_held_by_another_is_refused(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE)
    fd = os.open(target, os.O_RDWR | os.O_EXCL)  # as swap, LVM, md and dm hold theirs
    try:
        expect_refused(bed, image, target, backing, target)
    finally:
        os.close(fd)


def a_device_used_as_swap_is_refused(bed):
    d.require_loop()
    d.require_program("mkswap", "swapon")
    image = world(bed)
    target, backing = bed.loop("target", SIZE, sector=4096)
    # So small that most of the device is left alone: it is used as soon as memory is short.
    d.check_run("mkswap", target, "1024")
    done = d.run("swapon", target)
    if done.code:
        raise d.Skip("swapon: %s" % done.err.strip())
    bed.later(d.run, "swapoff", target)
    expect_refused(bed, image, target, backing, target, "swap", kernels=(4096, d.MIB))


def a_read_only_device_is_refused(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE, read_only=True)
    expect_refused(bed, image, target, backing, target, "read-only")


def a_device_too_small_is_refused_with_both_sizes(bed):
    d.require_loop()
    image = world(bed)
    small = SIZE - d.MIB
    target, backing = bed.loop("target", small, pattern=True)
    expect_refused(bed, image, target, backing, target, str(small), str(SIZE))


def a_stream_longer_than_the_device_fails_with_a_blank_head(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE - d.MIB, pattern=True)
    for source in ("gz", "stdin"):
        d.pattern_fill(backing, 2 * d.MIB)
        d.drop_cache(target)
        if source == "gz":
            with open(image + ".gz", "wb") as out:
                d.subprocess.run(["gzip", "-1", "-c", image], stdout=out, check=True)
            done = d.tool("copy", "--nobmap", image + ".gz", target)
        else:
            with d.subprocess.Popen(["cat", image], stdout=d.subprocess.PIPE) as cat:
                done = d.tool("copy", "--nobmap", "-", target, stdin=cat.stdout)
        d.expect_exit(done, 1)
        d.drop_cache(target)
        d.expect(d.read_at(target, 0, d.MIB) == bytes(d.MIB), "%s: the head is not blank" % source, done)


def the_image_or_its_map_as_destination_is_refused_before_anything_is_truncated(bed):
    image = world(bed)
    bmap = bed.path("disk.bmap")
    link = bed.path("link.img")
    os.symlink(image, link)
    hard = bed.path("hard.img")
    os.link(image, hard)
    digests = {path: d.sha256_of(path) for path in (image, bmap)}
    for target in (image, link, hard, bmap):
        done = d.tool("copy", "--bmap", bmap, image, target)
        d.expect_exit(done, 1)
        for path, digest in digests.items():
            d.expect(d.sha256_of(path) == digest, "%s was changed" % path, done)
    done = d.tool("copy", "--nobmap", image, image)
    d.expect_exit(done, 1)
    d.expect(d.sha256_of(image) == digests[image], "the image was changed", done)


def a_loop_device_over_the_image_is_refused(bed):
    d.require_loop()
    image = world(bed)
    target = bed.attach(image)
    before = d.sha256_of(image)
    done = d.tool("copy", "--bmap", bed.path("disk.bmap"), image, target)
    d.expect_exit(done, 1)
    d.expect(d.sha256_of(image) == before, "the image was changed", done)
    # Also when the source is the device and the target the file, and device to itself.
    for source, dest in ((target, image), (target, target)):
        done = d.tool("copy", "--bmap", bed.path("disk.bmap"), source, dest)
        d.expect_exit(done, 1)
        d.expect(d.sha256_of(image) == before, "the image was changed", done)


def a_misspelt_device_is_no_new_file(bed):
    d.require_root()
    image = world(bed)
    name = "/dev/bmaptest-no-such-device"
    d.expect(not os.path.exists(name), "%s is there already" % name)
    bed.later(lambda path: os.path.exists(path) and os.unlink(path), name)
    done = d.tool("copy", "--bmap", bed.path("disk.bmap"), image, name)
    d.expect_exit(done, 1)
    d.expect(not os.path.exists(name), "%s was made" % name, done)
    done = d.tool("copy", "--allow-dev-files", "--bmap", bed.path("disk.bmap"), image, name)
    d.expect_exit(done, 0)


def removable_device_refuses_what_is_not_removable(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE, pattern=True)
    expect_refused(bed, image, target, backing, target, "removable", options=("--removable-device",))


def two_copies_to_one_device_do_not_mix(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE)
    feed = d.Feed(bed)
    first = d.start_tool("copy", "--bmap", bed.path("disk.bmap"), "-", target, stdin=feed.reader)
    feed.started()
    feed.give(image, SIZE // 2)
    d.time.sleep(0.5)
    second = d.tool("copy", "--bmap", bed.path("disk.bmap"), image, target)
    d.expect_exit(second, 1)
    rest = bed.path("rest")
    with open(image, "rb") as f, open(rest, "wb") as out:
        f.seek(SIZE // 2)
        d.shutil.copyfileobj(f, out)
    feed.give(rest, SIZE)
    feed.close()
    d.expect_exit(first.wait(), 0)
    d.expect_exit(d.tool("verify", "--bmap", bed.path("disk.bmap"), target), 0)
    del backing


def verify_names_what_was_changed_on_the_device(bed):
    d.require_loop()
    image = world(bed)
    target, backing = bed.loop("target", SIZE)
    d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), image, target), 0)
    bmap = d.Map(bed.path("disk.bmap"))
    at, _length = bmap.ranges[1]
    with open(backing, "r+b") as f:
        f.seek(at)
        f.write(b"!!")
    d.drop_cache(target)
    done = d.expect_exit(d.tool("verify", "--bmap", bed.path("disk.bmap"), target), 1)
    d.expect(str(at // bmap.block) in done.err, "block %d is not named" % (at // bmap.block), done)


if __name__ == "__main__":
    sys.exit(d.main([
        a_mounted_device_is_refused_and_the_mount_named,
        a_disk_with_a_mounted_partition_is_refused,
        a_device_held_by_another_is_refused,
        a_device_used_as_swap_is_refused,
        a_read_only_device_is_refused,
        a_device_too_small_is_refused_with_both_sizes,
        a_stream_longer_than_the_device_fails_with_a_blank_head,
        the_image_or_its_map_as_destination_is_refused_before_anything_is_truncated,
        a_loop_device_over_the_image_is_refused,
        a_misspelt_device_is_no_new_file,
        removable_device_refuses_what_is_not_removable,
        two_copies_to_one_device_do_not_mix,
        verify_names_what_was_changed_on_the_device,
    ], need_bytes=4 * SIZE))
