# SPDX-License-Identifier: BSD-2-Clause
"""SYN cookies of a whole edge: switched by sluice.conf while it runs, and good across a change of keepers and workers.

Generic XDP: what a veth's native program sends back is lost unless its other end has one too."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

import netns
import sluice
from sluice import SLOW, wait_for
from test_replace import Storm, ask_health
from test_shield import EDGE4, ENDPOINTS, GOOD4, GOOD6, LISTENERS, connect, echo, works

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.time_limit(240),
]


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


def shield(net, cookies):
    return f'shield = {{ interfaces = ["{net.edge_if}"]; mode = "generic"; cookies = {{ {cookies} }}; }};'


def edge_with(net, cookies):
    return sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge, extra=shield(net, cookies))


def state(edge):
    """Sums of the cores' counters."""
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{edge.pin_dir}/syn_state"],
                                     capture_output=True, timeout=20, check=True).stdout)
    total = {}
    for cpu in dump[0]["formatted"]["values"]:
        for name, n in cpu["value"].items():
            total[name] = total.get(name, 0) + n
    return total


def own_cookies(edge):
    """Kernels before 6.9 have the other kind, which answers only when a queue is full."""
    if "SYN cookies: own" not in edge.log():
        pytest.skip("this kernel makes no connections of foreign cookies")


def change(edge, net, cookies):
    seen = len(edge.log())
    text = edge.conf.read_text()
    begin, end = text.index("shield = {"), text.index("};", text.index("cookies = {") + len("cookies = {")) + 2
    edge.conf.write_text(text[:begin] + shield(net, cookies)[:-3] + text[end:])
    edge.process.send_signal(signal.SIGHUP)
    wait_for("the change is in force", 10, lambda: "is in force now" in edge.log()[seen:])


def test_sluice_conf_says_when_cookies_answer_and_a_reload_changes_it(net):
    with edge_with(net, 'mode = "always";') as edge:
        own_cookies(edge)
        clients = [echo(net, GOOD4) for _ in range(10)] + [echo(net, GOOD6) for _ in range(5)]
        assert all(works(c) for c in clients)
        first = state(edge)
        assert first["answered"] >= first["made"] == 15 and not first["refused"], first  # a slow machine asks twice
        change(edge, net, 'mode = "off";')
        clients += [echo(net, GOOD4) for _ in range(5)]
        assert state(edge)["made"] == 15
        change(edge, net, 'mode = "auto"; attack = 8; calm = 8;')

        def knock():
            for _ in range(20):  # many for one look: to look takes longer than to connect
                connect(net, GOOD4).close()
            return state(edge)["made"] > 15
        wait_for("so many SYNs are an attack", 20, knock, every=0)
        assert state(edge)["attacks"] >= 1
        assert all(works(c) for c in clients)
        for s, _ in clients:
            s.close()


def test_a_prefix_gets_so_many_answers_as_sluice_conf_says(net):
    with edge_with(net, 'mode = "always"; answers = 20;') as edge:
        own_cookies(edge)
        link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
        from frames import ip4, tcp
        a4, e4 = socket.inet_aton("203.0.113.5"), socket.inet_aton(EDGE4)
        with net.inside(net.far):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind((net.far_if, 0))
        for _ in range(2000):
            raw.send(link + b"\x08\x00" + ip4(tcp(a4, e4, 2, dport=8080), a4, e4))
        raw.close()
        wait_for("the rest is dropped", 5, lambda: dropped(edge, "syn-limit") > 1000)
        assert state(edge)["answered"] <= 20 * os.cpu_count() * 4  # of a few seconds, at the most
        connect(net, GOOD4).close()  # another prefix is not touched


def dropped(edge, reason):
    return next(r["packets"] for r in json.loads(edge.ctl("-j", "drop", "show"))["reasons"] if r["reason"] == reason)


def test_a_storm_of_connects_by_cookie_over_replacements_and_a_killed_worker(net):
    lock = threading.Lock()

    def once(_i):
        with lock, net.inside(net.far):
            s = socket.socket()
            s.settimeout(20)
        s.connect((EDGE4, 8080))
        ask_health(s)
    with edge_with(net, 'mode = "always"; answers = 0;') as edge:
        own_cookies(edge)
        storm = Storm(4, once)
        with storm:
            for _ in range(2):  # what was given out by the one is taken back by the other
                want = storm.done + 60
                wait_for("the storm blows", 60, lambda: storm.done >= want)
                assert edge.replace().wait(20 * SLOW) == 0
            assert not storm.lost, storm.lost[:5]
            victim = edge.members()["worker-0"]
            os.kill(victim, signal.SIGKILL)
            wait_for("its successor", 20, lambda: edge.members().get("worker-0", victim) != victim)
            want = storm.done + 60
            wait_for("the storm blows on", 60, lambda: storm.done >= want)
        # what the dead one had accepted died with it, and no more than that: four clients there are
        assert len(storm.lost) <= 4, storm.lost
        n = state(edge)
        # the kernel has the rest: a SYN from a port whose last connection is in TIME_WAIT here is its business
        assert n["answered"] >= n["made"] >= 60 and n["refused"] == 0, n
        print(f"{storm.done} connections by cookie, {len(storm.lost)} lost to the killed worker")
