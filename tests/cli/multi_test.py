#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy to several targets, which are files here: each has its own verdict."""
import gzip
import os
import re
import resource
import signal
import subprocess
import sys

from common import content, d, expect_copied, expect_log_lines, image, \
    wait_until_signals_are_handled


def row_of(done, name):
    """The table's line for a target: (level, what stands behind the name)."""
    rows = re.findall(r"^bmaptool: (info: |ERROR:) (?:\.\.\.)?%s +(.*)$" % re.escape(name), done.err, re.M)
    d.expect(len(rows) == 1, "%d rows for %s" % (len(rows), name), done)
    return rows[0][0].strip(": "), rows[0][1]


def expect_done(done, source, name):
    level, row = row_of(done, name)
    d.expect(level == "info" and re.match(r"(?:done|read back) +[0-9.]+s +[0-9.]+ MiB/sec +1$", row),
             "a row of something done: %r" % row, done)
    expect_copied(source, name)


def each_of_several_targets_gets_the_image(bed):
    source = image(bed)
    names = [bed.path("out%d" % i) for i in range(3)]
    done = d.expect_exit(d.tool("copy", source, names[0], "--bmap", source + ".bmap", *names[1:]), 0)
    expect_log_lines(done)
    for name in names:
        expect_done(done, source, name)
    d.expect("copying time" in done.err.splitlines()[-1], "no closing line", done)


def who_is_refused_ends_alone(bed):
    source = image(bed)
    for bad in range(3):
        names = [bed.path("out%d" % i) for i in range(3)]
        names[bad] = bed.path("no/such/dir")
        done = d.expect_exit(d.tool("copy", source, *names), 1)
        expect_log_lines(done)
        level, row = row_of(done, names[bad])
        d.expect(level == "ERROR" and re.match("failed .*No such file", row), "why", done)
        d.expect(done.err.splitlines()[-1].endswith("ERROR: 1 of 3 targets failed: " + names[bad]),
                 "the last line says who", done)
        for i in range(3):
            if i != bad:
                expect_done(done, source, names[i])
                os.unlink(names[i])
    done = d.expect_exit(d.tool("-q", "copy", source, bed.path("good"), bed.path("no/such/dir")), 1)
    d.expect(len(done.err.splitlines()) == 2 and "good" not in done.err, "only what failed", done)


def who_fails_in_the_middle_ends_alone(bed):
    source, good = image(bed), [bed.path("a"), bed.path("b")]
    done = d.expect_exit(d.tool("copy", source, good[0], "/dev/full", good[1]), 1)
    level, row = row_of(done, "/dev/full")
    d.expect(level == "ERROR" and re.match(r"failed .* byte \d+ +cannot write.*No space left", row),
             "which, why and where", done)
    for name in good:
        expect_done(done, source, name)


def all_may_fail(bed):
    done = d.expect_exit(d.tool("copy", image(bed), "/no/a", "/no/b"), 1)
    d.expect(done.err.splitlines()[-1].endswith("2 of 2 targets failed: /no/a /no/b"), "who", done)


def what_ends_all_is_said_once(bed):
    source = image(bed)
    with open(source, "r+b") as f:
        f.seek(100 * 4096 + 5)
        f.write(b"!!!!")
    done = d.expect_exit(d.tool("copy", source, bed.path("a"), bed.path("b")), 1)
    d.expect(done.err.count("checksum mismatch") == 1 and
             "checksum mismatch for blocks 100-136" in done.err.splitlines()[-1], "once", done)
    for name in ("a", "b"):
        if "verdict" in done.err:  # else it was found before anything was written
            level, row = row_of(done, bed.path(name))
            d.expect(level == "ERROR" and row.startswith("failed"), "a row of something failed", done)
            d.expect("sector" not in row and "byte" not in row, "an offset of something else", done)
        d.expect(not os.path.exists(bed.path(name)), "a wrong file was left")


def what_ends_all_is_said_where_only_one_was_left(bed):
    source, out = image(bed), bed.path("out")
    cut = bed.path("cut.gz")
    with gzip.open(cut, "wb") as f:
        f.write(content(source)[:d.MIB])
    done = d.expect_exit(d.tool("-q", "copy", "--bmap", source + ".bmap", cut, "/no/such/file", out), 1)
    d.expect("/no/such: No such file" in done.err, "why was the first refused?", done)
    d.expect("ERROR: " + cut + ": " in done.err.splitlines()[-1], "why did the other fail?", done)


