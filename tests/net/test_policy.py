# SPDX-License-Identifier: BSD-2-Clause
"""The shield's policy in sluice.conf and while it runs: modes, the management door, trials that end by
themselves."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

import netns
import sluice
import wire
from test_shield import (BAD4, BAD6, EDGE4, ENDPOINTS, GOOD4, LISTENERS, connect, drops, echo, ip4, reachable, tcp,
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


def test_sighup_opens_the_managers_door_to_others_and_no_trial_does(net):
    with net.inside(net.edge):
        ssh = socket.create_server((EDGE4, 22))
    rest = 'deny = ["0.0.0.0/0"]; protect = ( { prefix = "0.0.0.0/0"; port = "1-65535"; } );'

    def knocks(source):
        try:
            connect(net, source, 22).close()
            return True
        except (TimeoutError, socket.timeout):
            return False
    with edge_with(net, f'manage = {{ prefixes = "192.0.2.77"; }}; {rest}') as edge:
        assert knocks("192.0.2.77") and not knocks(GOOD4)
        other = file_with(edge, net, f'manage = {{ prefixes = "{GOOD4}"; }}; {rest}')
        for args in (("check", other), ("try", other, "for", "1m")):
            code, said = ctl(edge, "policy", *args)
            assert code == 0 and any("shield.manage differs" in n and "SIGHUP" in n for n in said["notes"]), said
        assert knocks("192.0.2.77") and not knocks(GOOD4)
        edge.ctl("policy", "confirm")
        assert knocks("192.0.2.77") and not knocks(GOOD4)
        assert ctl(edge, "policy", "check", edge.conf)[1]["text"].endswith("the policy that is in force")
        edge.conf.write_text(other.read_text())
        edge.process.send_signal(signal.SIGHUP)
        edge.wait_log("is in force now")
        assert knocks(GOOD4) and not knocks("192.0.2.77")
        done = subprocess.run([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), "deny", "add", GOOD4],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and "of shield.manage.prefixes" in done.stderr, done  # the new ones are guarded
        edge.ctl("deny", "add", "192.0.2.77")  # and the old ones no more
        assert ctl(edge, "policy", "check", edge.conf)[1]["text"].endswith("the policy that is in force")
    ssh.close()


# ---- while it runs ------------------------------------------------------------------------------------


def file_with(edge, net, shield, name="next.conf"):
    """The edge's own file with another policy."""
    text = edge.conf.read_text()
    begin = text.index("shield = {")
    path = edge.dir / name
    path.write_text(text[:begin] + f'shield = {{ interfaces = ["{net.edge_if}"]; {shield} }};\n')
    return path


