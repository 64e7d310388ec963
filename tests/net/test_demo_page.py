# SPDX-License-Identifier: BSD-2-Clause
"""The demo page in a real browser against a real edge, by clicks and keys as a person would.

Pictures of what it looked like stay in the build directory: demo-light.png, demo-dark.png.
"""
import asyncio
import json
import struct
import uuid

import pytest

import sluice
import webdriver

NAMES = ["Ada", "Grace", "Radia", "Edsger"]
PAGE = sluice.ROOT / "tools/client-js/demo/index.html"

pytestmark = [
    pytest.mark.time_limit(120),
    pytest.mark.skipif(webdriver.missing() is not None, reason=str(webdriver.missing())),
]


class Page:
    """The page as a visitor sees it, in a room of its own."""

    def __init__(self, edge, browser):
        self.edge, self.browser = edge, browser
        self.base = edge.url("tls", "/").replace("wss://", "https://")
        self.room = None

    def open(self, more="", panes=4):
        self.room = f"room-{uuid.uuid4().hex[:8]}"
        self.browser.open("about:blank")  # a mere change of the fragment would not load it anew
        self.browser.open(f"{self.base}?room={self.room}&panes={panes}{more}")
        self.wait_all_connected(panes)
        return self

    def wait_all_connected(self, n=4):
        self.wait("return document.querySelectorAll('.pane[data-status=connected]').length === "
                  f"{n}", why=f"{n} clients are connected")

    def wait(self, script, *arguments, **more):
        return self.browser.wait(script, *arguments, seconds=15 * sluice.SLOW, **more)

    def online(self, name):
        return self.browser.text(f"[data-name={name}] .online")

    def wait_online(self, n, names=NAMES):
        for name in names:
            self.wait("return document.querySelector(arguments[0]).textContent === arguments[1]",
                      f"[data-name={name}] .online", str(n), why=f"{name} knows of {n}")

    def members(self, name):
        return self.browser.run("return [...document.querySelectorAll(arguments[0])]"
                                ".map(e => e.textContent)", f"[data-name={name}] .members li")

    def say(self, name, text):
        self.browser.type(f"[data-name={name}] form input", text)
        self.browser.click(f"[data-name={name}] form button")

    def heard(self, name):
        """[who, what] of each message."""
        return self.browser.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => "
            "[e.querySelector('.from').textContent, e.querySelector('.what').textContent])",
            f"[data-name={name}] .talk .said")

    def wait_heard(self, name, who, what):
        sluice.wait_for(f"{name} hears {who}: {what}", 10, lambda: [who, what] in self.heard(name))

    def status(self, name):
        return self.browser.text(f"[data-name={name}] .status")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with webdriver.Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def edge():
    pages = f'pages = ( {{ path = "/"; file = "{PAGE}"; }} );'
    with sluice.Edge(workers=2, extra=pages, endpoints='{ path = "/ws"; }') as edge:
        yield edge


@pytest.fixture
def page(edge, browser):
    browser.console()
    yield Page(edge, browser).open()


def test_four_clients_meet_in_a_room(page):
    page.wait_online(4)
    for name in NAMES:
        assert page.status(name) == "Connected"
        others = {other for other in NAMES if other != name}
        sluice.wait_for(f"{name} knows all names", 10,
                        lambda n=name, o=others: set(page.members(n)) == o | {f"{n} (you)"})
    assert page.browser.text("#sum-connected") == "4 of 4"
    ids = page.browser.run("return [...document.querySelectorAll('.pane')].map(p => p.dataset.client)")
    assert len({str(uuid.UUID(i)) for i in ids}) == 4


def test_what_one_says_the_others_hear(page):
    page.wait_online(4)
    page.say("Ada", "hello from Ada")
    for name in NAMES[1:]:
        page.wait_heard(name, "Ada", "hello from Ada")
    assert page.heard("Ada") == [["you", "hello from Ada"]]
    page.say("Edsger", "and from Edsger")
    for name in NAMES[:3]:
        page.wait_heard(name, "Edsger", "and from Edsger")
    assert page.heard("Grace") == [["Ada", "hello from Ada"], ["Edsger", "and from Edsger"]]


def test_what_others_send_is_text_and_not_markup(page):
    page.wait_online(4)
    evil = "<img src=x onerror=\"document.title='evil'\"><b>ö \U0001f44b</b>"
    page.browser.run("document.querySelector(arguments[0]).value = arguments[1]",
                     "[data-name=Ada] form input", evil)
    page.browser.click("[data-name=Ada] form button")
    page.wait_heard("Grace", "Ada", evil)
    assert page.browser.run("return document.querySelectorAll('.talk img, .talk b').length") == 0
    assert "evil" not in page.browser.run("return document.title")


def test_a_dropped_client_comes_back_and_the_others_see_it(page):
    page.wait_online(4)
    before = page.browser.run("return document.querySelector('[data-name=Grace]').dataset.client")
    page.browser.click("[data-name=Grace] .drop")
    page.wait("return document.querySelector('[data-name=Grace]').dataset.status === 'waiting'")
    assert page.status("Grace").startswith("Reconnecting in")
    page.wait_online(3, ["Ada", "Radia", "Edsger"])
    page.wait_all_connected()
    page.wait_online(4)
    after = page.browser.run("return document.querySelector('[data-name=Grace]').dataset.client")
    assert after != before
    page.say("Grace", "back again")
    page.wait_heard("Ada", "Grace", "back again")


def test_each_failure_waits_longer(page):
    waits = []
    for _ in range(3):
        page.browser.click("[data-name=Grace] .drop")
        waits.append(int(page.wait("return document.querySelector('[data-name=Grace]').dataset.wait")))
        page.wait_all_connected()
    for attempt, wait in enumerate(waits):
        assert 500 << attempt <= wait <= 1000 << attempt, waits