def a_target_named_twice_refuses_all(bed):
    source, out = image(bed), bed.path("out")
    with open(out, "w") as f:
        f.write("precious")
    os.symlink(out, bed.path("link"))
    os.link(out, bed.path("hard"))
    for names in ((out, out), (out, bed.path("link")), (bed.path("hard"), bed.path("new"), out)):
        done = d.expect_exit(d.tool("copy", source, *names), 1)
        d.expect("same file: name each once" in done.err.splitlines()[-1], "not said", done)
        d.expect("verdict" not in done.err, "a table of nothing", done)
        d.expect(content(out) == b"precious", "it was written", done)
        d.expect(not os.path.exists(bed.path("new")), "a file was made", done)


def a_bmap_among_the_targets_refuses_all(bed):
    source, out = image(bed), bed.path("out")
    before = content(source + ".bmap")
    done = d.expect_exit(d.tool("copy", "--nobmap", source, source + ".bmap", out), 1)
    d.expect("--bmap" in done.err and source + ".bmap" in done.err, "not said what to do", done)
    d.expect(content(source + ".bmap") == before and not os.path.exists(out), "written", done)
    packed = bed.path("other.gz")  # by what is in it, not by its name
    with gzip.open(packed, "wb") as f:
        f.write(before)
    before = content(packed)
    for name in (packed, bed.path("mistyped.bmap"), bed.path("mistyped.bmap.gz")):
        done = d.expect_exit(d.tool("copy", "--nobmap", source, name, out), 1)
        d.expect("--bmap" in done.err and name in done.err, "not said what to do", done)
        d.expect(not os.path.exists(out) and os.path.exists(name) == (name == packed), "written", done)
    d.expect(content(packed) == before, "it was written", done)
    other = bed.path("other.img.gz")  # an old packed image may be written over
    with gzip.open(other, "wb") as f:
        f.write(b"no map" * 1000)
    d.expect_exit(d.tool("copy", "--nobmap", source, other, out), 0)
    expect_copied(source, other)


def targets_can_be_listed_in_a_file(bed):
    source = image(bed)
    lines = "# the tray\n\n  %s  \r\n\t# none\n%s" % (bed.path("a"), bed.path("b c"))
    with open(bed.path("list"), "w") as f:
        f.write(lines)
    done = d.expect_exit(d.tool("copy", source, "--targets-from", bed.path("list")), 0)
    for name in ("a", "b c"):
        expect_done(done, source, bed.path(name))
    # On standard input, and together with others.
    with open(bed.path("list"), "rb") as f:
        done = d.expect_exit(d.tool("copy", "--targets-from=-", source, bed.path("d"), stdin=f), 0)
    for name in ("d", "a", "b c"):
        expect_done(done, source, bed.path(name))
    # One is no tray, and needs no table.
    done = d.expect_exit(d.tool("copy", "--targets-from", "/dev/null", source, bed.path("d")), 0)
    d.expect("verdict" not in done.err, "a table of one", done)


def what_is_no_list_of_targets_is_refused(bed):
    source = image(bed)
    cases = [
        (b"", "names no target"),
        (b"# nothing\n\n", "names no target"),
        (b"a\nb\0c\n", "line 2 has a NUL byte"),
        (b"a" * 4096, "line 1 is longer than a path"),
        (b"".join(b"%d\n" % i for i in range(1025)), "more than 1024 targets"),
        (b"# a comment\n" * 800000, "longer than 8 MiB"),
    ]
    for text, says in cases:
        with open(bed.path("list"), "wb") as f:
            f.write(text)
        done = d.expect_exit(d.tool("copy", source, "--targets-from", bed.path("list")), 1)
        d.expect(says in done.err, "does not say %r" % says, done)
    done = d.expect_exit(d.tool("copy", source, "--targets-from", bed.path("absent")), 1)
    d.expect("absent" in done.err and "No such file" in done.err, "not named", done)
    done = d.expect_exit(d.tool("copy", source, "--targets-from", bed.folder), 1)
    d.expect("Is a directory" in done.err, "not said why", done)
    d.expect(sorted(os.listdir(bed.folder)) == ["disk.img", "disk.img.bmap", "list"], "a file was made")
    for argv in (["-", "--targets-from", "-"], [source, "--bmap", "-", "--targets-from", "-"]):
        done = d.expect_exit(d.tool("copy", *argv), 2)
        d.expect("cannot be used together" in done.err, "both read standard input", done)


def a_list_that_never_comes_can_be_interrupted(bed):
    os.mkfifo(bed.path("fifo"))
    running = d.start_tool("copy", image(bed), "--targets-from", bed.path("fifo"))
    wait_until_signals_are_handled(running)
    running.signal(2)
    done = running.wait(10)
    d.expect(done.code == 130 and "interrupted while the list of targets" in done.err, "130", done)


def no_disk_that_matches_is_an_error(bed):
    source, out = image(bed), bed.path("out")
    for kind in ("by-id", "by-path", "usb-path"):
        done = d.expect_exit(d.tool("copy", source, out, "--target-by", kind, "bmaptest-no-such*"), 1)
        d.expect("%s name like 'bmaptest-no-such*'" % kind in done.err, "not named", done)
        d.expect(not os.path.exists(out), "it was written", done)


