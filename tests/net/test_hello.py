# SPDX-License-Identifier: BSD-2-Clause
"""ClientHellos: their fingerprints, who is not let in for his, and the alerts that handshakes end with."""
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import sluice
import tls13
import wire
from sluice import wait_for

ECHO = '{ path = "/echo"; protocol = "echo"; rate = 0; }'


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=2, endpoints=ECHO) as e:
        yield e


def counted(edge):
    return {e["ja4"]: e for e in json.loads(edge.ctl("-j", "fingerprint", "show", "limit", "1000"))}


def fingerprint_of(edge, listener="tls", **how):
    """Of Python's own ClientHello, as conn show has it."""
    s, _ = wire.upgrade(edge, "/echo", listener, **how)
    port = s.getsockname()[1]
    rows = json.loads(edge.ctl("-j", "conn", "show"))
    s.close()
    return next(r["ja4"] for r in rows if r["peer"].endswith(f":{port}"))


def s_client(edge, *args, feed=b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-ign_eof", *args],
                          input=feed, capture_output=True, timeout=20)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


# ---- fingerprints -----------------------------------------------------------------------------------

def test_a_connection_shows_its_fingerprint_and_handshakes_are_counted_by_it(edge):
    mine = fingerprint_of(edge)
    assert mine[:4] == "t13d" and mine[8:10] == "00" and len(mine) == 36
    before = counted(edge).get(mine, {}).get("handshakes", 0)
    for _ in range(5):
        assert fingerprint_of(edge) == mine
    assert counted(edge)[mine]["handshakes"] == before + 5
    s_client(edge, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-noservername", "-alpn", "http/1.1")
    assert any(j.startswith("t12i02") and j[8:10] == "h1" for j in counted(edge))
    assert mine in edge.ctl("fingerprint", "show")


def test_what_is_denied_ends_without_a_word_and_others_stay(edge):
    mine = fingerprint_of(edge)
    inside, frames = wire.upgrade(edge, "/echo", "tls")
    assert f"fingerprint {mine} denied until taken away" in edge.ctl("deny", "fingerprint", mine)
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    with pytest.raises((ConnectionResetError, OSError)):
        edge.ssl_context().wrap_socket(s, server_hostname="localhost")
    assert '"status":"ok"' in s_client(edge)  # another program
    inside.sendall(wire.frame(1, b"still here"))
    assert frames.next() == (1, b"still here")
    inside.close()
    row = counted(edge)[mine]
    assert row["denied"] and row["refused"] >= 1 and "left_s" not in row
    assert json.loads(edge.ctl("-j", "fingerprint", "show", "limit", "1"))[0]["ja4"] == mine  # denied ones first
    assert "denied, " in edge.ctl("fingerprint", "show")
    # whoever begins later knows it too
    before = edge.members()
    for name in ("worker-0", "worker-1"):
        os.kill(before[name], signal.SIGKILL)

    def lives_again():
        now = edge.members()
        return len(now) == 3 and all(now[n] != before[n] for n in before if n != "admin")
    wait_for("their successors", 20, lives_again)
    for _ in range(4):
        with pytest.raises(OSError):
            wire.upgrade(edge, "/echo", "tls")
    assert sum(w["closed"].get("fingerprint", 0) for w in json.loads(edge.ctl("-j", "worker", "show"))) == 4
    assert "not denied any more" in edge.ctl("fingerprint", "undeny", mine)
    assert fingerprint_of(edge) == mine
    done = edge.ctl_run("fingerprint", "undeny", mine)
    assert done.returncode == 1 and "is not denied" in done.stderr


def test_a_denial_ends_by_itself(edge):
    mine = fingerprint_of(edge)
    assert "denied for 2s" in edge.ctl("fingerprint", "deny", mine, "for", "2s")
    with pytest.raises(OSError):
        wire.upgrade(edge, "/echo", "tls")
    assert counted(edge)[mine]["left_s"] <= 2

    def again():
        try:
            return fingerprint_of(edge) == mine
        except OSError:
            return False
    wait_for("let in again", 10, again)


def test_those_of_sluice_conf_are_denied_from_the_start(edge):
    mine = fingerprint_of(edge)
    with sluice.Edge(workers=1, endpoints=ECHO, extra=f'tls = {{ deny_fingerprints = ["{mine}"]; }};') as other:
        with pytest.raises(OSError):
            wire.upgrade(other, "/echo", "tls")
        assert '"status":"ok"' in s_client(other)


@pytest.mark.parametrize("args,code,want", [
    (["fingerprint", "deny"], 2, "which one"), (["fingerprint", "deny", "x"], 1, "looks like t13d1516h2"),
    (["fingerprint", "deny", "t13d1516h2_8daaf6152771_e5627efa2ab1", "for", "soon"], 2, "30s, 10m"),
    (["fingerprint", "show", "limit", "0"], 2, "limit must be"),
    (["deny", "fingerprint", "t13d1516h2_8daaf6152771_e5627efa2ab1\x1b[0m"], 1, "")])
def test_mistakes_are_told(edge, args, code, want):
    done = edge.ctl_run(*args)
    assert done.returncode == code and want in done.stderr and "\x1b" not in done.stderr, done


def test_fingerprints_of_programs_are_told_apart(edge):
    """Whatever their addresses: OpenSSL, GnuTLS, Python, Node and Chromium, if it is there."""
    seen = {}
    before = set(counted(edge))
    subprocess.run(["gnutls-cli", "--insecure", "-p", str(edge.port["tls"]), "127.0.0.1"], input=b"", capture_output=True, timeout=20)
    seen["gnutls"] = set(counted(edge)) - before
    before = set(counted(edge))
    subprocess.run(["node", "-e", f"require('https').get({{port: {edge.port['tls']}, host: '127.0.0.1', path: '/health', "
                    "rejectUnauthorized: false, servername: 'localhost'}, r => r.resume())"], capture_output=True, timeout=20)
    seen["node"] = set(counted(edge)) - before
    if shutil.which("chromium"):
        before = set(counted(edge))
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
                        "--virtual-time-budget=2000", "--dump-dom", f"https://localhost:{edge.port['tls']}/health"],
                       capture_output=True, timeout=60)
        seen["chromium"] = set(counted(edge)) - before
        assert any(j.startswith("t13d") and j[8:10] in ("h1", "h2") for j in seen["chromium"]), seen
    assert all(seen.values()), seen
    assert len(set.union(*seen.values())) >= len(seen)


