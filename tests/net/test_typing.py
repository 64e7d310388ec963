# SPDX-License-Identifier: BSD-2-Clause
"""Relays with auto_stop: who types and falls silent is said to have stopped. Over TLS, two workers."""
import asyncio
import contextlib
import json
import time

import pytest

import sluice

AFTER_S = 0.5
ENDPOINTS = '{ path = "/ws"; rate = 0; origins = "*"; }'
RELAYS = f"""relays = (
    {{ name = "typing"; ephemeral = true; auto_stop = "stopped_typing"; auto_stop_after = "{int(AFTER_S * 1000)} ms"; }},
    {{ name = "stopped_typing"; ephemeral = true; }},
    {{ name = "drawing"; channel = "{{board}}"; fields = "board"; echo = true; auto_stop = "drawn"; auto_stop_after = "1 min"; }},
    {{ name = "mark"; fields = "n"; echo = true; }} );"""


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS, extra=RELAYS) as e:
        yield e


class Client:
    def __init__(self, edge):
        self.edge = edge

    async def __aenter__(self):
        self.ws = await self.edge.connect("tls", "/ws", close_timeout=0.1)
        self.id = (await self.next())["clientId"]
        return self

    async def __aexit__(self, *_):
        await self.ws.close()

    async def say(self, kind, **fields):
        await self.ws.send(json.dumps({"type": kind, **fields}))

    async def next(self):
        return json.loads(await asyncio.wait_for(self.ws.recv(), 20 * sluice.SLOW))

    async def until(self, kind):
        """The next of that type, and what came before it."""
        before = []
        while (m := await self.next())["type"] != kind:
            before.append(m)
        return m, before

    async def ask(self, answer, kind, **fields):
        await self.say(kind, **fields)
        return (await self.until(answer))[0]


_marks = iter(range(1, 1000))


async def types_until_mark(speaker, hearer):
    """What the hearer has heard before something that everybody hears, but for other such things."""
    n, types = next(_marks), []
    await speaker.say("mark", n=n)
    while (m := await hearer.next()) != {**m, "type": "mark", "n": n}:
        types.append(m["type"])
    return [t for t in types if t != "mark"]


def run(test):
    """With two clients who are in the lobby: what one says there, the other hears."""
    async def meet(edge):
        async with contextlib.AsyncExitStack() as stack:
            a, b = [await stack.enter_async_context(Client(edge)) for _ in range(2)]
            sluice.wait_for("both are in the lobby", 10, lambda: in_the_lobby(edge) == 2)
            await test(edge, a, b)

    def wrapper(edge):
        asyncio.run(meet(edge))
    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


def in_the_lobby(edge):
    rows = json.loads(edge.ctl_run("-j", "channel", "show", "name", "lobby").stdout or "[]")
    return rows[0]["subscribers"] if rows else 0


@run
async def test_silence_is_told_once_and_to_the_others(edge, a, b):
    began = time.monotonic()
    await a.say("typing")
    assert (await b.until("typing"))[0]["from"] == a.id
    m, before = await b.until("stopped_typing")
    assert not before and m["from"] == a.id and m["timestamp"] > 1e12 and set(m) == {"type", "from", "timestamp"}
    assert time.monotonic() - began > AFTER_S / 2
    await asyncio.sleep(2 * AFTER_S)
    assert await types_until_mark(a, b) == []
    assert await types_until_mark(b, a) == []  # no echo


@run
async def test_who_goes_on_typing_has_not_stopped(edge, a, b):
    longest, last = 0, time.monotonic()
    for _ in range(8):
        await a.say("typing")
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        await asyncio.sleep(AFTER_S / 4)
    heard = []
    while "stopped_typing" not in heard:
        heard.append((await b.next())["type"])
    if longest < AFTER_S / 2:  # nothing was held up
        assert heard == ["typing"] * 8 + ["stopped_typing"]
        assert time.monotonic() - last > AFTER_S / 2


@run
async def test_ones_own_stop_is_the_only_one(edge, a, b):
    await a.say("typing")
    await a.say("stopped_typing")
    assert [(await b.next())["type"] for _ in range(2)] == ["typing", "stopped_typing"]
    await asyncio.sleep(2 * AFTER_S)
    assert await types_until_mark(a, b) == []


@run
async def test_who_hangs_up_has_stopped_at_once(edge, a, b):
    async with Client(edge) as c:
        await b.ask("subscribed", "subscribe", channel="board:1")
        await c.say("drawing", board="board:1")  # whose silence would take a minute
        assert (await b.until("message"))[0]["data"] == {"board": "board:1"}
        who = c.id
    m, _ = await b.until("message")
    assert m["data"] == {} and m["clientId"] == who
    async with Client(edge) as c:
        await c.say("drawing", board="board:1")
        await b.until("message")
        c.ws.transport.abort()  # without a goodbye
        assert (await b.until("message"))[0]["data"] == {}


@run
async def test_who_leaves_a_channel_has_stopped_there(edge, a, b):
    for c in (a, b):
        for board in ("board:2", "board:3"):
            await c.ask("joined_room", "join_room", room=board)
    for board in ("board:2", "board:3"):
        await a.say("drawing", board=board)
        m, _ = await b.until("room_message")
        assert m["content"] == {"board": board} and m["from"] == a.id
    await a.say("leave_room", room="board:2")
    m, _ = await b.until("room_message")
    assert m["content"] == {} and m["room"] == "board:2" and m["from"] == a.id
    assert (await b.until("user_left"))[0]["room"] == "board:2"
    assert await types_until_mark(a, b) == []  # there it draws on
    await a.ask("unsubscribed", "unsubscribe", channel="board:3")
    m, _ = await b.until("room_message")
    assert m["content"] == {} and m["room"] == "board:3"
