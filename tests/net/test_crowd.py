# SPDX-License-Identifier: BSD-2-Clause
"""Many clients at once: every message to every client, once, in one order, over two workers.

SLUICE_CROWD, SLUICE_MESSAGES and SLUICE_ECHOES make it larger (`make soak`); tools/doc/benchmarks.md has a long run's figures.
"""
import asyncio
import json
import os
import subprocess
import sys

import pytest
import websockets

import sluice

sys.path.append(str(sluice.ROOT / "tests/bench"))
import servers  # noqa: E402  the peers, as the benchmarks start them

SAN = bool(os.environ.get("SLUICE_SAN"))
CLIENTS = int(os.environ.get("SLUICE_CROWD", 1000 if SAN else 10000))
MESSAGES = int(os.environ.get("SLUICE_MESSAGES", 20))
ECHOES = int(os.environ.get("SLUICE_ECHOES", 20000))
ENDPOINTS = '{ path = "/ws"; words = "channels"; rate = 0; }'


def bench(edge, *args, seconds=600):
    done = subprocess.run([str(sluice.BUILD / "sluice-bench"), *args, "-j", "-q", "-u", edge.url("tls", "/ws"), "-p",
                           str(edge.keeper)], capture_output=True, text=True, timeout=seconds)
    assert done.stdout.strip(), done.stderr
    result = json.loads(done.stdout)
    print(json.dumps(result))
    return done.returncode, result


def bench_against(peer, *args):
    """A fan-out over a server of WebSockets that is a coroutine."""
    async def main():
        async with websockets.serve(peer, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            process = await asyncio.create_subprocess_exec(str(sluice.BUILD / "sluice-bench"), "fanout", "-jq", "-u", url, *args,
                                                           stdout=subprocess.PIPE)
            out, _err = await process.communicate()
            return process.returncode, json.loads(out)

    return asyncio.run(main())


@pytest.mark.time_limit(900)
def test_ten_thousand_hear_everything_once_and_in_one_order():
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True, "more": "backlog = 4096;"}}, endpoints=ENDPOINTS) as edge:
        code, r = bench(edge, "fanout", "-n", str(CLIENTS), "-P", "2", "-m", str(MESSAGES), "-b", "2", "-w", "2")
        assert r["subscribers"] == CLIENTS and r["deliveries"] == CLIENTS * MESSAGES
        assert (r["missing"], r["lost"], r["doubled"], r["reordered"], r["order_differs"]) == (0, 0, 0, 0, 0)
        assert code == 0
        workers = json.loads(edge.ctl("-j", "worker", "show"))
        # both had a fair share, and the same publications
        assert all(w["accepted"] > CLIENTS / 4 for w in workers)


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("size,more", [(60000, []), (3000, ["-w", "50"])], ids=["long ones", "many at once"])
def test_messages_that_span_records_are_counted_too(size, more):
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        code, r = bench(edge, "fanout", "-n", "20", "-m", "100", "-s", str(size), *more)
        assert code == 0 and r["deliveries"] == 2000 and r["missing"] == r["lost"] == 0


@pytest.mark.time_limit(120)
def test_the_other_modes_of_the_bench_work():
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        code, r = bench(edge, "idle", "-n", "200", "-t", "1")
        assert code == 0 and r["connections"] == r["still_there"] == 200 and r["pss_per_connection"] > 0
        for more in ([], ["--resume"]):
            code, r = bench(edge, "handshake", "-t", "1", *more)
            assert code == 0 and r["handshakes"] > 10 and r["failed"] == 0


@pytest.mark.time_limit(120)
def test_who_does_not_read_is_let_go_and_the_others_and_a_channel_beside_them_hear_everything():
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        code, r = bench(edge, "fanout", "-n", "40", "-m", "200", "-s", "20000", "--deaf", "25", "--probe")
        assert r["deaf"]["subscribers"] == 10 and r["deliveries"] == 30 * 200 and r["missing"] == 0
        assert 0 < r["deaf"]["pss_before"] <= r["deaf"]["pss_peak"]
        assert r["probe"]["messages"] > 0 and (r["probe"]["missing"], r["probe"]["lost"], r["probe"]["doubled"]) == (0, 0, 0)
        assert code == 0
        worker = json.loads(edge.ctl("-j", "worker", "show"))[0]
        assert worker["closed"]["slow-consumer"] == 10


