#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""compare.py - Sluice beside npm ws and nginx with nchan, in one run.

    make all && /usr/bin/python3 tests/bench/compare.py [--subscribers 5000] [--messages 200] [--rounds 3]

Every server gets core 0 and one worker, the crowd gets core 1. All speak TLS 1.3 with the same
ECDSA P-256 certificate. Each publication of 128 bytes waits until the one before has reached everybody.
The rounds are interleaved; the table shows medians. Needs: root, nginx with nchan, node, and npm's
`ws` (installed under .deps/npm). Absolute figures move from machine to machine: compare the ratios.
"""
import argparse
import json
import statistics
import sys

from servers import Nchan, Sluice, Ws, folder_of_its_own, need_ws

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--subscribers", type=int, default=5000)
    p.add_argument("--messages", type=int, default=200)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", action="store_true", help="every round as JSON, not the table")
    o = p.parse_args()
    need_ws()
    rounds = {}
    with folder_of_its_own() as folder:
        for i in range(o.rounds):
            for kind in (Sluice, Nchan, Ws):
                print(f"round {i + 1} of {o.rounds}: {kind.name}", file=sys.stderr)
                with kind(folder) as server:
                    rounds.setdefault(kind.name, []).append(server.fanout(o.subscribers, o.messages))
    if o.json:
        print(json.dumps(rounds))
        return
    print(f"{o.subscribers} wss subscribers, {o.messages} messages of 128 bytes, medians of {o.rounds} rounds\n")
    print(f"| {'':12} | deliveries/s | CPU us per delivery | bytes per connection (PSS) | p99 ms | missing |")
    print("|---|---|---|---|---|---|")
    base = None
    for name, runs in rounds.items():
        mid = {k: statistics.median(r[k] for r in runs)
               for k in ("deliveries_per_s", "server_cpu_us_per_delivery", "pss_per_connection", "missing")}
        p99 = statistics.median(r["latency_ms"]["p99"] for r in runs)
        base = base or mid
        print(f"| {name:12} | {mid['deliveries_per_s']:,.0f} ({mid['deliveries_per_s'] / base['deliveries_per_s']:.2f}) "
              f"| {mid['server_cpu_us_per_delivery']:.2f} "
              f"({mid['server_cpu_us_per_delivery'] / base['server_cpu_us_per_delivery']:.2f}) "
              f"| {mid['pss_per_connection']:,.0f} ({mid['pss_per_connection'] / base['pss_per_connection']:.1f}) "
              f"| {p99:.1f} | {mid['missing']:.0f} |")
    print("\nin brackets: times Sluice's")


if __name__ == "__main__":
    main()
