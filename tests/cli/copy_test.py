#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy as scripts and people see it: lines, progress, psplash, signals."""
import gzip
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from common import LAVA, RANGES, SIZE, content, d, expect_copied, expect_log_lines, image, on_terminal, \
    wait_until_signals_are_handled


def an_image_whose_name_leaves_no_room_for_a_signatures_is_copied(bed):
    source, dest = bed.path("n" * 247), bed.path("out.img")
    os.rename(image(bed), source)
    d.expect_exit(d.tool("create", source, "-o", source + ".bmap"), 0)
    d.expect_exit(d.tool("copy", source, dest), 0)
    expect_copied(source, dest)


def log_lines_are_as_scripts_expect_them(bed):
    source, dest = image(bed), bed.path("out.img")
    done = d.expect_exit(d.tool("copy", source, dest), 0)
    expect_copied(source, dest)
    expect_log_lines(done)
    for part in ("discovered bmap file", "block map format version 2.0",
                 "blocks of size 4096", "using bmap file"):
        d.expect("info: " in done.err and part in done.err, "no line with %r" % part, done)
    for expression in LAVA:
        d.expect(expression.search(done.err), "LAVA would wait for ever", done)
    d.expect("copying time" in done.err.splitlines()[-1], "the closing line is not the last", done)
    d.expect("\r" not in done.err and "\x1b" not in done.err, "control characters", done)


def quiet_says_nothing_but_errors(bed):
    source = image(bed)
    for argv in (["-q", "copy"], ["copy", "--quiet"]):
        done = d.expect_exit(d.tool(*argv, source, bed.path("out")), 0)
        d.expect(done.err == "" and done.out == "", "not quiet", done)
    done = d.expect_exit(d.tool("-q", "copy", bed.path("absent"), "--nobmap", bed.path("o")), 1)
    d.expect("absent" in done.err, "the error does not name the file", done)


def debug_lines_have_their_own_prefix(bed):
    done = d.expect_exit(d.tool("copy", image(bed), bed.path("out"), "-d"), 0)
    expect_log_lines(done)
    d.expect("bmaptool: debug: " in done.err, "no debug line", done)


def slow_source(bed, source, fifo, pause=0.03, step=64 * 1024):
    """Feeds a fifo slowly, so that there is something to see."""
    def feed():
        try:
            with open(fifo, "wb", buffering=0) as f:
                data = content(source)
                for at in range(0, len(data), step):
                    f.write(data[at:at + step])
                    time.sleep(pause)
        except OSError:
            pass
    os.mkfifo(fifo)
    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return thread


def progress_rises_to_a_hundred_on_a_terminal(bed):
    source, fifo, dest = image(bed), bed.path("fifo"), bed.path("out")
    for columns in (40, 80, 200):
        feeder = slow_source(bed, source, fifo)
        code, shown = on_terminal("copy", "--bmap", source + ".bmap", fifo, dest, columns=columns)
        feeder.join()
        os.unlink(fifo)
        d.expect(code == 0, shown)
        expect_copied(source, dest)
        seen = [int(x) for x in re.findall(r"bmaptool: info: (\d+)% copied", shown)]
        d.expect(len(seen) >= 3 and seen == sorted(seen) and seen[-1] == 100,
                 "percentages %s: %r" % (seen, shown))
        for expression in LAVA:
            d.expect(expression.search(shown), "LAVA would wait for ever: %r" % shown)
        for draw in re.findall(r"\r([^\r\n]*?)\x1b\[K", shown):
            d.expect(len(draw) < columns, "wider than the terminal: %r" % draw)


def an_interrupt_on_a_terminal_ends_the_line_first(bed):
    source = image(bed)
    feeder = slow_source(bed, source, bed.path("fifo"))
    sent = []

    def interrupt(pid, shown):
        if not sent and re.search(r"[1-9]% copied", shown):
            sent.append(os.kill(pid, signal.SIGINT))
    code, shown = on_terminal("copy", "--bmap", source + ".bmap", bed.path("fifo"), bed.path("out"),
                              during=interrupt)
    feeder.join()
    d.expect(code == 130, "exit %d: %r" % (code, shown))
    d.expect("\r\x1b[Kbmaptool: WARNING: interrupted" in shown, "no word of it: %r" % shown)
    error = re.search(r"\nbmaptool: (\x1b\[91m)?ERROR(\x1b\[0m)?: .*incomplete", shown)
    d.expect(error, "no error on a line of its own: %r" % shown)
    d.expect("100% copied" not in shown, "it did not end well: %r" % shown)


def a_quiet_terminal_stays_empty(bed):
    code, shown = on_terminal("-q", "copy", image(bed), bed.path("out"))
    d.expect(code == 0 and shown == "", "%d %r" % (code, shown))


