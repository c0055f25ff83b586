# SPDX-License-Identifier: MIT
"""Images in every form that publishers ship them, made by the usual tools.

    form = FORMS_BY_NAME["xz blocks"]; form.require(); form.pack(image, out)

A form that the build or the machine lacks raises device.Skip with the reason. BMAP_TEST_WITHOUT, set by
meson: formats that the program under test was built without."""
import io
import os
import subprocess
import tarfile
import zipfile

import device as d

ZSTD_FRAME = d.MIB


class Form:
    def __init__(self, name, suffix, decoder, how, checks=True, joins=False):
        self.name = name
        self.suffix = suffix  # of a file's name
        self.decoder = decoder  # as the program's messages call it; None: raw
        self.how = how  # a list of commands (a pipeline on the image), or a function(image, out)
        self.checks = checks  # has a checksum over the image's bytes
        self.joins = joins  # one behind the other is a whole file, too

    def __repr__(self):
        return self.name

    def require(self):
        without = os.environ.get("BMAP_TEST_WITHOUT", "").split(",")
        if self.decoder and self.decoder in without:
            raise d.Skip("the program was built without %s" % self.decoder)
        if not callable(self.how):
            d.require_program(*[command[0] for command in self.how])
        elif self.how is frames_of_zstd:
            d.require_program("zstd")

    def pack(self, image, out):
        if callable(self.how):
            self.how(image, out)
        else:
            pipeline(self.how, image, out)
        return out


def pipeline(commands, image, out):
    """The image into the first one, the last one's output into the file."""
    with open(image, "rb") as source, open(out, "wb") as sink:
        running, previous = [], source
        for n, argv in enumerate(commands):
            last = n + 1 == len(commands)
            child = subprocess.Popen([a.format(folder=os.path.dirname(image), name=os.path.basename(image))
                                      for a in argv], stdin=previous,
                                     stdout=sink if last else subprocess.PIPE)
            if previous is not source:
                previous.close()
            previous = child.stdout
            running.append(child)
        for child in running:
            if child.wait():
                raise d.Fail("packing failed: %s" % child.args)


def plain(image, out):
    """A sparse file stays one."""
    d.check_run("cp", "--sparse=always", image, out)


def frames_of_zstd(image, out, frame_bytes=ZSTD_FRAME):
    """Frames with their content size, as a parallel packer writes them. Holes are packed once."""
    zeros = None
    with open(image, "rb") as source, open(out, "wb") as sink:
        while True:
            data = source.read(frame_bytes)
            if not data:
                return
            hole = len(data) == frame_bytes and not any(data)
            if not (hole and zeros):
                frame = subprocess.run(["zstd", "-3", "-q", "-c", "--stream-size=%d" % len(data)],
                                       input=data, stdout=subprocess.PIPE, check=True).stdout
                zeros = frame if hole else zeros
            sink.write(zeros if hole else frame)


def packed_by_us(image, out):
    d.expect_exit(d.tool("pack", "--nobmap", "--level", "1", "-o", out, image), 0)


def zip_deflated(image, out):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(image, "disk.img")


