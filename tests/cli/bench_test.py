#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool bench on files: the table, the JSON document, ^C, and what cannot be measured."""
import json
import os
import re
import signal
import subprocess
import sys

from common import content, d, on_terminal, wait_until_signals_are_handled
import schema  # noqa: E402, found by way of common

ROW = re.compile(r"^(sequential|random) (read|write) +(\d+ [KM]iB) +(\d+) +([\d.]+) +(\d+)( +[\d.]+ [num]?s){5} +"
                 r"[\d.]+ s(?:  flush [\d.]+ [num]?s)?(  \(stopped\))?$")


def big_file(bed, size=8 * d.MIB):
    path = bed.path("file")
    with open(path, "wb") as f:
        f.write(bed.rng.randbytes(size))
    return path


def rows(done):
    return [m for m in map(ROW.match, done.out.splitlines()) if m]


def document(path):
    with open(path) as f:
        found = json.load(f)
    problem = schema.problem([found], "bench.schema.json")
    d.expect(not problem, "not as its schema says: %s" % problem)
    return found


def points_that_were_chosen_are_measured_in_order(bed):
    path, out = big_file(bed), bed.path("out.json")
    before = content(path), os.stat(path).st_mtime_ns
    done = d.expect_exit(d.tool("bench", "--op", "read,randread", "--block-size", "4K,1M", "--depth",
                                "1,4", "--time", "1", "--json", out, path), 0)
    want = [(order, block, depth) for order in ("sequential", "random") for block in ("4 KiB", "1 MiB")
            for depth in ("1", "4")]
    d.expect([(m[1], m[3], m[4]) for m in rows(done)] == want, "rows", done)
    d.expect((content(path), os.stat(path).st_mtime_ns) == before, "the file was changed")
    found = document(out)
    d.expect(found["complete"] and found["target"] == path and found["kind"] == "file", "JSON", done)
    d.expect(len(found["points"]) == len(want), "points")
    for row, point in zip(rows(done), found["points"]):
        d.expect(point["requests"] * point["block_bytes"] == point["bytes"] > 0, "bytes: %s" % point)
        d.expect(1 <= point["seconds"] < 3, "not a second: %s" % point["seconds"])
        d.expect(abs(point["bytes_per_s"] - point["bytes"] / point["seconds"]) < 1, "speed")
        d.expect(abs(float(row[5]) - point["bytes_per_s"] / d.MIB) < 0.06, "table and JSON differ")
        lat = point["latency_ns"]
        order = [lat[x] for x in ("p50", "p90", "p99", "p99.9", "max")]
        d.expect(order == sorted(order) and lat["mean"] <= lat["max"], "latencies: %s" % order)
        d.expect(sum(n for _, n in lat["buckets"]) == point["requests"], "buckets")
        d.expect(lat["buckets"][-1][0] == lat["max"], "the last bucket")
        d.expect(len(point["bytes_in_each_second"]) == 1 and
                 0 < point["bytes_in_each_second"][0] <= point["bytes"], "bytes in each second")
        # Little's law: what is in flight is what a second completes times how long it takes.
        in_flight = point["requests_per_s"] * lat["mean"] / 1e9
        d.expect(0.8 * point["depth"] < in_flight < 1.1 * point["depth"],
                 "%.2f in flight, not %d" % (in_flight, point["depth"]))


def a_folder_gets_a_scratch_file_that_is_gone_afterwards(bed):
    path, out = big_file(bed), bed.path("out.json")
    before = content(path), os.stat(path).st_mtime_ns
    for args in (["--op=read,randread", bed.folder], ["--write", "--pattern=zero", path],
                 ["--write", "--op=write,randwrite,randread", path]):
        done = d.expect_exit(d.tool("bench", "--time=1", "--depth=8", "--block-size=64K", "--scratch-size=16M",
                                    "--json", out, *args), 0)
        found = document(out)
        d.expect(found["kind"] == "scratch" and found["written"] == ("--write" in args), "kind", done)
        d.expect(found["size_bytes"] == 16 * d.MIB and "a scratch file of 16.0 MiB" in done.out, "size", done)
        d.expect(len(rows(done)) == len(found["points"]) > 0, "rows", done)
        d.expect(any(p["op"] == "write" for p in found["points"]) == ("--write" in args), "writes", done)
        d.expect(sorted(os.listdir(bed.folder)) == ["file", "out.json"], "something is left", done)
        d.expect((content(path), os.stat(path).st_mtime_ns) == before, "the file was changed", done)


