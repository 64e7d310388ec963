# SPDX-License-Identifier: BSD-2-Clause
"""Channels, rooms and chat over several workers, seen by real WebSocket clients."""
import asyncio
import json
import os
import signal

import pytest

import sluice

ENDPOINTS = """
    { path = "/ws"; origins = "*"; rate = 0; space = "main"; },
    { path = "/same"; origins = "*"; space = "main"; words = "channels rooms"; },
    { path = "/other"; origins = "*"; words = "channels rooms"; },
    { path = "/slow"; origins = "*"; words = "channels"; rate = 5; rate_burst = 5; },
    { path = "/few"; origins = "*"; words = "channels"; max_subscriptions = 3; }
"""
NAMESPACES = 'namespaces = ( { name = ""; history = 100; }, { name = "brief"; history = 0; } );'


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=3, endpoints=ENDPOINTS, extra=NAMESPACES) as e:
        yield e


class Client:
    """One connection that reads everything and can wait for one kind of message."""

    def __init__(self, edge, path="/ws", listener="plain"):
        self.edge, self.path, self.listener, self.inbox = edge, path, listener, []

    async def __aenter__(self):
        self.ws = await self.edge.connect(self.listener, self.path)
        self.hello = await self.until("connected")
        self.id = self.hello["clientId"]
        return self

    async def __aexit__(self, *_):
        await self.ws.close()

    async def say(self, **message):
        await self.ws.send(json.dumps(message))

    async def next(self, seconds=10):
        return json.loads(await asyncio.wait_for(self.ws.recv(), seconds * sluice.SLOW))

    async def until(self, kind):
        while True:
            message = await self.next()
            if message["type"] == kind:
                return message
            self.inbox.append(message)

    async def ask(self, answer, **message):
        await self.say(**message)
        return await self.until(answer)

    async def silent(self, seconds=0.3):
        """Nothing more comes: a ping is answered and nothing stands before it."""
        await asyncio.sleep(seconds)
        await self.say(type="ping")
        message = await self.next()
        assert message["type"] == "pong", message


def run(test):
    """An async test as pytest calls it."""
    def wrapper(edge):
        asyncio.run(test(edge))
    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


async def crowd(edge, n, path="/ws"):
    clients = [Client(edge, path, ("plain", "tls")[i % 2]) for i in range(n)]
    for c in clients:
        await c.__aenter__()
    return clients


def in_the_lobby(edge, n):
    """Who is connected is on his way there: the lobby's home, another worker, hears of it a moment later; and
    of those who went, those of the test before too: it is exactly `n`, or somebody is still on his way."""
    def there():
        rows = json.loads(edge.ctl_run("-j", "channel", "show", "name", "lobby").stdout or "[]")
        return bool(rows) and rows[0]["subscribers"] == n
    sluice.wait_for("everybody is in the lobby", 10, there)


@run
async def test_a_publication_reaches_all_subscribers_and_its_publisher(edge):
    clients = await crowd(edge, 12)
    for c in clients:
        got = await c.ask("subscribed", type="subscribe", channel="news", id=7, presence=True)
        assert got["id"] == 7 and got["channel"] == "news"
    assert got["onlineCount"] == 12
    published = await clients[0].ask("published", type="publish", channel="news", id="a",
                                     data={"big": 12345678901234567890, "f": 1.0, "s": "\u00e9\U0001f600"})
    assert published["channel"] == "news" and published["id"] == "a"
    for c in clients:
        m = next((m for m in c.inbox if m["type"] == "message"), None) or await c.until("message")
        assert m["data"] == {"big": 12345678901234567890, "f": 1.0, "s": "\u00e9\U0001f600"}
        assert m["clientId"] == clients[0].id and m["offset"] == published["offset"]
    for c in clients:
        await c.__aexit__()


