#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy from ssh URLs, with a program in ssh's place that runs the remote command here."""
import os
import signal
import sys
import time

from common import content, d, expect_copied, image, wait_until_signals_are_handled

# Writes down how it was called, and does what a server's shell would do.
SSH = r"""#!%s
import os, signal, sys, time
folder = %r
with open(folder + "/calls", "ab") as f:
    f.write(b"\0".join(os.fsencode(a) for a in sys.argv[1:]) + b"\n")
with open(folder + "/pid", "w") as f:
    f.write(str(os.getpid()))
with open(folder + "/state", "w") as f:
    status = open("/proc/self/status").read().splitlines()
    f.write("\n".join(l for l in status if l.startswith(("SigBlk", "SigIgn"))))
    f.write("\n" + " ".join(sorted(os.listdir("/proc/self/fd"))) + "\n" + os.readlink("/proc/self/fd/0"))
mode = os.environ.get("FAKE_SSH", "")
if mode == "fail":
    sys.stderr.write("ssh: connect to host: No route to host\n")
    sys.exit(255)
if mode == "hang":
    time.sleep(60)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("x" * 300000)
    sys.stdout.flush()
    time.sleep(60)
if mode == "cut":
    path = sys.argv[-1].split("'")[1]
    sys.stdout.buffer.write(open(path, "rb").read()[:500000])
    sys.stdout.flush()
    sys.exit(255)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
os.execv("/bin/sh", ["sh", "-c", sys.argv[-1]])
"""


class FakeSsh:
    def __init__(self, bed):
        self.folder = bed.path("ssh-bin")
        os.mkdir(self.folder)
        with open(self.folder + "/ssh", "w") as f:
            f.write(SSH % (sys.executable, self.folder))
        os.chmod(self.folder + "/ssh", 0o755)

    def env(self, mode=""):
        return {"PATH": self.folder + ":" + os.environ["PATH"], "FAKE_SSH": mode}

    def calls(self):
        try:
            with open(self.folder + "/calls", "rb") as f:
                lines = [line.split(b"\0") for line in f.read().splitlines()]
        except FileNotFoundError:
            return []
        os.unlink(self.folder + "/calls")
        return [[os.fsdecode(a) for a in line] for line in lines]

    def pid(self):
        with open(self.folder + "/pid") as f:
            return int(f.read())


def is_gone(pid):
    return not os.path.exists("/proc/%d" % pid)


def an_image_and_its_bmap_come_by_ssh(bed):
    source, ssh = image(bed), FakeSsh(bed)
    done = d.expect_exit(d.tool("copy", "ssh://me@board.local:2222" + source, bed.path("out"),
                                env=ssh.env()), 0)
    expect_copied(source, bed.path("out"))
    calls = ssh.calls()
    d.expect(calls[0] == ["-T", "-x", "-p", "2222", "--", "me@board.local", "cat -- '%s'" % source],
             str(calls), done)
    d.expect(calls[1][-1] == "cat -- '%s.bmap'" % source, str(calls), done)
    d.expect("discovered bmap file 'ssh://board.local:2222%s.bmap'" % source in done.err, "discovery", done)
    d.expect("me@" not in done.err, "the user is shown", done)
    d.expect_exit(d.tool("verify", "ssh://[::1]" + source, env=ssh.env()), 0)
    d.expect(ssh.calls()[0][2:4] == ["--", "::1"], "an address has no brackets for ssh")


def the_program_is_started_as_from_a_shell(bed):
    source, ssh = image(bed), FakeSsh(bed)
    d.expect_exit(d.tool("copy", "ssh://h" + source, bed.path("out"), env=ssh.env(),
                         pass_fds=[os.open("/dev/null", os.O_RDONLY)]), 0)
    with open(ssh.folder + "/state") as f:
        state = f.read().splitlines()
    d.expect(int(state[0].split()[1], 16) == 0, "blocked signals: %s" % state[0])
    # Python ignores SIGPIPE and SIGXFSZ; 32 and 33 are the C library's.
    own = sum(1 << n - 1 for n in (signal.SIGPIPE, signal.SIGXFSZ, 32, 33))
    d.expect(int(state[1].split()[1], 16) & ~own == 0, "ignored signals: %s" % state[1])
    # 3 is the file itself, 4 the listing's own.
    d.expect(state[2].split() == ["0", "1", "2", "3", "4"], "open descriptors: %s" % state[2])
    d.expect(state[3] == "/dev/null", "standard input: %s" % state[3])


