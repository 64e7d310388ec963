# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that are resumed by any worker, of any life, on any edge that has the keys; presets, groups and suites."""
import base64
import json
import os
import signal
import subprocess

import pytest

import sluice
from sluice import SLOW, wait_for

ECHO = '{ path = "/echo"; protocol = "echo"; rate = 0; }'
REQUEST = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def tls_edge(extra="", workers=2):
    return sluice.Edge(workers=workers, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=extra)


def talk(edge, *args):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-ign_eof", *args],
                          input=REQUEST, capture_output=True, timeout=20 * SLOW)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def begin(edge, file, *args):
    text = talk(edge, "-sess_out", str(file), *args)
    assert "\nNew, TLSv1" in text and file.exists(), text


def resumes(edge, file, *args, keep=True):
    """Is the session that is in the file resumed? The file gets the next one."""
    text = talk(edge, "-sess_in", str(file), *(["-sess_out", str(file)] if keep else []), *args)
    assert '"status":"ok"' in text, text
    return "\nReused, TLSv1" in text


def sums(edge):
    rows = json.loads(edge.ctl("-j", "worker", "show"))
    return sum(r["handshakes"] for r in rows), sum(r["handshakes_resumed"] for r in rows)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_any_worker_resumes_and_so_does_its_successor(tmp_path, version):
    session = tmp_path / "session"
    with tls_edge(workers=3) as edge:
        begin(edge, session, version)
        for _ in range(9):  # over three workers
            assert resumes(edge, session, version)
        assert sums(edge) == (10, 9)
        before = edge.members()
        for name in ("worker-0", "worker-1", "worker-2"):
            os.kill(before[name], signal.SIGKILL)
        wait_for("their successors", 20, lambda: len(edge.members()) == 4 and all(
            edge.members()[n] != before[n] for n in before if n != "admin"))
        for _ in range(6):
            assert resumes(edge, session, version)
        assert sums(edge) == (6, 6)


def test_most_of_a_crowd_that_comes_back_resumes():
    with tls_edge() as edge:
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "handshake", "--resume", "-t", "2", "-f", "20", "-j", "-q",
                               "-u", edge.url("tls", "/echo")], capture_output=True, text=True, timeout=120)
        result = json.loads(done.stdout)
        every, resumed = sums(edge)
        assert result["failed"] == 0 and resumed >= every - 40 - 64 and resumed > 20, (result, every, resumed)
        assert 0 < result["resumed"] <= resumed


def test_nothing_is_resumed_where_that_is_off(tmp_path):
    with tls_edge('tls = { session_lifetime = 0; };') as edge:
        for version in ("-tls1_2", "-tls1_3"):
            text = talk(edge, version)
            assert "TLS session ticket" not in text and "Post-Handshake New Session Ticket" not in text
        done = subprocess.run([str(sluice.BUILD / "sluice-bench"), "handshake", "--resume", "-t", "1", "-f", "4", "-j", "-q",
                               "-u", edge.url("tls", "/echo")], capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and json.loads(done.stdout)["resumed"] == 0 and "resumed no session" in done.stderr


def keys(*numbers):
    return "".join(base64.b64encode(bytes([n]) * 80).decode() + "\n" for n in numbers)


def test_edges_with_the_same_keys_resume_each_others_sessions(tmp_path):
    file, session = tmp_path / "tickets", tmp_path / "session"
    file.write_text("# shared\n" + keys(1))
    shared = f'tls = {{ ticket_key_file = "{file}"; }};'
    with tls_edge(shared) as one, tls_edge(shared) as two, tls_edge() as stranger:
        begin(one, session)
        assert resumes(two, session) and resumes(one, session) and resumes(two, session)
        assert not resumes(stranger, session, keep=False)
        # a new key comes as the second, then it becomes the first, and the old one goes
        for text, still in ((keys(1, 2), True), (keys(2, 1), True), (keys(2), True), (keys(3), False)):
            seen = len(one.log()), len(two.log())
            file.write_text(text)
            wait_for("both have read it", 10, lambda: "read anew" in one.log()[seen[0]:] and "read anew" in two.log()[seen[1]:])
            assert resumes(two, session) == still, text
            assert resumes(one, session) or not still


def test_a_file_of_raw_keys_will_do(tmp_path):
    file, session = tmp_path / "tickets", tmp_path / "session"
    file.write_bytes(bytes(range(100, 180)))
    with tls_edge(f'tls = {{ ticket_key_file = "{file}"; }};') as edge:
        begin(edge, session)
        assert resumes(edge, session)


@pytest.mark.parametrize("text,want", [("short\n", "base64"), ("", "1 byte to 1 MiB"), (keys(1, 2, 3, 4), "more than 3 keys"),
                                       ("# none\n", "there is no key in it")])
def test_what_is_no_key_is_said_with_its_file(tmp_path, text, want):
    file = tmp_path / "tickets"
    file.write_text(text)
    edge = tls_edge(f'tls = {{ ticket_key_file = "{file}"; }};')
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and want in done.stderr and str(file) in done.stderr, done.stderr
    finally:
        edge.__exit__(None, None, None)


# ---- presets, groups, suites ------------------------------------------------------------------------

def works(edge, *args):
    return '"status":"ok"' in talk(edge, *args)


def test_intermediate_speaks_1_2_and_1_3_and_modern_1_3_alone():
    with tls_edge() as edge:
        assert works(edge, "-tls1_2") and works(edge, "-tls1_3")
    with tls_edge('tls = { preset = "modern"; };') as edge:
        assert not works(edge, "-tls1_2") and works(edge, "-tls1_3")
        assert "alert protocol version" in talk(edge, "-tls1_2")


def test_groups_are_those_that_are_named_and_the_best_first():
    with tls_edge() as edge:
        assert "Server Temp Key: X25519" in talk(edge) and "Server Temp Key: X25519" in talk(edge, "-groups", "P-384:X25519")
        assert "Server Temp Key: X25519" in talk(edge, "-groups", "P-521:X25519")  # after a HelloRetryRequest
        assert works(edge, "-groups", "P-384") and not works(edge, "-groups", "P-521")
    with tls_edge('tls = { groups = ["P-521", "P-256"]; };') as edge:
        assert "secp521r1" in talk(edge, "-groups", "P-256:P-521") and not works(edge, "-groups", "X25519")


def test_suites_of_1_2_are_those_that_are_named_and_the_best_first():
    with tls_edge() as edge:
        text = talk(edge, "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
        assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in text
    with tls_edge('tls = { suites = ["ECDHE-ECDSA-CHACHA20-POLY1305"]; };') as edge:
        assert not works(edge, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        assert works(edge, "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305") and works(edge, "-tls1_3")


@pytest.mark.parametrize("text,want", [
    ('preset = "old"', 'allowed is "intermediate", "modern"'), ('preset = "modern"; min_version = "1.2"', "TLS 1.3 alone"),
    ('groups = ["P-192"]', 'one of "X25519"'), ("groups = []", "without one no handshake"),
    ('suites = ["AES128-SHA"]', "a TLS 1.2 suite with ECDHE"), ("suites = []", "without one no client of TLS 1.2"),
    ('session_lifetime = "8 d"', "session_lifetime"), ('ticket_key_file = "/nowhere/at/all"', "/nowhere/at/all")])
def test_mistakes_are_told_with_what_is_allowed(text, want):
    edge = tls_edge(f"tls = {{ {text}; }};")
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and want in done.stderr and f"{edge.conf}:" in done.stderr, done.stderr
    finally:
        edge.__exit__(None, None, None)
