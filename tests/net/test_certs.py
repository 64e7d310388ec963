# SPDX-License-Identifier: BSD-2-Clause
"""Certificates: the kind that a client can verify, OCSP responses, and all of it anew while everybody stays."""
import base64
import datetime
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp

import sluice
import wire
from sluice import SLOW, wait_for
from test_tls import config, make_certificate

ECHO = '{ path = "/echo"; protocol = "echo"; rate = 0; }'


def pem_of(folder, name):
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def shown(edge, name="one.example", listener="tls"):
    """The certificate that a new client is served."""
    context = edge.ssl_context()
    with context.wrap_socket(socket.create_connection(("127.0.0.1", edge.port[listener]), timeout=20),
                             server_hostname=name) as s:
        return x509.load_der_x509_certificate(s.getpeercert(True))


def s_client(edge, *args, name="one.example"):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port['tls']}", "-servername", name, *args],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


# ---- which one ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    make_certificate(folder, "rsa", ["one.example"], rsa.generate_private_key(65537, 2048))
    make_certificate(folder, "p256", ["one.example"])
    make_certificate(folder, "p384", ["two.example"], ec.generate_private_key(ec.SECP384R1()))
    make_certificate(folder, "wild", ["*.example"], rsa.generate_private_key(65537, 2048))
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO,
                     extra=config(folder, "rsa", "p256", "p384", "wild")) as e:
        yield e


@pytest.mark.parametrize("args,name,want", [
    ([], "one.example", "id-ecPublicKey"),                                       # both: the cheaper one
    (["-sigalgs", "rsa_pss_rsae_sha256"], "one.example", "rsaEncryption"),
    (["-sigalgs", "ECDSA+SHA256"], "one.example", "id-ecPublicKey"),
    (["-tls1_2"], "one.example", "id-ecPublicKey"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "one.example", "rsaEncryption"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "one.example", "id-ecPublicKey"),
    (["-sigalgs", "rsa_pss_rsae_sha256"], "unknown.test", "rsaEncryption"),      # the first one's name
    ([], "unknown.test", "id-ecPublicKey"),
    (["-noservername"], None, "id-ecPublicKey"),
    ([], "two.example", "id-ecPublicKey"),
    ([], "three.example", "rsaEncryption")])                                    # by the wildcard
def test_a_client_gets_what_it_can_verify(kinds, args, name, want):
    if name is None:
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{kinds.port['tls']}", *args],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        text = done.stdout.decode()
    else:
        text = s_client(kinds, *args, name=name)
    pem = text[text.index("-----BEGIN"):text.index("-----END CERTIFICATE-----") + 26].encode()
    key = x509.load_pem_x509_certificate(pem).public_key()
    assert isinstance(key, rsa.RSAPublicKey) == (want == "rsaEncryption"), text


def test_who_can_verify_none_of_them_is_told_so(kinds):
    text = s_client(kinds, "-sigalgs", "ECDSA+SHA256", "-tls1_3", name="three.example")
    assert "alert handshake failure" in text


def test_all_kinds_of_keys_are_served(tmp_path):
    keys = {"p384": ec.generate_private_key(ec.SECP384R1()), "p521": ec.generate_private_key(ec.SECP521R1()),
            "rsa3": rsa.generate_private_key(65537, 3072)}
    for name, key in keys.items():
        make_certificate(tmp_path, name, [f"{name}.example"], key)
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO,
                     extra=config(tmp_path, *keys)) as edge:
        for name in keys:
            assert shown(edge, f"{name}.example").serial_number == pem_of(tmp_path, name).serial_number
        said = {c["name"]: c for c in json.loads(edge.ctl("-j", "cert", "show"))}
        assert [said[n]["key"] for n in keys] == ["ECDSA P-384", "ECDSA P-521", "RSA 3072"]
        assert all(c["handshakes"] == 1 for c in said.values())


