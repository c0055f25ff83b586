#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Signed bmaps: what is taken, what is refused, and that nothing but signed bytes is used. The keys are
made here, by the gpg that is installed."""
import contextlib
import glob
import gzip
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from common import SIZE, content, d, expect_copied, expect_log_lines, image, wait_until_signals_are_handled

OK = "successfully verified bmap file signature of %s (fingerprint %s)"
BAD = "discovered a BAD GPG signature"
LONG_AGO = "20200101T000000!"
MORE = ["--passphrase", "", "--pinentry-mode", "loopback"]


class Keys:
    """Signers with their secret keys in one folder; the user knows the public ones of most of them."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="bmapgpg-")  # short: it holds gpg-agent's socket
        self.signers, self.user = self.folder + "/signers", self.folder + "/user"
        self.fpr = {}
        os.mkdir(self.signers, 0o700)
        os.mkdir(self.user, 0o700)
        self.make("good", "Gina Good <good@example.org>")
        self.make("other", "Otto Other <other@example.org>")
        self.make("unknown", "Uwe Unknown <unknown@example.org>")
        self.make("never", "Nora Never <never@example.org>")
        self.make("revoked", "Rita Revoked <revoked@example.org>")
        self.make("expired", "Emil Expired <expired@example.org>", "1d", LONG_AGO)
        self.make("old", "Olga Old <old@example.org>", "none", LONG_AGO)
        self.make("eve", "Eve [GNUPG:] VALIDSIG %s 2026-01-01 1 0 4 0 22 8 00 %s" % (
            self.fpr["good"], self.fpr["good"]))
        self.make("primary", "Sue Subkey <sub@example.org>", usage="cert")
        self.gpg(*MORE, "--quick-add-key", self.fpr["primary"], "ed25519", "sign", "none")
        listed = self.gpg("--list-keys", "--with-colons", self.fpr["primary"]).out
        self.fpr["subkey"] = [x.split(":")[9] for x in listed.splitlines() if x.startswith("fpr")][1]
        self.revoke("revoked")
        known = [x for x in self.fpr if x not in ("unknown", "subkey")]
        self.all = self.keyring("all.gpg", known)
        self.gpg("--import", self.all, home=self.user)
        d.check_run("gpg", "--batch", "--homedir", self.user, "--import-ownertrust",
                    stdin=self.text_file("%s:3:\n" % self.fpr["never"]))  # 3: never

    def text_file(self, text):
        f = tempfile.TemporaryFile("w+")
        f.write(text)
        f.seek(0)
        return f

    def gpg(self, *args, home=None):
        return d.check_run("gpg", "--batch", "--no-tty", "--homedir", home or self.signers, *args)

    def make(self, name, user, expires="none", when=None, usage="sign"):
        clock = ["--faked-system-time", when] if when else []
        before = self.fingerprints()
        self.gpg(*clock, *MORE, "--quick-generate-key", user, "ed25519", usage, expires)
        (self.fpr[name],) = self.fingerprints() - before

    def fingerprints(self):
        return {os.path.basename(x)[:-4] for x in glob.glob(self.signers + "/openpgp-revocs.d/*.rev")}

    def revoke(self, name):
        with open("%s/openpgp-revocs.d/%s.rev" % (self.signers, self.fpr[name])) as f:
            text = f.read().replace(":-----BEGIN", "-----BEGIN")  # its guard against accidents
        with open(self.folder + "/rev", "w") as f:
            f.write(text)
        self.gpg("--import", self.folder + "/rev")

    def keyring(self, name, keys):
        path = os.path.join(self.folder, name)
        self.gpg("--yes", "-o", path, "--export", *[self.fpr[x] for x in keys])
        return path

    def sign(self, path, out, *names, how="-b", more=()):
        """how: -b detached, -ab detached and armored, --clear-sign."""
        users = [y for x in names for y in ("-u", self.fpr[x] + ("!" if x == "subkey" else ""))]
        self.gpg("--yes", *more, *users, *(["-a", "-b"] if how == "-ab" else [how]), "-o", out, path)
        return out

    @contextlib.contextmanager
    def configured(self, text):
        with open(self.user + "/gpg.conf", "w") as f:
            f.write(text)
        try:
            yield
        finally:
            os.unlink(self.user + "/gpg.conf")

    def close(self):
        for home in (self.signers, self.user):
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, True)