def zip_streamed(image, out):
    """As a packer writes it that cannot go back: sizes behind the data."""
    class NoSeek(io.RawIOBase):
        def __init__(self, to):
            self.to = to

        def write(self, data):
            return self.to.write(data)

    with open(out, "wb") as sink:
        with zipfile.ZipFile(NoSeek(sink), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(image, "disk.img")


def zip_stored(image, out):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.write(image, "disk.img")


def tar_pax(image, out):
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(image, "disk.img")


TAR = ["tar", "-C", "{folder}", "-cf", "-", "{name}"]
TAR_SPARSE = ["tar", "-C", "{folder}", "-cSf", "-", "{name}"]

FORMS = [
    Form("raw", ".raw", None, plain, checks=False),
    Form("gz", ".gz", "gzip", [["gzip", "-1", "-c"]], joins=True),
    Form("zst", ".zst", "zstd", [["zstd", "-1", "-q", "-c"]], joins=True),
    Form("zst frames", ".zst", "zstd", frames_of_zstd, joins=True),
    Form("zst pzstd", ".zst", "zstd", [["pzstd", "-1", "-q", "-c", "-p", "2"]], joins=True),
    Form("zst packed", ".zst", "zstd", packed_by_us),
    Form("xz", ".xz", "xz", [["xz", "-T1", "-0", "-c"]], joins=True),
    Form("xz blocks", ".xz", "xz", [["xz", "-T2", "-0", "--block-size=2MiB", "-c"]], joins=True),
    Form("bz2", ".bz2", "bzip2", [["bzip2", "-9", "-c"]], joins=True),
    Form("lz4", ".lz4", "lz4", [["lz4", "-1", "-q", "-c"]], joins=True),
    Form("lz4 checked", ".lz4", "lz4", [["lz4", "-1", "-q", "-B4", "-BX", "-c"]], joins=True),
    Form("lz4 linked", ".lz4", "lz4", [["lz4", "-1", "-q", "-B4", "-BD", "-c"]], joins=True),
    Form("lz4 legacy", ".lz4", "lz4", [["lz4", "-1", "-q", "-l", "-c"]], checks=False, joins=True),
    Form("lzo", ".lzo", "lzop", [["lzop", "-1", "-q", "-c"]]),
    Form("lzma", ".lzma", "lzma", [["xz", "--format=lzma", "-0", "-c"]], checks=False),
    Form("tar", ".tar", "tar", [TAR], checks=False),
    Form("tar pax", ".tar", "tar", tar_pax, checks=False),
    Form("tar sparse", ".tar", "tar", [TAR_SPARSE], checks=False),
    Form("tar.gz", ".tar.gz", "gzip", [TAR, ["gzip", "-1", "-c"]]),
    Form("tar.xz", ".tar.xz", "xz", [TAR_SPARSE, ["xz", "-T2", "-0", "--block-size=2MiB", "-c"]]),
    Form("tar.zst", ".tar.zst", "zstd", [TAR, ["zstd", "-1", "-q", "-c"]]),
    Form("tar.bz2", ".tbz2", "bzip2", [TAR_SPARSE, ["bzip2", "-1", "-c"]]),
    Form("tar.lz4", ".tlz4", "lz4", [TAR, ["lz4", "-1", "-q", "-c"]]),
    Form("zip", ".zip", "zip", zip_deflated),
    Form("zip streamed", ".zip", "zip", zip_streamed),
    Form("zip stored", ".zip", "zip", zip_stored),
]
FORMS_BY_NAME = {form.name: form for form in FORMS}


def real_files(size):
    """That many bytes of this machine's files, in a fixed order; the same bytes again if there are
    fewer."""
    out = bytearray()
    for folder, dirs, names in os.walk("/usr"):
        dirs.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                if os.path.islink(path) or not 0 < os.path.getsize(path) < 8 * d.MIB:
                    continue
                with open(path, "rb") as f:
                    out += f.read()
            except OSError:
                continue
            if len(out) >= size:
                return bytes(out[:size])
    return bytes((out * (size // max(1, len(out)) + 1))[:size]) if out else os.urandom(size)


def sparse_image(path, mib, rng):
    """A sparse image of real files, an eighth of it, that does not end on a block. Returns its ranges of
    blocks. Beside them it has a piece of old bytes that no range covers (path + ".mapped" has not): with
    a bmap they must not be written."""
    block = 4096
    size = mib * d.MIB + 1536
    pieces = max(4, min(64, mib // 8))
    each = mib * d.MIB // pieces
    data = real_files(mib * d.MIB // 8)
    share = len(data) // pieces
    ranges = []
    with open(path, "wb") as whole, open(path + ".mapped", "wb") as mapped:
        for f in (whole, mapped):
            f.truncate(size)
        for n in range(pieces):
            first = n * each // block + (rng.randrange((each - share) // block // 2) if n else 0)
            count = max(1, share // block - rng.randrange(4))
            bytes_of = data[n * share:n * share + count * block].ljust(count * block, b"\1")
            for f in (whole, mapped):
                f.seek(first * block)
                f.write(bytes_of)
            ranges.append((first, first + count - 1))
        last = size // block
        ranges.append((last, last))
        tail = rng.randbytes(size - last * block)
        for f in (whole, mapped):
            f.seek(last * block)
            f.write(tail)
        whole.seek((ranges[1][1] + 3) * block)
        whole.write(b"old bytes, in no range\n" * 4096)
    return ranges
