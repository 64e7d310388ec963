# SPDX-License-Identifier: BSD-2-Clause
"""sluicectl as an operator uses it: help everywhere, JSON everywhere, clear mistakes."""
import json
import os
import re
import socket
import subprocess

import pytest

import sluice
import wire

OBJECTS = ["status", "worker", "conn", "channel", "deny", "drop", "rate", "talker", "event", "policy", "prog",
           "cert", "fingerprint", "allow"]
CTL = str(sluice.BUILD / "sluicectl")


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge() as e:
        yield e


def ctl(*args, **more):
    return subprocess.run([CTL, *args], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, **more)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_has_help_with_examples_and_its_man_page(name):
    done = ctl(name, "help")
    assert done.returncode == 0 and "Examples:" in done.stdout and f"sluicectl {name} show" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.split("Examples:")[0].splitlines())
    page = (sluice.ROOT / f"tools/man/sluicectl-{name}.8").read_text()
    assert page == ctl(f"--man={name}").stdout, f"run: sluicectl --man={name} > tools/man/sluicectl-{name}.8"


def test_the_main_man_page_is_what_the_program_says():
    assert (sluice.ROOT / "tools/man/sluicectl.8").read_text() == ctl("--man").stdout


def test_the_bench_man_page_has_all_options():
    text = subprocess.run([str(sluice.BUILD / "sluice-bench"), "--help"], capture_output=True, text=True,
                          timeout=10).stdout
    page = (sluice.ROOT / "tools/man/sluice-bench.1").read_text().replace("\\-", "-")
    for word in text.split():
        if word.startswith("--") and word.strip(".,`'").isascii():
            assert word.strip(".,`'") in page, word


@pytest.mark.parametrize("args,code,text", [
    ([], 2, "Usage"), (["--help"], 0, "Exit codes"), (["--nonsense"], 2, "--help"),
    (["nonsense"], 2, "unknown object"), (["d"], 2, "ambiguous object"), (["conn", "dance"], 2, "unknown verb"),
    (["conn", "show", "colour", "red"], 2, "unknown keyword"), (["conn", "show", "limit"], 2, "wants a value"),
    (["conn", "show", "limit", "x"], 2, "must be a number"), (["conn", "close"], 2, "which one"),
    (["conn", "show", "limit", "1", "limit", "2"], 2, "twice"),
    (["deny", "add"], 2, "whom"), (["deny", "add", "1.2.3.4/40"], 2, "0 to 32"), (["deny", "add", "x"], 2, "no address"),
    (["deny", "add", "1.2.3.4", "for", "soon"], 2, "30s, 10m"), (["worker", "show", "id", "99"], 1, "no worker 99"),
    (["conn", "show", "id", "0" * 32], 1, "no connection"), (["channel", "show", "name", "nobody"], 1, "nobody is in"),
    (["conn", "show", "id", "zz"], 1, "dashes are fine"), (["d"], 2, "deny or drop"),
    (["deny", "add", "10.0.0.1/8"], 2, "did you mean 10.0.0.0/8?"),
    (["deny", "del", "2001:db8::1/32"], 2, "did you mean 2001:db8::/32?"),
    (["deny", "add", "1.2.3.4", "for", "10 m"], 2, "a plain number is seconds"),
    (["deny", "add", "1.2.3.4", "force", "no"], 2, "only `yes`"),
    (["deny", "add", "0.0.0.0/7"], 1, "lock out"), (["deny", "add", "2000::/15"], 1, "lock out"),
    (["deny", "add", "0.0.0.0/0", "force", "yes"], 1, "the shield is off"),
    (["deny", "add", "10.0.0.0/8"], 1, "the shield is off"),
    (["deny", "show"], 1, "the shield is off: "), (["drop", "show"], 1, "the shield is off: "),
    (["allow", "show"], 1, "the shield is off: "), (["policy", "show"], 1, "the shield is off: "),
    (["rate", "show"], 1, "the shield is off: "), (["deny", "export"], 1, "the shield is off: "),
    (["deny", "add", "::ffff:0.0.0.0/90"], 2, "96 to 128"), (["allow", "del", "::ffff:10.0.0.1/104"], 2, "did you mean 10.0.0.0/8?"),
    (["deny", "load", os.devnull, "set", "-"], 2, "is no name"), (["deny", "load", "-"], 2, "set NAME"),
    (["deny", "load", "/etc"], 1, "a directory"), (["policy", "check", "/"], 1, "a directory"),
    (["deny", "load", os.devnull, "wait", "2h"], 2, "at most 1h"), (["deny", "load", os.devnull, "as", "allow"], 2, "only `deny`"),
    (["drop", "explain", "00", "limit", "0"], 2, "limit: a number from 1"),
    (["help", "nonsense"], 2, "unknown object"),
    (["drop", "show", "some"], 2, "'all'"), (["conn", "show", "--json"], 2, "options stand before the object"),
    (["conn", "show", "--limit"], 2, "wants a value"), (["conn", "show", "--limit=x"], 2, "must be a number"),
    (["conn", "show", "--limit", "1", "limit", "2"], 2, "twice"),
])
def test_mistakes_say_what_is_wrong(edge, args, code, text):
    done = ctl("-c", str(edge.control), *args)
    assert done.returncode == code, done
    assert text in done.stdout + done.stderr


