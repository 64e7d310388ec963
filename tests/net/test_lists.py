# SPDX-License-Identifier: BSD-2-Clause
"""Deny and allow lists of a running edge: whole files, sets, databases, and what traffic notices of it."""
import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

import mmdb
import netns
import sluice
from frames import ip4, tcp

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and BPF"),
    pytest.mark.time_limit(120),
]

EDGE4, EDGE6 = "198.51.100.1", "2001:db8:1::1"
GOOD4, GOOD6 = "198.51.100.9", "2001:db8:1::9"
BAD4, BAD6 = "203.0.113.5", "2001:db8:bad::5"
LISTENERS = {"v4": {"tls": False, "address": EDGE4, "port": 8080}, "v6": {"tls": False, "address": EDGE6, "port": 8080}}


@pytest.fixture(scope="module")
def net():
    with netns.Pair() as n:
        yield n


def make_edge(net, lists=""):
    extra = f'shield = {{ interfaces = ["{net.edge_if}"]; {lists} }};'
    return sluice.Edge(listeners=LISTENERS, netns=net.edge, extra=extra)


@pytest.fixture()
def edge(net):
    with make_edge(net) as e:
        yield e


def reachable(net, source):
    try:
        with net.inside(net.far):
            s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
            s.settimeout(2)
            s.bind((source, 0))
            s.connect((EDGE6 if ":" in source else EDGE4, 8080))
            s.close()
        return True
    except (TimeoutError, socket.timeout):
        return False


def sets(edge, what="deny"):
    return {s["set"]: s for s in json.loads(edge.ctl("-j", what, "show", "sets"))}


def denied(edge):
    shown = json.loads(edge.ctl("-j", "drop", "show"))
    return {r["reason"]: r["packets"] for r in shown["reasons"]}["denied"]


def test_a_file_becomes_a_set_and_goes_again(net, edge, tmp_path):
    one = tmp_path / "Bad Ones.txt"
    one.write_text("# a list\n203.0.113.0/24 note scanners\n2001:db8:bad::/48 for 1h\n203.0.113.0/24\n")
    assert edge.ctl("deny", "load", str(one)).startswith("set bad-ones: 1 IPv4 and 1 IPv6 prefixes")
    assert not reachable(net, BAD4) and not reachable(net, BAD6) and reachable(net, GOOD4) and reachable(net, GOOD6)
    rows = {r["prefix"]: r for r in json.loads(edge.ctl("-j", "deny", "show"))}
    assert rows["203.0.113.0/24"]["set"] == "bad-ones" and rows["203.0.113.0/24"]["note"] == "scanners"
    assert rows["203.0.113.0/24"]["hits"] > 0 and 0 < rows["2001:db8:bad::/48"]["left_s"] <= 3600
    around = json.loads(edge.ctl("-j", "deny", "show", BAD4))
    assert [r["prefix"] for r in around] == ["203.0.113.0/24"]
    hits = rows["203.0.113.0/24"]["hits"]
    # the next one of that name replaces it, and what stays keeps its count
    one.write_text(json.dumps(["203.0.113.0/24", {"prefix": "192.0.2.0/24", "note": "more"}]))
    told = json.loads(edge.ctl("-j", "deny", "load", str(one), "set", "bad-ones"))
    assert told["ok"] and told["duplicates"] == 0
    rows = {r["prefix"]: r for r in json.loads(edge.ctl("-j", "deny", "show"))}
    assert set(rows) == {"203.0.113.0/24", "192.0.2.0/24"} and rows["203.0.113.0/24"]["hits"] >= hits
    assert reachable(net, BAD6) and sets(edge)["bad-ones"]["source"].endswith("Bad Ones.txt")
    assert edge.ctl("deny", "unload", "bad-ones") == "taken away\n"
    assert reachable(net, BAD4) and set(sets(edge)) == {""}
    assert json.loads(edge.ctl("-j", "deny", "show")) == []
    refused = edge.ctl_run("deny", "unload", "bad-ones")
    assert refused.returncode == 1 and "there is no such set" in refused.stderr


