# SPDX-License-Identifier: BSD-2-Clause
"""Mutated conversations against a running daemon, from many connections at once: HTTP heads, upgrades,
frames, TLS records, control lines. The same processes must live afterwards, clients that behave must
notice nothing, and all buffers must be back in their pools.

Each thread's talk follows from its seed alone, which a failure prints. SLUICE_GARBAGE_S=300 makes it
run that long, SLUICE_GARBAGE_SEED=n elsewhere than from 1.
"""
import contextlib
import json
import os
import random
import select
import socket
import ssl
import struct
import threading
import time

import pytest

import sluice
import wire

SECONDS = float(os.environ.get("SLUICE_GARBAGE_S", "8"))
SEED = int(os.environ.get("SLUICE_GARBAGE_SEED", "1"))
THREADS = 12

ENDPOINTS = """
    { path = "/ws"; origins = "*"; rate = 0; bad_format_per_min = 0; },
    { path = "/strict"; origins = "same-host"; rate = 5; rate_burst = 5; max_message = 200; max_fragments = 3; },
    { path = "/echo"; protocol = "echo"; origins = "*"; rate = 0; partial_timeout = "1 s"; heartbeat = "1 s"; },
    { path = "/relay"; protocol = "relay"; origins = "*"; rate = 0; },
    { path = "/calm"; origins = "*"; rate = 0; words = ["channels", "rooms"]; }
"""
EXTRA = """
memory = { connection_queue = "64 KiB"; partial = "2 MiB"; queue = "4 MiB"; };
http = { handshake_timeout = "2 s"; keepalive_timeout = "1 s"; body = 1000; };
"""


# ---- what is valid --------------------------------------------------------------------------------

