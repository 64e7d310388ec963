# SPDX-License-Identifier: BSD-2-Clause
"""scenario.py - an edge with a running sluiced, a client and an app server on the same wire, and what
happens then.

run(edge, client, app, dev, build) goes through the tests below in order, on three machines of any
kind that have .sh(command, limit) → (exit code, text) and .do(), which wants success: the light ones
of machine.py, or Vagrant's. `dev` is their data interface; XDP is attached to that of the edge, and
to nothing else. The client speaks through peer.py; the app server is app.py. Nothing here asserts a
speed: the time limits are those of an emulated CPU on a busy host.
"""
import json
import os
import sys
import time
import traceback

import kernels

EDGE4, EDGE6 = "198.51.100.10", "2001:db8:1::10"
CLIENT4, CLIENT6 = "198.51.100.20", "2001:db8:1::20"    # who misbehaves
FRIEND4, FRIEND6 = "198.51.100.21", "2001:db8:1::21"    # the same machine's other address
APP4, APP6 = "198.51.100.30", "2001:db8:1::30"          # behind the edge
# sources of floods: routed to the client, nobody there
SPOOFED = {"203.0.113.0/24": CLIENT4, "192.0.2.0/24": CLIENT4, "2001:db8:f00d::/64": CLIENT6}
EDGE_NIC = [f"{EDGE4}/24", f"{EDGE6}/64"]
CLIENT_NIC = [f"{CLIENT4}/24", f"{FRIEND4}/24", f"{CLIENT6}/64", f"{FRIEND6}/64"]
APP_NIC = [f"{APP4}/24", f"{APP6}/64"]
PLAIN, TLS, INNER, OTHER = 8080, 8443, 8081, 8022       # INNER: for the app server; OTHER: a server that is none of ours

CONFIG = """
workers = 2;
runtime_dir = "/run/sluice-vm";
state_dir = "/run/sluice-vm-state";
pin_dir = "/sys/fs/bpf/sluice-vm";
shutdown_timeout = "2 s";
endpoints = ( { path = "/echo"; protocol = "echo"; origins = "*"; rate = 0; },
              { path = "/ws"; origins = "*"; words = "channels"; space = "main"; },
              { path = "/app"; origins = "*"; words = "channels"; space = "main"; rate = 0; } );
listeners = ( { address = "%(EDGE4)s"; port = %(PLAIN)d; tls = false; endpoints = ["/echo", "/ws"]; },
              { address = "%(EDGE6)s"; port = %(PLAIN)d; tls = false; endpoints = ["/echo", "/ws"]; },
              { address = "%(EDGE4)s"; port = %(TLS)d; tls = true; endpoints = ["/echo", "/ws"]; },
              { address = "%(EDGE6)s"; port = %(TLS)d; tls = true; endpoints = ["/echo", "/ws"]; },
              { address = "%(EDGE4)s"; port = %(INNER)d; tls = false; endpoints = ["/app"]; } );
certificates = ( { name = "dev"; dev = true; } );
shield = { interfaces = ["%(dev)s"]; cookies = { mode = "%(cookies)s"; }; };
"""
CONF = "/run/sluice-vm.conf"
LOG = "/run/sluice-vm.log"

TESTS = []
LONG = []  # minutes under emulation: `make vm-kernels` and `make vm-test` run them, `make test` does not


def test(function):
    TESTS.append(function)
    return function


def long(function):
    LONG.append(function)
    return function