class SharedKeys:
    keys = None

    @classmethod
    def get(cls):
        d.require_program("gpg", "gpgv", "gpgconf")
        if not cls.keys:
            cls.keys = Keys()
            d.atexit_close(cls.keys)
        return cls.keys


def tool(*args, keys=None, **kw):
    env = dict(kw.pop("env", {}))
    env.setdefault("GNUPGHOME", (keys or SharedKeys.get()).user)
    return d.tool(*args, env=env, **kw)


def expect_taken(bed, argv, source, *phrases, **kw):
    dest = bed.path("taken")
    done = d.expect_exit(tool("copy", *argv, source, dest, **kw), 0)
    expect_copied(source, dest)
    expect_log_lines(done)
    for phrase in phrases:
        d.expect(phrase in done.err, "no %r" % phrase, done)
    os.unlink(dest)
    return done


def expect_refused(bed, argv, source, *phrases, **kw):
    """By copy and by verify, in one line, with the destination untouched."""
    dest = bed.path("precious")
    with open(dest, "w") as f:
        f.write("precious")
    for command in (["copy", *argv, source, dest], ["verify", *argv, source]):
        done = d.expect_exit(tool(*command, **kw), 1)
        expect_log_lines(done)
        errors = [x for x in done.err.splitlines() if "ERROR" in x]
        d.expect(len(errors) == 1, "one error expected", done)
        for phrase in phrases:
            d.expect(phrase in errors[0], "no %r" % phrase, done)
        d.expect("successfully verified" not in done.err and "copying image" not in done.err,
                 "it went on", done)
        d.expect(content(dest) == b"precious", "the destination was touched", done)


def forged_map(bed, source):
    """A bmap that is right in itself and maps another part of the image."""
    return d.write_map(bed.path("forged"), source, SIZE, [(300, 300)])


