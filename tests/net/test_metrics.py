# SPDX-License-Identifier: BSD-2-Clause
"""sluicectl metrics, as Prometheus's own parser reads it."""
import json
import time

from prometheus_client.parser import text_string_to_metric_families

import sluice
import wire
from test_tls import config, make_certificate


def families(edge):
    text = edge.ctl("metrics", "show")
    all_of = list(text_string_to_metric_families(text))
    assert len({f.name for f in all_of}) == len(all_of)
    assert all(f.documentation for f in all_of)
    return {f.name: f for f in all_of}


def values(family):
    return {s.labels.get("worker", s.labels.get("certificate")): s.value for s in family.samples}


def test_every_number_is_there_and_right(tmp_path):
    make_certificate(tmp_path, "one", ["one.example"], days=20)
    make_certificate(tmp_path, "two", ["two.example"], days=9)
    with sluice.Edge(workers=2, listeners={"tls": {"tls": True}}, extra=config(tmp_path, "one", "two")) as edge:
        ears = [wire.dial(edge, "tls", server_name="two.example") for _ in range(3)]
        for s in ears:
            s.sendall(wire.upgrade_request("/ws"))
            assert wire.read_head(s)[0] == 101
        gone = wire.dial(edge, "tls", server_name="one.example")
        gone.close()
        sluice.wait_for("the end", 10, lambda: sum(values(families(edge)["sluice_connections"]).values()) == 3)
        m = families(edge)
        assert sum(values(m["sluice_tls_handshakes"]).values()) == 4 and m["sluice_tls_handshakes"].type == "counter"
        assert sum(values(m["sluice_upgrades"]).values()) == 3
        assert sum(s.value for s in m["sluice_closed"].samples) == 1
        assert values(m["sluice_tls_certificate_handshakes"]) == {"one": 1, "two": 3}
        said = {c["name"]: c["not_after"] for c in json.loads(edge.ctl("-j", "cert", "show"))}
        assert values(m["sluice_tls_certificate_not_after_seconds"]) == said
        assert m["sluice_tls_certificate_not_after_seconds"].type == "gauge"
        assert set(values(m["sluice_connections"])) == {"0", "1"}
        both = json.loads(edge.ctl("-j", "metrics", "show"))
        assert len(both["workers"]) == 2 and len(both["certificates"]) == 2
        for s in ears:
            s.close()


def test_a_reload_that_failed_is_a_number_and_a_reason(tmp_path):
    make_certificate(tmp_path, "one", ["one.example"])
    make_certificate(tmp_path, "two", ["two.example"])
    with sluice.Edge(workers=1, listeners={"tls": {"tls": True}}, extra=config(tmp_path, "one")) as edge:
        def numbers():
            m = families(edge)
            return [m[f"sluice_tls_reload_{n}"].samples[0].value for n in ("ok", "timestamp_seconds")]
        ok, began = numbers()
        assert ok == 1 and abs(began - time.time()) < 60 and "last read" not in edge.ctl("cert", "show")
        key = (tmp_path / "one.key").read_bytes()
        (tmp_path / "one.key").write_bytes((tmp_path / "two.key").read_bytes())
        assert edge.ctl_run("cert", "reload").returncode == 1
        ok, failed = numbers()
        why = f"tls: key {tmp_path}/one.key does not belong to the first certificate in {tmp_path}/one.crt"
        assert ok == 0 and failed >= began and why in edge.ctl("cert", "show")
        row = json.loads(edge.ctl("-j", "cert", "show"))[0]
        assert (row["reload_ok"], row["reload_error"]) == (False, why)
        (tmp_path / "one.key").write_bytes(key)
        assert edge.ctl_run("cert", "reload").returncode == 0
        assert numbers()[0] == 1 and "reload_error" not in json.loads(edge.ctl("-j", "cert", "show"))[0]


def test_without_tls_there_are_no_certificates_in_it():
    with sluice.Edge(workers=1, listeners={"plain": {"tls": False}}) as edge:
        m = families(edge)
        assert "sluice_connections" in m and not any(name.startswith("sluice_tls_certificate") for name in m)


def test_who_scrapes_a_daemon_that_is_not_there_learns_it(tmp_path):
    with sluice.Edge(workers=1, listeners={"plain": {"tls": False}}) as edge:
        edge.stop()
        done = edge.ctl_run("metrics", "show")
        assert done.returncode == 3 and done.stdout == "" and "control.sock" in done.stderr