@pytest.mark.time_limit(120)
def test_a_probe_that_is_heard_late_counts_what_it_has_sent():
    rooms = {}

    async def peer(ws, *_path):
        async for text in ws:
            m = json.loads(text)
            room = rooms.setdefault(m["channel"], set())
            if m["type"] == "subscribe":
                room.add(ws)
                await ws.send('{"type":"subscribed"}')
                continue
            for other in room:  # half a second: many are under way when the quiet one ends
                said = json.dumps(m["data"], separators=(",", ":"))
                asyncio.get_running_loop().call_later(0.5, asyncio.ensure_future, other.send(said))

    code, r = bench_against(peer, "-n", "2", "-m", "4", "--probe")
    assert r["deliveries"] == 8 and r["probe"]["messages"] > 0
    assert (r["probe"]["missing"], r["probe"]["lost"], r["probe"]["doubled"]) == (0, 0, 0) and code == 0


def test_publications_of_one_write_are_one_write_to_each_subscriber():
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        code, r = bench(edge, "fanout", "-n", "30", "-m", "84", "--burst", "8")
        assert code == 0 and r["deliveries"] == 30 * 84 and r["window"] == r["burst"] == 8
        worker = json.loads(edge.ctl("-j", "worker", "show"))[0]
        # ten times eight and once four, beside a handshake's few
        assert worker["writes"] < 30 * 84 / 2


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("kind", [servers.SocketIo, servers.Mosquitto, servers.Ws, servers.Nchan],
                         ids=["Socket.IO", "MQTT", "npm ws", "nchan"])
def test_the_bench_speaks_as_other_servers_do(kind, monkeypatch):
    monkeypatch.setattr(servers, "BUILD", sluice.BUILD)
    if kind.lacks():
        pytest.skip(kind.lacks())
    own_channels = kind in (servers.SocketIo, servers.Mosquitto)
    with servers.folder_of_its_own() as folder, kind(folder) as server:
        r = server.fanout(30, 20, *(["--probe", "--channel", "others"] if own_channels else []))
        assert r["subscribers"] == 30 and r["deliveries"] == 600
        assert (r["missing"], r["lost"], r["doubled"], r["reordered"], r["order_differs"]) == (0, 0, 0, 0, 0)
        if own_channels:
            assert r["probe"]["messages"] > 0 and r["probe"]["missing"] == 0
            assert server.idle(20, 1)["still_there"] == 20


def test_a_dialect_that_the_server_does_not_speak_is_said():
    with sluice.Edge(workers=1) as edge:
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "fanout", "-q", "-n", "1", "-m", "1", "--dialect", "mqtt", "-u",
                               edge.url("tls", "/ws")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "another dialect than mqtt" in done.stderr


def test_the_cpu_of_all_threads_of_a_server_is_counted():
    busy = "import threading, time\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()\ntime.sleep(60)"
    with sluice.Edge(workers=1) as edge, subprocess.Popen([sys.executable, "-c", busy]) as server:
        try:
            done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "idle", "-jq", "-n", "1", "-t", "2", "-u",
                                   edge.url("tls", "/ws"), "-p", str(server.pid)], capture_output=True, text=True, timeout=60)
        finally:
            server.kill()
        assert json.loads(done.stdout)["cpu_at_rest"] > 0.1


def test_clients_without_ssl_objects_hear_all_and_answer_heartbeats():
    """They sleep on their keys, which this edge changes every few records."""
    endpoints = '{ path = "/ws"; words = "channels"; rate = 0; heartbeat = "2 s"; heartbeat_timeout = "2 s"; }'
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True}}, endpoints=endpoints,
                     extra="tls = { key_records = 5; };") as edge:
        code, r = bench(edge, "fanout", "-n", "300", "-P", "2", "-m", "40", "--asleep", "--rest", "5")
        assert code == 0 and r["deliveries"] == 300 * 40 and r["missing"] == r["lost"] == r["order_differs"] == 0
        assert r["rest"]["asleep"] == 300 and r["rest"]["failed"] == 0 and not r["rest"]["stopped_for_memory"]
        # each of them at least once; who does not answer is closed, and its deliveries would be missing
        assert r["rest"]["pings"] >= 300
        workers = json.loads(edge.ctl("-j", "worker", "show"))
        assert sum(w["key_updates"] for w in workers) >= 300 * 8
        for size in ("3000", "60000"):  # messages and records in pieces
            code, r = bench(edge, "fanout", "-n", "20", "-m", "50", "-s", size, "--asleep")
            assert code == 0 and r["deliveries"] == 1000 and r["missing"] == r["lost"] == 0


