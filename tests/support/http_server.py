# SPDX-License-Identifier: MIT
"""A web server on 127.0.0.1 that does what real ones do wrong, when told to; and a small ftp server.

    server = HttpServer({"/disk.img": data})
    server.url("/disk.img"), server.requests, server.close()

Knobs are attributes, read at each request. Every request is recorded with its headers, and with how many
bytes of the body were sent."""
import base64
import hashlib
import re
import socket
import socketserver
import threading
import time


class Request:
    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.sent = 0  # bytes of the body
        self.status = 0

    def __repr__(self):
        return "%s %s %s %s: %d, %d bytes" % (self.method, self.target, self.headers.get("range", ""),
                                              "auth" if "authorization" in self.headers else "",
                                              self.status, self.sent)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32


class HttpServer:
    def __init__(self, files=None, port=0, tls=None):
        self.tls = tls  # an ssl.SSLContext: https
        self.files = dict(files or {})
        self.requests = []
        self.connections = 0
        self.ranges = True  # False: Range is ignored
        self.say_ranges = True  # Accept-Ranges
        self.etag = "strong"  # weak, None, or a function of the request's number
        self.modified = "Mon, 05 Jan 2026 10:00:00 GMT"  # or None
        self.if_range = True  # False: takes no notice of If-Range
        self.drops = []  # of each request for a file: its connection ends after so many bytes, or None
        self.statuses = {}  # path: list of answers in place of the file, None: the file
        self.redirects = {}  # path: URL
        self.auth = None  # (user, password)
        self.chunked = False
        self.no_length = False
        self.extra = []  # header lines of every 200 and 206
        self.edit_range = None  # (begin, end, total) -> text of Content-Range
        self.stall_after = None  # bytes; then nothing more comes
        self.stall_header = False
        self.rate = None  # bytes a second
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.server = None
        self.port = port
        self.open_sockets = set()
        self.start()

    def start(self):
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                if outer.tls:
                    try:
                        self.connection = outer.tls.wrap_socket(self.connection, server_side=True)
                    except OSError:
                        return
                    self.rfile = self.connection.makefile("rb")
                with outer.lock:
                    outer.connections += 1
                    outer.open_sockets.add(self.connection)
                try:
                    while outer.one_request(self.rfile, self.connection):
                        pass
                except OSError:
                    pass
                finally:
                    with outer.lock:
                        outer.open_sockets.discard(self.connection)

        self.stopping.clear()
        self.server = Threads(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        """Also ends what is under way, as a server that is restarted does."""
        if not self.server:
            return
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            for s in self.open_sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def url(self, path, userinfo="", host="127.0.0.1"):
        return "http%s://%s%s:%d%s" % ("s" if self.tls else "", userinfo + "@" if userinfo else "", host, self.port, path)

    def tag_of(self, path, data):
        tag = '"%s"' % hashlib.md5(path.encode() + data[:64]).hexdigest()[:12]
        if callable(self.etag):
            return self.etag(len(self.requests))
        return {"strong": tag, "weak": "W/" + tag, None: None}[self.etag]

    def one_request(self, rfile, sock):
        line = rfile.readline(65536).decode("latin-1").split()
        if len(line) != 3:
            return False
        headers = {}
        while True:
            text = rfile.readline(65536).decode("latin-1").strip()
            if not text:
                break
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
        request = Request(line[0], line[1], headers)
        with self.lock:
            self.requests.append(request)
        return self.answer(request, sock)

    def answer(self, request, sock):
        path = re.sub(r"^(http|ftp)://[^/]*", "", request.target).split("?")[0]  # whole URLs: as a proxy
        if self.stall_header:
            self.stopping.wait(60)
            return False
        if self.auth:
            want = "Basic " + base64.b64encode(":".join(self.auth).encode()).decode()
            if request.headers.get("authorization") != want:
                return self.short(request, sock, 401, "Unauthorized",
                                  ['WWW-Authenticate: Basic realm="images"'])
        if path in self.redirects:
            return self.short(request, sock, 302, "Found", ["Location: " + self.redirects[path]])
        with self.lock:
            planned = self.statuses.get(path)
            status = planned.pop(0) if planned else None
        if status:
            return self.short(request, sock, *status)
        if path not in self.files:
            return self.short(request, sock, 404, "Not Found")
        return self.send_file(request, sock, path, self.files[path])

    def short(self, request, sock, status, reason, extra=()):
        request.status = status
        body = ("<html>%d %s</html>\n" % (status, reason)).encode()
        head = ["HTTP/1.1 %d %s" % (status, reason), "Content-Length: %d" % len(body), *extra]
        sock.sendall("\r\n".join(head + ["", ""]).encode("latin-1") + body)
        request.sent = len(body)
        return True

    def send_file(self, request, sock, path, data):
        tag = self.tag_of(path, data)
        begin, end = 0, len(data)
        asked = re.match(r"bytes=(\d+)-(\d*)$", request.headers.get("range", ""))
        if asked and self.ranges:
            condition = request.headers.get("if-range")
            if not self.if_range or condition is None or condition in (tag, self.modified):
                begin = int(asked.group(1))
                end = min(int(asked.group(2)) + 1, end) if asked.group(2) else end
                if begin >= len(data):
                    return self.short(request, sock, 416, "Range Not Satisfiable",
                                      ["Content-Range: bytes */%d" % len(data)])
            else:
                asked = None
        partial = bool(asked and self.ranges)
        head = ["HTTP/1.1 206 Partial Content" if partial else "HTTP/1.1 200 OK"]
        request.status = 206 if partial else 200
        if partial:
            text = self.edit_range(begin, end, len(data)) if self.edit_range else \
                "bytes %d-%d/%d" % (begin, end - 1, len(data))
            head += ["Content-Range: " + text] if text else []
        head += ["Accept-Ranges: bytes"] if self.say_ranges else []
        head += ["ETag: " + tag] if tag else []
        head += ["Last-Modified: " + self.modified] if self.modified else []
        if self.chunked:
            head += ["Transfer-Encoding: chunked"]
        elif self.no_length:
            head += ["Connection: close"]
        else:
            head += ["Content-Length: %d" % (end - begin)]
        sock.sendall("\r\n".join(head + self.extra + ["", ""]).encode("latin-1"))
        with self.lock:
            limit = self.drops.pop(0) if self.drops else None
        whole = self.send_body(request, sock, data[begin:end], limit)
        if whole and self.chunked:
            sock.sendall(b"0\r\n\r\n")
        return whole and not self.no_length

    def send_body(self, request, sock, body, limit):
        """False: the connection is to be dropped."""
        at = 0
        step = 16384 if self.rate or self.stall_after is not None else 262144
        while at < len(body):
            room = len(body) - at
            if limit is not None:
                room = min(room, limit - at)
                if room <= 0:
                    return False
            if self.stall_after is not None:
                room = min(room, self.stall_after - at)
                if room <= 0:
                    self.stopping.wait(60)
                    return False
            if self.stopping.is_set():
                return False
            part = body[at:at + min(step, room)]
            sock.sendall(b"%x\r\n%s\r\n" % (len(part), part) if self.chunked else part)
            at += len(part)
            request.sent = at
            if self.rate:
                time.sleep(len(part) / self.rate)
        return True

    def restart_later(self, down_s=0.7):
        """Ends now, with all transfers; is back after a while."""
        self.close()

        def back():
            time.sleep(down_s)
            self.start()
        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        return thread


class FtpServer:
    """Enough of RFC 959 and 3659 for a download: EPSV, SIZE, MDTM, REST, RETR."""

    def __init__(self, files):
        self.files = files
        self.drops = []  # of each RETR: its data connection ends after so many bytes
        self.commands = []
        self.time = "20260105100000"
        self.stall = False  # RETR sends nothing
        self.stopping = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    outer.session(self.rfile, self.connection)
                except OSError:
                    pass

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path, userinfo=""):
        return "ftp://%s127.0.0.1:%d%s" % (userinfo + "@" if userinfo else "", self.port, path)

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def session(self, rfile, sock):
        def say(text):
            sock.sendall((text + "\r\n").encode())
        rest, listener, folder = 0, None, "/"
        say("220 ready")
        while True:
            line = rfile.readline(4096).decode("latin-1").strip()
            if not line:
                return
            self.commands.append(line)
            verb, _, arg = line.partition(" ")
            path = (folder.rstrip("/") + "/" + arg) if not arg.startswith("/") else arg
            if verb == "USER":
                say("331 password")
            elif verb == "PASS":
                say("230 in")
            elif verb == "PWD":
                say('257 "%s"' % folder)
            elif verb == "CWD":
                if any(f.startswith(path.rstrip("/") + "/") for f in self.files):
                    folder = path
                    say("250 there")
                else:
                    say("550 no such folder")
            elif verb == "TYPE":
                say("200 so be it")
            elif verb == "EPSV":
                listener = socket.create_server(("127.0.0.1", 0))
                say("229 (|||%d|)" % listener.getsockname()[1])
            elif verb in ("SIZE", "MDTM", "RETR") and path not in self.files:
                say("550 no such file")
            elif verb == "SIZE":
                say("213 %d" % len(self.files[path]))
            elif verb == "MDTM":
                say("213 " + self.time if self.time else "500 what?")
            elif verb == "REST":
                rest = int(arg)
                say("350 from there")
            elif verb == "RETR":
                say("150 here it comes")
                data, _ = listener.accept()
                limit = self.drops.pop(0) if self.drops else None
                body = self.files[path][rest:]
                rest = 0
                if self.stall:
                    self.stopping.wait(60)
                data.sendall(body if limit is None else body[:limit])
                data.close()
                listener.close()
                say("226 done" if limit is None else "426 broken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("500 what?")