# ---- alerts of handshakes ----------------------------------------------------------------------------

def vector(data, size):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vector(data, 2)


def hello(version=0x0303, suites=b"\x13\x01\x13\x02\x13\x03", extensions=None, compression=b"\x00", session=b"s" * 32, **change):
    """A ClientHello of TLS 1.3, or what is left of one."""
    known = {
        "name": extension(0, vector(b"\0" + vector(b"localhost", 2), 2)),
        "groups": extension(10, vector(b"\0\x1d\0\x17", 2)),
        "signatures": extension(13, vector(b"\x04\x03\x08\x04\x04\x01", 2)),
        "versions": extension(43, vector(b"\x03\x04", 1)),
        "share": extension(51, vector(b"\0\x1d" + vector(b"\x09" + b"\0" * 31, 2), 2)),
        "modes": extension(45, vector(b"\x01", 1)),
    }
    known.update({k: v for k, v in change.items() if v is not None})
    body = b"".join(v for k, v in known.items() if k not in change or change[k] is not None)
    body = (struct.pack(">H", version) + b"r" * 32 + vector(session, 1) + vector(suites, 2) + vector(compression, 1) +
            vector(body if extensions is None else extensions, 2))
    return vector_record(b"\x01" + vector(body, 3))


def vector_record(message, kind=22, version=b"\x03\x01"):
    return bytes([kind]) + version + vector(message, 2)


