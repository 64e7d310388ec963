# SPDX-License-Identifier: BSD-2-Clause
"""sluiced --replace: a new one takes over from the one that runs. Whoever connects meanwhile is served; if the new
one fails nobody notices that it was there."""
import asyncio
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
import websockets

import netns
import sluice
import wire
from sluice import SLOW, Edge, alive, wait_for

pytestmark = pytest.mark.time_limit(240)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

EDGE4, PREFIX = "198.51.100.1", "100.64.9"
ENDPOINTS = '{ path = "/ws"; origins = "*"; }, { path = "/echo"; protocol = "echo"; rate = 0; origins = "*"; }'


# ---- who never stops connecting ----------------------------------------------------------------------


class Storm:
    """Threads that connect, are served, and connect again. What is lost is in `lost`."""

    def __init__(self, threads, once):
        self.once, self.done, self.lost = once, 0, []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]

    def _run(self, i):
        while not self._stop.is_set():
            try:
                self.once(i)
                with self._lock:
                    self.done += 1
            except Exception as e:  # whatever it was, a client was not served
                with self._lock:
                    self.lost.append(f"{time.time():.3f} {type(e).__name__}: {e}")
            time.sleep(0.002)

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join()


def ask_health(s):
    """A connection is served if whoever accepted it answers; 503 is an answer of one who leaves."""
    s.settimeout(20 * SLOW)
    s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert wire.read_answer(s)[0] in (200, 503)
    s.close()


def shake_hands(edge, listener="tls", context=Edge.ssl_context()):
    """TCP, TLS and WebSocket; then one echo, or 1001 from one who leaves."""
    s = wire.dial(edge, listener, context)
    s.settimeout(20 * SLOW)
    s.sendall(wire.upgrade_request("/echo"))
    status, _, rest = wire.read_head(s)
    assert status == 101, status
    frames = wire.Frames(s, rest)
    try:
        s.sendall(wire.frame(1, b"hello"))
        opcode, payload = frames.next()
        assert (opcode, payload) == (1, b"hello") or (opcode == 8 and payload[:2] == b"\x03\xe9"), (opcode, payload)
    except (ConnectionError, BrokenPipeError, ssl.SSLError):
        pass  # it was let go while it spoke: it has been served
    s.close()


def pid_in(edge, name="sluiced.pid"):
    return int((edge.runtime_dir / name).read_text())


def is_whole(edge, pid):
    """Everything that has a name says that this process is in charge."""
    assert pid_in(edge) == pid_in(edge, "keeper.lock") == pid
    assert json.loads(edge.ctl("-j", "status"))["keeper"]["pid"] == pid
    kin = {int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and parent(p) == pid}
    assert kin == set(edge.members().values())


def parent(proc):
    try:
        return int((proc / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# ---- it works -------------------------------------------------------------------------------------------


@needs_root
def test_a_storm_of_connects_over_three_replacements_loses_none():
    with Edge(endpoints=ENDPOINTS, shutdown_timeout="2 s") as edge:
        raw = Storm(4, lambda i: ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 20)))
        full = Storm(4, lambda i: shake_hands(edge))
        with raw, full:
            for turn in range(3):
                want = (raw.done + 60, full.done + 40)
                wait_for("the storm blows", 60, lambda: raw.done >= want[0] and full.done >= want[1])
                old = edge.replace()
                assert old.wait(20 * SLOW) == 0
                is_whole(edge, edge.keeper)
            want = (raw.done + 60, full.done + 40)
            wait_for("the storm blows on", 60, lambda: raw.done >= want[0] and full.done >= want[1])
        print(f"three replacements: {raw.done} raw, {full.done} over TLS and WebSocket, none lost")
        assert not raw.lost and not full.lost, (raw.lost[:5], full.lost[:5])
        assert raw.done >= 240 and full.done >= 160
        assert edge.stop() == 0
        assert not edge.pin_dir.exists() and not edge.control.exists() and not (edge.runtime_dir / "members").exists()


