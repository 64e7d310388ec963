# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/1.1 as the running daemon answers it: routes, keep-alive, refusals, smuggling, time."""
import json
import subprocess
import time

import pytest

import sluice
import wire

ENDPOINTS = """
    { path = "/echo"; protocol = "echo"; origins = "*"; },
    { path = "/mine"; protocol = "echo"; origins = "same-host"; },
    { path = "/list"; protocol = "echo"; origins = ["https://app.example.com", "https://*.example.org"];
      subprotocols = ["v2", "v1"]; }
"""
EXTRA = """
http = { handshake_timeout = "1 s"; keepalive_timeout = "1 s"; keepalive_requests = 5; };
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "p.html"
    page.write_text("<!doctype html><title>page</title>" + "x" * 200000)
    page.parent.chmod(0o755)
    pages = f'pages = ( {{ path = "/page"; file = "{page}"; }} );'
    with sluice.Edge(endpoints=ENDPOINTS, extra=EXTRA + pages) as e:
        yield e


def ask(edge, request, listener="plain"):
    s = wire.dial(edge, listener)
    s.sendall(request)
    return s, wire.read_answer(s, no_body=request.startswith(b"HEAD"))


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_health_and_ready_answer_on_every_listener(edge, listener):
    for path in ("/health", "/ready"):
        _, (status, headers, body) = ask(edge, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), listener)
        assert status == 200 and json.loads(body)["status"] == "ok"
        assert headers["content-type"] == "application/json"


def test_curl_is_content(edge):
    for url, more in ((f"http://127.0.0.1:{edge.port['plain']}/page", []),
                      (f"https://127.0.0.1:{edge.port['tls']}/page", ["-k"])):
        done = subprocess.run(["curl", "-sS", "--fail", *more, url], capture_output=True, timeout=20)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout) == 200000 + len("<!doctype html><title>page</title>")


def test_keep_alive_serves_pipelined_requests_in_order(edge):
    s = wire.dial(edge)
    s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
              b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    got = b""
    while more := s.recv(65536):
        got += more
    assert [int(p[:3]) for p in got.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]
    assert got.endswith(b"\r\n\r\n")  # HEAD has no body


def test_a_connection_ends_after_the_configured_number_of_requests(edge):
    s = wire.dial(edge)
    for i in range(5):
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        _, headers, _ = wire.read_answer(s)
        assert (headers.get("connection") == "close") == (i == 4)
    assert wire.closed(s)


def test_a_body_is_thrown_away_and_the_next_request_is_served(edge):
    s = wire.dial(edge)
    s.sendall(b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
              b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"5\r\nhello\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    s.shutdown(wire.socket.SHUT_WR)
    got = b""
    while more := s.recv(65536):
        got += more
    assert [int(p[:3]) for p in got.split(b"HTTP/1.1 ")[1:]] == [405, 405, 200]
    s = wire.dial(edge)
    for piece in (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                  b"5\r\nhel", b"lo\r\n0\r", b"\n\r\n"):
        s.sendall(piece)
        time.sleep(0.05)
    status, headers, _ = wire.read_answer(s)
    assert status == 405 and headers["allow"] == "GET, HEAD"
    s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.read_answer(s)[0] == 200


REFUSED = [
    ("bare line feed", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("folded header", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ("length and chunked", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("absolute and Host disagree", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("lower-case method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("signed length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
    ("unknown coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("long body", b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", 413),
    ("long line", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("long header", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
    ("many headers", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/3.7", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100, 400),
]


@pytest.mark.parametrize("name,request_,want", REFUSED, ids=[r[0] for r in REFUSED])
def test_what_smuggling_lives_on_is_refused_and_the_connection_ends(edge, name, request_, want):
    s, (status, headers, body) = ask(edge, request_)
    assert status == want, body
    assert headers["connection"] == "close" and "error" in json.loads(body)
    assert wire.closed(s)


def test_a_smuggled_request_is_never_served(edge):
    s = wire.dial(edge)
    s.sendall(b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"0\r\n\r\nGET /page HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    try:
        while more := s.recv(65536):
            got += more
    except ConnectionResetError:
        pass
    assert got.count(b"HTTP/1.1 ") == 1 and got.startswith(b"HTTP/1.1 400")


def test_a_head_that_drips_is_answered_408_in_time(edge):
    s = wire.dial(edge)
    began = time.monotonic()
    s.sendall(b"GET / HTTP/1.1\r\n")
    try:
        for _ in range(100):
            s.sendall(b"X: y\r\n")
            time.sleep(0.1)
            s.settimeout(0.01)
            try:
                got = s.recv(4096)
                break
            except TimeoutError:
                pass
            finally:
                s.settimeout(20)
    except (BrokenPipeError, ConnectionResetError):
        got = b""
    assert got.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 4 * sluice.SLOW


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_silence_ends_in_time(edge, listener):
    s = wire.dial(edge, listener)
    began = time.monotonic()
    assert wire.closed(s)
    assert time.monotonic() - began < 4 * sluice.SLOW


def test_a_tls_handshake_that_never_comes_ends_in_time(edge):
    s = wire.socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    s.sendall(b"\x16\x03\x01\x02\x00")
    began = time.monotonic()
    assert wire.closed(s)
    assert time.monotonic() - began < 4 * sluice.SLOW


def test_idle_keep_alive_ends_in_time(edge):
    s, _ = ask(edge, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    began = time.monotonic()
    assert wire.closed(s)
    assert 0.5 < time.monotonic() - began < 4 * sluice.SLOW


def test_an_endpoint_without_upgrade_says_426(edge):
    _, (status, headers, _) = ask(edge, b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 426 and headers["upgrade"] == "websocket"
    assert headers["connection"] == "Upgrade" and headers["sec-websocket-version"] == "13"  # RFC 9110 7.8, RFC 6455 4.4


UPGRADES = [
    ("the vector of RFC 6455", {}, 101),
    ("version 8", {"Sec_WebSocket_Version": "8"}, 426),
    ("no version", {"Sec_WebSocket_Version": None}, 426),
    ("a short key", {"Sec_WebSocket_Key": "AAAA"}, 400),
    ("no key", {"Sec_WebSocket_Key": None}, 400),
    ("connection does not say upgrade", {"Connection": "keep-alive"}, 400),
    ("a list in Connection", {"Connection": "keep-alive, Upgrade"}, 101),
    ("a body", {"Content_Length": "3"}, 400),
]


@pytest.mark.parametrize("name,headers,want", UPGRADES, ids=[u[0] for u in UPGRADES])
def test_upgrade(edge, name, headers, want):
    s = wire.dial(edge)
    s.sendall(wire.upgrade_request("/echo", **headers))
    status, got, _ = wire.read_head(s)
    assert status == want
    if want == 101:
        assert got["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    if want == 426:
        assert got["sec-websocket-version"] == "13"


ORIGINS = [
    ("/echo", "https://anything.example", 101),
    ("/echo", None, 101),
    ("/mine", "http://localhost", 101),
    ("/mine", "http://evil.example", 403),
    ("/mine", "http://localhost.evil.example", 403),
    ("/list", "https://app.example.com", 101),
    ("/list", "http://app.example.com", 403),
    ("/list", "https://a.b.example.org", 101),
    ("/list", "https://example.org", 403),
    ("/list", "https://evilexample.org", 403),
    ("/list", "null", 403),
]


@pytest.mark.parametrize("path,origin,want", ORIGINS)
def test_the_origin_list_is_kept(edge, path, origin, want):
    s = wire.dial(edge)
    s.sendall(wire.upgrade_request(path, Origin=origin))
    assert wire.read_head(s)[0] == want


def test_our_preference_of_subprotocols_wins(edge):
    s = wire.dial(edge)
    s.sendall(wire.upgrade_request("/list", Sec_WebSocket_Protocol="v1, v2, v3"))
    assert wire.read_head(s)[1]["sec-websocket-protocol"] == "v2"
    s = wire.dial(edge)
    s.sendall(wire.upgrade_request("/list", Sec_WebSocket_Protocol="v3"))
    assert "sec-websocket-protocol" not in wire.read_head(s)[1]


def test_frames_sent_with_the_upgrade_are_not_lost(edge):
    s = wire.dial(edge)
    s.sendall(wire.upgrade_request("/echo") + wire.frame(1, b"early"))
    status, _, rest = wire.read_head(s)
    assert status == 101 and wire.Frames(s, rest).next() == (1, b"early")


def test_behind_a_trusted_proxy_the_real_client_is_shown():
    listeners = {"plain": {"tls": False, "more": 'trusted_proxies = ["127.0.0.0/8"];'}}
    with sluice.Edge(workers=1, listeners=listeners) as edge:
        s, _ = wire.upgrade(edge, "/echo", X_Forwarded_For="198.51.100.1, 203.0.113.9, 127.0.0.5")
        row = json.loads(edge.ctl("-j", "conn", "show"))[0]
        assert row["peer"].startswith("203.0.113.9:")
        s.close()
        # a proxy that appends a line of its own: the client's line before it is not believed
        s = wire.dial(edge)
        s.sendall(wire.upgrade_request("/echo", X_Forwarded_For="192.0.2.66").replace(
            b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"))
        assert wire.read_head(s)[0] == 101
        peers = [r["peer"] for r in json.loads(edge.ctl("-j", "conn", "show"))]
        assert any(p.startswith("203.0.113.7:") for p in peers) and not any("192.0.2.66" in p for p in peers)
        s.close()


def test_a_worker_that_is_nearly_full_is_not_ready():
    listeners = {"plain": {"tls": False}}
    with sluice.Edge(workers=1, listeners=listeners, extra="max_connections = 810;") as edge:
        probe = wire.dial(edge)
        def ready():
            probe.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
            status, _, body = wire.read_answer(probe)
            return status, json.loads(body)["status"]
        assert ready() == (200, "ok")
        crowd = [wire.dial(edge) for _ in range(730)]  # an eighth of the slots is kept back
        sluice.wait_for("it says so", 5, lambda: ready() == (503, "full"), every=0.1)
        _, (status, _, _) = ask(edge, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status == 200
        for s in crowd:
            s.close()
        sluice.wait_for("it is ready again", 5, lambda: ready() == (200, "ok"), every=0.1)


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_a_request_that_the_shutdown_cuts_off_is_answered_503(listener):
    with sluice.Edge() as edge:
        cut, idle = wire.dial(edge, listener), wire.dial(edge, listener)
        cut.sendall(b"GET /health HTTP/1.1\r\nHo")
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.read_answer(idle)[0] == 200
        time.sleep(0.2 * sluice.SLOW)  # the piece has been read
        edge.process.terminate()
        assert wire.read_answer(cut)[0] == 503
        assert wire.closed(cut) and wire.closed(idle)
        assert edge.stop() == 0
