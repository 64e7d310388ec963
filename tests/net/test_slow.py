# SPDX-License-Identifier: BSD-2-Clause
"""Clients that do not read, by the policy of their channel's namespace: who is disconnected, who misses the oldest, who
gets the newest of each channel. Others never notice, what is owed is bounded, and memory comes back."""
import json
import socket

import pytest

import sluice
import wire
from sluice import wait_for

EXTRA = """namespaces = (
  { name = "cut"; slow_consumer = "disconnect"; },
  { name = "feed"; slow_consumer = "drop_oldest"; },
  { name = "price"; slow_consumer = "conflate"; } );
memory = { connection_queue = "256 KiB"; };
io_uring = "%s";
"""
ENDPOINTS = '{ path = "/ws"; words = "channels"; rate = 0; }'
PAD = "x" * 8000
MANY = 3000  # of 8 kB: more than sockets and queue hold


@pytest.fixture(params=[("tls", "auto"), ("plain", "auto"), ("tls", "off")], ids="-".join)
def edge(request):
    listener, ring = request.param
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}, "plain": {"tls": False}}, endpoints=ENDPOINTS,
                     extra=EXTRA % ring) as e:
        e.listener = listener
        yield e


def worker(edge):
    return json.loads(edge.ctl("-j", "worker", "show"))[0]


class Client:
    def __init__(self, edge, *channels):
        self.s, self.frames = wire.upgrade(edge, "/ws", edge.listener)
        self.s.settimeout(60)
        self.until("connected")
        for name in channels:
            self.say(type="subscribe", channel=name)
            self.until("subscribed")

    def say(self, **fields):
        self.s.sendall(wire.frame(1, json.dumps(fields).encode()))

    def next(self):
        while True:
            opcode, payload = wire.message(self.frames)
            if opcode == 8:
                return {"type": "close", "code": int.from_bytes(payload[:2], "big")}
            if opcode == 1:
                return json.loads(payload)

    def until(self, kind):
        while True:
            m = self.next()
            if m["type"] == kind:
                return m


def publish(speaker, listener, channels, n=MANY):
    """Round about the channels; each message waits until somebody who listens has heard it."""
    for i in range(n):
        channel = channels[i % len(channels)]
        speaker.say(type="publish", channel=channel, data={"n": i, "pad": PAD})
        assert listener.until("message")["data"]["n"] == i


def drain(client):
    """What a slow reader finds when it reads at last: the numbers it hears, by channel, and whether it is closed."""
    client.say(type="ping")
    heard, closed = [], None
    while True:
        m = client.next()
        if m["type"] == "close":
            return heard, m["code"]
        if m["type"] == "pong":
            return heard, None
        if m["type"] == "message":
            heard.append((m["channel"], m["data"]["n"]))


def test_who_may_not_be_slow_is_told(edge):
    slow, quick, speaker = Client(edge, "cut:1"), Client(edge, "cut:1"), Client(edge)
    publish(speaker, quick, ["cut:1"])
    heard, code = [], None
    while code is None:
        m = slow.next()
        if m["type"] == "close":
            code = m["code"]
        elif m["type"] == "message":
            heard.append(m["data"]["n"])
    assert code == 4008 and heard == list(range(len(heard))) and 0 < len(heard) < MANY
    slow.s.close()
    wait_for("its end", 20, lambda: worker(edge)["closed"].get("slow-consumer") == 1)
    w = worker(edge)
    assert w["dropped"] == w["conflated"] == 0


def test_who_may_miss_the_oldest_hears_the_newest_in_order(edge):
    slow, quick, speaker = Client(edge, "feed:1"), Client(edge, "feed:1"), Client(edge)
    publish(speaker, quick, ["feed:1"])
    w = worker(edge)
    assert w["dropped"] > 0 and "slow-consumer" not in {k for k, v in w["closed"].items() if v}
    heard, code = drain(slow)
    numbers = [n for _, n in heard]
    assert code is None and numbers == sorted(set(numbers)) and numbers[0] == 0 and numbers[-1] == MANY - 1
    assert len(numbers) + w["dropped"] == MANY
    # and it hears on
    publish(speaker, slow, ["feed:1"], 5)


def test_who_wants_the_newest_of_each_channel_gets_just_that(edge):
    channels = ["price:a", "price:b", "price:c"]
    slow, quick, speaker = Client(edge, *channels), Client(edge, *channels), Client(edge)
    publish(speaker, quick, channels)
    w = worker(edge)
    assert w["conflated"] > 0 and w["dropped"] == 0
    heard, code = drain(slow)
    assert code is None and len(heard) + w["conflated"] == MANY
    for k, channel in enumerate(channels):
        numbers = [n for c, n in heard if c == channel]
        assert numbers == sorted(set(numbers)) and numbers[-1] == max(i for i in range(MANY) if i % 3 == k)
    assert [n for _, n in heard[-3:]] == [MANY - 3, MANY - 2, MANY - 1]


def test_answers_and_pings_are_not_dropped_and_memory_comes_back(edge):
    before = worker(edge)["memory"]
    slow, quick, speaker = Client(edge, "feed:1"), Client(edge, "feed:1"), Client(edge)
    publish(speaker, quick, ["feed:1"], 1500)
    for i in range(20):
        slow.say(type="ping", id=i)
    publish(speaker, quick, ["feed:1"], 1500)
    full = worker(edge)
    assert 100000 < full["memory"]["backlog_bytes"] < 400000
    pongs = []
    while len(pongs) < 20:
        m = slow.until("pong")
        pongs.append(m["id"])
    assert pongs == list(range(20))
    for c in (slow, quick, speaker):
        c.s.shutdown(socket.SHUT_RDWR)
        c.s.close()
    wait_for("their end", 20, lambda: worker(edge)["connections"] == 0)
    assert worker(edge)["memory"]["backlog_bytes"] == 0 and before["backlog_bytes"] == 0
