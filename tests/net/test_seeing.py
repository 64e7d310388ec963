# SPDX-License-Identifier: BSD-2-Clause
"""What the shield lets be seen of itself: explanations that agree with its deeds, captures, counters."""
import errno
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import traceback

import pytest

import netns
import sluice
from frames import ip4, ip6, malformed, tcp
from test_policy import file_with
from test_shield import BAD4, EDGE4, EDGE6, ENDPOINTS, GOOD4, LISTENERS, drops, echo, works

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.time_limit(120),
]


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


@pytest.fixture()
def edge(net):
    with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, interfaces=[net.edge_if]) as e:
        yield e


@pytest.fixture()
def wire(net):
    """send(frame): onto the client's end of the wire."""
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    yield raw.send
    raw.close()


@functools.cache
def link(net):
    return net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)


def syn(net, source=GOOD4, **more):
    a, e = socket.inet_aton(source), socket.inet_aton(EDGE4)
    return link(net) + b"\x08\x00" + ip4(tcp(a, e, **more), a, e)


def write_pcap(path, frames, order="<", magic=0xa1b2c3d4):
    with open(path, "wb") as f:
        f.write(struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 262144, 1))
        for i, frame in enumerate(frames):
            f.write(struct.pack(order + "IIII", 1700000000, i, len(frame), len(frame)) + frame)


# ---- explain --------------------------------------------------------------------------------------


NOBODY4, NOBODY6 = "198.51.100.200", "2001:db8:1::200"
LIMITS = ["packets", "syns", "connections", "net_packets", "net_syns", "net_connections"]
RATES = ["rate-packets", "rate-syns", "rate-connections", "net-packets", "net-syns", "net-connections"]
SECOND = 1 << 30  # in which SYNs are counted


def seeds(net):
    """(reason, EtherType, packet) of every reason that there is but syn-limit, and of none. They come from hosts that are
    not there: one that is would answer what the edge answers, and be counted too."""
    yield from malformed(NOBODY4, EDGE4, NOBODY6, EDGE6)
    e4, e6 = socket.inet_aton(EDGE4), socket.inet_pton(socket.AF_INET6, EDGE6)
    a4, a6 = socket.inet_aton(NOBODY4), socket.inet_pton(socket.AF_INET6, NOBODY6)
    bad = socket.inet_aton("203.0.113.200")
    for flags in (0x02, 0x10, 0x11, 0x18):
        yield "denied", 0x0800, ip4(tcp(bad, e4, flags), bad, e4)
    for i, reason in enumerate(RATES):
        yield reason, 0x0800, ip4(tcp(a4, e4, 0x02, dport=8001 + i), a4, e4)
    for flags in (0x10, 0x11, 0x04, 0x12):
        yield "no-flow", 0x0800, ip4(tcp(a4, e4, flags), a4, e4)
        yield "no-flow", 0x86dd, ip6(tcp(a6, e6, flags), a6, e6)
    spoilt = bytearray(tcp(a4, e4))
    spoilt[16] ^= 0xff
    yield "bad-checksum", 0x0800, ip4(bytes(spoilt), a4, e4)
    for _ in range(4):
        yield None, 0x0800, ip4(tcp(a4, e4), a4, e4)
        yield None, 0x86dd, ip6(tcp(a6, e6), a6, e6)


def random_frames(net, n):
    """Of every kind, two in three of them spoilt in a few bytes."""
    dice = random.Random(20260101)
    kinds = list(seeds(net))
    for _ in range(n):
        _, ethertype, packet = dice.choice(kinds)
        packet = bytearray(packet)
        for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
            packet[dice.randrange(len(packet))] = dice.randrange(256)
        if dice.random() < 0.1:
            del packet[dice.randrange(1, len(packet)):]
        tag = struct.pack(">HH", 0x8100, 7) if dice.random() < 0.2 else b""
        yield link(net) + tag + struct.pack(">H", ethertype) + bytes(packet)


def map_edit(edge, name, key, edit):
    """Behind the keeper's back, what no sluice.conf can say: limits that give nothing, bounds of one."""
    path, key = f"{edge.pin_dir}/{name}", list(struct.pack("<I", key))
    dump = json.loads(netns.sh("bpftool", "-j", "map", "lookup", "pinned", path, "key", *map(str, key)))
    value = bytearray(int(b, 16) for b in dump["value"])
    edit(value)
    netns.sh("bpftool", "map", "update", "pinned", path, "key", *map(str, key), "value", *map(str, value))


