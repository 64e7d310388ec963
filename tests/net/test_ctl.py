# SPDX-License-Identifier: BSD-2-Clause
"""sluicectl as an operator uses it: help everywhere, JSON everywhere, clear mistakes."""
import json
import os
import socket
import subprocess

import pytest

import sluice
import wire

OBJECTS = ["status", "worker", "conn", "channel", "deny", "drop", "prog"]
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
    (["conn", "show", "id", "zz"], 1, "client id"),
])
def test_mistakes_say_what_is_wrong(edge, args, code, text):
    done = ctl("-c", str(edge.control), *args)
    assert done.returncode == code, done
    assert text in done.stdout + done.stderr


def test_without_a_daemon_the_exit_code_is_3(tmp_path):
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


def test_prefixes_are_enough(edge):
    assert edge.ctl("st", "sh") == edge.ctl("status", "show")[:0] + edge.ctl("status")


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
    s.sendall(b"x" * 3000 + b"\n")
    assert b"1024 bytes" in lines.readline()
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
    assert set(complete("-j", "conn", "show", "")) == {"worker", "id", "limit"}


def test_terminal_escapes_in_names_do_not_reach_the_terminal(edge):
    """A control character cannot be part of a channel's name, and nothing else prints raw bytes."""
    s, frames = wire.upgrade(edge, "/ws")
    s.sendall(wire.frame(1, b'{"type":"subscribe","channel":"\\u001b[31mred"}'))
    while b"invalid_channel" not in frames.next()[1]:
        pass
    assert "\x1b" not in edge.ctl("channel", "show")
    s.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_strangers_cannot_open_the_control_socket(edge):
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CTL, "-c", str(edge.control),
                           "status"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 3 and "Permission denied" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for BPF")
@pytest.mark.parametrize("args", [("deny", "show"), ("drop", "show"), ("prog", "show")], ids=" ".join)
def test_the_shown_commands_are_what_bpftool_takes(args):
    with sluice.Edge(workers=1, interfaces=["slknone0"]) as edge:
        shown = edge.ctl("--show-command", *args).splitlines()
        assert shown
        for line in shown:
            assert line.startswith("bpftool -j ") and str(edge.pin_dir) in line
            done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, done.stderr
            json.loads(done.stdout)