@needs_root
def test_clients_of_the_old_one_hear_1001_one_after_the_other_and_come_back_to_the_new_one():
    async def run(edge):
        clients = [await edge.connect("tls", "/echo") for _ in range(40)]
        begin = time.monotonic()
        old = edge.replace()
        ready = time.monotonic()
        gone = []

        async def end_of(ws):
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    await asyncio.wait_for(ws.recv(), 20 * SLOW)
            gone.append(time.monotonic() - ready)
            assert ws.close_code == 1001, ws.close_code
            again = await edge.connect("tls", "/echo")
            await again.send("back")
            assert await again.recv() == "back"
            return again

        back = await asyncio.gather(*(end_of(ws) for ws in clients))
        assert old.wait(10 * SLOW) == 0
        assert max(gone) - min(gone) > 1  # of the two and a quarter seconds that they had
        assert max(gone) < 5 * SLOW and ready - begin < 15 * SLOW
        shown = json.loads(edge.ctl("-j", "worker", "show"))
        assert sum(w["connections"] for w in shown) == 40
        for ws in back:
            await ws.close()

    with Edge(endpoints=ENDPOINTS, shutdown_timeout="3 s") as edge:
        asyncio.run(run(edge))


@needs_root
def test_a_request_that_has_begun_is_answered_by_the_old_one():
    """A head of which half has arrived, and a TLS handshake that has not begun: both accepted before."""
    with Edge(endpoints=ENDPOINTS, shutdown_timeout="4 s") as edge:
        half = socket.create_connection(("127.0.0.1", edge.port["plain"]), 20)
        half.sendall(wire.upgrade_request("/echo")[:40])
        bare = socket.create_connection(("127.0.0.1", edge.port["tls"]), 20)
        wait_for("both are accepted", 5, lambda: sum(
            w["connections"] for w in json.loads(edge.ctl("-j", "worker", "show"))) == 2)
        edge.replace()
        half.sendall(wire.upgrade_request("/echo")[40:])
        assert wire.read_head(half)[0] == 101
        s = edge.ssl_context().wrap_socket(bare, server_hostname="localhost")
        s.sendall(wire.upgrade_request("/echo"))
        assert wire.read_head(s)[0] == 101
        half.close()
        s.close()


@pytest.fixture(scope="module")
def net():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with netns.Pair() as n:
        netns.sh("ip", "-n", n.edge, "route", "add", "local", f"{PREFIX}.0/24", "dev", "lo")
        netns.sh("ip", "-n", n.far, "route", "add", f"{PREFIX}.0/24", "via", EDGE4)
        yield n


@needs_root
def test_the_shield_its_lists_and_served_prefixes_change_hands_without_a_gap(net):
    listeners = {"v4": {"tls": False, "address": EDGE4, "port": 8080,
                        "more": f'serves = ( {{ prefix = "{PREFIX}.0/24"; ports = "8000-8999"; }} );'}}
    shield = f'shield = {{ interfaces = ["{net.edge_if}"]; mode = "native"; steer = "cpumap"; }};'

    def from_far(i):
        with lock, net.inside(net.far):  # setns() is of a thread, the module's descriptors are not
            s = socket.socket()
            s.settimeout(20)
        count[0] += 1
        s.connect((f"{PREFIX}.{count[0] * 37 % 256}", 8000 + count[0] * 331 % 1000))
        ask_health(s)
    lock, count = threading.Lock(), [0]
    with Edge(listeners=listeners, endpoints=ENDPOINTS, netns=net.edge, extra=shield) as edge:
        edge.ctl("deny", "add", "192.0.2.0/24", "note", "stays")
        link = (edge.pin_dir / "serve_link").stat().st_ino
        storm = Storm(4, from_far)
        with storm:
            for _ in range(2):
                want = storm.done + 60
                wait_for("the storm blows", 60, lambda: storm.done >= want)
                old = edge.replace()
                assert old.wait(20 * SLOW) == 0
            want = storm.done + 60
            wait_for("the storm blows on", 60, lambda: storm.done >= want)
        assert not storm.lost, storm.lost[:5]
        is_whole(edge, edge.keeper)
        status = json.loads(edge.ctl("-j", "status"))
        assert "no network namespace" not in edge.log()  # cookies are tried out by a replacement, too
        assert status["shield"]["on"] and status["interfaces"][0]["mode"] == "native"
        assert [r["note"] for r in json.loads(edge.ctl("-j", "deny", "show"))] == ["stays"]
        assert (edge.pin_dir / "serve_link").stat().st_ino == link  # the very same link
        edge.process.kill()  # and the next start finds all in order
        edge.process.wait()
        edge.start()
        from_far(0)
        assert edge.stop() == 0 and not edge.pin_dir.exists()


