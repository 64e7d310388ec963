# SPDX-License-Identifier: BSD-2-Clause
"""Who is in a channel: pages over three workers, by real clients, some of whom have shown a certificate."""
import asyncio
import collections
import json
import os
import signal

import pytest

import sluice
from test_channels import Client, run
from test_client_certs import Authority, listener, pem

CROWD, USERS = 150, 4
ENDPOINTS = """
    { path = "/ws"; rate = 0; space = "main"; },
    { path = "/rooms"; rate = 0; space = "main"; words = "rooms"; },
    { path = "/other"; rate = 0; words = "channels"; },
    { path = "/zip"; rate = 0; space = "main"; compression = true; }
"""


class User(Client):
    """Who shows a certificate, if it has one."""

    def __init__(self, edge, shows=None, path="/ws"):
        super().__init__(edge, path, "certs")
        self.shows = shows

    async def __aenter__(self):
        context = self.edge.ssl_context()
        if self.shows:
            context.load_cert_chain(self.shows)
        self.ws = await self.edge.connect("certs", self.path, ssl=context)
        self.hello = await self.until("connected")
        self.id = self.hello["clientId"]
        return self


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presence")
    ca = Authority("the CA")
    (folder / "ca.pem").write_bytes(pem(ca.cert))
    for i in range(USERS):
        ca.issue(folder, f"user-{i}")
    return folder


@pytest.fixture(scope="module")
def edge(folder):
    with sluice.Edge(workers=3, listeners={"certs": listener(folder, "optional")}, endpoints=ENDPOINTS) as e:
        e.certs = folder
        yield e


async def crowd(edge, n, channel, users=0):
    """n members, the first `users` of them with two connections each for a name."""
    clients = [User(edge, edge.certs / f"user-{i // 2}.pem" if i < 2 * users else None,
                    ("/ws", "/rooms", "/zip")[i % 3]) for i in range(n)]
    for c in clients:
        await c.__aenter__()
        if c.path == "/rooms":
            await c.ask("joined_room", type="join_room", room=channel)
        else:
            await c.ask("subscribed", type="subscribe", channel=channel)
    return clients


async def leave(clients):
    await asyncio.gather(*(c.__aexit__() for c in clients))


async def pages(client, channel, **more):
    """All of them, from the first to the last."""
    got = [await client.ask("presence", type="presence", channel=channel, **more)]
    while "cursor" in got[-1]:
        got.append(await client.ask("presence", type="presence", channel=channel, cursor=got[-1]["cursor"], **more))
    return got


@pytest.mark.time_limit(120)
@run
async def test_all_pages_together_are_each_connection_once_with_its_user(edge):
    clients = await crowd(edge, CROWD, "lounge", USERS)
    workers = collections.Counter(r["worker"] for r in json.loads(edge.ctl("-j", "conn", "show")))
    assert set(workers) == {0, 1, 2}
    want = sorted((c.id, c.hello.get("userId")) for c in clients)
    assert sum(user is not None for _, user in want) == 2 * USERS
    for c, limit in ((clients[0], None), (clients[1], 100), (clients[CROWD - 1], 7), (clients[2], 1)):
        got = await pages(c, "lounge", id=f"p{limit}", **({"limit": limit} if limit else {}))
        for page in got:
            assert (page["channel"], page["onlineCount"], page["id"]) == ("lounge", CROWD, f"p{limit}")
            assert "partial" not in page and "timestamp" not in page
        sizes = [len(page["members"]) for page in got]
        assert sizes[:-1] == [limit or 50] * (len(sizes) - 1) and 0 < sizes[-1] <= (limit or 50)
        assert sorted((m["clientId"], m.get("userId")) for page in got for m in page["members"]) == want
    # the operator sees the same ones
    rows = json.loads(edge.ctl("-j", "channel", "members", "name", "lounge"))
    assert sorted((r["id"], r.get("user")) for r in rows) == want
    assert collections.Counter(r["worker"] for r in rows) == workers
    path = {c.id: c.path for c in clients}
    words = {"/ws": "channel", "/rooms": "room", "/zip": "channel+deflate"}
    assert all(r["encoding"] == words[path[r["id"]]] and r["space"] == "main" for r in rows)
    assert all(r["peer"].startswith("127.0.0.1:") for r in rows)
    # a count alone, from an endpoint of the same space and of another one
    assert await clients[1].ask("presence", type="presence", channel="lounge", limit=0, id=1) == {
        "type": "presence", "id": 1, "channel": "lounge", "onlineCount": CROWD}
    async with User(edge, path="/other") as stranger:
        assert await stranger.ask("presence", type="presence", channel="lounge") == {
            "type": "presence", "channel": "lounge", "onlineCount": 0, "members": []}
    await leave(clients)


