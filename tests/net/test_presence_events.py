# SPDX-License-Identifier: BSD-2-Clause
"""Who comes to a big channel and who leaves it, as the others hear of it: over TLS, three workers."""
import asyncio
import contextlib
import json
import time

import pytest

import sluice

INTERVAL_S = 0.2
ENDPOINTS = '{ path = "/ws"; words = "channels rooms"; rate = 0; origins = "*"; }'
PRESENCE = f'presence = {{ coalesce_above = 5; interval = "{int(INTERVAL_S * 1000)} ms"; }};'
WATCHERS = 6  # with the last of them the channel is big
CROWD = 200

pytestmark = pytest.mark.time_limit(180)


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=3, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS, extra=PRESENCE) as e:
        yield e


class Words:
    """How one set of words says it."""

    def __init__(self, room):
        if room:
            self.enter = lambda c: {"type": "join_room", "room": c}
            self.leave = lambda c: {"type": "leave_room", "room": c}
            self.entered, self.left, self.one = "joined_room", "left_room", ("user_joined", "user_left")
            self.update, self.field, self.name = "room_update", "room", lambda who: who
        else:
            self.enter = lambda c: {"type": "subscribe", "channel": c, "joinLeave": True, "presence": True}
            self.leave = lambda c: {"type": "unsubscribe", "channel": c}
            self.entered, self.left, self.one = "subscribed", "unsubscribed", ("join", "leave")
            self.update, self.field, self.name = "presence_update", "channel", lambda who: who["clientId"]


class Client:
    """Reads all the time, so that nothing waits for it."""

    def __init__(self, edge, words, channel):
        self.edge, self.words, self.channel = edge, words, channel
        self.heard, self.more = [], asyncio.Condition()

    async def __aenter__(self):
        self.ws = await self.edge.connect("tls", "/ws", max_queue=None, close_timeout=0.1)
        self.id = json.loads(await self.ws.recv())["clientId"]
        self.reader = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_):
        await self.ws.close()
        with contextlib.suppress(Exception):
            await self.reader

    async def read(self):
        async for text in self.ws:
            async with self.more:
                self.heard.append(json.loads(text))
                self.more.notify_all()

    async def until(self, condition):
        async with self.more:
            await asyncio.wait_for(self.more.wait_for(condition), 30 * sluice.SLOW)

    def all(self, *kinds):
        return [m for m in self.heard if m["type"] in kinds]

    def updates(self):
        return self.all(self.words.update)

    def sum(self, field):
        return sum(m[field] for m in self.updates())

    async def enter(self):
        await self.ws.send(json.dumps(self.words.enter(self.channel)))
        await self.until(lambda: self.all(self.words.entered))

    async def leave(self):
        await self.ws.send(json.dumps(self.words.leave(self.channel)))
        await self.until(lambda: self.all(self.words.left))


async def in_batches(calls, n=20):
    calls = list(calls)
    for i in range(0, len(calls), n):
        await asyncio.gather(*calls[i:i + n])


async def watchers_of(edge, words, channel, stack):
    """As many as make it a big one, when nothing is pending any more."""
    watchers = []
    for _ in range(WATCHERS):
        watchers.append(await stack.enter_async_context(Client(edge, words, channel)))
        await watchers[-1].enter()
    for i, w in enumerate(watchers):
        await w.until(lambda w=w: w.sum("joinedCount") == 1)
        assert len(w.all(*words.one)) == max(0, WATCHERS - 2 - i)  # of the others before
        assert [words.name(n) for n in w.updates()[0]["joined"]] == [watchers[-1].id]
        w.heard.clear()
    return watchers


def check(updates, words, channel, everybody):
    for m in updates:
        assert m[words.field] == channel and m["timestamp"] > 1e12 and "offset" not in m
        for names, count in (("joined", "joinedCount"), ("left", "leftCount")):
            assert len(m[names]) == min(m[count], 20)
            assert {words.name(n) for n in m[names]} <= everybody
        assert m["joinedCount"] + m["leftCount"] > 0