@pytest.mark.parametrize("args", [["deny", "add"], ["drop", "explain"], ["conn"], ["drop", "show"], ["deny", "export", "set"], []])
def test_what_is_far_too_long_is_not_repeated_whole(edge, args):
    done = ctl("-c", str(edge.control), *args, "ä" * 5000)
    assert done.returncode in (1, 2) and len(done.stderr) < 400
    assert "the shield is off" in done.stderr or "ä… (10000 bytes)" in done.stderr


def test_a_file_to_check_may_come_from_standard_input(edge):
    def check(text):
        return subprocess.run([CTL, "-c", str(edge.control), "policy", "check", "-"], capture_output=True, text=True, timeout=30,
                              input=text)
    assert check(edge.conf.read_text()).returncode == 0
    done = check(edge.conf.read_text() + "\nnonsense = 3;\n")
    assert done.returncode == 1 and "/dev/stdin:" in done.stderr and "unknown option 'nonsense'" in done.stderr


def test_a_fifo_is_waited_for_with_a_word_and_never_written_to_without_a_reader(edge, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waits = subprocess.Popen([CTL, "-c", str(edge.control), "policy", "check", str(fifo)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waits.stderr.readline() == f"{fifo}: waiting for somebody to write into it\n"
    fifo.write_text(edge.conf.read_text())
    out, err = waits.communicate(timeout=30)
    assert waits.returncode == 0 and out.startswith("sound: "), err


def test_without_a_daemon_the_exit_code_is_3(tmp_path):
    done = ctl("-c", str(tmp_path / "none.sock"), "drop", "show")
    assert done.returncode == 3 and "--pin-dir PATH shows without it" in done.stderr
    assert "--pin-dir" not in ctl("-c", str(tmp_path / "none.sock"), "conn", "show").stderr
    done = ctl("-c", str(tmp_path / "none.sock"), "status")
    assert done.returncode == 3 and "is sluiced running" in done.stderr
    done = ctl("-j", "-c", str(tmp_path / "none.sock"), "status")
    assert done.returncode == 3 and "error" in json.loads(done.stdout)


def test_json_is_json_and_pretty_is_the_same(edge):
    s, _ = wire.upgrade(edge, "/ws")
    for args in (["status"], ["worker", "show"], ["conn", "show"], ["channel", "show"]):
        plain = json.loads(edge.ctl("-j", *args))
        pretty = json.loads(edge.ctl("-p", *args))
        assert type(plain) is type(pretty) and len(plain) == len(pretty)
        assert edge.ctl(*args).strip()
    s.close()


@pytest.mark.parametrize("short,full", [(["ch", "sh"], ["channel", "show"]), (["ch", "s", "n", "none"], ["channel", "show", "name", "none"]),
                                        (["c", "sh"], None), (["co", "sh", "l", "0"], ["conn", "show", "limit", "0"]),
                                        (["de", "a", "x"], ["deny", "add", "x"]), (["w", "h"], ["worker", "help"])])
def test_prefixes_are_enough_as_long_as_they_are_clear(edge, short, full):
    done = ctl("-c", str(edge.control), *short)
    if full is None:
        assert done.returncode == 2 and "conn or channel" in done.stderr
        return
    want = ctl("-c", str(edge.control), *full)
    assert (done.returncode, done.stdout, done.stderr) == (want.returncode, want.stdout, want.stderr)


def test_a_row_for_people_has_what_the_json_has(edge):
    s, _ = wire.upgrade(edge, "/ws")
    row = json.loads(edge.ctl("-j", "conn", "show"))[0]
    shown = edge.ctl("conn", "show").splitlines()[1].split()
    assert shown[:5] == [row["id"], f"w{row['worker']}/{row['index']}", row["state"], row["peer"], row["endpoint"]]
    s.close()


def test_many_connections_come_in_pages(edge):
    clients = [wire.upgrade(edge, "/ws") for _ in range(450)]
    rows = json.loads(edge.ctl("-j", "conn", "show"))
    assert len({r["id"] for r in rows}) == 450
    assert len(json.loads(edge.ctl("-j", "conn", "show", "limit", "30"))) == 30
    assert "30 connections shown" in edge.ctl("conn", "show", "limit", "30")
    for s, _ in clients:
        s.close()


def test_the_control_socket_bears_nonsense(edge):
    """Whatever comes, there is one line of JSON for it, and the admin worker lives."""
    before = edge.members()["admin"]
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(edge.control))
    lines = s.makefile("rb")
    for text in (b"", b"{}", b"null", b'{"ask":7}', b'{"ask":"dance"}', b'{"ask":"worker"}', b'{"ask":"worker","member":-1}',
                 b'{"ask":"conns","member":0,"limit":100000}', b'{"ask":"conn","member":0,"id":"x"}', b"\xff\xfe",
                 b'{"ask":"deny-add","addr":"1.2.3.4","bits":99}', b"[" * 900, b'{"ask":"channels","member":0,"name":7}'):
        s.sendall(text + b"\n")
        assert json.loads(lines.readline())["ok"] is False, text
    s.sendall(b"x" * 30000 + b"\n")
    assert b"16384 bytes" in lines.readline()
    s.close()
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(edge.control))
    s.sendall(b'{"ask":"worker","member":0}\n' * 5)  # several at once are answered in order
    lines = s.makefile("rb")
    assert all(json.loads(lines.readline())["ok"] for _ in range(5))
    many = []
    for _ in range(40):  # more clients than there are places
        c = socket.socket(socket.AF_UNIX)
        c.connect(str(edge.control))
        many.append(c)
    for c in many + [s]:
        c.close()
    sluice.wait_for("the places are free again", 5, lambda: ctl("-c", str(edge.control), "status").returncode == 0)
    assert edge.members()["admin"] == before


def test_completion_offers_what_may_stand_next():
    script = (f'PATH={sluice.BUILD}:$PATH; . {sluice.ROOT}/tools/completion/sluicectl.bash; COMP_WORDS=(sluicectl "$@");'
              'COMP_CWORD=$(($#)); _sluicectl; echo "${COMPREPLY[@]}"')
    def complete(*words):
        return subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                              timeout=20).stdout.split()
    assert set(OBJECTS) <= set(complete(""))
    assert complete("d") == ["deny", "drop"]
    assert complete("deny", "a") == ["add"]
    assert set(complete("-j", "conn", "show", "")) == {"worker", "id", "to", "space", "limit"}
    assert set(complete("conn", "show", "worker", "0", "")) == {"id", "to", "space", "limit"}
    assert complete("drop", "capture", "out", "x", "via", "") == ["ring", "xsk"]
    assert complete("drop", "capture", "--reason", "rate-s") == ["rate-syns"]
    assert set(complete("drop", "capture", "out", "x", "")) == {"reason", "count", "for", "one-in", "via"}
    assert complete("deny", "add", "192.0.2.1", "force", "") == ["yes"]
    assert complete("drop", "explain", str(sluice.ROOT / "Makef")) == [str(sluice.ROOT / "Makefile")]
    assert complete("deny", "load", "READ") == ["README.md"]
    assert "README.md" in complete("allow", "export", "to", "")


