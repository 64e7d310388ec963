# SPDX-License-Identifier: BSD-2-Clause
"""Certificates that clients show: who is let in, under which name, who is told what, and what changes while it runs."""
import datetime
import ipaddress
import json
import re
import signal
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import sluice
import wire
from sluice import wait_for

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


class Authority:
    def __init__(self, name, above=None, end=30):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by, key = (above.name, above.key) if above else (self.name, self.key)
        self.cert = (x509.CertificateBuilder().subject_name(self.name).issuer_name(by).public_key(self.key.public_key())
                     .serial_number(x509.random_serial_number()).not_valid_before(NOW - 60 * DAY)
                     .not_valid_after(NOW + end * DAY)
                     .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
                     .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                     .sign(key, hashes.SHA256()))

    def issue(self, folder, name, subject=(), san=(), usage=ExtendedKeyUsageOID.CLIENT_AUTH, begin=-1, end=30, more=b"",
              bulk=0, digest=hashes.SHA256()):
        """folder/NAME.pem: certificate, `more`, key. Returns its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = subject or [(NameOID.COMMON_NAME, name)]
        builder = (x509.CertificateBuilder()
                   .subject_name(x509.Name([x509.NameAttribute(o, v) for o, v in names]))
                   .issuer_name(self.name).public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW + begin * DAY).not_valid_after(NOW + end * DAY))
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(san)), False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if bulk:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(bulk)), False)
        cert = builder.sign(self.key, digest)
        (folder / f"{name}.pem").write_bytes(pem(cert) + more + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return cert.serial_number

    def revoke(self, *serials, until=30):
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(NOW - 2 * DAY) \
            .next_update(NOW + until * DAY)
        for n in serials:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(n).revocation_date(NOW - DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def ca(folder):
    ca = Authority("the CA")
    (folder / "ca.pem").write_bytes(pem(ca.cert))
    return ca


def listener(folder, mode, identity=None, more=""):
    words = f'client_certificates = "{mode}"; client_ca_file = "{folder}/ca.pem"; {more}'
    return {"tls": True, "more": words + (f' client_identity = "{identity}";' if identity else "")}


def edge_of(folder, workers=1, extra="", **listeners):
    return sluice.Edge(workers=workers, listeners=listeners or {"must": listener(folder, "required")}, extra=extra)


@pytest.fixture(scope="module")
def edge(folder, ca):
    identities = {i: listener(folder, "required", i) for i in ("subject", "dns", "email", "uri")}
    with edge_of(folder, must=listener(folder, "required"), may=listener(folder, "optional"), open={"tls": True},
                 **identities) as e:
        yield e


def context_of(edge, shows=None, version=None):
    context = edge.ssl_context()
    if shows:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it would not show what is weak
        context.load_cert_chain(shows)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def connected(edge, name, shows=None, version=None, session=None):
    """The socket, its frames and `connected`; or what the handshake failed with."""
    context = context_of(edge, shows, version)
    raw = socket.create_connection(("127.0.0.1", edge.port[name]), timeout=20)
    try:
        s = context.wrap_socket(raw, server_hostname="localhost")
        s.sendall(wire.upgrade_request("/ws"))
        status, _, rest = wire.read_head(s)
    except (ssl.SSLError, ConnectionError, EOFError) as e:
        raw.close()
        return str(e)
    assert status == 101
    frames = wire.Frames(s, rest)
    return s, frames, json.loads(frames.next()[-1])


def refused(edge, name, shows=None, version=None):
    answer = connected(edge, name, shows, version)
    assert isinstance(answer, str), answer
    return answer.lower().replace("_", " ")


def row(edge, hello):
    return json.loads(edge.ctl("-j", "conn", "show", "id", hello["clientId"]))[0]


# ---- who gets in ----------------------------------------------------------------------------------

@pytest.mark.parametrize("version", VERSIONS)
def test_who_shows_one_is_that_user_from_the_start(edge, folder, ca, version):
    ca.issue(folder, "alice")
    s, frames, hello = connected(edge, "must", folder / "alice.pem", version)
    assert hello["userId"] == "alice"
    cert = x509.load_pem_x509_certificate((folder / "alice.pem").read_bytes())
    assert row(edge, hello)["user"] == "alice"
    assert row(edge, hello)["client_certificate"] == cert.fingerprint(hashes.SHA256()).hex()
    assert "alice" in edge.ctl("conn", "show", "id", hello["clientId"])
    # others hear who speaks, and her own channel is hers to hear
    other, ears, _ = connected(edge, "may")
    other.sendall(wire.frame(1, b'{"type":"subscribe","channel":"news"}'))
    assert json.loads(ears.next()[-1])["type"] == "subscribed"
    s.sendall(wire.frame(1, b'{"type":"publish","channel":"news","data":1}'))
    assert json.loads(ears.next()[-1])["userId"] == "alice"
    s.sendall(wire.frame(1, b'{"type":"subscribe","channel":"user:alice"}'))
    assert json.loads(frames.next()[-1])["type"] == "subscribed"
    for words in (b'{"type":"subscribe","channel":"user:bob"}', b'{"type":"publish","channel":"user:alice","data":1}'):
        s.sendall(wire.frame(1, words))
        assert json.loads(frames.next()[-1])["message"] == "Insufficient permissions"
    other.sendall(wire.frame(1, b'{"type":"subscribe","channel":"user:alice"}'))
    assert json.loads(ears.next()[-1])["message"] == "Insufficient permissions"
    s.close()
    other.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_who_shows_none(edge, version):
    why = refused(edge, "must", version=version)
    assert ("certificate required" if version == VERSIONS[1] else "handshake failure") in why, why
    for name in ("may", "open"):
        s, _, hello = connected(edge, name, version=version)
        assert "userId" not in hello and "user" not in row(edge, hello)
        s.close()


def test_a_certificate_is_of_no_use_where_nobody_asks(edge, folder, ca):
    ca.issue(folder, "carol")
    s, _, hello = connected(edge, "open", folder / "carol.pem")
    assert "userId" not in hello
    s.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["must", "may"])
@pytest.mark.parametrize("how,alert", [
    ("stranger", "unknown ca"), ("late", "certificate expired"), ("early", "bad certificate"),
    ("server", "unsupported certificate")])
def test_a_bad_one_is_refused_also_where_none_is_needed(edge, folder, ca, version, name, how, alert):
    by = Authority("another CA") if how == "stranger" else ca
    span = {"late": (-9, -2), "early": (2, 9)}.get(how, (-1, 9))
    by.issue(folder, how, begin=span[0], end=span[1],
             usage=ExtendedKeyUsageOID.SERVER_AUTH if how == "server" else ExtendedKeyUsageOID.CLIENT_AUTH)
    before = json.loads(edge.ctl("-j", "worker", "show"))[0]["handshakes_failed"]
    why = refused(edge, name, folder / f"{how}.pem", version)
    assert alert in why or (how == "early" and "certificate expired" in why), why
    assert wait_for("the count", 5, lambda: json.loads(
        edge.ctl("-j", "worker", "show"))[0]["handshakes_failed"] == before + 1)
    # no more than ten a second are told
    assert re.search(r"the certificate of a client from 127\.0\.0\.1:\d+ is refused: CN=", edge.log())
    assert json.loads(edge.ctl("-j", "worker", "show"))[0]["client_certificates_refused"] >= 1


def test_a_chain_that_the_client_brings_along(edge, folder, ca):
    below = Authority("below", ca)
    below.issue(folder, "frank", more=pem(below.cert))
    s, _, hello = connected(edge, "must", folder / "frank.pem")
    assert hello["userId"] == "frank"
    s.close()
    below.issue(folder, "alone")
    assert "unknown ca" in refused(edge, "must", folder / "alone.pem")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signature_that_can_be_forged_is_none(edge, folder, ca, version):
    ca.issue(folder, "weak", digest=hashes.SHA1())
    assert "bad certificate" in refused(edge, "must", folder / "weak.pem", version)


def test_hundreds_of_authorities(folder, ca, tmp_path):
    """Their names are more than a handshake can hold: then the client picks by himself."""
    key, many = ec.generate_private_key(ec.SECP256R1()), b""
    for i in range(1000):
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x" * 60), x509.NameAttribute(NameOID.COMMON_NAME, f"CA {i}")])
        many += pem(x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(i + 1)
                    .not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
                    .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256()))
    (tmp_path / "ca.pem").write_bytes(many + pem(ca.cert))
    ca.issue(tmp_path, "one")
    with edge_of(tmp_path) as edge:
        for version in VERSIONS:
            s, _, hello = connected(edge, "must", tmp_path / "one.pem", version)
            assert hello["userId"] == "one"
            s.close()


def test_a_chain_without_end_is_refused(edge, folder, ca):
    by, chain = ca, b""
    for i in range(12):
        by = Authority(f"level {i}", by)
        chain = pem(by.cert) + chain
    by.issue(folder, "deep", more=chain)
    why = refused(edge, "must", folder / "deep.pem")
    assert "alert" in why, why
    s, _, _ = connected(edge, "open")  # and everybody else is served
    s.close()


def test_an_authority_below_a_root_is_believed_for_its_own(folder, ca, tmp_path):
    below, beside = Authority("below", ca), Authority("beside", ca)
    (tmp_path / "ca.pem").write_bytes(pem(below.cert))
    below.issue(tmp_path, "gina")
    beside.issue(tmp_path, "hans", more=pem(beside.cert))
    ca.issue(tmp_path, "ivan")
    with edge_of(tmp_path) as edge:
        s, _, hello = connected(edge, "must", tmp_path / "gina.pem")
        assert hello["userId"] == "gina"
        s.close()
        assert "unknown ca" in refused(edge, "must", tmp_path / "hans.pem")
        assert "unknown ca" in refused(edge, "must", tmp_path / "ivan.pem")


@pytest.mark.parametrize("args", [["-tls1_2"], ["-tls1_3"]])
def test_openssl_is_told_which_authorities(edge, folder, ca, args):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['must']}", *args],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    text = done.stdout.decode() + done.stderr.decode()
    assert "Acceptable client certificate CA names\nCN = the CA" in text, text


# ---- under which name -----------------------------------------------------------------------------

SAN = [x509.DNSName("pump.example"), x509.DNSName("second.example"), x509.RFC822Name("pump@example.org"),
       x509.UniformResourceIdentifier("spiffe://example.org/pump/7")]
SUBJECT = [(NameOID.COUNTRY_NAME, "AT"), (NameOID.ORGANIZATION_NAME, "Pümpe, Söhne"), (NameOID.COMMON_NAME, "pump 7")]


@pytest.mark.parametrize("name,want", [
    ("must", "pump 7"), ("subject", "CN=pump 7,O=Pümpe\\, Söhne,C=AT"), ("dns", "pump.example"),
    ("email", "pump@example.org"), ("uri", "spiffe://example.org/pump/7")])
def test_the_name_is_what_the_listener_asks_for(edge, folder, ca, name, want):
    ca.issue(folder, "pump", subject=SUBJECT, san=SAN)
    s, frames, hello = connected(edge, name, folder / "pump.pem")
    assert hello["userId"] == want and row(edge, hello)["user"] == want
    s.sendall(wire.frame(1, b'{"type":"join_room","room":"r"}'))
    assert json.loads(frames.next()[-1])["type"] in ("joined_room", "error")
    s.close()


@pytest.mark.parametrize("name,subject,san", [
    ("must", [(NameOID.ORGANIZATION_NAME, "no common name")], ()),
    ("must", [(NameOID.COMMON_NAME, "one"), (NameOID.COMMON_NAME, "two")], ()),
    ("must", [(NameOID.COMMON_NAME, "a:b")], ()),
    ("must", [(NameOID.COMMON_NAME, "a\0b")], ()),
    ("must", [(NameOID.COMMON_NAME, "a\nb")], ()),
    ("must", [(NameOID.COMMON_NAME, "a\x1b[2Jb")], ()),
    ("must", [(NameOID.COMMON_NAME, "a\u0085b")], ()),
    ("subject", [(NameOID.ORGANIZATION_NAME, "x" * 60), (NameOID.ORGANIZATIONAL_UNIT_NAME, "y" * 60),
                 (NameOID.COMMON_NAME, "z" * 20)], ()),
    ("dns", (), [x509.RFC822Name("only@a.mail")]),
    ("email", (), [x509.DNSName("only.a.host")]),
    ("uri", (), [x509.UniformResourceIdentifier("x:" + "y" * 94)]),
    ("uri", (), [x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]),
    ("uri", (), ())])
def test_a_name_that_is_none_is_refused(edge, folder, ca, name, subject, san):
    ca.issue(folder, "odd", subject=subject, san=san)
    assert "bad certificate" in refused(edge, name, folder / "odd.pem")


def test_the_longest_name(folder, ca):
    """To whatever worker the channels belong."""
    names = {"uri": "x:" + "y" * 93, "must": '"' * 64}
    ca.issue(folder, "uri", san=[x509.UniformResourceIdentifier(names["uri"])])
    ca.issue(folder, "must", subject=[(NameOID.COMMON_NAME, names["must"])])
    channels = [f"room{i}" for i in range(8)]
    with edge_of(folder, workers=2, uri=listener(folder, "required", "uri"), must=listener(folder, "required")) as edge:
        for listens, name in names.items():
            s, frames, hello = connected(edge, listens, folder / f"{listens}.pem")
            assert hello["userId"] == name

            def hears(kind):
                while (heard := json.loads(frames.next()[-1]))["type"] != kind:
                    assert heard["type"] == "join" and heard["userId"] == name, heard
                return heard

            for channel in [*channels, f"user:{name}"]:
                s.sendall(wire.frame(1, json.dumps({"type": "subscribe", "channel": channel, "joinLeave": True}).encode()))
                hears("subscribed")
            for channel in channels:
                s.sendall(wire.frame(1, json.dumps({"type": "publish", "channel": channel, "data": 1}).encode()))
                assert hears("message")["userId"] == name
            s.close()
        assert "killed" not in edge.log()


# ---- sessions -------------------------------------------------------------------------------------

def begin(edge, folder, name, file, *args):
    """openssl shows `name`, and keeps the session."""
    done = talk(edge, "must", "-sess_out", str(file), "-cert", str(folder / f"{name}.pem"),
                "-key", str(folder / f"{name}.pem"), *args)
    assert "\nNew, TLSv1" in done and file.exists(), done


def talk(edge, name, *args):
    request = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port[name]}", "-ign_eof", *args],
                          input=request, capture_output=True, timeout=20)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed_with_its_name_and_only_where_it_was_made(edge, folder, ca, tmp_path, version):
    ca.issue(folder, "judy")
    session = tmp_path / "session"
    begin(edge, folder, "judy", session, version)
    text = talk(edge, "must", "-sess_in", str(session), version)
    assert "\nReused, TLSv1" in text and '"status":"ok"' in text
    begin(edge, folder, "judy", session, version)
    assert "\nReused, TLSv1" not in talk(edge, "open", "-sess_in", str(session), version)
    begin(edge, folder, "judy", session, version)
    assert '"status":"ok"' not in talk(edge, "uri", "-sess_in", str(session), version)
    # and one that nobody has shown a certificate for opens no door
    text = talk(edge, "open", "-sess_out", str(session), version)
    assert '"status":"ok"' in text
    text = talk(edge, "must", "-sess_in", str(session), version)
    assert '"status":"ok"' not in text, text
    text = talk(edge, "may", "-sess_out", str(session), version)
    assert '"status":"ok"' in text
    text = talk(edge, "must", "-sess_in", str(session), version)
    assert '"status":"ok"' not in text, text


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_longest_chain_fits_into_a_ticket_that_comes_back(edge, folder, ca, tmp_path, version):
    ca.issue(folder, "fat", bulk=11600)
    begin(edge, folder, "fat", tmp_path / "session", version)
    text = talk(edge, "must", "-sess_in", str(tmp_path / "session"), version)
    assert "\nReused, TLSv1" in text and '"status":"ok"' in text
    ca.issue(folder, "fatter", bulk=12400)
    text = talk(edge, "must", "-cert", str(folder / "fatter.pem"), "-key", str(folder / "fatter.pem"), version)
    assert '"status":"ok"' not in text and "bad certificate" in text, text


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_all_that_a_session_rests_on_must_still_be_good(ca, tmp_path, version):
    """Here the authority between runs out, not the client's own."""
    session = tmp_path / "session"
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    with edge_of(tmp_path) as edge:
        for seconds in (6, 30, 120):  # how fast this machine is decides which of them is long enough
            end = datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)
            below = Authority("below", ca, end=(end - NOW) / DAY)
            below.issue(tmp_path, "nora", more=pem(below.cert))
            file = str(tmp_path / "nora.pem")
            text = talk(edge, "must", "-sess_out", str(session), "-cert", file, "-cert_chain", file, "-key", file, version)
            if '"status":"ok"' in text and "\nReused, TLSv1" in talk(edge, "must", "-sess_in", str(session), version):
                break
        else:
            pytest.skip("two handshakes take longer than two minutes")
        wait_for("it has run out", 150, lambda: datetime.datetime.utcnow() > end + datetime.timedelta(seconds=1))
        text = talk(edge, "must", "-sess_in", str(session), version)
        assert '"status":"ok"' not in text and "certificate expired" in text, text