@pytest.fixture()
def strict(net):
    """An edge where each reason depends on the packet and on no clock: of each rate class one limit gives nothing, no
    packet of an unknown connection is let through, every SYN is answered by cookie (into a wire that takes none)."""
    classes = ", ".join(f'{{ name = "no-{i}"; packets = 0; syns = 0; connections = 0; net_packets = 0; net_syns = 0;'
                        f" net_connections = 0; }}" for i in range(6))
    protect = ", ".join([f'{{ prefix = "{e}"; port = 8080; }}' for e in (EDGE4, EDGE6)] +
                        [f'{{ prefix = "{EDGE4}"; port = {8001 + i}; rate = "no-{i}"; }}' for i in range(6)])
    shield = f"""
shield = {{ interfaces = [ "{net.edge_if}" ]; rate_classes = ( {classes} ); protect = ( {protect} ); }};"""
    home = os.sched_getaffinity(0)
    with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, extra=shield) as edge:
        [policy] = json.loads(netns.sh("bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/policy"))
        edge.bank = policy["formatted"]["value"]["bank"]
        for i in range(6):  # struct shield_rate: a name, then of each limit 28 bytes and `never`
            map_edit(edge, "rates", edge.bank * 16 + 1 + i, lambda v, at=16 + 32 * i: v.__setitem__(
                slice(at + 28, at + 32), struct.pack("<I", 1)))
        edge.rules = lambda synack_limit: map_edit(edge, "rules", edge.bank, lambda v: v.__setitem__(
            slice(24, 44), struct.pack("<5I", 1, 1000, 500, synack_limit, 0)))  # cookies … stale_limit
        edge.rules(0)
        edge.core = min(home)
        os.sched_setaffinity(0, {edge.core})  # who sends here is heard on the same core there
        try:
            yield edge
        finally:
            os.sched_setaffinity(0, home)


def counted(edge, since):
    """Packets per reason, and `passed`, since drops() said so."""
    before, shown = since
    after, now = drops(edge)
    diff = {r: n - before[r] for r, n in after.items() if n != before[r]}
    return {**diff, **({"passed": now["passed"] - shown["passed"]} if now["passed"] != shown["passed"] else {})}


def explained(edge, net, path, frames):
    write_pcap(path, frames)
    said = json.loads(edge.ctl("-j", "drop", "explain", str(path), "interface", net.edge_if, "core", str(edge.core)))
    assert len(said) == len(frames)
    want = {}
    for s in said:
        if s["stage"] == "judged":
            want[s.get("reason", "passed")] = want.get(s.get("reason", "passed"), 0) + 1
    return want


def test_explain_agrees_with_the_counters_on_a_thousand_random_packets(net, strict, wire, tmp_path):
    strict.ctl("deny", "add", "203.0.113.0/24")
    frames = list(random_frames(net, 1000))
    before = drops(strict)
    want = explained(strict, net, tmp_path / "random.pcap", frames)
    assert drops(strict) == before  # asking leaves no trace
    assert set(want) == set(before[0]) - {"syn-limit"} | {"passed"}  # every reason, but one: below
    for frame in frames:
        wire(frame)
    sluice.wait_for("all have been judged", 20, lambda: sum(counted(strict, before).values()) >= sum(want.values()))
    assert counted(strict, before) == want
    print(f"explained and counted alike: {dict(sorted(want.items()))}")


def test_explain_agrees_with_the_counters_on_the_bound_of_syns(net, strict, wire, tmp_path):
    strict.rules(1)
    frames = [syn(net, f"198.51.100.{20 + i}", sport=5000 + i) for i in range(50)]
    for _ in range(20):
        while time.monotonic_ns() % SECOND > SECOND // 4:
            time.sleep(0.02)
        before, second = drops(strict), time.monotonic_ns() // SECOND
        wire(syn(net))  # the one of this second
        sluice.wait_for("it is judged", 5, lambda: counted(strict, before))
        before = drops(strict)
        want = explained(strict, net, tmp_path / "syns.pcap", frames)
        for frame in frames:
            wire(frame)
        sluice.wait_for("all are judged", 5, lambda: sum(counted(strict, before).values()) == 50)
        if time.monotonic_ns() // SECOND == second:
            break
    assert want == counted(strict, before) == {"syn-limit": 50}