class Pair:
    def __init__(self, edge, client, app, dev, build):
        self.edge, self.client, self.app, self.dev = edge, client, app, dev
        self.cookies = "auto"
        self.app_runs = False
        self.build = os.path.relpath(build, kernels.ROOT)

    # ---- the edge -------------------------------------------------------------------------------

    def prepare(self):
        self.configure()
        for prefix, gateway in SPOOFED.items():
            self.edge.do(f"ip route replace {prefix} via {gateway}")
        # what the edge answers to spoofed sources must not be reset by the client's own stack
        self.client.do("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.rp_filter=0 "
                       f"net.ipv4.conf.{self.dev}.rp_filter=0")
        self.client.do(f"ethtool -K {self.dev} tx off 2>/dev/null || true")
        self.edge.do(f"setsid python3 tests/vm/peer.py serve {OTHER} >/dev/null 2>&1 </dev/null &")
        words = self.edge.do(f"cat /sys/class/net/{self.dev}/address").split()
        self.mac = words[-1]

    def configure(self):
        text = CONFIG % dict(globals(), dev=self.dev, cookies=self.cookies)
        self.edge.do(f"cat >{CONF} <<'END'\n{text}\nEND\nmkdir -p /run/sluice-vm-state")

    def always_by_cookie(self):
        """From now on every SYN is answered so: sluice.conf says it, and is read again."""
        if self.cookies == "always":
            return
        self.cookies = "always"
        self.configure()
        if self.ctl("status")["cookies"]["kind"] == "kernel":
            self.edge.do("sysctl -qw net.ipv4.tcp_syncookies=2")  # or it gives them out from a full queue only
        policies = f"grep -c 'policy' {LOG} || true"
        said = self.edge.do(policies)
        self.edge.do("kill -HUP $(cat /run/sluice-vm.pid)")
        self.wait("the policy is in force", 30, lambda: self.edge.do(policies) != said)

    def start(self):
        self.edge.do(f"setsid {self.build}/sluiced -c {CONF} >>{LOG} 2>&1 </dev/null & echo $! >/run/sluice-vm.pid")
        self.wait("sluiced answers its control socket", 90,
                  lambda: self.edge.sh(f"{self.build}/sluicectl -c /run/sluice-vm/control.sock status", limit=30)[0] == 0)

    def stop(self, how="TERM"):
        self.edge.do(f"kill -{how} $(cat /run/sluice-vm.pid)")
        self.wait("sluiced is gone", 60, lambda: self.edge.sh(
            "kill -0 $(cat /run/sluice-vm.pid) 2>/dev/null && ! grep -q '^State:.Z' /proc/$(cat /run/sluice-vm.pid)/status",
            limit=30)[0] != 0)

    def ctl(self, *args):
        said = self.edge.do(f"{self.build}/sluicectl -j -c /run/sluice-vm/control.sock {' '.join(args)}", limit=60)
        return json.loads(said) if said.strip() else None

    def drops(self):
        return {r["reason"]: r["packets"] for r in self.ctl("drop", "show")["reasons"]}

    def by_cookie(self):
        """SYNs answered by cookie so far, and connections made of cookies that came back. Without
        cookies of its own (Linux before 6.9) sluiced sees them come back, and the kernel makes the
        connections."""
        c = self.ctl("status")["cookies"]
        own = "own" if self.edge.sh("grep -q ' bpf_sk_assign_tcp_reqsk$' /proc/kallsyms", limit=30)[0] == 0 else "kernel"
        assert c["kind"] == own, c
        return c["answered"], c["connections" if own == "own" else "returned"]

    @staticmethod
    def wait(what, limit, condition):
        end = time.monotonic() + limit
        while not (answer := condition()):
            assert time.monotonic() < end, f"not within {limit} s: {what}"
            time.sleep(0.3)
        return answer

    # ---- the client -----------------------------------------------------------------------------

    def peer(self, *args, limit=120):
        """What peer.py says, a JSON value; AssertionError with its words if it fails."""
        code, said = self.client.sh(f"python3 tests/vm/peer.py {' '.join(map(str, args))}", limit=limit)
        assert code == 0, f"peer.py {' '.join(map(str, args))}: exit code {code}\n{said}"
        return json.loads(said.splitlines()[-1])

    def echo(self, source, port=PLAIN, size=100):
        to = EDGE6 if ":" in source else EDGE4
        return self.peer("echo", source, to, port, size)

    def reaches(self, source, port=PLAIN):
        return self.peer("reaches", source, EDGE6 if ":" in source else EDGE4, port)

    def ask(self, source, questions):
        """A client asks by the edge, the app server answers by it."""
        if not self.app_runs:
            self.app.do(f"setsid python3 tests/vm/app.py {EDGE4} {INNER} >/run/sluice-vm-app.log 2>&1 </dev/null & "
                        "echo $! >/run/sluice-vm-app.pid")
            self.app_runs = True
        return self.peer("ask", source, EDGE6 if ":" in source else EDGE4, TLS, questions)

    def flood(self, kind, friend, port, seconds):
        result = self.peer("flood", kind, self.dev, self.mac, friend, EDGE6 if ":" in friend else EDGE4, port, seconds,
                           limit=seconds + 180)
        assert result["sent"] > 1000, result
        assert result["echoes"] > 0 and result["failed"] == 0, result
        return result


# ---- the tests, in this order ---------------------------------------------------------------------


@test
def sluiced_attaches_natively_to_the_data_interface(pair):
    pair.start()
    modes = {i["interface"]: i["mode"] for i in pair.ctl("status")["interfaces"]}
    assert modes == {pair.dev: "native"}, modes


@test
def a_client_is_heard_on_both_families_and_over_tls(pair):
    assert pair.echo(FRIEND4) == "echoed" and pair.echo(FRIEND6) == "echoed"
    assert pair.echo(FRIEND4, TLS) == "echoed" and pair.echo(FRIEND6, TLS) == "echoed"


@test
@long
def five_megabytes_come_and_go_through_the_program(pair):
    for source in (FRIEND4, FRIEND6):
        assert pair.echo(source, PLAIN, 5_000_000) == "echoed"
    assert sum(pair.drops().values()) == 0


@test
@long
def an_app_server_behind_the_edge_answers_clients_that_cannot_reach_its_door(pair):
    for source in (FRIEND4, FRIEND6):
        assert pair.ask(source, 5) == [n * n for n in range(5)]
    assert pair.peer("status", FRIEND4, EDGE4, TLS, "/ws") == 101
    assert pair.peer("status", FRIEND4, EDGE4, TLS, "/app") == 404
    peers = {c["peer"].rpartition(":")[0] for c in pair.ctl("conn", "show")}
    assert peers == {APP4}, peers