def test_mistakes_have_lines_and_change_nothing(edge, tmp_path):
    bad = tmp_path / "x.txt"
    bad.write_text("192.0.2.1\nnonsense\n10.0.0.1/8\n" + "?\n" * 40)
    done = edge.ctl_run("deny", "load", str(bad))
    assert done.returncode == 1 and f"{bad}:2: 'nonsense' is no prefix\n{bad}:3: 10.0.0.1/8 has bits" in done.stderr
    assert "and 22 more" in done.stderr and "42 mistakes: nothing is changed" in done.stderr
    told = json.loads(edge.ctl_run("-j", "deny", "load", str(bad)).stdout)
    assert len(told["mistakes"]) == 20 and "42 mistakes" in told["error"]
    assert set(sets(edge)) == {""}
    assert "; 42 skipped" in edge.ctl("deny", "load", str(bad), "skip", "yes", check=False)
    edge.ctl("deny", "unload", "x")
    for args, why in ((("load",), "which file"), (("load", "/nonexistent"), "No such file"),
                      (("load", str(bad), "set", "A B"), "a-z 0-9"), (("unload",), "which set"),
                      (("load", os.devnull), "no prefix in it"), (("show", "nonsense"), "`sets` or an address"),
                      (("show", "192.0.2.1"), "not on the deny list")):
        done = edge.ctl_run("deny", *args)
        assert done.returncode in (1, 2) and why in done.stderr, (args, done.stderr)