def a_good_signature_is_found_and_taken(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    for ending, how in ((".asc", "-ab"), (".sig", "-b"), (".sig", "-ab"), (".asc", "-b")):
        keys.sign(bmap, bmap + ending, "good", how=how)
        phrases = ["discovered signature file for bmap '%s'" % (bmap + ending),
                   OK % ("Gina Good <good@example.org>", keys.fpr["good"])]
        expect_taken(bed, [], source, *phrases)
        expect_taken(bed, ["--bmap", bmap], source, *phrases)
        expect_taken(bed, ["--keyring", keys.all, "--fingerprint", keys.fpr["good"]], source, *phrases)
        done = d.expect_exit(tool("verify", source), 0)
        for phrase in phrases:
            d.expect(phrase in done.err, "verify: no %r" % phrase, done)
        elsewhere = bed.path("elsewhere")
        os.rename(bmap + ending, elsewhere)
        done = expect_taken(bed, ["--bmap-sig", elsewhere], source, phrases[1])
        d.expect("discovered signature" not in done.err, "what was named is not discovered", done)


def without_a_signature_nothing_is_said(bed):
    done = expect_taken(bed, [], image(bed), env={"PATH": "/nonexistent"})
    d.expect("signature" not in done.err, "talk of signatures", done)


def asc_goes_before_sig(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    keys.sign(bmap, bmap + ".asc", "good", how="-ab")
    keys.sign(bmap, bmap + ".sig", "unknown")
    expect_taken(bed, [], source, bmap + ".asc", keys.fpr["good"])
    os.rename(bmap + ".asc", bmap + ".tmp")
    os.rename(bmap + ".sig", bmap + ".asc")
    os.rename(bmap + ".tmp", bmap + ".sig")
    expect_refused(bed, [], source, bmap + ".asc", BAD)


def no_sig_verify_looks_at_none(bed):
    source = image(bed)
    for ending in (".asc", ".sig"):
        with open(source + ".bmap" + ending, "w") as f:
            f.write("garbage")
        expect_refused(bed, [], source, source + ".bmap" + ending, "cannot verify the signature")
        done = expect_taken(bed, ["--no-sig-verify"], source, env={"PATH": "/nonexistent"})
        d.expect("signature" not in done.err and "WARNING" not in done.err, "it looked", done)
        os.unlink(source + ".bmap" + ending)


def what_was_changed_is_refused(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    signature = keys.sign(bmap, bmap + ".sig", "good")
    expect_taken(bed, [], source)
    original = content(bmap)
    forged = content(forged_map(bed, source))
    for changed in (forged, original + b"\n", original.replace(b"\n", b"\r\n", 1)):
        with open(bmap, "wb") as f:
            f.write(changed)
        expect_refused(bed, [], source, BAD, signature)
        expect_refused(bed, ["--keyring", keys.all], source, BAD, signature)
    with open(bmap, "wb") as f:
        f.write(original)
    data = bytearray(content(signature))
    data[-3] ^= 1  # in the number that is the signature
    for bad in (bytes(data), bytes(data[:40]), b"", b"garbage\n"):
        with open(signature, "wb") as f:
            f.write(bad)
        expect_refused(bed, [], source, signature)
        expect_refused(bed, ["--fingerprint", keys.fpr["good"]], source, signature)


def a_key_that_does_not_count_is_refused(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    cases = [
        ("unknown", (), "cannot verify the signature: no matching key found"),
        ("revoked", (), "the key was revoked"),
        ("expired", ("--faked-system-time", LONG_AGO), "the key has expired"),
        ("old", ("--faked-system-time", LONG_AGO, "--default-sig-expire", "1d"),
         "the signature has expired"),
    ]
    for name, more, phrase in cases:
        # gpg does not sign with a revoked key: its other half, without the revocation, does.
        if name == "revoked":
            keys.gpg("--import", keys.keyring("again.gpg", [name]))
            home = keys.folder + "/again"
            shutil.copytree(keys.signers, home, ignore=lambda _, names: [
                x for x in names if x.startswith("S.") or "pubring" in x or "trustdb" in x])
            bed.later(subprocess.run, ["gpgconf", "--homedir", home, "--kill", "all"])
            unrevoked_copy(keys, home, name)
            d.check_run("gpg", "--batch", "--homedir", home, "-u", keys.fpr[name], "-b", "-o",
                        bmap + ".sig", bmap)
        else:
            keys.sign(bmap, bmap + ".sig", name, more=more)
        for argv in ([], ["--keyring", keys.all], ["--fingerprint", keys.fpr[name]]):
            expect_refused(bed, argv, source, BAD, phrase)
        os.unlink(bmap + ".sig")
    keys.sign(bmap, bmap + ".sig", "never")
    with keys.configured("trust-model direct\n"):
        expect_refused(bed, [], source, BAD, "never to trust")
    # gpgv: whoever is in the keyring is trusted.
    expect_taken(bed, ["--keyring", keys.all], source, keys.fpr["never"])


def unrevoked_copy(keys, home, name):
    """The public key as it was before: its packets without the revocation signature."""
    packets = content(keys.keyring("revoked.gpg", [name]))
    out, at = b"", 0
    while at < len(packets):
        tag, length, start = packets[at], packets[at + 1], at + 2
        d.expect(tag & 0xc0 == 0x80 and tag & 3 == 0, "old packets of one length byte expected")
        body = packets[start:start + length]
        if not ((tag >> 2) & 15 == 2 and body[1] == 0x20):  # key revocation
            out += packets[at:start + length]
        at = start + length
    with open(home + ".pub", "wb") as f:
        f.write(out)
    d.check_run("gpg", "--batch", "--homedir", home, "--import", home + ".pub")


def of_several_signatures_one_has_to_be_right(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    for names in (("good", "other"), ("other", "good"), ("good", "unknown"), ("unknown", "good")):
        keys.sign(bmap, bmap + ".sig", *names)
        expect_taken(bed, [], source, keys.fpr["good"])
        expect_taken(bed, ["--fingerprint", keys.fpr["good"]], source, keys.fpr["good"])
        expect_refused(bed, ["--fingerprint", keys.fpr["never"]], source, "did not sign")
        if "unknown" in names:
            done = expect_taken(bed, ["--keyring", keys.all], source)
            d.expect("does not count" in done.err, "the other is not spoken of", done)
            expect_refused(bed, ["--fingerprint", keys.fpr["unknown"]], source)
    # One that does not fit the bytes is an error whatever stands beside it, before or behind.
    keys.sign(forged_map(bed, source), bed.path("wrong"), "other")
    keys.sign(bmap, bed.path("right"), "good")
    for order in (("wrong", "right"), ("right", "wrong")):
        with open(bmap + ".sig", "wb") as f:
            f.write(b"".join(content(bed.path(x)) for x in order))
        for argv in ([], ["--fingerprint", keys.fpr["good"]], ["--keyring", keys.all]):
            expect_refused(bed, argv, source)


def fingerprints_are_whole_and_of_the_key_or_its_primary(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    keys.sign(bmap, bmap + ".sig", "subkey")
    for name in ("subkey", "primary"):
        fpr = keys.fpr[name]
        spaced = " ".join(fpr[i:i + 4] for i in range(0, 40, 4)).lower()
        for text in (fpr, fpr.lower(), spaced, spaced.replace(" ", "  ")):
            for argv in (["--fingerprint", text], ["--fingerprint=" + text, "--keyring", keys.all]):
                expect_taken(bed, argv, source, OK % ("Sue Subkey <sub@example.org>",
                                                      keys.fpr["subkey"]))
    expect_refused(bed, ["--fingerprint", keys.fpr["good"]], source, "did not sign", "Sue Subkey",
                   keys.fpr["subkey"])
    fpr = keys.fpr["subkey"]
    for short in ("", fpr[-16:], fpr[-8:], fpr[1:], fpr + "0", fpr[:-1] + "G", "0x" + fpr, fpr * 2):
        expect_refused(bed, ["--fingerprint", short], source, "full fingerprint")
        expect_refused(bed, ["--fingerprint", short, "--bmap", bed.path("absent")], source,
                       "full fingerprint")  # before anything is looked at


def what_is_asked_for_has_to_be_there(bed):
    keys, source = SharedKeys.get(), image(bed)
    expect_refused(bed, ["--fingerprint", keys.fpr["good"]], source,
                   "no signature found but --fingerprint given")
    expect_refused(bed, ["--keyring", keys.all], source, "no signature found but --keyring given")
    expect_refused(bed, ["--bmap-sig", bed.path("absent")], source, "absent", "No such file")
    expect_refused(bed, ["--bmap-sig", bed.folder], source, "Is a directory")
    os.mkdir(source + ".bmap.asc")
    expect_refused(bed, [], source, ".asc", "Is a directory")
    os.rmdir(source + ".bmap.asc")
    with open(bed.path("long"), "wb") as f:
        f.truncate(1 << 40)
    expect_refused(bed, ["--bmap-sig", bed.path("long")], source, "no detached signature")


def a_keyring_is_a_file_by_its_path(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    keys.sign(bmap, bmap + ".sig", "good")
    for name in ("k.gpg", "-k.gpg", "k e'y\"s\\.gpg", "trustedkeys.gpg"):
        shutil.copy(keys.all, bed.path(name))
        expect_taken(bed, ["--keyring=" + name], source, keys.fpr["good"], cwd=bed.folder)
        expect_taken(bed, ["--keyring", bed.path(name)], source, keys.fpr["good"])
    # Never one of that name in GnuPG's own folder.
    shutil.copy(keys.all, keys.user + "/only-there.gpg")
    for argv in (["--keyring", "only-there.gpg"], ["--keyring", bed.path("absent.gpg")]):
        expect_refused(bed, argv, source, "keyring", "No such file", cwd=bed.folder)
    expect_refused(bed, ["--keyring", bed.folder], source, "keyring")
    keys.gpg("--yes", "-a", "-o", bed.path("armored"), "--export", keys.fpr["good"])
    expect_refused(bed, ["--keyring", bed.path("armored")], source, "armored", "--dearmor")
    other = keys.keyring("other.gpg", ["other"])
    expect_refused(bed, ["--keyring", other], source, BAD, "no matching key found", other)
    for bad in (b"", b"garbage"):
        with open(bed.path("bad"), "wb") as f:
            f.write(bad)
        expect_refused(bed, ["--keyring", bed.path("bad")], source)


def of_a_clearsigned_map_only_the_signed_text_is_used(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    keys.sign(bmap, bed.path("signed"), "good", how="--clear-sign")
    signed, forged = content(bed.path("signed")), content(forged_map(bed, source))
    argv = ["--bmap", bmap]
    for text in (signed, signed + forged, signed + b"\n<!-- more -->\n"):
        with open(bmap, "wb") as f:
            f.write(text)
        for more in ([], ["--keyring", keys.all], ["--fingerprint", keys.fpr["good"]]):
            expect_taken(bed, argv + more, source, OK % ("Gina Good <good@example.org>",
                                                        keys.fpr["good"]))
        done = expect_taken(bed, argv + ["--no-sig-verify"], source, env={"PATH": "/nonexistent"})
        d.expect("signature" not in done.err, "it looked", done)
    # In front of it: then it is no clearsigned file, nor any bmap.
    for front in (forged, b"<?xml version=\"1.0\"?>\n", b"\n"):
        with open(bmap, "wb") as f:
            f.write(front + signed)
        expect_refused(bed, argv, source)
    # Inside, between the marker and the signed text, behind a marker of no meaning.
    marker, rest = signed.split(b"\n", 1)
    broken = [
        marker + b"\n" + forged + rest,
        marker + b"\n\n" + forged + b"\n" + signed,
        marker + b" \n\n" + forged + b"\n" + rest,
        marker + b"XX\n\n" + forged + b"\n" + signed,
        signed.replace(b"<ImageSize>", b"<ImageSize> ", 1),
        signed[:signed.index(b"-----BEGIN PGP SIGNATURE")],
        signed[:-100],
        signed + signed,
    ]
    for text in broken:
        with open(bmap, "wb") as f:
            f.write(text)
        for more in ([], ["--keyring", keys.all]):
            expect_refused(bed, argv + more, source)
    with open(bmap, "wb") as f:
        f.write(signed)
    expect_refused(bed, argv + ["--bmap-sig", bed.path("signed")], source, "clearsigned",
                   "--bmap-sig")
    for name in ("unknown", "expired"):
        text = d.write_map(bed.path("plain"), source, SIZE, [(0, 512)])
        keys.sign(text, bmap, name, how="--clear-sign",
                  more=["--faked-system-time", LONG_AGO] if name == "expired" else [])
        expect_refused(bed, argv, source, BAD)
        expect_taken(bed, argv + ["--no-sig-verify"], source)


def a_signed_message_is_no_detached_signature(bed):
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    for how in ("--clear-sign", "--sign"):
        keys.sign(bmap, bmap + ".sig", "good", how=how)
        expect_refused(bed, [], source)
        expect_refused(bed, ["--keyring", keys.all], source)


def a_signature_covers_the_file_as_it_is_stored(bed):
    keys, source = SharedKeys.get(), image(bed, bmap=False)
    plain = d.write_map(bed.path("map"), source, SIZE, [(0, 2), (8, 8), (100, 136), (511, 512)])
    packed = bed.path("map.gz")
    with gzip.open(packed, "wb") as f:
        f.write(content(plain))
    keys.sign(packed, packed + ".asc", "good", how="-ab")
    expect_taken(bed, ["--bmap", packed], source, keys.fpr["good"])
    keys.sign(plain, packed + ".asc", "good", how="-ab")
    expect_refused(bed, ["--bmap", packed], source, BAD)


def a_map_from_a_pipe_is_checked_too(bed):
    keys, source = SharedKeys.get(), image(bed)
    signature = keys.sign(source + ".bmap", bed.path("signature"), "good")
    wrong = keys.sign(forged_map(bed, source), bed.path("wrong"), "good")
    for sig, good in ((signature, True), (wrong, False)):
        os.mkfifo(bed.path("pipe"))
        feeder = threading.Thread(target=lambda: open(bed.path("pipe"), "wb").write(
            content(source + ".bmap")), daemon=True)
        feeder.start()
        done = tool("copy", "--bmap", bed.path("pipe"), "--bmap-sig", sig, source, bed.path("out"))
        feeder.join()
        d.expect_exit(done, 0 if good else 1)
        os.unlink(bed.path("pipe"))
    d.expect(BAD in done.err, "not refused", done)


class Server(http.server.BaseHTTPRequestHandler):
    """A folder, for who knows the password and the token."""
    folder = None
    asked = []

    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.asked.append(self.path)
        file = os.path.join(self.folder, path.lstrip("/"))
        allowed = query == "token=1" and self.headers.get("Authorization") == "Basic dXNlcjpzZWNyZXQ="
        code = 401 if not allowed else 200 if os.path.isfile(file) else 404
        body = content(file) if code == 200 else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def signatures_are_found_on_servers(bed):
    """Beside the bmap, in front of the query, with the same password, which is never shown."""
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    Server.folder = bed.folder
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    bed.later(server.server_close)
    bed.later(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = "http://user:secret@127.0.0.1:%d/" % server.server_port
    url, map_url = base + "disk.img?token=1", base + "disk.img.bmap?token=1"
    wrong = forged_map(bed, source)
    env = {"no_proxy": "*", "GNUPGHOME": keys.user}
    done = d.tool("copy", url, bed.path("out"), env=env)
    if done.code and "not supported" in done.err:
        raise d.Skip("this build reads no URLs")
    d.expect_exit(done, 0)
    expect_copied(source, bed.path("out"))
    for ending in (".asc", ".sig"):
        for argv in ([url], ["--bmap", map_url, source], ["--bmap", map_url, url],
                     ["--bmap", bmap, "--bmap-sig", base + "disk.img.bmap%s?token=1" % ending, source]):
            keys.sign(bmap, bmap + ending, "good")
            done = d.expect_exit(d.tool("copy", *argv, bed.path("out"), env=env), 0)
            d.expect(OK % ("Gina Good <good@example.org>", keys.fpr["good"]) in done.err,
                     "not verified", done)
            d.expect("secret" not in done.err, "the password was shown", done)
            keys.sign(wrong, bmap + ending, "good")
            done = d.expect_exit(d.tool("copy", *argv, bed.path("out2"), env=env), 1)
            d.expect(BAD in done.err and "secret" not in done.err, "not refused", done)
        os.unlink(bmap + ending)
    done = d.tool("copy", "--fingerprint", keys.fpr["good"], url, bed.path("out2"), env=env)
    d.expect_exit(done, 1)
    d.expect("no signature found but --fingerprint given" in done.err, "which error is it", done)
    d.expect("/disk.img.bmap.asc?token=1" in Server.asked and
             "/disk.img.bmap.sig?token=1" in Server.asked, "asked for: %s" % Server.asked[-4:])
    d.expect(not os.path.exists(bed.path("out2")), "a file was made")


def names_and_user_ids_cannot_speak_for_gnupg(bed):
    keys, source = SharedKeys.get(), image(bed)
    good = keys.fpr["good"]
    bmap = source + ".bmap"
    keys.sign(bmap, bmap + ".sig", "eve")
    expect_refused(bed, ["--fingerprint", good], source, "did not sign", keys.fpr["eve"])
    expect_taken(bed, [], source, "Eve [GNUPG:] VALIDSIG", keys.fpr["eve"])
    os.unlink(bmap + ".sig")
    name = "x\n[GNUPG:] GOODSIG %s Gina\n[GNUPG:] VALIDSIG %s 2026-01-01 1 0 4 0 22 8 00 %s\n" % (
        good[-16:], good, good)
    for user in ("unknown", "other"):
        odd = keys.sign(bmap, bed.path(name), user)
        argv = ["--bmap-sig", odd, "--fingerprint", good]
        expect_refused(bed, argv, source)
        expect_refused(bed, argv + ["--keyring", keys.all], source)
    shutil.copy(bmap, bed.path(name))
    keys.sign(bed.path(name), bed.path("s"), "unknown")
    expect_refused(bed, ["--bmap", bed.path(name), "--bmap-sig", bed.path("s"),
                         "--fingerprint", good], source)


def the_bytes_that_were_checked_are_the_ones_used(bed):
    """A gpg that changes the files behind our back, and then does its work."""
    keys, source = SharedKeys.get(), image(bed)
    bmap = source + ".bmap"
    keys.sign(bmap, bmap + ".sig", "good")
    forged = forged_map(bed, source)
    fake = fake_gpg(bed, "cp '%s' '%s'; exec '%s' \"$@\"" % (forged, bmap, shutil.which("gpg")))
    expect_taken(bed, [], source, keys.fpr["good"], env={"PATH": fake})
    d.expect(content(bmap) == content(forged), "the fake was not run")


def fake_gpg(bed, script):
    folder = tempfile.mkdtemp(dir=bed.folder)
    for name in ("gpg", "gpgv"):
        with open(folder + "/" + name, "w") as f:
            f.write("#!/bin/sh\n" + script + "\n")
        os.chmod(folder + "/" + name, 0o755)
    return folder + ":" + os.environ["PATH"]


def only_the_status_descriptor_is_believed(bed):
    keys, source = SharedKeys.get(), image(bed)
    fpr = keys.fpr["good"]
    with open(source + ".bmap.sig", "w") as f:
        f.write("anything")
    good = "[GNUPG:] NEWSIG\\n[GNUPG:] GOODSIG %s Gina\\n" % fpr[-16:]
    valid = "[GNUPG:] VALIDSIG %s 2026-01-01 1 0 4 0 22 8 00 %s\\n" % (fpr, fpr)
    says = "printf '%s' >&%d"
    # That this is what would be believed.
    expect_taken(bed, [], source, env={"PATH": fake_gpg(bed, says % (good + valid, 3))})
    cases = [
        "exit 0", "exit 2", "kill -9 $$",
        says % (good + valid, 1), says % (good + valid, 2),
        says % (good + valid, 3) + "; exit 1",
        says % (good, 3), says % (valid, 3),
        says % ("gpg: " + good + valid, 3), says % (good + valid + "x", 3),
        says % (good + valid + good.replace("GOODSIG", "BADSIG"), 3),
        "yes '[GNUPG:] NEWSIG' >&3", "yes | head -c 1000000; " + says % (good + valid, 3),
    ]
    for script in cases:
        expect_refused(bed, [], source, env={"PATH": fake_gpg(bed, script)})
    loud = fake_gpg(bed, "head -c 1000000 /dev/zero >&2; " + says % (good + valid, 3))
    expect_taken(bed, [], source, env={"PATH": loud})
    # A process that outlives it holds the pipes.
    lingering = fake_gpg(bed, "sleep 3 & " + says % (good + valid, 3))
    began = time.monotonic()
    expect_taken(bed, [], source, env={"PATH": lingering})
    d.expect(time.monotonic() - began < 2.5, "it waited for somebody else")


def without_gnupg_the_check_fails_and_says_so(bed):
    keys, source = SharedKeys.get(), image(bed)
    keys.sign(source + ".bmap", source + ".bmap.asc", "good")
    for argv, name in (([], "gpg"), (["--keyring", keys.all], "gpgv")):
        expect_refused(bed, argv, source, "because %s is not installed" % name, "--no-sig-verify",
                       env={"PATH": bed.folder})


def a_signal_ends_a_gpg_that_hangs(bed):
    keys, source = SharedKeys.get(), image(bed)
    keys.sign(source + ".bmap", source + ".bmap.asc", "good")
    mark = bed.path("pid")
    hanging = fake_gpg(bed, "echo $$ > '%s.tmp'; mv '%s.tmp' '%s'; exec 3>&- 1>&- 2>&-; sleep 1000"
                       % (mark, mark, mark))
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        running = d.start_tool("copy", source, bed.path("out"),
                               env={"PATH": hanging, "GNUPGHOME": keys.user})
        d.wait_until(lambda: os.path.exists(mark), 10, "gpg runs")
        wait_until_signals_are_handled(running)
        running.signal(number)
        done = running.wait(10)
        d.expect(done.code == code, "exit %d expected" % code, done)
        d.expect(done.err.count("ERROR") == 1 and "interrupted" in done.err, "one error", done)
        with open(mark) as f:
            pid = int(f.read())
        d.expect(not os.path.exists("/proc/%d" % pid), "gpg was left behind")
        d.expect(not os.path.exists(bed.path("out")), "a file was made")
        os.unlink(mark)


if __name__ == "__main__":
    sys.exit(d.main([
        a_good_signature_is_found_and_taken,
        without_a_signature_nothing_is_said,
        asc_goes_before_sig,
        no_sig_verify_looks_at_none,
        what_was_changed_is_refused,
        a_key_that_does_not_count_is_refused,
        of_several_signatures_one_has_to_be_right,
        fingerprints_are_whole_and_of_the_key_or_its_primary,
        what_is_asked_for_has_to_be_there,
        a_keyring_is_a_file_by_its_path,
        of_a_clearsigned_map_only_the_signed_text_is_used,
        a_signed_message_is_no_detached_signature,
        a_signature_covers_the_file_as_it_is_stored,
        a_map_from_a_pipe_is_checked_too,
        signatures_are_found_on_servers,
        names_and_user_ids_cannot_speak_for_gnupg,
        the_bytes_that_were_checked_are_the_ones_used,
        only_the_status_descriptor_is_believed,
        without_gnupg_the_check_fails_and_says_so,
        a_signal_ends_a_gpg_that_hangs,
    ]))