@run
async def test_the_operator_pages_through_the_members_and_stops_where_he_likes(edge):
    clients = await crowd(edge, 9, "stage", 1)
    text = edge.ctl("channel", "members", "name", "stage")
    lines = text.splitlines()
    assert lines[0].split() == ["ID", "SLOT", "PEER", "SPACE", "ENCODING", "USER"] and lines[-1] == "9 members"
    assert {l.split()[0] for l in lines[1:-1]} == {c.id for c in clients}
    assert sum(l.endswith("user-0") for l in lines) == 2
    assert edge.ctl("channel", "members", "name", "stage", "limit", "4").splitlines()[-1] == \
        "4 members shown; `limit N` shows more"
    assert len(json.loads(edge.ctl("-jp", "ch", "mem", "name", "stage", "limit", "4"))) == 4
    assert json.loads(edge.ctl("-j", "channel", "members", "name", "nobody")) == []
    assert edge.ctl("channel", "members", "name", "nobody") == "0 members\n"
    for wrong, why in ((["members"], "of which one"), (["members", "name", "x" * 101], "1 to 100"),
                       (["members", "name", "a", "limit", "0"], "at least 1")):
        done = edge.ctl_run("channel", *wrong)
        assert done.returncode == 2 and why in done.stderr
    await leave(clients)


@run
async def test_what_may_not_be_seen_and_what_is_no_request(edge):
    async with User(edge, edge.certs / "user-1.pem") as a, User(edge) as b:
        await a.ask("presence", type="presence", channel="user:user-1")
        for channel, code in (("user:user-2", "forbidden"), ("", "invalid_channel"), ("a\n", "invalid_channel"),
                              ("x" * 101, "invalid_channel"), (7, "invalid_channel"), (None, "missing_field")):
            got = await a.ask("error", type="presence", channel=channel, id="e")
            assert (got["code"], got["id"]) == (code, "e"), channel
        assert (await b.ask("error", type="presence", channel="user:user-1"))["code"] == "forbidden"
        for field, values in (("limit", [-1, 101, "5", 1.5, {}, True]),
                              ("cursor", ["", "w", "w0", "w0.", "w3.0", "w0.134217728", "w00.1", "w0.01", "w-1.0", "0.0",
                                          "w0.0 ", "w1.1.1", "w1.\u0661", "w" + "9" * 400 + ".0", 7, [], False])):
            for value in values:
                got = await b.ask("error", **{"type": "presence", "channel": "a", field: value, "id": 3})
                assert (got["code"], got["field"], got["id"]) == ("invalid_format", field, 3), value
        got = await b.ask("presence", type="presence", channel="a", limit=None, cursor="w2.134217727")
        assert got["members"] == [] and "cursor" not in got