def test_a_key_that_no_client_takes_is_said_at_the_start(tmp_path):
    make_certificate(tmp_path, "odd", ["odd.example"], ec.generate_private_key(ec.SECP256K1()))
    edge = sluice.Edge(listeners={"tls": {"tls": True}}, extra=config(tmp_path, "odd"))
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and f"{tmp_path}/odd." in done.stderr
    finally:
        edge.__exit__(None, None, None)


class Chain:
    """A root, one below it, and leaves of either, written in any order."""

    def __init__(self, folder):
        self.folder = folder
        self.root, self.root_key = self._make("root", None, None, ca=True)
        self.mid, self.mid_key = self._make("mid", self.root, self.root_key, ca=True)
        self.late, _ = self._make("mid", self.root, self.root_key, ca=True, key=self.mid_key, days=-1)
        self.leaf, self.leaf_key = self._make("chain.example", self.mid, self.mid_key)

    @staticmethod
    def _make(name, above, above_key, ca=False, key=None, days=9):
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(above.subject if above else subject)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=30)).not_valid_after(now + datetime.timedelta(days=days))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
                .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
                .sign(above_key or key, None if isinstance(above_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()))
        return cert, key

    def write(self, *certs):
        (self.folder / "one.crt").write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certs))
        (self.folder / "one.key").write_bytes(self.leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


@pytest.mark.parametrize("order,code,want", [
    (("leaf", "mid"), 0, ""), (("leaf", "mid", "root"), 0, ""),
    (("leaf",), 0, "its issuer is not in the file"),
    (("leaf", "root"), 2, "none of the others in the file has issued the first"),
    (("leaf", "root", "mid"), 0, "number 1 is not issued by number 2"),
    (("leaf", "late"), 0, "number 2 has expired")])
def test_a_chain_that_leads_nowhere_is_said_at_the_start(tmp_path, order, code, want):
    chain = Chain(tmp_path)
    chain.write(*(getattr(chain, name) for name in order))
    edge = sluice.Edge(listeners={"tls": {"tls": True}}, extra=config(tmp_path, "one"))
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == code and want in done.stderr, done.stderr
        assert (f"{tmp_path}/one.crt" in done.stderr) == (want != ""), done.stderr
    finally:
        edge.__exit__(None, None, None)


# ---- anew -----------------------------------------------------------------------------------------

@pytest.fixture
def renewed(tmp_path):
    """An edge with one certificate, and another for the same name lying beside."""
    make_certificate(tmp_path, "one", ["one.example"])
    make_certificate(tmp_path, "next", ["one.example"])
    with sluice.Edge(workers=2, endpoints=ECHO, extra=config(tmp_path, "one")) as edge:
        yield edge, tmp_path


def put_in_place(folder, name="next", atomically=True):
    for end in ("crt", "key"):
        if atomically:
            shutil.copy(folder / f"{name}.{end}", folder / f"beside.{end}")
            (folder / f"beside.{end}").rename(folder / f"one.{end}")
        else:
            shutil.copy(folder / f"{name}.{end}", folder / f"one.{end}")


def by_signal(edge):
    edge.process.send_signal(signal.SIGHUP)


def by_command(edge):
    assert "1 certificate read anew and in use" in edge.ctl("cert", "reload")


@pytest.mark.parametrize("how", [None, by_signal, by_command], ids=["file", "sighup", "command"])
def test_a_new_certificate_is_served_and_nobody_notices(renewed, how):
    edge, folder = renewed
    if how:  # else the change itself might be the first
        edge.conf.write_text(edge.conf.read_text().replace("certificates =", "tls = { watch = false; };\ncertificates ="))
        edge.stop()
        edge.start()
    old, new = pem_of(folder, "one"), pem_of(folder, "next")
    inside = [wire.upgrade(edge, "/echo", "tls") for _ in range(8)]
    assert shown(edge).serial_number == old.serial_number
    put_in_place(folder)
    if how:
        time.sleep(0.7)
        assert shown(edge).serial_number == old.serial_number  # nobody watches
        how(edge)
    wait_for("it is served", 10, lambda: shown(edge).serial_number == new.serial_number)
    wait_for("by both workers", 10, lambda: all(c["sha256"] == new.fingerprint(hashes.SHA256()).hex() and not c["differs"]
                                                for c in json.loads(edge.ctl("-j", "cert", "show"))))
    for s, frames in inside:
        s.sendall(wire.frame(1, b"still here"))
        assert frames.next() == (1, b"still here")
        s.close()
    # and whoever begins later begins with it
    victim = edge.members()["worker-0"]
    os.kill(victim, signal.SIGKILL)
    wait_for("its successor", 20, lambda: edge.members().get("worker-0", victim) != victim)
    for _ in range(8):
        assert shown(edge).serial_number == new.serial_number
    assert {c["read_anew"] for c in json.loads(edge.ctl("-j", "cert", "show"))} == {1}


def test_what_is_not_in_order_changes_nothing_and_is_said(renewed):
    edge, folder = renewed
    old = pem_of(folder, "one")
    shutil.copy(folder / "next.crt", folder / "one.crt")  # the key is the old one's
    edge.wait_log(f"key {folder}/one.key does not belong", 10)
    done = edge.ctl_run("cert", "reload")
    assert done.returncode == 1 and "does not belong to the first certificate in" in done.stderr, done
    assert "those in use stay" in done.stderr
    assert shown(edge).serial_number == old.serial_number
    answer = json.loads(edge.ctl("-j", "cert", "reload", check=False))
    assert any("does not belong" in m for m in answer["mistakes"]), answer
    (folder / "one.crt").unlink()
    done = edge.ctl_run("cert", "reload")
    assert done.returncode == 1 and f"{folder}/one.crt: No such file" in done.stderr
    assert shown(edge).serial_number == old.serial_number
    put_in_place(folder, atomically=False)  # as a plain cp does
    wait_for("mended", 10, lambda: shown(edge).serial_number == pem_of(folder, "next").serial_number)


SECONDS = 1 / 86400


def until_it_is_late(cert):
    time.sleep(max(0, (cert.not_valid_after - datetime.datetime.utcnow()).total_seconds() + 1))


def test_one_that_has_expired_meanwhile_keeps_no_other_one_out(tmp_path):
    make_certificate(tmp_path, "short", ["short.example"], days=6 * SECONDS)
    make_certificate(tmp_path, "one", ["one.example"])
    make_certificate(tmp_path, "next", ["one.example"])
    make_certificate(tmp_path, "late", ["one.example"], days=-1)
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=config(tmp_path, "short", "one")) as edge:
        until_it_is_late(pem_of(tmp_path, "short"))
        put_in_place(tmp_path)
        done = edge.ctl_run("cert", "reload")
        assert done.returncode == 0 and f"{tmp_path}/short.crt has expired and is in use: renew it" in done.stdout + done.stderr, done
        wait_for("the renewed one", 10, lambda: shown(edge).serial_number == pem_of(tmp_path, "next").serial_number)
        # another one that has expired is a mistake all the same, and so is this one at a start
        put_in_place(tmp_path, "late")
        done = edge.ctl_run("cert", "reload")
        assert done.returncode == 1 and f"{tmp_path}/one.crt has expired\n" in done.stderr, done
        put_in_place(tmp_path)
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and f"{tmp_path}/short.crt has expired\n" in done.stderr, done