def test_what_is_exported_can_be_loaded(edge, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text('192.0.2.0/25 note "a \\"b\\" # c"\n192.0.2.128/25 for 2h\n2001:db8:77::/48\n')
    edge.ctl("deny", "load", str(one))
    edge.ctl("deny", "add", "192.0.2.7", "note", "by hand")
    text = edge.ctl("deny", "export", "set", "one")
    assert text.splitlines()[0] == '192.0.2.0/25 note "a \\"b\\" # c"'
    for form, args in (("txt", ()), ("json", ("-j",))):
        out = tmp_path / f"all.{form}"
        edge.ctl(*args, "deny", "export", "to", str(out))
        done = edge.ctl_run("allow", "load", str(out), "set", form)
        if form == "json":  # it says whose it is; who puts the denied on the allow list must mean it
            assert done.returncode == 2 and "deny list" in done.stderr and "`as allow`" in done.stderr
            assert form not in sets(edge, "allow")
        told = json.loads(edge.ctl("-j", "allow", "load", str(out), "set", form, "as", "allow"))
        assert "3 IPv4 and 1 IPv6" in told["text"]
        rows = {r["prefix"]: r for r in json.loads(edge.ctl("-j", "allow", "show", "192.0.2.200"))}
        assert rows["192.0.2.128/25"]["set"] == form and 7000 < rows["192.0.2.128/25"]["left_s"] <= 7201
        edge.ctl("allow", "unload", form)
    edge.ctl("deny", "unload", "one")
    edge.ctl("deny", "del", "192.0.2.7")


def test_who_is_allowed_is_not_denied(net, edge):
    edge.ctl("deny", "add", "203.0.113.0/24")
    assert not reachable(net, BAD4)
    assert edge.ctl("allow", "add", BAD4, "for", "1h", "note", "a friend") == f"{BAD4}/32 allowed for 1h\n"
    assert reachable(net, BAD4)
    row, = json.loads(edge.ctl("-j", "allow", "show"))
    assert row["hits"] > 0 and row["note"] == "a friend"
    assert edge.ctl("allow", "del", BAD4) == f"{BAD4}/32 taken away\n"
    assert not reachable(net, BAD4)
    edge.ctl("deny", "del", "203.0.113.0/24")


def test_nobody_locks_himself_out_by_a_slip(net, edge, tmp_path):
    for prefix, who in (("127.0.0.1", "127.0.0.0/8, this host's own"), ("::1", "::1, this host's own"),
                        (EDGE4, f"{EDGE4}, an address of this host"), ("198.51.100.0/24", f"{EDGE4}, an address of this host"),
                        ("2001:db8::/32", f"{EDGE6}, an address of this host")):
        done = edge.ctl_run("deny", "add", prefix)
        assert done.returncode == 1 and f"would lock out {who}; `force yes` if that is meant" in done.stderr, done.stderr
        assert edge.ctl("deny", "add", prefix, "force", "yes").endswith(" denied until taken away\n")
        assert "until taken away" in edge.ctl("deny", "show")
        edge.ctl("deny", "del", prefix)
        edge.ctl("allow", "add", prefix)
        edge.ctl("allow", "del", prefix)
    edge.ctl("deny", "add", "198.51.100.128/25")
    edge.ctl("deny", "del", "198.51.100.128/25")
    one = tmp_path / "one.txt"
    one.write_text("192.0.2.0/24\n198.51.0.0/16\n")
    done = edge.ctl_run("deny", "load", str(one))
    assert done.returncode == 1 and f"198.51.0.0/16 would lock out {EDGE4}" in done.stderr and reachable(net, GOOD4)
    edge.ctl("allow", "load", str(one))
    edge.ctl("allow", "unload", "one")
    edge.ctl("deny", "load", str(one), "force", "yes")
    assert not reachable(net, GOOD4)
    edge.ctl("deny", "unload", "one")


def test_who_comes_by_ssh_does_not_lock_himself_out(edge, tmp_path, monkeypatch):
    one = tmp_path / "one.txt"
    one.write_text("192.0.2.0/24\n2001:db8:7::/48\n")
    for came_from, prefix in (("192.0.2.77", "192.0.2.0/24"), ("2001:db8:7::9", "2001:db8:7::/48"),
                              ("::ffff:192.0.2.77", "192.0.2.77")):
        monkeypatch.setenv("SSH_CONNECTION", f"{came_from} 50022 {EDGE4} 22")
        who = came_from.replace("::ffff:", "") + ", where you have come from"
        for args in (("add", prefix), ("load", str(one))):
            done = edge.ctl_run("deny", *args)
            assert done.returncode == 1 and who in done.stderr, done.stderr
    # sudo takes the variable away; the shell above still has it
    ctl = f"{sluice.BUILD}/sluicectl -c {edge.control} deny add 192.0.2.0/24"
    done = subprocess.run(["sh", "-c", f"env -u SSH_CONNECTION sh -c '{ctl}; true'; true"], capture_output=True, text=True, timeout=30)
    assert "192.0.2.77, where you have come from" in done.stderr
    edge.ctl("deny", "add", "192.0.2.0/24", "force", "yes")
    edge.ctl("deny", "del", "192.0.2.0/24")
    edge.ctl("deny", "add", "203.0.113.0/24")
    edge.ctl("deny", "del", "203.0.113.0/24")


def test_status_says_how_long_lists_are(edge, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text("192.0.2.0/24\n2001:db8:7::/48\n")
    edge.ctl("deny", "load", str(one))
    edge.ctl("deny", "add", "203.0.113.9")
    deny, allow = json.loads(edge.ctl("-j", "status"))["lists"]
    assert deny["list"] == "deny" and deny["ipv4"] == 2 and deny["ipv6"] == 1 and deny["sets"] == 1
    assert deny["one_by_one"] == 1 and deny["bytes"] > 1 << 20 and deny["room"] > 1000 and deny["loading"] == ""
    assert allow["list"] == "allow" and allow["ipv4"] == allow["ipv6"] == 0
    assert "deny list: 2 IPv4 and 1 IPv6 prefixes (1 of them one by one, 1 set), " in edge.ctl("status")


def test_lists_live_on_when_another_sluiced_takes_over(net, edge, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text("203.0.113.0/24\n")
    edge.ctl("deny", "load", str(one))
    edge.ctl("deny", "add", "2001:db8:bad::/48", "note", "stays")
    old = edge.replace()
    old.wait(timeout=10)
    assert not reachable(net, BAD4) and not reachable(net, BAD6) and reachable(net, GOOD4)
    assert sets(edge)["one"]["ipv4"] == 1
    edge.ctl("deny", "del", "2001:db8:bad::/48")
    edge.ctl("deny", "load", str(one), "set", "two")
    edge.ctl("deny", "unload", "one")
    assert not reachable(net, BAD4) and reachable(net, BAD6)
    edge.ctl("deny", "unload", "two")
    assert reachable(net, BAD4)


def random_list(n, seed, more=()):
    """n prefixes of 100.64/10 and of documentation space of IPv6, none of which anybody here has."""
    state = seed
    lines = list(more)
    for i in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        r = state >> 16
        bits = 24 + r % 9
        address = (100 << 24 | 64 << 16 | (r >> 8) % (1 << 22)) >> (32 - bits) << (32 - bits)
        if i % 10 == 0:
            lines.append(f"2001:db8:{r >> 8 & 0xfff | 0xf000:x}:{r >> 20 & 0xffff:x}::/64")
        else:
            lines.append(f"{socket.inet_ntoa(struct.pack('>I', address))}/{bits}")
    return "\n".join(lines) + "\n"


def test_a_set_is_replaced_under_traffic_and_nobody_notices(net, edge, tmp_path):
    """Innocent clients lose not one packet while sets of tens of thousands come and go, and a source that
    is in each of them gets not one packet through."""
    link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if)
    good, bad, to = (socket.inet_aton(a) for a in (GOOD4, BAD4, EDGE4))
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    # SYNs that find no listener of ours in a hurry would be answered: these only count
    innocent = link + b"\x08\x00" + ip4(tcp(good, to, 0x02, sport=1234), good, to)
    guilty = link + b"\x08\x00" + ip4(tcp(bad, to, 0x02, sport=1234), bad, to)
    for i in range(2):
        (tmp_path / f"{i}.txt").write_text(random_list(30000 + i * 20000, i + 1, [f"{BAD4}/32"]))
    edge.ctl("deny", "load", str(tmp_path / "0.txt"), "set", "big")
    before, shown = denied(edge), json.loads(edge.ctl("-j", "drop", "show"))
    sent, stop = [0, 0], threading.Event()

    def send():
        while not stop.is_set():
            raw.send(innocent)
            raw.send(guilty)
            sent[0] += 1
            sent[1] += 1
            if sent[0] % 50 == 0:
                time.sleep(0.002)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        for i in range(8):
            edge.ctl("deny", "load", str(tmp_path / f"{(i + 1) % 2}.txt"), "set", "big")
            edge.ctl("deny", "add", f"100.127.0.{i}")
            edge.ctl("deny", "del", f"100.127.0.{i}")
    finally:
        stop.set()
        thread.join()
    raw.close()

    def judged():
        now = json.loads(edge.ctl("-j", "drop", "show"))
        return now["passed"] + now["dropped"] - shown["passed"] - shown["dropped"]
    sluice.wait_for("all are judged", 10, lambda: judged() >= sum(sent))
    assert sent[0] > 1000
    assert denied(edge) - before == sent[1]
    summary = json.loads(edge.ctl("-j", "deny", "show"))  # too long to be dumped
    assert summary["ipv4"] > 20000 and summary["busiest"][0]["prefix"] == f"{BAD4}/32"
    assert "The busiest:" in edge.ctl("deny", "show")
    edge.ctl("deny", "unload", "big")
    assert reachable(net, BAD4)


def test_what_is_added_while_a_set_is_built_is_in_the_new_one(edge, tmp_path):
    (tmp_path / "big.txt").write_text(random_list(250000, 7))
    loader = subprocess.Popen([str(sluice.BUILD / "sluicectl"), "-c", str(edge.control), "deny", "load", str(tmp_path / "big.txt")],
                              stdout=subprocess.PIPE, text=True)
    n = 0
    while loader.poll() is None or n < 4:
        edge.ctl("deny", "add", f"100.127.{n // 250}.{n % 250}")
        if n % 3 == 0:
            edge.ctl("deny", "del", f"100.127.{n // 250}.{n % 250}")
        n += 1
    assert loader.returncode == 0
    have = {line.split()[0] for line in edge.ctl("deny", "export", "set", "-").splitlines()}
    want = {f"100.127.{i // 250}.{i % 250}/32" for i in range(n) if i % 3}
    assert want and have == want
    edge.ctl("deny", "unload", "big")
    for prefix in want:
        edge.ctl("deny", "del", prefix)


def test_of_two_that_load_at_once_one_is_told_so_or_waits(edge, tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.txt").write_text(random_list(300000, i + 3))
    def load(i, *words):
        return subprocess.Popen([str(sluice.BUILD / "sluicectl"), "-j", "-c", str(edge.control), "deny", "load",
                                 str(tmp_path / f"{i}.txt"), *words], stdout=subprocess.PIPE, text=True)
    busy = None
    for _ in range(20):
        first = load(0)
        sluice.wait_for("it is being loaded", 60, lambda: first.poll() is not None or
                        json.loads(edge.ctl("-j", "status"))["lists"][0]["loading"])
        (tmp_path / "small.txt").write_text("192.0.2.0/24\n")
        done = edge.ctl_run("-j", "deny", "load", str(tmp_path / "small.txt"))
        assert done.returncode in (0, 4), done
        busy = busy or (done if done.returncode == 4 else None)
        assert first.wait(60) == 0
        first.stdout.close()
        if busy:
            break
    assert busy and "another set is being loaded" in json.loads(busy.stdout)["error"]
    both = [load(i, "wait", "1m") for i in range(2)]
    for p in both:
        assert p.wait(90) == 0, p.stdout.read()
        p.stdout.close()
    assert {"0", "1"} <= set(sets(edge))
    for name in set(sets(edge)) - {""}:
        edge.ctl("deny", "unload", name)


RECORDS = {
    "203.0.113.0/24": {"country": {"iso_code": "XA"}},
    "192.0.2.0/24": {"registered_country": {"iso_code": "XB"}},
    "198.51.100.0/24": {"country": {"iso_code": "XC"}},
    "2001:db8:bad::/48": {"country": {"iso_code": "XA"}},
}


def test_countries_and_systems_come_from_a_database(net, edge, tmp_path):
    db = tmp_path / "c.mmdb"
    mmdb.write(db, RECORDS)
    told = edge.ctl("deny", "load", str(db), "countries", "XA,XB", "set", "geo")
    assert told.startswith("set geo: 2 IPv4 and 1 IPv6")
    assert not reachable(net, BAD4) and not reachable(net, BAD6) and reachable(net, GOOD4)
    numbers = tmp_path / "a.mmdb"
    mmdb.write(numbers, {"203.0.113.0/25": {"autonomous_system_number": (6, 64500)},
                         "203.0.113.128/25": {"autonomous_system_number": (6, 64501)}}, ip_version=4)
    assert edge.ctl("deny", "load", str(numbers), "asns", "AS64501", "set", "geo").startswith("set geo: 1 IPv4 and 0")
    assert reachable(net, BAD4)
    db.write_bytes(b"no database")
    assert "no MaxMind database" in edge.ctl_run("deny", "load", str(db), "countries", "XA").stderr
    edge.ctl("deny", "unload", "geo")


def test_the_configurations_files_are_loaded_at_start_and_anew_at_sighup(net, tmp_path):
    os.chmod(tmp_path, 0o755)
    text, db = tmp_path / "drop.txt", tmp_path / "c.mmdb"
    text.write_text("203.0.113.0/24\n")
    text.chmod(0o600)
    mmdb.write(db, RECORDS)
    lists = f"""lists = ( {{ name = "drop"; file = "{text}"; }},
        {{ name = "geo"; file = "{db}"; countries = ["XA"]; }},
        {{ name = "ours"; file = "{text}"; action = "allow"; }} );"""
    with make_edge(net, lists) as edge:
        sluice.wait_for("all sets", 20, lambda: "drop" in sets(edge) and "geo" in sets(edge) and "ours" in sets(edge, "allow"))
        assert sets(edge)["geo"]["ipv6"] == 1 and sets(edge)["drop"]["config"] is True
        assert reachable(net, BAD4) and not reachable(net, BAD6)  # the former is on both lists
        edge.ctl("allow", "unload", "ours")
        assert not reachable(net, BAD4)
        text.write_text("192.0.2.0/24\nnonsense\n")
        edge.process.send_signal(1)
        edge.wait_log(f"{text}:2: 'nonsense' is no prefix", 10)
        assert sets(edge)["drop"]["ipv4"] == 1 and not reachable(net, BAD4)
        text.write_text("192.0.2.0/24\n192.0.3.0/24\n")
        edge.process.send_signal(1)
        sluice.wait_for("the new one", 10, lambda: sets(edge)["drop"]["ipv4"] == 2)
        # killed and started again with fewer: the lists live on, what is no longer named goes
        edge.ctl("deny", "add", "192.0.2.99")
        edge.process.kill()
        edge.process.wait()
        edge.conf.write_text(edge.conf.read_text().replace('{ name = "geo"', '{ name = "geo2"'))
        edge.start()
        sluice.wait_for("geo is gone", 20, lambda: "geo2" in sets(edge) and "geo" not in sets(edge))
        assert [r["prefix"] for r in json.loads(edge.ctl("-j", "deny", "show", "192.0.2.99"))] == \
            ["192.0.2.99/32", "192.0.2.0/24"]


BAD_FILES = (("", "no prefix in it"), ("# nothing but a comment\n", "no prefix in it"), ("[]", "no prefix in it"),
             ('{"list":"allow","entries":["192.0.2.0/24"]}', "of the allow list, and action is \"deny\""),
             ('[{"prefix":"192.0.2.0/24",\n"fro":"1h"}]', ':2: "fro": no such field'))


def test_a_configured_file_that_is_of_no_use_leaves_its_set_in_force(net, tmp_path):
    os.chmod(tmp_path, 0o755)
    text, db = tmp_path / "drop.txt", tmp_path / "c.mmdb"
    text.write_text("203.0.113.0/24\n")
    mmdb.write(db, RECORDS)
    lists = f"""lists = ( {{ name = "drop"; file = "{text}"; }},
        {{ name = "none"; file = "{db}"; countries = ["ZZ"]; }} );"""
    with make_edge(net, lists) as edge:
        sluice.wait_for("the set", 20, lambda: "drop" in sets(edge))
        edge.wait_log(f"{db}: no prefix in it of these countries", 20)
        edge.wait_log("set none: not loaded: see above; nothing of it is in force")

        def times(name):  # not of the log, which folds what comes often
            return edge.ctl("event", "show", "limit", "256").count(f"deny list: set {name}: not loaded, see the log")

        def refused(n, what):
            edge.process.send_signal(1)
            sluice.wait_for("both are refused", 20, lambda: times("drop") == n and times("none") == n + 1)
            assert what in edge.log() and sets(edge)["drop"]["ipv4"] == 1
        for n, (content, what) in enumerate(BAD_FILES, 1):
            text.write_text(content)
            refused(n, what)
        text.unlink()
        os.mkfifo(text)
        refused(len(BAD_FILES) + 1, "neither a file nor a link to one")
        text.unlink()
        text.mkdir()
        refused(len(BAD_FILES) + 2, "a directory")
        assert not reachable(net, BAD4)
        edge.wait_log("set drop: not loaded: see above; its 1 prefix in force stays")


def test_a_check_of_the_configuration_reads_its_lists(tmp_path):
    text, good, db = tmp_path / "drop.txt", tmp_path / "good.json", tmp_path / "c.mmdb"
    good.write_text('{"list":"allow","entries":[{"prefix":"192.0.2.0/24"}]}')
    mmdb.write(db, RECORDS)
    conf = tmp_path / "sluice.conf"
    conf.write_text(f"""listeners = ( {{ name = "a"; address = "127.0.0.1"; port = 8080; tls = false; }} );
        shield = {{ lists = ( {{ name = "drop"; file = "{text}"; }}, {{ name = "good"; file = "{good}"; action = "allow"; }},
                              {{ name = "geo"; file = "{db}"; countries = ["XA"]; }} ); }};""")

    def check():
        return subprocess.run([str(sluice.BUILD / "sluiced"), "-t", "-c", str(conf)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=20 * sluice.SLOW)
    for content, what in BAD_FILES + (("192.0.2.0/24\nnonsense\n", ":2: 'nonsense' is no prefix"),):
        text.write_text(content)
        done = check()
        assert done.returncode == 2 and what in done.stderr and "valid" not in done.stdout, (content, done)
    text.unlink()
    done = check()
    assert done.returncode == 2 and f"{text}: No such file" in done.stderr, done
    os.mkfifo(text)
    done = check()
    assert done.returncode == 2 and f"{text}: neither a file nor" in done.stderr, done
    text.unlink()
    text.mkdir()
    done = check()
    assert done.returncode == 2 and f"{text}: a directory" in done.stderr, done
    text.rmdir()
    text.write_text("192.0.2.0/24\n")
    done = check()
    assert done.returncode == 0, done
    db.write_bytes(b"no database")
    done = check()
    assert done.returncode == 2 and f"{db}: no MaxMind database" in done.stderr, done