def test_a_resumed_one_is_the_same_user(edge, folder, ca):
    ca.issue(folder, "kate")
    context = context_of(edge, folder / "kate.pem", ssl.TLSVersion.TLSv1_3)

    def visit(session):
        raw = socket.create_connection(("127.0.0.1", edge.port["must"]), timeout=20)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
            s.sendall(wire.upgrade_request("/ws"))
            _, _, rest = wire.read_head(s)
            hello = json.loads(wire.Frames(s, rest).next()[-1])
            return s.session_reused, hello["userId"], s.session

    reused, name, session = visit(None)
    assert not reused and name == "kate"
    reused, name, _ = visit(session)
    assert reused and name == "kate"


# ---- anew -----------------------------------------------------------------------------------------

def by_signal(edge):
    edge.process.send_signal(signal.SIGHUP)


def by_command(edge):
    edge.ctl("cert", "reload")


@pytest.mark.parametrize("how", [by_signal, by_command, None], ids=["SIGHUP", "sluicectl", "file"])
def test_other_authorities_while_people_stay(ca, tmp_path, how):
    other = Authority("the next CA")
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    ca.issue(tmp_path, "old")
    other.issue(tmp_path, "new")
    watch = "" if how is None else "tls = { watch = false; };"
    with edge_of(tmp_path, workers=2, extra=watch) as edge:
        session = tmp_path / "session"
        s, frames, hello = connected(edge, "must", tmp_path / "old.pem")
        begin(edge, tmp_path, "old", session)
        assert "unknown ca" in refused(edge, "must", tmp_path / "new.pem")
        (tmp_path / "beside.pem").write_bytes(pem(other.cert))
        (tmp_path / "beside.pem").rename(tmp_path / "ca.pem")
        if how:
            how(edge)
        wait_for("the next authority", 20, lambda: not isinstance(connected(edge, "must", tmp_path / "new.pem"), str))
        wait_for("both workers", 20, lambda: all("unknown ca" in str(connected(edge, "must", tmp_path / "old.pem")).lower()
                                                  .replace("_", " ") for _ in range(4)))
        assert '"status":"ok"' not in talk(edge, "must", "-sess_in", str(session))
        s.sendall(wire.frame(1, b'{"type":"ping"}'))
        assert json.loads(frames.next()[-1])["type"] == "pong"
        assert row(edge, hello)["user"] == "old"
        s.close()