def test_a_link_that_turns_is_a_change(tmp_path):
    for n in ("a", "b"):
        (tmp_path / n).mkdir()
        make_certificate(tmp_path / n, "one", ["one.example"])
    (tmp_path / "live").mkdir()
    for end in ("crt", "key"):
        (tmp_path / "live" / f"one.{end}").symlink_to(tmp_path / "a" / f"one.{end}")
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=config(tmp_path / "live", "one")) as edge:
        for end in ("crt", "key"):
            (tmp_path / "live" / "new").symlink_to(tmp_path / "b" / f"one.{end}")
            (tmp_path / "live" / "new").rename(tmp_path / "live" / f"one.{end}")
        wait_for("the other one", 10, lambda: shown(edge).serial_number == pem_of(tmp_path / "b", "one").serial_number)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_key_that_only_root_may_read_is_read_anew_by_workers_that_are_nobody(renewed):
    edge, folder = renewed
    for name in ("one.key", "next.key"):
        (folder / name).chmod(0o600)
    put_in_place(folder)
    wait_for("it is served", 10, lambda: shown(edge).serial_number == pem_of(folder, "next").serial_number)


@pytest.mark.time_limit(300)
def test_a_thousand_stay_and_hundreds_come_while_certificates_change(tmp_path):
    """Nobody drops, every handshake succeeds, and each one that begins after a change gets the new one."""
    names = [f"gen{i}" for i in range(6)]
    for name in names:
        make_certificate(tmp_path, name, ["one.example"])
    shutil.copy(tmp_path / "gen0.crt", tmp_path / "one.crt")
    shutil.copy(tmp_path / "gen0.key", tmp_path / "one.key")
    words = '{ path = "/ws"; words = "channels"; rate = 0; }'
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True, "more": "backlog = 4096;"}}, endpoints=words,
                     extra="tls = { watch = false; };\n" + config(tmp_path, "one")) as edge:
        bench = str(sluice.BUILD / "sluice-bench")
        stay = subprocess.Popen([bench, "idle", "-n", "1000", "-t", "12", "-j", "-q", "-u", edge.url("tls", "/ws")],
                                stdout=subprocess.PIPE, text=True)
        come = subprocess.Popen([bench, "handshake", "-t", "12", "-f", "32", "-j", "-q", "-u", edge.url("tls", "/ws")],
                                stdout=subprocess.PIPE, text=True)
        wait_for("they are inside", 60, lambda: sum(
            w["upgrades"] for w in json.loads(edge.ctl("-j", "worker", "show"))) > 1000)
        for name in names[1:]:
            put_in_place(tmp_path, name)
            by_command(edge)
            # the answer comes when all were told; they hear it before they hear of a later handshake
            wait_for("all workers have it", 5, lambda: not json.loads(edge.ctl("-j", "cert", "show"))[0]["differs"])
            for _ in range(5):
                assert shown(edge).serial_number == pem_of(tmp_path, name).serial_number
            time.sleep(0.5)
        there, others = json.loads(stay.communicate(timeout=120)[0]), json.loads(come.communicate(timeout=120)[0])
        assert there["connections"] == there["still_there"] == 1000 and there["failed"] == 0, there
        assert others["failed"] == 0 and others["handshakes"] > 100, others
        print(there["connections"], "stayed,", others["handshakes"], "came")