@run
async def test_order_is_one_for_all_with_several_publishers(edge):
    listeners, speakers = await crowd(edge, 9), await crowd(edge, 4)
    for c in listeners:
        await c.ask("subscribed", type="subscribe", channel="order")

    async def speak(i, c):
        for k in range(100):
            await c.say(type="publish", channel="order", data=[i, k])
    await asyncio.gather(*(speak(i, c) for i, c in enumerate(speakers)))

    async def hear(c):
        return [tuple((await c.until("message"))["data"]) for _ in range(400)]
    heard = await asyncio.gather(*(hear(c) for c in listeners))
    assert all(h == heard[0] for h in heard)
    assert sorted(heard[0]) == [(i, k) for i in range(4) for k in range(100)]
    for i in range(4):
        assert [k for j, k in heard[0] if j == i] == list(range(100))
    for c in listeners + speakers:
        await c.__aexit__()


@run
async def test_room_words(edge):
    a, b, c = await crowd(edge, 3)
    assert (await a.ask("joined_room", type="join_room", room="r1"))["onlineCount"] == 1
    assert (await b.ask("joined_room", type="join_room", room="r1"))["onlineCount"] == 2
    assert (await a.until("user_joined"))["userId"] == b.id
    await c.ask("joined_room", type="join_room", room="r1")
    await a.say(type="broadcast_room", room="r1", content={"x": [1, 2]})
    for other in (b, c):
        m = await other.until("room_message")
        assert m["from"] == a.id and m["content"] == {"x": [1, 2]} and m["room"] == "r1"
    assert (await a.until("user_joined"))["userId"] == c.id
    await a.silent()
    assert (await b.ask("left_room", type="leave_room", room="r1"))["room"] == "r1"
    assert (await a.until("user_left"))["userId"] == b.id
    await c.__aexit__()
    assert (await a.until("user_left"))["userId"] == c.id
    for x in (a, b):
        await x.__aexit__()


@run
async def test_chat_words_and_the_lobby(edge):
    a, b = await crowd(edge, 2)
    in_the_lobby(edge, 2)
    await a.say(type="chat", text="hello")
    for c in (a, b):
        m = await c.until("chat")
        assert m["from"] == a.id and m["text"] == "hello" and m["timestamp"] > 1e12
    await a.say(type="typing")
    assert (await b.until("typing"))["from"] == a.id
    await a.silent()
    for x in (a, b):
        await x.__aexit__()


@run
async def test_one_publication_in_several_words(edge):
    channel, room, sender = await crowd(edge, 3)
    in_the_lobby(edge, 3)
    await channel.ask("subscribed", type="subscribe", channel="mix")
    await room.ask("joined_room", type="join_room", room="mix")
    await sender.say(type="publish", channel="mix", data="d")
    assert (await channel.until("message"))["data"] == "d"
    assert (await room.until("room_message"))["content"] == "d"
    await channel.ask("subscribed", type="subscribe", channel="lobby")
    await sender.say(type="chat", text="t")
    assert (await channel.until("message"))["data"] == {"text": "t"}
    assert (await room.until("chat"))["text"] == "t"
    for x in (channel, room, sender):
        await x.__aexit__()


@run
async def test_spaces_keep_channels_apart(edge):
    main, same, other = Client(edge), Client(edge, "/same"), Client(edge, "/other")
    for c in (main, same, other):
        await c.__aenter__()
        await c.ask("subscribed", type="subscribe", channel="s")
    await main.say(type="publish", channel="s", data=1)
    assert (await same.until("message"))["data"] == 1
    await other.silent()
    for c in (main, same, other):
        await c.__aexit__()


@run
async def test_after_unsubscribed_nothing_comes(edge):
    a, b = await crowd(edge, 2)
    await a.ask("subscribed", type="subscribe", channel="u")
    for k in range(50):
        await b.say(type="publish", channel="u", data=k)
        if k == 25:
            await a.say(type="unsubscribe", channel="u")
    await a.until("unsubscribed")
    await a.silent()
    assert [m["data"] for m in a.inbox if m["type"] == "message"] == \
        list(range(len([m for m in a.inbox if m["type"] == "message"])))
    for x in (a, b):
        await x.__aexit__()


