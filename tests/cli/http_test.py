#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bmaptool copy and verify from http, ftp and file URLs, through the real program and a real server."""
import bz2
import gzip
import lzma
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import time
import zipfile

from common import RANGES, SIZE, content, d, expect_copied, expect_log_lines, image, \
    wait_until_signals_are_handled
from http_server import FtpServer, HttpServer

# No proxy of the machine, no ~/.netrc of the user.
CLEAN = {"HOME": "/nonexistent", "http_proxy": "", "HTTP_PROXY": "", "https_proxy": "", "all_proxy": "",
         "ALL_PROXY": "", "no_proxy": "", "ftp_proxy": "", "FTP_PROXY": "",
         "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": ""}


def tool(*args, **kw):
    kw["env"] = dict(CLEAN, **kw.get("env", {}))
    return d.tool(*args, **kw)


def serve(bed, *paths, **knobs):
    """Each file under its own name in /p/."""
    server = HttpServer({"/p/" + os.path.basename(p): content(p) for p in paths})
    for name, value in knobs.items():
        setattr(server, name, value)
    bed.later(server.close)
    return server


def disk_and_server(bed, **knobs):
    source = image(bed)
    return source, serve(bed, source, source + ".bmap", **knobs)


def expect_refused(done, dest, *texts):
    d.expect_exit(done, 1)
    for text in texts:
        d.expect(text in done.err, "no word of %r" % text, done)
    d.expect(not os.path.exists(dest), "the file was left behind", done)


def an_image_and_its_bmap_come_from_a_server(bed):
    source, server = disk_and_server(bed)
    dest = bed.path("out")
    done = d.expect_exit(tool("copy", server.url("/p/disk.img"), dest), 0)
    expect_copied(source, dest)
    expect_log_lines(done)
    d.expect("discovered bmap file '%s'" % server.url("/p/disk.img.bmap") in done.err, "discovery", done)
    d.expect("copying image '%s'" % server.url("/p/disk.img") in done.err, "the image's name", done)
    for request in server.requests:
        d.expect(request.headers.get("accept-encoding") == "identity", "compression was asked for")
    d.expect_exit(tool("verify", server.url("/p/disk.img")), 0)
    d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out2"), "--nobmap"), 0)
    expect_copied(source, bed.path("out2"))


def images_of_every_format_come_from_a_server(bed):
    source = image(bed)
    raw = content(source)
    packed = {".gz": gzip.compress(raw), ".xz": lzma.compress(raw), ".bz2": bz2.compress(raw)}
    for program, suffix in (("zstd", ".zst"), ("lz4", ".lz4"), ("lzop", ".lzo")):
        if shutil.which(program):
            packed[suffix] = subprocess.run([program, "-c", source], capture_output=True).stdout
    packed[".lzma"] = lzma.compress(raw, lzma.FORMAT_ALONE)
    with zipfile.ZipFile(bed.path("z"), "w", zipfile.ZIP_DEFLATED) as z:
        z.write(source, "disk.img")
    packed[".zip"] = content(bed.path("z"))
    with tarfile.open(bed.path("t"), "w:gz") as t:
        t.add(source, "disk.img")
    packed[".tar.gz"] = content(bed.path("t"))
    server = serve(bed, source + ".bmap")
    for suffix, data in packed.items():
        server.files["/p/disk.img" + suffix] = data
        local = bed.path("packed" + suffix)
        with open(local, "wb") as f:
            f.write(data)
        # What this build reads from a file it must read from a server: no more is asked for here.
        if tool("copy", local, bed.path("x"), "--nobmap").code or \
                content(bed.path("x")) != raw:
            bed.note("%s is not read by this build" % suffix)
            continue
        for option in ([], ["--nobmap"]):
            dest = bed.path("out%s%d" % (suffix, len(option)))
            done = d.expect_exit(tool("copy", server.url("/p/disk.img" + suffix), dest, *option), 0)
            expect_copied(source, dest)
            d.expect("the name says" not in done.err, "the name fits", done)