def without_a_terminal_as_output_there_is_no_progress(bed):
    source = image(bed)
    feeder = slow_source(bed, source, bed.path("fifo"), pause=0.02)
    done = d.expect_exit(d.tool("copy", "--bmap", source + ".bmap", bed.path("fifo"),
                                bed.path("out")), 0)
    feeder.join()
    expect_log_lines(done)
    d.expect("% copied" not in done.err, "a percentage in a log", done)


def psplash_gets_rising_numbers(bed):
    source, fifo = image(bed), bed.path("psplash")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    bed.later(os.close, reader)
    d.expect_exit(d.tool("copy", "--psplash-pipe", fifo, source, bed.path("out")), 0)
    lines = os.read(reader, 65536).decode().splitlines()
    numbers = [int(re.fullmatch(r"PROGRESS (\d+)", x).group(1)) for x in lines]
    d.expect(numbers and numbers == sorted(numbers) and numbers[-1] == 100, str(numbers))


def psplash_never_fails_the_copy(bed):
    source, dest = image(bed), bed.path("out")
    regular = bed.path("regular")
    with open(regular, "w") as f:
        f.write("keep me")
    os.mkfifo(bed.path("unread"))
    for pipe, says in ((bed.path("absent"), True), (regular, True), ("/dev/null", True),
                       (bed.folder, True), (bed.path("unread"), False)):
        done = d.expect_exit(d.tool("copy", "--psplash-pipe=" + pipe, source, dest), 0)
        expect_copied(source, dest)
        d.expect(done.err.count("psplash progress") == says, "one warning or none", done)
    d.expect(content(regular) == b"keep me", "a regular file was written")
    d.expect(not os.path.exists(bed.path("absent")), "a file was made")


def a_bmap_from_a_pipe_is_not_eaten_by_the_look_for_signatures(bed):
    source, dest = image(bed), bed.path("out")
    os.mkfifo(bed.path("map"))
    feeder = threading.Thread(target=lambda: open(bed.path("map"), "wb").write(
        content(source + ".bmap")), daemon=True)
    feeder.start()
    d.expect_exit(d.tool("copy", "--bmap", bed.path("map"), source, dest), 0)
    feeder.join()
    expect_copied(source, dest)