@pytest.mark.time_limit(120)
@run
async def test_who_died_with_a_worker_is_not_there_any_more(edge):
    clients = await crowd(edge, 30, "cabin")
    where = {r["id"]: r["worker"] for r in json.loads(edge.ctl("-j", "channel", "members", "name", "cabin"))}
    stay = [c for c in clients if where[c.id] != 1]
    assert 0 < len(stay) < 30
    # questions are under way while it dies: each is answered, and with nobody who never was there
    old = edge.members()["worker-1"]
    for i in range(8):
        await stay[0].say(type="presence", channel="cabin", id=i)
    os.kill(old, signal.SIGKILL)
    got = [await stay[0].until("presence") for i in range(8)]
    assert sorted(p["id"] for p in got) == list(range(8))
    assert all({m["clientId"] for m in p["members"]} <= set(where) for p in got)
    sluice.wait_for("worker 1 is back", 10, lambda: edge.members().get("worker-1") not in (None, old))

    async def now():
        return {m["clientId"] for p in await pages(stay[0], "cabin", limit=4) for m in p["members"]}
    for _ in range(100):
        if await now() == {c.id for c in stay}:
            break
        await asyncio.sleep(0.05)
    assert await now() == {c.id for c in stay}
    assert (await stay[0].ask("presence", type="presence", channel="cabin", limit=0))["onlineCount"] == len(stay)
    await leave(stay)


async def of_expression(client, to, **more):
    """The count that each page gives, and all ids of all pages."""
    got = [await client.ask("presence", type="presence", to=to, **more)]
    while "cursor" in got[-1]:
        got.append(await client.ask("presence", type="presence", to=to, cursor=got[-1]["cursor"], **more))
    assert len({p["onlineCount"] for p in got}) == 1 and all("partial" not in p for p in got)
    return got[0]["onlineCount"], [m["clientId"] for p in got for m in p.get("members", [])], got


@pytest.mark.time_limit(120)
@run
async def test_whom_an_expression_means_is_counted_and_listed_once(edge):
    clients = [User(edge) for _ in range(60)]
    channels = {"x:a": 2, "x:b": 3, "x:c": 5}  # every second, every third, every fifth
    has = {name: set() for name in channels}
    for i, c in enumerate(clients):
        await c.__aenter__()
        for name, every in channels.items():
            if i % every == 0:
                await c.ask("subscribed", type="subscribe", channel=name)
                has[name].add(c.id)
    a, b, c = has["x:a"], has["x:b"], has["x:c"]
    asker = clients[1]
    for to, want in (({"any": ["x:a", "x:b"]}, a | b),
                     ({"any": ["x:a", "x:b"], "except": ["x:c"]}, (a | b) - c),
                     ({"all": ["x:a", "x:b"]}, a & b),
                     ({"any": ["x:a", "x:b"], "all": ["x:c"]}, (a | b) & c),
                     ({"any": ["x:nobody"], "except": ["x:a"]}, set()),
                     ({"any": ["x:a", "x:a"], "all": ["x:a"]}, a)):
        for limit in (7, 100):
            count, ids, pages_ = await of_expression(asker, to, limit=limit, id="e")
            assert count == len(want) and len(ids) == len(set(ids)) and set(ids) == want, to
            assert all(p["id"] == "e" and "channel" not in p for p in pages_)
        count, ids, pages_ = await of_expression(asker, to, limit=0)
        assert count == len(want) and "members" not in pages_[0]
    # one channel alone is that channel
    one = await asker.ask("presence", type="presence", to={"any": ["x:a"]}, limit=0)
    assert (one["channel"], one["onlineCount"]) == ("x:a", len(a))
    # what is none
    for bad, field in (({"any": []}, None), ({"any": "x:a"}, "to.any"), ({"except": ["x:a"]}, None), ({"some": ["x:a"]}, "to"),
                       ({"any": ["x:a"], "all": [1]}, "to.all"), ([], "to"), ({"any": [f"n{i}" for i in range(17)]}, None)):
        m = await asker.ask("error", type="presence", to=bad)
        assert m["code"] in ("invalid_format", "invalid_channel") and field in (None, m.get("field")), (bad, m)
    m = await asker.ask("error", type="presence", to={"any": ["x:a", "x:b"]}, channel="x:a")
    assert m["code"] == "invalid_format"
    for to in ({"any": ["user:somebody", "x:a"]}, {"any": ["x:a"], "except": ["user:somebody"]}):
        m = await asker.ask("error", type="presence", to=to)
        assert m["code"] == "forbidden", m
    await leave(clients)