# ---- OCSP -----------------------------------------------------------------------------------------

def ocsp_response(folder, name, days=1, status=ocsp.OCSPCertStatus.GOOD, of=None, since=2):
    cert = pem_of(folder, of or name)
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    built = ocsp.OCSPResponseBuilder().add_response(
        cert=cert, issuer=cert, algorithm=hashes.SHA1(), cert_status=status, this_update=now - datetime.timedelta(days=since),
        next_update=now + datetime.timedelta(days=days) if days is not None else None,
        revocation_time=now if revoked else None, revocation_reason=None).responder_id(
            ocsp.OCSPResponderEncoding.HASH, pem_of(folder, name)).sign(key, hashes.SHA256())
    (folder / f"{name}.ocsp").write_bytes(built.public_bytes(serialization.Encoding.DER))


def with_ocsp(folder, name):
    return (f'certificates = ( {{ name = "{name}"; cert_file = "{folder}/{name}.crt"; key_file = "{folder}/{name}.key"; '
            f'ocsp_file = "{folder}/{name}.ocsp"; }} );\n')


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_an_ocsp_response_is_stapled_for_who_asks(tmp_path, version):
    make_certificate(tmp_path, "one", ["one.example"])
    ocsp_response(tmp_path, "one")
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=with_ocsp(tmp_path, "one")) as edge:
        text = s_client(edge, version, "-status")
        assert "OCSP Response Status: successful" in text and "Cert Status: good" in text
        assert "no response sent" not in text and "OCSP response:" not in s_client(edge, version)
        said = json.loads(edge.ctl("-j", "cert", "show"))[0]
        assert 86000 < said["ocsp_next_update"] - time.time() <= 86400
        ocsp_response(tmp_path, "one", days=5)
        wait_for("a newer one", 10, lambda: json.loads(edge.ctl("-j", "cert", "show"))[0]["ocsp_next_update"] > said["ocsp_next_update"])
        assert "stapled, until" in edge.ctl("cert", "show")


