#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory stays bounded, whatever the image's size, form and number of ranges. PSS is what counts (a
mapping that is mapped twice counts twice in RSS); VmHWM is reported beside it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402

SIZE = 1536 * d.MIB
LIMIT = 64 * d.MIB


def peak(bed, what, *args, **kw):
    job = d.start_tool(*args, **kw)
    hwm = 0
    while job.proc.poll() is None:
        hwm = max(hwm, job.sample())
        d.time.sleep(0.01)
    done = d.expect_exit(job.wait(), 0)
    d.expect(job.peak_pss, "it ended before its memory could be seen", done)
    bed.note("%s: PSS %.1f MiB, VmHWM %.1f MiB" % (what, job.peak_pss / d.MIB, hwm / d.MIB))
    return job.peak_pss


def world(bed):
    if d.sanitized():
        raise d.Skip("a sanitizer's build has other memory")
    d.require_program("zstd", "gzip")
    image = d.random_image(bed.path("disk.img"), SIZE, 9, pieces=400)
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    return image


def stays_below(bed, form, command):
    d.require_loop()
    image = world(bed)
    source = image
    if command:
        source = image + "." + form
        with open(source, "wb") as out:
            d.subprocess.run(command + [image], stdout=out, check=True)
    target, _ = bed.loop("target", SIZE)
    most = peak(bed, form, "copy", "--bmap", bed.path("disk.bmap"), source, target)
    d.expect(most <= LIMIT, "%s: %d MiB, at most %d" % (form, most // d.MIB, LIMIT // d.MIB))


def a_zst_copy_stays_below_64_mib(bed):
    stays_below(bed, "zst", ["zstd", "-3", "-T0", "-q", "-c"])


def a_gz_copy_stays_below_64_mib(bed):
    stays_below(bed, "gz", ["pigz" if d.shutil.which("pigz") else "gzip", "-1", "-c"])


def a_raw_copy_stays_below_64_mib(bed):
    stays_below(bed, "img", None)


def create_and_verify_stay_below_64_mib(bed):
    image = world(bed)
    for args in (("create", "-o", bed.path("again.bmap"), image),
                 ("verify", "--bmap", bed.path("disk.bmap"), image)):
        most = peak(bed, args[0], *args)
        d.expect(most <= LIMIT, "%s: %d MiB" % (args[0], most // d.MIB))


def a_window_of_128_mib_works_and_keeps_to_the_limit(bed):
    image = world(bed)
    packed = bed.path("long.zst")
    d.check_run("zstd", "-1", "--long=27", "-q", image, "-o", packed)
    limit = 256 * d.MIB
    most = peak(bed, "--long=27", "copy", "--bmap", bed.path("disk.bmap"), packed, "/dev/null")
    d.expect(most <= limit, "%d MiB, at most %d" % (most // d.MIB, limit // d.MIB))


def a_window_that_does_not_fit_is_refused_naming_the_option(bed):
    image = d.random_image(bed.path("disk.img"), 64 * d.MIB, 9)
    d.expect_exit(d.tool("create", "-o", bed.path("disk.bmap"), image), 0)
    packed = bed.path("long.zst")
    with open(image, "rb") as src, open(packed, "wb") as out:
        # From a pipe: the size is not known, so the frame asks for the whole window.
        d.subprocess.run(["zstd", "-1", "--ultra", "--long=31", "-q", "-c"], stdin=d.subprocess.Popen(
            ["cat"], stdin=src, stdout=d.subprocess.PIPE).stdout, stdout=out, check=True)
    out = bed.path("out.img")
    done = d.expect_exit(d.tool("copy", "--bmap", bed.path("disk.bmap"), packed, out), 1)
    d.expect("--memory" in done.err, "the option is not named", done)
    d.expect(not os.path.exists(out), "the destination was made before the header was judged")


def many_ranges_cost_little_memory(bed):
    if d.sanitized():
        raise d.Skip("a sanitizer's build has other memory")
    size = 1024 * d.MIB
    image = bed.path("many.img")
    with open(image, "wb") as f:
        f.truncate(size)
        for block in range(0, size // 4096, 2):
            f.seek(block * 4096)
            f.write(b"%08d" % block * 512)
    bmap = d.write_map(bed.path("many.bmap"), image, size, [(b, b) for b in range(0, size // 4096, 2)])
    most = peak(bed, "131072 ranges", "copy", "--bmap", bmap, image, "/dev/null")
    d.expect(most <= LIMIT + 16 * d.MIB, "%d MiB for 131072 ranges" % (most // d.MIB))


def each_further_target_costs_at_most_a_mebibyte(bed):
    d.require_loop()
    if d.sanitized():
        raise d.Skip("a sanitizer's build has other memory")
    size = 192 * d.MIB
    image = bed.path("dense.img")
    with open(image, "wb") as f:
        for _ in range(size // (8 * d.MIB)):
            f.write(bed.rng.randbytes(8 * d.MIB))
    bmap = d.write_map(bed.path("dense.bmap"), image, size, [(0, size // 4096 - 1)])
    targets = [bed.loop("target%d" % n, size)[0] for n in range(8)]
    for how in ("--no-read-back", "--read-back"):
        one, all_ = (peak(bed, "%s, %d targets" % (how, n), "copy", how, "--bmap", bmap, image,
                          *targets[:n]) for n in (1, len(targets)))
        d.expect(all_ - one <= (len(targets) - 1) * d.MIB, "%s: %d KiB more for %d more targets" % (
            how, (all_ - one) // d.KIB, len(targets) - 1))


if __name__ == "__main__":
    sys.exit(d.main([
        a_zst_copy_stays_below_64_mib,
        a_gz_copy_stays_below_64_mib,
        a_raw_copy_stays_below_64_mib,
        create_and_verify_stay_below_64_mib,
        a_window_of_128_mib_works_and_keeps_to_the_limit,
        a_window_that_does_not_fit_is_refused_naming_the_option,
        many_ranges_cost_little_memory,
        each_further_target_costs_at_most_a_mebibyte,
    ], need_bytes=2 * SIZE))
