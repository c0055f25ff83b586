#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What programs are told of devices: who they are, and where exactly they failed."""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
import schema  # noqa: E402

SIZE = 24 * d.MIB
BAD = 9 * d.MIB  # where the image cannot be read


def image_of(bed):
    """A map of one range, so that every address is written."""
    image = bed.path("disk.img")
    with open(image, "wb") as f:
        f.write(bed.rng.randbytes(SIZE))
    d.expect_exit(d.tool("create", "-o", image + ".bmap", image), 0)
    return image


def on_a_disk_that_forgot_it(bed, image):
    """A copy of the image where some bytes cannot be read: its file system knows their checksums."""
    d.require_program("mkfs.btrfs")
    disk, backing = bed.loop("disk", 256 * d.MIB)
    done = d.run("mkfs.btrfs", "-q", "-d", "single", "-m", "single", disk)
    if done.code:
        raise d.Skip("mkfs.btrfs: %s" % done.err.strip())
    where = bed.mount(disk)
    shutil.copyfile(image, os.path.join(where, "disk.img"))
    shutil.copyfile(image + ".bmap", os.path.join(where, "disk.img.bmap"))
    d.check_run("umount", where)
    with open(image, "rb") as f, open(backing, "r+b") as b:
        f.seek(BAD)
        at = b.read().find(f.read(4096))
        d.expect(at > 0, "the image's bytes are not on the disk")
        b.seek(at + 100)
        b.write(b"not what it was")
    d.drop_cache(disk)
    d.check_run("mount", disk, where)  # unmounted by what the first mount left to be done
    return os.path.join(where, "disk.img")


def copy(bed, code, *args):
    """(events, report), as their schemas say."""
    report = bed.path("report.json")
    done = d.expect_exit(d.tool("copy", "--json", "--report", report, *args), code)
    events = [json.loads(line) for line in done.out.splitlines()]
    with open(report) as f:
        kept = json.load(f)
    problem = schema.problem(events, "events.schema.json") or \
        schema.problem([kept], "report.schema.json")
    d.expect(not problem, "not as the schema says: %s" % problem, done)
    return events, kept


def one(events, **members):
    found = [e for e in events if all(e.get(k) == v for k, v in members.items())]
    d.expect(len(found) == 1, "one with %s expected: %s" % (members, events))
    return found[0]


def a_device_is_told_by_what_it_is(bed):
    d.require_loop()
    image, (device, _) = image_of(bed), bed.loop("target", SIZE)
    link = bed.path("by-name")
    os.symlink(device, link)
    events, report = copy(bed, 0, image, link)
    told = one(events, event="target")
    d.expect(told["target"] == link and told["size_bytes"] == SIZE and
             told["device"]["path"] == device and told["device"]["transport"] == "loop" and
             told["device"]["size_bytes"] == SIZE and not told["device"]["removable"],
             "target: %s" % told)
    d.expect(report["targets"][0]["device"] == told["device"], "report: %s" % report)
    end = one(events, event="target-done")
    d.expect(end["verdict"] == "success" and end["written_bytes"] == SIZE and end["busy_ms"] > 0,
             "target-done: %s" % end)


def a_refused_device_is_told_with_its_size(bed):
    d.require_loop()
    image, (small, _), (good, _) = image_of(bed), bed.loop("small", SIZE - d.MIB), \
        bed.loop("good", SIZE)
    events, report = copy(bed, 1, image, small, good)
    error = one(events, event="error")
    d.expect(error["code"] == "refused" and error["target"] == small, "error: %s" % error)
    end = one(events, event="target-done", target=small)
    d.expect(end["pass"] == 0 and end["verdict"] == "failed", "target-done: %s" % end)
    d.expect(one(events, event="target-done", target=good)["verification"] ==
             {"checksums": True, "read_back": True}, "events: %s" % events)
    d.expect([t["verdict"] for t in report["targets"]] == ["failed", "success"], "%s" % report)


def without_room(bed):
    """A device whose file lies where there is no room for all of it."""
    folder = bed.path("full")
    os.mkdir(folder)
    d.check_run("mount", "-t", "tmpfs", "-o", "size=6m", "none", folder)
    bed.later(d.unmount, folder)
    with open(os.path.join(folder, "disk"), "wb") as f:
        f.truncate(SIZE)
    return bed.attach(os.path.join(folder, "disk"))


def a_write_error_names_the_sector(bed):
    d.require_loop()
    image, (good, _), bad = image_of(bed), bed.loop("good", SIZE), without_room(bed)
    events, report = copy(bed, 1, image, bad, good)
    error = one(events, event="error")
    d.expect(error["target"] == bad and error["index"] == 0 and error["code"] == "io" and
             error["errno_name"] in ("EIO", "ENOSPC") and os.strerror(error["errno"]) in error["message"],
             "error: %s" % error)
    d.expect(4 * d.MIB <= error["offset_bytes"] < SIZE and
             error["sector"] == error["offset_bytes"] // 512 and
             "sector %d" % error["sector"] in error["message"], "error: %s" % error)
    kept = report["targets"][0]
    d.expect(kept["verdict"] == "failed" and kept["first_bad_sector"] == error["sector"] and
             kept["first_bad_offset_bytes"] == error["offset_bytes"] and report["error"] is None and
             report["targets"][1]["verdict"] == "success", "report: %s" % report)


def a_read_error_of_the_image_is_the_jobs(bed):
    d.require_loop()
    source = on_a_disk_that_forgot_it(bed, image_of(bed))
    events, report = copy(bed, 1, source, bed.path("out"))
    error = one(events, event="error")
    d.expect(error["target"] is None and error["code"] == "io" and error["errno_name"] == "EIO" and
             error["sector"] is None and source in error["message"], "error: %s" % error)
    d.expect(BAD - d.MIB < error["offset_bytes"] <= BAD, "error: %s" % error)
    d.expect(report["error"]["errno"] == error["errno"] and
             report["targets"][0]["first_bad_sector"] is None, "report: %s" % report)


if __name__ == "__main__":
    sys.exit(d.main([
        a_device_is_told_by_what_it_is,
        a_refused_device_is_told_with_its_size,
        a_write_error_names_the_sector,
        a_read_error_of_the_image_is_the_jobs,
    ]))
