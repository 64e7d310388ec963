# SPDX-License-Identifier: BSD-2-Clause
"""wire.py - bytes on a socket, for tests that must say exactly what is sent."""
import os
import socket
import ssl
import struct

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def dial(edge, listener="plain", context=None, server_name="localhost", source=None):
    s = socket.create_connection(("127.0.0.1", edge.port[listener]), timeout=20,
                                 source_address=(source, 0) if source else None)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if edge.listeners[listener].get("tls"):
        s = (context or edge.ssl_context()).wrap_socket(s, server_hostname=server_name)
    return s


def read_head(s):
    """Status, headers (lower case) and what came behind the head."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(65536)
        if not more:
            raise ConnectionError(f"closed after {got!r}")
        got += more
    head, rest = got.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split()[1]), headers, rest


def read_answer(s, no_body=False):
    status, headers, body = read_head(s)
    want = 0 if no_body else int(headers.get("content-length", 0))
    while len(body) < want:
        more = s.recv(65536)
        if not more:
            raise ConnectionError("closed inside a body")
        body += more
    return status, headers, body


def closed(s):
    """The peer has ended it, tidily or by reset."""
    try:
        while s.recv(65536):
            pass
        return True
    except (ConnectionResetError, ssl.SSLError):
        return True
    except (socket.timeout, TimeoutError):
        return False


def upgrade_request(path, **headers):
    fields = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
              "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    fields.update({k.replace("_", "-"): v for k, v in headers.items()})
    lines = "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def frame(opcode, payload=b"", fin=True, mask=True):
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    n = len(payload)
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    body = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    return head + key + body


def message(frames):
    """The next message, put together: (opcode, payload)."""
    opcode, payload, fin = frames.piece()
    while not fin:
        more, next_payload, fin = frames.piece()
        assert more == 0
        payload += next_payload
    return opcode, payload


class Frames:
    """Reads a server's frames off a socket that has been upgraded."""

    def __init__(self, s, rest=b""):
        self.s, self.buf = s, bytearray(rest)

    def _need(self, n):
        while len(self.buf) < n:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buf += more

    def next(self):
        return self.piece()[:2]

    def piece(self):
        """(opcode, payload, fin)"""
        self._need(2)
        fin, opcode, n, at = bool(self.buf[0] & 128), self.buf[0] & 15, self.buf[1] & 127, 2
        assert not self.buf[1] & 128, "a server's frame is never masked"
        if n == 126:
            self._need(4)
            n, at = struct.unpack(">H", self.buf[2:4])[0], 4
        elif n == 127:
            self._need(10)
            n, at = struct.unpack(">Q", self.buf[2:10])[0], 10
        self._need(at + n)
        payload = bytes(self.buf[at:at + n])
        del self.buf[:at + n]
        return opcode, payload, fin

    def close_code(self):
        """Skips to the close frame; its code, or None when the transport just ended."""
        try:
            while True:
                opcode, payload = self.next()
                if opcode == 8:
                    return struct.unpack(">H", payload[:2])[0] if payload else 1005
        except (EOFError, ConnectionResetError):
            return None


def upgrade(edge, path, listener="plain", **headers):
    s = dial(edge, listener)
    s.sendall(upgrade_request(path, **headers))
    status, _, rest = read_head(s)
    assert status == 101, status
    return s, Frames(s, rest)
