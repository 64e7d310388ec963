# SPDX-License-Identifier: BSD-2-Clause
"""The keeper: who dies, who notices, and what is left behind."""
import asyncio
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
import websockets

from sluice import BUILD, ROOT, SLOW, Edge, alive, wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534


# ---- an interface to protect, of our own -----------------------------------------------------------

@pytest.fixture
def interface():
    """One end of a veth pair: what happens to it concerns nobody else."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    name = f"slk{os.getpid() % 100000}"
    made = subprocess.run(["ip", "link", "add", name + "a", "type", "veth", "peer", "name", name + "b"],
                          capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip("needs veth: " + made.stderr.strip())
    for end in "ab":
        subprocess.run(["ip", "link", "set", name + end, "up"], check=True)
    yield name + "a"
    subprocess.run(["ip", "link", "del", name + "a"], check=True)


def xdp_program(interface):
    """Id of the XDP program there, or None."""
    out = subprocess.run(["ip", "-j", "-d", "link", "show", "dev", interface], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)[0].get("xdp", {}).get("prog", {}).get("id")


def pins(edge):
    return sorted(p.name for p in edge.pin_dir.iterdir()) if edge.pin_dir.exists() else []


# ---- looking at processes -----------------------------------------------------------------------------

def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def descriptors(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def memory_files(pid):
    return sorted(t for t in descriptors(pid).values() if "memfd:" in t)


def children(pid):
    """{pid: state} of its children, zombies among them."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found[int(entry.name)] = fields[0]
    return found


# ---- clients that never stop talking -------------------------------------------------------------------

class Talker:
    """Echoes a counter every few milliseconds and remembers how that went."""

    def __init__(self, edge, listener="plain"):
        self.edge, self.listener = edge, listener
        self.sent = self.heard = 0
        self.worst = 0.0
        self.wrong = []
        self.ended = None  # (code, reason) once the server has closed

    async def open(self):
        self.ws = await self.edge.connect(self.listener, "/echo")
        self.owner = self.edge.owner(self.ws.local_address[1], self.listener)
        return self

    async def talk(self, stop):
        try:
            while not stop.is_set():
                begin = time.monotonic()
                self.sent += 1
                await self.ws.send(str(self.sent))
                answer = await asyncio.wait_for(self.ws.recv(), 20 * SLOW)
                self.heard += 1
                if answer != str(self.heard):
                    self.wrong.append(answer)
                self.worst = max(self.worst, time.monotonic() - begin)
                await asyncio.sleep(0.005)
        except websockets.ConnectionClosed:
            self.ended = (self.ws.close_code, self.ws.close_reason)
        except asyncio.TimeoutError:
            self.wrong.append("no answer")


async def leave(talkers):
    """All at once: one after the other they would wait for each other's close."""
    await asyncio.gather(*(t.ws.close() for t in talkers), return_exceptions=True)


async def crowd(edge, n, listener="plain"):
    talkers = [await Talker(edge, listener).open() for _ in range(n)]
    assert all(t.owner for t in talkers)
    assert {t.owner for t in talkers} == {f"worker-{i}" for i in range(edge.workers)}
    return talkers


async def first_service_by(edge, pid):
    """Connects until process `pid` serves a connection; monotonic time of its first echo."""
    while True:
        try:
            async with edge.connect("plain", "/echo") as ws:
                await ws.send("anybody?")
                assert await ws.recv() == "anybody?"
                if edge.members().get(edge.owner(ws.local_address[1])) == pid:
                    return time.monotonic()
        except (OSError, websockets.WebSocketException):
            pass
        await asyncio.sleep(0.005)


# ---- a worker dies --------------------------------------------------------------------------------------