def test_a_file_that_is_no_authority_changes_nothing(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    ca.issue(tmp_path, "lars")
    with edge_of(tmp_path, extra="tls = { watch = false; };") as edge:
        (tmp_path / "ca.pem").write_text("junk\n")
        done = edge.ctl_run("cert", "reload")
        assert done.returncode != 0 and f"{tmp_path}/ca.pem: no PEM certificate in it" in done.stdout + done.stderr
        s, _, hello = connected(edge, "must", tmp_path / "lars.pem")
        assert hello["userId"] == "lars"
        s.close()


def test_revoked(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    gone = ca.issue(tmp_path, "gone")
    ca.issue(tmp_path, "stays")
    (tmp_path / "crl.pem").write_bytes(ca.revoke())
    with edge_of(tmp_path, must=listener(tmp_path, "required", more=f'client_crl_file = "{tmp_path}/crl.pem";')) as edge:
        for name in ("gone", "stays"):
            s, _, hello = connected(edge, "must", tmp_path / f"{name}.pem")
            assert hello["userId"] == name
            s.close()
        (tmp_path / "beside.pem").write_bytes(ca.revoke(gone))
        (tmp_path / "beside.pem").rename(tmp_path / "crl.pem")
        wait_for("the list", 20, lambda: "certificate revoked" in str(
            connected(edge, "must", tmp_path / "gone.pem")).lower().replace("_", " "))
        s, _, _ = connected(edge, "must", tmp_path / "stays.pem")
        s.close()
        (tmp_path / "crl.pem").write_bytes(ca.revoke(gone, until=-1))
        assert "out of date" in edge.ctl("cert", "reload")
        assert refused(edge, "must", tmp_path / "stays.pem")


def test_an_authority_without_a_list_is_warned_of(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    ca.issue(tmp_path, "anna")
    (tmp_path / "crl.pem").write_bytes(Authority("another CA").revoke())
    with edge_of(tmp_path, must=listener(tmp_path, "required", more=f'client_crl_file = "{tmp_path}/crl.pem";')) as edge:
        assert "crl.pem: no list of the authority" in edge.log() and "nobody whom it issued" in edge.log()
        assert refused(edge, "must", tmp_path / "anna.pem")


def test_an_authority_between_can_be_revoked_too(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    below = Authority("below", ca)
    below.issue(tmp_path, "olga", more=pem(below.cert))
    ca.issue(tmp_path, "paul")
    more = f'client_crl_file = "{tmp_path}/crl.pem";'

    def anew(edge, lists):
        (tmp_path / "crl.pem").write_bytes(lists)
        edge.ctl("cert", "reload")
        wait_for("all have it", 20, lambda: not json.loads(edge.ctl("-j", "cert", "show"))[0]["differs"])

    (tmp_path / "crl.pem").write_bytes(ca.revoke() + below.revoke())
    with edge_of(tmp_path, extra="tls = { watch = false; };", must=listener(tmp_path, "required", more=more)) as edge:
        for name in ("olga", "paul"):
            s, _, hello = connected(edge, "must", tmp_path / f"{name}.pem")
            assert hello["userId"] == name
            s.close()
        anew(edge, ca.revoke(below.cert.serial_number) + below.revoke())
        assert "certificate revoked" in refused(edge, "must", tmp_path / "olga.pem")
        anew(edge, ca.revoke())  # nobody says anything about hers
        assert "unknown ca" in refused(edge, "must", tmp_path / "olga.pem")
        s, _, _ = connected(edge, "must", tmp_path / "paul.pem")
        s.close()
        # one that is trusted by itself needs no list about itself
        (tmp_path / "ca.pem").write_bytes(pem(below.cert))
        anew(edge, below.revoke())
        s, _, hello = connected(edge, "must", tmp_path / "olga.pem")
        assert hello["userId"] == "olga"
        s.close()


# ---- mistakes -------------------------------------------------------------------------------------

@pytest.mark.parametrize("words,want", [
    ('client_certificates = "required";', "client_certificates need client_ca_file"),
    ('client_certificates = "must"; client_ca_file = "{}/ca.pem";', 'client_certificates'),
    ('client_ca_file = "{}/ca.pem";', 'client_ca_file is of no use while client_certificates = "off"'),
    ('client_identity = "uri";', 'client_identity is of no use'),
    ('client_certificates = "optional"; client_ca_file = "{}/none.pem";', "none.pem"),
    ('client_certificates = "optional"; client_ca_file = "{}/junk.pem";', "junk.pem: no PEM certificate in it"),
    ('client_certificates = "optional"; client_ca_file = "{}/late.pem";', "all that is in it has expired"),
    ('client_certificates = "optional"; client_ca_file = "{0}/ca.pem"; client_crl_file = "{0}/ca.pem";',
     "no PEM revocation list in it")])
def test_mistakes_are_said(folder, ca, words, want):
    (folder / "junk.pem").write_text("nothing\n")
    (folder / "late.pem").write_bytes(pem(Authority("late", end=-1).cert))
    edge = sluice.Edge(listeners={"tls": {"tls": True, "more": words.format(folder)}})
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and want in done.stderr, done.stderr
    finally:
        edge.__exit__(None, None, None)


def test_without_tls_there_are_no_certificates(folder, ca):
    edge = sluice.Edge(listeners={"plain": dict(listener(folder, "optional"), tls=False)})
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "of no use without tls = true" in done.stderr, done.stderr
    finally:
        edge.__exit__(None, None, None)


def test_nobody_keeps_a_name_after_the_last_one(edge, folder, ca):
    """The slot and the pool: who comes next to a freed slot is nobody."""
    ca.issue(folder, "mona")

    def names():
        memory = json.loads(edge.ctl("-j", "worker", "show"))[0]["memory"]
        assert memory["partials"]["lent"] == 0  # a name is nothing unfinished, and takes no room from what is
        return memory["identities"]["lent"]

    wait_for("all others have gone", 10, lambda: names() == 0)
    for _ in range(3):
        s, _, hello = connected(edge, "may", folder / "mona.pem")
        assert hello["userId"] == "mona" and names() == 1
        s.close()
        wait_for("it is forgotten", 10, lambda: names() == 0)
        s, _, hello = connected(edge, "may")
        assert "userId" not in hello and "user" not in row(edge, hello)
        s.close()
