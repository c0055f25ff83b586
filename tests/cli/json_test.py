#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy as programs see it: events (--json) and the report (--report), each as its schema says."""
import datetime
import fcntl
import gzip
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

from common import BLOCK, RANGES, SIZE, content, d, expect_copied, image, on_terminal, \
    wait_until_signals_are_handled
import schema  # noqa: E402, found by way of common

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
MAPPED = sum(min((last + 1) * BLOCK, SIZE) - first * BLOCK for first, last in RANGES)


# ---------------------------------------------------------------- what was said

documents = {"events.schema.json": [], "report.schema.json": []}  # all that the cases saw


class Said:
    """The events of one run; that they are in order is always checked."""

    def __init__(self, text, done=None):
        d.expect(text.endswith("\n") and text.isascii(), "no whole lines of ASCII", done)
        self.events = [json.loads(line) for line in text.splitlines()]
        documents["events.schema.json"] += self.events
        names = [e["event"] for e in self.events]
        d.expect(names[0] == "start" and names[-1] == "summary" and names.count("start") == 1 and
                 names.count("summary") == 1, "wrong order: %s" % names, done)
        self.start, self.summary = self.events[0], self.events[-1]
        named = self.of("target")
        d.expect([e["index"] for e in named] == list(range(len(named))), "targets: %s" % named, done)
        d.expect(sorted(e["index"] for e in self.of("target-done")) == list(range(len(named))),
                 "not every target has its end: %s" % names, done)
        d.expect(sum(self.summary["targets"][v] for v in ("success", "failed", "interrupted")) ==
                 self.summary["targets"]["named"] == len(self.start["targets"]),
                 "the counts are no sum: %s" % self.summary, done)
        d.expect(self.start["job"] == self.summary["job"], "two jobs", done)

    def of(self, name):
        return [e for e in self.events if e["event"] == name]

    def one(self, name, **members):
        found = [e for e in self.of(name) if all(e[k] == v for k, v in members.items())]
        d.expect(len(found) == 1, "one %s with %s expected: %s" % (name, members, self.events))
        return found[0]


def copy_json(*args, code=0, **kw):
    done = d.expect_exit(d.tool("copy", "--json", *args, **kw), code)
    said = Said(done.out, done)
    d.expect(said.summary["exit_code"] == code, "another exit code in the summary", done)
    return said


def report_of(path):
    with open(path, encoding="ascii") as f:
        report = json.load(f)
    documents["report.schema.json"].append(report)
    start, end = (datetime.datetime.strptime(report[k], "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()
                  for k in ("start", "end"))
    d.expect(0 <= end - start < 120 and abs(
        end - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).timestamp()) < 120,
        "not now: %s" % report)
    return report


def content_digest(bmap):
    """As docs/json.md defines it, of a bmap in version 2.0."""
    root = ET.parse(bmap).getroot()
    size, block = (int(root.find(x).text) for x in ("ImageSize", "BlockSize"))
    text = "%d %s\n" % (size, root.find("ChecksumType").text.strip())
    for r in root.find("BlockMap").iter("Range"):
        ends = [int(x) for x in r.text.split("-")]
        begin, end = ends[0] * block, min((ends[-1] + 1) * block, size)
        text += "%d %d %s\n" % (begin, end - begin, r.get("chksum"))
    return hashlib.sha256(text.encode()).hexdigest()


def packed(bed, source):
    path = source + ".gz"
    with open(path, "wb") as f:
        f.write(gzip.compress(content(source)))
    return path


def feed_slowly(source, fifo, seconds):
    """Gives the file to whoever reads the fifo, within so many seconds."""
    data = content(source)

    def feed():
        step = len(data) // 50 + 1
        try:
            with open(fifo, "wb", buffering=0) as f:
                for at in range(0, len(data), step):
                    f.write(data[at:at + step])
                    time.sleep(seconds / 50)
        except OSError:
            pass
    os.mkfifo(fifo)
    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return thread


# ---------------------------------------------------------------- good ends