def a_signal_ends_a_copy_whose_source_is_idle(bed):
    source, dest = image(bed), bed.path("out")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        for given in (0, SIZE // 2):
            running = d.start_tool("copy", "--bmap", source + ".bmap", "-", dest,
                                   stdin=subprocess.PIPE)
            running.proc.stdin.write(content(source)[:given])
            running.proc.stdin.flush()
            wait_until_signals_are_handled(running)
            running.signal(number)
            done = running.wait(10)
            running.proc.stdin.close()
            d.expect(done.code == code, "exit %d expected" % code, done)
            errors = [x for x in done.err.splitlines() if x.startswith("bmaptool: ERROR: ")]
            d.expect(len(errors) == 1 and "interrupted" in errors[0], "one error line", done)
            if given:
                d.expect("out" in errors[0] and "incomplete" in errors[0], "what is it of", done)
            d.expect(not os.path.exists(dest), "half a file was left", done)


def what_cannot_be_copied_says_so_in_one_line(bed):
    source = image(bed, bmap=False)
    cases = [
        (["copy", source, bed.path("o")], "--nobmap"),
        (["copy", "--bmap", bed.path("absent.bmap"), source, bed.path("o")], "absent.bmap"),
        (["copy", "--nobmap", bed.path("absent.img"), bed.path("o")], "absent.img"),
        (["copy", "--nobmap", source, bed.path("no/such/dir")], "no/such/dir"),
        (["copy", "--nobmap", source, source], "disk.img"),
        (["copy", "--nobmap", "--removable-device", source, bed.path("o")], "removable"),
    ]
    for argv, names in cases:
        done = d.expect_exit(d.tool(*argv), 1)
        errors = done.err.splitlines()
        errors = [x for x in errors if x.startswith("bmaptool: ERROR: ")]
        d.expect(len(errors) == 1 and names in errors[0], "one error that names %s" % names, done)
    d.expect(sorted(os.listdir(bed.folder)) == ["disk.img"], "a file was made")


def the_names_that_a_bmap_could_have_are_said(bed):
    source = image(bed, bmap=False)
    with open(source, "rb") as f, gzip.open(source + ".gz", "wb") as packed:
        packed.write(f.read())
    for args in (["copy", source + ".gz", bed.path("out")], ["verify", source + ".gz"]):
        done = d.expect_exit(d.tool(*args), 1)
        d.expect("disk.img.gz.bmap, disk.img.bmap, disk.bmap" in done.err, "not named", done)
        d.expect("name one with --bmap" in done.err, "not said what to do", done)
    d.expect(not os.path.exists(bed.path("out")), "a file was made")


def a_mismatch_names_its_range(bed):
    source, dest = image(bed), bed.path("out")
    with open(source, "r+b") as f:
        f.seek(RANGES[2][0] * 4096 + 5)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    done = d.expect_exit(d.tool("copy", source, dest), 1)
    d.expect("100-136" in done.err and "checksum" in done.err, "the range is not named", done)
    d.expect(not os.path.exists(dest), "a wrong file was left")
    d.expect_exit(d.tool("copy", "--no-verify", source, dest), 0)
    expect_copied(source, dest)


def a_memory_limit_that_is_too_small_is_refused_naming_the_option(bed):
    source = image(bed)
    with open(source, "rb") as f, gzip.open(bed.path("disk.img.gz"), "wb") as packed:
        packed.write(f.read())
    for name in ("disk.img", "disk.img.gz"):
        for limit in ("1", "1M", "8M"):
            done = d.expect_exit(d.tool("copy", "--memory", limit, bed.path(name),
                                        bed.path("out")), 1)
            d.expect(done.err.splitlines()[-1].endswith("raise it with --memory 12M"),
                     "not said what to do", done)
            d.expect("window" not in done.err, "neither has a window that does not fit", done)
        d.expect(not os.path.exists(bed.path("out")), "a file was made")
        d.expect_exit(d.tool("copy", "--memory", "12M", bed.path(name), bed.path("out")), 0)
        expect_copied(source, bed.path("out"))
        os.remove(bed.path("out"))


def a_new_file_in_dev_shm_is_no_mistyped_device(bed):
    """It is a file system of its own below /dev, for files."""
    source = image(bed)
    if not os.path.ismount("/dev/shm") or not os.access("/dev/shm", os.W_OK):
        raise d.Skip("/dev/shm is no file system of its own")
    folder = tempfile.mkdtemp(prefix="bmaptool-", dir="/dev/shm")
    bed.later(shutil.rmtree, folder, True)
    dest = os.path.join(folder, "disk")
    d.expect_exit(d.tool("copy", source, dest), 0)
    expect_copied(source, dest)
    done = d.expect_exit(d.tool("copy", source, "/dev/bmaptool-no-such-disk"), 1)
    d.expect("mistyped" in done.err, "another reason", done)
    d.expect(not os.path.exists("/dev/bmaptool-no-such-disk"), "a file was made in /dev", done)


def a_limit_on_file_sizes_is_an_error_like_any_other(bed):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    source = image(bed)
    before = sorted(os.listdir(bed.folder))
    limit_bytes = d.MIB
    # Known beforehand, found out on the way, and in the output of create.
    for args in (["copy", source, bed.path("out")],
                 ["copy", "--nobmap", "-", bed.path("out")],
                 ["create", source, "-o", bed.path("out.bmap")]):
        if args[0] == "create":
            limit_bytes = 100
        with open(source, "rb") as f:
            pipe = subprocess.Popen(["cat"], stdin=f, stdout=subprocess.PIPE)
        done = subprocess.run([d.BMAPTOOL] + args, preexec_fn=limit, stdin=pipe.stdout,
                              stderr=subprocess.PIPE)
        pipe.stdout.close()
        pipe.wait()
        d.expect(done.returncode == 1 and b"File too large" in done.stderr, str(done))
        d.expect(sorted(os.listdir(bed.folder)) == before, "a file was left")
    # The program's own buffers are no files.
    done = subprocess.run([d.BMAPTOOL, "copy", source, "/dev/null"], preexec_fn=limit,
                          stderr=subprocess.PIPE)
    d.expect(done.returncode == 0, str(done))


if __name__ == "__main__":
    sys.exit(d.main([
        log_lines_are_as_scripts_expect_them,
        quiet_says_nothing_but_errors,
        debug_lines_have_their_own_prefix,
        progress_rises_to_a_hundred_on_a_terminal,
        an_interrupt_on_a_terminal_ends_the_line_first,
        a_quiet_terminal_stays_empty,
        without_a_terminal_as_output_there_is_no_progress,
        an_image_whose_name_leaves_no_room_for_a_signatures_is_copied,
        psplash_gets_rising_numbers,
        psplash_never_fails_the_copy,
        a_bmap_from_a_pipe_is_not_eaten_by_the_look_for_signatures,
        a_signal_ends_a_copy_whose_source_is_idle,
        what_cannot_be_copied_says_so_in_one_line,
        the_names_that_a_bmap_could_have_are_said,
        a_mismatch_names_its_range,
        a_memory_limit_that_is_too_small_is_refused_naming_the_option,
        a_new_file_in_dev_shm_is_no_mistyped_device,
        a_limit_on_file_sizes_is_an_error_like_any_other,
    ]))
