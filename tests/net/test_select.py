# SPDX-License-Identifier: BSD-2-Clause
"""Set algebra over channels, users and roles: publish, count, list and kick by an expression, over several workers."""
import asyncio
import json
import os
import signal
import socket

import pytest
import websockets
from cryptography.x509.oid import NameOID

import sluice
from test_channels import Client
from test_client_certs import Authority, context_of, pem

WORKERS = 3
ENDPOINTS = """
    { path = "/ws"; origins = "*"; rate = 0; space = "main"; },
    { path = "/rooms"; origins = "*"; space = "main"; words = "rooms"; },
    { path = "/other"; origins = "*"; words = "channels"; }
"""
NAMESPACES = 'namespaces = ( { name = ""; history = 100; } );'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("select")
    ca = Authority("the CA")
    (folder / "ca.pem").write_bytes(pem(ca.cert))
    for name, roles in {"alice": ["ops", "night shift"], "bob": ["ops"], "carol": []}.items():
        ca.issue(folder, name, subject=[(NameOID.ORGANIZATION_NAME, r) for r in roles] + [(NameOID.COMMON_NAME, name)])
    return folder


@pytest.fixture(scope="module")
def edge(folder):
    known = {"tls": True, "more": f'client_certificates = "optional"; client_ca_file = "{folder}/ca.pem";'}
    with sluice.Edge(workers=WORKERS, listeners={"plain": {"tls": False}, "tls": known}, endpoints=ENDPOINTS,
                     extra=NAMESPACES) as e:
        e.certs = folder
        yield e


class Somebody(Client):
    """As the user whose certificate it shows; subscribes to some channels first."""

    def __init__(self, edge, *channels, user=None, path="/ws"):
        super().__init__(edge, path, "tls")
        self.user, self.channels = user, channels

    async def __aenter__(self):
        context = context_of(self.edge, self.edge.certs / f"{self.user}.pem" if self.user else None)
        self.ws = await self.edge.connect("tls", self.path, ssl=context)
        self.hello = await self.until("connected")
        self.id = self.hello["clientId"]
        for channel in self.channels:
            await self.ask("subscribed", type="subscribe", channel=channel)
        return self

    async def hears(self, *wanted):
        """The (channel, data) of all that it hears, and that nothing else comes."""
        for channel, data in wanted:
            message = await self.next()
            assert (message.get("channel", message.get("room")), message.get("data", message.get("content"))) == \
                (channel, data), message
        await self.silent(0.1)


def run(test):
    def wrapper(edge):
        asyncio.run(test(edge))
    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


async def come(*people):
    return [await p.__aenter__() for p in people]


async def go(people):
    for p in people:
        await p.__aexit__()


def count(edge, *words):
    return json.loads(edge.ctl("-j", "conn", "count", *words))["connections"]


@run
async def test_each_hears_once_by_the_first_channel_that_it_is_in(edge):
    lobby = await come(*[Somebody(edge, "e-lobby", "e-muted" if i == 5 else "e-x") for i in range(6)])
    both = await come(*[Somebody(edge, "e-news", "e-lobby") for _ in range(6)])
    news = await come(*[Somebody(edge, "e-news") for _ in range(6)])
    speaker = lobby[0]
    answer = await speaker.ask("published", type="publish", id=1, data="hi",
                               to={"any": ["e-lobby", "e-news"], "except": ["e-muted"]})
    assert answer["channel"] == "e-lobby" and "offset" not in answer
    for c in lobby[1:5] + both:
        await c.hears(("e-lobby", "hi"))
    for c in news:
        await c.hears(("e-news", "hi"))
    await lobby[5].silent(0)
    # the speaker is a subscriber like any other, whichever of the two came first
    mine = [m for m in speaker.inbox if m["type"] == "message"] or [await speaker.next()]
    assert [m["data"] for m in mine] == ["hi"] and mine[0]["clientId"] == speaker.id
    await speaker.say(type="publish", data=2, to={"all": ["e-news", "e-lobby"]})
    for c in both:
        await c.hears(("e-news", 2))
    for c in lobby[1:] + news:
        await c.silent(0)
    # nothing of that is in anybody's history; what goes to one channel alone is
    await speaker.ask("published", type="publish", id=2, data=3, to={"any": ["e-news"]})
    kept = await speaker.ask("history", type="history", channel="e-news")
    assert [m["data"] for m in kept["messages"]] == [3]
    assert (await speaker.ask("history", type="history", channel="e-lobby"))["messages"] == []
    await go(lobby + both + news)