@pytest.mark.parametrize("name", OBJECTS)
def test_completion_knows_every_verb_of_every_object(name):
    verbs = set(re.findall(rf"^  sluicectl {name} (\S+)", ctl(name, "help").stdout.split("Examples:")[0], re.M)) - {"help"}
    assert verbs and set(ctl("--complete", name).stdout.split()) == verbs


def test_terminal_escapes_in_names_do_not_reach_the_terminal(edge):
    """A control character cannot be part of a channel's name, and nothing else prints raw bytes."""
    s, frames = wire.upgrade(edge, "/ws")
    s.sendall(wire.frame(1, b'{"type":"subscribe","channel":"\\u001b[31mred"}'))
    while b"invalid_channel" not in frames.next()[1]:
        pass
    assert "\x1b" not in edge.ctl("channel", "show")
    s.close()


def subscribe(edge, *names):
    s, frames = wire.upgrade(edge, "/ws")
    for name in names:
        s.sendall(wire.frame(1, json.dumps({"type": "subscribe", "channel": name, "id": name}).encode()))
        while b'"subscribed"' not in frames.next()[1]:
            pass
    return s


def test_every_channel_has_its_home_and_its_offset_wherever_its_subscribers_are():
    with sluice.Edge(workers=3, extra='namespaces = ( { name = ""; history = 10; } );') as edge:
        names = [f"home-{i}" for i in range(60)]
        s = subscribe(edge, *names)
        for name in names[:30]:
            s.sendall(wire.frame(1, json.dumps({"type": "publish", "channel": name, "data": 1, "id": "p"}).encode()))
        def offsets():
            rows = {r["name"]: r for r in json.loads(edge.ctl("-j", "channel", "show"))}
            return rows if all(rows[n]["offset"] == (1 if n in names[:30] else 0) for n in names) else None
        rows = sluice.wait_for("all offsets are told", 5, offsets)
        assert {rows[n]["home"] for n in names} == {0, 1, 2}
        assert all(rows[n]["subscribers"] == 1 for n in names)
        for name in names[:3]:
            one, = json.loads(edge.ctl("-j", "channel", "show", "name", name))
            assert (one["home"], one["offset"], one["subscribers"]) == (rows[name]["home"], 1, 1)
        assert "?" not in edge.ctl("channel", "show")
        s.close()