@pytest.mark.parametrize("damage,want", [
    ("other", "it is for another certificate"), ("junk", "it is no OCSP response"),
    ("cut", "it is no OCSP response"), ("empty", "not a file of 1 byte")])
def test_a_response_that_clients_would_refuse_is_refused(tmp_path, damage, want):
    make_certificate(tmp_path, "one", ["one.example"])
    make_certificate(tmp_path, "other", ["other.example"])
    ocsp_response(tmp_path, "one", of="other" if damage == "other" else None)
    file = tmp_path / "one.ocsp"
    if damage in ("junk", "cut", "empty"):
        file.write_bytes({"junk": b"none", "cut": file.read_bytes()[:-20], "empty": b""}[damage])
    edge = sluice.Edge(listeners={"tls": {"tls": True}}, extra=with_ocsp(tmp_path, "one"))
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and want in done.stderr and str(file) in done.stderr, done.stderr
    finally:
        edge.__exit__(None, None, None)


def test_a_response_that_has_run_out_is_not_stapled_and_stops_nothing(tmp_path):
    make_certificate(tmp_path, "one", ["one.example"])
    ocsp_response(tmp_path, "one", days=6 * SECONDS)
    said = f"OCSP response {tmp_path}/one.ocsp: it has expired and is not stapled: fetch a newer one"
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=with_ocsp(tmp_path, "one")) as edge:
        assert "Cert Status: good" in s_client(edge, "-status")
        wait_for("its end", 20, lambda: "no response sent" in s_client(edge, "-status"))
        done = edge.ctl_run("cert", "reload")
        assert done.returncode == 0 and said in done.stdout + done.stderr, done
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and said in done.stderr, done
        assert "not stapled, until" in edge.ctl("cert", "show")
        edge.stop()
        edge.start()
        assert "no response sent" in s_client(edge, "-status") and "no response sent" in s_client(edge, "-status", "-tls1_2")
        ocsp_response(tmp_path, "one")
        wait_for("a newer one", 10, lambda: "Cert Status: good" in s_client(edge, "-status"))


def responder(chain, name, above, above_key, eku=True, days=9):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    usage = x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING if eku else x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
    cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(above.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days)).add_extension(x509.ExtendedKeyUsage([usage]), False)
            .sign(above_key, hashes.SHA256()))
    return cert, key


REFUSED = "neither the certificate's issuer nor a responder of his has signed it"


@pytest.mark.parametrize("by,code,want", [
    ("issuer", 0, ""), ("responder", 0, ""), ("rsa", 0, ""), ("ed25519", 0, ""),
    ("unknown", 0, "the responder does not know the certificate"), ("revoked", 0, "the certificate is revoked"),
    ("alone", 0, "its signature could not be checked"), ("stranger", 2, REFUSED), ("root", 2, REFUSED),
    ("no-usage", 2, REFUSED), ("stale", 0, "it has expired and is not stapled"), ("late", 2, REFUSED), ("stranger's", 2, REFUSED), ("bent", 2, REFUSED)])
