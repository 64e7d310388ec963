# SPDX-License-Identifier: BSD-2-Clause
"""TLS as other stacks see it: versions, ALPN, SNI, refusals, goodbyes."""
import datetime
import ipaddress
import json
import re
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import sluice
import wire
from sluice import wait_for


def make_certificate(folder, name, dns, key=None, days=30):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns[0] if dns else name)])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(days=60))
               .not_valid_after(now + datetime.timedelta(days=days)))
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), False)
    cert = builder.sign(key, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (folder / f"{name}.key").chmod(0o600)
    return key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    f = tmp_path_factory.mktemp("certs")
    make_certificate(f, "one", ["one.example", "www.one.example"])
    make_certificate(f, "wild", ["*.wild.example"], rsa.generate_private_key(65537, 2048))
    make_certificate(f, "other", ["other.example"])
    return f


def config(folder, *names):
    rows = ", ".join(f'{{ name = "{n}"; cert_file = "{folder}/{n}.crt"; key_file = "{folder}/{n}.key"; }}' for n in names)
    return f"certificates = ( {rows} );\n"


@pytest.fixture(scope="module")
def edge(folder):
    listeners = {"tls": {"tls": True}, "plain": {"tls": False}}
    with sluice.Edge(listeners=listeners, extra=config(folder, "one", "wild", "other")) as e:
        yield e


def name_shown(edge, asked):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    with context.wrap_socket(raw, server_hostname=asked) as s:
        cert = x509.load_der_x509_certificate(s.getpeercert(True))
    return cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


@pytest.mark.parametrize("asked,want", [
    ("one.example", "one.example"), ("www.one.example", "one.example"), ("WWW.One.Example", "one.example"),
    ("a.wild.example", "*.wild.example"), ("a.b.wild.example", "one.example"), ("wild.example", "one.example"),
    ("other.example", "other.example"), ("unknown.example", "one.example"), (None, "one.example")])
def test_the_certificate_is_picked_by_sni(edge, asked, want):
    assert name_shown(edge, asked) == want


def s_client(edge, *args, feed=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-servername",
                           "one.example", *args], input=feed, capture_output=True, timeout=20)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@pytest.mark.parametrize("flag,version", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_speaks_both_versions(edge, flag, version):
    code, text = s_client(edge, flag, "-alpn", "h2,http/1.1", "-ign_eof",
                          feed=b"GET /health HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n")
    assert code == 0 and f"{version}, Cipher" in text and "ALPN protocol: http/1.1" in text
    assert '"status":"ok"' in text


@pytest.mark.parametrize("args", [["-tls1_1"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
                                  ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], ["-alpn", "h2"]])
def test_what_is_weak_or_not_spoken_is_refused(edge, args):
    code, text = s_client(edge, *args)
    assert "Cipher is (NONE)" in text or "no cipher match" in text.lower() or code != 0


@pytest.mark.parametrize("priority", ["NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                                      "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305",
                                      "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM"])
def test_gnutls_speaks_with_us(edge, priority):
    done = subprocess.run(["gnutls-cli", "--insecure", "--priority", priority, "-p", str(edge.port["tls"]),
                           "127.0.0.1"], capture_output=True, timeout=20,
                          input=b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b'"status":"ok"' in done.stdout, done.stderr


def test_a_websocket_over_both_versions(edge):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = edge.ssl_context()
        context.minimum_version = context.maximum_version = version
        s = wire.dial(edge, "tls", context)
        s.sendall(wire.upgrade_request("/echo"))
        status, _, rest = wire.read_head(s)
        assert status == 101
        frames = wire.Frames(s, rest)
        for n in (0, 1, 125, 126, 16384, 16385, 65536, 100000):
            s.sendall(wire.frame(2, b"\x5a" * n))
            got = b""
            while len(got) < n or n == 0:
                opcode, piece = frames.next()
                got += piece
                if n == 0:
                    break
            assert got == b"\x5a" * n
        s.sendall(wire.frame(8, b"\x03\xe8"))
        assert frames.close_code() == 1000
        assert s.recv(1) == b""  # close_notify came: no truncation error


def test_plain_http_on_the_tls_port_is_ended_at_once(edge):
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    began = time.monotonic()
    s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    got = s.recv(100)
    assert got[:1] in (b"", b"\x15")  # an alert, or nothing
    assert wire.closed(s) and time.monotonic() - began < 3 * sluice.SLOW


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 70000,
                                  b"\x17\x03\x03\x00\x10" + b"a" * 16, b"\x16\x03\x01\x00\x00" * 100,
                                  b"\x80\x2e\x01\x00\x02" + b"\0" * 60])
def test_garbage_ends_one_connection_and_nobody_else(edge, junk):
    before = edge.members()
    s = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    try:
        s.sendall(junk)
        s.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError, OSError):
        pass
    assert wire.closed(s)
    assert edge.members() == before and name_shown(edge, "one.example") == "one.example"