def test_history_is_shown_and_purged_by_channel_and_by_who_said_it():
    with sluice.Edge(workers=3, extra='namespaces = ( { name = ""; history = 10; } );') as edge:
        ids, socks = [], []
        for _ in range(2):
            s, frames = wire.upgrade(edge, "/ws")
            ids.append(json.loads(frames.next()[1])["clientId"])
            for i in range(8):
                s.sendall(wire.frame(1, json.dumps({"type": "publish", "channel": f"kept-{i}", "data": i,
                                                    "id": 1}).encode()))
                while b'"published"' not in frames.next()[1]:
                    pass
            socks.append(s)

        def kept():
            return {r["name"]: r["messages"] for r in json.loads(edge.ctl("-j", "channel", "show"))
                    if r["name"].startswith("kept") and r["messages"]}
        assert kept() == {f"kept-{i}": 2 for i in range(8)}
        assert "kept-3" in edge.ctl("channel", "show")  # nobody is in it
        rows = json.loads(edge.ctl("-j", "channel", "purge", "from", ids[0]))
        assert {r["name"]: r["purged"] for r in rows} == {f"kept-{i}": 1 for i in range(8)}
        assert kept() == {f"kept-{i}": 1 for i in range(8)}
        assert edge.ctl("channel", "purge", "name", "kept-3") == "1 messages of 1 channels are gone\n"
        assert kept() == {f"kept-{i}": 1 for i in range(8) if i != 3}
        assert edge.ctl_run("channel", "purge").returncode != 0
        assert edge.ctl_run("channel", "purge", "name", "a", "from", "b").returncode != 0
        for s in socks:
            s.close()


def test_a_name_cannot_turn_the_terminal_and_does_not_shift_the_columns(edge):
    s = subscribe(edge, "\u202eevil\u2066", "żółć", "plain")
    lines = {l.split()[0]: l for l in edge.ctl("channel", "show").splitlines() if l.split()[0] in ("?evil?", "żółć", "plain")}
    assert len(lines) == 3 and len({len(l) for l in lines.values()}) == 1
    done = subprocess.run([CTL.encode(), b"caf\xe9"], capture_output=True, timeout=10)
    assert b"'caf?'" in done.stderr
    done = subprocess.run([CTL.encode(), b"-j", b"caf\xe9"], capture_output=True, timeout=10)
    assert "caf?" in json.loads(done.stdout)["error"]
    s.close()


