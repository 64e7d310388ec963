# SPDX-License-Identifier: BSD-2-Clause
"""permessage-deflate (RFC 7692): one compression for all who hear it, seen on the wire, by websockets
of Python and by Chromium. What frames may look like is tests/conformance; npm's ws is in cases.js.
"""
import asyncio
import json

import pytest

import sluice
import webdriver
import wire
from frame_wire import TEXT, Wire, deflated, packed, text

ENDPOINTS = """
    { path = "/ws"; rate = 0; space = "main"; words = "channels rooms"; compression = true; },
    { path = "/off"; rate = 0; space = "main"; words = "channels rooms"; },
    { path = "/echo"; protocol = "echo"; rate = 0; compression = true; },
    { path = "/relay"; protocol = "relay"; rate = 0; compression = true; }
"""
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG = {"rows": [{"id": i, "name": f"name {i % 7}", "price": i * 7919 % 1000} for i in range(100)]}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "index.html"
    page.write_text("<!doctype html><title>deflate</title>")
    pages = f'pages = ( {{ path = "/"; file = "{page}"; }} );'
    with sluice.Edge(workers=2, endpoints=ENDPOINTS, extra=pages) as e:
        yield e


def sums(edge, *keys):
    """{worker: [...]} of these counters."""
    rows = json.loads(edge.ctl("-j", "worker", "show"))
    return {r["worker"]: [r[k] for k in keys] for r in rows}


def ear(edge, path="/ws", offer="permessage-deflate", listener="plain"):
    return Wire("127.0.0.1", edge.port[listener], listener == "tls", path, extensions=offer)


def say(ear, **message):
    ear.send(text(json.dumps(message)))


def hear(ear, kind):
    """The next message of that type."""
    while True:
        event = ear.event()
        assert event[0] == "text", event
        message = json.loads(event[1])
        if message["type"] == kind:
            return message


def subscribed(ears, channel):
    for e in ears:
        say(e, type="subscribe", channel=channel)
    for e in ears:
        hear(e, "subscribed")
    return ears


def relayed(edge):
    """How many the relay's channel knows of: they are on their way there when the upgrade is answered."""
    rows = json.loads(edge.ctl_run("-j", "channel", "show", "name", "relay").stdout or "[]")
    return rows[0]["subscribers"] if rows else 0


@pytest.mark.parametrize("offer, answer", [
    ("permessage-deflate", AGREED),
    ("permessage-deflate; client_max_window_bits", AGREED),
    ("permessage-deflate; server_max_window_bits=15; client_max_window_bits=10", AGREED + "; server_max_window_bits=12"),
    ('permessage-deflate; server_max_window_bits="12"', AGREED + "; server_max_window_bits=12"),
    ("permessage-deflate; server_max_window_bits=11", None),
    ("permessage-deflate; server_max_window_bits=8, permessage-deflate", AGREED),
    ("permessage-deflate; unknown, x-webkit-deflate-frame", None),
    ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
    (None, None),
])
def test_offers_and_their_answers(edge, offer, answer):
    with ear(edge, offer=offer) as e:
        assert e.agreed == answer
    with ear(edge, "/off", offer=offer) as e:
        assert e.agreed is None


def test_300_subscribers_cost_one_compression_per_worker(edge):
    crowd = [ear(edge, listener=("plain", "tls")[i % 2]) for i in range(300)]
    plain = [ear(edge, "/off", listener=("plain", "tls")[i % 2]) for i in range(20)]
    plain += [ear(edge, offer=None) for _ in range(20)]
    subscribed(crowd + plain, "prices")
    rows = json.loads(edge.ctl("-j", "channel", "show", "name", "prices"))
    assert rows[0]["members"] == {"channel": 40, "channel+deflate": 300}
    keys = ("deflated", "deflated_from_bytes", "deflated_to_bytes", "deliveries")
    before = sums(edge, *keys)
    say(crowd[0], type="publish", channel="prices", data=LONG)
    heard = [hear(e, "message") for e in crowd + plain]
    assert all(m == heard[0] for m in heard) and heard[0]["data"] == LONG
    after = sums(edge, *keys)
    gained = {w: [b - a for a, b in zip(before[w], after[w])] for w in before}
    assert sum(g[3] for g in gained.values()) == 340
    for worker, (deflated_, before_bytes, after_bytes, deliveries) in gained.items():
        assert deflated_ == 1 and deliveries > 50, worker
        assert before_bytes > 4096 and after_bytes < before_bytes / 2
    sizes = {tuple(e.compressed) for e in crowd}
    assert sizes == {(gained[0][2],)}  # the same frame for all, of the size that was counted
    assert not any(e.compressed for e in plain)
    for e in crowd + plain:
        e.sock.close()


def test_order_is_kept_between_plain_and_compressed_and_what_is_short_is_sent_as_it_is(edge):
    ears = subscribed([ear(edge) for _ in range(6)] + [ear(edge, "/off") for _ in range(2)], "order")
    for i in range(40):
        say(ears[i % 8], type="publish", channel="order", data=[i, LONG if i % 3 == 0 else "short"])
        # one after the other: several publishers would have no order of their own
        assert hear(ears[0], "message")["data"][0] == i
    for e in ears[1:]:
        assert [hear(e, "message")["data"][0] for _ in range(40)] == list(range(40))
    assert {len(e.compressed) for e in ears[:6]} == {14} and not ears[6].compressed
    for e in ears:
        e.sock.close()