async def burst(edge, room):
    words, channel = Words(room), f"crowd-{room}"
    async with contextlib.AsyncExitStack() as stack:
        watchers = await watchers_of(edge, words, channel, stack)
        crowd = [Client(edge, words, channel) for _ in range(CROWD)]
        await in_batches(c.__aenter__() for c in crowd)
        everybody = {c.id for c in crowd}

        began = time.monotonic()
        await in_batches(c.enter() for c in crowd)
        for w in watchers:
            await w.until(lambda w=w: w.sum("joinedCount") >= CROWD)
        at_most = (time.monotonic() - began) / INTERVAL_S + 2
        for w in watchers:
            assert w.sum("joinedCount") == CROWD and w.sum("leftCount") == 0
            assert w.updates()[-1]["onlineCount"] == CROWD + WATCHERS
            assert w.updates() == watchers[0].updates()  # one order for all
            check(w.updates(), words, channel, everybody)
        for c in watchers + crowd:
            assert len(c.updates()) <= at_most and not c.all(*words.one)

        for w in watchers:
            w.heard.clear()
        await in_batches(c.leave() for c in crowd[:CROWD // 2])
        await in_batches(c.__aexit__() for c in crowd)
        for w in watchers:
            await w.until(lambda w=w: w.sum("leftCount") >= CROWD)
        for w in watchers:
            assert w.sum("leftCount") == CROWD and w.sum("joinedCount") == 0
            assert w.updates()[-1]["onlineCount"] == WATCHERS and not w.all(*words.one)
            check(w.updates(), words, channel, everybody)


def test_a_crowd_is_counted_exactly_in_a_few_updates(edge):
    asyncio.run(burst(edge, room=False))


def test_room_words_hear_of_a_crowd_too(edge):
    asyncio.run(burst(edge, room=True))


async def coming_and_going(edge):
    """Whatever cancels out, the counts are by how many there are more in the end."""
    words, channel = Words(False), "restless"
    async with contextlib.AsyncExitStack() as stack:
        watchers = await watchers_of(edge, words, channel, stack)
        clients = [await stack.enter_async_context(Client(edge, words, channel)) for _ in range(30)]

        async def restless(i, c):
            for _ in range(10 + i % 2):
                await c.ws.send(json.dumps(words.enter(channel)))
                await asyncio.sleep(0.01)
                if len(c.all(words.entered)) % 3 == 0:
                    await asyncio.sleep(INTERVAL_S / 2)
                await c.ws.send(json.dumps(words.leave(channel)))
            if i % 2:
                await c.ws.send(json.dumps(words.enter(channel)))
        await asyncio.gather(*(restless(i, c) for i, c in enumerate(clients)))
        stay = len(clients[1::2])
        for w in watchers:
            await w.until(lambda w=w: w.updates() and w.updates()[-1]["onlineCount"] == WATCHERS + stay
                          and w.sum("joinedCount") - w.sum("leftCount") == stay)
            assert not w.all(*words.one)


def test_counts_are_true_whatever_cancels_out(edge):
    asyncio.run(coming_and_going(edge))


async def small_again(edge):
    words, channel = Words(True), "shrinking"
    async with contextlib.AsyncExitStack() as stack:
        watchers = await watchers_of(edge, words, channel, stack)
        first, last = watchers[:2]
        one_more = await stack.enter_async_context(Client(edge, words, channel))
        await one_more.enter()
        await first.until(lambda: first.sum("joinedCount") == 1)
        first.heard.clear()
        for w in [one_more, *watchers[2:]]:  # it is big still when the first of them has gone
            await w.leave()
        await first.until(lambda: first.sum("leftCount") + len(first.all("user_left")) == WATCHERS - 1)
        assert first.heard[0]["type"] == "room_update" and one_more.id in first.heard[0]["left"]
        assert all(m["type"] == "user_left" for m in first.heard[1:])
        await last.leave()
        await first.until(lambda: any(m["userId"] == last.id for m in first.all("user_left")))


def test_a_channel_that_is_small_again_tells_one_by_one(edge):
    asyncio.run(small_again(edge))