def names_reach_the_file_and_not_the_shell(bed):
    ssh = FakeSsh(bed)
    for name in ("a b'c", "$(touch x)", "`touch x`;touch x", "-n", "''", '"\\', "a%b", "\u00e4\u20ac", "a&b|c>d"):
        source = image(bed, name)
        url = "ssh://h" + "".join(c if c.isalnum() or c in "/-_" else
                                  "".join("%%%02X" % b for b in c.encode()) for c in source)
        d.expect_exit(d.tool("copy", url, bed.path("out"), env=ssh.env(), cwd=bed.folder), 0)
        expect_copied(source, bed.path("out"))
        d.expect(not os.path.exists(bed.path("x")), "the shell ran a part of %r" % name)
    ssh.calls()


def what_is_no_plain_host_user_or_path_is_refused(bed):
    ssh = FakeSsh(bed)
    for url, text in (
            ("ssh://-oProxyCommand=touch/x", "host"), ("ssh://-h/x", "refused"), ("ssh://-u@h/x", "refused"),
            ("ssh://%2Du@h/x", "refused"), ("ssh://u%20-o%20x@h/x", "refused"), ("ssh://a%60b@h/x", "refused"),
            ("ssh://u$x@h/x", "refused"), ("ssh://h", "not the URL of a file"), ("ssh://h/", "not the URL"),
            ("ssh://h/x?y", "not the URL"), ("ssh://h/a%0Ab", "control"), ("ssh://h/a%00b", "%"),
            ("ssh://u:pw@h/x", "password"), ("ssh://u:@h/x", "password"), ("ssh:///x", "host"),
            ("ssh://h:0/x", "port"), ("ssh://h:22x/x", "port")):
        done = d.expect_exit(d.tool("copy", url, bed.path("o"), "--nobmap", env=ssh.env()), 1)
        d.expect(text in done.err, "no word of %r: %s" % (text, url), done)
        d.expect("u:pw" not in done.err, "the password is shown", done)
    d.expect(not ssh.calls(), "ssh was started")


def how_the_program_ended_counts(bed):
    source, ssh = image(bed), FakeSsh(bed)
    for mode, text in (("fail", "code 255"), ("cut", "code 255"), ("killed", "signal 9")):
        done = d.expect_exit(d.tool("copy", "ssh://h" + source, bed.path("o"), "--nobmap",
                                    env=ssh.env(mode)), 1)
        d.expect(text in done.err and not os.path.exists(bed.path("o")), "no word of %s" % text, done)
        d.expect(mode != "fail" or "No route to host" in done.err, "what ssh says is shown", done)
    done = d.expect_exit(d.tool("copy", "ssh://h/none.img", bed.path("o"), "--nobmap", env=ssh.env()), 1)
    d.expect("code 1" in done.err and "none.img" in done.err, "cat's code", done)
    # Its end is waited for also where all bytes came: the last byte may be the last of a broken line.
    with open(bed.path("half"), "wb") as f:
        f.write(content(source)[:500000])
    done = d.expect_exit(d.tool("copy", "ssh://h" + bed.path("half"), bed.path("o"), "--nobmap",
                                env=ssh.env("cut")), 1)
    env = dict(ssh.env(), PATH="/nonexistent")
    done = d.expect_exit(d.tool("copy", "ssh://h/x", bed.path("o"), "--nobmap", env=env), 1)
    d.expect("program ssh" in done.err, "ssh is not there", done)


def a_signal_ends_the_program_too(bed):
    source, ssh = image(bed), FakeSsh(bed)
    for mode, seconds in (("hang", 2), ("stubborn", 3)):
        running = d.start_tool("copy", "ssh://h" + source, bed.path("o"), "--nobmap", env=ssh.env(mode))
        wait_until_signals_are_handled(running)
        d.wait_until(lambda: ssh.calls(), 10, "ssh was started")
        time.sleep(0.3)
        began = time.monotonic()
        running.signal(signal.SIGINT)
        done = running.wait(10)
        d.expect(done.code == 130 and time.monotonic() - began < seconds, "exit 130 expected", done)
        d.expect(is_gone(ssh.pid()), "ssh lives on")
        d.expect(not os.path.exists(bed.path("o")), "the file was left")


if __name__ == "__main__":
    sys.exit(d.main([
        an_image_and_its_bmap_come_by_ssh,
        the_program_is_started_as_from_a_shell,
        names_reach_the_file_and_not_the_shell,
        what_is_no_plain_host_user_or_path_is_refused,
        how_the_program_ended_counts,
        a_signal_ends_the_program_too,
    ]))