def a_copy_is_told_from_start_to_summary(bed):
    source, dest, report = image(bed), bed.path("out"), bed.path("report.json")
    form = packed(bed, source)
    said = copy_json("--report", report, "--job-id", "tray 7 \u00fc", form, dest)
    expect_copied(source, dest)
    bmap = source + ".bmap"
    d.expect([e["event"] for e in said.events if e["event"] != "progress"] ==
             ["start", "target", "target-done", "summary"], "events: %s" % said.events)
    want = {"name": form, "format": "gzip", "image_size_bytes": SIZE, "mapped_bytes": MAPPED,
            "content_sha256": content_digest(bmap), "bmap": bmap,
            "bmap_sha256": d.sha256_of(bmap)}
    d.expect(said.start["image"] == want, "image: %s" % said.start)
    d.expect(said.start["job"] == "tray 7 \u00fc" and said.start["targets"] == [{"target": dest}],
             "start: %s" % said.start)
    end = said.one("target-done", target=dest, index=0)
    d.expect(end["verdict"] == "success" and end["pass"] == 1 and end["written_bytes"] == MAPPED and
             end["verification"] == {"checksums": True, "read_back": False} and not end["error"] and
             end["begun_ms"] <= end["ended_ms"], "target-done: %s" % end)
    d.expect(said.summary["verdict"] == "success" and said.summary["report"] == report and
             said.summary["file_sha256"] == d.sha256_of(form) and
             said.summary["written_bytes"] == MAPPED, "summary: %s" % said.summary)
    kept = report_of(report)
    d.expect(kept["image"] == dict(want, file_sha256=d.sha256_of(form)), "image: %s" % kept)
    d.expect(kept["job"] == "tray 7 \u00fc" and kept["verdict"] == "success" and
             kept["exit_code"] == 0 and kept["error"] is None, "report: %s" % kept)
    for k in ("verdict", "pass", "written_bytes", "verification", "ended_ms", "retries"):
        d.expect(kept["targets"][0][k] == end[k], "report and event differ in %s: %s" % (k, kept))


def a_job_without_a_name_has_a_random_one(bed):
    source = image(bed)
    names = {copy_json(source, bed.path("out")).start["job"] for _ in range(2)}
    d.expect(len(names) == 2 and all(UUID4.match(n) for n in names), "no UUIDs: %s" % names)


def digests_are_there_where_they_are_known(bed):
    source, report, fifo = image(bed), bed.path("report"), bed.path("fifo")
    form, plain_map = packed(bed, source), image(bed, "other.img")
    d.expect_exit(d.tool("create", "--no-checksum", plain_map, "-o", plain_map + ".bmap"), 0)
    content_sum, form_sum = content_digest(source + ".bmap"), d.sha256_of(form)
    feeder = feed_slowly(source, fifo, 0.1)
    for args, file_sum, content_sum_now, checked, why in (
            ([source], None, content_sum, True, "extents of a raw file"),
            (["--nobmap", form], form_sum, None, False, "no bmap"),
            (["--no-verify", form], form_sum, content_sum, False, "not checked"),
            (["--bmap", source + ".bmap", fifo], d.sha256_of(source), content_sum, True, "raw pipe"),
            ([plain_map], None, None, False, "no checksums in the bmap")):
        d.expect_exit(d.tool("copy", "--report", report, *args, bed.path("out")), 0)
        kept = report_of(report)
        d.expect(kept["image"]["file_sha256"] == file_sum and
                 kept["image"]["content_sha256"] == content_sum_now and
                 kept["targets"][0]["verification"]["checksums"] == checked, "%s: %s" % (why, kept))
    feeder.join()


def progress_comes_twice_a_second_at_most(bed):
    source, fifo = image(bed), bed.path("fifo")
    feeder = feed_slowly(source, fifo, 2.5)
    said = copy_json("--bmap", source + ".bmap", fifo, bed.path("a"), bed.path("b"))
    feeder.join()
    steps = said.of("progress")
    d.expect(3 <= len(steps) <= 6, "%d of them in %d ms" % (len(steps), said.summary["elapsed_ms"]))
    times = [0] + [e["elapsed_ms"] for e in steps]
    d.expect(all(b - a >= 499 for a, b in zip(times, times[1:])), "too often: %s" % times)
    bytes_seen = [e["targets"][0]["written_bytes"] for e in steps]
    d.expect(bytes_seen == sorted(bytes_seen) and steps[0]["total_bytes"] == MAPPED and
             [t["target"] for t in steps[0]["targets"]] == [bed.path("a"), bed.path("b")],
             "progress: %s" % steps)


