# SPDX-License-Identifier: BSD-2-Clause
"""What the shield lets be seen of itself: explanations that agree with its deeds, captures, counters."""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import netns
import sluice
from frames import ip4, ip6, malformed, tcp
from test_shield import BAD4, EDGE4, EDGE6, ENDPOINTS, GOOD4, LISTENERS, drops

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


def random_frames(net, n):
    """Packets of every kind that the tests know, most of them spoilt in a few bytes. They come from hosts that
    are not there: one that is would answer what the edge answers, and be counted too."""
    dice = random.Random(20260101)
    nobody4, nobody6 = socket.inet_aton("198.51.100.200"), socket.inet_pton(socket.AF_INET6, "2001:db8:1::200")
    seeds = [(t, p) for _, t, p in malformed("198.51.100.200", EDGE4, "2001:db8:1::200", EDGE6)]
    for a in (nobody4, socket.inet_aton("203.0.113.200")):
        e = socket.inet_aton(EDGE4)
        seeds += [(0x0800, ip4(tcp(a, e, f), a, e)) for f in (0x02, 0x10, 0x11, 0x18)] * 2
    a, e = nobody6, socket.inet_pton(socket.AF_INET6, EDGE6)
    seeds += [(0x86dd, ip6(tcp(a, e, f), a, e)) for f in (0x02, 0x10, 0x04)] * 3
    for _ in range(n):
        ethertype, packet = dice.choice(seeds)
        packet = bytearray(packet)
        for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
            packet[dice.randrange(len(packet))] = dice.randrange(256)
        if dice.random() < 0.1:
            del packet[dice.randrange(1, len(packet)):]
        tag = struct.pack(">HH", 0x8100, 7) if dice.random() < 0.2 else b""
        yield link(net) + tag + struct.pack(">H", ethertype) + bytes(packet)


def test_explain_agrees_with_the_counters_on_a_thousand_random_packets(net, edge, wire, tmp_path):
    edge.ctl("deny", "add", "203.0.113.0/24")
    frames = list(random_frames(net, 1000))
    write_pcap(tmp_path / "random.pcap", frames)
    before, shown = drops(edge)
    said = json.loads(edge.ctl("-j", "drop", "explain", str(tmp_path / "random.pcap"), "interface", net.edge_if))
    assert drops(edge) == (before, shown)  # asking leaves no trace
    assert len(said) == 1000
    want = {}
    for s in said:
        if s["stage"] == "judged":
            want[s.get("reason", "passed")] = want.get(s.get("reason", "passed"), 0) + 1
    assert len(want) >= 8, want
    for frame in frames:  # slowly: of those that belong to no connection a hundred a second pass
        wire(frame)
        time.sleep(0.005)
    def got():
        after, now = drops(edge)
        diff = {r: n - before[r] for r, n in after.items() if n != before[r]}
        diff["passed"] = now["passed"] - shown["passed"]
        return diff
    sluice.wait_for("all have been judged", 10, lambda: sum(got().values()) >= sum(want.values()))
    assert got() == want


def test_a_packet_is_explained_in_words(net, edge, tmp_path):
    said = edge.ctl("drop", "explain", syn(net, flags=0x03).hex())
    assert "IPv4 TCP 198.51.100.9:40000 > 198.51.100.1:8080 [FS], 54 bytes" in said
    assert "dropped by rule 1, malformed (enforce): bad-tcp-flags" in said
    (tmp_path / "hex").write_text(syn(net).hex(" ", 2) + "\n")
    assert "passes every rule" in edge.ctl("drop", "explain", str(tmp_path / "hex"))
    assert "not to a protected address and port" in edge.ctl("drop", "explain", syn(net, dport=22).hex(":"))
    assert "neither TCP nor UDP" in edge.ctl("drop", "explain", link(net).hex() + "0806" + "00" * 28)
    one = json.loads(edge.ctl("-j", "drop", "explain", syn(net, flags=0x03).hex()))[0]
    assert (one["verdict"], one["rule"], one["reason"], one["mode"]) == ("drop", "malformed", "bad-tcp-flags", "enforce")


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

    def __init__(self, edge, path, *words):
        self.path = path
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{edge.netns}", str(sluice.BUILD / "sluicectl"), "-c", str(edge.control),
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
    # and the file is one that explain takes
    explained = json.loads(edge.ctl("-j", "drop", "explain", str(capture.path)))
    assert {e["reason"] for e in explained} == {"bad-tcp-flags"} and len(explained) == 100


def test_a_capture_takes_only_the_reasons_that_were_asked_for_and_ends_when_told(net, edge, wire, tmp_path):
    edge.ctl("deny", "add", "203.0.113.0/24")
    capture = Capture(edge, tmp_path / "drops.pcap", "reason", "denied,land", "via", "ring", "for", "1h")
    busy = edge.ctl_run("drop", "capture", "out", str(tmp_path / "other.pcap"))
    assert busy.returncode == 1 and "another capture is running" in busy.stderr
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


def test_a_capture_whose_asker_was_killed_ends_in_the_kernel(net, edge, wire, tmp_path):
    capture = Capture(edge, tmp_path / "drops.pcap", "for", "2s")
    capture.process.kill()
    capture.process.communicate()
    wire(syn(net, flags=0))  # to a socket that is closed: still a drop, and counted
    sluice.wait_for("the drop", 5, lambda: drops(edge)[0]["bad-tcp-flags"] >= 1)
    time.sleep(2.1)
    again = Capture(edge, tmp_path / "again.pcap", "count", "1")
    wire(syn(net, flags=0))
    assert "1 packets" in again.finish()


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