def head(rng):
    method = rng.choice(["GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
    path = rng.choice(["/", "/health", "/ready", "/ws", "/echo", "/nothing", "/health?a=b&c=%20", "*",
                       "http://localhost/health"])
    lines = [f"{method} {path} HTTP/1.{rng.choice('11110')}", "Host: localhost"]
    body = b""
    if rng.random() < 0.3:
        body = bytes(rng.choice(b"abc\r\n\0\xff") for _ in range(rng.randrange(40)))
        lines.append(f"Content-Length: {len(body)}")
    elif rng.random() < 0.3:
        lines.append("Transfer-Encoding: chunked")
        for _ in range(rng.randrange(4)):
            piece = bytes(rng.choice(b"abc") for _ in range(rng.randrange(1, 30)))
            body += b"%x\r\n%s\r\n" % (len(piece), piece)
        body += b"0\r\n\r\n"
    for _ in range(rng.randrange(5)):
        lines.append(rng.choice(["Connection: keep-alive", "Connection: close", "Expect: 100-continue",
                                 "Accept: */*", "Cookie: a=b; c=d", "X-Forwarded-For: 192.0.2.1, ::1",
                                 "Upgrade: websocket", "Origin: http://localhost", "X: " + "y" * rng.randrange(300)]))
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def http(rng):
    return b"".join(head(rng) for _ in range(rng.randrange(1, 12)))


WORDS = [
    {"type": "ping"}, {"type": "ping", "id": 7}, {"type": "subscribe", "channel": "a", "presence": True},
    {"type": "subscribe", "channels": ["a", "b", "ä", "x:y"], "joinLeave": True, "id": "q"},
    {"type": "subscribe", "channel": "a", "recover": {"epoch": "1f", "offset": 3}},
    {"type": "unsubscribe", "channel": "a"}, {"type": "publish", "channel": "a", "data": {"x": [1, 2.5e3, None]}},
    {"type": "publish", "channel": "b", "data": "é\u0000", "id": 1, "messageId": "m"},
    {"type": "presence", "channel": "a", "limit": 3, "cursor": "w0.2", "id": 5},
    {"type": "join_room", "room": "r"}, {"type": "leave_room", "room": "r", "id": 3},
    {"type": "broadcast_room", "room": "r", "content": "x" * 300}, {"type": "chat", "text": "hello"},
    {"type": "typing"}, {"type": "authenticate", "token": "t"}, {"type": "nothing", "id": 9}, [], 7, "x"]


def frame(opcode, payload, fin=True):
    """As wire.frame(), but long ones are quickly made: their mask is zeros."""
    if len(payload) < 300:
        return wire.frame(opcode, payload, fin)
    first = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 65536:
        return first + b"\xfe" + struct.pack(">H", len(payload)) + b"\0\0\0\0" + payload
    return first + b"\xff" + struct.pack(">Q", len(payload)) + b"\0\0\0\0" + payload


def frames(rng, n):
    out = []
    for _ in range(rng.randrange(n)):
        kind = rng.random()
        word = json.dumps(rng.choice(WORDS), ensure_ascii=rng.random() < 0.5).encode()
        if kind < 0.5:
            out.append(frame(1, word))
        elif kind < 0.6:
            name = rng.choice([b"a", b"b", b""])
            out.append(frame(2, bytes([1, len(name)]) + name + os.urandom(rng.randrange(50))))
        elif kind < 0.8:
            cuts = sorted(rng.randrange(len(word) + 1) for _ in range(rng.randrange(1, 4)))
            pieces = [word[a:b] for a, b in zip([0, *cuts], [*cuts, len(word)])]
            for i, piece in enumerate(pieces):
                out.append(frame(0 if i else 1, piece, fin=i == len(pieces) - 1))
                if rng.random() < 0.2:
                    out.append(frame(9, b"between"))
        elif kind < 0.95:
            out.append(frame(rng.choice([9, 10]), b"p" * rng.randrange(126)))
        else:
            out.append(frame(1, b"long " * rng.randrange(40000)))
    if rng.random() < 0.3:
        out.append(frame(8, rng.choice([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa1"])))
    return b"".join(out)


def websocket(rng):
    path = rng.choice(["/ws", "/ws", "/strict", "/echo", "/relay", "/relay?x=y"])
    more = {}
    if rng.random() < 0.2:
        more = rng.choice([{"Sec_WebSocket_Protocol": "a, b"}, {"Origin": "http://localhost"},
                           {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
                           {"Sec_WebSocket_Version": "8"}, {"Sec_WebSocket_Key": "x"}])
    before = http(rng) if rng.random() < 0.1 else b""
    return before + wire.upgrade_request(path, **more) + frames(rng, rng.choice([3, 20, 60]))


def control(rng):
    ask = rng.choice(["keeper", "worker", "conns", "conn", "channels", "close", "deny-del", "deny-add", "x"])
    request = {"ask": ask, "member": rng.choice([0, 1, 2, -1, "0"]), "cursor": rng.choice([0, 5, 2**32]),
               "limit": rng.choice([1, 200, 1001]), "id": rng.choice(["0" * 32, "x", 7]),
               "addr": rng.choice(["192.0.2.1", "2001:db8::", "x"]), "bits": rng.choice([32, 128, 24, 0]),
               "seconds": rng.choice([1, 0, 10**9])}
    for key in rng.sample(sorted(request), rng.randrange(3)):
        request.pop(key)
    return json.dumps(request).encode() + b"\n"


# ---- what is not ------------------------------------------------------------------------------------

SPICE = [b"\r\n", b"\n", b"\0", b"\r\n\r\n", b" ", b":", b"\xff\xff", b"Content-Length: 0\r\n", b"chunked", b"\x88\x00",
         b"\x81\xfe", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", b"{", b"\"", b"\\u0000", b"\xed\xa0\x80", b"\x80\x80",
         b"\x17\x03\x03\x00\x00", b"\x15\x03\x03\x00\x02\x01\x00", b"\x14\x03\x03\x00\x01\x01", b"9" * 30]


def mutate(rng, data, times=None):
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 5]) if times is None else times):
        if not data:
            break
        at = rng.randrange(len(data))
        what = rng.randrange(7)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            data[at] = rng.randrange(256)
        elif what == 2:
            del data[at:at + rng.randrange(1, 20)]
        elif what == 3:
            data[at:at] = rng.choice(SPICE)
        elif what == 4:
            end = at + rng.randrange(1, 200)
            data[at:at] = data[at:end]
        elif what == 5:
            del data[at:]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 60))
    return bytes(data)


def cut(rng, data):
    """The segments in which it is sent."""
    way = rng.random()
    if way < 0.4 or not data:
        return [data]
    if way < 0.5 and len(data) < 400:
        return [data[i:i + 1] for i in range(len(data))]
    marks = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)])]