def a_terminal_shows_events_and_log_lines_but_no_progress_line(bed):
    code, shown = on_terminal("copy", "--json", image(bed), bed.path("out"), columns=400)
    d.expect(code == 0 and "\r\x1b" not in shown and "% copied" not in shown, "shown: %r" % shown)
    lines = [line for line in shown.split("\r\n") if line]
    said = [line for line in lines if line.startswith("{")]
    Said("\n".join(said) + "\n")
    d.expect(all(line.startswith("bmaptool: ") for line in lines if line not in said),
             "shown: %r" % shown)


# ---------------------------------------------------------------- bad ends

def one_of_several_that_is_refused_has_its_own_error(bed):
    source, report, bad = image(bed), bed.path("report"), bed.path("no/such/dir")
    good = [bed.path("a"), bed.path("b")]
    said = copy_json("--report", report, source, good[0], bad, good[1], code=1)
    for name in good:
        expect_copied(source, name)
        end = said.one("target-done", target=name)
        d.expect(end["verdict"] == "success" and
                 end["verification"] == {"checksums": True, "read_back": True}, "not good: %s" % end)
    d.expect(said.start["read_back"] is True, "several targets are read back")
    error = said.one("error")
    d.expect(error["target"] == bad and error["index"] == 1 and error["errno_name"] == "ENOENT" and
             error["errno"] == 2 and error["code"] == "not-found" and bad in error["message"],
             "error: %s" % error)
    end = said.one("target-done", index=1)
    d.expect(end["verdict"] == "failed" and end["pass"] == 0 and end["written_bytes"] == 0,
             "refused: %s" % end)
    d.expect(said.summary["targets"] == {"named": 3, "success": 2, "failed": 1, "interrupted": 0} and
             said.summary["verdict"] == "failed", "summary: %s" % said.summary)
    kept = report_of(report)
    d.expect([t["verdict"] for t in kept["targets"]] == ["success", "failed", "success"] and
             kept["error"] is None and kept["targets"][1]["error"]["errno"] == 2, "report: %s" % kept)


def a_damaged_image_is_an_error_of_the_whole_job(bed):
    source, report = image(bed), bed.path("report")
    at = 130 * BLOCK + 5
    with open(source, "r+b") as f:
        f.seek(at)
        f.write(b"not what it was")
    said = copy_json("--report", report, source, bed.path("a"), bed.path("b"), code=1)
    error = said.one("error")
    d.expect(error["target"] is None and error["code"] == "data" and error["errno"] is None and
             error["offset_bytes"] == 100 * BLOCK and error["sector"] is None and
             "checksum" in error["message"], "error: %s" % error)
    d.expect(said.summary["targets"]["failed"] == 2, "summary: %s" % said.summary)
    kept = report_of(report)
    d.expect(kept["error"]["code"] == "data" and all(
        t["error"]["code"] == "data" and t["first_bad_sector"] is None for t in kept["targets"]),
        "report: %s" % kept)


