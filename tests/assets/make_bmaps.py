#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the bmap files of this folder anew: accepted-*.bmap, refused-*.bmap.

Most of the refused ones are right but for one thing, their own checksum included, so that the
test shows that this one thing is seen. tests/unit/bmap/xml_reader_test.c says what each must do.
"""
import hashlib
import os

HERE = os.path.dirname(os.path.abspath(__file__))
BS, SIZE = 4096, 171 * 4096 + 700
RANGES = [(0, 2), (5, 5), (9, 40), (100, 171)]
MAPPED = 3 + 1 + 32 + 72
OWN = "@OWN@"


def digest(algo, n):
    """Some checksum: the test looks whether this one comes out."""
    return hashlib.new(algo, b"range %d" % n).hexdigest()


def seal(text, algo="sha256"):
    raw = text if isinstance(text, bytes) else text.encode()
    zeros = b"0" * (2 * hashlib.new(algo).digest_size)
    own = hashlib.new(algo, raw.replace(OWN.encode(), zeros)).hexdigest().encode()
    return raw.replace(OWN.encode(), own)


def bmap(version="2.0", algo="sha256", sums=True, ranges=None, text=None, **ov):
    """ov: other text of an element, None leaves it out. text: other text of the block map."""
    old = version in ("1.0", "1.1", "1.2")
    attr = "chksum" if version not in ("1.2", "1.3") else "sha1"

    def el(name, value):
        value = ov.get(name, value)
        return "" if value is None else "    <%s> %s </%s>\n" % (name, value, name)
    mapped = el("MappedBlocksCount", "%d   " % MAPPED)
    s = '<?xml version="1.0" ?>\n<bmap version="%s">\n' % ov.get("version", version)
    s += el("ImageSize", SIZE) + el("BlockSize", BS) + el("BlocksCount", 172)
    if not old:
        s += mapped
        if version == "1.3":
            s += el("BmapFileSHA1", OWN)
        else:
            s += el("ChecksumType", algo) + el("BmapFileChecksum", OWN)
    s += ov.get("before", "") + "    <BlockMap>\n"
    if text is None:
        text = ""
        for n, (a, b) in enumerate(RANGES if ranges is None else ranges):
            at = ' %s="%s"' % (attr, digest(algo, n)) if sums else ""
            text += "        <Range%s> %s </Range>\n" % (at, a if a == b else "%d-%d" % (a, b))
    s += text + "    </BlockMap>\n" + (mapped if old else "") + ov.get("after", "") + "</bmap>\n"
    return seal(s, "sha1" if version == "1.3" else algo if algo in hashlib.algorithms_available
                else "sha256")


def plain(text, **ov):
    """A block map of this text, without checksums of ranges."""
    return bmap(text=text, sums=False, **ov)


def accepted():
    for v in ("1.0", "1.1"):
        yield v, bmap(v, sums=False)
    yield "1.2", bmap("1.2", "sha1", sums=False)
    yield "1.2-sha1", bmap("1.2", "sha1")
    yield "1.3-sha1", bmap("1.3", "sha1")
    yield "1.3-no-range-checksums", bmap("1.3", "sha1", sums=False)
    for a in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        yield "1.4-" + a, bmap("1.4", a)
        yield "2.0-" + a, bmap("2.0", a)
    yield "2.0-no-range-checksums", bmap(sums=False)
    yield "2.7-later-minor", bmap("2.7", before='    <Later a="1"><BlockSize>9</BlockSize></Later>\n')
    s0, s2 = digest("sha256", 0), digest("sha256", 2)
    yield "mixed-first-without", bmap(
        text='<Range>0-2</Range><Range>5</Range><Range chksum="%s">9-40</Range><Range>100-171'
        '</Range>' % s2)
    yield "mixed-first-with", bmap(
        text='<Range chksum="%s">0-2</Range><Range>5</Range><Range chksum="%s">9-40</Range>'
        '<Range>100-171</Range>' % (s0, s2))
    yield "crlf-bom-quotes", b"\xef\xbb\xbf" + bmap_crlf()
    yield "other-order", seal(
        "<bmap version='2.0'><BlockMap>" + "".join(
            "<Range chksum='%s'>%d-%d</Range>" % ((digest("sha256", n),) + r)
            for n, r in enumerate(RANGES)) +
        "</BlockMap><BmapFileChecksum>" + OWN + "</BmapFileChecksum>"
        "<MappedBlocksCount>108</MappedBlocksCount><BlocksCount>172</BlocksCount>"
        "<ChecksumType>sha256</ChecksumType><BlockSize>4096</BlockSize><ImageSize>%d</ImageSize>"
        "</bmap>" % SIZE)
    yield "comments-inside", bmap(
        sums=False, text="<!-- <Range>1</Range> --><Range> 0<!-- to -->-2</Range><Range>\n 5\n "
        "</Range><!--<BmapFileChecksum>1</BmapFileChecksum>--><Range>9  -\n40</Range>"
        "<Range><![CDATA[100-171]]></Range>")
    yield "own-digits-in-a-comment-before", twice()
    up = bmap()
    i = up.index(b"<BmapFileChecksum> ") + 19
    yield "upper-case-digits", up[:i] + up[i:i + 64].upper() + up[i + 64:]
    yield "latin1", seal('<?xml version="1.0" encoding="ISO-8859-1"?>\n'.encode() + b"<!-- \xe4 -->"
                         + bmap_raw())
    yield "touching-ranges", bmap(ranges=[(0, 2), (3, 3), (4, 35), (100, 171)])
    yield "no-ranges", bmap(ranges=[], MappedBlocksCount="0")
    yield "one-byte", bmap(ranges=[(0, 0)], ImageSize=1, BlocksCount=1, MappedBlocksCount=1)
    yield "largest-image", bmap(ranges=[(2 ** 51 - 1, 2 ** 51 - 1)], ImageSize=2 ** 63 - 1,
                                BlocksCount=2 ** 51, MappedBlocksCount=1)


def bmap_raw():
    return ("<bmap version='2.0'><ImageSize>%d</ImageSize><BlockSize>4096</BlockSize><BlocksCount>"
            "172</BlocksCount><MappedBlocksCount>1</MappedBlocksCount><ChecksumType>sha256"
            "</ChecksumType><BmapFileChecksum>%s</BmapFileChecksum><BlockMap><Range>5</Range>"
            "</BlockMap></bmap>" % (SIZE, OWN)).encode()


def bmap_crlf():
    # The BOM is part of the file, so also of its checksum.
    text = ("<?xml version='1.0'?>\r\n<bmap\r\n version='2.0' >\r\n<ImageSize>\r\n%d</ImageSize>"
            "\r\n<BlockSize>4096\r\n</BlockSize><BlocksCount>172</BlocksCount><MappedBlocksCount>"
            "1</MappedBlocksCount ><ChecksumType>\tSHA256\t</ChecksumType><BmapFileChecksum\tx='>'>"
            "\r\n%s\r\n</BmapFileChecksum><BlockMap ><Range\r\nchksum = '%s' > 5 </Range>"
            "</BlockMap></bmap>\r\n" % (SIZE, OWN, digest("sha256", 1))).encode()
    return seal(b"\xef\xbb\xbf" + text)[3:]


def twice():
    """A comment before the element looks like it. What is replaced is the element's text."""
    s = b"<?xml version='1.0'?>\n<!-- <BmapFileChecksum>" + b"0" * 64 + b"</BmapFileChecksum> -->\n"
    return seal(s + bmap_raw())


