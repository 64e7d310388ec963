# SPDX-License-Identifier: BSD-2-Clause
"""tls13.py - a client of TLS 1.3 that can misbehave.

OpenSSL shakes hands; from then on the records are made and opened here, with keys derived from
what it logs: by HKDF and ciphers of python-cryptography, which know nothing of Sluice's record layer.

    c = tls13.Client(edge, suite="TLS_AES_256_GCM_SHA384")
    c.send(wire.upgrade_request("/echo"))       # one record of application data
    c.raw(tls13.DATA, b"hello", padding=100)    # whatever one likes
    c.key_update(request=True)
    kind, content = c.record()                  # the next one of the server's; session tickets are skipped
"""
import ctypes
import ctypes.util
import os
import socket
import ssl
import struct
import tempfile

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

import sluice

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
SUITES = {
    "TLS_AES_128_GCM_SHA256": (AESGCM, 16, hashes.SHA256),
    "TLS_AES_256_GCM_SHA384": (AESGCM, 32, hashes.SHA384),
    "TLS_CHACHA20_POLY1305_SHA256": (ChaCha20Poly1305, 32, hashes.SHA256),
}
ALERTS = {0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
          40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
          45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
          49: "access_denied", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
          71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
          109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
          113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required",
          120: "no_application_protocol"}


class Refused(Exception):
    """The handshake ended with this alert of the server's."""


def context_for(suite):
    """An SSLContext that offers this suite alone. Python has no word for it before 3.15, OpenSSL has:
    the object holds its SSL_CTX right behind its head."""
    context = sluice.Edge.ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
    lib.SSL_CTX_set_ciphersuites.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    inner = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    assert lib.SSL_CTX_set_ciphersuites(inner, suite.encode()) == 1
    return context


class Key:
    """One direction."""

    def __init__(self, suite, secret):
        self.aead, self.key_bytes, self.hash = SUITES[suite]
        self.secret = secret
        self._derive()

    def _label(self, label, length):
        name = b"tls13 " + label
        info = struct.pack(">HB", length, len(name)) + name + b"\0"
        return HKDFExpand(self.hash(), length, info).derive(self.secret)

    def _derive(self):
        self.cipher = self.aead(self._label(b"key", self.key_bytes))
        self.iv = self._label(b"iv", 12)
        self.seq = 0

    def update(self):
        self.secret = self._label(b"traffic upd", self.hash.digest_size)
        self._derive()

    def nonce(self):
        n = int.from_bytes(self.iv, "big") ^ self.seq
        self.seq += 1
        return n.to_bytes(12, "big")

    def seal(self, kind, content, padding=0, version=b"\x03\x03", outer=DATA):
        inner = content + (b"" if kind is None else bytes([kind])) + b"\0" * padding
        head = bytes([outer]) + version + struct.pack(">H", len(inner) + 16)
        return head + self.cipher.encrypt(self.nonce(), inner, head)

    def open(self, record):
        inner = self.cipher.decrypt(self.nonce(), record[5:], record[:5]).rstrip(b"\0")
        return inner[-1], inner[:-1]