def part(rng, s):
    """Ends it as clients do."""
    way = rng.random()
    with contextlib.suppress(OSError):
        if way < 0.3:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way < 0.5:
            s.shutdown(socket.SHUT_WR)
            s.settimeout(0.1)
            while s.recv(65536):
                pass
    s.close()


def glance(rng, s):
    """Reads some of what came, or nothing."""
    if rng.random() < 0.6 and select.select([s], [], [], 0)[0]:
        s.recv(rng.choice([1, 100, 65536]))


def talk_plain(rng, edge):
    data = mutate(rng, rng.choice([http, websocket, websocket])(rng))
    s = socket.create_connection(("127.0.0.1", edge.port["plain"]), timeout=0.3)
    for piece in cut(rng, data):
        s.sendall(piece)
        glance(rng, s)
    return s


def talk_tls(rng, edge):
    """Mutated before it is sealed, after it, or in the handshake; or no TLS at all."""
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=0.3)
    where = rng.random()
    if where < 0.1:
        s.sendall(mutate(rng, rng.choice([http, websocket])(rng)))
        return s
    context = edge.ssl_context()
    if rng.random() < 0.3:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if rng.random() < 0.2:
        context.set_alpn_protocols(rng.choice([["h2"], ["http/1.1"], ["h2", "http/1.1"]]))
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(inside, outside, server_hostname=rng.choice([None, "localhost", "a" * 60 + ".example"]))

    def flush(mangle):
        data = outside.read()
        for piece in cut(rng, mutate(rng, data, rng.randrange(1, 3)) if mangle else data):
            s.sendall(piece)

    for _ in range(20):
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            flush(where < 0.3 and rng.random() < 0.5)
            got = s.recv(65536)
            if not got:
                return s
            inside.write(got)
    flush(where < 0.2)
    data = rng.choice([http, websocket, websocket])(rng)
    if where > 0.6:
        data = mutate(rng, data)
    for piece in cut(rng, data):
        for i in range(0, len(piece), 16000):
            tls.write(piece[i:i + 16000])
        flush(0.3 < where < 0.6 and rng.random() < 0.3)
        glance(rng, s)
    if rng.random() < 0.3:
        with contextlib.suppress(ssl.SSLError):
            tls.unwrap()
        flush(False)
    return s


def talk_control(rng, edge):
    data = mutate(rng, b"".join(control(rng) for _ in range(rng.randrange(1, 8))))
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(0.3)
    s.connect(str(edge.control))
    for piece in cut(rng, data):
        s.sendall(piece)
        glance(rng, s)
    return s


class Talkers:
    def __init__(self, edge, seconds):
        self.edge, self.until = edge, time.monotonic() + seconds
        self.talks, self.wrong = 0, []
        self.threads = [threading.Thread(target=self.run, args=(SEED + i,)) for i in range(THREADS)]

    def run(self, seed):
        rng = random.Random(seed)
        kept = []
        try:
            while time.monotonic() < self.until:
                talk = rng.choice([talk_plain] * 6 + [talk_tls] * 5 + [talk_control])
                with contextlib.suppress(OSError):  # refused, reset, too slow: as it should be
                    s = talk(rng, self.edge)
                    if rng.random() < 0.2:
                        kept.append(s)  # and says nothing more
                    else:
                        part(rng, s)
                self.talks += 1
                if len(kept) > 12:
                    part(rng, kept.pop(rng.randrange(len(kept))))
        except Exception as e:  # ours, not the daemon's
            self.wrong.append(f"seed {seed}: {e!r}")
        for s in kept:
            s.close()