@needs_root
def test_a_new_configuration_comes_with_the_replacement():
    with Edge(endpoints=ENDPOINTS) as edge:
        port = sluice.free_port()
        text = edge.conf.read_text()
        edge.conf.write_text(text.replace("workers = 2;", "workers = 3;").replace(
            "listeners = ( ", f'listeners = ( {{ address = "127.0.0.1"; port = {port}; }}, '))
        old = edge.replace()
        assert old.wait(10 * SLOW) == 0
        assert len(edge.members()) == 4
        for p in (port, edge.port["plain"]):
            ask_health(socket.create_connection(("127.0.0.1", p), 5))


@needs_root
def test_in_the_background_it_returns_when_it_is_ready_and_tells_the_service_manager_who_it_is():
    with Edge(endpoints=ENDPOINTS) as edge:
        old = edge.process
        env = dict(os.environ, NOTIFY_SOCKET=str(edge.notify.getsockname()))
        with open(edge.log_path, "ab") as log:
            done = subprocess.run(edge.command("--replace", "--background"), stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, env=env, timeout=30 * SLOW)
        assert done.returncode == 0
        pid = pid_in(edge)
        assert pid != old.pid and f"MAINPID={pid}" in edge.hear()
        assert old.wait(10 * SLOW) == 0
        assert "STOPPING=1" not in edge.hear()
        is_whole(edge, pid)
        edge.members()
        os.kill(pid, signal.SIGTERM)
        wait_for("it ends", 10, lambda: not alive(pid))
        assert not edge.control.exists()


def test_with_nobody_to_replace_it_is_an_ordinary_start():
    with Edge(endpoints=ENDPOINTS) as edge:
        edge.stop()
        edge.spawn("--replace")
        wait_for("it is ready", 15, lambda: "READY=1" in edge.hear())
        assert "nobody runs on" in edge.log()
        ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 5))


def test_without_privileges_it_works_too():
    """The kernel then deals out new connections by itself, and what waits at a listener that closes is accepted first."""
    user = 65534 if os.geteuid() == 0 else None
    with Edge(endpoints=ENDPOINTS, user=user) as edge:
        for _ in range(2):  # the replaced one can be replaced
            old = edge.replace()
            assert old.wait(10 * SLOW) == 0
        assert "cannot be replaced" not in edge.log()
        ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 5))
        assert json.loads(edge.ctl("-j", "status"))["keeper"]["pid"] == edge.keeper


# ---- it fails, and nobody notices ---------------------------------------------------------------------------


def fails(edge, code, text):
    """A replacement that ends with this code, for this reason; the old one is as it was."""
    before, members, seen = edge.process, edge.members(), len(edge.log())
    done = subprocess.run(edge.command("--replace"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60 * SLOW)
    assert done.returncode == code, done.stderr
    assert text in done.stderr, done.stderr
    assert before.poll() is None and edge.members() == members
    if os.geteuid() == 0:
        is_whole(edge, before.pid)
    assert "SIG" not in edge.log()[seen:] and not list(edge.runtime_dir.glob("*.new"))
    ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 5))