@run
async def test_what_a_client_may_not_say(edge):
    [c] = await come(Somebody(edge, "w-a", user="carol"))
    for to, code, field in (
            ({"any": ["w-a", "user:carol"]}, "forbidden", None), ({"any": ["w-a"], "except": ["user:bob"]}, "forbidden", None),
            ({"any": ["w-a"], "but": ["w-b"]}, "invalid_format", "to"), ({"except": ["w-a"]}, "invalid_format", "to"),
            ({"any": ["w-a"], "all": ["x" * 101]}, "invalid_format", "to.all"),
            ({"any": [f"w-{i}" for i in range(17)]}, "invalid_format", "to.any"), ("w-a", "invalid_format", "to")):
        error = await c.ask("error", type="publish", id="q", data=1, to=to)
        assert (error["code"], error.get("field"), error["id"]) == (code, field, "q"), error
    error = await c.ask("error", type="publish", data=1, to={"any": ["w-a", "w-b"]}, channel="w-a")
    assert error["field"] == "to"
    await c.silent(0)
    await go([c])


@run
async def test_a_message_id_is_taken_once(edge):
    a, b = await come(Somebody(edge, "i-a"), Somebody(edge, "i-b"))
    for _ in range(3):
        await a.ask("published", type="publish", id=1, messageId="m", data=1, to={"any": ["i-a", "i-b"]})
    await b.hears(("i-b", 1))
    await go([a, b])


@run
async def test_users_and_roles_are_reached_counted_and_listed(edge):
    alice = await come(*[Somebody(edge, user="alice") for _ in range(3)])
    bob = await come(Somebody(edge, user="bob"), Somebody(edge, user="bob", path="/rooms"))
    carol = await come(Somebody(edge, "u-x", user="carol"))
    nobody = await come(Somebody(edge, "u-x"))
    assert count(edge, "user:alice") == 3 and count(edge, "user:bob") == 2 and count(edge, "role:ops") == 5
    assert count(edge, "any(role:ops,u-x)", "except(user:carol)") == 6
    assert count(edge, 'any("role:night shift")') == 3 and count(edge, "all(role:ops,user:bob)") == 2
    assert count(edge, "user:nobody") == 0 and count(edge, "all(u-x,role:ops)") == 0
    rows = json.loads(edge.ctl("-j", "conn", "show", "to", "any(role:ops)", "except(user:bob)", "limit", "10"))
    assert {r["id"] for r in rows} == {c.id for c in alice}
    assert all(r["roles"] == ["ops", "night shift"] for r in rows)
    said = edge.ctl("channel", "publish", "any(role:ops,u-x)", "except(user:carol)", "data", '{"n": 1e2}')
    assert said == "published to 6 connections\n"
    for c in alice + bob[:1]:
        m = await c.next()
        assert m == {"type": "message", "channel": "role:ops", "data": {"n": 100.0}, "timestamp": m["timestamp"]}
    m = await bob[1].next()  # by the words of the endpoint
    assert m == {"type": "room_message", "room": "role:ops", "content": {"n": 100.0}, "timestamp": m["timestamp"]}
    await nobody[0].hears(("u-x", {"n": 100.0}))
    for c in alice + bob + carol:
        await c.silent(0)
    edge.ctl("channel", "publish", "user:bob", "data", "7")
    await bob[0].hears(("user:bob", 7))
    await bob[1].hears(("user:bob", 7))
    await go(bob)
    sluice.wait_for("they are gone", 5, lambda: count(edge, "role:ops") == 3)
    await go(alice + carol + nobody)


@run
async def test_a_space_by_itself(edge):
    here = await come(Somebody(edge, "s-a"), Somebody(edge, "s-a"))
    there = await come(Somebody(edge, "s-a", path="/other"))
    assert count(edge, "s-a") == 3 and count(edge, "s-a", "space", "main") == 2
    assert json.loads(edge.ctl("-j", "conn", "count", "s-a"))["spaces"] == {"main": 2, "/other": 1}
    edge.ctl("channel", "publish", "s-a", "data", '"x"', "space", "/other")
    await there[0].hears(("s-a", "x"))
    for c in here:
        await c.silent(0)
    assert "published to 3 connections" in edge.ctl("channel", "publish", "s-a", "data", '"y"')
    for c in here + there:
        await c.hears(("s-a", "y"))
    # what goes to one channel alone is kept, as any other message of it
    assert [m["data"] for m in (await here[0].ask("history", type="history", channel="s-a"))["messages"]] == ["y"]
    await go(here + there)