@run
async def test_who_comes_back_hears_what_it_has_missed_before_anything_new(edge):
    a, b = await crowd(edge, 2)
    await b.ask("subscribed", type="subscribe", channel="rec")
    at = await a.ask("subscribed", type="subscribe", channel="rec")
    where = {"epoch": at["epoch"], "offset": at["offset"]}
    await a.ask("unsubscribed", type="unsubscribe", channel="rec")
    assert (await a.ask("subscribed", type="subscribe", channel="rec", recover=where))["recovered"] is True
    await a.ask("unsubscribed", type="unsubscribe", channel="rec")
    for k in range(100):
        await b.ask("published", type="publish", channel="rec", data=k, id=1)
    got = await a.ask("subscribed", type="subscribe", channel="rec", recover=where, id=5)
    assert got["recovered"] is True and got["offset"] == at["offset"] + 100 and got["id"] == 5
    await b.say(type="publish", channel="rec", data=100)
    missed = [await a.until("message") for _ in range(101)]
    assert [m["data"] for m in missed] == list(range(101))
    assert [m["offset"] for m in missed] == list(range(at["offset"] + 1, at["offset"] + 102))
    assert all(m["clientId"] == b.id and m["channel"] == "rec" for m in missed)
    await a.ask("unsubscribed", type="unsubscribe", channel="rec")
    got = await a.ask("subscribed", type="subscribe", channel="rec", recover=where)  # only 100 are kept
    assert got["recovered"] is False and got["offset"] == at["offset"] + 101
    await a.silent()
    for x in (a, b):
        await x.__aexit__()


@run
async def test_who_is_new_hears_the_last_ones_if_it_likes(edge):
    a, b, c = await crowd(edge, 3)
    for k in range(10):
        await b.ask("published", type="publish", channel="news:7", data=k, id=1)  # nobody is there yet
    got = await a.ask("subscribed", type="subscribe", channel="news:7", history=3)
    assert got["offset"] == 10 and "recovered" not in got
    assert [(await a.until("message"))["data"] for _ in range(3)] == [7, 8, 9]
    await c.say(type="subscribe", channels=["news:7", "news:8"], history=1)
    got = [await c.next() for _ in range(3)]  # the channels may be at home in two workers
    assert sorted(m["type"] for m in got) == ["message", "subscribed", "subscribed"]
    assert [m["data"] for m in got if m["type"] == "message"] == [9]
    for x in (a, c):
        await x.silent()
    for x in (a, b, c):
        await x.__aexit__()


@run
async def test_what_is_kept_can_be_read_page_by_page(edge):
    a, b = await crowd(edge, 2)
    for channel in [f"page:{i}" for i in range(6)]:  # at home in all workers
        for k in range(60):
            await b.ask("published", type="publish", channel=channel, data={"k": k}, id=1)
        got = await a.ask("history", type="history", channel=channel, id="h")
        assert got["id"] == "h" and got["channel"] == channel and got["offset"] == 60
        assert [m["data"]["k"] for m in got["messages"]] == list(range(10, 60))
        assert got["messages"][0]["clientId"] == b.id and got["messages"][0]["offset"] == 11
        heard, since = [], {"epoch": got["epoch"], "offset": 0}
        while True:
            got = await a.ask("history", type="history", channel=channel, since=since, limit=25)
            assert got["recovered"] is True
            if not got["messages"]:
                break
            heard += [m["data"]["k"] for m in got["messages"]]
            since["offset"] = got["messages"][-1]["offset"]
        assert heard == list(range(60))
    for k in range(12):  # bounded by max_message, 100 KiB
        await b.ask("published", type="publish", channel="page:big", data="x" * 20000, id=1)
    got = await a.ask("history", type="history", channel="page:big")
    assert [m["offset"] for m in got["messages"]] == [9, 10, 11, 12] or \
        [m["offset"] for m in got["messages"]] == [8, 9, 10, 11, 12]
    assert (await a.ask("error", type="history", channel="brief:1"))["code"] == "no_history"
    got = await a.ask("history", type="history", channel="page:none")
    assert got["messages"] == [] and "epoch" not in got
    for x in (a, b):
        await x.__aexit__()


