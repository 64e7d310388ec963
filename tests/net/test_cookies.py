# SPDX-License-Identifier: BSD-2-Clause
"""SYN cookies of a whole edge: switched by sluice.conf while it runs, and good across a change of keepers and workers.

Generic XDP but for one: what a veth's native program sends back is lost unless its other end has one too."""
import ctypes
import json
import os
import platform
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

import netns
import sluice
import wire
from sluice import SLOW, wait_for
from test_replace import Storm, ask_health
from test_shield import EDGE4, EDGE6, ENDPOINTS, GOOD4, GOOD6, LISTENERS, connect, echo, works

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


# ---- native, and over TLS -------------------------------------------------------------------------------

def bpf(command, attributes):
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    buf = ctypes.create_string_buffer(attributes, 128)
    fd = netns.LIBC.syscall(number, command, buf, len(buf))
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


def let_pass(net):
    """An XDP program at the far end that passes everything; it is there until the descriptor is closed."""
    code = ctypes.create_string_buffer(struct.pack("<BBhi", 0xb7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0))
    free = ctypes.create_string_buffer(b"GPL")
    program = bpf(5, struct.pack("=IIQQ", 6, 2, ctypes.addressof(code), ctypes.addressof(free)))
    with net.inside(net.far):
        link = bpf(28, struct.pack("=IIII", program, socket.if_nametoindex(net.far_if), 37, 0))
    os.close(program)
    return link


def terms(sock):
    """What was agreed to, as the client's kernel has it: options, both window scales, both MSS."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    options, scales = info[5] & 0x0f, info[6]  # timestamps, SACK, window scale, ECN
    snd_mss, = struct.unpack_from("=I", info, 16)
    advmss, = struct.unpack_from("=I", info, 84)
    return options, scales & 15, scales >> 4, snd_mss, advmss


def terms_there(net, sock):
    """As the edge's kernel has it."""
    port = sock.getsockname()[1]
    said = subprocess.run(["nsenter", f"--net=/run/netns/{net.edge}", "ss", "-tinH", f"dport = :{port}"],
                          capture_output=True, text=True, timeout=20, check=True).stdout
    words = said.split()
    return ({w for w in words if w in ("ts", "sack", "ecn", "ecnseen")}, re.findall(r"\b(wscale:\S+|mss:\d+|advmss:\d+)", said))


def over_tls(net, source):
    """A client that has its answer."""
    address = EDGE6 if ":" in source else EDGE4
    with net.inside(net.far):
        s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
        s.settimeout(20)
        s.bind((source, 0))
        s.connect((address, 8443))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_socket(s)
    tls.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.read_answer(tls)[0] == 200
    return tls


def test_tls_clients_by_cookie_through_native_xdp_have_the_terms_of_ordinary_ones(net):
    listeners = {"v4": {"tls": True, "address": EDGE4, "port": 8443}, "v6": {"tls": True, "address": EDGE6, "port": 8443}}
    link = let_pass(net)
    try:
        native = shield(net, 'mode = "off";').replace('"generic"', '"native"')
        with sluice.Edge(listeners=listeners, endpoints=ENDPOINTS, netns=net.edge, extra=native) as edge:
            own_cookies(edge)
            status = json.loads(edge.ctl("-j", "status"))
            assert [i["mode"] for i in status["interfaces"]] == ["native"], status["interfaces"]
            assert status["cookies"]["kind"] == "own" and status["cookies"]["test"] in ("passed", "none"), status["cookies"]
            ordinary = [over_tls(net, source) for source in (GOOD4, GOOD6)]
            assert state(edge)["made"] == 0
            edge.conf.write_text(edge.conf.read_text().replace('cookies = { mode = "off"; }', 'cookies = { mode = "always"; }'))
            edge.process.send_signal(signal.SIGHUP)
            edge.wait_log("is in force now")
            by_cookie = [over_tls(net, source) for source in (GOOD4, GOOD6)]
            assert state(edge)["made"] == 2 and state(edge)["refused"] == 0
            for a, b in zip(ordinary, by_cookie):
                assert terms(a) == terms(b)
                there = terms_there(net, a)
                assert there == terms_there(net, b) and len(there[1]) == 3, there
                a.close()
                b.close()
    finally:
        os.close(link)
