#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every fall-back is forced by real means, works, and is said once at info level; the normal run
shows that the fast way was taken."""
import pwd
import resource
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 128 * d.MIB


class World:
    def __init__(self, bed, device=True):
        self.image = d.random_image(bed.path("disk.img"), SIZE, 3, pieces=40)
        self.bmap = bed.path("disk.bmap")
        d.expect_exit(d.tool("create", "-o", self.bmap, self.image), 0)
        self.map = d.Map(self.bmap)
        d.check_run("zstd", "-1", "-q", "-f", self.image, "-o", self.image + ".zst")
        if device:
            self.device, self.backing = bed.loop("target", SIZE, pattern=True)
            self.expected = bed.path("expected")
            d.pattern_fill(self.expected, SIZE)
            d.overlay(self.image, self.expected, self.map.ranges)

    def expect_flashed(self):
        os.sync()
        d.check_run("cmp", self.expected, self.backing)
        d.pattern_fill(self.backing, SIZE)
        d.drop_cache(self.device)


def said_at_info(done, word):
    return [line for line in done.err.splitlines()
            if line.startswith("bmaptool: info: ") and word.lower() in line.lower()]


def expect_said_once(done, word):
    lines = said_at_info(done, word)
    d.expect(len(lines) == 1, "%d info lines about %s, 1 expected" % (len(lines), word), done)


def the_normal_run_takes_the_fast_path(bed):
    d.require_loop()
    world = World(bed)
    for source in (world.image, world.image + ".zst"):
        done = d.expect_exit(d.tool("-d", "copy", "--bmap", world.bmap, source, world.device), 0)
        debug = "\n".join(line for line in done.err.splitlines() if "debug: " in line)
        d.expect("io_uring" in debug, "no io_uring in the counters", done)
        d.expect("O_DIRECT" in debug, "no O_DIRECT in the counters", done)
        d.expect(not said_at_info(done, "io_uring") and not said_at_info(done, "O_DIRECT"),
                 "a fall-back is announced", done)
        world.expect_flashed()


def a_seccomp_filter_that_forbids_io_uring_costs_only_speed(bed):
    d.require_loop()
    world = World(bed)
    helper = d.compile_helper(bed, "no_uring")
    for code in ("EPERM", "ENOSYS", "ENOMEM"):
        for source in (world.image, world.image + ".zst"):
            done = d.expect_exit(d.run(helper, code, d.BMAPTOOL, "-d", "copy", "--bmap", world.bmap,
                                       source, world.device), 0)
            expect_said_once(done, "io_uring")
            world.expect_flashed()
        done = d.run(helper, code, d.BMAPTOOL, "verify", "--bmap", world.bmap, world.image)
        d.expect_exit(done, 0)
        done = d.run(helper, code, d.BMAPTOOL, "create", "-o", bed.path("again.bmap"), world.image)
        d.expect_exit(done, 0)


def io_uring_disabled_by_sysctl_is_named(bed):
    d.require_loop()
    world = World(bed)
    bed.sysctl("kernel.io_uring_disabled", "2")
    done = d.expect_exit(d.tool("-d", "copy", "--bmap", world.bmap, world.image, world.device), 0)
    expect_said_once(done, "io_uring")
    d.expect("io_uring_disabled" in done.err, "the sysctl is not named", done)
    world.expect_flashed()


def a_file_system_without_o_direct_is_written_all_the_same(bed):
    d.require_root()
    world = World(bed, device=False)
    where = bed.mount("none", "-t", "ramfs")
    probe = os.path.join(where, "probe")
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
        raise d.Skip("ramfs takes O_DIRECT on this kernel")
    except OSError:
        pass
    for source in (world.image, world.image + ".zst"):
        out = os.path.join(where, "out.img")
        done = d.expect_exit(d.tool("-d", "copy", "--bmap", world.bmap, source, out), 0)
        expect_said_once(done, "O_DIRECT")
        d.check_run("cmp", world.image, out)
        os.unlink(out)
    done = d.expect_exit(d.tool("verify", "--bmap", world.bmap, world.image), 0)


def nobody(bed, *paths):
    """preexec_fn that becomes an ordinary user; the files of the case are his."""
    d.require_root()
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        raise d.Skip("no user nobody")
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
    os.chmod(bed.folder, 0o777)

    def become():
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    return become


def program_readable_by_nobody(bed):
    """The build folder may lie where an ordinary user cannot go."""
    copy = bed.path("bmaptool")
    d.shutil.copy(d.BMAPTOOL, copy)
    os.chmod(copy, 0o755)
    return copy


def sixty_four_kib_of_lockable_memory_are_enough_for_an_ordinary_user(bed):
    d.require_loop()
    world = World(bed)
    become = nobody(bed, world.device)
    bed.later(os.chown, world.device, 0, 6)
    program = program_readable_by_nobody(bed)

    def limited():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 * d.KIB, 64 * d.KIB))
        become()
    for source in (world.image, world.image + ".zst"):
        done = d.expect_exit(d.run(program, "-d", "copy", "--bmap", world.bmap, source, world.device,
                                   preexec_fn=limited), 0)
        d.expect("io_uring" in done.err, "io_uring must work without registered memory", done)
        d.expect(not [line for line in done.err.splitlines() if "WARNING" in line],
                 "no warning is due", done)
        world.expect_flashed()


def an_ordinary_user_flashes_a_device_that_is_his(bed):
    d.require_loop()
    world = World(bed)
    become = nobody(bed, world.device)
    bed.later(os.chown, world.device, 0, 6)
    program = program_readable_by_nobody(bed)
    done = d.expect_exit(d.run(program, "copy", "--bmap", world.bmap, world.image + ".zst",
                               world.device, preexec_fn=become), 0)
    world.expect_flashed()
    del done


def an_ordinary_user_without_access_is_told_so(bed):
    d.require_loop()
    world = World(bed)
    become = nobody(bed)
    program = program_readable_by_nobody(bed)
    os.chmod(world.device, 0o600)
    bed.later(os.chmod, world.device, 0o660)
    done = d.run(program, "copy", "--bmap", world.bmap, world.image, world.device, preexec_fn=become)
    d.expect_exit(done, 1)
    d.expect("Permission denied" in done.err and world.device in done.err, "why is not said", done)


if __name__ == "__main__":
    sys.exit(d.main([
        the_normal_run_takes_the_fast_path,
        a_seccomp_filter_that_forbids_io_uring_costs_only_speed,
        io_uring_disabled_by_sysctl_is_named,
        a_file_system_without_o_direct_is_written_all_the_same,
        sixty_four_kib_of_lockable_memory_are_enough_for_an_ordinary_user,
        an_ordinary_user_flashes_a_device_that_is_his,
        an_ordinary_user_without_access_is_told_so,
    ], need_bytes=5 * SIZE))