@run
async def test_what_is_sent_again_with_its_id_is_not_delivered_again(edge):
    a, b = await crowd(edge, 2)
    for channel in [f"{n}:{i}" for i in range(4) for n in ("twice", "brief")]:
        await b.ask("subscribed", type="subscribe", channel=channel)
        first = await a.ask("published", type="publish", channel=channel, data=1, messageId="m1", id=1)
        again = await a.ask("published", type="publish", channel=channel, data=1, messageId="m1", id=2)
        assert again["id"] == 2 and again.get("offset") == first.get("offset")
        await a.ask("published", type="publish", channel=channel, data=2, messageId="m2", id=3)
        assert [(await b.until("message"))["data"] for _ in range(2)] == [1, 2]
    await b.silent()
    for x in (a, b):
        await x.__aexit__()


@run
async def test_where_nothing_is_kept_there_are_no_positions(edge):
    a, = await crowd(edge, 1)
    got = await a.ask("subscribed", type="subscribe", channel="brief:1", recover={"epoch": "1", "offset": 0})
    assert got["recovered"] is False and "epoch" not in got and "offset" not in got
    await a.say(type="publish", channel="brief:1", data=1, id=1)
    message, published = await a.until("message"), await a.until("published")
    assert "offset" not in message and "offset" not in published
    await a.__aexit__()


BAD = [
    ("nonsense", "Invalid message format", "invalid_format"),
    ("[]", "Invalid message format", "invalid_format"),
    ('{"type":7}', "Invalid message format", "invalid_format"),
    ('{"type":"dance"}', "Unknown message type", "unknown_type"),
    ('{"type":"subscribe","channel":""}', "Invalid channel", "invalid_channel"),
    ('{"type":"subscribe","channel":"a\\u0007b"}', "Invalid channel", "invalid_channel"),
    ('{"type":"subscribe","channel":"' + "x" * 101 + '"}', "Invalid channel", "invalid_channel"),
    ('{"type":"subscribe","channel":"user:1"}', None, "forbidden"),
    ('{"type":"publish","channel":"user:1","data":1}', None, "forbidden"),
    ('{"type":"join_room","room":"user:1"}', None, "forbidden"),
    ('{"type":"subscribe"}', "Missing field: channel", "missing_field"),
    ('{"type":"subscribe","channel":"a","presence":7}', "Invalid field: presence", "invalid_format"),
    ('{"type":"chat","text":"' + "x" * 10000 + '"}', "Message too long: text", "too_long"),
    ('{"type":"broadcast_room","room":"elsewhere","content":1}', "Not in this room", "not_subscribed"),
]


@pytest.mark.parametrize("text,message,code", BAD, ids=[b[0][:40] for b in BAD])
def test_mistakes_are_answered_and_the_connection_lives(edge, text, message, code):
    async def go():
        async with Client(edge) as c:
            await c.ws.send(text)
            e = await c.until("error")
            assert e["code"] == code and (message is None or e["message"] == message)
            await c.silent(0)
    asyncio.run(go())


@run
async def test_the_rate_limit_says_when_to_come_back(edge):
    async with Client(edge, "/slow") as c:
        for _ in range(7):
            await c.say(type="ping")
        e = await c.until("error")
        assert e["code"] == "rate_limited" and 0 < e["retryAfter"] <= 1000
        await asyncio.sleep(1.2 * sluice.SLOW)
        await c.ask("pong", type="ping")


