# SPDX-License-Identifier: BSD-2-Clause
"""tests/bench/million.py (`make bench-million`), small: its table makes sense, and what it changes is put back."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import sluice

MILLION = str(sluice.ROOT / "tests/bench/million.py")
SYSCTLS = [pathlib.Path("/proc/sys") / name for name in
           ("net/ipv4/ip_local_port_range", "net/ipv4/tcp_mem", "net/ipv4/tcp_max_orphans", "net/ipv4/tcp_max_syn_backlog",
            "net/core/somaxconn", "fs/file-max", "net/netfilter/nf_conntrack_max")]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="sets sysctls")


def sysctls():
    return {path: path.read_text() for path in SYSCTLS if path.exists()}


def table(text):
    """{first cell: the others} of the one table in it."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def numbers(cells):
    return [float(cell.replace(",", "")) for cell in cells]


@pytest.mark.time_limit(300)
def test_the_table_of_a_small_million_makes_sense():
    before = sysctls()
    done = subprocess.run([sys.executable, MILLION, "--steps", "500,2000", "--workers", "4", "--rest", "12", "--messages", "3"],
                          capture_output=True, text=True, timeout=280)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, "a connection or a delivery is missing, or it said why not"
    rows = table(done.stdout)
    assert rows[""] == rows["connections"] == ["500", "2,000"] and rows["workers"] == ["4", "4"]
    # 256 of a conn, 128 beside it, at least; and not an SSL object each
    assert all(384 < n < 20000 for n in numbers(rows["user bytes/connection"])[1:])
    assert 336 < numbers(rows["client bytes/connection"])[1] < 10000
    assert numbers(rows["kernel bytes/connection, both ends"])[1] > 4000
    # every client was asked in these 12 s: it is due every 7.5 to 10 s
    assert all(n >= count / 12 for n, count in zip(numbers(rows["heartbeats/s in it"]), (500, 2000)))
    assert all(n > 0 for name in ("s to connect", "one publication: all have it after, s", "server CPU per delivery, us")
               for n in numbers(rows[name]))
    for cell in rows["p50 / p99 / max, ms"]:
        assert sorted(numbers(cell.split("/"))) == numbers(cell.split("/"))
    assert sysctls() == before


def family_of(pid):
    """All that live below it."""
    parent = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {p for p, of in parent.items() if of in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.time_limit(120)
def test_a_million_that_is_interrupted_leaves_nothing_behind():
    before = sysctls()
    process = subprocess.Popen([sys.executable, MILLION, "--steps", "2000", "--workers", "4", "--rest", "60"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # keeper, four workers and the admin worker, then sluice-bench with four crowds
        sluice.wait_for("clients are there", 40, lambda: len(family_of(process.pid)) >= 11, every=0.2)
        assert sysctls() != before
        family = family_of(process.pid)
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=40 * sluice.SLOW)
    finally:
        process.kill()
    assert process.returncode == 1 and "SIGTERM" in err and "Traceback" not in err
    sluice.wait_for("all have ended", 10, lambda: not any(sluice.alive(pid) for pid in family))
    assert sysctls() == before