def test_a_record_cut_in_pieces_is_put_together(edge):
    """Bytes of TLS records one at a time, through a relay that cuts."""
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = edge.ssl_context().wrap_bio(inside, outside, server_hostname="one.example")
    raw = socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(step):
        while True:
            try:
                result = step()
                break
            except ssl.SSLWantReadError:
                flush()
                inside.write(raw.recv(65536))
        flush()
        return result

    def flush():
        data = outside.read()
        for i in range(len(data)):
            raw.sendall(data[i:i + 1])

    pump(tls.do_handshake)
    tls.write(wire.upgrade_request("/echo"))
    flush()
    got = b""
    while b"\r\n\r\n" not in got:
        got += pump(lambda: tls.read(4096))
    tls.write(wire.frame(1, b"in pieces"))
    flush()
    assert pump(lambda: tls.read(4096)) == b"\x81\x09in pieces"
    raw.close()


def writes(edge):
    return sum(w["writes"] for w in json.loads(edge.ctl("-j", "worker", "show")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("waits", [False, True])
def test_the_answer_to_a_request_that_comes_with_the_handshakes_end_takes_the_tickets_along(edge, version, waits):
    """A client whose request comes later is not kept waiting for its tickets."""
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = edge.ssl_context()
    context.maximum_version = version
    tls = context.wrap_bio(inside, outside, server_hostname="one.example")
    before = writes(edge)
    with socket.create_connection(("127.0.0.1", edge.port["tls"]), timeout=20) as raw:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outside.read())
                inside.write(raw.recv(65536))
        if waits and version == ssl.TLSVersion.TLSv1_3:
            raw.sendall(outside.read())
            tickets = raw.recv(65536)
            assert tickets[0] == 23 and len(tickets) < 1024
            inside.write(tickets)
            assert wait_for("the tickets' write", 10, lambda: writes(edge) == before + 2)
        tls.write(wire.upgrade_request("/echo"))
        raw.sendall(outside.read())
        got = b""
        while b"\r\n\r\n" not in got:
            inside.write(raw.recv(65536))
            try:
                got += tls.read(4096)
            except ssl.SSLWantReadError:
                pass
        assert got.startswith(b"HTTP/1.1 101 ")
        # TLS 1.2: the tickets are part of the second flight, which the client waits for
        want = 3 if waits or version == ssl.TLSVersion.TLSv1_2 else 2
        assert wait_for("the writes", 10, lambda: writes(edge) >= before + want)
        assert writes(edge) == before + want


def test_mistakes_in_certificates_name_the_file(folder, tmp_path):
    make_certificate(tmp_path, "late", ["late.example"], days=-1)
    (tmp_path / "junk.crt").write_text("no certificate\n")
    (tmp_path / "junk.key").write_text("no key\n")
    cases = [(tmp_path, "late", "has expired"), (tmp_path, "junk", "no PEM certificate")]
    (tmp_path / "mixed.crt").write_bytes((folder / "one.crt").read_bytes())
    (tmp_path / "mixed.key").write_bytes((folder / "other.key").read_bytes())
    cases.append((tmp_path, "mixed", "does not belong"))
    for where, name, want in cases:
        edge = sluice.Edge(listeners={"tls": {"tls": True}}, extra=config(where, name))
        try:
            done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
            assert done.returncode == 2
            assert want in done.stderr + done.stdout and f"{where}/{name}." in done.stderr + done.stdout
            assert re.search(rf"{edge.conf}:\d+: certificate \S+: ", done.stderr)
        finally:
            edge.__exit__(None, None, None)


def test_the_development_certificate_is_made_once_and_kept():
    with sluice.Edge(workers=1) as edge:
        first = (edge.state_dir / "dev.crt").read_bytes()
        assert (edge.state_dir / "dev.key").stat().st_mode & 0o77 == 0
        cert = x509.load_pem_x509_certificate(first)
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert "localhost" in names.get_values_for_type(x509.DNSName)
        assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
        edge.stop()
        edge.start()
        assert (edge.state_dir / "dev.crt").read_bytes() == first


@pytest.mark.parametrize("damage", ["key cut short", "key of another", "certificate empty"])
def test_a_development_certificate_that_a_full_disk_has_spoilt_is_made_anew(damage):
    """The two files are written one after the other: what stopped between them must not last."""
    with sluice.Edge(workers=1) as edge:
        cert, key = edge.state_dir / "dev.crt", edge.state_dir / "dev.key"
        first = cert.read_bytes()
        edge.stop()
        if damage == "key cut short":
            key.write_bytes(key.read_bytes()[:10])
        elif damage == "key of another":
            cert.rename(edge.state_dir / "old.crt")
            edge.start()
            edge.stop()
            (edge.state_dir / "old.crt").rename(cert)
        else:
            cert.write_bytes(b"")
        edge.start()
        assert cert.read_bytes() not in (b"", first)


def test_a_client_of_tls_1_2_cannot_renegotiate(edge):
    """Handshakes cost us more than them: one per connection."""
    with subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{edge.port['tls']}"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        said = b""
        while b"Verify return code" not in said:
            said += client.stdout.readline()
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.stdout.read()
    assert b"no renegotiation" in said