@needs_root
@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_killed_worker_has_a_successor_and_the_others_clients_notice_nothing(interface, listener):
    async def run(edge):
        members, memory = edge.members(), memory_files(edge.keeper)
        program, pinned = xdp_program(interface), pins(edge)
        assert program and pinned
        talkers = await crowd(edge, 40, listener)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(t.talk(stop)) for t in talkers]
        await asyncio.sleep(0.5)

        killed = time.monotonic()
        os.kill(members["worker-0"], signal.SIGKILL)
        while edge.members().get("worker-0") in (None, members["worker-0"]):
            assert time.monotonic() - killed < 1 * SLOW
            await asyncio.sleep(0.005)
        successor = edge.members()["worker-0"]
        served = await asyncio.wait_for(first_service_by(edge, successor), 10 * SLOW)
        assert served - killed < 1 * SLOW
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*tasks)
        await leave(talkers)

        for t in talkers:
            assert not t.wrong
            if t.owner == "worker-0":
                assert t.ended is not None
            else:
                assert t.ended is None and t.heard == t.sent and t.heard > 20
                assert t.worst < 1 * SLOW
        assert edge.members()["worker-1"] == members["worker-1"]
        kin = children(edge.keeper)
        assert sorted(kin) == sorted(edge.members().values())
        assert "Z" not in kin.values()
        assert memory_files(edge.keeper) == memory
        assert xdp_program(interface) == program and pins(edge) == pinned

    with Edge(interfaces=[interface]) as edge:
        asyncio.run(run(edge))
        assert edge.stop() == 0
        assert not edge.pin_dir.exists() and xdp_program(interface) is None


@needs_root
def test_channels_homed_on_a_killed_worker_go_on_for_the_others_clients():
    channels = [f"c{i}" for i in range(12)]  # some of them at home on worker 0

    async def read(ws, kind):
        while True:
            message = json.loads(await asyncio.wait_for(ws.recv(), 5 * SLOW))
            if message["type"] == kind:
                return message

    async def publish(ws, listeners, text):
        for c in channels:
            await ws.send(json.dumps({"type": "publish", "channel": c, "data": text}))
        for listener in listeners:
            heard = {}
            while len(heard) < len(channels):
                message = await read(listener, "message")
                assert message["data"] == text and message["channel"] not in heard
                heard[message["channel"]] = True

    async def run(edge):
        clients = []
        while len(clients) < 3:
            ws = await edge.connect("plain", "/ws")
            if edge.owner(ws.local_address[1]) == "worker-1":
                clients.append(ws)
            else:
                await ws.close()
        for ws in clients:
            for c in channels:
                await ws.send(json.dumps({"type": "subscribe", "channel": c}))
                await read(ws, "subscribed")
        await publish(clients[0], clients, "before")
        old = edge.members()["worker-0"]
        os.kill(old, signal.SIGKILL)
        while edge.members().get("worker-0") in (None, old):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(edge.wait_log, "worker 0 lives again")
        await publish(clients[0], clients, "after")
        await publish(clients[2], clients, "and again")
        await asyncio.gather(*(ws.close() for ws in clients))

    with Edge() as edge:
        asyncio.run(run(edge))
        assert edge.stop() == 0


def memory_kept(pid, name):
    """Bytes that the memory file of that name holds, as its descriptor in `pid` shows them."""
    fd = next(f for f, t in descriptors(pid).items() if t.startswith(f"/memfd:{name} "))
    return os.stat(f"/proc/{pid}/fd/{fd}").st_blocks * 512


@needs_root
def test_dead_workers_connections_are_wiped():
    async def run(edge):
        talkers = await crowd(edge, 20)
        assert memory_kept(edge.keeper, "sluice-slab-0") > 0
        kept = memory_kept(edge.keeper, "sluice-slab-1")
        for wait in ("", "100 ms", "200 ms", "400 ms", "800 ms", "1600 ms"):
            pid = edge.members()["worker-0"]
            os.kill(pid, signal.SIGKILL)
            edge.wait_log(f"next start in {wait}" if wait else "was killed by signal 9")
            if wait != "1600 ms":
                wait_for("its successor", 10, lambda p=pid: edge.members().get("worker-0") not in
                         (None, p))
        assert memory_kept(edge.keeper, "sluice-slab-0") == 0  # nobody lives there for 1.6 s
        assert memory_kept(edge.keeper, "sluice-slab-1") == kept
        await leave(talkers)

    with Edge() as edge:
        asyncio.run(run(edge))
        assert edge.stop() == 0


