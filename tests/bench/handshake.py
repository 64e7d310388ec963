#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""handshake.py - what a new connection costs a server: Sluice's up to the WebSocket's 101, nginx's and haproxy's up to the answer
to one plain GET.

    make all && /usr/bin/python3 tests/bench/handshake.py [--seconds 5] [--rounds 5]

TLS 1.3, ECDSA P-256, X25519; full, and resumed with a ticket. CPU of all of the server's processes, user and system, by the number
of connections; a client on the other core opens and closes them, 16 at once. Rounds are interleaved, the table shows medians.
Needs: root, nginx, haproxy, node and npm's `ws`.
"""
import argparse
import json
import statistics
import sys

from servers import Haproxy, Nginx, Sluice, Ws, folder_of_its_own, need_npm


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    need_npm()
    rows = {}
    with folder_of_its_own() as folder:
        for i in range(o.rounds):
            for kind in (Sluice, Nginx, Haproxy, Ws):
                print(f"round {i + 1} of {o.rounds}: {kind.name}", file=sys.stderr)
                with kind(folder) as server:
                    for how in ("full", "resumed"):
                        r = server.handshakes(o.seconds, *(["--resume"] if how == "resumed" else []))
                        if r["failed"]:
                            print(f"{kind.name}: {r['failed']} failed", file=sys.stderr)
                        rows.setdefault((kind.name, how), []).append(r)
    if o.json:
        print(json.dumps({" ".join(k): v for k, v in rows.items()}))
        return
    print("| | full: CPU us | times Sluice's | per s | resumed: CPU us | times Sluice's | per s |")
    print("|---|---|---|---|---|---|---|")
    mid = {k: {f: statistics.median(r[f] for r in v) for f in ("server_cpu_us_per_handshake", "handshakes_per_s")}
           for k, v in rows.items()}
    for name in dict.fromkeys(k[0] for k in rows):
        cells = []
        for how in ("full", "resumed"):
            us = mid[name, how]["server_cpu_us_per_handshake"]
            cells.append(f"{us:.0f} | {us / mid['Sluice', how]['server_cpu_us_per_handshake']:.2f} | "
                         f"{mid[name, how]['handshakes_per_s']:,.0f}")
        print(f"| {name} | {' | '.join(cells)} |")
    for name in ("nginx", "haproxy"):
        for how in ("full", "resumed"):
            ratio = mid["Sluice", how]["server_cpu_us_per_handshake"] / mid[name, how]["server_cpu_us_per_handshake"]
            print(f"Sluice to {name}, {how}: {ratio:.2f}")


if __name__ == "__main__":
    main()
