# SPDX-License-Identifier: BSD-2-Clause
"""The record layer after the handshake, held to RFC 8446 by stacks that are not ours: OpenSSL, GnuTLS and python-cryptography;
with a relay between us that damages what passes."""
import json
import os
import random
import re
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

import sluice
import tls13
import wire
from sluice import wait_for
from tls13 import ALERT, CCS, DATA, HANDSHAKE, Client

UPDATE, UPDATE_ASKING = b"\x18\0\0\x01\0", b"\x18\0\0\x01\x01"


ECHO = '{ path = "/echo"; protocol = "echo"; origins = "*"; rate = 0; }'


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=1, endpoints=ECHO) as e:
        yield e


@pytest.fixture(scope="module")
def often():
    """Our own key is exchanged after a few records."""
    with sluice.Edge(workers=1, endpoints=ECHO, extra="tls = { key_records = 16; };") as e:
        yield e


def echo(edge, suite="TLS_AES_128_GCM_SHA256"):
    """An echoing WebSocket over records of our own making."""
    c = Client(edge, suite)
    c.send(wire.upgrade_request("/echo"))
    status, _, rest = wire.read_head(c)
    assert status == 101
    return c, wire.Frames(c, rest)


def says(c, frames, text):
    c.send(wire.frame(1, text))
    assert frames.next() == (1, text)


def stats(edge):
    return json.loads(edge.ctl("-j", "worker", "show"))


# ---- what is allowed ----------------------------------------------------------------------------

@pytest.mark.parametrize("suite", tls13.SUITES)
def test_each_suite_carries_messages_of_all_sizes(edge, suite):
    c, frames = echo(edge, suite)
    with c:
        for n in (0, 1, 15, 16, 17, 125, 126, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536):
            data = os.urandom(n)
            c.send(wire.frame(2, data))
            assert wire.message(frames) == (2, data)
        assert c.tickets >= 1


@pytest.mark.parametrize("padding", [0, 1, 255, 16384 - 40])
def test_padding_is_taken_off(edge, padding):
    c, frames = echo(edge)
    with c:
        c.raw(DATA, wire.frame(1, b"padded"), padding=padding)
        assert frames.next() == (1, b"padded")


def test_a_record_may_hold_nothing_and_a_full_one_all_there_is(edge):
    c, frames = echo(edge)
    with c:
        c.raw(DATA, b"")
        c.raw(DATA, b"", padding=100)
        data = os.urandom(16384 - 8)
        c.raw(DATA, wire.frame(2, data))  # 16,384 bytes of content
        assert wire.message(frames) == (2, data)


def test_the_version_bytes_of_a_record_are_ignored(edge):
    c, frames = echo(edge)
    with c:
        for version in (b"\x03\x01", b"\x03\x04", b"\0\0", b"\xff\xff"):
            c.raw(DATA, wire.frame(1, b"version"), version=version)
            assert frames.next() == (1, b"version")


@pytest.mark.parametrize("suite", tls13.SUITES)
def test_the_client_exchanges_its_key_in_the_midst_of_messages(edge, suite):
    c, frames = echo(edge, suite)
    with c:
        for i in range(50):
            says(c, frames, b"%d" % i)
            c.key_update()


@pytest.mark.parametrize("suite", tls13.SUITES)
def test_asked_for_a_key_update_we_send_one_before_our_next_content(edge, suite):
    c, frames = echo(edge, suite)
    with c:
        for i in range(20):
            c.key_update(request=True)
            c.send(wire.frame(1, b"%d" % i))
            assert c.record() == (HANDSHAKE, UPDATE)
            assert frames.next() == (1, b"%d" % i)


def test_many_requests_are_answered_by_one_update(edge):
    c, frames = echo(edge)
    with c:
        for _ in range(20):
            c.key_update(request=True)
        c.send(wire.frame(1, b"once"))
        assert c.record() == (HANDSHAKE, UPDATE)
        assert frames.next() == (1, b"once")
        says(c, frames, b"and no more")


