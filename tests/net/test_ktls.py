# SPDX-License-Identifier: BSD-2-Clause
"""tls.ktls = "auto": the kernel seals what is sent. Where it cannot, the same must be true; `make vm-kernels` runs this where it can."""
import json
import os
import random
import socket
import subprocess

import pytest

import sluice
import tls13
import wire
from sluice import wait_for

ECHO = '{ path = "/echo"; protocol = "echo"; rate = 0; max_message = "1 MiB"; }, { path = "/ws"; rate = 0; }'


def kernel_has_it():
    """To ask is to have it loaded, where it is a module."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls\0")
        except OSError as e:
            return e.errno == 107  # ENOTCONN: for connections alone
    return True


def newer_keys():
    """Linux 6.14 exchanges them."""
    return tuple(int("".join(c for c in n if c.isdigit()) or 0) for n in os.uname().release.split(".")[:2]) >= (6, 14)


KTLS = kernel_has_it()


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra='tls = { ktls = "auto"; };') as e:
        yield e


def flags(edge):
    return [c["flags"] for c in json.loads(edge.ctl("-j", "conn", "show")) if c["state"] == "open"]


def open_one(edge, path="/echo", suite="TLS_AES_128_GCM_SHA256"):
    """Over records of our own making: what the kernel seals is opened by nothing of ours."""
    c = tls13.Client(edge, suite)
    c.send(wire.upgrade_request(path))
    status, _, rest = wire.read_head(c)
    assert status == 101
    return c, wire.Frames(c, rest)


def test_the_log_says_who_seals(edge):
    edge.wait_log("ktls: the kernel seals" if KTLS else "ktls: this kernel has none")


@pytest.mark.parametrize("suite", tls13.SUITES)
def test_messages_of_all_sizes_come_back(edge, suite):
    c, frames = open_one(edge, suite=suite)
    rnd = random.Random(1)
    sizes = [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 1 << 20] + [int(2 ** rnd.uniform(0, 15)) for _ in range(60)]
    with c:
        for n in sizes:
            text = rnd.randbytes(n)
            c.send(wire.frame(2, text))
            assert wire.message(frames) == (2, text), n
        assert any("ktls" in f for f in flags(edge)) == KTLS


def test_what_waits_for_a_slow_reader_comes_whole(edge):
    c, frames = open_one(edge)
    rnd = random.Random(2)
    texts = [rnd.randbytes(60000) for _ in range(8)]
    with c:
        for t in texts:
            c.send(wire.frame(2, t))
        for t in texts:
            assert wire.message(frames) == (2, t)


def test_what_is_answered_over_http_is_sealed_as_well(edge):
    request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-ign_eof"],
                          input=request, capture_output=True, timeout=40)
    text = done.stdout.decode(errors="replace")
    assert text.count('"status":"ok"') == 4, text


def test_the_end_is_said(edge):
    c, frames = open_one(edge)
    with c:
        c.send(wire.frame(2, b"x"))
        assert frames.next() == (2, b"x")
        c.send(wire.frame(8, b"\x03\xe8"))
        assert frames.next() == (8, b"\x03\xe8")
        assert c.ending() == "close_notify"


def test_an_alert_is_sealed_by_whoever_has_the_key(edge):
    c, frames = open_one(edge)
    with c:
        c.send(wire.frame(2, b"a"))
        assert frames.next() == (2, b"a")
        before = json.loads(edge.ctl("-j", "worker", "show"))[0]["alerts_out"]
        c.bytes(b"\x17\x03\x03\x00\x20" + bytes(32))  # a tag that is none
        assert c.ending() == "bad_record_mac"
        assert wait_for("the count", 10, lambda: json.loads(
            edge.ctl("-j", "worker", "show"))[0]["alerts_out"] == before + 1)


def test_a_key_is_exchanged_where_the_kernel_can(edge):
    """Before Linux 6.14 it cannot, and the connection ends: nothing is sent under a key that is over."""
    c, frames = open_one(edge)
    with c:
        for text in (b"one", b"two"):
            c.send(wire.frame(2, text))
            assert frames.next() == (2, text)
        c.key_update(request=True)
        c.send(wire.frame(2, b"after"))
        if newer_keys() or not KTLS:
            assert frames.next() == (2, b"after")
            return
        kind, content = c.record()
        assert kind == tls13.HANDSHAKE and content == b"\x18\0\0\x01\0"
        assert c.ending() in ("eof", "reset")


def test_a_fan_out_reaches_all(edge):
    ears = [open_one(edge, "/ws") for _ in range(20)]
    for c, frames in ears:
        assert json.loads(frames.next()[1])["type"] == "connected"
        c.send(wire.frame(1, b'{"type":"subscribe","channel":"c"}'))
        assert json.loads(frames.next()[1])["type"] == "subscribed"
    for i in range(10):
        ears[0][0].send(wire.frame(1, json.dumps({"type": "publish", "channel": "c", "data": i}).encode()))
    for c, frames in ears:
        assert [json.loads(frames.next()[1])["data"] for _ in range(10)] == list(range(10))
        c.sock.close()