@test
def each_malformed_kind_falls_for_its_reason(pair):
    before = pair.drops()
    sent = pair.peer("malformed", pair.dev, pair.mac, CLIENT4, EDGE4, CLIENT6, EDGE6, PLAIN)

    def fallen():
        return {r: n - before[r] for r, n in pair.drops().items() if n != before[r]}
    try:
        pair.wait("all have fallen", 30, lambda: sum(fallen().values()) >= sum(sent.values()))
    except AssertionError:
        pass  # what is missing is said below
    now = fallen()
    assert now == sent, f"fell {now}, sent {sent}"


@test
def a_denied_address_is_cut_off_and_its_neighbour_is_not(pair):
    for bad, good in ((CLIENT4, FRIEND4), (CLIENT6, FRIEND6)):
        assert pair.reaches(bad) and pair.reaches(good)
        pair.ctl("deny", "add", bad)
        assert not pair.reaches(bad) and pair.reaches(good)
        assert pair.reaches(bad, OTHER), "a port that is not protected"
        pair.ctl("deny", "del", bad)
        assert pair.reaches(bad)


@test
@long
def a_friend_connects_while_syns_flood_in_from_forged_sources(pair):
    assert pair.flood("syn", FRIEND4, PLAIN, 15)["connects"] > 0


@test
def a_websocket_over_tls_is_made_of_a_cookie_on_both_families(pair):
    pair.always_by_cookie()
    for source in (FRIEND4, FRIEND6):
        answered, made = pair.by_cookie()
        assert pair.echo(source, TLS, 200_000) == "echoed" and pair.echo(source, TLS) == "echoed"
        now_answered, now_made = pair.by_cookie()
        assert now_answered >= answered + 2 and now_made >= made + 2, (source, answered, made, now_answered, now_made)


@test
@long
def cookies_let_a_friend_in_by_tls_while_syns_flood_in_from_forged_sources(pair):
    pair.always_by_cookie()
    for friend in (FRIEND4, FRIEND6):
        answered, made = pair.by_cookie()
        connects = pair.flood("syn", friend, TLS, 15)["connects"]
        now_answered, now_made = pair.by_cookie()
        assert connects > 0 and now_made >= made + connects, (friend, connects, made, now_made)
        assert now_answered > answered + connects + 500, (friend, answered, now_answered)
    assert pair.ask(FRIEND4, 3) == [0, 1, 4]


@test
def a_connection_lives_while_bogus_acks_flood_in(pair):
    pair.flood("ack", FRIEND4, PLAIN, 10)


@test
def the_shield_holds_while_the_keeper_is_dead_and_after_its_return(pair):
    pair.ctl("deny", "add", CLIENT4, "note", "before-the-kill")
    assert not pair.reaches(CLIENT4)
    pair.stop("KILL")
    assert pair.reaches(FRIEND4, OTHER) and pair.reaches(CLIENT4, OTHER)
    assert pair.edge.sh("test -e /sys/fs/bpf/sluice-vm/xdp", limit=30)[0] == 0
    pair.start()
    assert not pair.reaches(CLIENT4) and pair.echo(FRIEND4) == "echoed"
    assert pair.ask(FRIEND4, 3) == [0, 1, 4], "the app server has come back by itself"
    assert [d["note"] for d in pair.ctl("deny", "show")] == ["before-the-kill"]
    pair.ctl("deny", "del", CLIENT4)
    assert pair.reaches(CLIENT4)


@test
def an_edge_that_stops_leaves_no_program_behind(pair):
    pair.stop()
    assert pair.edge.sh("test -e /sys/fs/bpf/sluice-vm", limit=30)[0] != 0
    assert "xdp" not in pair.edge.do(f"ip -o link show dev {pair.dev}")
    assert pair.reaches(FRIEND4, OTHER)


def run(edge, client, app, dev, build, select=""):
    """Prints cmocka's lines; 0 if nothing failed. Later tests build on earlier ones: the first
    failure ends it."""
    few = os.environ.get("SLUICE_VM_FEW")
    wanted = [t for t in TESTS if select in f"pair/{t.__name__}" and not (few and t in LONG)]
    pair = Pair(edge, client, app, dev, build)
    pair.prepare()
    for number, function in enumerate(wanted):
        name = f"pair/{function.__name__}"
        print(f"[ RUN      ] {name}", flush=True)
        start = time.monotonic()
        try:
            if number == 0 and function is not TESTS[0]:
                pair.start()  # selected alone
            function(pair)
        except Exception:
            traceback.print_exc(limit=-3, file=sys.stdout)
            print(edge.sh(f"tail -40 {LOG}; dmesg | tail -15", limit=60)[1])
            print(app.sh("tail -15 /run/sluice-vm-app.log", limit=60)[1])
            print(f"[  FAILED  ] {name}", flush=True)
            return 1
        print(f"{name}: {time.monotonic() - start:.1f} s")
        print(f"[       OK ] {name}", flush=True)
    return 0
