#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool list: what a device is, what is on it, and why it would not be written to."""
import fcntl
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
import schema  # noqa: E402

SIZE = 64 * d.MIB
GPT = "label: gpt\nstart=2048,size=20480,name=EFIPART\nsize=40960,name=ROOTPART\nsize=8192,name=DATA\n"
PARTS = [(2048, 20480), (22528, 40960), (63488, 8192)]


def documents(*args, code=0):
    done = d.expect_exit(d.tool("list", "--json", *args), code)
    found = json.loads(done.out)
    problem = schema.problem([found], "list.schema.json")
    d.expect(not problem, "not as its schema says: %s" % problem, done)
    return found["devices"]


def document(device):
    found = documents(device)
    d.expect(len(found) == 1 and found[0]["path"] == os.path.realpath(device), "another: %s" % found)
    return found[0]


def row(device):
    done = d.expect_exit(d.tool("list", device), 0)
    lines = done.out.splitlines()
    d.expect(len(lines) == 2 and lines[0].startswith("DEVICE "), "a title and a line expected", done)
    d.expect(lines[1].startswith(device + " "), "another device", done)
    return lines[1]


def expect_facts(found, **facts):
    for name, value in facts.items():
        d.expect(found[name] == value, "%s is %r, %r expected" % (name, found[name], value))


def needs_blkid():
    if os.environ.get("BMAP_NO_BLKID"):
        raise d.Skip("built without libblkid")


def gpt(bed):
    """(device, backing) with EFI (vfat), rootfs (ext4), and a partition without a file system."""
    d.require_loop()
    d.require_program("sfdisk", "mkfs.vfat", "mkfs.ext4")
    device, backing = bed.loop("disk", SIZE)
    d.check_run("sh", "-c", 'printf "%s" | sfdisk -q --no-reread --no-tell-kernel "%s"' % (
        GPT.replace("\n", "\\n"), device))
    for (start, size), argv in zip(PARTS, (("mkfs.vfat", "-n", "EFI"),
                                           ("mkfs.ext4", "-q", "-L", "rootfs"))):
        part = bed.path("part")
        with open(part, "wb") as f:
            f.truncate(size * 512)
        d.check_run(*argv, part)
        d.check_run("dd", "if=" + part, "of=" + device, "bs=512", "seek=%d" % start, "conv=notrunc",
                    "status=none")
    return device, backing