def test_help_stands_before_or_behind_the_object():
    assert ctl("help", "conn").stdout == ctl("conn", "help").stdout == ctl("help", "conn", "show").stdout
    assert ctl("conn", "show", "help").stdout == ctl("conn", "help").stdout != ""
    assert ctl("help").stdout == ctl("--help").stdout != ""
    for asked in (("conn", "--help"), ("conn", "-h"), ("conn", "show", "--help"), ("conn", "close", "-h")):
        assert ctl(*asked).stdout == ctl("conn", "help").stdout, asked


@pytest.mark.parametrize("args", [("status",), ("worker", "show"), ("conn", "show"), ("conn", "close", "id", "0" * 32),
                                  ("channel", "show"), ("deny", "add", "203.0.113.9"), ("deny", "del", "203.0.113.9")],
                         ids=" ".join)
def test_who_asks_for_a_command_that_there_is_not_is_told_and_nothing_is_done(edge, args):
    done = ctl("-c", str(edge.control), "--show-command", *args)
    assert done.returncode == 2 and done.stdout == "" and "there is no bpftool command" in done.stderr


def test_a_pin_dir_where_none_is_read_is_told_and_nothing_is_done(edge):
    for args in (("deny", "add", "203.0.113.9"), ("conn", "show")):
        done = ctl("-c", str(edge.control), "--pin-dir", "/nowhere", *args)
        assert done.returncode == 2 and done.stdout == "" and "--pin-dir" in done.stderr, args


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_who_may_not_look_into_the_bpffs_still_hears_that_the_shield_is_off(edge):
    os.chmod(edge.control, 0o666)
    try:
        for args in (("deny", "show"), ("drop", "show"), ("prog", "show")):
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CTL, "-c",
                                   str(edge.control), *args], capture_output=True, text=True, timeout=20)
            assert done.returncode == 1 and "the shield is off: " in done.stderr, done
    finally:
        os.chmod(edge.control, 0o660)


def test_an_option_behind_the_object_is_told_its_place(edge):
    done = ctl("-c", str(edge.control), "conn", "-j")
    assert done.returncode == 2 and "options stand before the object" in done.stderr


def test_the_programs_are_of_one_version():
    said = {subprocess.run([str(sluice.BUILD / p), "-V"], capture_output=True, text=True, timeout=10).stdout.split()[1]
            for p in ("sluiced", "sluicectl", "sluice-bench")}
    assert len(said) == 1


@pytest.mark.parametrize("n", [0, 1, 3])
def test_pretty_connections_are_laid_out_like_any_json(edge, n):
    clients = [wire.upgrade(edge, "/ws") for _ in range(n)]
    sluice.wait_for("nobody else is there", 5, lambda: len(json.loads(edge.ctl("-j", "conn", "show"))) == n)
    shown = edge.ctl("-p", "conn", "show")
    assert shown == json.dumps(json.loads(shown), indent=2) + "\n"
    for s, _ in clients:
        s.close()


def test_the_bench_does_not_invent_what_it_has_not_measured(edge):
    def bench(*args):
        return subprocess.run([str(sluice.BUILD / "sluice-bench"), *args], capture_output=True, text=True, timeout=60)
    url = ["-u", edge.url("plain", "/ws"), "-q"]
    done = bench("idle", "-n", "3", "-t", "0.1", *url)
    assert done.returncode == 0 and "server: not measured (-p PID)" in done.stdout
    row = json.loads(bench("idle", "-n", "3", "-t", "0.1", "-j", *url).stdout)
    assert row["pss_per_connection"] is None and row["cpu_at_rest"] is None
    row = json.loads(bench("fanout", "-n", "3", "-m", "2", "-j", *url).stdout)
    assert row["server_cpu_us_per_delivery"] is None and row["deliveries"] == 6
    row = json.loads(bench("handshake", "-t", "0.3", "-j", *url).stdout)
    assert row["server_cpu_us_per_handshake"] is None
    nobody = ["-u", f"ws://127.0.0.1:{sluice.free_port()}/ws", "-q", "-n", "2", "-t", "0.1"]
    done = bench("idle", *nobody)
    assert done.returncode == 1 and "Connection refused" in done.stderr
    done = bench("idle", "-n", "2", "-t", "0.1", "-q", "-u", edge.url("plain", "/nothing"))
    assert done.returncode == 1 and "HTTP 404" in done.stderr
    done = bench("idle", "-n", "2", "-t", "0.1", "-q", "-u", edge.url("plain", "/ws").replace("ws:", "wss:"))
    assert done.returncode == 1 and "TLS" in done.stderr