class Client:
    def __init__(self, edge, suite="TLS_AES_128_GCM_SHA256", listener="tls", timeout=20, spoil_finished=False,
                 spoil_record=False, instead_of_finished=None):
        self.sock = socket.create_connection(("127.0.0.1", edge.port[listener]), timeout=timeout * sluice.SLOW)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.sock.getsockname()[1]
        self.buf = bytearray()
        context = context_for(suite)
        handle, log = tempfile.mkstemp(prefix="sluice-keys-")
        os.close(handle)
        try:
            context.keylog_filename = log
            inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(inside, outside, server_hostname="localhost")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.sock.sendall(outside.read())
                    inside.write(self._whole_record())
            assert inside.pending == 0 and tls.cipher()[0] == suite
            with open(log, encoding="ascii") as f:
                secrets = {words[0]: bytes.fromhex(words[2]) for words in map(str.split, f) if len(words) == 3}
            last = outside.read()
            if spoil_finished or spoil_record or instead_of_finished:
                self._spoil(last, suite, secrets, spoil_finished, instead_of_finished)
            self.sock.sendall(last)
        finally:
            os.unlink(log)
        self.tx = Key(suite, secrets["CLIENT_TRAFFIC_SECRET_0"])
        self.rx = Key(suite, secrets["SERVER_TRAFFIC_SECRET_0"])
        self.tickets = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _spoil(self, flight, suite, secrets, finished, instead):
        """Sends what OpenSSL ends its handshake with, damaged, or something else; raises Refused."""
        head, record = b"", flight
        while record[0] == CCS:
            head, record = head + record[:6], record[6:]
        if instead:
            record = Key(suite, secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"]).seal(*instead)
        elif finished:
            key = Key(suite, secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"])
            kind, content = key.open(record)
            assert kind == HANDSHAKE and content[:1] == b"\x14"
            key.seq = 0
            record = key.seal(kind, content[:-1] + bytes([content[-1] ^ 1]))
        else:
            record = record[:-1] + bytes([record[-1] ^ 1])
        self.sock.sendall(head + record)
        key = Key(suite, secrets["SERVER_TRAFFIC_SECRET_0"])
        while True:  # tickets may be on their way already: alerts too are sealed by now
            try:
                kind, content = key.open(self._whole_record())
            except (EOFError, ConnectionResetError):
                raise Refused("eof") from None
            if kind == ALERT:
                raise Refused(ALERTS[content[1]])

    def _need(self, n):
        while len(self.buf) < n:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f"{len(self.buf)} bytes left over")
            self.buf += more

    def _whole_record(self):
        self._need(5)
        n = 5 + struct.unpack(">H", self.buf[3:5])[0]
        self._need(n)
        record = bytes(self.buf[:n])
        del self.buf[:n]
        return record

    # ---- out ------------------------------------------------------------------------------------

    def bytes(self, data):
        self.sock.sendall(data)

    def raw(self, kind, content, **how):
        self.sock.sendall(self.tx.seal(kind, content, **how))

    def send(self, data):
        for at in range(0, len(data), 16384):
            self.raw(DATA, data[at:at + 16384])

    def key_update(self, request=False):
        self.raw(HANDSHAKE, b"\x18\0\0\x01" + bytes([request]))
        self.tx.update()

    def alert(self, what, level=2):
        self.raw(ALERT, bytes([level, what]))

    # ---- in -------------------------------------------------------------------------------------

    def record(self):
        """(kind, content). A KeyUpdate of the server's is followed, and handed out as well."""
        while True:
            record = self._whole_record()
            assert record[:3] == b"\x17\x03\x03" and len(record) <= 5 + 16384 + 256, record[:5]
            kind, content = self.rx.open(record)
            if kind == HANDSHAKE and content[:1] == b"\x04":
                self.tickets += 1
                continue
            if kind == HANDSHAKE:
                assert content[:4] == b"\x18\0\0\x01" and len(content) == 5, content
                self.rx.update()
            return kind, content

    def recv(self, _n=0):
        """Like a socket's: content of the next record that has some; b"" after close_notify."""
        while True:
            kind, content = self.record()
            if kind == ALERT:
                assert content == b"\x01\x00", content
                return b""
            if kind == DATA and content:
                return content

    def sendall(self, data):
        self.send(data)

    def ending(self):
        """What it ends with: an alert's name, "eof" or "reset"; data on the way is skipped."""
        try:
            while True:
                kind, content = self.record()
                if kind == ALERT:
                    return ALERTS[content[1]]
        except EOFError:
            return "eof"
        except ConnectionResetError:
            return "reset"
        except InvalidTag as e:
            raise AssertionError("the server's record does not open") from e