@pytest.mark.time_limit(120)
def test_clients_that_are_asleep_may_be_deaf_and_have_a_probe_beside_them():
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        for words in ([], ["--expect", ""]):  # deaf once that is acknowledged, when they sleep; or before they do
            code, r = bench(edge, "fanout", "-n", "40", "-m", "200", "-s", "20000", "--burst", "4", "--deaf", "25", "--probe",
                            "--asleep", "--rest", "1", *words)
            assert code == 0 and r["deliveries"] == 30 * 200 and r["missing"] == r["order_differs"] == 0
            assert r["deaf"]["subscribers"] == 10 and r["rest"]["asleep"] == 40
            assert r["probe"]["messages"] > 0 and r["probe"]["missing"] == 0
        worker = json.loads(edge.ctl("-j", "worker", "show"))[0]
        assert worker["closed"]["slow-consumer"] == 20


@pytest.mark.time_limit(120)
def test_heartbeats_of_another_dialect_are_counted_at_rest():
    """Socket.IO's are messages. It asks every 25 s, so this stands in for it, and asks again when it is answered."""
    room = set()

    async def peer(ws, *_path):
        await ws.send("0{}")
        async for text in ws:
            if text == "40":
                await ws.send("40{}")
            elif text.startswith('42["subscribe",'):
                room.add(ws)
                await ws.send('42["subscribed","bench"]')
                await ws.send("2")
            elif text.startswith('42["publish",'):
                for other in room:
                    await other.send('42["message",' + text.split(",", 1)[1])
            elif text == "3":
                await asyncio.sleep(0.1)
                await ws.send("2")

    code, r = bench_against(peer, "-n", "3", "-m", "5", "--rest", "2", "--dialect", "socketio")
    assert code == 0 and r["deliveries"] == 15 and r["rest"]["pings"] >= 3


@pytest.mark.time_limit(120)
def test_a_bench_that_must_leave_memory_free_stops_and_says_so():
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ENDPOINTS) as edge:
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "fanout", "-n", "5000", "-m", "1", "-j", "-q", "--asleep",
                               "--rest", "1", "--keep-free", str(1 << 24), "-u", edge.url("tls", "/ws")],
                              capture_output=True, text=True, timeout=60)
        r = json.loads(done.stdout)
        assert done.returncode == 1 and "of 5000 connections" in done.stderr and "--keep-free" in done.stderr
        assert r["rest"]["stopped_for_memory"] and r["subscribers"] < 5000 and r["missing"] == 0


def echo(edge, name, *args, seconds=3000):
    done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "echo", "-j", "-q", "-u", edge.url(name, "/echo"), *args],
                          capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.time_limit(3600)
@pytest.mark.parametrize("name", ["tls", "plain"])
def test_soak_messages_of_all_sizes_come_back_byte_for_byte(name):
    """Cut at random places. An edge that sleeps on its keys after so few records changes them on the way."""
    echoing = '{ path = "/echo"; protocol = "echo"; rate = 0; max_message = "1 MiB"; }'
    with sluice.Edge(workers=2, endpoints=echoing, extra="tls = { key_records = 5000; };") as edge:
        for n, up_to, window in ((ECHOES, 16384, 4), (ECHOES // 200, 1 << 20, 2)):
            r = echo(edge, name, "-n", "20", "-m", str(n), "-w", str(window), "--up-to", str(up_to), "--cut")
            assert (r["messages"], r["missing"], r["wrong"]) == (n, 0, False) and r["bytes"] > n * 1000
        workers = json.loads(edge.ctl("-j", "worker", "show"))
        assert sum(w["handshakes"] for w in workers) == (40 if name == "tls" else 0)
        if name == "tls" and ECHOES >= 1000000:
            assert sum(w["key_updates"] for w in workers) >= 40


def test_an_echo_that_is_none_is_said():
    with sluice.Edge(workers=1) as edge:
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "echo", "-q", "-u", edge.url("tls", "/nowhere"), "-n", "1"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "cannot connect" in done.stderr