def a_truncated_image_says_at_which_offset(bed):
    source = image(bed)
    form = packed(bed, source)
    os.truncate(form, os.path.getsize(form) // 2)
    error = copy_json(form, bed.path("out"), code=1).one("error")
    d.expect(error["target"] is None and error["code"] == "data" and form in error["message"],
             "error: %s" % error)


def a_write_error_has_errno_offset_and_sector(bed):
    source, report = image(bed), bed.path("report")
    limit = 300 * BLOCK  # the file gets its size first: what is over the limit is refused then

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    said = copy_json("--report", report, source, bed.path("out"), code=1, preexec_fn=little_room)
    error = said.one("error")
    d.expect(error["target"] == bed.path("out") and error["errno_name"] == "EFBIG" and
             error["errno"] == 27, "error: %s" % error)
    if error["offset_bytes"] is not None:
        d.expect(error["sector"] == error["offset_bytes"] // 512, "error: %s" % error)
    kept = report_of(report)["targets"][0]
    d.expect(kept["first_bad_offset_bytes"] == error["offset_bytes"] and
             kept["first_bad_sector"] == error["sector"], "report: %s" % kept)


def a_job_that_ends_before_it_begins_has_its_summary_too(bed):
    source, report = image(bed), bed.path("report")
    with open(bed.path("broken.bmap"), "w") as f:
        f.write("<bmap version='2.0'>")
    for args, code in (([bed.path("absent"), "--nobmap"], "not-found"), ([bed.folder], None),
                       ([source, "--bmap", bed.path("broken.bmap")], "map")):
        said = copy_json("--report", report, *args, bed.path("a"), bed.path("b"), code=1)
        d.expect([e["event"] for e in said.events] == ["start", "error", "summary"],
                 "events: %s" % said.events)
        d.expect(code in (None, said.one("error")["code"]), "error: %s" % said.events)
        d.expect(said.start["image"]["format"] is None, "start: %s" % said.start)
        kept = report_of(report)
        d.expect([t["target"] for t in kept["targets"]] == [bed.path("a"), bed.path("b")] and
                 {t["verdict"] for t in kept["targets"]} == {"failed"} and
                 kept["error"]["message"] == said.one("error")["message"], "report: %s" % kept)
        os.unlink(report)
    said = copy_json("--report", report, "--targets-from", bed.path("absent"), source, code=1)
    d.expect(said.summary["targets"]["named"] == 0 and said.one("error")["code"] == "not-found" and
             report_of(report)["targets"] == [], "no targets: %s" % said.events)


def an_interrupted_job_is_told_and_kept(bed):
    source, fifo, report = image(bed), bed.path("fifo"), bed.path("report")
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        feed_slowly(source, fifo, 10)
        running = d.start_tool("copy", "--json", "--report", report, "--bmap", source + ".bmap", fifo,
                               bed.path("out"))
        wait_until_signals_are_handled(running)
        running.signal(signum)
        done = d.expect_exit(running.wait(20), code)
        said = Said(done.out, done)
        d.expect(said.summary["verdict"] == "interrupted" and said.summary["exit_code"] == code and
                 said.summary["targets"]["interrupted"] == 1 and
                 said.of("error")[-1]["code"] == "interrupted", "events: %s" % said.events)
        kept = report_of(report)
        d.expect(kept["verdict"] == "interrupted" and kept["exit_code"] == code and
                 kept["targets"][0]["verdict"] == "interrupted", "report: %s" % kept)
        os.unlink(fifo)
        os.unlink(report)


# ---------------------------------------------------------------- names

def names_that_are_not_utf8_are_kept_in_hex(bed):
    name = os.fsencode(bed.folder) + b"/\xff\xe2\x82\x7fn\xc3\xa4\"\\\x1b\xed\xa0\x80"
    source = image(bed)
    os.rename(source, name + b".img")
    os.rename(source + ".bmap", name + b".img.bmap")
    report = os.fsdecode(name + b".report")
    said = copy_json("--report", report, os.fsdecode(name + b".img"), os.fsdecode(name + b".out"))
    shown = bed.folder + "/\ufffd\ufffd\ufffd\x7fn\u00e4\"\\\x1b\ufffd\ufffd\ufffd"
    kept = report_of(report)
    d.expect(said.summary["report"] == shown + ".report" and
             bytes.fromhex(said.summary["report_hex"]) == name + b".report", "%s" % said.summary)
    for o in (said.start["targets"][0], said.one("target"), said.one("target-done"),
              kept["targets"][0]):
        d.expect(o["target"] == shown + ".out" and bytes.fromhex(o["target_hex"]) == name + b".out",
                 "target: %s" % o)
    for o in (said.start["image"], kept["image"]):
        d.expect(o["name"] == shown + ".img" and bytes.fromhex(o["name_hex"]) == name + b".img" and
                 o["bmap"] == shown + ".img.bmap" and
                 bytes.fromhex(o["bmap_hex"]) == name + b".img.bmap", "image: %s" % o)
    said = copy_json("--nobmap", os.fsdecode(name + b".no"), bed.path("x"), code=1)
    d.expect(name.hex() in said.one("error")["message_hex"], "error: %s" % said.events)


def mistakes_on_the_command_line_are_no_events(bed):
    source, dest = image(bed), bed.path("out")
    for args in (["--job-id", "x"], ["--json", "--job-id", ""], ["--json", "--job-id", "a\tb"],
                 ["--json", "--job-id", "\udcff"], ["--json", "--job-id", "x" * 256],
                 ["--report", "-"], ["--report", ""],
                 ["--report", "list", "--targets-from", "list"]):
        done = d.expect_exit(d.tool("copy", *args, source, dest), 2)
        d.expect(done.out == "" and not os.path.exists(dest), "something was done", done)


# ---------------------------------------------------------------- standard output

def a_standard_output_that_cannot_be_written_is_said_once(bed):
    source = image(bed)
    reader, writer = os.pipe()
    os.close(reader)
    for redirect, reason in ((">/dev/full", "No space left"), (">&-", "Bad file descriptor"),
                             (">&%d" % writer, "Broken pipe")):
        dest = bed.path("out")
        done = d.expect_exit(d.run("sh", "-c", "exec \"$@\" " + redirect, "sh", d.BMAPTOOL, "copy",
                                   "--json", source, dest, pass_fds=[writer]), 0)
        expect_copied(source, dest)
        os.unlink(dest)
        lines = [line for line in done.err.splitlines() if "standard output" in line]
        d.expect(len(lines) == 1 and "WARNING" in lines[0] and reason in lines[0], "not once", done)
    os.close(writer)


def full_pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"\n" * 4096)
    return reader, writer


def a_reader_that_does_not_read_holds_nothing_up(bed):
    source, dest, report = image(bed), bed.path("out"), bed.path("report")
    reader, writer = full_pipe()
    proc = subprocess.Popen([d.BMAPTOOL, "-q", "copy", "--json", "--report", report, source, dest],
                            stdout=writer)
    os.close(writer)
    try:
        d.wait_until(lambda: os.path.exists(report), 30, "the report, though nobody reads events")
        expect_copied(source, dest)
        with open(reader, "rb") as f:
            text = f.read().lstrip(b"\n").decode()
        d.expect(proc.wait(30) == 0, "exit %s" % proc.returncode)
        Said(text)
    finally:
        proc.kill()
        proc.wait()


def who_waits_for_a_reader_can_be_interrupted(bed):
    source, report = image(bed), bed.path("report")
    reader, writer = full_pipe()
    proc = subprocess.Popen([d.BMAPTOOL, "copy", "--json", "--report", report, source,
                             bed.path("out")], stdout=writer, stderr=subprocess.PIPE)
    try:
        d.wait_until(lambda: os.path.exists(report), 30, "the report")
        time.sleep(0.2)
        d.expect(proc.poll() is None, "it did not wait for the reader")
        proc.send_signal(signal.SIGINT)
        err = proc.communicate(timeout=60)[1].decode()
        d.expect(proc.returncode == 0 and "nobody reads" in err, "exit %s: %s" % (proc.returncode, err))
    finally:
        proc.kill()
        proc.wait()
        os.close(reader)
        os.close(writer)


def events_never_go_into_the_target(bed):
    source, dest = image(bed), bed.path("out")
    for name in (dest, source):
        before = content(source)
        with open(dest, "wb") as f:
            f.write(b"precious")
        with open(name, "ab") as out:
            proc = subprocess.run([d.BMAPTOOL, "copy", "--json", source, dest], stdout=out,
                                  stderr=subprocess.PIPE)
        d.expect(proc.returncode == 1 and b"destroyed" in proc.stderr, "%s" % proc)
        d.expect(content(dest) == b"precious" and content(source) == before, "something was written")


# ---------------------------------------------------------------- where the report goes

def a_report_that_cannot_be_written_stops_the_job_before_it_begins(bed):
    source, dest = image(bed), bed.path("out")
    os.mkdir(bed.path("folder"))
    for report in (bed.path("absent/report"), bed.path("folder"), source + "/report", "/dev/null"):
        said = copy_json("--report", report, source, dest, code=1)
        d.expect("report" in said.one("error")["message"], "error: %s" % said.events)
        d.expect(said.summary["report"] is None, "summary: %s" % said.summary)
        d.expect(not os.path.exists(dest), "%s: the target was written" % report)
    if os.geteuid():
        os.chmod(bed.path("folder"), 0o500)
        copy_json("--report", bed.path("folder/report"), source, dest, code=1)
        d.expect(not os.path.exists(dest), "the target was written")


def a_report_never_replaces_what_it_is_about(bed):
    source = image(bed)
    bmap, out, new = source + ".bmap", bed.path("out"), bed.path("new")
    with open(out, "wb") as f:
        f.write(b"precious")
    with open(bmap + ".sig", "wb") as f:
        f.write(b"a signature")
    os.symlink(bmap, bed.path("link"))
    os.link(source, bed.path("hard"))
    before = content(source), content(bmap)
    for report in (source, bmap, out, new, bed.path("link"), bed.path("hard"), bmap + ".sig",
                   os.path.join(bed.folder, ".", "new")):
        said = copy_json("--report", report, "--no-sig-verify", source, out, new, code=1)
        d.expect("destroyed" in said.one("error")["message"], "error: %s" % said.events)
        d.expect((content(source), content(bmap)) == before and content(out) == b"precious" and
                 content(bmap + ".sig") == b"a signature" and not os.path.exists(new),
                 "%s: something was written" % report)
    # A link to where a target will be made is seen at the end.
    os.symlink(new, bed.path("dangling"))
    d.expect_exit(d.tool("copy", "--report", bed.path("dangling"), "--no-sig-verify", source, new), 1)
    expect_copied(source, new)


def a_report_that_fails_at_the_end_is_a_failure(bed):
    source, fifo, folder = image(bed), bed.path("fifo"), bed.path("folder")
    os.mkdir(folder)
    feed_slowly(source, fifo, 1.5)
    running = d.start_tool("copy", "--json", "--report", folder + "/report", "--bmap",
                           source + ".bmap", fifo, bed.path("out"))
    wait_until_signals_are_handled(running)
    os.rmdir(folder)
    done = d.expect_exit(running.wait(), 1)
    expect_copied(source, bed.path("out"))
    said = Said(done.out, done)
    d.expect(said.summary["verdict"] == "failed" and said.summary["exit_code"] == 1 and
             said.summary["targets"]["success"] == 1 and said.summary["report"] is None and
             "report" in said.one("error")["message"], "events: %s" % said.events)


def a_report_is_replaced_whole(bed):
    source, report = image(bed), bed.path("report")
    with open(report, "w") as f:
        f.write("x" * 100000)
    os.chmod(report, 0o604)
    d.expect_exit(d.tool("copy", "--report", report, source, bed.path("out")), 0)
    d.expect(report_of(report)["verdict"] == "success", "not replaced")
    d.expect(os.stat(report).st_mode & 0o777 == 0o604, "other permissions")
    d.expect(not [n for n in os.listdir(bed.folder) if n.endswith(".tmp")], "a temporary file is left")


# ---------------------------------------------------------------- and all of it

def every_event_and_report_is_what_its_schema_says(bed):
    if not all(documents.values()):  # this case was run alone
        a_copy_is_told_from_start_to_summary(bed)
    for name, seen in documents.items():
        problem = schema.problem(seen, name)
        d.expect(not problem, "not as %s says: %s" % (name, problem))
    bad = dict(documents["report.schema.json"][0], surprise=1)
    if not schema.problem([bad], "report.schema.json"):
        raise d.Skip("no validator, or one that takes everything")


if __name__ == "__main__":
    sys.exit(d.main([
        a_copy_is_told_from_start_to_summary,
        a_job_without_a_name_has_a_random_one,
        digests_are_there_where_they_are_known,
        progress_comes_twice_a_second_at_most,
        a_terminal_shows_events_and_log_lines_but_no_progress_line,
        one_of_several_that_is_refused_has_its_own_error,
        a_damaged_image_is_an_error_of_the_whole_job,
        a_truncated_image_says_at_which_offset,
        a_write_error_has_errno_offset_and_sector,
        a_job_that_ends_before_it_begins_has_its_summary_too,
        an_interrupted_job_is_told_and_kept,
        names_that_are_not_utf8_are_kept_in_hex,
        mistakes_on_the_command_line_are_no_events,
        a_standard_output_that_cannot_be_written_is_said_once,
        a_reader_that_does_not_read_holds_nothing_up,
        who_waits_for_a_reader_can_be_interrupted,
        events_never_go_into_the_target,
        a_report_that_cannot_be_written_stops_the_job_before_it_begins,
        a_report_never_replaces_what_it_is_about,
        a_report_that_fails_at_the_end_is_a_failure,
        a_report_is_replaced_whole,
        every_event_and_report_is_what_its_schema_says,
    ]))
