#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""lists.py - a million prefixes onto the deny list of a running edge, as an operator does it.

    make all && /usr/bin/python3 tests/bench/lists.py [--prefixes 1000000] [--swaps 4]

A file of prefixes of all lengths from /8 to /32 (70 % hosts, 20 % /24) is loaded by sluicectl: how long that takes from the
command to the moment at which packets are judged by it, and what memory it takes at most, in each process and in the
kernel. Then sets like it replace one another while an innocent and a listed source send as fast as they can: how many packets of
each were denied. Needs root, for a network namespace and the shield; what packets pay for the list is bench_lists'.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "net"))
import netns  # noqa: E402
import sluice  # noqa: E402
from frames import ip4, tcp  # noqa: E402

EDGE, GOOD, BAD = "198.51.100.1", "198.51.100.9", "203.0.113.5"


def prefixes(n, seed):
    """n different ones, none of which has the edge or the innocent in it."""
    draw, seen = random.Random(seed), {f"{BAD}/32"}
    while len(seen) < n:
        r = draw.random()
        if len(seen) < 25:
            bits = 8 + len(seen) % 8
        else:
            bits = 32 if r < .7 else 24 if r < .9 else draw.randint(25, 31) if r < .99 else draw.randint(16, 23)
        first = draw.choice([i for i in (1, 20, 50, 90, 120)]) if bits < 16 else draw.randint(1, 191)
        address = (first << 24 | draw.getrandbits(24)) >> (32 - bits) << (32 - bits)
        if first not in (10, 100, 127, 169, 172):
            seen.add(f"{socket.inet_ntoa(address.to_bytes(4, 'big'))}/{bits}")
    return seen


class Watch(threading.Thread):
    """The largest resident set of each process called so, while it lives."""
    def __init__(self, *names):
        super().__init__(daemon=True)
        self.names, self.peak, self.stop = names, {}, threading.Event()
        self.start()

    def run(self):
        while not self.stop.wait(0.01):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                    if name not in self.names:
                        continue
                    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM"):
                            self.peak[name] = max(self.peak.get(name, 0), int(line.split()[1]) / 1024)
                except OSError:
                    pass


def load(edge, path):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(sluice.BUILD / "sluicectl"), "-j", "-c", str(edge.control), "deny", "load", str(path), "set", "big"],
                          stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(done.stdout)


def drops(edge):
    shown = json.loads(edge.ctl("-j", "drop", "show"))
    return {r["reason"]: r["packets"] for r in shown["reasons"]}["denied"], shown["passed"] + shown["dropped"]


def swap(net, edge, files, swaps):
    link = net.mac(net.edge, net.edge_if) + net.mac(net.far, net.far_if) + b"\x08\x00"
    good, bad, to = (socket.inet_aton(a) for a in (GOOD, BAD, EDGE))
    with net.inside(net.far):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind((net.far_if, 0))
    both = [link + ip4(tcp(source, to, 0x02, sport=1234), source, to) for source in (good, bad)]
    (denied, judged), sent, stop = drops(edge), [0], threading.Event()

    def send():
        while not stop.is_set():
            for frame in both:
                raw.send(frame)
            sent[0] += 1
            if sent[0] % 50 == 0:
                time.sleep(0.001)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        for i in range(swaps):
            load(edge, files[(i + 1) % 2])
    finally:
        stop.set()
        thread.join()
    sluice.wait_for("all are judged", 20, lambda: drops(edge)[1] - judged >= 2 * sent[0])
    return sent[0], drops(edge)[0] - denied


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefixes", type=int, default=1000000)
    parser.add_argument("--swaps", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, netns.Pair() as net:
        files = [pathlib.Path(directory) / f"{i}.txt" for i in range(2)]
        for i, path in enumerate(files):
            path.write_text("\n".join(prefixes(args.prefixes, i)) + "\n")
        listeners = {"v4": {"tls": False, "address": EDGE, "port": 8080}}
        with sluice.Edge(listeners=listeners, netns=net.edge, extra=f'shield = {{ interfaces = ["{net.edge_if}"]; }};') as edge:
            watch = Watch("sluicectl", "sluice-build")
            seconds, cpu, told = load(edge, files[0])
            watch.stop.set()
            kernel = json.loads(edge.ctl("-j", "status"))["lists"][0]["bytes"] / (1 << 20)
            print(f"{args.prefixes:,} prefixes, {files[0].stat().st_size / (1 << 20):.1f} MiB of text")
            print(f"  loaded in {seconds:.2f} s ({cpu:.2f} s of processor time in sluicectl); {told['text']}")
            print(f"  maps in the kernel {kernel:.0f} MiB; at its height sluicectl {watch.peak.get('sluicectl', 0):.0f} MiB, then the child "
                  f"that builds {watch.peak.get('sluice-build', 0):.0f} MiB, the maps among them")
            sent, denied = swap(net, edge, files, args.swaps)
            print(f"  {args.swaps} swaps under traffic: {sent:,} packets of the listed source, {denied:,} denied; "
                  f"{sent:,} of an innocent one, {denied - sent:,} denied")
            return 0 if denied == sent else 1


if __name__ == "__main__":
    sys.exit(main())