def test_cores_that_differ_are_told_apart(net, strict, wire):
    """Each counts for itself: one SYN a second and core, and one core has had it."""
    cores = sorted(os.sched_getaffinity(1))
    if len(cores) < 2:
        pytest.skip("one core only")
    strict.rules(1)
    def ask(*words):
        return json.loads(strict.ctl("-j", "drop", "explain", syn(net).hex(), *words))[0]
    for _ in range(50):
        second = time.monotonic_ns() // SECOND
        wire(syn(net))
        os.sched_setaffinity(0, cores)
        here, there, all_of_them = ask("core", str(strict.core)), ask("core", str(cores[-1])), ask()
        text = strict.ctl("drop", "explain", syn(net).hex())
        os.sched_setaffinity(0, {strict.core})
        if time.monotonic_ns() // SECOND == second:
            break
    assert here["reason"] == "syn-limit" and there["verdict"] != "drop" and "by_core" not in here
    assert all_of_them["reason"] == "syn-limit"
    assert {a["cores"] for a in all_of_them["by_core"]} == {str(strict.core), ",".join(
        str(c) for c in cores if c != strict.core)} or len(cores) > 2
    assert f"core {strict.core}: dropped by rule 6, syn" in text and ": passes every rule" in text
    done = strict.ctl_run("drop", "explain", syn(net).hex(), "core", "9999")
    assert done.returncode == 2 and "core: a number" in done.stderr


def test_a_packet_is_explained_in_words(net, edge, tmp_path):
    said = edge.ctl("drop", "explain", syn(net, flags=0x03).hex())
    assert "IPv4 TCP 198.51.100.9:40000 > 198.51.100.1:8080 [FS], 54 bytes" in said
    assert "dropped by rule 1, malformed (enforce): bad-tcp-flags" in said
    (tmp_path / "hex").write_text(syn(net).hex(" ", 2) + "\n")
    assert "passes every rule" in edge.ctl("drop", "explain", str(tmp_path / "hex"))
    assert "not to a protected address and port" in edge.ctl("drop", "explain", syn(net, dport=22).hex(":"))
    assert "neither TCP nor UDP" in edge.ctl("drop", "explain", link(net).hex() + "0806" + "00" * 28)
    edge.ctl("deny", "add", "203.0.113.0/24", "note", "scanners")
    assert "by the entry 203.0.113.0/24 of the deny list: scanners" in edge.ctl("drop", "explain", syn(net, BAD4).hex())
    one = json.loads(edge.ctl("-j", "drop", "explain", syn(net, BAD4).hex()))[0]
    assert (one["rule"], one["reason"], one["entry"]["prefix"]) == ("deny", "denied", "203.0.113.0/24")
    one = json.loads(edge.ctl("-j", "drop", "explain", syn(net, flags=0x03).hex()))[0]
    assert (one["verdict"], one["rule"], one["reason"], one["mode"]) == ("drop", "malformed", "bad-tcp-flags", "enforce")


def test_hex_has_a_packet_a_line_or_one_over_several_lines(net, edge, tmp_path):
    file, one, two = tmp_path / "hex", syn(net).hex(), syn(net, flags=0x03).hex(" ")
    def explain(text, *words):
        file.write_bytes(text.encode())
        done = edge.ctl_run("-j", "drop", "explain", str(file), *words)
        return [p.get("reason") for p in json.loads(done.stdout)] if done.returncode == 0 else None, done.stdout + done.stderr
    def wrapped(packet):
        return "\n".join(packet[i:i + 60] for i in range(0, len(packet), 60)) + "\n"
    both = [None, "bad-tcp-flags"]
    assert explain(f"{one}\r\n{two}\r\n")[0] == both
    assert explain(f"{one}\n\n{two}")[0] == both
    said = explain(wrapped(one))
    assert said[0] == [None] and "lines 1 to 2 are taken for one packet" in said[1]
    assert explain(wrapped(one) + "\n\n" + wrapped(two.replace(" ", "")))[0] == both
    assert json.loads(edge.ctl("-j", "drop", "explain", f"{one}\n{two}"))[1]["reason"] == "bad-tcp-flags"
    said = explain(wrapped(one) + wrapped(one))
    assert said[0] is None and f"{file}:4: no packet begins in this line, but in others" in said[1]
    assert f"{file}:2: neither a capture file" in explain(f"{one}\nxyz\n")[1]
    assert "no packet in it" in explain("\n\n")[1]
    said = explain(f"{one}\n{two}\n{two}\n", "limit", "2")
    assert said[0] == both and "only the first 2 packets: `limit N`" in said[1]
    write_pcap(tmp_path / "pcap", [syn(net)] * 3)
    done = edge.ctl_run("-j", "drop", "explain", str(tmp_path / "pcap"), "--limit", "1")
    assert len(json.loads(done.stdout)) == 1 and "only the first 1 packet:" in done.stderr