def test_who_stays_away_is_gone_until_it_comes_back(page):
    page.wait_online(4)
    page.browser.click("[data-name=Radia] .away")
    assert page.status("Radia") == "Offline"
    page.wait_online(3, ["Ada", "Grace", "Edsger"])
    page.browser.click("[data-name=Radia] .away")
    page.wait_all_connected()
    page.wait_online(4)


def test_all_dropped_at_once_come_back(page):
    page.wait_online(4)
    page.browser.click("#drop-all")
    page.wait("return document.querySelectorAll('.pane[data-status=waiting]').length === 4")
    page.wait_all_connected()
    page.wait_online(4)


def test_they_move_to_another_room_together(page):
    page.wait_online(4)
    page.browser.clear("#room")
    page.browser.type("#room", f"{page.room}-b")
    page.browser.click("#join")
    page.wait("return [...document.querySelectorAll('.talk')].every(t => "
              "t.textContent.includes(arguments[0]))", f"joined {page.room}-b")
    page.wait_online(4)
    page.say("Ada", "new walls")
    page.wait_heard("Edsger", "Ada", "new walls")


def test_a_client_can_be_added(page):
    page.wait_online(4)
    page.browser.click("#add")
    page.wait_all_connected(5)
    page.wait_online(5, NAMES + ["Hedy"])


def test_a_burst_reaches_everybody_in_order(page):
    page.wait_online(4)
    page.browser.click("#burst")
    for name in NAMES:
        for other in NAMES:
            who = "you" if other == name else other
            want = [f"burst {i} of 10" for i in range(1, 11)]
            sluice.wait_for(f"{name} hears all of {other}", 15, lambda n=name, w=who, v=want: [
                text for by, text in page.heard(n) if by == w] == v)


def test_a_stranger_is_seen_heard_and_missed(page):
    page.wait_online(4)

    async def stranger():
        async with page.edge.connect("tls") as ws:
            assert json.loads(await ws.recv())["type"] == "connected"
            await ws.send(json.dumps({"type": "join_room", "room": page.room}))
            joined = json.loads(await ws.recv())
            assert (joined["type"], joined["onlineCount"]) == ("joined_room", 5)
            await asyncio.to_thread(page.wait_online, 5)
            await ws.send(json.dumps({"type": "broadcast_room", "room": page.room,
                                      "content": {"name": "Stranger", "text": "hi all"}}))
            for name in NAMES:
                await asyncio.to_thread(page.wait_heard, name, "Stranger", "hi all")
    asyncio.run(stranger())
    page.wait_online(4)


def test_latency_is_measured(page):
    page.wait_online(4)
    page.say("Ada", "how long does it take?")
    page.wait_heard("Grace", "Ada", "how long does it take?")
    for meter in ("[data-name=Ada] .ping", "[data-name=Ada] .ack", "[data-name=Grace] .delivery",
                  "#sum-p50"):
        page.wait("return document.querySelector(arguments[0]).textContent.endsWith(' ms')", meter)


def test_frames_are_shown_as_they_are(page):
    page.wait_online(4)
    frames = page.wait("return [...document.querySelectorAll('#frames li:not([hidden])')]"
                       ".map(e => e.textContent)")
    assert any('{"type":"join_room","room":"' + page.room + '"}' in f for f in frames)
    assert any('"type":"joined_room"' in f for f in frames)
    assert not any('"type":"pong"' in f for f in frames)
    page.browser.click("#pings")
    page.wait("return [...document.querySelectorAll('#frames li:not([hidden])')]"
              ".some(e => e.textContent.includes('\"type\":\"pong\"'))")
    page.browser.click("#clear")
    page.browser.click("#pause")
    page.say("Ada", "unseen")
    page.wait_heard("Grace", "Ada", "unseen")
    assert "unseen" not in page.browser.text("#frames")


def test_everything_has_a_name_and_nothing_scrolls_sideways(page):
    names = page.browser.run(
        "return [...document.querySelectorAll('button, input, select')].map(e => e.getAttribute("
        "'aria-label') || e.labels?.[0]?.textContent.trim() || e.textContent.trim())")
    assert all(names), names
    for size in ((1280, 800), (700, 900)):
        page.browser.resize(size)
        assert page.browser.run("return document.documentElement.scrollWidth <= innerWidth")
    page.browser.resize((1280, 800))
    assert page.browser.run("return document.documentElement.scrollHeight <= innerHeight")


def test_the_browser_has_nothing_to_complain_of(page):
    page.wait_online(4)
    page.say("Ada", "fine?")
    page.wait_heard("Grace", "Ada", "fine?")
    assert page.browser.console() == []


@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_is_fit_to_be_seen(page, look):
    page.open(f"#{look}")
    page.wait_online(4)
    page.say("Ada", "Is anybody there?")
    page.wait_heard("Grace", "Ada", "Is anybody there?")
    page.say("Grace", "Yes, on another core.")
    page.wait_heard("Edsger", "Grace", "Yes, on another core.")
    page.browser.click("[data-name=Edsger] .away")
    page.wait_online(3, NAMES[:3])
    picture = sluice.BUILD / f"demo-{look}.png"
    page.browser.screenshot(picture)
    head = picture.read_bytes()[:24]
    assert struct.unpack(">II", head[16:24]) == (1280, 800)


def test_when_the_edge_restarts_everybody_is_back(page):
    """The last one: it stops the edge that the others use."""
    page.wait_online(4)
    assert page.edge.stop() == 0
    page.wait("return document.querySelectorAll('.pane[data-status=connected]').length === 0")
    page.edge.start()
    page.wait_all_connected()
    page.wait_online(4)
    assert "closed 1001 Server shutting down" in page.browser.text("#frames")