@needs_root
def test_a_replacement_that_fails_leaves_the_old_one_serving_its_clients():
    with Edge(endpoints=ENDPOINTS) as edge:
        good = edge.conf.read_text()
        client = wire.dial(edge, "plain")
        client.sendall(wire.upgrade_request("/echo"))
        _, _, rest = wire.read_head(client)
        frames = wire.Frames(client, rest)
        pins = sorted(p.name for p in edge.pin_dir.iterdir())

        edge.conf.write_text(good + "workerss = 3;\n")
        fails(edge, 2, "unknown option")
        taken = socket.create_server(("127.0.0.1", 0))
        edge.conf.write_text(good.replace("listeners = ( ", 'listeners = ( { address = "127.0.0.1"; port = %d; }, '
                                          % taken.getsockname()[1]))
        fails(edge, 1, "another program has it")
        edge.conf.write_text(good.replace(str(edge.pin_dir), str(edge.pin_dir) + "-other"))
        fails(edge, 1, "that takes a stop and a start")
        edge.conf.write_text(good)

        client.sendall(wire.frame(1, b"still here"))
        assert frames.next() == (1, b"still here")
        assert sorted(p.name for p in edge.pin_dir.iterdir()) == pins
        old = edge.replace()  # and then one that does not fail
        assert old.wait(10 * SLOW) == 0
        taken.close()
        client.close()