@pytest.mark.parametrize("args,text", [
    (["dance"], "idle, fanout, handshake"), (["idle", "extra"], "'extra'"), ([], "Usage"),
    (["idle", "-u", "ws://localhost:8080/ws"], "is no URL"), (["idle", "-u", "http://nowhere"], "is no URL"),
    (["idle", "-p", "4194000"], "there is no process 4194000"),
    (["idle", "-u", "ws://127.0.0.1:80:80/ws"], "is no URL"), (["idle", "-u", "ws://127.0.0.1:99999/"], "is no URL"),
    (["fanout", "--publish-url", "http://nowhere/pub"], "is no URL"),
    (["idle", "-t", "0"], "from 0.1 to"), (["idle", "-n", "1.5"], "whole"), (["idle", "-n", "0"], "from 1 to"),
    (["idle", "-m", "5"], "-m"), (["handshake", "-w", "2"], "-w"), (["fanout", "-t", "2"], "-t"),
    (["idle", "--resume"], "--resume"), (["handshake", "--asleep"], "--asleep"), (["idle", "--rest", "3"], "--rest"),
    (["fanout", "-r", "5", "-w", "3"], "one of the two"),
    (["idle", "--probe"], "--probe"), (["handshake", "--dialect", "mqtt"], "--dialect"), (["fanout", "--dialect", "irc"], "socketio, mqtt"),
    (["fanout", "--dialect", "mqtt", "--publish", "%s"], "words of its own"), (["fanout", "--probe", "--publish", "%s"], "%c"),
    (["fanout", "--burst", "8", "-w", "4"], "at least as many"), (["fanout", "--deaf", "100"], "from 1 to 99"),
    (["fanout", "--burst", "2", "--publish-url", "http://127.0.0.1/"], "one by one"), (["fanout", "--channel", 'a"b'], "quotes"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_the_bench_ignores_nothing_that_it_is_told(args, text):
    done = subprocess.run([str(sluice.BUILD / "sluice-bench"), *args], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and done.stdout == "" and text in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for BPF")
def test_prog_show_names_the_listener_of_each_group():
    with sluice.Edge(workers=2, interfaces=["slknone0"]) as edge:
        rows = {r["pin"]: r for r in json.loads(edge.ctl("-j", "prog", "show"))}
        names = [l["name"] for l in json.loads(edge.ctl("-j", "status"))["listeners"]]
        assert [rows[f"reuseport_{i}"]["listener"] for i in range(len(names))] == names
        assert f"listener {names[1]}" in edge.ctl("prog", "show")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for BPF")
def test_a_denial_says_what_happened_and_for_how_long():
    with sluice.Edge(workers=1, interfaces=["slknone0"]) as edge:
        assert edge.ctl("deny", "add", "203.0.113.0/24", "for", "600", "note", "scan") == "203.0.113.0/24 denied for 10m\n"
        edge.wait_log("203.0.113.0/24 denied for 10m: scan")
        assert edge.ctl("deny", "add", "203.0.113.7", "for", "90min") == "203.0.113.7/32 denied for 1h 30m\n"
        assert edge.ctl("deny", "add", "198.51.100.0/24") == "198.51.100.0/24 denied until taken away\n"
        assert edge.ctl("deny", "add", "0.0.0.0/1", "force", "yes").startswith("0.0.0.0/1 denied")
        assert edge.ctl("deny", "del", "0.0.0.0/1") == "0.0.0.0/1 taken away\n"
        told = json.loads(edge.ctl("-j", "deny", "add", "192.0.2.1", "for", "1h", "note", "js"))
        assert told == {"ok": True, "text": "192.0.2.1/32 denied for 1h"}
        row, = [r for r in json.loads(edge.ctl("-j", "deny", "show")) if r["prefix"] == "192.0.2.1/32"]
        assert row["note"] == "js" and 3500 < row["left_s"] <= 3600 and row["hits"] == 0
        assert json.loads(edge.ctl("-j", "deny", "del", "192.0.2.1"))["ok"] is True
        refused = ctl("-j", "-c", str(edge.control), "deny", "del", "192.0.2.1")
        assert refused.returncode == 1 and "192.0.2.1" in json.loads(refused.stdout)["error"]
        drops = json.loads(edge.ctl("-j", "drop", "show"))
        listed = re.findall(r'^REASON\(\w+, *"([^"]+)"', (sluice.ROOT / "bpf/drop_reason.def").read_text(), re.M)
        assert [r["reason"] for r in drops["reasons"]] == listed
        assert len(edge.ctl("drop", "show", "all").splitlines()) == 2 + len(drops["reasons"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for BPF")
def test_a_shield_that_judges_nothing_says_so_beside_what_it_has(tmp_path):
    with sluice.Edge(workers=1, interfaces=["slknone0"]) as edge:
        for what in ("policy", "deny", "allow", "drop", "rate", "event"):
            done = edge.ctl_run(what, "show")
            assert done.returncode == 0 and "the shield is off: attached to no interface: no packet" in done.stderr, done
            assert "shield is off" in edge.ctl_run("-j", what, "show").stderr
        assert json.loads(edge.ctl("-j", "policy", "show"))["shield"] == {"on": False, "text": "attached to no interface"}
        # the same edge, and a list as people write it
        edge.ctl("deny", "add", "::ffff:192.0.2.1", "note", "DOMAIN\\user \\n ü")
        row, = json.loads(edge.ctl("-j", "deny", "show"))
        assert row["prefix"] == "192.0.2.1/32" and row["note"] == "DOMAIN\\user \\n ü"
        assert json.loads(edge.ctl("-j", "deny", "show", "::ffff:192.0.2.1")) == [row]
        edge.ctl("allow", "add", "::ffff:198.51.100.0/120")
        assert [r["prefix"] for r in json.loads(edge.ctl("-j", "allow", "show"))] == ["198.51.100.0/24"]
        edge.ctl("deny", "add", "192.0.2.9", "for", "1s")  # what is over says so, what is not has a second at least
        def left():
            return [line.split()[2] for line in edge.ctl("deny", "show").splitlines() if line.startswith("192.0.2.9/32")]
        assert left() in (["1s"], ["expired"], [])
        sluice.wait_for("its time is over", 20, lambda: left() in (["expired"], []))
        kept = tmp_path / "kept"
        kept.write_text("kept")
        done = edge.ctl_run("deny", "export", "set", "nope", "to", str(kept))
        assert done.returncode == 1 and "no such set, 'nope'" in done.stderr and kept.read_text() == "kept"
        assert edge.ctl("deny", "export", "set", "-", "to", str(kept)) == "" and "192.0.2.1/32" in kept.read_text()
        os.mkfifo(tmp_path / "fifo")
        done = edge.ctl_run("deny", "export", "to", str(tmp_path / "fifo"))
        assert done.returncode == 1 and "nobody reads from this FIFO" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_strangers_cannot_open_the_control_socket(edge):
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CTL, "-c", str(edge.control),
                           "status"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 3 and "Permission denied" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for BPF")
@pytest.mark.parametrize("args", [("deny", "show"), ("drop", "show"), ("prog", "show"), ("event", "show"), ("talker", "show"),
                                  ("policy", "show")], ids=" ".join)
def test_the_shown_commands_are_what_bpftool_takes(args):
    with sluice.Edge(workers=1, interfaces=["slknone0"]) as edge:
        edge.ctl("deny", "add", "203.0.113.9")  # a list that never had an entry has no maps
        shown = edge.ctl("--show-command", *args).splitlines()
        assert shown
        for line in shown:
            assert line.startswith("bpftool -j ") and str(edge.pin_dir) in line
            done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, done.stderr
            json.loads(done.stdout)