def a_disk_is_listed_with_what_is_on_it(bed):
    needs_blkid()
    device, backing = gpt(bed)
    found = document(device)
    expect_facts(found, model=backing, transport="loop", size_bytes=SIZE, logical_block_bytes=512,
                 content="gpt", label=None, mounted_at=None, refusal=None, removable=False,
                 read_only=False, usb_path=None)
    parts = [(p["offset_bytes"] // 512, p["size_bytes"] // 512) for p in found["parts"]]
    d.expect(parts == PARTS, "partitions at %s" % parts)
    names = [(p["type"], p["label"]) for p in found["parts"]]
    d.expect(names == [("vfat", "EFI"), ("ext4", "rootfs"), (None, "DATA")], "on them: %s" % names)
    line = row(device)
    d.expect("gpt: vfat EFI, ext4 rootfs, ? DATA" in line and line.endswith("  ok"), line)
    d.expect("64.0 MiB" in line and "loop" in line, line)


def a_mounted_partition_is_named_with_its_place(bed):
    needs_blkid()
    d.require_program("addpart", "delpart")
    device, _ = gpt(bed)
    for number, (start, size) in enumerate(PARTS, 1):
        done = d.run("addpart", device, str(number), str(start), str(size))
        if done.code or not os.path.exists(device + "p1"):
            raise d.Skip("no partitions on loop devices here: %s" % done.err.strip())
        bed.later(d.run, "delpart", device, str(number))
    where = bed.mount(device + "p2")
    found = document(device)
    d.expect([p["path"] for p in found["parts"]] == [device + "p%d" % n for n in (1, 2, 3)],
             "paths: %s" % found["parts"])
    d.expect([p["mounted_at"] for p in found["parts"]] == [None, where, None], "mounts: %s" % found)
    d.expect("mounted" in found["refusal"] and where in found["refusal"], "refusal: %s" % found)
    d.expect("refused" not in found["refusal"] and not found["refusal"].startswith(device),
             "refusal begins like an error: %s" % found)
    line = row(device)
    d.expect("ext4 rootfs (mounted at %s)" % where in line and line.endswith(found["refusal"]), line)
    # A partition by itself: the first is free, and is not what its neighbour is.
    expect_facts(document(device + "p1"), content="vfat", label="EFI", mounted_at=None, refusal=None,
                 size_bytes=PARTS[0][1] * 512, parts=[])
    part = document(device + "p2")
    expect_facts(part, content="ext4", label="rootfs", mounted_at=where)
    d.expect(where in part["refusal"], "refusal: %s" % part)


def copy_refuses_with_the_same_words(bed):
    device, backing = gpt(bed)
    image = d.random_image(bed.path("image"), 4 * d.MIB, 3, pieces=2)
    other, _ = bed.loop("ext4", SIZE)
    d.check_run("mkfs.ext4", "-q", "-L", "whole", other)
    where = bed.mount(other)
    read_only = bed.attach(backing, read_only=True)
    held = os.open(device, os.O_RDWR | os.O_EXCL)
    bed.later(os.close, held)
    for target, word in ((other, where), (read_only, "read-only"), (device, "another program")):
        found = document(target)
        d.expect(found["refusal"] and word in found["refusal"], "refusal: %s" % found)
        done = d.expect_exit(d.tool("copy", "--nobmap", image, target), 1)
        d.expect("%s: refused: %s" % (target, found["refusal"]) in done.err, "other words", done)
    if not os.environ.get("BMAP_NO_BLKID"):
        expect_facts(document(other), content="ext4", label="whole", mounted_at=where, parts=[])
        d.expect("ext4 whole (mounted at %s)" % where in row(other), row(other))
    expect_facts(document(read_only), read_only=True)


def a_disk_that_is_being_written_is_left_alone(bed):
    device, _ = gpt(bed)
    with open(device, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        found = document(device)
    d.expect("locked" in found["refusal"], "refusal: %s" % found)
    expect_facts(found, content=None, parts=[])
    expect_facts(document(device), refusal=None)


def labels_cannot_command_a_terminal(bed):
    needs_blkid()
    d.require_loop()
    device, _ = bed.loop("disk", SIZE)
    d.check_run("mkfs.ext4", "-q", "-L", "a\x1b[31m\n\u202eb\udcff", device)
    found = document(device)
    d.expect(found["label"] == "a?[31m????b?", "label: %r" % found["label"])
    d.expect("ext4 a?[31m????b?" in row(device), row(device))


def only_what_has_a_medium_is_shown_without_all(bed):
    d.require_loop()
    device, _ = bed.loop("disk", d.MIB)
    empty, _ = bed.loop("gone", d.MIB)
    d.detach(empty)
    shown, every = documents(), documents("--all")
    d.expect(all(x["size_bytes"] and x["transport"] != "ram" for x in shown), "shown: %s" % shown)
    d.expect(device in [x["path"] for x in shown], "%s is not shown: %s" % (device, shown))
    paths = [x["path"] for x in every]
    d.expect(device in paths and empty in paths, "not all: %s" % paths)
    for disk in os.listdir("/sys/block"):
        if disk.startswith(("zram", "ram")):
            d.expect("/dev/" + disk in paths, "%s is not among all" % disk)
    found = [x for x in every if x["path"] == empty][0]
    if not found["size_bytes"]:  # else another program took it meanwhile
        d.expect("medium" in found["refusal"], "refusal: %s" % found)
    d.expect(empty + " " in d.tool("list", "--all").out, "not in the table")


def udev_is_asked_for_what_sysfs_does_not_say(bed):
    if os.environ.get("BMAP_NO_UDEV"):
        raise d.Skip("built without libudev")
    d.require_program("unshare")
    device, backing = bed.loop("disk", d.MIB)
    number = os.stat(device).st_rdev
    with open(bed.path("record"), "w") as f:
        f.write("I:1\nE:ID_MODEL_ENC=%s\\x20and\\x1bmore\nE:ID_SERIAL_SHORT=S-1\n" % backing)
    done = d.run("unshare", "-m", "sh", "-e", "-c", """
        made=; [ -d /run/udev ] || { mkdir /run/udev; made=1; }
        mount -t tmpfs none /run/udev
        mkdir /run/udev/data
        cp "$1" "/run/udev/data/b$2"
        "$3" list --json "$4"
        umount /run/udev
        [ -z "$made" ] || rmdir /run/udev
        """, "sh", bed.path("record"), "%d:%d" % (os.major(number), os.minor(number)), d.BMAPTOOL, device)
    if done.code:
        raise d.Skip("no udev database can be made here: %s" % done.err.strip())
    found = json.loads(done.out)["devices"][0]
    expect_facts(found, model=backing + " and?more", serial="S-1")


def what_is_no_device_is_an_error_and_the_others_are_shown(bed):
    device, _ = bed.loop("disk", d.MIB)
    os.symlink(device, bed.path("link"))
    done = d.expect_exit(d.tool("list", "--json", "/dev/null", bed.path("link"), bed.path("none")), 1)
    d.expect([x["path"] for x in json.loads(done.out)["devices"]] == [device], "others", done)
    d.expect("/dev/null: is no block device" in done.err and bed.path("none") in done.err, "errors", done)
    with open("/dev/full", "w") as full:
        done = subprocess.run([d.BMAPTOOL, "list", device], stdout=full, stderr=subprocess.PIPE, text=True)
    d.expect(done.returncode == 1 and "standard output" in done.stderr, "a full disk passes: %s" % done)


CASES = [
    a_disk_is_listed_with_what_is_on_it,
    a_mounted_partition_is_named_with_its_place,
    copy_refuses_with_the_same_words,
    a_disk_that_is_being_written_is_left_alone,
    labels_cannot_command_a_terminal,
    only_what_has_a_medium_is_shown_without_all,
    udev_is_asked_for_what_sysfs_does_not_say,
    what_is_no_device_is_an_error_and_the_others_are_shown,
]

if __name__ == "__main__":
    sys.exit(d.main(CASES))
