# SPDX-License-Identifier: BSD-2-Clause
"""The shield's policy in sluice.conf and while it runs: modes, the management door, trials that end by
themselves."""
import json
import os
import socket

import pytest

import netns
import sluice
from test_shield import (BAD4, EDGE4, ENDPOINTS, GOOD4, LISTENERS, connect, drops, echo, ip4, reachable, tcp,
                         works)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.time_limit(180),
]


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


def edge_with(net, shield):
    return sluice.Edge(listeners=LISTENERS, endpoints=ENDPOINTS, netns=net.edge,
                       extra=f'shield = {{ interfaces = ["{net.edge_if}"]; {shield} }};')


def send(net, packet):
    link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    raw.send(link + b"\x08\x00" + packet)
    raw.close()


def observed(edge):
    return {r["reason"]: r["observed"] for r in json.loads(edge.ctl("-j", "drop", "show"))["reasons"]}


def test_a_rule_that_observes_counts_what_it_would_drop_and_lets_it_pass(net):
    a4, e4 = socket.inet_aton(GOOD4), socket.inet_aton(EDGE4)
    with edge_with(net, 'rules = { malformed = "observe"; deny = "observe"; };') as edge:
        edge.ctl("deny", "add", "203.0.113.0/24")
        assert reachable(net, BAD4)
        send(net, ip4(tcp(a4, e4, 0x29), a4, e4))
        sluice.wait_for("it is counted", 5, lambda: observed(edge)["bad-tcp-flags"] == 1)
        assert observed(edge)["denied"] > 0
        now, shown = drops(edge)
        assert set(now.values()) == {0} and shown["dropped"] == 0 and shown["observed"] == sum(observed(edge).values())
        text = edge.ctl("drop", "show")
        assert "OBSERVED" in text and "bad-tcp-flags" in text


def test_a_manager_reaches_his_ports_whatever_is_denied_and_only_those(net):
    with net.inside(net.edge):
        ssh = socket.create_server((EDGE4, 22))
    with edge_with(net, f"""deny = ["0.0.0.0/0"]; manage = {{ prefixes = "192.0.2.77"; ports = [22]; }};
                            protect = ( {{ prefix = "0.0.0.0/0"; port = "1-65535"; }} );""") as edge:
        connect(net, "192.0.2.77", 22).close()
        assert not reachable(net, "192.0.2.77") and not reachable(net, GOOD4)
        assert drops(edge)[0]["denied"] > 0
    ssh.close()