def test_a_response_is_believed_only_of_the_issuer_and_his_responders(tmp_path, by, code, want):
    chain = Chain(tmp_path)
    stranger = Chain(tmp_path)  # the same names, other keys
    keys = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate()}
    if by in keys:
        chain.mid, chain.mid_key = Chain._make("mid", chain.root, chain.root_key, ca=True, key=keys[by])
        chain.leaf, chain.leaf_key = Chain._make("chain.example", chain.mid, chain.mid_key)
    chain.write(*((chain.leaf,) if by == "alone" else (chain.leaf, chain.mid)))
    signer, key, along = chain.mid, chain.mid_key, []
    if by in ("stranger", "root"):
        signer, key = (stranger.mid, stranger.mid_key) if by == "stranger" else (chain.root, chain.root_key)
    elif by in ("responder", "no-usage", "late", "stale", "stranger's"):
        above = stranger if by == "stranger's" else chain
        signer, key = responder(chain, "ocsp", above.mid, above.mid_key, eku=by != "no-usage", days=-1 if by in ("late", "stale") else 9)
        along = [signer]
    status = {"unknown": ocsp.OCSPCertStatus.UNKNOWN, "revoked": ocsp.OCSPCertStatus.REVOKED}.get(by, ocsp.OCSPCertStatus.GOOD)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    built = ocsp.OCSPResponseBuilder().add_response(
        cert=chain.leaf, issuer=chain.mid, algorithm=hashes.SHA1(), cert_status=status, this_update=now - datetime.timedelta(days=5),
        next_update=now + datetime.timedelta(days=-1 if by == "stale" else 5), revocation_time=now if by == "revoked" else None, revocation_reason=None)
    built = built.responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
    if along:
        built = built.certificates(along)
    der = bytearray(built.sign(key, None if by == "ed25519" else hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    if by == "bent":
        der[-1] ^= 1
    (tmp_path / "one.ocsp").write_bytes(der)
    edge = sluice.Edge(listeners={"tls": {"tls": True}}, extra=with_ocsp(tmp_path, "one"))
    try:
        done = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        assert done.returncode == code and want in done.stderr, done.stderr
        assert ("one.ocsp" in done.stderr) == (want != ""), done.stderr
    finally:
        edge.__exit__(None, None, None)


# ---- what people are told ---------------------------------------------------------------------------

def said_at(edge):
    """What a start says, and -t, and a reload."""
    with edge:
        started = edge.log().split("ready:")[0]
        test = subprocess.run(edge.command("-t"), capture_output=True, text=True, timeout=20)
        reload = edge.ctl_run("cert", "reload")
        assert test.returncode == reload.returncode == 0, (test, reload)
        return [started, test.stderr, reload.stdout + reload.stderr]


def test_an_rsa_key_that_is_too_short_is_said(tmp_path):
    make_certificate(tmp_path, "weak", ["weak.example"], rsa.generate_private_key(65537, 1024))
    make_certificate(tmp_path, "one", ["one.example"], rsa.generate_private_key(65537, 2048))
    for text in said_at(sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, extra=config(tmp_path, "weak", "one"))):
        assert f"key {tmp_path}/weak.key: RSA of 1024 bits is too weak" in text and "one.key" not in text, text
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, extra=config(tmp_path, "weak", "one")) as edge:
        assert [c["key"] for c in json.loads(edge.ctl("-j", "cert", "show"))] == ["RSA 1024", "RSA 2048"]


def test_a_secret_that_everybody_may_read_is_said(tmp_path):
    for name, mode in (("one", 0o644), ("two", 0o602), ("three", 0o640)):
        make_certificate(tmp_path, name, [f"{name}.example"])
        (tmp_path / f"{name}.key").chmod(mode)
    (tmp_path / "tickets").write_text(base64.b64encode(os.urandom(80)).decode() + "\n")
    (tmp_path / "tickets").chmod(0o644)
    extra = f'tls = {{ ticket_key_file = "{tmp_path}/tickets"; }};\n' + config(tmp_path, "one", "two", "three")
    for text in said_at(sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, extra=extra)):
        assert f"key {tmp_path}/one.key can be read by everybody on this machine: chmod 600" in text, text
        assert f"key {tmp_path}/two.key can be written by everybody" in text and "three.key" not in text, text
        assert f"ticket keys {tmp_path}/tickets can be read by everybody" in text, text


