# SPDX-License-Identifier: BSD-2-Clause
"""Bytes in channels: binary frames in, and out to those who take them (Python's websockets; npm's ws is in cases.js)."""
import asyncio
import base64
import json

import pytest

import sluice

ENDPOINTS = """
    { path = "/ws"; rate = 0; space = "main"; words = "channels rooms"; },
    { path = "/packed"; rate = 0; space = "main"; words = "channels rooms"; compression = true; },
    { path = "/rooms"; rate = 0; words = "rooms"; }
"""
KEPT = 'namespaces = ( { name = "kept"; history = 100; }, { name = ""; history = 0; } );'
BYTES = bytes(range(256)) * 9  # long enough to be compressed, if it were text


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=3, endpoints=ENDPOINTS, extra=KEPT) as e:
        yield e


class Client:
    def __init__(self, edge, path="/ws", **more):
        self.edge, self.path, self.more = edge, path, more

    async def __aenter__(self):
        self.ws = await self.edge.connect("tls", self.path, **self.more)
        await self.until("connected")
        return self

    async def __aexit__(self, *_):
        await self.ws.close()

    async def say(self, **message):
        await self.ws.send(json.dumps(message))

    async def next(self):
        """A text is an object, a binary frame (channel, offset, bytes)."""
        m = await asyncio.wait_for(self.ws.recv(), 10 * sluice.SLOW)
        if isinstance(m, str):
            return json.loads(m)
        assert m[0] == 1
        n = m[1]
        return m[2:2 + n].decode(), int.from_bytes(m[2 + n:10 + n], "big"), m[10 + n:]

    async def until(self, kind):
        while True:
            m = await self.next()
            if not isinstance(m, tuple) and m["type"] == kind:
                return m

    async def subscribe(self, channel, **more):
        await self.say(type="subscribe", channel=channel, **more)
        return await self.until("subscribed")


def frame(channel, payload):
    return bytes([1, len(channel.encode())]) + channel.encode() + payload


def as_text(m):
    return m["channel"], m.get("offset", 0), base64.b64decode(m["data"]["base64"])


def run(edge, test):
    asyncio.run(test(edge))


@pytest.mark.parametrize("channel", ["loose", "kept:1", "kept:" + "ö" * 40])
def test_bytes_come_as_bytes_or_as_base64(edge, channel):
    async def go(edge):
        async with Client(edge) as text, Client(edge) as ear, Client(edge, "/packed") as packed, Client(edge) as mouth:
            await text.subscribe(channel)
            await ear.subscribe(channel, binary=True)
            await packed.subscribe(channel, binary=True)
            for k, payload in enumerate([b"", b"\0", BYTES]):
                await mouth.ws.send(frame(channel, payload))
                want = (channel, k + 1 if channel.startswith("kept") else 0, payload)
                assert as_text(await text.until("message")) == want
                assert await ear.next() == want
                assert await packed.next() == want
            # what is said in JSON is heard in JSON by all
            await mouth.say(type="publish", channel=channel, data={"a": 1})
            for c in (text, ear, packed):
                assert (await c.next())["data"] == {"a": 1}
    run(edge, go)


def test_a_later_subscribe_changes_what_bytes_come_as(edge):
    async def go(edge):
        async with Client(edge) as c, Client(edge) as mouth:
            for binary in (False, True, False, None, True):
                await c.subscribe("turns", **({} if binary is None else {"binary": binary}))
                await mouth.ws.send(frame("turns", b"x"))
                m = await c.next()
                assert isinstance(m, tuple) == bool(binary), (binary, m)
    run(edge, go)


def test_who_takes_bytes_hears_who_comes_and_goes_if_it_wants(edge):
    async def go(edge):
        async with Client(edge) as ear:
            await ear.subscribe("door", binary=True, joinLeave=True)
            async with Client(edge) as c:
                await c.subscribe("door", joinLeave=True)
                assert (await ear.next())["type"] == "join"
                await c.ws.send(frame("door", b"x"))
                assert await ear.next() == ("door", 0, b"x")
            assert (await ear.next())["type"] == "leave"
    run(edge, go)


def test_what_was_missed_comes_as_bytes_too(edge):
    async def go(edge):
        async with Client(edge) as mouth:
            at = await mouth.subscribe("kept:missed")
            for k in range(3):
                await mouth.ws.send(frame("kept:missed", bytes([k])))
            for k in range(3):
                await mouth.until("message")
            async with Client(edge) as c:
                got = await c.subscribe("kept:missed", binary=True, recover={"epoch": at["epoch"], "offset": at["offset"] + 1})
                assert got["recovered"]
                assert [await c.next() for _ in range(2)] == [("kept:missed", at["offset"] + k, bytes([k - 1])) for k in (2, 3)]
                # the word history is text for everybody
                await c.say(type="history", channel="kept:missed", limit=1)
                last = (await c.until("history"))["messages"]
                assert [as_text(m) for m in last] == [("kept:missed", at["offset"] + 3, b"\2")]
    run(edge, go)


def test_what_is_no_binary_publication_is_told_in_text(edge):
    async def go(edge):
        async with Client(edge) as c, Client(edge, "/rooms") as other:
            for bad, code in ((b"", "invalid_format"), (b"\1", "invalid_format"), (b"\2\1ax", "invalid_format"),
                              (b"\1\5ab", "invalid_format"), (b"\1\0x", "invalid_channel"), (b"\1\1\7x", "invalid_channel"),
                              (frame("user:bob", b"x"), "forbidden")):
                await c.ws.send(bad)
                assert (await c.next())["code"] == code, bad
            await c.say(type="subscribe", channel="a", binary=1, id=7)
            m = await c.next()
            assert (m["code"], m["field"], m["id"]) == ("invalid_format", "binary", 7)
            await other.ws.send(frame("a", b"x"))  # a channel word, where there are none
            assert (await other.next())["code"] == "invalid_format"
    run(edge, go)


def test_the_operator_sees_who_takes_bytes(edge):
    async def go(edge):
        async with Client(edge) as a, Client(edge, "/packed") as b:
            await a.subscribe("seen", binary=True)
            await b.subscribe("seen", binary=True, joinLeave=True)
            rows = json.loads(await asyncio.to_thread(edge.ctl, "-j", "channel", "show", "name", "seen"))
            words = {}
            for row in rows:
                for k, n in row.get("members", {}).items():
                    words[k] = words.get(k, 0) + n
            assert words == {"channel+binary": 1, "channel+events+binary+deflate": 1}, rows
    run(edge, go)