@needs_root
def test_worker_that_dies_again_and_again_waits_longer_and_serves_in_the_end():
    with Edge() as edge:
        for wait in ("", "next start in 100 ms", "next start in 200 ms", "next start in 400 ms"):
            pid = wait_for("a worker 0", 10, lambda: edge.members().get("worker-0"))
            os.kill(pid, signal.SIGKILL)
            edge.wait_log(f"worker 0 (process {pid}) was killed by signal 9 (SIGKILL)")
            edge.wait_log(wait)
            wait_for("its successor", 10, lambda p=pid: edge.members().get("worker-0") not in (None, p))
        asyncio.run(asyncio.wait_for(first_service_by(edge, edge.members()["worker-0"]), 10 * SLOW))
        assert len(children(edge.keeper)) == 3
        assert edge.stop() == 0


@needs_root
def test_admin_worker_comes_back_and_clients_notice_nothing():
    async def run(edge):
        talkers = await crowd(edge, 10)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(t.talk(stop)) for t in talkers]
        old = edge.members()["admin"]
        os.kill(old, signal.SIGKILL)
        while edge.members().get("admin") in (None, old):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*tasks)
        await leave(talkers)
        assert all(t.ended is None and not t.wrong and t.heard == t.sent for t in talkers)
        await asyncio.to_thread(edge.wait_log, "admin worker lives again")
        await asyncio.to_thread(edge.ctl, "status")

    with Edge() as edge:
        asyncio.run(run(edge))
        assert edge.stop() == 0


# ---- the keeper dies -------------------------------------------------------------------------------------

@needs_root
def test_killed_keeper_clients_hear_1001_and_the_next_start_cleans_up(interface):
    async def run(edge):
        members = edge.members()
        program, pinned = xdp_program(interface), pins(edge)
        talkers = await crowd(edge, 20)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(t.talk(stop)) for t in talkers]
        await asyncio.sleep(0.3)
        killed = time.monotonic()
        os.kill(edge.keeper, signal.SIGKILL)
        edge.process.wait()
        await asyncio.gather(*tasks)
        assert all(t.ended == (1001, "Server shutting down") and not t.wrong for t in talkers)
        while any(alive(pid) for pid in members.values()):
            assert time.monotonic() - killed < 5 * SLOW
            await asyncio.sleep(0.02)
        assert xdp_program(interface) == program and pins(edge) == pinned  # the shield stays

    with Edge(interfaces=[interface]) as edge:
        asyncio.run(run(edge))
        assert edge.control.exists() and (edge.runtime_dir / "members").exists()
        edge.start()  # over what the dead one left
        asyncio.run(asyncio.wait_for(first_service_by(edge, edge.members()["worker-0"]), 10 * SLOW))
        edge.ctl("status")
        assert xdp_program(interface)
        assert edge.stop() == 0
        assert sorted(os.listdir(edge.runtime_dir)) == ["keeper.lock"]
        assert not edge.pin_dir.exists() and xdp_program(interface) is None


@needs_root
def test_start_waits_for_the_workers_of_a_killed_keeper():
    with Edge() as edge:
        old = edge.members()
        os.kill(edge.keeper, signal.SIGKILL)
        edge.process.wait()
        edge.start()  # at once: they may still hold the ports
        assert not any(alive(pid) for pid in old.values())
        assert edge.stop() == 0


def test_start_after_everybody_was_killed():
    with Edge() as edge:
        for pid in [edge.keeper, *edge.members().values()]:
            os.kill(pid, signal.SIGKILL)
        edge.process.wait()
        edge.start()
        assert edge.stop() == 0


# ---- an orderly end -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_sigterm_closes_every_client_with_1001_and_ends_with_0(listener):
    async def run(edge):
        talkers = [await Talker(edge, listener).open() for _ in range(50)]
        quiet = await edge.connect(listener, "/ws")
        stop = asyncio.Event()
        tasks = [asyncio.create_task(t.talk(stop)) for t in talkers]
        await asyncio.sleep(0.3)
        begin = time.monotonic()
        edge.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)
        await asyncio.wait_for(quiet.wait_closed(), 10)
        assert (quiet.close_code, quiet.close_reason) == (1001, "Server shutting down")
        assert all(t.ended == (1001, "Server shutting down") and not t.wrong for t in talkers)
        assert await asyncio.to_thread(edge.process.wait, 10 * SLOW) == 0
        assert time.monotonic() - begin < 4 * SLOW

    with Edge() as edge:
        members = edge.members()
        asyncio.run(run(edge))
        assert not any(alive(pid) for pid in members.values())
        assert sorted(os.listdir(edge.runtime_dir)) == ["keeper.lock"]
        assert edge.hear().index("READY=1") < edge.hear().index("STOPPING=1")