class Calm(threading.Thread):
    """A client that behaves: what it says comes back, in order and in time, all the while."""

    def __init__(self, edge, listener, name):
        super().__init__()
        self.s, self.frames = wire.upgrade(edge, "/calm", listener)
        self.s.settimeout(10 * sluice.SLOW)
        self.channel, self.wrong, self.n, self.slowest = f"calm-{name}", None, 0, 0
        self.going = True
        assert self.hear()["type"] == "connected"
        self.say({"type": "subscribe", "channel": self.channel})
        assert self.hear()["type"] == "subscribed"

    def say(self, what):
        self.s.sendall(wire.frame(1, json.dumps(what).encode()))

    def hear(self):
        while True:
            opcode, payload = self.frames.next()
            if opcode == 9:
                self.s.sendall(wire.frame(10, payload))
            elif opcode == 1:
                return json.loads(payload)
            else:
                raise AssertionError(f"opcode {opcode}: {payload!r}")

    def run(self):
        try:
            while self.going:
                began = time.monotonic()
                self.say({"type": "publish", "channel": self.channel, "data": self.n})
                got = self.hear()
                assert got["type"] == "message" and got["data"] == self.n, got
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.n += 1
                time.sleep(0.02)
        except Exception as e:
            self.wrong = f"{self.channel}: after {self.n} messages: {e!r}"


def calm_clients(edge):
    """Some on each worker, plain and over TLS."""
    clients, seen = [], set()
    for i in range(60):
        listener = ("plain", "tls")[i % 2]
        c = Calm(edge, listener, i)
        where = (listener, sluice.wait_for("its worker", 5, lambda: edge.owner(c.s.getsockname()[1], listener)))
        if where in seen:
            c.s.close()
            continue
        seen.add(where)
        clients.append(c)
        if len(seen) == 4:
            break
    assert len(seen) == 4
    return clients


@pytest.mark.time_limit(SECONDS * 2 + 200)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to see which worker has a connection")
def test_garbage_hurts_nobody():
    with sluice.Edge(workers=2, endpoints=ENDPOINTS, extra=EXTRA) as edge:
        before = edge.members()
        calm = calm_clients(edge)
        for c in calm:
            c.start()
        talkers = Talkers(edge, SECONDS)
        print(f"seeds {SEED} to {SEED + THREADS - 1}, {SECONDS} s")
        for t in talkers.threads:
            t.start()
        for t in talkers.threads:
            t.join()
        for c in calm:
            c.going = False
        for c in calm:
            c.join()
        print(f"{talkers.talks} talks; calm clients: {[(c.n, round(c.slowest, 3)) for c in calm]}")
        assert edge.members() == before, "a process has died"
        assert not talkers.wrong and talkers.talks > 20 * SECONDS / sluice.SLOW
        assert [c.wrong for c in calm if c.wrong] == []
        for what in ("ERROR: AddressSanitizer", "runtime error", "ERROR: LeakSanitizer", "Assertion"):
            assert what not in edge.log()
        for c in calm:
            c.s.close()

        def given_back():
            rows = json.loads(edge.ctl("-j", "worker", "show"))
            return all(r["connections"] == 0 and r["unfinished"] == 0 and r["channels"] == 0
                       and r["memory"]["partials"]["lent"] == 0 and r["memory"]["tails"]["lent"] == 0 for r in rows)
        sluice.wait_for("all buffers are back in their pools", 45, given_back)
