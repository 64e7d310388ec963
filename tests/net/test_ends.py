# SPDX-License-Identifier: BSD-2-Clause
"""Connections that end in the middle of everything. The worker is stopped while many clients talk and
reset, and then finds all of it in one turn: its batch is full, and whom it answers is gone."""
import json
import os
import signal
import struct

import pytest

import sluice
import wire

ENDPOINTS = """
    { path = "/ws"; origins = "*"; rate = 0; bad_format_per_min = 0; },
    { path = "/few"; origins = "*"; rate = 1; rate_burst = 1000; bad_format_per_min = 1000; },
    { path = "/echo"; protocol = "echo"; origins = "*"; rate = 0; },
    { path = "/mine"; protocol = "echo"; origins = "same-host"; },
    { path = "/strict"; origins = "*"; rate = 0; bad_format_per_min = 2; words = ["channels"]; },
    { path = "/slow"; origins = "*"; rate = 1; rate_burst = 1; bad_format_per_min = 0; words = ["channels"]; },
    { path = "/relay"; protocol = "relay"; origins = "*"; rate = 0; }
"""
CLOSE = wire.frame(8, b"\x03\xe8")


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=1, endpoints=ENDPOINTS, listeners={"plain": {"tls": False}}) as e:
        yield e


class Frozen:
    """The worker sleeps; what is sent meanwhile waits for it."""

    def __init__(self, edge):
        self.edge, self.pid = edge, edge.members()["worker-0"]

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def reset(s):
    s.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def fill(s, data):
    """As much as the other side's kernel takes."""
    s.setblocking(False)
    try:
        while data:
            data = data[s.send(data):]
    except (BlockingIOError, ConnectionError):
        pass


def rest_is_well(edge, before):
    s, frames = wire.upgrade(edge, "/echo")
    s.sendall(wire.frame(1, b"still there?"))
    assert frames.next() == (1, b"still there?")
    s.close()
    assert edge.members() == before

    def given_back():
        rows = json.loads(edge.ctl("-j", "worker", "show"))
        return all(r["connections"] == 0 and r["unfinished"] == 0 and r["channels"] == 0
                   and r["memory"]["partials"]["lent"] == 0 and r["memory"]["tails"]["lent"] == 0 for r in rows)
    sluice.wait_for("nothing is left of them", 15, given_back)


def storm(edge, clients, talk, open_first=True):
    before = edge.members()
    socks = [wire.upgrade(edge, path)[0] if open_first else wire.dial(edge) for path in clients]
    with Frozen(edge):
        for s, path in zip(socks, clients):
            fill(s, (b"" if open_first else wire.upgrade_request(path)) + talk)
        for s in socks:
            reset(s)
    rest_is_well(edge, before)


SMALL = b"".join(wire.frame(1, b"%d" % i) for i in range(4000))
WORDS = [b'{"type":"ping"}', b"no json", b'{"type":"join_room","room":"r"}', b'{"type":"chat","text":"x"}',
         b'{"type":"broadcast_room","room":"r","content":1}', b'{"type":"leave_room","room":"r"}',
         b'{"type":"subscribe","channels":["a","b","c","r"],"joinLeave":true,"id":1}',
         b'{"type":"publish","channel":"a","data":{},"id":2}']
TALK = b"".join(wire.frame(1, WORDS[i % len(WORDS)]) for i in range(1500))


@pytest.mark.parametrize("path", ["/echo", "/ws", "/few", "/relay"])
@pytest.mark.parametrize("open_first", [True, False], ids=["open", "new"])
def test_clients_that_talk_and_reset_take_nobody_with_them(edge, path, open_first):
    storm(edge, [path] * 30, TALK if path in ("/ws", "/few") else SMALL, open_first)


@pytest.mark.parametrize("last", [CLOSE, wire.frame(1, b"\xff"), wire.frame(2, b"x", mask=False)],
                         ids=["close", "not UTF-8", "no mask"])
def test_clients_that_talk_end_and_reset_take_nobody_with_them(edge, last):
    storm(edge, ["/echo"] * 30, b"".join(wire.frame(1, b"%d" % i) for i in range(1100)) + last)


@pytest.mark.parametrize("request_", [
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"], ids=["health", "426", "body"])
@pytest.mark.parametrize("last", [b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"\0",
                                  b"GET /echo HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\n\r\n"], ids=["last", "bad", "no upgrade"])
def test_pipelined_requests_and_a_reset_take_nobody_with_them(edge, request_, last):
    before = edge.members()
    socks = [wire.dial(edge) for _ in range(30)]
    with Frozen(edge):
        for i, s in enumerate(socks):
            fill(s, request_ * (300 + i) + last)
            reset(s)
    rest_is_well(edge, before)


ASK = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
WHO_IS_GONE = {
    "upgrade": wire.upgrade_request("/ws"),
    "upgrade after an answer": ASK + wire.upgrade_request("/ws"),
    "last answer": ASK + ASK.replace(b"Host", b"Connection: close\r\nHost"),
    "refusal": ASK + b"\0",
    "426": ASK + b"GET /echo HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\n\r\n",
    "bad origin": ASK + wire.upgrade_request("/mine", Origin="http://elsewhere"),
    "close": wire.upgrade_request("/echo") + wire.frame(1, b"x") + CLOSE,
    "not UTF-8": wire.upgrade_request("/echo") + wire.frame(1, b"x") + wire.frame(1, b"\xff"),
    "offence": wire.upgrade_request("/strict") + wire.frame(1, b"no json") * 2,
    "rate": wire.upgrade_request("/slow") + wire.frame(1, b"{}") * 7,
    "subscribe": wire.upgrade_request("/ws") + wire.frame(1, WORDS[6]) * 2,
}


@pytest.mark.parametrize("what", WHO_IS_GONE)
def test_a_batch_that_is_full_just_now_finds_a_reset_conn(edge, what):
    """One client's answers fill the batch up to any place around its end; the next to speak has reset."""
    before = edge.members()
    for n in range(1016, 1026):
        talker, frames = wire.upgrade(edge, "/echo")
        s = wire.dial(edge)
        with Frozen(edge):
            talker.sendall(b"".join(wire.frame(1, b"%d" % i) for i in range(n)))
            s.sendall(WHO_IS_GONE[what])
            reset(s)
        assert [frames.next() for _ in range(n)] == [(1, b"%d" % i) for i in range(n)]
        talker.close()
    rest_is_well(edge, before)
