#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""idle.py - user-space memory of an idle wss connection: Sluice beside nginx, haproxy and npm ws, in one run.

    make all && /usr/bin/python3 tests/bench/idle.py [--count 15000] [--json]

TLS 1.3, each client with one subscription to one shared channel. Memory is PSS of all of a server's processes, after minus
before, divided by the clients. Sluice has --count of them, the others as many as their descriptors allow (a limit of 20,000 for
a process; whoever passes WebSockets on needs two for each). Needs: root, nginx, haproxy, node and npm's `ws`.
"""
import argparse
import json
import sys

from servers import Haproxy, Nginx, Sluice, Ws, folder_of_its_own, need_npm


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=15000)
    p.add_argument("--seconds", type=int, default=5, help="how long they are held")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    need_npm()
    rows = {}
    with folder_of_its_own() as folder:
        for kind in (Sluice, Nginx, Haproxy, Ws):
            count = o.count if kind is Sluice else min(kind.most, o.count + 4000)
            print(f"{kind.name}: {count} clients", file=sys.stderr)
            with kind(folder) as server:
                rows[kind.name] = server.idle(count, o.seconds)
    if o.json:
        print(json.dumps(rows))
        return
    base = rows["Sluice"]["pss_per_connection"]
    print("| | clients | failed | bytes per idle wss connection (PSS) | times Sluice's | CPU at rest, % of a core |")
    print("|---|---|---|---|---|---|")
    for name, r in rows.items():
        print(f"| {name} | {r['connections']:,} | {r['failed']} | {r['pss_per_connection']:,.0f} | "
              f"{r['pss_per_connection'] / base:.1f} | {100 * r['cpu_at_rest']:.2f} |")


if __name__ == "__main__":
    main()
