# SPDX-License-Identifier: BSD-2-Clause
"""The shield of a running edge on a real wire: who is dropped and why, and who never notices."""
import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

import netns
import sluice
import wire
from frames import checksum, ip4, malformed, tcp

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.time_limit(120),
]

EDGE4, EDGE6 = "198.51.100.1", "2001:db8:1::1"
GOOD4, GOOD6 = "198.51.100.9", "2001:db8:1::9"
BAD4, BAD6 = "203.0.113.5", "2001:db8:bad::5"
LISTENERS = {"v4": {"tls": False, "address": EDGE4, "port": 8080}, "tls": {"tls": True, "address": EDGE4, "port": 8443},
             "v6": {"tls": False, "address": EDGE6, "port": 8080}}
ENDPOINTS = '{ path = "/echo"; protocol = "echo"; rate = 0; }'


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


@pytest.fixture()
def edge(net):
    with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, interfaces=[net.edge_if]) as e:
        yield e


def connect(net, source, port=8080, ns=None):
    with net.inside(ns or net.far):
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        s = socket.socket(family)
        s.settimeout(3 * sluice.SLOW)  # the kernel's own SYN is repeated after one second; nobody else is in it
        s.bind((source, 0))
        s.connect((EDGE6 if family == socket.AF_INET6 else EDGE4, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(5 * sluice.SLOW)
    return s


def echo(net, source):
    s = connect(net, source)
    s.sendall(wire.upgrade_request("/echo"))
    status, _, rest = wire.read_head(s)
    assert status == 101
    return s, wire.Frames(s, rest)


def works(client, text=b"still here"):
    s, frames = client
    s.sendall(wire.frame(1, text))
    return frames.next() == (1, text)


def reachable(net, source):
    try:
        connect(net, source).close()
        return True
    except (TimeoutError, socket.timeout):
        return False


def drops(edge):
    shown = json.loads(edge.ctl("-j", "drop", "show"))
    return {r["reason"]: r["packets"] for r in shown["reasons"]}, shown


def test_each_malformed_kind_is_dropped_natively_with_its_reason(net, edge):
    status = json.loads(edge.ctl("-j", "status"))
    assert [i["mode"] for i in status["interfaces"]] == ["native"], status
    client4, client6 = echo(net, GOOD4), echo(net, GOOD6)
    link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    kinds = set()
    for reason, ethertype, packet in malformed(GOOD4, EDGE4, GOOD6, EDGE6):
        before, _ = drops(edge)
        for tag in (b"", struct.pack(">HH", 0x8100, 5)):
            raw.send(link + tag + struct.pack(">H", ethertype) + packet)
        sluice.wait_for(f"two more {reason}", 5, lambda: drops(edge)[0][reason] >= before[reason] + 2)
        after, _ = drops(edge)
        assert {r: n - before[r] for r, n in after.items() if n != before[r]} == {reason: 2}, packet.hex()
        kinds.add(reason)
    assert works(client4) and works(client6)
    every, _ = drops(edge)
    rules = {r["reason"]: r["rule"] for r in drops(edge)[1]["reasons"]}
    assert kinds == {r for r in every if rules[r] == "malformed"}  # no reason without a packet that shows it
    # what sluicectl shows is what anybody can read with bpftool
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/drop_count"],
                                     capture_output=True, timeout=20).stdout)
    fields = {}
    for cpu in dump[0]["formatted"]["values"]:
        for name, n in cpu["value"].items():
            fields[name] = fields.get(name, 0) + n
    assert fields["BAD_TCP_FLAGS"] == every["bad-tcp-flags"] and fields["LAND"] == every["land"]


@pytest.mark.parametrize("prefix,bad,good", [("203.0.113.0/24", BAD4, GOOD4), ("2001:db8:bad::/64", BAD6, GOOD6)])
def test_a_denied_prefix_is_dropped_while_a_client_from_elsewhere_keeps_its_connection(net, edge, prefix, bad, good):
    victim, bystander = echo(net, bad), echo(net, good)
    assert works(victim) and works(bystander)
    assert edge.ctl("deny", "add", prefix, "note", "by hand")
    assert not reachable(net, bad) and reachable(net, good)
    victim[0].sendall(wire.frame(1, b"nobody hears this"))
    victim[0].settimeout(1)
    with pytest.raises((TimeoutError, socket.timeout)):
        victim[1].next()
    assert works(bystander)
    assert drops(edge)[0]["denied"] > 0
    row = next(r for r in json.loads(edge.ctl("-j", "deny", "show")) if r["prefix"] == prefix)
    assert row["hits"] > 0 and row["note"] == "by hand" and row["left_s"] is None
    edge.ctl("deny", "del", prefix)
    assert reachable(net, bad) and works(bystander)


