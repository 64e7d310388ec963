# SPDX-License-Identifier: BSD-2-Clause
"""What the shield lets be seen of itself: explanations that agree with its deeds, captures, counters."""
import json
import os
import random
import socket
import struct

import pytest

import netns
import sluice
from test_shield import (BAD4, EDGE4, EDGE6, ENDPOINTS, GOOD4, GOOD6, LISTENERS, checksum, drops, echo, ip4, ip6,
                         malformed, tcp, works)

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
    real4, real6 = socket.inet_aton(GOOD4), socket.inet_pton(socket.AF_INET6, GOOD6)
    nobody4, nobody6 = socket.inet_aton("198.51.100.200"), socket.inet_pton(socket.AF_INET6, "2001:db8:1::200")
    seeds = [(t, p.replace(real4, nobody4).replace(real6, nobody6)) for _, t, p in malformed()]
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
    for frame in frames:
        wire(frame)
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