@needs_root
@pytest.mark.parametrize("after", [0.05, 0.2, 0.4, 0.8])
def test_a_replacement_that_is_killed_at_any_time_costs_nobody_a_connection(after):
    with Edge(endpoints=ENDPOINTS, shutdown_timeout="1 s") as edge:
        raw = Storm(3, lambda i: ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 20)))
        old = edge.process
        with raw, open(edge.log_path, "ab") as log:
            wait_for("the storm blows", 20, lambda: raw.done >= 20)
            new = subprocess.Popen(edge.command("--replace"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
            time.sleep(after)
            taken = "has been replaced" in edge.log()
            if not taken:
                new.kill()
            want = raw.done + 30
            wait_for("the storm blows on", 30, lambda: raw.done >= want)
        if taken or "has been replaced" in edge.log():  # too late to kill it
            edge.process = new
            assert old.wait(10 * SLOW) == 0
        else:
            new.wait()
            assert old.poll() is None
            is_whole(edge, old.pid)
        # without the shield the kernel moves nothing from the queues of who dies: what has come there and has not asked
        # yet is lost, of each of the three at most one
        assert len(raw.lost) <= (0 if taken else 3), raw.lost[:5]


@needs_root
@pytest.mark.parametrize("after", [0, 0.1, 0.3])
def test_an_old_one_that_is_killed_while_it_is_replaced_is_replaced(after):
    """Nobody has waited for it, so that its number is still taken."""
    with Edge(endpoints=ENDPOINTS, shutdown_timeout="1 s") as edge:
        old, edge.process = edge.process, None
        with open(edge.log_path, "ab") as log:
            new = subprocess.Popen(edge.command("--replace"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
        edge.process = new
        wait_for("the old one gives way", 20, lambda: "prepares to replace us" in edge.log())
        time.sleep(after)
        old.kill()
        wait_for("the new one is in charge", 20, lambda: edge.log().count("ready: ") == 2)
        old.wait()
        wait_for("it serves", 20, lambda: ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 20)) is None)
        is_whole(edge, new.pid)


@needs_root
def test_two_replacements_at_once_are_one_replacement():
    with Edge(endpoints=ENDPOINTS) as edge:
        old = edge.process
        with open(edge.log_path, "ab") as log:
            both = [subprocess.Popen(edge.command("--replace"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True) for _ in range(2)]
        assert old.wait(30 * SLOW) == 0
        wait_for("one of them has ended or replaced the other", 30,
                 lambda: sum(p.poll() is None for p in both) == 1)
        edge.process = next(p for p in both if p.poll() is None)
        wait_for("it is in charge", 10, lambda: pid_in(edge) == edge.keeper)
        is_whole(edge, edge.keeper)
        ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 5))


@needs_root
def test_strangers_cannot_knock_at_the_keepers_door():
    with Edge(endpoints=ENDPOINTS) as edge:
        door = edge.runtime_dir / "keeper.sock"
        assert door.stat().st_mode & 0o777 == 0o600
        for words in (b"", b"x", b"x" * 504, b"crls" + b"\1\0\1\0" + bytes(496), b"crls" + b"\1\0\5\0" + bytes(496)):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(str(door))
            s.send(words)
            time.sleep(0.05)
            s.close()
        is_whole(edge, edge.keeper)
        old = edge.replace()
        assert old.wait(10 * SLOW) == 0


# ---- a successor that stops in the middle -------------------------------------------------------------------------


class Successor:
    """Speaks as a new keeper does (keeper/replace.h)."""

    ASK, GRANT, LOCKS, REFUSE, FLIP, QUIET = range(1, 7)

    def __init__(self, edge):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(5 * SLOW)
        self.s.connect(str(edge.runtime_dir / "keeper.sock"))

    def say(self, kind):
        self.s.send(struct.pack("=IHHii", 0x736c7263, 1, kind, 0, os.getpid()) + bytes(488))

    def hear(self):
        data, fds, _, _ = socket.recv_fds(self.s, 1000, 4)
        for fd in fds:
            os.close(fd)
        return struct.unpack_from("=IHH", data)[2], len(fds), data[384:].rstrip(b"\0").decode()


@needs_root
def test_a_replacement_that_dies_with_its_hands_on_the_maps_leaves_them_right():
    with Edge(endpoints=ENDPOINTS) as edge:
        raw = Storm(3, lambda i: ask_health(socket.create_connection(("127.0.0.1", edge.port["plain"]), 20)))
        with raw:
            new = Successor(edge)
            new.say(Successor.ASK)
            assert new.hear()[:2] == (Successor.GRANT, 1) and new.hear()[:2] == (Successor.LOCKS, 1)
            other = Successor(edge)
            other.say(Successor.ASK)
            kind, _, why = other.hear()
            assert kind == Successor.REFUSE and "already" in why
            new.say(Successor.FLIP)
            assert new.hear()[0] == Successor.QUIET
            asked = subprocess.run([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), "deny", "add", "192.0.2.9"],
                                   capture_output=True, text=True, timeout=20)
            assert asked.returncode != 0 and "taking over" in asked.stderr
            # what a new keeper would have done first: its own list of workers, nobody ready yet
            subprocess.run(["bpftool", "map", "update", "pinned", str(edge.pin_dir / "core_worker"), "key", "0", "0", "0", "0",
                            "value", *["0"] * 2052], check=True, timeout=20)
            killed = edge.members()["worker-0"]
            os.kill(killed, signal.SIGKILL)  # whose successor lives while nobody may write to the maps
            time.sleep(0.5)
            new.s.close()
            edge.wait_log("has not replaced us")
            want = raw.done + 60
            wait_for("the storm blows on", 30, lambda: raw.done >= want)
        assert len(raw.lost) <= 3, raw.lost[:5]  # those that the killed worker had
        sluice.wait_for("both workers are marked", 5, lambda: marked(edge) == ["SHIELD_WORKER_UP"] * 2)
        assert edge.members()["worker-0"] != killed
        is_whole(edge, edge.keeper)
        assert "the kernel picks workers" not in edge.log()
        old = edge.replace()
        assert old.wait(10 * SLOW) == 0


def marked(edge):
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", str(edge.pin_dir / "worker")],
                                     capture_output=True, timeout=20).stdout)
    return [e["formatted"]["value"]["state"] for e in dump[:2]]