def the_bmap_is_looked_for_in_front_of_the_query(bed):
    source = image(bed)
    server = serve(bed)
    server.files = {"/a.b/disk.img.gz": gzip.compress(content(source)), "/a.b/disk.bmap":
                    content(source + ".bmap")}
    done = d.expect_exit(tool("copy", server.url("/a.b/disk.img.gz?key=a.b/c"), bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    d.expect([r.target for r in server.requests] == [
        "/a.b/disk.img.gz?key=a.b/c", "/a.b/disk.img.gz.bmap?key=a.b/c", "/a.b/disk.img.bmap?key=a.b/c",
        "/a.b/disk.bmap?key=a.b/c", "/a.b/disk.bmap.asc?key=a.b/c",
        "/a.b/disk.bmap.sig?key=a.b/c"], "requests: %s" % server.requests, done)
    d.expect("discovered bmap file '%s'" % server.url("/a.b/disk.bmap?key=a.b/c") in done.err,
             "discovery", done)
    del server.files["/a.b/disk.bmap"]
    expect_refused(tool("copy", server.url("/a.b/disk.img.gz"), bed.path("o")), bed.path("o"), "--nobmap")


def an_error_while_looking_for_the_bmap_is_said(bed):
    source, server = disk_and_server(bed)
    server.statuses["/p/disk.img.bmap"] = [(500, "Broken Inside")] * 9
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o")), bed.path("o"),
                   "disk.img.bmap", "500 Broken Inside")


def a_bmap_is_named_by_url_plain_or_compressed(bed):
    source, server = disk_and_server(bed)
    server.files["/maps/x.gz"] = gzip.compress(content(source + ".bmap"))
    os.unlink(source + ".bmap")
    for path in ("/p/disk.img.bmap", "/maps/x.gz"):
        d.expect_exit(tool("copy", "--bmap", server.url(path), source, bed.path("out")), 0)
        expect_copied(source, bed.path("out"))
    expect_refused(tool("copy", "--bmap", server.url("/none"), source, bed.path("o")), bed.path("o"),
                   "404 Not Found")


def of_a_raw_image_only_what_is_mapped_is_fetched(bed):
    source = bed.path("big.img")
    size, ranges = 80 * d.MIB, [(0, 20), (2560, 2600), (2700, 2700), (10000, 10010), (20479, 20479)]
    with open(source, "wb") as f:
        f.truncate(size)
        for first, last in ranges:
            f.seek(first * 4096)
            f.write(bed.rng.randbytes((last + 1 - first) * 4096))
    d.write_map(source + ".bmap", source, size, ranges)
    server = serve(bed, source, source + ".bmap")
    d.expect_exit(tool("copy", server.url("/p/big.img"), bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    asked = [r.headers["range"] for r in server.requests if "range" in r.headers]
    # The second and third range lie close together.
    d.expect(asked == ["bytes=%d-%d" % (a * 4096, (b + 1) * 4096 - 1)
                       for a, b in [(2560, 2700), (10000, 10010), (20479, 20479)]], str(asked))
    d.expect(sum(r.sent for r in server.requests) < 20 * d.MIB, "too much: %s" % server.requests)
    # One for the image's head, one for the bmap, two for its signature, one for all ranges.
    d.expect(server.connections <= 5, "%d connections" % server.connections)
    for knobs in ({"say_ranges": False}, {"ranges": False}, {"etag": None, "modified": None}):
        plain = serve(bed, source, source + ".bmap", **knobs)
        d.expect_exit(tool("copy", plain.url("/p/big.img"), bed.path("out2")), 0)
        expect_copied(source, bed.path("out2"))


def a_transfer_that_breaks_goes_on_where_it_broke(bed):
    source = d.random_image(bed.path("disk.img"), 8 * d.MIB, d.SEED)
    d.write_map(source + ".bmap", source, 8 * d.MIB, [(0, 2047)])
    packed = source + ".gz"
    with open(packed, "wb") as f:
        f.write(gzip.compress(content(source), 1))
    drops = [250000, 1, 0, 100000, 70001]
    for knobs in ({}, {"etag": "weak", "chunked": True}, {"modified": None}):
        server = serve(bed, packed, source + ".bmap", **knobs)
        server.drops = list(drops)
        dest = bed.path("out")
        done = d.expect_exit(tool("copy", server.url("/p/disk.img.gz"), dest, "--bmap",
                                  source + ".bmap"), 0)
        expect_copied(source, dest)
        tries = [r for r in server.requests if r.target == "/p/disk.img.gz"]
        d.expect(len(tries) == 6 and all(r.status == 206 for r in tries[1:]), str(tries), done)
        d.expect(done.err.count("going on in") == 5, "each try is said once", done)
        d.expect(("if-range" in tries[1].headers), "no If-Range")


def a_server_that_restarts_is_waited_for(bed):
    source, server = disk_and_server(bed, rate=2 * d.MIB)
    dest = bed.path("out")
    running = d.start_tool("copy", server.url("/p/disk.img"), dest, "--bmap", source + ".bmap",
                           env=CLEAN)
    d.wait_until(lambda: server.requests and server.requests[-1].sent > 400000, 10, "half of it was sent")
    back = server.restart_later()
    done = d.expect_exit(running.wait(60), 0)
    back.join()
    expect_copied(source, dest)
    d.expect("going on in" in done.err, "nothing was said of it", done)


def what_cannot_be_resumed_safely_is_refused(bed):
    source, server = disk_and_server(bed)
    numbered = ['"%d"' % i for i in range(100)]
    cases = [
        ({"etag": None, "modified": None}, "no ETag or time"),
        ({"ranges": False}, "ignores the request for a range"),
        ({"etag": lambda n: numbered[n]}, "has changed"),
        ({"etag": lambda n: numbered[n], "if_range": False}, "has changed"),
        ({"edit_range": lambda b, e, t: "bytes %d-%d/%d" % (b - 1, e - 1, t)}, "in place of"),
        ({"edit_range": lambda b, e, t: "bytes %d-%d/%d" % (b + 1, e - 1, t)}, "in place of"),
        ({"edit_range": lambda b, e, t: "bytes %d-%d/%d" % (b, e - 1, t + 1)}, "has changed"),
        ({"edit_range": lambda b, e, t: "bytes %d-%d/%d" % (b, e, t)}, "does not say which"),
        ({"edit_range": lambda b, e, t: "bytes */%d" % t}, "does not say which"),
        ({"edit_range": lambda b, e, t: None}, "does not say which"),
    ]
    for knobs, text in cases:
        server = serve(bed, source, source + ".bmap", **knobs)
        server.drops = [500000]
        expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o"), "--nobmap"), bed.path("o"),
                       text)
    server = serve(bed, source, source + ".bmap")
    server.drops = [500000]
    server.files["/p/disk.img"] = content(source)
    server.edit_range = lambda b, e, t: server.files.pop("/p/disk.img", None) and None
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o"), "--nobmap"), bed.path("o"))


def a_file_that_existed_is_emptied_when_the_transfer_fails(bed):
    source, server = disk_and_server(bed, ranges=False)
    server.drops = [1500000]
    dest = bed.path("out")
    with open(dest, "wb") as f:
        f.write(b"old" * 1000)
    d.expect_exit(tool("copy", server.url("/p/disk.img"), dest, "--nobmap"), 1)
    d.expect(os.path.getsize(dest) == 0, "half an image was left")


def a_device_shows_no_system_when_the_transfer_fails(bed):
    source, server = disk_and_server(bed, ranges=False, say_ranges=False)
    device, _backing = bed.loop("disk", 8 * d.MIB, pattern=True)
    server.drops = [None, 1500000]
    d.expect_exit(tool("copy", server.url("/p/disk.img"), device, "--bmap", source + ".bmap"), 0)
    d.expect(d.read_at(device, 0, 4096) == content(source)[:4096], "not written")
    d.expect_exit(tool("copy", server.url("/p/disk.img"), device, "--bmap", source + ".bmap"), 1)
    d.expect_head_blank(device, d.Map(source + ".bmap"))
    # Nothing is touched when the server has no such file.
    d.pattern_fill(device, 8 * d.MIB)
    d.expect_exit(tool("copy", server.url("/p/none"), device, "--nobmap"), 1)
    d.expect(d.read_at(device, 0, d.MIB) == d.pattern_block(), "something was written")


def errors_name_the_answer_and_nothing_is_written(bed):
    source, server = disk_and_server(bed)
    dest = bed.path("o")
    for status, reason in ((404, "Not Found"), (403, "Forbidden"), (400, "Bad Request"), (410, "Gone")):
        server.statuses["/p/disk.img"] = [(status, reason)]
        before = len(server.requests)
        expect_refused(tool("copy", server.url("/p/disk.img"), dest), dest,
                       "\"%d %s\"" % (status, reason))
        d.expect(len(server.requests) == before + 1, "asked again: %s" % server.requests[before:])
    server.statuses["/p/disk.img"] = [(503, "Busy")] * 9
    before = len(server.requests)
    expect_refused(tool("copy", server.url("/p/disk.img"), dest), dest, "503 Busy")
    d.expect(len(server.requests) == before + 3, "tries: %s" % server.requests[before:])
    server.statuses["/p/disk.img"] = [(503, "Busy"), (429, "Too Many", ["Retry-After: 1"])]
    d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    expect_refused(tool("copy", "http://no-such-host.invalid/disk.img", dest), dest, "no-such-host.invalid")
    server.close()
    expect_refused(tool("copy", server.url("/p/disk.img"), dest), dest, "127.0.0.1")
    for url in ("http://", "http://h:99999/x", "gopher://h/x", "http:///x", "http://a b/x"):
        expect_refused(tool("copy", url, dest), dest, url.split(":")[0])


def bodies_that_are_not_as_announced_fail(bed):
    source, server = disk_and_server(bed)
    server.files["/p/disk.img"] = content(source)[:-4096]
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o")), bed.path("o"), "bytes")
    # A server that says "gzip" of what is no gzip: bytes are bytes.
    server.files["/p/disk.img"] = content(source)
    server.extra = ["Content-Encoding: gzip"]
    d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    server.extra = []
    for knob in ("chunked", "no_length"):
        setattr(server, knob, True)
        d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out")), 0)
        expect_copied(source, bed.path("out"))
        setattr(server, knob, False)
    server.files["/p/disk.img"] = b""
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o")), bed.path("o"), "empty")


def redirects_are_followed_but_not_everywhere(bed):
    source, server = disk_and_server(bed)
    other = serve(bed, source, source + ".bmap")
    server.redirects = {"/r": "/p/disk.img", "/far": other.url("/p/disk.img"), "/loop": "/loop",
                        "/rel/a": "../p/disk.img", "/file": "file:///etc/passwd",
                        "/ssh": "ssh://127.0.0.1/x", "/gopher": "gopher://127.0.0.1:1/x"}
    server.redirects.update({"/n%d" % i: "/n%d" % (i + 1) for i in range(10)})
    server.redirects["/n9"] = "/p/disk.img"
    for path in ("/r", "/far", "/rel/a", "/n0"):
        d.expect_exit(tool("copy", server.url(path), bed.path("out"), "--bmap", source + ".bmap"), 0)
        expect_copied(source, bed.path("out"))
    server.redirects["/n"] = "/n0"
    for path, text in (("/n", "redirects"), ("/loop", "redirects"), ("/file", "refused"),
                       ("/ssh", "refused"), ("/gopher", "refused")):
        expect_refused(tool("copy", server.url(path), bed.path("o"), "--bmap", source + ".bmap"),
                       bed.path("o"), text)
    # Ranges after a redirect go straight to where it led; when that is no more, the way is asked again.
    size, ranges = 20 * d.MIB, [(0, 0), (1024, 1024), (2048, 2048), (5119, 5119)]
    big = d.random_image(bed.path("big.img"), size, 1)
    d.write_map(big + ".bmap", big, size, ranges)
    other.files["/moved"] = content(big)
    server.redirects["/far"] = other.url("/moved")
    d.expect_exit(tool("copy", server.url("/far"), bed.path("out3"), "--bmap", big + ".bmap"), 0)
    d.expect(d.read_at(bed.path("out3"), 5119 * 4096, 4096) == content(big)[5119 * 4096:], "wrong bytes")
    asked = [r for r in server.requests if r.target == "/far"]
    d.expect(len(asked) == 2, str(asked))  # one of them in the first part
    other.statuses["/moved"] = [None, (403, "Expired")]
    d.expect_exit(tool("copy", server.url("/far"), bed.path("out4"), "--bmap", big + ".bmap"), 0)
    d.expect(d.read_at(bed.path("out4"), 2048 * 4096, 4096) == content(big)[2048 * 4096:2049 * 4096],
             "wrong bytes")


def credentials_stay_with_their_host_and_are_never_shown(bed):
    source, server = disk_and_server(bed, auth=("me@home", "s3cr/t:pw"))
    other = serve(bed, source, source + ".bmap")
    info = "me%40home:s3cr%2Ft:pw"
    texts = []

    def shown(done):
        texts.append(done.out + done.err)
        return done

    done = shown(tool("copy", server.url("/p/disk.img", info), bed.path("out"), "-d"))
    d.expect_exit(done, 0)
    expect_copied(source, bed.path("out"))
    shown(d.expect_exit(tool("verify", server.url("/p/disk.img", info)), 0))
    for wrong in ("me%40home:s3cr%2Ft", "me%40home:s3crxt:pw", "me%40home"):
        shown(d.expect_exit(tool("copy", server.url("/p/disk.img", wrong), bed.path("o")), 1))
    d.expect("401 Unauthorized" in texts[-1] and "netrc" in texts[-1], texts[-1])
    server.redirects = {"/far": other.url("/p/disk.img"), "/near": "/p/disk.img",
                        "/given": other.url("/p/disk.img", "you:other")}
    for path, sent in (("/far", False), ("/near", None), ("/given", True)):
        other.requests.clear()
        shown(d.expect_exit(tool("copy", server.url(path, info), bed.path("out"), "-d", "--bmap",
                                 source + ".bmap"), 0))
        expect_copied(source, bed.path("out"))
        d.expect(bool(other.requests) == (sent is not None), str(other.requests))
        for request in other.requests:
            d.expect(("authorization" in request.headers) == sent, "%s: %s" % (path, request.headers))
            d.expect("s3cr" not in str(request.headers) and "me@home" not in str(request.headers) and
                     "me%40" not in str(request.headers), str(request.headers))
    server.drops = [300000]
    server.edit_range = lambda b, e, t: None
    shown(d.expect_exit(tool("copy", server.url("/p/disk.img", info), bed.path("o"), "--nobmap", "-d"), 1))
    server.close()
    shown(d.expect_exit(tool("copy", server.url("/p/disk.img", info), bed.path("o"), "-d"), 1))
    for url in ("http://me%40home:s3cr/t@h/x", "gopher://me:s3cr@h/x", "http://me:s3cr%zz@127.0.0.1:1/x",
                "ssh://me:s3cr@h/x", "file://me:s3cr@h/x"):
        shown(d.expect_exit(tool("copy", url, bed.path("o")), 1))
        shown(d.expect_exit(tool("create", url), 1))
    for text in texts:
        d.expect("s3cr" not in text and "me%40" not in text and "me@home" not in text and
                 "other@" not in text, "shown: %s" % text)


def netrc_knows_the_password(bed):
    source, server = disk_and_server(bed, auth=("me", "secret"))
    other = serve(bed, source, source + ".bmap")
    with open(bed.path(".netrc"), "w") as f:
        f.write("machine 127.0.0.1 login me password secret\n")
    home = {"HOME": bed.folder}
    d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out"), env=home), 0)
    expect_copied(source, bed.path("out"))
    d.expect_exit(tool("copy", server.url("/p/disk.img", "me"), bed.path("out"), env=home), 0)
    d.expect_exit(tool("copy", server.url("/p/disk.img", "me:wrong"), bed.path("o"), env=home), 1)
    # Another host has no entry.
    server.redirects = {"/far": other.url("/p/disk.img", host="localhost")}
    d.expect_exit(tool("copy", server.url("/far"), bed.path("out"), "--bmap", source + ".bmap", env=home), 0)
    d.expect(other.requests and not any("authorization" in r.headers for r in other.requests),
             str(other.requests))


def a_proxy_is_taken_from_the_environment(bed):
    source, server = disk_and_server(bed)
    proxy = "http://%s:%d" % ("127.0.0.1", server.port)
    env = {"http_proxy": proxy}
    d.expect_exit(tool("copy", "http://images.example/p/disk.img", bed.path("out"), env=env), 0)
    expect_copied(source, bed.path("out"))
    d.expect(server.requests[0].target == "http://images.example/p/disk.img", str(server.requests))
    # ftp through such a proxy is http: its error page is no image.
    env = {"ftp_proxy": proxy}
    expect_refused(tool("copy", "ftp://images.example/none", bed.path("o"), "--nobmap", env=env),
                   bed.path("o"), "404")
    d.expect_exit(tool("copy", "ftp://images.example/p/disk.img", bed.path("out"), env=env), 0)
    expect_copied(source, bed.path("out"))


def https_needs_a_certificate_that_is_trusted(bed):
    d.require_program("openssl")
    key, cert = bed.path("key.pem"), bed.path("cert.pem")
    d.check_run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    source = image(bed)
    server = HttpServer({"/p/disk.img": content(source), "/p/disk.img.bmap": content(source + ".bmap")},
                        tls=tls)
    bed.later(server.close)
    url = server.url("/p/disk.img", host="localhost")
    expect_refused(tool("copy", url, bed.path("o")), bed.path("o"), "certificate")
    d.expect(not server.requests, "something was asked for: %s" % server.requests)
    trust = {"SSL_CERT_FILE": cert}
    server.drops = [700000]
    d.expect_exit(tool("copy", url, bed.path("out"), "--nobmap", env=trust), 0)
    expect_copied(source, bed.path("out"))
    d.expect_exit(tool("copy", url, bed.path("out"), env={"CURL_CA_BUNDLE": cert}), 0)
    # The certificate is not for this name.
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o"), env=trust), bed.path("o"),
                   "127.0.0.1")


def a_signal_ends_a_stalled_transfer_at_once(bed):
    for knobs in ({"stall_header": True}, {"stall_after": 1000}, {"stall_after": 700000},
                  {"statuses": {"/p/disk.img": [(503, "Busy", ["Retry-After: 50"])]}}):
        source, server = disk_and_server(bed, **knobs)
        dest = bed.path("o")
        running = d.start_tool("copy", server.url("/p/disk.img"), dest, "--nobmap", env=CLEAN)
        wait_until_signals_are_handled(running)
        d.wait_until(lambda: server.requests, 10, "asked")
        time.sleep(0.3)
        began = time.monotonic()
        running.signal(signal.SIGINT)
        done = running.wait(10)
        d.expect(time.monotonic() - began < 2, "%s: took %.1f s" % (knobs, time.monotonic() - began), done)
        d.expect(done.code == 130 and not os.path.exists(dest), "exit 130 expected", done)
        server.close()


def a_signal_ends_a_bmap_that_never_comes(bed):
    source, server = disk_and_server(bed, stall_header=True)
    fifo = bed.path("fifo")
    os.mkfifo(fifo)
    for bmap in (server.url("/p/disk.img.bmap"), fifo):
        running = d.start_tool("copy", source, bed.path("o"), "--bmap", bmap, env=CLEAN)
        wait_until_signals_are_handled(running)
        running.signal(signal.SIGTERM)
        done = running.wait(5)
        d.expect(done.code == 143 and not os.path.exists(bed.path("o")), "exit 143 expected", done)


def slow_servers_and_large_pieces_arrive(bed):
    source, server = disk_and_server(bed, rate=4 * d.MIB)
    d.expect_exit(tool("copy", server.url("/p/disk.img"), bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    big = d.random_image(bed.path("big.img"), 60 * d.MIB, 3, pieces=40)
    fast = serve(bed, big)
    d.expect_exit(tool("copy", fast.url("/p/big.img"), bed.path("out2"), "--nobmap", "--memory", "20M"), 0)
    expect_copied(big, bed.path("out2"))


def file_urls_are_local_files(bed):
    source = image(bed, "a disk%.img")
    url = "file://" + source.replace("%", "%25").replace(" ", "%20")
    done = d.expect_exit(tool("copy", url, bed.path("out")), 0)
    expect_copied(source, bed.path("out"))
    d.expect("discovered bmap file '%s.bmap'" % source in done.err, "discovery", done)
    d.expect_exit(tool("copy", url.replace("file://", "file://localhost"), bed.path("out")), 0)
    d.expect_exit(tool("verify", url, "--bmap", url + ".bmap"), 0)
    # ... with all rules for them.
    done = d.expect_exit(tool("copy", url, source), 1)
    d.expect("refused" in done.err and os.path.getsize(source) == SIZE, "the image as destination", done)
    for bad in ("file://other.host" + source, url + "?x=1", "file:///no/such/file", "file:///a%zz"):
        expect_refused(tool("copy", bad, bed.path("o")), bed.path("o"), "file" if "no/" not in bad else "/no/")


def ftp_delivers_and_resumes(bed):
    source = image(bed)
    server = FtpServer({"/p/disk.img": content(source), "/p/disk.img.bmap": content(source + ".bmap")})
    bed.later(server.close)
    dest = bed.path("out")
    done = d.expect_exit(tool("copy", server.url("/p/disk.img", "me:se%63ret"), dest), 0)
    expect_copied(source, dest)
    d.expect("USER me" in server.commands and "PASS secret" in server.commands, str(server.commands), done)
    d.expect("secret" not in done.err and "se%63ret" not in done.err, "the password is shown", done)
    server.drops = [400000, 300000]
    done = d.expect_exit(tool("copy", server.url("/p/disk.img"), dest, "--nobmap"), 0)
    expect_copied(source, dest)
    d.expect(any(c.startswith("REST ") for c in server.commands), str(server.commands), done)
    expect_refused(tool("copy", server.url("/p/none.img"), bed.path("o")), bed.path("o"), "none.img")
    expect_refused(tool("copy", server.url("/q/none.img"), bed.path("o")), bed.path("o"), "none.img")
    server.time = None
    server.drops = [400000]
    expect_refused(tool("copy", server.url("/p/disk.img"), bed.path("o"), "--nobmap"), bed.path("o"),
                   "begin again")
    server.stall = True
    running = d.start_tool("copy", server.url("/p/disk.img"), bed.path("o"), "--nobmap", env=CLEAN)
    wait_until_signals_are_handled(running)
    d.wait_until(lambda: server.commands[-1].startswith("RETR"), 10, "asked")
    began = time.monotonic()
    running.signal(signal.SIGINT)
    done = running.wait(10)
    d.expect(done.code == 130 and time.monotonic() - began < 2, "exit 130 expected", done)


if __name__ == "__main__":
    if os.environ.get("BMAP_NO_CURL"):
        print("built without libcurl")
        sys.exit(77)
    sys.exit(d.main([
        an_image_and_its_bmap_come_from_a_server,
        images_of_every_format_come_from_a_server,
        the_bmap_is_looked_for_in_front_of_the_query,
        an_error_while_looking_for_the_bmap_is_said,
        a_bmap_is_named_by_url_plain_or_compressed,
        of_a_raw_image_only_what_is_mapped_is_fetched,
        a_transfer_that_breaks_goes_on_where_it_broke,
        a_server_that_restarts_is_waited_for,
        what_cannot_be_resumed_safely_is_refused,
        a_file_that_existed_is_emptied_when_the_transfer_fails,
        a_device_shows_no_system_when_the_transfer_fails,
        errors_name_the_answer_and_nothing_is_written,
        bodies_that_are_not_as_announced_fail,
        redirects_are_followed_but_not_everywhere,
        credentials_stay_with_their_host_and_are_never_shown,
        netrc_knows_the_password,
        a_proxy_is_taken_from_the_environment,
        https_needs_a_certificate_that_is_trusted,
        a_signal_ends_a_stalled_transfer_at_once,
        a_signal_ends_a_bmap_that_never_comes,
        slow_servers_and_large_pieces_arrive,
        file_urls_are_local_files,
        ftp_delivers_and_resumes,
    ]))
