#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""storm.py - what 1,000 clients inside notice while 2,000 strangers shake hands without end.

    make all && /usr/bin/python3 tests/bench/storm.py [--established 1000] [--strangers 2000] [--seconds 10] [--rounds 3]

One worker on core 0; all clients on core 1, those inside before the strangers (nice), for the question is what the server
does to them, not what a full client machine does. A message every 50 ms to all who are inside; its latency quiet, and while
each of the strangers makes a full TLS 1.3 handshake and an upgrade, hangs up and begins anew. Rounds alternate; the table shows
medians. Needs root, for the nice values.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from servers import BUILD, Sluice, folder_of_its_own

BENCH = str(BUILD / "sluice-bench")


def start(nice, *args):
    return subprocess.Popen(["nice", "-n", str(nice), "taskset", "-c", "1", BENCH, *args, "-j", "-q"],
                            stdout=subprocess.PIPE, text=True)


def result(process):
    return json.loads(process.communicate(timeout=600)[0])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--established", type=int, default=1000)
    p.add_argument("--strangers", type=int, default=2000)
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--rounds", type=int, default=3)
    o = p.parse_args()
    if os.geteuid() != 0:
        sys.exit("storm.py needs root, for nice values below 0")
    quiet, storm, rates = [], [], []
    with folder_of_its_own() as folder:
        for i in range(o.rounds):
            for strangers in (0, o.strangers):
                print(f"round {i + 1} of {o.rounds}: {strangers} strangers", file=sys.stderr)
                with Sluice(folder) as server:
                    url = ["-u", f"wss://127.0.0.1:{server.port}/ws"]
                    inside = start(-15, "fanout", "-n", str(o.established), "-m", str(o.seconds * 20), "-r", "20", *url)
                    time.sleep(1)  # they have connected, and publishing is about to begin
                    if strangers:
                        outside = start(10, "handshake", "-f", str(strangers), "-t", str(o.seconds + 2), "-p",
                                        str(server.process.pid), *url)
                        rates.append(result(outside))
                    r = result(inside)
                    if r["missing"] or r["lost"]:
                        sys.exit(f"messages were lost: {r}")
                    (storm if strangers else quiet).append(r["latency_ms"])
    for name, rows in (("quiet", quiet), ("storm", storm)):
        print(f"{name}: p50 {statistics.median(r['p50'] for r in rows):.2f} ms, p99 {statistics.median(r['p99'] for r in rows):.2f} ms, "
              f"max {max(r['max'] for r in rows):.2f} ms")
    print(f"p99, storm to quiet: {statistics.median(r['p99'] for r in storm) / statistics.median(r['p99'] for r in quiet):.2f}")
    print(f"handshakes/s meanwhile: {statistics.median(r['handshakes_per_s'] for r in rates):,.0f}, failed: "
          f"{sum(r['failed'] for r in rates)}")


if __name__ == "__main__":
    main()