def test_a_key_update_in_pieces_is_put_together(edge):
    c, frames = echo(edge)
    with c:
        for byte in UPDATE:
            c.raw(HANDSHAKE, bytes([byte]))
        c.tx.update()
        says(c, frames, b"five records")


def test_our_own_key_is_exchanged_when_it_has_sealed_enough(often):
    c, frames = echo(often)
    with c:
        secret = c.rx.secret
        for i in range(100):
            says(c, frames, b"%d" % i)
        assert c.rx.secret != secret and c.rx.seq <= 17
        # the client's is worn as well, and it is asked to do something about it
        secret, kinds = c.rx.secret, []
        while c.rx.secret == secret:
            c.send(wire.frame(1, b"ask"))
            kinds.append(c.record())
        assert kinds[-1] == (HANDSHAKE, UPDATE_ASKING)


def test_close_notify_is_answered_by_close_notify(edge):
    c, _ = echo(edge)
    with c:
        c.alert(0, level=1)
        assert c.ending() == "close_notify" and c.ending() == "eof"


def test_who_has_closed_his_side_still_gets_his_answer(edge):
    with Client(edge) as c:
        c.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        c.alert(0, level=1)
        c.sock.shutdown(socket.SHUT_WR)
        status, _, body = wire.read_answer(c)
        assert status == 200 and b"ok" in body
        assert c.ending() == "close_notify" and c.ending() == "eof"


def test_our_goodbye_is_a_close_notify(edge):
    c, frames = echo(edge)
    with c:
        c.send(wire.frame(8, struct.pack(">H", 1000)))
        assert frames.close_code() == 1000
        assert c.ending() == "close_notify" and c.ending() == "eof"


def test_user_canceled_is_heard_and_passed_over(edge):
    c, frames = echo(edge)
    with c:
        c.alert(90, level=1)
        says(c, frames, b"still here")


# ---- what is refused, and with which alert --------------------------------------------------------

def spoil(c, at):
    record = bytearray(c.tx.seal(DATA, wire.frame(1, b"spoilt")))
    record[at] ^= 0x40
    c.bytes(record)


