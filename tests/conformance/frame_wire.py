# SPDX-License-Identifier: BSD-2-Clause
"""frame_wire.py - WebSocket frames by hand: built as wrong as a test wants them, read as strictly
as RFC 6455 binds a server. No library stands between a case and the socket.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct
import time
import zlib

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
SLOW = 4 if os.environ.get("SLUICE_SAN") else 1
DEADLINE_S = 10 * SLOW
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loads no authorities: one for all connections
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


# ---- building ------------------------------------------------------------------------------------

def masked(payload, key=KEY):
    n = len(payload)
    stretched = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(n, "big")


def frame(op, payload=b"", fin=True, rsv=0, mask=KEY, size=None, declared=None):
    """One frame. `size`: bits of the length field (7, 16, 64) instead of the shortest;
    `declared`: the length it claims, if not that of the payload; `mask=None`: not masked."""
    n = len(payload) if declared is None else declared
    if size is None:
        size = 7 if n < 126 else 16 if n < 65536 else 64
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | op])
    if size == 7:
        head += bytes([bit | n])
    elif size == 16:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if mask is None:
        return head + payload
    return head + mask + masked(payload, mask)


def text(s, **how):
    return frame(TEXT, s.encode() if isinstance(s, str) else s, **how)


def binary(b, **how):
    return frame(BINARY, b, **how)


def packed(data, level=6, bits=15, strategy=zlib.Z_DEFAULT_STRATEGY, flush=zlib.Z_SYNC_FLUSH):
    """The payload of a compressed message (RFC 7692 7.2.1)."""
    c = zlib.compressobj(level, zlib.DEFLATED, -bits, 8, strategy)
    out = c.compress(data.encode() if isinstance(data, str) else data)
    if flush == zlib.Z_FINISH:
        return out + c.flush(flush) + b"\0"  # the first octet of an empty stored block
    return (out + c.flush(flush))[:-4]


def deflated(op, payload, **how):
    """A frame whose payload is packed already."""
    return frame(op, payload, rsv=4, **how)


def ping(b=b"", **how):
    return frame(PING, b, **how)


def pong(b=b"", **how):
    return frame(PONG, b, **how)


def close(code=None, reason=b"", **how):
    body = b"" if code is None else struct.pack(">H", code)
    return frame(CLOSE, body + reason, **how)


def fragments(op, *parts):
    """One message in so many frames."""
    last = len(parts) - 1
    return [frame(op if i == 0 else CONT, part, fin=i == last) for i, part in enumerate(parts)]


def chop(data, n):
    """In segments of n bytes, each of which goes out by itself."""
    return [data[i:i + n] for i in range(0, len(data), n)]


# ---- the connection ------------------------------------------------------------------------------

class Refused(AssertionError):
    """The server broke a rule of RFC 6455 itself."""


class Wire:
    """A client connection that has been upgraded. Events come out of it as tuples:
    ("text", bytes), ("binary", bytes), ("ping", bytes), ("pong", bytes),
    ("close", code or None, reason), ("end",)."""

    def __init__(self, host, port, tls, path, behind=b"", extensions=None):
        self.buf = b""
        self.ended = False
        self.agreed = None      # what was answered to the extensions
        self.compressed = []    # sizes of messages that came compressed
        self.tls = tls
        raw = socket.create_connection((host, port), timeout=DEADLINE_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = raw
        if tls:
            # ragged ends are errors: the server must say close_notify before it goes
            self.sock = CONTEXT.wrap_socket(raw, server_hostname="localhost",
                                            suppress_ragged_eofs=False)
        self._upgrade(host, port, path, behind, extensions)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _upgrade(self, host, port, path, behind, extensions):
        key = base64.b64encode(os.urandom(16))
        request = (f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                   f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   f"Sec-WebSocket-Key: {key.decode()}\r\n"
                   + (f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else "")
                   + "\r\n").encode()
        self.sock.sendall(request + behind)
        while b"\r\n\r\n" not in self.buf:
            if not self._read():
                raise AssertionError(f"ended in the handshake: {self.buf!r}")
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + guid).digest())
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert b"\r\nsec-websocket-accept: " + accept.lower() in head.lower(), head
        _, name, agreed = head.partition(b"\r\nSec-WebSocket-Extensions: ")
        self.agreed = agreed.partition(b"\r\n")[0].decode() if name else None

    def _read(self):
        """More bytes into the buffer; False at the end of the stream."""
        try:
            got = self.sock.recv(65536)
        except ConnectionResetError:
            got = b""
        self.buf += got
        self.ended = not got
        return bool(got)

    def send(self, data):
        """True if it went out; False if the server has gone already, which a case may expect."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return False

    def play(self, segments):
        """Sends each segment by itself: far enough apart to be read one by one (over TLS each
        is a record of its own in any case)."""
        for i, segment in enumerate(segments):
            if i and not self.tls:
                time.sleep(0.001)
            if not self.send(segment):
                return

    # ---- reading, strictly ---------------------------------------------------------------------

    def _bytes(self, n):
        while len(self.buf) < n:
            if not self._read():
                return None
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def _frame(self):
        """(opcode, fin, payload), or None at the end of the stream between two frames."""
        head = self._bytes(2)
        if head is None:
            if self.buf:
                raise Refused("the stream ended inside a frame's header")
            return None
        op, fin, n = head[0] & 15, bool(head[0] & 0x80), head[1] & 0x7f
        rsv1 = bool(self.agreed) and head[0] & 0x40 and op in (TEXT, BINARY)
        if head[0] & (0x30 if rsv1 else 0x70):
            raise Refused(f"reserved bits in {head!r}")
        if head[1] & 0x80:
            raise Refused("a server must not mask")
        if op not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
            raise Refused(f"reserved opcode {op}")
        if op >= 8 and (not fin or n > 125):
            raise Refused(f"bad control frame {head!r}")
        if n == 126:
            n = struct.unpack(">H", self._bytes(2) or b"\0\0")[0]
            if n < 126:
                raise Refused("length not in its shortest form")
        elif n == 127:
            n = struct.unpack(">Q", self._bytes(8) or bytes(8))[0]
            if n < 65536 or n >> 63:
                raise Refused("length not in its shortest form")
        payload = self._bytes(n)
        if payload is None:
            raise Refused("the stream ended inside a frame")
        if rsv1:
            if not fin:
                raise Refused("a compressed message in fragments")
            self.compressed.append(n)
            payload = zlib.decompressobj(-12).decompress(payload + b"\0\0\xff\xff")
        return op, fin, payload

    def event(self):
        """The next whole message or control frame; fragments of ours may come back as any."""
        names = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}
        message, op0 = b"", None
        while True:
            got = self._frame()
            if got is None:
                if op0 is not None:
                    raise Refused("the stream ended inside a message")
                return ("end",)
            op, fin, payload = got
            if op == CLOSE:
                if len(payload) == 1:
                    raise Refused("close payload of one byte")
                code = struct.unpack(">H", payload[:2])[0] if payload else None
                return ("close", code, payload[2:])
            if op >= 8:
                return (names[op], payload)
            if (op == CONT) != (op0 is not None):
                raise Refused("fragments out of order")
            op0 = op0 or op
            message += payload
            if fin:
                if op0 == TEXT:
                    message.decode()  # UnicodeDecodeError: the server sent bad text
                return (names[op0], message)

    def quiet(self, seconds):
        """Nothing comes, and the connection stays, for so long."""
        if self.buf:
            return False
        self.sock.settimeout(seconds)
        try:
            self._read()
            return False
        except (TimeoutError, socket.timeout):
            return True
        finally:
            self.sock.settimeout(DEADLINE_S)