def refused():
    good = bmap()
    yield "wrong-own-checksum", good.replace(b" 9-40 ", b" 9-40  ")
    yield "wrong-own-checksum-no-range-checksums", bmap(sums=False).replace(b" 5 ", b" 5  ")
    yield "wrong-own-checksum-1.3", bmap("1.3", "sha1").replace(b"</bmap>", b"</bmap> ")
    yield "own-checksum-too-short", bmap(BmapFileChecksum="0" * 63)
    yield "own-checksum-no-digits", bmap(BmapFileChecksum="x" * 64)
    yield "own-checksum-empty", bmap(BmapFileChecksum="")
    yield "own-checksum-as-references", bmap(BmapFileChecksum="&#48;" * 64)
    yield "own-checksum-in-two-pieces", bmap(BmapFileChecksum="0" * 32 + "<!-- -->" + "0" * 32)
    yield "version-0.9", bmap(version="0.9")
    yield "version-3.0", bmap(version="3.0")
    yield "version-4294967298.0", bmap(version="4294967298.0")
    yield "version-only-major", bmap(version="2")
    yield "version-word", bmap(version="two")
    yield "version-negative", bmap(version="-1.4")
    yield "version-missing", good.replace(b' version="2.0"', b"")
    for name in ("ImageSize", "BlockSize", "BlocksCount", "MappedBlocksCount", "ChecksumType",
                 "BmapFileChecksum"):
        yield "missing-" + name, bmap(**{name: None})
    yield "missing-MappedBlocksCount-1.0", bmap("1.0", sums=False, MappedBlocksCount=None)
    yield "missing-BmapFileSHA1", bmap("1.3", "sha1", BmapFileSHA1=None)
    yield "missing-BlockMap", good[:good.index(b"    <BlockMap>")] + b"</bmap>\n"
    yield "twice-ImageSize", bmap(before="<ImageSize>%d</ImageSize>" % SIZE)
    yield "twice-BmapFileChecksum", bmap(before="<BmapFileChecksum>%s</BmapFileChecksum>" % OWN)
    yield "twice-BlockMap", bmap(after="<BlockMap></BlockMap>")
    yield "element-in-a-number", bmap(BlockSize="40<b>9</b>6")
    for what, n in (("negative", "-1"), ("plus", "+4096"), ("hex", "0x1000"), ("words", "4096 a"),
                    ("two", "40 96"), ("empty", ""), ("point", "4096.0"), ("2-64", 2 ** 64),
                    ("long", "9" * 300), ("zero", 0), ("huge", 2 ** 63 + 5)):
        yield "BlockSize-" + what, bmap(BlockSize=n)
    yield "ImageSize-zero", bmap(ImageSize=0, BlocksCount=0, MappedBlocksCount=0, ranges=[])
    yield "ImageSize-2-63", bmap(ImageSize=2 ** 63, BlocksCount=2 ** 51)
    yield "ImageSize-negative", bmap(ImageSize=-SIZE)
    yield "BlocksCount-too-small", bmap(BlocksCount=171)
    yield "BlocksCount-too-large", bmap(BlocksCount=173)
    yield "BlocksCount-2-64", bmap(BlocksCount=2 ** 64 + 172)
    yield "MappedBlocksCount-too-small", bmap(MappedBlocksCount=107)
    yield "MappedBlocksCount-too-large", bmap(MappedBlocksCount=109)
    yield "MappedBlocksCount-1.2", bmap("1.2", "sha1", MappedBlocksCount=1)
    yield "range-backwards", plain("<Range>40-9</Range>")
    yield "range-overlap", plain("<Range>0-5</Range><Range>5-6</Range>")
    yield "range-same-twice", plain("<Range>5</Range><Range>5</Range>")
    yield "range-out-of-order", plain("<Range>9-40</Range><Range>0-2</Range>")
    yield "range-beyond", plain("<Range>100-172</Range>", MappedBlocksCount=73)
    yield "range-at-2-64", plain("<Range>0-18446744073709551615</Range>", MappedBlocksCount=0)
    yield "range-over-2-64", plain("<Range>0-18446744073709551616</Range>")
    yield "range-empty", plain("<Range></Range>")
    yield "range-empty-tag", plain("<Range/>")
    yield "range-open", plain("<Range>5-</Range>")
    yield "range-minus", plain("<Range>-5</Range>")
    yield "range-three", plain("<Range>1-2-3</Range>")
    yield "range-words", plain("<Range>one</Range>")
    yield "range-escape", plain("<Range>&#x9b;31m&#x7f;</Range>")
    yield "range-with-element", plain("<Range>5<i/></Range>")
    yield "range-long-text", plain("<Range>5-%s7</Range>" % ("0" * 500))
    for what, c in (("short", "ab" * 31), ("long", "ab" * 33), ("odd", "a" * 63),
                    ("no-hex", "g" * 64), ("empty", ""), ("of-sha1", "ab" * 20),
                    ("very-long", "ab" * 300)):
        yield "range-checksum-" + what, bmap(text='<Range chksum="%s">5</Range>' % c)
    yield "range-checksum-other-length-later", bmap(
        "1.2", "sha1", text='<Range sha1="%s">5</Range><Range sha1="%s">7</Range>' % (
            "ab" * 20, "ab" * 32))
    # ChecksumType comes behind the ranges: only the end can say that they do not fit.
    yield "range-checksum-type-behind", seal(
        bmap_raw().decode().replace("<ChecksumType>sha256</ChecksumType>", "").replace(
            "<BlockMap><Range>", "<BlockMap><Range chksum='%s'>" % ("ab" * 20)).replace(
            "</bmap>", "<ChecksumType>sha256</ChecksumType></bmap>").replace(
            "<BmapFileChecksum>" + OWN, "<BmapFileChecksum>" + OWN))
    yield "checksum-type-unknown", bmap(ChecksumType="crc32")
    yield "checksum-type-none", bmap(ChecksumType="none")
    yield "checksum-type-empty", bmap(ChecksumType="")
    # XML
    yield "truncated-in-range", good[:good.index(b"9-40") + 2]
    yield "truncated-in-tag", good[:good.index(b"<Range") + 4]
    yield "truncated-at-end-tag", good[:good.index(b"</bmap>")]
    yield "text-behind", good + b"more\n"
    yield "second-root", good + good[good.index(b"<bmap"):]
    yield "wrong-nesting", good.replace(b"</BlockMap>\n</bmap>", b"</bmap>\n</BlockMap>")
    yield "attribute-twice", good.replace(b'version="2.0"', b'version="2.0" version="2.0"')
    yield "attribute-unquoted", good.replace(b'version="2.0"', b"version=2.0")
    yield "prefix-unknown", good.replace(b"<bmap ", b"<x:bmap ").replace(b"</bmap", b"</x:bmap")
    yield "namespace", good.replace(b"<bmap ", b"<bmap xmlns='urn:x' ")
    yield "nul-behind", good + b"\0"
    yield "nul-far-behind", good + b" " * 5000 + b"\0"
    yield "bad-utf8", good.replace(b"    <BlockMap>", b"<!-- \xff\xfe\xc0 --><BlockMap>")
    yield "control-character", good.replace(b"    <BlockMap>", b"\x1b[31m<BlockMap>")
    yield "utf16", b"\xff\xfe" + good.decode().encode("utf-16-le")
    yield "utf16-no-bom", good.decode().encode("utf-16-be")
    yield "encoding-unknown", good.replace(b'version="1.0" ?', b'version="1.0" encoding="x-none"?')
    yield "entity-undeclared", plain("<Range>&five;</Range>")
    laughs = '<!DOCTYPE bmap [<!ENTITY a0 "5">' + "".join(
        '<!ENTITY a%d "%s">' % (i + 1, ("&a%d;" % i) * 10) for i in range(12)) + "]>\n"
    yield "billion-laughs", good.replace(b"<bmap", laughs.encode() + b"<bmap", 1)
    yield "entity-file", good.replace(
        b"<bmap", b'<!DOCTYPE bmap [<!ENTITY f SYSTEM "file:///etc/passwd">]>\n<bmap', 1)
    yield "doctype-server", good.replace(
        b"<bmap", b'<!DOCTYPE bmap SYSTEM "http://127.0.0.1:9/x.dtd">\n<bmap', 1)
    yield "deep-nesting", bmap(before="<a>" * 500 + "</a>" * 500)
    yield "huge-attribute", bmap(before='<a b="%s"/>' % ("x" * 9000))
    yield "many-attributes", bmap(before="<a %s/>" % " ".join("a%d=''" % i for i in range(2000)))
    yield "huge-tag-open-quote", good[:-8] + b"<a b='" + b"x" * 9000
    # no XML at all
    yield "empty", b""
    yield "white-space", b" \n" * 10
    yield "text", b"0-2\n5\n"
    yield "html", b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
    yield "other-root", b'<?xml version="1.0"?>\n<map version="2.0"></map>\n'
    yield "json", b'{ "version": "2.0" }\n'
    mbr = bytearray(1024)
    mbr[510:512] = b"\x55\xaa"
    yield "image-mbr", bytes(mbr)
    mbr[512:520] = b"EFI PART"
    yield "image-gpt", bytes(mbr)
    ext = bytearray(2048)
    ext[1080:1082] = b"\x53\xef"
    yield "image-ext4", bytes(ext)
    yield "image-zeros", bytes(600)
    yield "image-gz", b"\x1f\x8b\x08\x00" + bytes(20)


def main():
    for f in os.listdir(HERE):
        if f.startswith(("accepted-", "refused-")) and f.endswith(".bmap"):
            os.unlink(os.path.join(HERE, f))
    for kind, files in (("accepted", accepted()), ("refused", refused())):
        for name, data in files:
            path = os.path.join(HERE, "%s-%s.bmap" % (kind, name))
            assert not os.path.exists(path), path
            with open(path, "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