def test_one_that_no_handshake_is_served_is_said(tmp_path):
    make_certificate(tmp_path, "one", ["one.example", "www.one.example"])
    make_certificate(tmp_path, "again", ["www.one.example", "one.example"])
    make_certificate(tmp_path, "rsa", ["one.example", "www.one.example"], rsa.generate_private_key(65537, 2048))
    make_certificate(tmp_path, "part", ["one.example"])
    for text in said_at(sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, extra=config(tmp_path, "one", "again", "rsa", "part"))):
        assert 'certificate "again" is never used: "one" has the same names and kind of key' in text, text
        assert text.count("is never used") == 1


def test_what_runs_out_is_said_before_and_when_it_does(tmp_path):
    make_certificate(tmp_path, "one", ["one.example"], days=6 * SECONDS)
    make_certificate(tmp_path, "late", ["late.example"], days=100)
    make_certificate(tmp_path, "ca", ["ca.example"], days=6 * SECONDS)
    ocsp_response(tmp_path, "one", days=6 * SECONDS)
    listeners = {"tls": {"tls": True, "more": f'client_certificates = "optional"; client_ca_file = "{tmp_path}/ca.crt";'}}
    both = with_ocsp(tmp_path, "one").replace(" );", config(tmp_path, "late").replace("certificates = ( ", ", "), 1)
    names = [f"certificate {tmp_path}/one.crt", f"OCSP response {tmp_path}/one.ocsp", f"client_ca_file {tmp_path}/ca.crt"]
    with sluice.Edge(workers=1, listeners=listeners, endpoints=ECHO, extra=both) as edge:
        for name in names:
            edge.wait_log(f"{name} runs out in 0 minutes", 5)
        for name in names:
            edge.wait_log(f"{name} has run out", 20)
        log = edge.log()
        assert all(log.count(f"{name} runs out") == log.count(f"{name} has run out") == 1 for name in names), log
        assert "late.crt" not in log


def test_a_response_is_to_be_renewed_when_a_quarter_of_it_is_left(tmp_path):
    make_certificate(tmp_path, "one", ["one.example"], days=100)
    ocsp_response(tmp_path, "one", days=7, since=0)
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=with_ocsp(tmp_path, "one")) as edge:
        assert "renew it" not in edge.ctl("cert", "show")
        ocsp_response(tmp_path, "one", days=1.5, since=5.5)
        wait_for("an older one", 10, lambda: "renew it" in edge.ctl("cert", "show"))


def test_cert_show_says_how_long_each_lasts(tmp_path):
    make_certificate(tmp_path, "soon", ["soon.example", "www.soon.example"], days=5)
    make_certificate(tmp_path, "late", ["late.example"], days=100)
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True}}, endpoints=ECHO, extra=config(tmp_path, "soon", "late")) as edge:
        text = edge.ctl("cert", "show")
        assert re.search(r"soon: ECDSA P-256, soon.example, self-signed", text)
        assert "soon.example, www.soon.example" in text and text.count(": renew it") == 1
        assert re.search("(99|100)d", text) and pem_of(tmp_path, "late").fingerprint(hashes.SHA256()).hex() in text
        assert edge.ctl("cert", "show", "name", "late").count("valid") == 1
        done = edge.ctl_run("cert", "show", "name", "nope")
        assert done.returncode == 1 and "no certificate is called 'nope'" in done.stderr


def test_without_tls_there_is_nothing_to_show_or_to_read():
    with sluice.Edge(workers=1, listeners={"plain": {"tls": False}}) as edge:
        assert "no certificate" in edge.ctl("cert", "show")
        done = edge.ctl_run("cert", "reload")
        assert done.returncode == 1 and "names no certificate" in done.stderr