def test_ctrl_c_to_the_whole_group_is_as_orderly():
    async def run(edge):
        t = await Talker(edge).open()
        task = asyncio.create_task(t.talk(asyncio.Event()))
        await asyncio.sleep(0.1)
        os.killpg(edge.keeper, signal.SIGINT)
        await task
        assert t.ended == (1001, "Server shutting down")

    with Edge() as edge:
        asyncio.run(run(edge))
        assert edge.process.wait(10 * SLOW) == 0


def test_worker_that_hangs_is_killed_at_the_end_of_the_time():
    with Edge() as edge:
        os.kill(edge.members()["worker-1"], signal.SIGSTOP)
        begin = time.monotonic()
        assert edge.stop() == 1  # its clients have heard nothing
        assert time.monotonic() - begin < 8 * SLOW
        assert "it did not end in time" in edge.log()


def test_second_sigterm_does_not_wait():
    with Edge(shutdown_timeout="60 s") as edge:
        os.kill(edge.members()["worker-1"], signal.SIGSTOP)
        edge.process.send_signal(signal.SIGTERM)
        edge.wait_log("SIGTERM: closing every client")
        time.sleep(0.6)  # what comes sooner belongs to the first, see below
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.wait(10 * SLOW) == 0
        assert "SIGTERM again: ending at once" in edge.log()


def test_two_sigterms_at_once_are_one():
    """timeout(1) and some service managers signal the process and then its group."""
    with Edge(shutdown_timeout="60 s") as edge:
        os.kill(edge.members()["worker-1"], signal.SIGSTOP)
        edge.process.send_signal(signal.SIGTERM)
        edge.wait_log("SIGTERM: closing every client")
        edge.process.send_signal(signal.SIGINT)
        time.sleep(0.6)
        assert edge.process.poll() is None and "again" not in edge.log()
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.wait(10 * SLOW) == 0
        assert "SIGTERM again: ending at once" in edge.log()


def test_sighup_without_a_shield_says_so_and_all_goes_on():
    async def run(edge):
        async with edge.connect("plain", "/echo") as ws:
            edge.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(edge.wait_log, "SIGHUP: certificates are read anew; the shield is off")
            await ws.send("still there?")
            assert await ws.recv() == "still there?"

    with Edge() as edge:
        asyncio.run(run(edge))
        assert edge.stop() == 0


CAPABILITIES = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
                "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
                "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
                "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
                "CHECKPOINT_RESTORE").split()


def names(mask):
    return {name for i, name in enumerate(CAPABILITIES) if int(mask, 16) >> i & 1}


@needs_root
def test_the_table_of_capabilities_is_true(interface):
    text = (ROOT / "tools/doc/privileges.md").read_text()
    table = {name: (opening, later, workers) for name, opening, later, workers in
             re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \|", text, re.M)}
    assert set(table) <= set(CAPABILITIES) and len(table) >= 15
    held = {name for name, (_, later, _) in table.items() if later in ("yes", "shield", "user")}
    assert held == {"BPF", "PERFMON", "NET_ADMIN", "SETUID", "SETGID", "KILL"}
    assert {workers for _, _, workers in table.values()} == {"no"}
    # systemd gives no more than what the table says is wanted
    unit = (ROOT / "tools/conf/sluiced.service").read_text()
    given = {c.removeprefix("CAP_") for c in re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].split()}
    assert given == {name for name, (opening, _, _) in table.items() if opening == "yes"}
    mine = names(status(os.getpid())["CapEff"])
    with Edge(interfaces=[interface]) as edge:
        keeper = status(edge.keeper)
        assert names(keeper["CapPrm"]) == names(keeper["CapEff"]) == held & mine
        for pid in edge.members().values():
            for field in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"):
                assert names(status(pid)[field]) == set()
    with Edge(user=NOBODY) as edge:  # without root: nothing at all
        assert names(status(edge.keeper)["CapPrm"]) == set()
    with Edge(extra='user = "root";') as edge:  # nobody to become
        loaded = names(status(edge.keeper)["CapPrm"])
        assert loaded == held & mine - {"SETUID", "SETGID", "KILL"}