def ctl(edge, *args):
    """Exit code and the answer, which is JSON also where it says no."""
    done = subprocess.run([str(sluice.BUILD / "sluicectl"), "-j", "-c", str(edge.control), *map(str, args)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * sluice.SLOW)
    return done.returncode, json.loads(done.stdout)


def policy(edge):
    code, shown = ctl(edge, "policy", "show")
    assert code == 0, shown
    return shown


def silent(client, seconds=1):
    """He speaks and hears nothing."""
    client[0].sendall(wire.frame(1, b"is anybody there"))
    client[0].settimeout(seconds)
    try:
        client[1].next()
    except (TimeoutError, socket.timeout):
        return True
    finally:
        client[0].settimeout(10 * sluice.SLOW)
    return False


def test_a_policy_that_cuts_off_its_operator_ends_by_itself_and_his_connection_goes_on(net):
    with edge_with(net, "") as edge:
        operator, bystander = echo(net, BAD4), echo(net, GOOD4)
        before = policy(edge)
        begin = time.monotonic()
        code, said = ctl(edge, "policy", "try", file_with(edge, net, 'deny = ["203.0.113.0/24"];'), "for", "4s")
        assert code == 0 and "on trial for 4 s" in said["text"], said
        assert silent(operator) and works(bystander)
        shown = json.loads(edge.ctl("-j", "status"))["shield"]
        assert 0 < shown["trial"]["left_ms"] <= 4000 and shown["trial"]["file"].endswith("next.conf")
        assert "on trial" in edge.ctl("status") and policy(edge)["trial_left_ms"] <= 4000
        assert time.monotonic() - begin < 4
        # what he said meanwhile is repeated by his kernel, and answered
        assert operator[1].next() == (1, b"is anybody there")
        assert 3.9 < time.monotonic() - begin < 9 * sluice.SLOW
        assert works(operator) and works(bystander)
        edge.wait_log("nobody confirmed")
        assert policy(edge) == before and json.loads(edge.ctl("-j", "deny", "show")) == []
        assert "trial" not in json.loads(edge.ctl("-j", "status"))["shield"]


def test_a_keeper_that_is_killed_in_a_trial_locks_nobody_out(net):
    """The operator's ssh lies behind the protected ports; a manager passes to it all the while."""
    with net.inside(net.edge):
        ssh = socket.create_server((EDGE4, 22))

    def shell(source):
        s = connect(net, source, 22)
        there, _ = ssh.accept()
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s, there

    manage = 'manage = { prefixes = "192.0.2.77"; ports = [22]; };'
    with edge_with(net, manage) as edge:
        operator, manager = shell(BAD4), shell("192.0.2.77")
        cut = f"""{manage} deny = ["0.0.0.0/0"];
                  protect = ( {{ prefix = "0.0.0.0/0"; port = "1-65535"; }} );"""
        begin = time.monotonic()
        code, said = ctl(edge, "policy", "try", file_with(edge, net, cut), "for", "5s")
        assert code == 0, said
        os.kill(edge.keeper, signal.SIGKILL)
        edge.process.wait()
        for s, there in (operator, manager):
            s.settimeout(1)
            s.sendall(b"ls\n")
            there.settimeout(1)
        assert manager[1].recv(10) == b"ls\n"
        manager[1].sendall(b"files\n")
        assert manager[0].recv(10) == b"files\n"
        with pytest.raises((TimeoutError, socket.timeout)):
            operator[1].recv(10)
        # new ones too
        again = shell("192.0.2.77")
        assert time.monotonic() - begin < 5, "too slow to have seen anything"
        operator[1].settimeout(15 * sluice.SLOW)
        assert operator[1].recv(10) == b"ls\n"
        assert 4.9 < time.monotonic() - begin
        shell(BAD4)[0].close()
        assert again
        # the next keeper goes by its file, and nothing of the trial is left
        edge.start()
        assert "trial_left_ms" not in policy(edge)
        assert [p["ports"] for p in policy(edge)["protect"]] == ["8080", "8443"]
        assert json.loads(edge.ctl("-j", "deny", "show")) == []
        assert reachable(net, BAD4)
    ssh.close()


def test_a_policy_that_is_confirmed_stays_and_the_file_in_use_is_said_to_differ(net):
    with edge_with(net, 'deny = ["198.51.100.200"];') as edge:
        new = file_with(edge, net, 'deny = ["203.0.113.0/24"]; rules = { malformed = "observe"; };')
        assert reachable(net, BAD4)
        assert ctl(edge, "policy", "try", new, "for", "3s")[0] == 0
        code, said = ctl(edge, "policy", "confirm")
        assert code == 0 and str(edge.conf)[:60] in said["text"] and "says otherwise" in said["text"], said
        time.sleep(3.5)
        assert not reachable(net, BAD4)
        assert policy(edge)["rules"]["malformed"] == "observe"
        rows = json.loads(edge.ctl("-j", "deny", "show"))
        assert [(r["prefix"], r["left_s"]) for r in rows] == [("203.0.113.0/24", None)]
        assert ctl(edge, "policy", "confirm") == (1, {"error": "no policy is on trial"})
        assert ctl(edge, "policy", "revert") == (1, {"error": "no policy is on trial"})
        # the file in use, once it says the same: that is said too
        edge.conf.write_text(new.read_text())
        assert ctl(edge, "policy", "try", new, "for", "3s")[0] == 0
        code, said = ctl(edge, "policy", "confirm")
        assert code == 0 and "as " in said["text"] and "otherwise" not in said["text"], said


def test_a_trial_can_be_ended_at_once_and_only_one_runs(net):
    with edge_with(net, 'deny = ["203.0.113.0/24"];') as edge:
        new = file_with(edge, net, 'deny = ["198.51.100.200"];')
        edge.ctl("deny", "add", "198.51.100.200", "note", "by hand")
        assert not reachable(net, BAD4)
        assert ctl(edge, "policy", "try", new, "for", "1h")[0] == 0
        assert reachable(net, BAD4)
        code, said = ctl(edge, "policy", "try", new)
        assert code == 1 and "another policy is on trial" in said["error"]
        assert ctl(edge, "policy", "revert") == (0, {"text": "the policy before is back"})
        assert not reachable(net, BAD4)
        # what a person has denied, a trial neither shortens nor takes away
        rows = {r["prefix"]: (r["reason"], r["left_s"]) for r in json.loads(edge.ctl("-j", "deny", "show"))}
        assert rows == {"203.0.113.0/24": ("CONFIG", None), "198.51.100.200/32": ("OPERATOR", None)}


def test_every_mistake_of_a_file_is_told_with_its_line_and_nothing_is_changed(net):
    with edge_with(net, "") as edge:
        before = policy(edge)
        bad = file_with(edge, net, '\n rules = { deny = "maybe"; };\n deny = [ "1.2.3" ];\n@include "more.conf"\n')
        (edge.dir / "more.conf").write_text("\nmode = 5;\n")
        first = bad.read_text()[:bad.read_text().index("rules =")].count("\n") + 1
        for verb in ("check", "try"):
            code, said = ctl(edge, "policy", verb, bad)
            assert code == 1 and "3 mistakes" in said["error"], said
            assert said["mistakes"][0].startswith(f"{edge.dir}/more.conf:2: shield: mode = 5")
            assert said["mistakes"][1].startswith(f"{bad}:{first}: shield.rules: deny = \"maybe\"")
            assert said["mistakes"][2].startswith(f"{bad}:{first + 1}: shield: deny: \"1.2.3\"")
        done = subprocess.run([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), "policy", "check", str(bad)],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and f"{bad}:{first}: " in done.stderr
        assert policy(edge) == before
        # what a running shield cannot change is said, and all else is tried
        other = file_with(edge, net, 'mode = "generic"; manage = { prefixes = "10.0.0.0/8"; };')
        other.write_text(other.read_text().replace(f'["{net.edge_if}"]', '["lo"]'))
        code, said = ctl(edge, "policy", "check", other)
        assert code == 0 and len(said["notes"]) == 3, said
        assert [("restart" in n, "SIGHUP" in n) for n in said["notes"]] == [(True, False), (True, False), (False, True)], said
        assert ctl(edge, "policy", "check", edge.conf)[1]["text"].endswith("the policy that is in force")
        code, said = ctl(edge, "policy", "check", "/nonexistent")
        assert code == 1 and "No such file" in said["error"]
        done = subprocess.run([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), "policy", "check", "/nonexistent"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and done.stderr.count("No such file") == 1, done.stderr


def test_a_denial_of_managers_or_of_this_host_is_told_before_it_is_in_force(net):
    manage = 'manage = { prefixes = "192.0.2.0/24"; };'
    with edge_with(net, manage) as edge:
        next_ = file_with(edge, net, f'{manage} deny = ["192.0.2.77", "{EDGE4}", "203.0.113.0/24"];')
        door = "192.0.2.77/32 hits 192.0.2.0/24, of shield.manage.prefixes: to shield.manage.ports they pass all the same"
        own = f"{EDGE4}/32 locks out {EDGE4}, an address of this host"
        for args in (("check", next_), ("try", next_, "for", "1m")):
            code, said = ctl(edge, "policy", *args)
            assert code == 0 and len(said["notes"]) == 2 and door in said["notes"][0] and own in said["notes"][1], said
        edge.ctl("policy", "revert")
        with net.inside(net.edge):
            done = subprocess.run([str(sluice.BUILD / "sluiced"), "-t", "-c", str(next_)], capture_output=True, text=True,
                                  timeout=30)
        assert done.returncode == 0 and door in done.stderr and own in done.stderr, done
        edge.conf.write_text(next_.read_text())
        edge.process.send_signal(signal.SIGHUP)
        edge.wait_log(door)


def test_sighup_applies_the_policy_of_the_file_and_nothing_of_one_with_mistakes(net):
    with edge_with(net, "") as edge:
        client = echo(net, GOOD4)
        good = edge.conf.read_text()
        edge.conf.write_text(file_with(edge, net, 'deny = ["203.0.113.0/24"]; rules = { deny = "of"; };').read_text())
        edge.process.send_signal(signal.SIGHUP)
        edge.wait_log("1 mistake: nothing is changed")
        assert 'deny = "of": allowed is' in edge.log() and reachable(net, BAD4)
        edge.conf.write_text(file_with(edge, net, 'deny = ["203.0.113.0/24"];').read_text())
        edge.process.send_signal(signal.SIGHUP)
        edge.wait_log("is in force now")
        assert not reachable(net, BAD4) and works(client)
        edge.process.send_signal(signal.SIGHUP)
        edge.wait_log("says what is in force already")
        edge.conf.write_text(good)
        edge.process.send_signal(signal.SIGHUP)
        sluice.wait_for("the denial is gone", 5, lambda: reachable(net, BAD4))
        assert works(client)


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_the_reader_of_a_file_holds_no_rights(net):
    """It runs for a moment only: a file that takes it long shows it."""
    with edge_with(net, "") as edge:
        denials = ", ".join(f'"{a}.{b}.{c}.0/24"' for a in (11, 12) for b in range(32) for c in range(250))
        slow = file_with(edge, net, f"deny = [{denials}];")
        seen, stop = [], threading.Event()
        known = set(children(edge.keeper))

        def watch():
            while not stop.is_set():
                for pid in set(children(edge.keeper)) - known:
                    with contextlib.suppress(OSError):
                        seen.append(pathlib.Path(f"/proc/{pid}/status").read_text())

        t = threading.Thread(target=watch)
        t.start()
        try:
            for _ in range(20):  # it is through in some milliseconds, and we may have been asleep
                code, said = ctl(edge, "policy", "check", slow)
                assert code == 0 and "16000 denied" in said["text"], said
                if any("Seccomp:\t2" in s for s in seen):
                    break
        finally:
            stop.set()
            t.join()
        late = [s for s in seen if "Seccomp:\t2" in s]
        assert late, f"never seen among {len(seen)} looks"
        for field in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"):
            assert f"{field}:\t0000000000000000" in late[-1]
        assert "NoNewPrivs:\t1" in late[-1] and "Uid:\t65534\t65534\t65534\t65534" in late[-1]


# ---- offences ---------------------------------------------------------------------------------------


def garbage(net, source):
    """A connection that says what no HTTP client says, and ends for it. False: it was not let in."""
    try:
        s = connect(net, source)
    except (TimeoutError, socket.timeout):
        return False
    with s, contextlib.suppress(OSError):
        s.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        while s.recv(1000):
            pass
    return True


OFFENCES = 'offences = { points = 6; window = "1 min"; first = "3 s"; longest = "10 s"; };'


def test_who_breaks_the_protocol_again_and_again_is_denied_for_a_growing_time(net):
    with edge_with(net, OFFENCES) as edge:
        bystander = echo(net, GOOD4)
        spans = []
        for _ in range(2):
            for _ in range(3):
                assert garbage(net, BAD4)
            rows = sluice.wait_for("he is denied", 5, lambda: json.loads(edge.ctl("-j", "deny", "show")))
            assert [(r["prefix"], r["reason"]) for r in rows] == [(f"{BAD4}/32", "OFFENCE")]
            assert not reachable(net, BAD4) and works(bystander)
            spans.append(rows[0]["left_s"])
            sluice.wait_for("it has run out", 15, lambda: reachable(net, BAD4))
            sluice.wait_for("and is reaped", 10, lambda: not json.loads(edge.ctl("-j", "deny", "show")))
        assert spans[0] in (2, 3) and spans[1] in (5, 6)
        edge.wait_log(f"offences: {BAD4}/32 is denied for 6s")
        # a /64 is one customer
        for _ in range(3):
            assert garbage(net, BAD6)
        rows = sluice.wait_for("he is denied", 5, lambda: json.loads(edge.ctl("-j", "deny", "show")))
        assert rows[0]["prefix"] == "2001:db8:bad::/64"


def test_managers_and_trusted_proxies_are_never_denied_for_offences(net):
    listeners = {name: dict(how, more='trusted_proxies = "203.0.113.0/24";') for name, how in LISTENERS.items()}
    shield = f'{OFFENCES} manage = {{ prefixes = "192.0.2.0/24"; }};'
    with sluice.Edge(listeners=listeners, endpoints=ENDPOINTS, netns=net.edge,
                     extra=f'shield = {{ interfaces = ["{net.edge_if}"]; {shield} }};') as edge:
        for source in (BAD4, "192.0.2.77"):
            for _ in range(6):
                assert garbage(net, source)
        for _ in range(3):
            assert garbage(net, GOOD4)
        rows = sluice.wait_for("one is denied", 5, lambda: json.loads(edge.ctl("-j", "deny", "show")))
        time.sleep(1)
        assert [r["prefix"] for r in rows] == [f"{GOOD4}/32"]
        assert reachable(net, BAD4) and reachable(net, "192.0.2.77")
