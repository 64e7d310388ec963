# SPDX-License-Identifier: BSD-2-Clause
"""Steering, by a whole edge: on a wire with one receive queue every connection is served by the worker on whose core its
packets are worked on."""
import json
import os
import socket
import subprocess

import pytest

import netns
import sluice
from test_shield import ENDPOINTS, GOOD4, LISTENERS, echo, works

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
        assert picks(edge) == {"by_core": 200, "elsewhere": 0, "by_kernel": 0}
        for s, _ in clients:
            s.close()