@needs_root
def test_a_member_that_lies_in_the_mailbox_is_ended_and_has_a_successor():
    """What it writes for the others becomes nonsense: each of them says so to the keeper."""
    with Edge(workers=2) as edge:
        before = edge.members()
        liar = before["worker-0"]
        areas = [line.split()[0] for line in pathlib.Path(f"/proc/{liar}/maps").read_text().splitlines()
                 if " rw-s " in line and "outbox" in line]
        assert areas, pathlib.Path(f"/proc/{liar}/maps").read_text()
        with open(f"/proc/{liar}/mem", "r+b", buffering=0) as memory:
            for area in areas:
                begin = int(area.split("-")[0], 16)
                for peer in (1, 2):  # struct lane's head, in worker/outbox.h: never odd
                    memory.seek(begin + 64 + 256 * peer + 64)
                    memory.write((1).to_bytes(8, "little"))
        edge.wait_log("others say that it abuses the mailbox")
        edge.wait_log("worker 0 lives again")
        after = edge.members()
        assert after["worker-0"] != liar
        assert after["worker-1"] == before["worker-1"] and after["admin"] == before["admin"]
        assert edge.stop() == 0


# ---- privileges ------------------------------------------------------------------------------------------------

@needs_root
def test_workers_hold_nothing_that_is_not_theirs(interface):
    with Edge(interfaces=[interface]) as edge:
        for name, pid in edge.members().items():
            st = status(pid)
            for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(st[field], 16) == 0, (name, field)
            assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2"
            assert set(st["Uid"].split()) == {str(NOBODY)} and st["Groups"].strip() == ""
            assert st["Name"] == ("sluice-admin" if name == "admin" else "sluice-w" + name[-1])
            fds = descriptors(pid)
            assert not any("bpf" in t or "outbox" in t for t in fds.values()), fds
            slabs = {t.split()[0] for t in fds.values() if "slab" in t}
            assert slabs <= {f"/memfd:sluice-slab-{2 if name == 'admin' else name[-1]}"}
            files = {t for t in fds.values() if t.startswith("/") and "memfd" not in t}
            assert files <= {"/dev/null", str(edge.log_path)}
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            assert "bpf-map" not in maps
            if not os.environ.get("SLUICE_SAN"):
                assert not re.search(r"\b[r-]wx", maps)
        keeper = status(edge.keeper)
        allowed = {5, 6, 7, 12, 38, 39}  # KILL, SETGID, SETUID, NET_ADMIN, PERFMON, BPF
        assert int(keeper["CapPrm"], 16) == sum(1 << c for c in allowed)
        assert int(keeper["CapBnd"], 16) == 0 and keeper["NoNewPrivs"] == "1"
        assert "sluice-slab" not in pathlib.Path(f"/proc/{edge.keeper}/maps").read_text()


@needs_root
def test_unprivileged_start_serves_with_the_shield_off_and_one_line_about_it(interface):
    async def run(edge):
        for listener in ("plain", "tls"):
            async with edge.connect(listener, "/echo") as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"

    with Edge(user=NOBODY, interfaces=[interface]) as edge:
        asyncio.run(run(edge))
        off = [line for line in edge.log().splitlines() if "shield" in line]
        assert len(off) == 1 and "off" in off[0] and "CAP_BPF" in off[0]
        edge.ctl("status")
        members = edge.members()
        os.kill(members["worker-0"], signal.SIGKILL)
        wait_for("a successor", 5, lambda: edge.members().get("worker-0") not in
                 (None, members["worker-0"]))
        assert edge.stop() == 0


@needs_root
def test_a_shield_that_no_interface_takes_is_not_called_on():
    with Edge(interfaces=["slknone0"]) as edge:
        told = json.loads(edge.ctl("-j", "status"))
        assert told["shield"]["on"] is False and told["shield"]["text"]
        assert told["interfaces"][0]["mode"] == "off" and told["interfaces"][0]["reason"]


# ---- two of them, and the command line --------------------------------------------------------------------------

