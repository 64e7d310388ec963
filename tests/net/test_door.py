# SPDX-License-Identifier: BSD-2-Clause
"""Handshake storms: those who knock are bounded, the first of them makes room, and an honest crowd is let in whole."""
import json
import socket
import ssl
import subprocess
import time

import pytest

import sluice
import wire
from sluice import SLOW, wait_for

ENDPOINTS = '{ path = "/ws"; words = "channels"; rate = 0; }, { path = "/echo"; protocol = "echo"; rate = 0; }'
FEW = "tls = { handshakes = 16; };"


def one_worker(extra=FEW, backlog=4096):
    more = f"backlog = {backlog};"
    return sluice.Edge(workers=1, listeners={"tls": {"tls": True, "more": more}, "plain": {"tls": False}},
                       endpoints=ENDPOINTS, extra=extra)


def state(edge):
    return json.loads(edge.ctl("-j", "worker", "show"))[0]


def knock(edge):
    return socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20 * SLOW)


def test_who_knocked_first_makes_room_for_who_can_be_let_in():
    with one_worker() as edge:
        silent = [knock(edge) for _ in range(40)]
        wait_for("they are at the door", 5, lambda: state(edge)["handshakes_now"] == 16)
        began = time.monotonic()
        s, frames = wire.upgrade(edge, "/echo", "tls")
        took = time.monotonic() - began
        s.sendall(wire.frame(1, b"inside"))
        assert frames.next() == (1, b"inside")
        now = state(edge)
        assert now["closed"]["handshake-shed"] >= 25 and now["handshakes_now"] <= 16, now
        assert took < 8 * SLOW  # 41 in rows of 16: each row has a second
        for i in range(25):
            assert wire.closed(silent[i]), i
        for other in silent + [s]:
            other.close()
        wait_for("all are gone", 5, lambda: state(edge)["handshakes_now"] == 0)


def test_a_full_door_is_nothing_to_plain_listeners_nor_to_those_inside():
    with one_worker() as edge:
        inside, frames = wire.upgrade(edge, "/echo", "tls")
        silent = [knock(edge) for _ in range(60)]
        for i in range(50):
            inside.sendall(wire.frame(1, b"%d" % i))
            assert frames.next() == (1, b"%d" % i)
            plain, _ = wire.upgrade(edge, "/echo", "plain")
            plain.close()
        for other in silent + [inside]:
            other.close()


@pytest.mark.time_limit(300)
@pytest.mark.parametrize("how", ["full", "resumed"])
def test_an_honest_storm_is_let_in_whole(how):
    """Two thousand at once where sixteen may knock: the others wait in the kernel's queue."""
    with one_worker() as edge:
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "idle", "-n", "2000", "-f", "2000", "-t", "1", "-j", "-q",
                               "-u", edge.url("tls", "/ws")] if how == "full" else
                              [str(sluice.BUILD / "sluice-bench"), "handshake", "-f", "500", "-t", "3", "-j", "-q",
                               "--resume", "-u", edge.url("tls", "/ws")], capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr
        result, now = json.loads(done.stdout), state(edge)
        assert result["failed"] == 0 and "handshake-shed" not in now["closed"], now
        if how == "full":
            assert result["connections"] == 2000 and now["handshakes"] == 2000 and now["handshakes_resumed"] == 0
        else:
            assert now["handshakes_resumed"] > result["handshakes"] / 2, (result, now)


def test_half_a_client_hello_is_worth_no_more_than_none():
    with one_worker() as edge:
        slow = [knock(edge) for _ in range(16)]
        for s in slow:
            s.sendall(b"\x16\x03\x01\x02\x00\x01")
        s, _ = wire.upgrade(edge, "/echo", "tls")
        assert state(edge)["closed"]["handshake-shed"] >= 1
        for other in slow + [s]:
            other.close()


def test_who_asks_with_the_last_bytes_of_the_handshake_is_answered_at_once():
    """Nothing else goes on in the worker: an answer that only the next event sends out would wait for a timer's tick, 128 ms."""
    def once(edge):
        context = edge.ssl_context()
        theirs, ours = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(theirs, ours, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=10 * SLOW) as s:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    if ours.pending:
                        s.sendall(ours.read())
                    theirs.write(s.recv(65536))
            tls.write(wire.upgrade_request("/echo"))
            began = time.monotonic()
            s.sendall(ours.read())  # Finished and the request
            answer = b""
            while not answer:
                theirs.write(s.recv(65536))
                try:
                    answer = tls.read(4096)
                except ssl.SSLWantReadError:
                    pass
            assert answer.startswith(b"HTTP/1.1 101 ")
            return time.monotonic() - began
    with one_worker() as edge:
        took = sorted(once(edge) for _ in range(15))
    assert took[7] < 0.06, took