def files_are_no_devices_that_could_be_expected(bed):
    source, out = image(bed), bed.path("out")
    for args in (["--expect-size", "1G"], ["--expect-model", "*"], ["--expect-count", "2"]):
        done = d.expect_exit(d.tool("copy", source, out, *args), 1)
        d.expect("expected" in done.err and not os.path.exists(out), "refused first of all", done)
    d.expect_exit(d.tool("copy", source, out, "--expect-count", "1"), 0)
    expect_copied(source, out)


def what_cannot_be_read_twice_leaves_nobody_behind(bed):
    source, names = image(bed), [bed.path("a"), bed.path("b")]
    for args, code, says in (([], 0, True), (["--straggler", "wait"], 0, False),
                             (["--straggler=detach"], 1, True)):
        with subprocess.Popen(["cat", source], stdout=subprocess.PIPE) as cat:
            done = d.expect_exit(d.tool("copy", "--bmap", source + ".bmap", *args, "-", *names,
                                        stdin=cat.stdout), code)
            cat.stdout.close()
        d.expect(("cannot be read twice" in done.err) == says, "said or not", done)
        for name in names:
            if code:
                d.expect(not os.path.exists(name), "a file was made", done)
            else:
                expect_done(done, source, name)
                os.unlink(name)
    for how in ("wait", "detach"):
        done = d.expect_exit(d.tool("copy", "--straggler", how, source, *names), 0)
        for name in names:
            expect_done(done, source, name)


def sixteen_at_once(bed):
    source = image(bed)
    names = [bed.path("out%d" % i) for i in range(16)]
    done = d.expect_exit(d.tool("copy", source, *names), 0)
    for name in names:
        expect_done(done, source, name)


def the_usual_limit_of_descriptors_is_no_limit_of_targets(bed):
    source, names = image(bed), [bed.path("out%d" % i) for i in range(100)]

    def limit():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    done = d.expect_exit(d.tool("copy", source, *names, preexec_fn=limit), 0)
    for name in names[::33]:
        expect_done(done, source, name)


def an_interrupt_says_what_is_incomplete(bed):
    source = image(bed)
    names = [bed.path("a"), bed.path("b")]
    running = d.start_tool("copy", "--bmap", source + ".bmap", "-", *names, stdin=subprocess.PIPE)
    running.proc.stdin.write(content(source)[:d.MIB])
    running.proc.stdin.flush()
    wait_until_signals_are_handled(running)
    running.signal(15)
    done = running.wait(10)
    running.proc.stdin.close()
    d.expect(done.code == 143, "exit 143 expected", done)
    d.expect(done.err.splitlines()[-1].endswith("2 of 2 targets incomplete: " + " ".join(names)),
             "who", done)
    for name in names:
        level, row = row_of(done, name)
        d.expect(level == "ERROR" and row.startswith("interrupted"), "a row of it", done)
        d.expect(not os.path.exists(name), "half a file was left")


def a_second_signal_names_those_that_are_incomplete(bed):
    source = image(bed)
    names = [bed.path("a"), bed.path("b")]
    running = d.start_tool("copy", "--bmap", source + ".bmap", "-", *names, stdin=subprocess.PIPE)
    running.proc.stdin.write(content(source)[:d.MIB])
    running.proc.stdin.flush()
    wait_until_signals_are_handled(running)
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        running.signal(number)  # both wait when it goes on, the order is the kernel's
    done = running.wait(10)
    running.proc.stdin.close()
    d.expect(done.code in (130, 143), "exit 130 or 143 expected", done)
    d.expect("leaving at once: incomplete are 2 of 2 targets: " + ", ".join(names) in done.err, "who", done)


if __name__ == "__main__":
    sys.exit(d.main([
        each_of_several_targets_gets_the_image,
        who_is_refused_ends_alone,
        who_fails_in_the_middle_ends_alone,
        all_may_fail,
        what_ends_all_is_said_once,
        what_ends_all_is_said_where_only_one_was_left,
        a_target_named_twice_refuses_all,
        a_bmap_among_the_targets_refuses_all,
        targets_can_be_listed_in_a_file,
        what_is_no_list_of_targets_is_refused,
        a_list_that_never_comes_can_be_interrupted,
        no_disk_that_matches_is_an_error,
        files_are_no_devices_that_could_be_expected,
        what_cannot_be_read_twice_leaves_nobody_behind,
        sixteen_at_once,
        the_usual_limit_of_descriptors_is_no_limit_of_targets,
        an_interrupt_says_what_is_incomplete,
        a_second_signal_names_those_that_are_incomplete,
    ]))