def test_second_instance_is_refused_and_the_first_lives_on():
    async def echo(edge):
        async with edge.connect("plain", "/echo") as ws:
            await ws.send("x")
            assert await ws.recv() == "x"

    with Edge() as edge:
        second = subprocess.run(edge.command(), capture_output=True, text=True, timeout=10 * SLOW)
        assert second.returncode == 1
        assert f"another sluiced (process {edge.keeper})" in second.stderr
        asyncio.run(echo(edge))
        edge.ctl("status")
        assert edge.stop() == 0


def test_taken_port_is_named_and_everything_is_given_back():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        edge = Edge(listeners={"plain": {"port": port}})
        try:
            failed = subprocess.run(edge.command(), capture_output=True, text=True,
                                    timeout=10 * SLOW)
            assert failed.returncode == 1
            assert str(port) in failed.stderr and "another program has it" in failed.stderr
            assert sorted(os.listdir(edge.runtime_dir)) == ["keeper.lock"]
            assert not edge.pin_dir.exists()
        finally:
            edge.__exit__(None, None, None)


def test_port_of_another_sluiced_is_taken_too():
    """Both would set SO_REUSEPORT, and the kernel would deal the clients out among the two."""
    with Edge() as first:
        edge = Edge(listeners={"plain": {"port": first.port["plain"]}})
        try:
            failed = subprocess.run(edge.command(), capture_output=True, text=True,
                                    timeout=10 * SLOW)
            assert failed.returncode == 1
            assert f"port {first.port['plain']}: Address already in use" in failed.stderr
        finally:
            edge.__exit__(None, None, None)


def test_all_addresses_and_one_of_them_share_a_port():
    with Edge(listeners={"one": {}}) as edge:
        port = edge.port["one"]
    with Edge(listeners={"all": {"address": "0.0.0.0", "port": port}, "one": {"port": port}}) as edge:
        edge.ctl("status")


def cli(*args):
    return subprocess.run([str(BUILD / "sluiced"), *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=10 * SLOW)


def test_command_line_checks_and_shows(tmp_path):
    edge = Edge()
    try:
        good = cli("-t", "-c", str(edge.conf))
        assert good.returncode == 0 and "valid" in good.stdout
        assert not list(edge.state_dir.iterdir())  # a check makes nothing
        shown = cli("-T", "-j", "-c", str(edge.conf))
        assert shown.returncode == 0
        assert json.loads(shown.stdout)["workers"] == 2
        again = tmp_path / "again.conf"
        again.write_text(cli("-T", "-c", str(edge.conf)).stdout)
        assert cli("-T", "-j", "-c", str(again)).stdout == shown.stdout
    finally:
        edge.__exit__(None, None, None)


def test_command_line_mistakes_end_with_2(tmp_path):
    bad = tmp_path / "bad.conf"
    bad.write_text('workers = -3;\nworker = 2;\n')
    for args in (["-t", "-c", str(bad)], ["-T", "-c", str(bad)], ["-c", str(bad)]):
        done = cli(*args)
        assert done.returncode == 2
        said = done.stdout + done.stderr
        assert "bad.conf:1" in said and "bad.conf:2" in said
    for text, said in (("workers = 900;", "workers = 900"), ('user = "no-such-user";', "no-such-user"),
                       ('workers = 200; memory = { mailbox = "1 MiB"; };', "memory.mailbox")):
        bad.write_text(text + ' listeners = ( { address = "127.0.0.1"; port = 1; } );')
        for args in (["-t"], []):
            done = cli(*args, "-c", str(bad))
            assert done.returncode == 2 and said in done.stderr
    bad.write_text("")
    for args in (["-t"], []):
        done = cli(*args, "-c", str(bad))
        assert done.returncode == 2 and "no listener: nothing would be served" in done.stdout + done.stderr
    for args in (["-x"], ["-j"], ["-t", "-T"], ["stray"], ["-c"]):
        done = cli(*args)
        assert done.returncode == 2 and "--help" in done.stderr
    assert cli("-c", str(tmp_path / "none.conf")).returncode == 2
    version, usage = cli("--version"), cli("--help")
    assert version.returncode == 0 and re.fullmatch(r"sluiced \d+\.\d+\.\d+\n", version.stdout)
    assert usage.returncode == 0 and "Examples:" in usage.stdout