@run
async def test_kick_closes_them_all_and_says_how_many(edge):
    many = await come(*[Somebody(edge, "k-a", user="bob" if i % 2 else "carol") for i in range(20)])
    assert edge.ctl("conn", "kick", "k-a", "space", "/other") == "closed 0 connections\n"
    done = edge.ctl("-j", "conn", "kick", "all(k-a) except(user:carol)")
    assert json.loads(done) == {"to": "all(k-a) except(user:carol)", "closed": 10}
    for i, c in enumerate(many):
        if i % 2:
            with pytest.raises(websockets.ConnectionClosed):
                await c.next()
            assert c.ws.close_code == 4000
        else:
            await c.silent(0)
    assert count(edge, "k-a") == 10 and edge.ctl("conn", "kick", "k-a") == "closed 10 connections\n"
    assert count(edge, "k-a") == 0
    await go(many)


@pytest.mark.parametrize("args,code,text", [
    (["conn", "count"], 2, "names nobody"), (["conn", "count", "any(a b)"], 2, "byte 7: a comma or )"),
    (["conn", "count", "any(a,", "b)", "spacc", "x"], 2, "unknown keyword"), (["conn", "kick", "except(a)"], 2, "names nobody"),
    (["conn", "kick", "a", "space", "nowhere"], 1, "no endpoint has the space"),
    (["conn", "kick", "a", "space", ""], 1, "1 to 100 bytes"),
    (["conn", "count", "a", "space", "nowhere"], 1, "no endpoint has the space"),
    (["conn", "show", "to", "a", "space", "nowhere"], 1, "no endpoint has the space"),
    (["conn", "show", "space", "main"], 2, "belongs to an expression"),
    (["conn", "show", "to", "none(a)"], 2, "any(…), to(…), all(…) or except(…)"),
    (["conn", "show", "to", "a", "id", "x"], 2, "either"),
    (["channel", "publish", "a"], 2, "data must be JSON"), (["channel", "publish", "a", "data", "{"], 2, "data must be JSON"),
    (["channel", "publish", "a", "data", '"' + "x" * 5000 + '"'], 2, "4096 bytes"),
    (["channel", "publish", "nobody-is-here", "data", "1"], 1, "nobody is meant in any space"),
    (["conn", "count", "any(" + ",".join(["x" * 90] * 60) + ")"], 2, "at most"),
])
def test_mistakes_say_what_would_be_right(edge, args, code, text):
    done = edge.ctl_run(*args)
    assert (done.returncode, text in done.stderr) == (code, True), done
    done = edge.ctl_run("-j", *args)
    assert done.returncode == code and text in done.stdout + done.stderr, done


def test_the_control_socket_checks_for_itself(edge):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(edge.control))
    lines = s.makefile("rb")
    for ask, text in (
            ({"ask": "count", "member": 0}, "to must be"), ({"ask": "kick", "member": 0, "to": "any(a"}, "to, byte 4"),
            ({"ask": "kick", "member": 0, "to": "a", "space": ""}, "1 to 100"), ({"ask": "publish", "member": 0, "to": "a", "data": "1"}, "space"),
            ({"ask": "publish", "member": 0, "to": "a", "space": "main", "data": {}}, "data must be"),
            ({"ask": "publish", "member": 0, "to": "a", "space": "main", "data": "{"}, "data must be")):
        s.sendall(json.dumps(ask).encode() + b"\n")
        answer = json.loads(lines.readline())
        assert not answer["ok"] and text in answer["error"], answer
    s.close()


@run
async def test_a_worker_that_was_killed_has_its_groups_again(edge):
    """The groups have no home: who comes back is in them, and the others always were."""
    people = await come(*[Somebody(edge, user="alice") for _ in range(9)])
    rows = json.loads(edge.ctl("-j", "conn", "show", "to", "user:alice"))
    victim = rows[0]["worker"]
    left = [r["id"] for r in rows if r["worker"] != victim]
    os.kill(edge.members()[f"worker-{victim}"], signal.SIGKILL)
    sluice.wait_for("the others alone", 10, lambda: edge.ctl_run("-j", "conn", "count", "user:alice").returncode == 0
                    and count(edge, "user:alice") == len(left))
    more = await come(*[Somebody(edge, user="alice") for _ in range(6)])
    assert count(edge, "user:alice") == len(left) + 6
    edge.ctl("channel", "publish", "user:alice", "data", "1")
    for c in [p for p in people if p.id in left] + more:
        await c.hears(("user:alice", 1))
    await go(people + more)