def test_a_denial_ends_by_itself(net, edge):
    edge.ctl("deny", "add", "203.0.113.0/24", "for", "6s")
    assert not reachable(net, BAD4)
    sluice.wait_for("the denial has run out", 10, lambda: reachable(net, BAD4))
    sluice.wait_for("the entry is reaped", 15, lambda: json.loads(edge.ctl("-j", "deny", "show")) == [])


def test_other_ports_are_untouched(net, edge):
    """Something like SSH listens on the same address: neither denial nor malformed flags touch it."""
    with net.inside(net.edge):
        ssh = socket.create_server((EDGE4, 22))
    edge.ctl("deny", "add", "203.0.113.0/24")
    before, shown = drops(edge)
    for source in (BAD4, GOOD4):
        s = connect(net, source, 22)
        there, _ = ssh.accept()
        there.sendall(b"SSH-2.0-test\r\n")
        assert s.recv(100) == b"SSH-2.0-test\r\n"
        s.close()
        there.close()
    link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    a4, e4 = socket.inet_aton(BAD4), socket.inet_aton(EDGE4)
    raw.send(link + b"\x08\x00" + ip4(tcp(a4, e4, 0x29, dport=22), a4, e4))
    with net.inside(net.far):  # an echo request, from the denied prefix too
        icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    icmp.settimeout(5)
    icmp.bind((BAD4, 0))
    echo_request = struct.pack(">BBHHH", 8, 0, 0, 77, 1)
    icmp.sendto(echo_request[:2] + struct.pack(">H", checksum(echo_request)) + echo_request[4:], (EDGE4, 0))
    while icmp.recv(1000)[20] != 0:
        pass
    after, now = drops(edge)
    assert after == before and now["passed"] == shown["passed"]
    ssh.close()


def test_every_map_that_can_carry_types_is_readable_with_bpftool(net, edge):
    edge.ctl("deny", "add", "203.0.113.0/24", "note", "x")
    edge.ctl("deny", "add", "2001:db8:bad::/48")
    unreadable = []
    for pin in sorted(edge.pin_dir.iterdir()):
        if pin.name.startswith(("link_", "tcx_", "reuseport_", "xdp")) or pin.name in ("samples", "events"):
            continue  # the last two are ring buffers
        if pin.name in ("allow_top", "deny_top"):
            continue  # bits and numbers, four megabytes of them: for nobody's eyes
        done = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", str(pin)], capture_output=True, timeout=20)
        assert done.returncode == 0, done.stdout
        entries = json.loads(done.stdout)
        if entries and not all("formatted" in e for e in entries):
            unreadable.append(pin.name)
    # arrays of sockets, of CPUs and of maps never carry BTF
    assert unreadable == ["flow_bits", "list_entry", "list_heap", "list_hot", "list_top", "listener", "sample_xsk", "steer_cpu"]


def test_starts_stops_and_kills_never_cost_a_bystander_a_packet(net):
    """Traffic to another server on the same wire flows while edges come, go and die."""
    with net.inside(net.edge):
        server = socket.create_server((EDGE4, 9999))
    s = connect(net, GOOD4, 9999)
    there, _ = server.accept()
    failures, rounds, stop = [], [0], threading.Event()

    def chat():
        s.settimeout(2)
        while not stop.is_set():
            try:
                s.sendall(b"x")
                there.recv(1)
                there.sendall(b"y")
                s.recv(1)
                rounds[0] += 1
            except OSError as e:
                failures.append(e)
                return
            time.sleep(0.002)
    thread = threading.Thread(target=chat)
    thread.start()
    try:
        with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, interfaces=[net.edge_if]) as edge:
            edge.stop()
            assert not edge.pin_dir.exists()
            edge.start()
            edge.process.kill()
            edge.process.wait()
            assert (edge.pin_dir / "xdp").exists()
            sluice.wait_for("the workers have gone", 8, lambda: not any(map(sluice.alive, edge._strays)))
            edge.start()
            assert reachable(net, GOOD4)
            edge.stop()
            assert not edge.pin_dir.exists()
    finally:
        stop.set()
        thread.join()
    assert not failures and rounds[0] > 100
    for x in (s, there, server):
        x.close()


def test_bulk_traffic_in_both_directions_loses_nothing(net, edge):
    """Large segments (TSO, GRO) through the native program, over both families."""
    for source in (GOOD4, GOOD6):
        s, frames = echo(net, source)
        body = os.urandom(90000)
        for _ in range(40):
            s.sendall(wire.frame(2, body, mask=True) if _ == 0 else struct.pack(">BBQ", 0x82, 255, len(body)) + b"\0\0\0\0" + body)
            assert frames.next() == (2, body)
        s.close()
    assert sum(drops(edge)[0].values()) == 0


def test_the_load_is_spread_over_the_workers(net, edge):
    clients = [echo(net, GOOD4) for _ in range(60)]
    share = [w["connections"] for w in json.loads(edge.ctl("-j", "worker", "show"))]
    assert sum(share) == 60 and min(share) >= 10, share
    for s, _ in clients:
        s.close()