def an_interrupted_one_leaves_nothing_behind(bed):
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        running = d.start_tool("bench", "--write", "--time=60", "--scratch-size=16M", bed.folder)
        wait_until_signals_are_handled(running)
        running.signal(number)
        d.expect_exit(running.wait(10), code)
        d.expect(os.listdir(bed.folder) == [], "a file is left")


def any_bytes_may_be_a_name(bed):
    odd, out = bed.path("f\udcff\n"), bed.path("out.json")
    os.rename(big_file(bed), odd)
    done = d.expect_exit(d.tool("bench", "--time=1", "--depth=2", "--json", out, odd), 0)
    d.expect(done.out.splitlines()[0].count("?") >= 1 and len(rows(done)) == 1, "title", done)
    d.expect(bytes.fromhex(document(out)["target_hex"]) == os.fsencode(odd), "target_hex", done)


def an_interrupt_prints_what_was_measured(bed):
    path, out = big_file(bed), bed.path("out.json")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        running = d.start_tool("bench", "--depth", "1,2", "--time", "60", "--json", out, path)
        wait_until_signals_are_handled(running)
        d.wait_until(lambda: read_bytes(running.pid) > 64 * d.MIB or cached(running), 20, "it reads")
        running.signal(number)
        done = d.expect_exit(running.wait(10), code)
        found = rows(done)
        d.expect(len(found) <= 1 and all(m[8] for m in found), "no row that says stopped", done)
        d.expect("0 of 2 points were measured" in done.err, "how far it came is not said", done)
        d.expect(document(out)["complete"] is False, "JSON says complete")


def read_bytes(pid):
    with open("/proc/%d/io" % pid) as f:
        return int(re.search(r"^read_bytes: (\d+)", f.read(), re.M).group(1))


def cached(running):
    """On file systems in memory nothing counts as read: then time has to do."""
    return running.proc.poll() is None and \
        float(open("/proc/uptime").read().split()[0]) * os.sysconf("SC_CLK_TCK") - \
        int(open("/proc/%d/stat" % running.pid).read().rsplit(")", 1)[1].split()[19]) > 300


def what_cannot_be_measured_is_said(bed):
    small, empty = bed.path("small"), bed.path("empty")
    with open(small, "wb") as f:
        f.write(bytes(8192))
    open(empty, "w").close()
    os.mkfifo(bed.path("pipe"))
    cases = [
        ([bed.path("absent")], "No such file"),
        ([bed.path("pipe")], "is a pipe"),
        (["/dev/null"], "character device"),
        (["--scratch-size", "16M", small], "no scratch file is made here"),
        (["--pattern", "zero", small], "nothing is written"),
        (["--scratch-size", "15M", bed.folder], "at least 16 MiB"),
        (["--scratch-size", "100000T", bed.folder], "No space left"),
        (["--write", "/dev/null"], "character device"),
        ([empty], "the file is empty"),
        (["--block-size", "16K", small], "8192 bytes, which is less than one request of 16384"),
        (["--json", bed.path("no/out.json"), small], "no/out.json"),
        (["--json", "/dev/null", small], "/dev/null"),
    ]
    for args, text in cases:
        done = d.expect_exit(d.tool("bench", "--time", "1", *args), 1)
        d.expect(text in done.err and not rows(done), "not said: %s" % text, done)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([d.BMAPTOOL, "bench", "--time=1", "--depth=1", "--block-size=4K", small],
                              stdout=full, stderr=subprocess.PIPE, text=True)
    d.expect(done.returncode == 1 and "standard output" in done.stderr, "%s" % done.stderr)


def a_terminal_shows_progress_and_then_the_row(bed):
    code, shown = on_terminal("bench", "--time", "1", "--depth", "2", big_file(bed), columns=120)
    d.expect(code == 0, "exit %d: %s" % (code, shown))
    d.expect("info: 1 of 1: sequential read 1 MiB, depth 2" in shown, "no progress: %r" % shown)
    last = [x for x in re.split(r"\r|\x1b\[[KJ]", shown) if x.strip()][-1]
    d.expect(ROW.match(last), "the last line is no row: %r" % last)
    code, shown = on_terminal("bench", "-q", "--time", "1", "--depth", "2", big_file(bed))
    d.expect(code == 0 and "info:" not in shown, "not quiet: %r" % shown)


if __name__ == "__main__":
    sys.exit(d.main([points_that_were_chosen_are_measured_in_order,
                     a_folder_gets_a_scratch_file_that_is_gone_afterwards,
                     an_interrupted_one_leaves_nothing_behind, any_bytes_may_be_a_name,
                     an_interrupt_prints_what_was_measured,
                     what_cannot_be_measured_is_said, a_terminal_shows_progress_and_then_the_row]))