@pytest.mark.parametrize("content,words", [
    (b"\x0a\x0d\x0d\x0a" + b"\0" * 60, "pcapng"),
    (b"hello", "neither a capture file nor a packet in hex"),
    (struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 113), "do not begin with an Ethernet header"),
    (struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1) + b"\0" * 9, "ends inside a record's header"),
])
def test_what_is_no_packet_is_refused_with_the_reason(edge, tmp_path, content, words):
    (tmp_path / "odd").write_bytes(content)
    done = edge.ctl_run("drop", "explain", str(tmp_path / "odd"))
    assert done.returncode == 1 and words in done.stderr
    done = edge.ctl_run("drop", "explain", "0xzz")
    assert done.returncode == 2 and "is no file" in done.stderr
    done = edge.ctl_run("drop", "explain", "00" * 13)
    assert done.returncode == 1 and "13 bytes are less than an Ethernet header" in done.stderr


# ---- capture --------------------------------------------------------------------------------------


class Capture:
    """sluicectl drop capture in the background, once it has begun."""

    def __init__(self, edge, path, *words, where=None):
        self.path = path
        if where is None:
            where = ["nsenter", f"--net=/run/netns/{edge.netns}"]
        self.process = subprocess.Popen(
            [*where, str(sluice.BUILD / "sluicectl"), "-c", str(edge.control),
             "drop", "capture", "out", str(path), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.begun = self.process.stderr.readline()
        assert self.begun.startswith("up to "), self.begun + self.process.stderr.read()

    def finish(self, sig=None):
        if sig:
            self.process.send_signal(sig)
        _, err = self.process.communicate(timeout=30 * sluice.SLOW)
        assert self.process.returncode == 0, err
        return err


def read_pcap(path):
    """[(nanoseconds, length on the wire, bytes)]"""
    data = path.read_bytes()
    magic, major, minor, _, _, _, ethernet = struct.unpack_from("=IHHIIII", data)
    assert (magic, major, minor, ethernet) == (0xa1b23c4d, 2, 4, 1)
    frames, at = [], 24
    while at < len(data):
        s, ns, here, wire = struct.unpack_from("=IIII", data, at)
        frames.append((s * 10**9 + ns, wire, data[at + 16:at + 16 + here]))
        at += 16 + here
    return frames


def bad_frames(net):
    e = socket.inet_aton(EDGE4)
    for i in range(100):
        a = socket.inet_aton(f"198.51.100.{i + 20}")
        yield link(net) + b"\x08\x00" + ip4(tcp(a, e, 0x29, sport=1000 + i), a, e) + bytes(i)


@pytest.mark.parametrize("via", ["xsk", "ring"])
def test_a_capture_holds_what_was_dropped_in_its_order_and_tcpdump_reads_it(net, edge, wire, tmp_path, via):
    sent = list(bad_frames(net))
    began = time.time_ns()
    capture = Capture(edge, tmp_path / "drops.pcap", "via", via, "count", str(len(sent)), "for", "20s")
    assert ("AF_XDP" if via == "xsk" else "ring buffer") in capture.begun
    for frame in sent:
        wire(frame)
        wire(syn(net))  # passes, and is not in it
    said = capture.finish()
    assert "100 packets, 100 bad-tcp-flags" in said, said
    got = read_pcap(capture.path)
    assert [f for _, _, f in got] == sent and all(w == len(f) for _, w, f in got)
    times = [t for t, _, _ in got]
    assert times == sorted(times) and began - 10**9 < times[0] <= times[-1] < time.time_ns() + 10**9
    if not shutil.which("tcpdump", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        pytest.skip("tcpdump is not installed")
    shown = subprocess.run(["tcpdump", "-nn", "-r", str(capture.path)], capture_output=True, text=True, timeout=20,
                           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}).stdout.splitlines()
    assert len(shown) == 100
    assert "IP 198.51.100.20.1000 > 198.51.100.1.8080: Flags [FPU]" in shown[0], shown[0]
    print("\n".join([said.strip(), *shown[:3], "…"]))
    # and the file is one that explain takes
    explained = json.loads(edge.ctl("-j", "drop", "explain", str(capture.path)))
    assert {e["reason"] for e in explained} == {"bad-tcp-flags"} and len(explained) == 100


def test_a_capture_takes_only_the_reasons_that_were_asked_for_and_ends_when_told(net, edge, wire, tmp_path):
    edge.ctl("deny", "add", "203.0.113.0/24")
    capture = Capture(edge, tmp_path / "drops.pcap", "--reason", "denied,land", "--via=ring", "for", "1h")
    busy = edge.ctl_run("drop", "capture", "out", str(tmp_path / "other.pcap"))
    assert busy.returncode == 4 and "another capture is running" in busy.stderr
    assert not (tmp_path / "other.pcap").exists()
    (tmp_path / "other.pcap").write_text("kept")
    for via in ("xsk", "ring"):
        busy = edge.ctl_run("drop", "capture", "via", via, "out", str(tmp_path / "other.pcap"))
        assert busy.returncode == 4 and "another capture is running" in busy.stderr
    assert (tmp_path / "other.pcap").read_text() == "kept"
    for i in range(10):
        wire(syn(net, BAD4, sport=2000 + i))
        wire(syn(net, flags=0))
    sluice.wait_for("the drops", 10, lambda: drops(edge)[0]["denied"] >= 10)
    said = capture.finish(signal.SIGINT)
    assert "10 packets, 10 denied" in said, said
    assert [f for _, _, f in read_pcap(capture.path)] == [syn(net, BAD4, sport=2000 + i) for i in range(10)]
    # nothing goes on being sampled
    dump = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/sample"], capture_output=True)
    assert json.loads(dump.stdout)[0]["formatted"]["value"]["until_ns"] == 0


def sample(edge):
    dump = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/sample"], capture_output=True)
    return json.loads(dump.stdout)[0]["formatted"]["value"]


def test_a_capture_whose_asker_was_killed_ends_and_leaves_a_file_that_can_be_read(net, edge, wire, tmp_path):
    capture = Capture(edge, tmp_path / "drops.pcap", "for", "1h")
    assert sample(edge)["until_ns"] < time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 5 * 10**9  # good for seconds
    capture.process.kill()
    capture.process.communicate()
    assert read_pcap(capture.path) == []
    sluice.wait_for("it ends", 20, lambda: sample(edge)["until_ns"] < time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    again = Capture(edge, tmp_path / "again.pcap", "count", "1")
    wire(syn(net, flags=0))
    assert "1 packet, 1 bad-tcp-flags" in again.finish()
    # nobody has begun another one: the keeper says so and clears away
    last = Capture(edge, tmp_path / "last.pcap", "for", "1h")
    last.process.kill()
    last.process.communicate()
    edge.wait_log("a capture ended: who asked for it is gone; nothing was dropped that it wanted", 30)
    sluice.wait_for("it is cleared", 5, lambda: sample(edge)["until_ns"] == 0 and sample(edge)["reasons"] == 0)
    assert "who asked for it is gone" in edge.ctl("event", "show")


def test_a_capture_lasts_for_as_long_as_it_is_wanted_and_one_that_saw_nothing_is_told_of(net, edge, wire, tmp_path):
    capture = Capture(edge, tmp_path / "drops.pcap", "via", "ring", "for", "1h")
    first = sample(edge)["until_ns"]
    sluice.wait_for("its first seconds are over", 20, lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC) > first)
    before = drops(edge)[0]["bad-tcp-flags"]
    wire(syn(net, flags=0))
    sluice.wait_for("the drop", 10, lambda: drops(edge)[0]["bad-tcp-flags"] > before)
    assert "1 packet, 1 bad-tcp-flags" in capture.finish(signal.SIGINT)
    edge.wait_log("a capture ended with 1 packet", 20)
    Capture(edge, tmp_path / "none.pcap", "via", "ring", "for", "1h").finish(signal.SIGINT)
    edge.wait_log("a capture ended: nothing was dropped that it wanted", 20)
    assert read_pcap(tmp_path / "none.pcap") == []


def test_captures_may_follow_each_other_at_once(net, edge, wire, tmp_path):
    for i in range(4):  # the kernel closes the sockets of the one before a moment after it
        capture = Capture(edge, tmp_path / f"{i}.pcap", "via", "xsk", "count", "1", "for", "20s")
        wire(syn(net, flags=0))
        capture.finish()


def test_from_another_network_namespace_interfaces_are_those_of_the_daemon(net, edge, wire, tmp_path):
    """Numbers mean other interfaces here: sluicectl goes where the daemon is."""
    def ctl(*words):
        return subprocess.run([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20 * sluice.SLOW)
    [there] = json.loads(ctl("-j", "drop", "show").stdout)["interfaces"]
    assert there["interface"] == net.edge_if
    assert f"to {net.edge_if}\n" in ctl("prog", "show").stdout
    assert "passes every rule" in ctl("drop", "explain", syn(net).hex(), "interface", net.edge_if).stdout
    capture = Capture(edge, tmp_path / "drops.pcap", "via", "xsk", "count", "1", "for", "20s", where=[])
    wire(syn(net, flags=0))
    assert "1 packet, 1 bad-tcp-flags" in capture.finish()
    # who may look and may not go there says so, and takes what can be had
    weak = ["setpriv", "--bounding-set=-sys_admin,-all,+bpf,+perfmon,+net_admin,+dac_override,+sys_ptrace,+sys_resource",
            "--inh-caps=-all", str(sluice.BUILD / "sluicectl"), "-c", str(edge.control)]
    done = subprocess.run([*weak, "-j", "drop", "capture", "via", "xsk", "out", str(tmp_path / "no.pcap")], capture_output=True,
                          text=True, timeout=20 * sluice.SLOW)
    assert done.returncode == 1 and "which cannot be entered" in done.stderr, done
    assert "network namespace cannot be entered" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "no.pcap").exists()


def test_a_long_frame_is_cut_in_the_ring_buffer_and_its_length_is_told(net, edge, wire, tmp_path):
    for ns, dev in ((net.edge, net.edge_if), (net.far, net.far_if)):
        netns.sh("ip", "-n", ns, "link", "set", dev, "mtu", "3400")
    try:
        capture = Capture(edge, tmp_path / "drops.pcap", "via", "ring", "count", "1", "for", "20s")
        a, e = socket.inet_aton(GOOD4), socket.inet_aton(EDGE4)
        frame = link(net) + b"\x08\x00" + ip4(tcp(a, e, 0) + bytes(range(250)) * 12, a, e)
        wire(frame)
        capture.finish()
        [(_, length, data)] = read_pcap(capture.path)
        assert length == len(frame) and data == frame[:2016]
    finally:
        for ns, dev in ((net.edge, net.edge_if), (net.far, net.far_if)):
            netns.sh("ip", "-n", ns, "link", "set", dev, "mtu", "1500")


@pytest.mark.parametrize("words,text", [
    ([], "into which file"),
    (["out", "x", "reason", "nonsense"], "'nonsense' is none"),
    (["out", "x", "count", "0"], "count: 1 to"),
    (["out", "x", "for", "2h"], "for: 1s to 1h"),
    (["out", "x", "via", "carrier-pigeon"], "via: ring or xsk"),
])
def test_a_capture_that_cannot_be_is_refused(edge, words, text):
    done = edge.ctl_run("drop", "capture", *words)
    assert done.returncode == 2 and text in done.stderr


# ---- counters, talkers, rates, events -----------------------------------------------------------------


def test_drops_are_counted_by_rule_and_by_interface(net, edge, wire):
    edge.ctl("deny", "add", "203.0.113.0/24")
    for i in range(7):
        wire(syn(net, BAD4, sport=3000 + i))
    for i in range(5):
        wire(syn(net, flags=0))
    sluice.wait_for("the drops", 10, lambda: drops(edge)[1]["dropped"] >= 12)
    shown = drops(edge)[1]
    [there] = shown["interfaces"]
    assert there["interface"] == net.edge_if and there["dropped"] == shown["dropped"] == 12
    assert there["by_rule"] == {"malformed": 5, "allow": 0, "deny": 7, "rate": 0, "flow": 0, "syn": 0}
    assert shown["rules"]["deny"] == {"packets": 7, "observed": 0}
    text = edge.ctl("drop", "show")
    table = [line.split() for line in text.splitlines()[-3:]]
    assert table[0] == ["INTERFACE", "PASSED", "DROPPED", "malformed", "deny", "rate", "flow", "syn"]
    assert table[1][0] == net.edge_if and table[1][2:] == ["12", "5", "7", "0", "0", "0"]
    assert table[2][0] == "all" and table[2][1:] == table[1][1:]


def test_the_one_who_sends_the_most_is_the_first_talker(net, edge, wire):
    edge.ctl("deny", "add", "203.0.113.0/24")
    def flood():
        for i in range(3000):
            wire(syn(net, BAD4, sport=1024 + i % 60000))
            if i % 10 == 0:
                wire(syn(net, "198.51.100.200", flags=0, sport=1024 + i % 60000))
    while time.monotonic_ns() % (1 << 33) > 1 << 32:  # the end of a window is far
        time.sleep(0.1)
    flood()
    shown = json.loads(edge.ctl("-j", "talker", "show", "limit", "5"))
    assert [t["source"] for t in shown] == [BAD4, "198.51.100.200"], shown
    assert shown[0]["packets_per_s"] > 5 * shown[1]["packets_per_s"] > 0
    assert all(0.8 < t["dropped_per_s"] / t["packets_per_s"] <= 1 for t in shown)
    assert BAD4 in edge.ctl("talker", "show").splitlines()[1]
    done = edge.ctl_run("talker", "show", "limit", "0")
    assert done.returncode == 2 and "limit: a number from 1" in done.stderr


def test_a_source_beyond_its_rate_is_held_to_it_and_another_is_not(net, wire):
    shield = f"""
shield = {{
  interfaces = [ "{net.edge_if}" ];
  rate_classes = ( {{ name = "strict"; syns = 10; burst = "1 s"; }} );
  protect = ( {{ prefix = "{EDGE4}"; port = 8080; rate = "strict"; }}, {{ prefix = "{EDGE4}"; port = 8443; }} );
}};"""
    with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, extra=shield) as edge:
        for i in range(200):
            wire(syn(net, "198.51.100.200", sport=4000 + i))
            wire(syn(net, "198.51.100.200", sport=4000 + i, dport=8443))
        wire(syn(net, "198.51.100.201"))
        sluice.wait_for("the drops", 10, lambda: drops(edge)[0]["rate-syns"] >= 100)
        shown = drops(edge)[0]
        assert 100 <= shown["rate-syns"] < 200
        rate = json.loads(edge.ctl("-j", "rate", "show"))
        assert [c["name"] for c in rate["classes"]] == ["default", "strict"]
        assert rate["classes"][1]["syns"] == 10 and rate["classes"][1]["burst_ms"] == 1000
        assert rate["cells_full"] >= 1 and rate["strangers"] >= 100 and rate["validated"] == 0
        status = json.loads(edge.ctl("-j", "status"))
        assert status["rate"]["strangers"] >= 100 and status["rate"]["evicted"] == 0
        assert status["rate"]["validated_max"] == 65536
        assert f"rates refused {status['rate']['strangers']:,} packets of others" in edge.ctl("status")
        said = edge.ctl("rate", "show")
        assert "strict" in said and "known to be real" in said
        assert json.loads(edge.ctl("-j", "drop", "explain", syn(net, "198.51.100.201").hex()))[0]["rate_class"] == "strict"
        [p] = [p for p in json.loads(edge.ctl("-j", "policy", "show"))["protect"] if p["ports"] == "8080"]
        assert p["rate"] == "strict" and "rate class strict" in edge.ctl("policy", "show")


def test_rate_classes_are_tried_and_taken_back_with_the_policy(net, edge):
    def classes():
        return [c["name"] for c in json.loads(edge.ctl("-j", "rate", "show"))["classes"]]
    new = file_with(edge, net, f"""rate_classes = ( {{ name = "api"; syns = 50; packets = 0; }} );
                                   protect = ( {{ prefix = "{EDGE4}"; port = 8080; rate = "api"; }} );""")
    assert classes() == ["default"]
    edge.ctl("policy", "try", str(new), "for", "1m")
    assert classes() == ["default", "api"]
    [p] = json.loads(edge.ctl("-j", "policy", "show"))["protect"]
    assert (p["ports"], p["rate"]) == ("8080", "api")
    shown = next(line.split() for line in edge.ctl("rate", "show").splitlines() if line.startswith("api"))
    assert shown[:4] == ["api", "-", "50", "1,000"]
    edge.ctl("policy", "revert")
    assert classes() == ["default"]
    done = edge.ctl_run("policy", "check", str(file_with(edge, net, f"""
        protect = ( {{ prefix = "{EDGE4}"; port = 8080; rate = "nobody"; }} );""")))
    assert done.returncode == 1 and 'no rate class "nobody" in rate_classes' in done.stderr


def test_events_tell_what_happened_and_outlive_the_keeper(net, edge):
    shown = json.loads(edge.ctl("-j", "event", "show"))
    assert {e["kind"] for e in shown} >= {"start", "policy"}
    assert [e["number"] for e in shown] == list(range(1, len(shown) + 1))
    assert "took charge of 1 interface" in edge.ctl("event", "show")
    assert len(json.loads(edge.ctl("-j", "event", "show", "limit", "1"))) == 1


def test_events_are_followed_as_they_happen_and_over_a_restart(net, edge, wire, tmp_path):
    follow = subprocess.Popen([str(sluice.BUILD / "sluicectl"), "-j", "-c", str(edge.control), "event", "follow"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    def told():
        return json.loads(follow.stdout.readline())
    try:
        time.sleep(1)  # it begins with what comes then
        code = edge.ctl_run("policy", "try", str(edge.conf), "for", "1s")
        assert code.returncode == 0, code.stderr
        assert (told()["text"], told()["text"]) == (
            "a policy on trial for 1 s", "the policy before is back: the time of the trial was over")
        edge.ctl("policy", "try", str(edge.conf), "for", "1m")
        edge.ctl("policy", "confirm")
        edge.ctl("policy", "try", str(edge.conf), "for", "1m")
        edge.ctl("policy", "revert")
        assert [told()["text"] for _ in range(4)] == [
            "a policy on trial for 60 s", "the policy on trial confirmed", "a policy on trial for 60 s",
            "the policy before is back: the trial was reverted"]
        capture = Capture(edge, tmp_path / "drops.pcap", "via", "ring", "count", "1", "for", "20s")
        wire(syn(net, flags=0))
        capture.finish()
        event = told()
        assert (event["kind"], event["text"]) == ("capture", "dropped packets are captured, up to 1")
        assert abs(event["wall_ms"] / 1000 - time.time()) < 30
        assert "dropped packets are captured" in edge.log()
        assert told()["text"] == "a capture ended with 1 packet"
        (tmp_path / "scanners.txt").write_text("192.0.2.0/25\n2001:db8:5::/48\n")
        edge.ctl("deny", "load", str(tmp_path / "scanners.txt"))
        event = told()
        assert (event["kind"], event["text"]) == ("list", "deny list: set scanners: 2 prefixes")
        before = event["number"]
        edge.stop()
        edge.start()
        event = told()
        assert event["kind"] in ("start", "policy") and event["number"] <= before  # other maps: from 1
    finally:
        follow.terminate()
        follow.wait(10)
        follow.stdout.close()


def test_a_flood_of_syns_is_an_event_and_a_line_in_the_log(net, edge, wire):
    def flood():
        for i in range(4000):
            wire(syn(net, f"198.51.100.{20 + i % 200}", sport=1024 + i))
    deadline = time.monotonic() + 60
    while "SYN attack" not in edge.log() and time.monotonic() < deadline:
        flood()
    assert "shield: SYN attack on " in edge.log()
    status = json.loads(edge.ctl("-j", "status"))["cookies"]
    assert status["cores_under_attack"] >= 1 and status["attacks"] >= 1
    assert "; ATTACK on " in edge.ctl("status")
    assert "attack-begins" in {e["kind"] for e in json.loads(edge.ctl("-j", "event", "show"))}


def storm(net, seconds, tell):
    """Packets of nobody, from another source each, as fast as they go; how many."""
    a, e = (socket.inet_aton(x) for x in (GOOD4, EDGE4))
    frames = [link(net) + b"\x08\x00" + ip4(tcp(src, e, flags=0x10, sport=1024 + i), src, e)
              for i in range(500) for src in [socket.inet_aton(f"198.51.100.{20 + i % 200}")]]
    with net.inside(net.far), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((net.far_if, 0))
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for f in frames:
                try:
                    raw.send(f)
                    n += 1
                except OSError as e:  # a busy machine's queue is full: this one went nowhere
                    if e.errno != errno.ENOBUFS:
                        raise
    os.write(tell, struct.pack("Q", n))


def test_a_flood_of_nobodys_packets_is_met_by_heart(net, edge):
    told, tell = os.pipe()
    before = echo(net, GOOD4)
    pid = os.fork()
    if pid == 0:
        try:
            storm(net, 8, tell)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(tell)
    seen, deadline = None, time.monotonic() + 8
    while seen is None and time.monotonic() < deadline:
        now = json.loads(edge.ctl("-j", "status"))["flow_filter"]
        seen = now if now["is"] == "on" else None
        assert works(before, b"still here")
        time.sleep(0.2)
    if seen:
        assert works(echo(net, GOOD4), b"new here")
        assert re.search(r"FLOOD of \d+ packets/s without a connection; \d+ known by heart", edge.ctl("status").replace(",", ""))
    os.waitpid(pid, 0)
    sent = os.read(told, 8)
    os.close(told)
    assert len(sent) == 8, "the flood's sender failed"
    rate = struct.unpack("Q", sent)[0] / 8
    if rate < 25000:
        pytest.skip(f"this machine sends no more than {rate:.0f} packets a second")
    assert seen and seen["flood_per_s"] >= 20000 and seen["connections"] >= 1 and seen["bytes"] == 262144
    assert "a flood of " in edge.log()
    assert "flood-begins" in {e["kind"] for e in json.loads(edge.ctl("-j", "event", "show"))}
    assert works(before, b"and still")
    sluice.wait_for("the flood is over", 30, lambda: "shield: the flood is over" in edge.log())
    assert works(before, b"and after")