REFUSED = {
    "a bit of the content": (lambda c: spoil(c, 9), "bad_record_mac"),
    "a bit of the tag": (lambda c: spoil(c, -1), "bad_record_mac"),
    "a bit of the version": (lambda c: spoil(c, 1), "bad_record_mac"),
    "a record twice": (lambda c: c.bytes(2 * c.tx.seal(DATA, wire.frame(9, b"again"))), "bad_record_mac"),
    "a record left out": (lambda c: (c.tx.seal(DATA, b"never sent"), c.raw(DATA, b"late")), "bad_record_mac"),
    "the key of before": (lambda c: (c.raw(HANDSHAKE, UPDATE), c.raw(DATA, b"old key")), "bad_record_mac"),
    "the key of after": (lambda c: (c.tx.update(), c.raw(DATA, b"new key")), "bad_record_mac"),
    "no room for a tag": (lambda c: c.bytes(b"\x17\x03\x03\0\x0f" + b"x" * 15), "bad_record_mac"),
    "no bytes at all": (lambda c: c.bytes(b"\x17\x03\x03\0\0"), "bad_record_mac"),
    "more than a record may have": (lambda c: c.bytes(b"\x17\x03\x03\x41\x01"), "record_overflow"),
    "more content than a record may have": (lambda c: c.raw(DATA, b"x" * 16385), "record_overflow"),
    "more padding than a record may have": (lambda c: c.raw(DATA, b"x", padding=16384), "record_overflow"),
    "padding alone": (lambda c: c.raw(None, b"", padding=10), "unexpected_message"),
    "change_cipher_spec after the handshake": (lambda c: c.bytes(b"\x14\x03\x03\0\x01\x01"), "unexpected_message"),
    "a protected change_cipher_spec": (lambda c: c.raw(CCS, b"\x01"), "unexpected_message"),
    "an alert in the clear": (lambda c: c.bytes(b"\x15\x03\x03\0\x02\x02\x28"), "unexpected_message"),
    "a handshake in the clear": (lambda c: c.bytes(b"\x16\x03\x03\0\x04\x01\0\0\0"), "unexpected_message"),
    "plain HTTP": (lambda c: c.bytes(b"GET / HTTP/1.1\r\n\r\n"), "unexpected_message"),
    "heartbeat, protected": (lambda c: c.raw(24, b"\x01\0\0"), "unexpected_message"),
    "an unknown type, protected": (lambda c: c.raw(99, b"x"), "unexpected_message"),
    "an empty handshake record": (lambda c: c.raw(HANDSHAKE, b""), "unexpected_message"),
    "a ClientHello": (lambda c: c.raw(HANDSHAKE, b"\x01\0\0\x02\x03\x03"), "unexpected_message"),
    "a NewSessionTicket": (lambda c: c.raw(HANDSHAKE, b"\x04\0\0\x02\0\0"), "unexpected_message"),
    "a Certificate nobody asked for": (lambda c: c.raw(HANDSHAKE, b"\x0b\0\0\x04\0\0\0\0"), "unexpected_message"),
    "a Finished": (lambda c: c.raw(HANDSHAKE, b"\x14\0\0\x20" + b"x" * 32), "unexpected_message"),
    "a KeyUpdate of a wrong length": (lambda c: c.raw(HANDSHAKE, b"\x18\0\0\x02\0\0"), "decode_error"),
    "a KeyUpdate that asks for what there is not": (lambda c: c.raw(HANDSHAKE, b"\x18\0\0\x01\x02"), "illegal_parameter"),
    "something behind a KeyUpdate in its record": (lambda c: c.raw(HANDSHAKE, UPDATE + UPDATE), "unexpected_message"),
    "data between the pieces of a KeyUpdate": (lambda c: (c.raw(HANDSHAKE, UPDATE[:2]), c.raw(DATA, b"x")), "unexpected_message"),
    "an empty alert": (lambda c: c.raw(ALERT, b""), "decode_error"),
    "half an alert": (lambda c: c.raw(ALERT, b"\x02"), "decode_error"),
    "two alerts in a record": (lambda c: c.raw(ALERT, b"\x01\x5a\x01\x5a"), "decode_error"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])
def test_what_does_not_belong_there_gets_its_alert(edge, what, suite):
    act, want = REFUSED[what]
    before = edge.members()
    c, _ = echo(edge, suite)
    with c:
        act(c)
        assert c.ending() == want
        assert c.ending() in ("eof", "reset")  # what we did not read of it may be a reset
    assert edge.members() == before


@pytest.mark.parametrize("what,flood", [
    ("updates", lambda c: c.key_update()),
    ("requests for updates", lambda c: c.key_update(request=True)),
    ("empty records", lambda c: c.raw(DATA, b"")),
    ("canceling", lambda c: c.alert(90, level=1))])
def test_who_says_much_and_means_nothing_is_sent_away(edge, what, flood):
    c, frames = echo(edge)
    with c:
        for _ in range(3):  # a message in between makes up for it
            for _ in range(32):
                flood(c)
            c.send(wire.frame(1, b"a message"))
            assert frames.next() == (1, b"a message")
        for _ in range(33):
            flood(c)
        assert c.ending() == "unexpected_message"


@pytest.mark.parametrize("what", [n for n in tls13.ALERTS if n not in (0, 90)] + [255])
@pytest.mark.parametrize("level", [1, 2])
def test_a_peers_alert_ends_the_connection(edge, what, level):
    """Whatever its level says (6), known or not; and it is not answered by one."""
    c, _ = echo(edge)
    with c:
        c.alert(what, level)
        assert c.ending() in ("eof", "reset")