@run
async def test_too_many_subscriptions_are_refused(edge):
    async with Client(edge, "/few") as c:
        for i in range(3):
            await c.ask("subscribed", type="subscribe", channel=f"c{i}")
        e = await c.ask("error", type="subscribe", channel="c3", id=9)
        assert e["code"] == "too_many_subscriptions" and e["id"] == 9
        await c.ask("unsubscribed", type="unsubscribe", channel="c0")
        await c.ask("subscribed", type="subscribe", channel="c3")


@run
async def test_channels_are_shown_and_vanish_with_their_last_subscriber(edge):
    clients = await crowd(edge, 5)
    for c in clients:
        await c.ask("subscribed", type="subscribe", channel="shown")
    row = json.loads(edge.ctl("-j", "channel", "show", "name", "shown"))[0]
    assert row["subscribers"] == 5 and row["members"] == {"channel": 5} and row["space"] == "main"
    for c in clients:
        await c.__aexit__()
    import time
    end = time.monotonic() + 5 * sluice.SLOW
    while time.monotonic() < end:
        names = [r["name"] for r in json.loads(edge.ctl("-j", "channel", "show"))]
        if "shown" not in names:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(names)


@run
async def test_too_much_at_once_for_one_channel_is_told_overloaded(edge):
    """What is under way for one channel is bounded: a burst to a home in another worker meets the bound."""
    async with Client(edge) as c:
        for i in range(12):  # most of them are at home elsewhere
            for k in range(200):
                await c.say(type="subscribe", channel=f"burst-{i}", id=k)
        seen = {"subscribed": 0, "error": 0}
        for _ in range(12 * 200):
            m = await c.next()
            seen[m["type"]] += 1
            if m["type"] == "error":
                assert (m["code"], m["message"]) == ("overloaded", "Overloaded, try again later") and 0 <= m["id"] < 200
        assert seen["error"] > 0 and seen["subscribed"] >= 12
        await c.silent(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to see whose connection it is")
def test_what_does_not_fit_while_a_home_is_down_is_told_unavailable():
    """Publications wait for a home that is being restarted, as many as a bound allows."""
    async def until_down(edge):
        """Worker 0 dies until its successor has to wait a while."""
        for wait in ("", "next start in 100 ms", "next start in 200 ms", "next start in 400 ms", "next start in 800 ms"):
            pid = await asyncio.to_thread(sluice.wait_for, "a worker 0", 10, lambda: edge.members().get("worker-0"))
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(edge.wait_log, wait)
            await asyncio.to_thread(sluice.wait_for, "it is gone", 5, lambda p=pid: edge.members().get("worker-0") != p)

    async def go(edge):
        while True:
            c = await Client(edge).__aenter__()
            if edge.owner(c.ws.local_address[1]) == "worker-1":
                break
            await c.ws.close()
        await until_down(edge)
        asked = [f"h{i}" for i in range(16)]  # about half of them are at home in worker 0, and two are enough
        for name in asked:
            for k in range(10):
                await c.say(type="publish", channel=name, data="x" * 60000, id=f"{name} {k}")
        answers = {}
        while len(answers) < 10 * len(asked):
            m = await c.next(20)
            assert m["id"] not in answers
            answers[m["id"]] = m
        refused = [m for m in answers.values() if m["type"] == "error"]
        assert refused and all(m["code"] == "unavailable" for m in refused)
        assert len({m["id"].split()[0] for m in refused}) < len(asked)  # those at home here go on
        assert all(m["type"] == "published" for m in answers.values() if m not in refused)
        await c.ask("published", type="publish", channel=refused[0]["id"].split()[0], data=1, id="again")
        await c.ws.close()

    with sluice.Edge(workers=2, endpoints='{ path = "/ws"; rate = 0; words = "channels"; }',
                     extra='memory = { mailbox = "1 MiB"; mailbox_overflow = "1 MiB"; };') as edge:
        asyncio.run(go(edge))
