# SPDX-License-Identifier: BSD-2-Clause
"""Clients that are cut off and come back while others go on publishing: over TLS, three workers.

What the property test of tests/unit/engine does with a model, with the whole daemon. SLUICE_LISTENERS and
SLUICE_MESSAGES make it larger.
"""
import asyncio
import json
import os
import random
import signal

import pytest
import websockets

import sluice

LISTENERS = int(os.environ.get("SLUICE_LISTENERS", 24))
MESSAGES = int(os.environ.get("SLUICE_MESSAGES", 150))
PUBLISHERS = 3
ALL = PUBLISHERS * MESSAGES  # of each channel
CHANNELS = ["chat:1", "chat:2", "chat:3"]
ENDPOINTS = '{ path = "/ws"; words = "channels"; rate = 0; }'


def edge(history):
    return sluice.Edge(workers=3, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS,
                       extra=f'namespaces = ( {{ name = "chat"; history = {history}; }} );')


class Listener:
    """Hears one channel over as many connections as it takes, each of which takes up where the last one ended."""

    def __init__(self, edge, channel, cuts):
        self.edge, self.channel, self.cuts = edge, channel, cuts
        self.epoch = self.offset = None
        self.heard = []  # (epoch, offset, data)
        self.recovered = self.replayed = self.lost = 0

    async def listen(self):
        """Until it has heard the last of all, or was told that it has missed it."""
        while self.offset is None or self.offset < ALL:
            try:
                # without bounds of its own: what it holds back would have to be waited for after the cut
                async with self.edge.connect("tls", "/ws", max_queue=None, close_timeout=0.1) as ws:
                    await self.one_connection(ws)
            except (OSError, websockets.exceptions.WebSocketException, asyncio.TimeoutError):
                await asyncio.sleep(0.05)

    async def one_connection(self, ws):
        ask = {"type": "subscribe", "channel": self.channel}
        if self.epoch:
            ask["recover"] = {"epoch": self.epoch, "offset": self.offset}
        await ws.send(json.dumps(ask))
        cut = random.randrange(1, 60) if self.cuts > 0 else None
        self.cuts -= 1
        async for text in ws:
            m = json.loads(text)
            if m["type"] == "subscribed":
                self.on_subscribed(m)
            elif m["type"] == "message":
                self.on_message(m)
            else:
                assert m["type"] == "connected", m
            if cut == 0 or self.offset == ALL:
                ws.transport.abort()
                await asyncio.sleep(random.random() * 0.1)
                return
            if cut is not None:
                cut -= 1

    def on_subscribed(self, m):
        if self.epoch and m["recovered"]:
            assert m["epoch"] == self.epoch and m["offset"] >= self.offset
            self.recovered += 1
            self.replayed += m["offset"] - self.offset
            return  # and go on from where we were: what is missed follows
        self.lost += self.epoch is not None
        self.epoch, self.offset = m["epoch"], m["offset"]

    def on_message(self, m):
        assert m["offset"] == self.offset + 1, (self.channel, self.offset, m)
        self.offset = m["offset"]
        self.heard.append((self.epoch, self.offset, tuple(m["data"])))


async def publish(edge, number, channel):
    async with edge.connect("tls", "/ws") as ws:
        for k in range(MESSAGES):
            await ws.send(json.dumps({"type": "publish", "channel": channel, "data": [number, k], "id": k}))
            while json.loads(await ws.recv())["type"] != "published":
                pass
            if k % 10 == 0:
                await asyncio.sleep(0.01)


async def schedule(edge, cuts):
    listeners = [Listener(edge, CHANNELS[i % len(CHANNELS)], cuts) for i in range(LISTENERS)]
    tasks = [asyncio.create_task(x.listen()) for x in listeners]
    while not all(x.epoch for x in listeners):
        await asyncio.sleep(0.02)
    await asyncio.gather(*(publish(edge, p, c) for p in range(PUBLISHERS) for c in CHANNELS))
    await asyncio.wait_for(asyncio.gather(*tasks), 60 * sluice.SLOW)
    return listeners


def one_order_for_all(listeners):
    for c in CHANNELS:
        said = {}
        for x in listeners:
            if x.channel != c:
                continue
            for epoch, offset, data in x.heard:
                assert said.setdefault((epoch, offset), data) == data
            assert len({data for _, _, data in x.heard}) == len(x.heard), "something was heard twice"


@pytest.mark.time_limit(180)
def test_who_is_cut_off_and_recovers_hears_everything_once():
    with edge(history=ALL) as e:
        listeners = asyncio.run(schedule(e, cuts=6))
        one_order_for_all(listeners)
        for x in listeners:
            assert x.lost == 0 and x.recovered >= 3
            assert [o for _, o, _ in x.heard] == list(range(1, ALL + 1))
        assert sum(x.replayed for x in listeners) > LISTENERS


@pytest.mark.time_limit(180)
def test_who_was_away_for_too_long_is_told():
    with edge(history=5) as e:
        listeners = asyncio.run(schedule(e, cuts=6))
        one_order_for_all(listeners)
        assert sum(x.lost for x in listeners) > 0
        for x in listeners:  # and whoever was not told has heard all
            if x.lost == 0:
                assert [o for _, o, _ in x.heard] == list(range(1, ALL + 1))


@pytest.mark.time_limit(60)
def test_a_home_that_died_recovers_nobody():
    async def story(e):
        where, names = {}, [f"chat:{i}" for i in range(12)]
        async with e.connect("tls", "/ws") as ws:
            for name in names:
                await ws.send(json.dumps({"type": "subscribe", "channel": name, "id": name}))
                await ws.send(json.dumps({"type": "publish", "channel": name, "data": 1}))
            while len(where) < len(names):
                m = json.loads(await ws.recv())
                if m["type"] == "subscribed":
                    where[m["channel"]] = {"epoch": m["epoch"], "offset": m["offset"]}
            homes = {r["name"]: r["home"] for r in json.loads(e.ctl("-j", "channel", "show"))}
        old = e.members()["worker-1"]
        os.kill(old, signal.SIGKILL)
        sluice.wait_for("worker 1 is back", 10, lambda: e.members().get("worker-1") not in (None, old))
        answers = {}
        async with e.connect("tls", "/ws") as ws:
            for name in names:
                await ws.send(json.dumps({"type": "subscribe", "channel": name, "recover": where[name]}))
            while len(answers) < len(names):
                m = json.loads(await ws.recv())
                if m["type"] == "subscribed":
                    answers[m["channel"]] = m["recovered"]
        assert 1 in homes.values()
        assert answers == {name: homes[name] != 1 for name in names}

    with edge(history=10) as e:
        asyncio.run(story(e))