def test_alerts_are_counted_and_a_reason_is_given(edge):
    before = stats(edge)[0]
    for act in (lambda c: spoil(c, -1), lambda c: c.alert(40)):
        c, _ = echo(edge)
        with c:
            act(c)
            c.ending()
    wait_for("both alerts are counted", 5, lambda: (
        lambda now: now["alerts_out"] > before["alerts_out"] and now["alerts_in"] > before["alerts_in"] and
        now["closed"].get("tls-alert", 0) > before["closed"].get("tls-alert", 0) and
        now["closed"].get("tls-record", 0) > before["closed"].get("tls-record", 0))(stats(edge)[0]))


# ---- a relay between OpenSSL and us ---------------------------------------------------------------

class Relay(threading.Thread):
    """Passes records on; `damage(direction, n, record)` may say what goes on instead. One connection."""

    def __init__(self, edge, damage):
        super().__init__(daemon=True)
        self.damage, self.target = damage, ("127.0.0.1", edge.port["tls"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(self.target)
        with near, far:
            ends, bufs, count = {near: far, far: near}, {near: b"", far: b""}, {near: 0, far: 0}
            while True:
                for s in select.select(list(ends), [], [], 20)[0]:
                    try:
                        more = s.recv(65536)
                        if not more:
                            ends[s].shutdown(socket.SHUT_WR)
                            return ends[s].settimeout(2) or wire.closed(ends[s])
                        bufs[s] += more
                        while len(bufs[s]) >= 5 and len(bufs[s]) >= 5 + struct.unpack(">H", bufs[s][3:5])[0]:
                            n = 5 + struct.unpack(">H", bufs[s][3:5])[0]
                            record, bufs[s] = bufs[s][:n], bufs[s][n:]
                            ends[s].sendall(self.damage("in" if s is near else "out", count[s], record))
                            count[s] += record[0] == DATA
                    except OSError:
                        return None


def flip(record):
    return record[:-1] + bytes([record[-1] ^ 1])


def test_openssl_reads_our_bad_record_mac(edge):
    # its first protected record is Finished
    relay = Relay(edge, lambda way, n, r: flip(r) if way == "in" and r[0] == DATA and n >= 1 else r)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{relay.port}", "-ign_eof"],
                          input=b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", capture_output=True, timeout=20)
    assert b"alert bad record mac" in done.stderr, done.stderr


def test_gnutls_reads_our_bad_record_mac(edge):
    relay = Relay(edge, lambda way, n, r: flip(r) if way == "in" and r[0] == DATA and n >= 1 else r)
    done = subprocess.run(["gnutls-cli", "--insecure", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "-p",
                           str(relay.port), "127.0.0.1"], capture_output=True, timeout=20,
                          input=b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Bad record MAC" in done.stdout + done.stderr, done.stdout + done.stderr


def test_we_hear_that_openssl_cannot_read_what_was_damaged(edge):
    before = stats(edge)[0]["alerts_in"]
    # of ours: EncryptedExtensions to Finished lie in one record, then tickets, then the answer
    relay = Relay(edge, lambda way, n, r: flip(r) if way == "out" and r[0] == DATA and n >= 1 else r)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{relay.port}", "-ign_eof"],
                          input=b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", capture_output=True, timeout=20)
    assert b"decryption failed or bad record mac" in done.stderr, done.stderr
    wait_for("its alert is counted", 5, lambda: stats(edge)[0]["alerts_in"] > before)


# ---- openssl s_client: K and k ----------------------------------------------------------------------

def test_openssl_exchanges_keys_in_both_directions_while_messages_flow(edge):
    """`k` sends a KeyUpdate, `K` one that asks for ours. They are read from its terminal, as are our frames."""
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-tls1_3", "-msg"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = bytearray()

    def until(pattern, count=1):
        end = time.monotonic() + 20 * sluice.SLOW
        while len(re.findall(pattern, said)) < count:
            assert select.select([p.stdout], [], [], max(0, end - time.monotonic()))[0], bytes(said[-3000:])
            more = os.read(p.stdout.fileno(), 65536)
            assert more, bytes(said[-3000:])
            said.extend(more)

    def write(data):
        p.stdin.write(data)
        p.stdin.flush()
        time.sleep(0.05)  # what it reads in one go is one command, or none

    try:
        until(rb"Verify return code")
        write(wire.upgrade_request("/echo"))
        until(rb"101 Switching Protocols")
        for i in range(5):
            write(b"k\n")
            write(wire.frame(1, b"after-k-%d" % i, ) + b"")
            until(rb"\x81.after-k-%d" % i)
            write(b"K\n")
            write(wire.frame(1, b"after-K-%d" % i))
            until(rb"\x81.after-K-%d" % i)
        assert len(re.findall(rb">>> TLS 1.3, Handshake \[length 0005\], KeyUpdate", said)) == 10
        assert len(re.findall(rb"<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate", said)) == 5
    finally:
        p.kill()
        p.wait()


def test_gnutls_exchanges_keys_and_asks_for_ours(edge):
    before = stats(edge)[0]["key_updates"]
    p = subprocess.Popen(["gnutls-cli", "--insecure", "--inline-commands", "--priority",
                          "NORMAL:-VERS-ALL:+VERS-TLS1.3", "-p", str(edge.port["tls"]), "127.0.0.1"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = b""
    try:
        while b"Handshake was completed" not in out:  # what it reads in one go is one command, or none
            out += os.read(p.stdout.fileno(), 65536)
        for text in (b"^rekey^\n", b"GET /health HTTP/1.1\r\n", b"Host: a\r\n", b"^rekey1^\n", b"\r\n"):
            p.stdin.write(text)
            p.stdin.flush()
            time.sleep(0.1)
        while b'"status":"ok"' not in out:
            more = os.read(p.stdout.fileno(), 65536)
            assert more, out
            out += more
    finally:
        p.kill()
        p.wait()
    assert stats(edge)[0]["key_updates"] == before + 3  # two of its own, and one of ours


def test_a_stream_may_be_cut_anywhere(edge):
    """Records in random pieces, several at once and less than one."""
    c, frames = echo(edge)
    draw = random.Random(7)
    with c:
        for _ in range(20):
            texts = [os.urandom(int(2 ** draw.uniform(0, 14))) for _ in range(8)]
            stream = b"".join(c.tx.seal(DATA, f[at:at + 16384]) for t in texts
                              for f in [wire.frame(2, t)] for at in range(0, len(f), 16384))
            while stream:
                n = int(2 ** draw.uniform(0, 15))
                c.bytes(stream[:n])
                stream = stream[n:]
            for t in texts:
                assert wire.message(frames) == (2, t)


def test_secrets_go_to_a_file_only_if_that_is_asked_for(edge, tmp_path):
    """What is there opens our records; nothing is there by default, whatever the environment says."""
    log = tmp_path / "keys"
    with sluice.Edge(workers=2, endpoints=ECHO, env={"SSLKEYLOGFILE": str(tmp_path / "no")},
                     extra=f'tls = {{ debug_keylog_file = "{log}"; }};') as e:
        assert "reads all traffic" in e.log() and log.stat().st_mode & 0o77 == 0
        clients = [echo(e)[0] for _ in range(4)]
        lines = [line.split() for line in log.read_text().splitlines()]
        for c in clients:
            assert any(w[0] == "SERVER_TRAFFIC_SECRET_0" and bytes.fromhex(w[2]) == c.rx.secret for w in lines)
            c.sock.close()
    echo(edge)[0].sock.close()
    assert not (tmp_path / "no").exists()