HELLOS = {
    "no common version": (hello(versions=extension(43, vector(b"\x03\x01", 1))), "protocol_version"),
    "SSL 3": (hello(version=0x0300, extensions=b""), "protocol_version"),
    "TLS 1.1": (hello(version=0x0302, extensions=b""), "protocol_version"),
    "no common suite": (hello(suites=b"\x13\x04\x13\x05"), "handshake_failure"),
    "no common group": (hello(groups=extension(10, vector(b"\0\x1e", 2)), share=extension(51, vector(b"", 2))), "handshake_failure"),
    "no groups": (hello(groups=None), "handshake_failure"),
    "no key share": (hello(share=None), "missing_extension"),
    "a share of all zeros": (hello(share=extension(51, vector(b"\0\x1d" + vector(b"\0" * 32, 2), 2))), "decode_error"),
    "a share that is too short": (hello(share=extension(51, vector(b"\0\x1d" + vector(b"\x09" * 31, 2), 2))), "decode_error"),
    "compression": (hello(compression=b"\x01"), "illegal_parameter"),
    "extensions cut short": (hello(extensions=b"\0\0\0\x09\0"), "decode_error"),
    "an extension twice": (hello(name=extension(10, b"\0\x02\0\x1d")), "decode_error"),
    "half a server name": (hello(name=extension(0, b"\0\x05\0")), "decode_error"),
    "another protocol (ALPN)": (hello(alpn=extension(16, vector(vector(b"h2", 1), 2))), "no_application_protocol"),
    "a message that is none of a client's": (vector_record(b"\x02" + vector(b"x" * 40, 3)), "unexpected_message"),
    "data before the handshake": (vector_record(b"data", 23, b"\x03\x03"), "unexpected_message"),
    "a record that is too long": (b"\x16\x03\x01\x48\x01" + b"x" * 100, "record_overflow"),
    "a fallback that is none": (hello(suites=b"\xc0\x2b\x56\x00", versions=None), "inappropriate_fallback"),
}


def alert_of(data):
    """The name of the last alert, in the clear, of what came."""
    found = None
    while len(data) >= 5:
        n = struct.unpack(">H", data[3:5])[0]
        if data[0] == 21 and n == 2:
            found = tls13.ALERTS[data[6]]
        data = data[5 + n:]
    return found


@pytest.mark.parametrize("what", HELLOS)
def test_a_hello_that_cannot_be_answered_gets_its_alert(edge, what):
    data, want = HELLOS[what]
    before = edge.members()
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    s.sendall(data)
    got = b""
    try:
        while more := s.recv(65536):
            got += more
    except ConnectionResetError:
        pass
    assert alert_of(got) == want, got
    assert edge.members() == before


def test_the_hello_of_these_tests_is_one(edge):
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    s.sendall(hello())
    assert s.recv(65536)[:1] == b"\x16"
    s.close()


def test_a_finished_that_is_another_is_a_decrypt_error(edge):
    """Sealed well, and its content is not what the handshake was."""
    with pytest.raises(tls13.Refused) as e:
        tls13.Client(edge, spoil_finished=True)
    assert str(e.value) == "decrypt_error"


def test_what_cannot_be_opened_in_a_handshake_is_a_bad_mac(edge):
    with pytest.raises(tls13.Refused) as e:
        tls13.Client(edge, spoil_record=True)
    assert str(e.value) == "bad_record_mac"


def alerts_heard(edge):
    return sum(w["alerts_in"] for w in json.loads(edge.ctl("-j", "worker", "show")))


@pytest.mark.parametrize("alert", [n for n in tls13.ALERTS if n not in (0, 90)])
def test_an_alert_in_place_of_finished_ends_the_handshake_and_is_counted(edge, alert):
    before = alerts_heard(edge)
    with pytest.raises(tls13.Refused) as e:
        tls13.Client(edge, instead_of_finished=(tls13.ALERT, bytes([2, alert])))
    assert str(e.value) == "eof"
    wait_for("counted", 5, lambda: alerts_heard(edge) == before + 1)


def test_a_client_that_does_not_trust_us_says_so(edge):
    before = alerts_heard(edge)
    assert "certificate verify failed" in s_client(edge, "-verify_return_error")  # says unknown_ca
    context = ssl.create_default_context()
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(s, server_hostname="localhost")
    subprocess.run(["gnutls-cli", "-p", str(edge.port["tls"]), "127.0.0.1"], input=b"", capture_output=True, timeout=20)
    wait_for("all three are counted", 5, lambda: alerts_heard(edge) == before + 3)
