# SPDX-License-Identifier: BSD-2-Clause
"""Steering, by a whole edge: on a wire with one receive queue every connection is served by the worker on whose core its
packets are worked on; and listeners that serve whole prefixes."""
import json
import os
import socket
import subprocess

import pytest

import netns
import sluice
import wire
from frames import ip4, tcp
from test_shield import EDGE4, ENDPOINTS, GOOD4, LISTENERS, drops, echo, works

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
    pytest.mark.time_limit(180),
]


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


def picks(edge):
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/pick_count"],
                                     capture_output=True, timeout=20).stdout)
    total = {}
    for cpu in dump[0]["formatted"]["values"]:
        for name, n in cpu["value"].items():
            total[name] = total.get(name, 0) + n
    return total


@pytest.mark.parametrize("how,shown,by_cpu", [("auto", "off", False), ("cpumap", "cpumap", True)])
def test_each_of_200_connections_is_served_by_a_worker_of_the_core_it_was_steered_to(net, how, shown, by_cpu):
    shield = f'shield = {{ interfaces = ["{net.edge_if}"]; mode = "native"; steer = "{how}"; }};'
    with sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, extra=shield) as edge:
        interface = json.loads(edge.ctl("-j", "status"))["interfaces"][0]
        assert interface["steer"] == shown and interface["steer_reason"], interface
        assert f"steering: {shown}: " in edge.ctl("status")
        mine = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(mine)})  # the CPU of who sends is where the one queue is served
            clients = [echo(net, GOOD4) for _ in range(200)]
            share = [w["connections"] for w in json.loads(edge.ctl("-j", "worker", "show"))]
            assert sum(share) == 200 and min(share) >= 60, share
            assert all(works(c) for c in clients)
        finally:
            os.sched_setaffinity(0, mine)
        assert picks(edge) == {"by_core": 200, "elsewhere": 0, "by_kernel": 0, "migrated": 0}
        for s, _ in clients:
            s.close()


SERVED = "100.64.7"


@pytest.fixture()
def routed(net):
    """The far host knows the way to a /24 that the edge takes as its own."""
    netns.sh("ip", "-n", net.edge, "route", "add", "local", f"{SERVED}.0/24", "dev", "lo")
    netns.sh("ip", "-n", net.far, "route", "add", f"{SERVED}.0/24", "via", EDGE4)
    yield
    netns.sh("ip", "-n", net.far, "route", "del", f"{SERVED}.0/24")
    netns.sh("ip", "-n", net.edge, "route", "del", "local", f"{SERVED}.0/24", "dev", "lo")


def dial(net, address, port):
    with net.inside(net.far):
        s = socket.create_connection((address, port), timeout=3)
    s.settimeout(5 * sluice.SLOW)
    return s


def test_a_listener_serves_a_whole_prefix_and_a_range_of_ports_and_the_shield_judges_it(net, routed):
    listeners = dict(LISTENERS)
    listeners["v4"] = {"tls": False, "address": EDGE4, "port": 8080,
                       "more": f'serves = ( {{ prefix = "{SERVED}.0/24"; ports = "8000-8999"; }} );'}
    with sluice.Edge(listeners=listeners, endpoints=ENDPOINTS, netns=net.edge, interfaces=[net.edge_if]) as edge:
        shown = json.loads(edge.ctl("-j", "status"))["listeners"][0]
        assert shown["serves"] == [f"{SERVED}.0/24 8000-8999"]
        clients = []
        for i in range(30):
            s = dial(net, f"{SERVED}.{i * 37 % 256}", 8000 + i * 331 % 1000)
            s.sendall(wire.upgrade_request("/echo"))
            status, _, rest = wire.read_head(s)
            assert status == 101
            clients.append((s, wire.Frames(s, rest)))
        assert all(works(c) for c in clients)
        share = [w["connections"] for w in json.loads(edge.ctl("-j", "worker", "show"))]
        assert sum(share) == 30 and min(share) > 3, share  # the workers are picked as ever
        for port in (7999, 9000):
            with pytest.raises(OSError):
                dial(net, f"{SERVED}.7", port)
        before, _ = drops(edge)
        a4, e4 = socket.inet_aton(GOOD4), socket.inet_aton(f"{SERVED}.200")
        link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
        with net.inside(net.far):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind((net.far_if, 0))
        for port in (8999, 9000):  # protected, and not
            raw.send(link + b"\x08\x00" + ip4(tcp(a4, e4, 0x29, dport=port), a4, e4))
        sluice.wait_for("it is dropped", 5, lambda: drops(edge)[0]["bad-tcp-flags"] > before["bad-tcp-flags"])
        assert drops(edge)[0]["bad-tcp-flags"] == before["bad-tcp-flags"] + 1
        raw.close()
        for s, _ in clients:
            s.close()


def test_what_was_served_is_refused_after_a_kill_and_served_again_by_the_next_start(net, routed):
    listeners = {"v4": {"tls": False, "address": EDGE4, "port": 8080,
                        "more": f'serves = ( {{ prefix = "{SERVED}.0/24"; ports = "8000-8999"; }} );'}}
    with net.inside(net.edge):
        other = socket.create_server(("0.0.0.0", 8123))  # never meant for these addresses
    with sluice.Edge(listeners=listeners, endpoints=ENDPOINTS, netns=net.edge, interfaces=[net.edge_if]) as edge:
        dial(net, f"{SERVED}.9", 8123).close()
        edge.process.kill()
        edge.process.wait()
        sluice.wait_for("the workers have gone", 8, lambda: not any(map(sluice.alive, edge._strays)))
        with pytest.raises(OSError):
            dial(net, f"{SERVED}.9", 8123)
        edge.start()
        dial(net, f"{SERVED}.9", 8123).close()
        other.settimeout(0.2)
        with pytest.raises((TimeoutError, socket.timeout)):
            other.accept()
        edge.stop()
        assert not edge.pin_dir.exists()
        dial(net, f"{SERVED}.9", 8123).close()  # stopped in good order it lets go
        other.accept()[0].close()
    other.close()