def test_who_subscribes_anew_in_other_words_hears_them_compressed(edge):
    with ear(edge) as e:
        subscribed([e], "both")
        say(e, type="join_room", room="both")
        hear(e, "joined_room")
        say(e, type="publish", channel="both", data=LONG)
        assert hear(e, "room_message")["content"] == LONG and len(e.compressed) == 1
        say(e, type="leave_room", room="both")
        hear(e, "left_room")


def test_a_relay_passes_text_compressed_and_binary_as_it_is(edge):
    with ear(edge, "/relay") as a, ear(edge, "/relay") as b, ear(edge, "/relay", None) as c:
        long = json.dumps(LONG).encode()
        sluice.wait_for("all three are there", 10, lambda: relayed(edge) == 3)
        a.send(deflated(TEXT, packed(long)))
        assert b.event() == c.event() == ("text", long)
        a.send(deflated(2, packed(long)))
        assert b.event() == c.event() == ("binary", long)
        assert len(b.compressed) == 1 and not c.compressed


def test_counters_are_shown_and_scraped(edge):
    before = [sum(column) for column in zip(*sums(edge, "inflated", "inflations_refused").values())]
    with ear(edge, "/echo") as e:
        e.send(deflated(TEXT, packed("Hello")) + deflated(TEXT, b"\x07"))
        assert e.event() == ("text", b"Hello")
        assert e.event() == ("close", 1007, b"Invalid compressed data")
    after = [sum(column) for column in zip(*sums(edge, "inflated", "inflations_refused").values())]
    assert [b - a for a, b in zip(before, after)] == [1, 1]
    assert "  compression   " in edge.ctl("worker", "show")
    for name in ("deflated", "deflated_from_bytes", "deflated_to_bytes", "inflated", "inflations_refused"):
        assert f"# TYPE sluice_{name}_total counter" in edge.ctl("metrics", "show")


def test_conns_tell_that_they_have_agreed(edge):
    with ear(edge) as a, ear(edge, offer=None) as b:
        ids = [hear(e, "connected")["clientId"] for e in (a, b)]
        flags = {c["id"]: c["flags"].split(",") for c in json.loads(edge.ctl("-j", "conn", "show"))}
        assert ["deflate" in flags[i] for i in ids] == [True, False]


def test_websockets_of_python_compresses_both_ways(edge):
    async def talk():
        async with edge.connect("tls", "/relay") as a, edge.connect("plain", "/relay") as b:
            assert [type(e).__name__ for e in a.extensions] == ["PerMessageDeflate"]
            sluice.wait_for("both are there", 10, lambda: relayed(edge) == 2)
            before = sums(edge, "inflated")
            for n in (1, 1000, 5000, 100000):
                sent = json.dumps(LONG)[:n] * (n // 5000 + 1)
                await a.send(sent)
                assert await asyncio.wait_for(b.recv(), 10 * sluice.SLOW) == sent
            assert sum(v[0] for v in sums(edge, "inflated").values()) - sum(v[0] for v in before.values()) == 4
    asyncio.run(talk())


@pytest.mark.time_limit(120)
@pytest.mark.skipif(webdriver.missing() is not None, reason=str(webdriver.missing()))
def test_chromium_compresses_both_ways(edge, tmp_path):
    with webdriver.Browser(tmp_path) as browser:
        browser.open(edge.url("tls", "/").replace("wss://", "https://"))
        browser.run("""window.heard = []; window.ears = [0, 1].map(() => {
            const s = new WebSocket(location.href.replace('https', 'wss') + 'relay');
            s.onmessage = e => heard.push(e.data); return s; });""")
        browser.wait("return ears.every(s => s.readyState === 1)")
        assert "permessage-deflate" in browser.run("return ears[1].extensions")
        sluice.wait_for("both are there", 10, lambda: relayed(edge) == 2)
        before = sums(edge, "inflated", "deflated")
        browser.run("['', 'ö'.repeat(10), 'price '.repeat(2000)].forEach(s => ears[0].send(s))")
        browser.wait("return heard.length === 3")
        assert browser.run("return heard[0] === '' && heard[1] === 'ö'.repeat(10) && heard[2] === 'price '.repeat(2000)")
        after = sums(edge, "inflated", "deflated")
        assert sum(v[0] for v in after.values()) > sum(v[0] for v in before.values())
        assert sum(v[1] for v in after.values()) > sum(v[1] for v in before.values())


def test_a_threshold_of_ones_own():
    endpoints = '{ path = "/relay"; protocol = "relay"; rate = 0; compression = true; }'
    with sluice.Edge(workers=1, endpoints=endpoints, extra="compression_threshold = 64;") as edge:
        with ear(edge, "/relay") as a, ear(edge, "/relay") as b:
            sluice.wait_for("both are there", 10, lambda: relayed(edge) == 2)
            for n, compressed in ((63, 0), (64, 1)):
                a.send(text("a" * n))
                assert b.event() == ("text", b"a" * n) and len(b.compressed) == compressed


def test_raw_bytes_of_one_message(edge):
    """RFC 7692 7.2.3.2 and a head of ours, without any of the helpers above."""
    with wire.dial(edge, "plain") as s:
        s.sendall(wire.upgrade_request("/echo", Sec_WebSocket_Extensions="permessage-deflate"))
        status, head = wire.read_head(s)[:2]
        assert status == 101 and head["sec-websocket-extensions"] == AGREED
        s.sendall(bytes.fromhex("c18700000000f248cdc9c90700"))
        assert s.recv(100) == b"\x81\x05Hello"
