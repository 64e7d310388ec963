#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""fanout.py - one message to 10,000 wss subscribers: what it costs and how long it takes, Sluice beside npm ws, Socket.IO, nchan
and mosquitto, and beside a bare loop in C.

    make all && /usr/bin/python3 tests/bench/fanout.py [--subscribers 10000] [--messages 100] [--rounds 3] [--only PART ...] [--json]

Every server gets core 0 and one worker, the crowd gets core 1. All speak TLS 1.3 with the same ECDSA P-256 certificate and send
messages of 128 bytes; each client counts what is missing, doubled or out of order. Parts, each in as many rounds, of which the
tables show medians:

    peers     CPU of the server by deliveries, the next publication when the one before has reached everybody: whoever falls
              behind coalesces and looks cheaper than he is. Servers take turns within a round, and with them the bare loop
              (build/tests/bench/bench_floor, from `make build-tests`): seal and send, no more.
    floor     Sluice with io_uring and without it against that loop alone, in more rounds: the ratio to it is small, and a machine
              of many tenants is now faster, now slower.
    burst     Sluice: eight publications that come in one read, against eight that come one by one; writes, bytes and records
              by the daemon's own counters.
    latency   Sluice: publications at a steady rate; and, while it is saturated, a message from one to one in another
              channel of the same worker.
    deflate   Sluice: longer messages to subscribers that take them compressed, and to those that do not; how often it compressed.
    deaf      Sluice: a share of the subscribers stops reading. What the others notice, and what the server holds for them.

Needs root, and whom it compares with: `tools/deps.sh compare` installs them; a row says what it lacks. On loopback the kernel does the
receiver's TCP work inside the sender's send(), for the bare loop too. Absolute figures move from machine to machine: compare the ratios.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys

from servers import BUILD, Failed, Mosquitto, Nchan, Sluice, SocketIo, Ws, folder_of_its_own, need_npm

KINDS = (Sluice, Nchan, Ws, SocketIo, Mosquitto)
SIZE = 128
BURST = 8
RECORD = 22  # bytes of a TLS 1.3 record that are no message: head, type, tag
WRONG = ("missing", "lost", "doubled", "reordered", "order_differs")
TIMES = ("p50", "p99", "p999", "max")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def mid(rows, *path):
    """The median over the rounds of what stands at `path` in each."""
    values = []
    for row in rows:
        for key in path:
            row = row[key]
        values.append(row)
    return statistics.median(values)


def times(rows, *path):
    return " / ".join(f"{mid(rows, *path, t):.2f}" for t in TIMES)


def wrong(rows):
    """Over all rounds, and of all kinds; 0 is what is wanted."""
    return sum(r[w] for r in rows for w in WRONG)


def cpu(rows):
    return mid(rows, "server_cpu_us_per_delivery")


def processes(subscribers):
    return ["-P", str(-(-subscribers // 15000))]


# ---- peers ----------------------------------------------------------------------------------------------------------------


def floor(o):
    """{"send_us": …}: what the bare loop needs for a delivery, or why there is none."""
    program = BUILD / "tests/bench/bench_floor"
    if not program.exists():
        return "not built: make build-tests"
    done = subprocess.run(["taskset", "-c", "0", str(program), "-j", "-n", str(o.subscribers), "-s", str(SIZE)],
                          capture_output=True, text=True, timeout=900)
    if done.returncode or not done.stdout.strip():
        return done.stderr.strip() or f"exit code {done.returncode}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def one_round(o, folder, kind, more):
    count = min(o.subscribers, kind.most)
    try:
        with kind(folder) as server:
            return server.fanout(count, o.messages, *processes(count), *more)
    except Failed as why:
        return str(why)


def peers(o, folder, more=()):
    """`more`: further options of sluice-bench, for all."""
    rounds = {kind.name: [] for kind in KINDS}
    bare = []
    for i in range(o.rounds):
        for kind in KINDS:
            lacks = kind.lacks()
            say(f"peers, round {i + 1} of {o.rounds}: {kind.name}{': ' + lacks if lacks else ''}")
            rounds[kind.name].append(lacks or one_round(o, folder, kind, more))
        say(f"peers, round {i + 1} of {o.rounds}: bare loop")
        bare.append(floor(o))
    return {"servers": rounds, "floor": bare}


def excuse(rows):
    """What a row says in place of figures: the first round that has none."""
    return next((r for r in rows if isinstance(r, str)), None)


def show_peers(o, result):
    print(f"{o.subscribers} wss subscribers, {o.messages} messages of {SIZE} bytes, the next when the one before has reached everybody; "
          f"medians of {o.rounds} interleaved rounds.\nIn brackets: times Sluice's. A process may have "
          f"{resource.getrlimit(resource.RLIMIT_NOFILE)[1]:,} descriptors.\n")
    print("| | subscribers | CPU us per delivery | deliveries/s | latency p50 / p99 / p99.9 / max, ms | bytes per connection (PSS) | "
          "missing, doubled, out of order |")
    print("|---|---|---|---|---|---|---|")
    base = result["servers"]["Sluice"]
    if excuse(base):
        raise Failed(excuse(base))
    for name, rows in result["servers"].items():
        if excuse(rows):
            print(f"| {name} | not measured: {' '.join(excuse(rows).split())} | | | | | |")
            continue
        rate, pss = mid(rows, "deliveries_per_s"), mid(rows, "pss_per_connection")
        print(f"| {name} | {min(r['subscribers'] for r in rows):,} | {cpu(rows):.2f} ({cpu(rows) / cpu(base):.2f}) "
              f"| {rate:,.0f} ({rate / mid(base, 'deliveries_per_s'):.2f}) | {times(rows, 'latency_ms')} "
              f"| {pss:,.0f} ({pss / mid(base, 'pss_per_connection'):.1f}) | {wrong(rows)} |")
    bare = result["floor"]
    if excuse(bare):
        print(f"\nbare loop: not measured: {excuse(bare)}")
        return
    print()
    for way in (k for k in bare[0] if k.endswith("_us")):
        us = mid(bare, way)
        print(f"bare loop, {way.removesuffix('_us')}: {us:.2f} us per delivery; Sluice {cpu(base) / us:.2f} times that")


# ---- floor ----------------------------------------------------------------------------------------------------------------


def against_floor(o, folder):
    rounds = {"io_uring": [], "send": [], "bare": []}
    for i in range(max(o.rounds, 5)):
        say(f"floor, round {i + 1} of {max(o.rounds, 5)}")
        rounds["bare"].append(floor(o))
        if isinstance(rounds["bare"][-1], str):
            raise Failed(f"bare loop: {rounds['bare'][-1]}")
        for way, setting in (("io_uring", "auto"), ("send", "off")):
            with Sluice(folder, io_uring=setting) as server:
                rounds[way].append(server.fanout(o.subscribers, o.messages, *processes(o.subscribers)))
    return rounds


def show_floor(o, result):
    bare = mid(result["bare"], "send_us")
    print(f"\nCPU us per delivery of {SIZE} bytes to {o.subscribers} subscribers, medians of {len(result['bare'])} interleaved rounds; "
          "times the bare loop by send, in each round\n")
    lines = {"bare loop, " + k.removesuffix("_us"): [r[k] for r in result["bare"]] for k in ("send_us", "uring_us")}
    lines |= {"Sluice, " + way: [r["server_cpu_us_per_delivery"] for r in result[way]] for way in ("send", "io_uring")}
    for name, us in lines.items():
        ratios = [u / r["send_us"] for u, r in zip(us, result["bare"])]
        print(f"{name:22} {statistics.median(us):.2f} us, {statistics.median(us) / bare:.2f} of the medians; "
              f"by round {' '.join(f'{r:.2f}' for r in ratios)}, median {statistics.median(ratios):.2f}")


# ---- burst ----------------------------------------------------------------------------------------------------------------


def counted(o, folder, messages, *more):
    """One run's result, with what the daemon has counted over all of it."""
    with Sluice(folder) as server:
        r = server.fanout(o.subscribers, messages, *processes(o.subscribers), *more)
        w = server.worker()
        return {**r, "counters": {k: w[k] for k in ("deliveries", "writes", "bytes_out")}}


def bursts(o):
    return max(o.messages // 4, 5)


def burst(o, folder):
    """Each way twice, the second time with so many publications more: what lies between is theirs alone, and no handshake's."""
    few, many = BURST, BURST * (1 + bursts(o))
    rounds = {"together": [], "one by one": []}
    for i in range(o.rounds):
        for how, more in (("together", ["--burst", str(BURST)]), ("one by one", [])):
            say(f"burst, round {i + 1} of {o.rounds}: {how}")
            before, after = counted(o, folder, few, *more), counted(o, folder, many, *more)
            each = o.subscribers * bursts(o)
            after["per_eight"] = {k: (after["counters"][k] - before["counters"][k]) / each for k in after["counters"]}
            rounds[how].append(after)
    return rounds


def show_burst(o, result):
    print(f"\n{BURST} publications at once to {o.subscribers} subscribers, {bursts(o)} times; by subscriber and {BURST} messages\n")
    print("| | deliveries | writes | bytes | TLS records | CPU us per delivery | missing, doubled, out of order |")
    print("|---|---|---|---|---|---|---|")
    # the messages are the same: what one by one has more of is heads and tags of records
    alone = mid(result["one by one"], "per_eight", "bytes_out")
    for how, rows in result.items():
        each = {k: mid(rows, "per_eight", k) for k in ("deliveries", "writes", "bytes_out")}
        records = BURST - (alone - each["bytes_out"]) / RECORD
        print(f"| {how} | {each['deliveries']:.2f} | {each['writes']:.3f} | {each['bytes_out']:,.0f} | {records:.2f} "
              f"| {cpu(rows):.2f} | {wrong(rows)} |")


# ---- latency --------------------------------------------------------------------------------------------------------------


def latency(o, folder):
    rounds = {"paced": [], "saturated": []}
    for i in range(o.rounds):
        for how, messages, more in (("paced", int(o.rate * o.seconds), ["-r", str(o.rate)]),
                                    ("saturated", 4 * o.messages, ["-w", str(o.window), "--probe"])):
            say(f"latency, round {i + 1} of {o.rounds}: {how}")
            with Sluice(folder) as server:
                rounds[how].append(server.fanout(o.subscribers, messages, *processes(o.subscribers), *more))
    return rounds


def show_latency(o, result):
    paced, full = result["paced"], result["saturated"]
    busy = statistics.median(r["server_cpu_us_per_delivery"] * r["deliveries"] / r["seconds"] / 1e4 for r in paced)
    print(f"\nlatency of Sluice, ms, p50 / p99 / p99.9 / max, with {o.subscribers} subscribers\n")
    print(f"{o.rate:g} publications/s to all of them: {times(paced, 'latency_ms')} (server's core {busy:.0f} % busy)")
    print(f"saturated, {o.window} publications under way: {times(full, 'latency_ms')}, {mid(full, 'deliveries_per_s'):,.0f} deliveries/s")
    print(f"one to one in another channel, before: {times(full, 'probe', 'quiet_ms')}")
    print(f"one to one in another channel, meanwhile: {times(full, 'probe', 'latency_ms')} ({sum(r['probe']['messages'] for r in full)} "
          f"messages, {sum(r['probe'][w] for r in full for w in ('missing', 'lost', 'doubled'))} missing or doubled)")
    print(f"missing, doubled, out of order: {wrong(paced) + wrong(full)}")


# ---- deaf -----------------------------------------------------------------------------------------------------------------


def deaf_crowd(o):
    """Fewer, longer messages, and more of them: until those who do not read owe what memory.connection_queue allows."""
    return {"subscribers": max(o.subscribers // 2, 20), "messages": 15 * o.messages, "size": 1024}


def deaf(o, folder):
    rounds = {0: [], o.deaf: []}
    crowd = deaf_crowd(o)
    for i in range(o.rounds):
        for share in rounds:
            say(f"deaf, round {i + 1} of {o.rounds}: {share} %")
            with Sluice(folder) as server:
                r = server.fanout(crowd["subscribers"], crowd["messages"], *processes(crowd["subscribers"]), "-s", str(crowd["size"]),
                                  *(["--deaf", str(share)] if share else []))
                rounds[share].append({**r, "slow_consumers": server.worker()["closed"].get("slow-consumer", 0)})
    return rounds


def show_deaf(o, result):
    crowd = deaf_crowd(o)
    print(f"\n{crowd['subscribers']} subscribers, {crowd['messages']} messages of {crowd['size']} bytes, some subscribers deaf\n")
    print("| deaf | the others' latency p50 / p99 / p99.9 / max, ms | CPU us per delivery | closed as slow consumers | memory (PSS, MiB) "
          "before / at its height / after the last message / when they have left | missing, doubled, out of order |")
    print("|---|---|---|---|---|---|")
    for share, rows in result.items():
        memory = "-"
        if share:
            memory = " / ".join(f"{mid(rows, 'deaf', f'pss_{when}') / 2**20:.1f}" for when in ("before", "peak", "after", "left"))
        print(f"| {share} % | {times(rows, 'latency_ms')} | {cpu(rows):.2f} | {mid(rows, 'slow_consumers'):.0f} | {memory} | {wrong(rows)} |")


# ---- deflate --------------------------------------------------------------------------------------------------------------

LONG = 4096


def deflate(o, folder):
    rounds = {"as it is": [], "compressed": []}
    for i in range(o.rounds):
        for how, more in (("as it is", []), ("compressed", ["--deflate"])):
            say(f"deflate, round {i + 1} of {o.rounds}: {how}")
            with Sluice(folder) as server:
                r = server.fanout(o.subscribers, o.messages, *processes(o.subscribers), "-s", str(LONG), *more)
                rounds[how].append({**r, "counters": server.worker()})
    return rounds


def show_deflate(o, result):
    print(f"\n{o.messages} messages of {LONG} bytes to {o.subscribers} subscribers\n")
    print("| | deliveries/s | CPU us per delivery | latency p50 / p99 / p99.9 / max, ms | bytes out per delivery | compressions "
          "| came compressed | missing, doubled, out of order |")
    print("|---|---|---|---|---|---|---|---|")
    plain = result["as it is"]
    for how, rows in result.items():
        rate = mid(rows, "deliveries_per_s")
        out = statistics.median(r["counters"]["bytes_out"] / r["counters"]["deliveries"] for r in rows)
        print(f"| {how} | {rate:,.0f} ({rate / mid(plain, 'deliveries_per_s'):.2f}) | {cpu(rows):.2f} ({cpu(rows) / cpu(plain):.2f}) "
              f"| {times(rows, 'latency_ms')} | {out:,.0f} | {mid(rows, 'counters', 'deflated'):.0f} "
              f"| {statistics.median(r.get('packed', 0) for r in rows):,.0f} of {mid(rows, 'deliveries'):,.0f} | {wrong(rows)} |")


# ---- all of it ------------------------------------------------------------------------------------------------------------

PARTS = {"peers": (peers, show_peers), "floor": (against_floor, show_floor),
         "burst": (burst, show_burst), "latency": (latency, show_latency), "deflate": (deflate, show_deflate), "deaf": (deaf, show_deaf)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--subscribers", type=int, default=10000)
    p.add_argument("--messages", type=int, default=100)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--rate", type=float, default=10, help="latency: publications per second")
    p.add_argument("--seconds", type=float, default=10, help="latency: for so long")
    p.add_argument("--window", type=int, default=4, help="latency: publications under way that saturate it")
    p.add_argument("--deaf", type=int, default=10, help="deaf: percent of the subscribers")
    p.add_argument("--only", action="append", choices=PARTS, metavar="PART", help="one of " + ", ".join(PARTS) + "; repeatable")
    p.add_argument("--json", action="store_true", help="every round as JSON, not the tables")
    o = p.parse_args()
    if os.geteuid() != 0:
        sys.exit("fanout.py needs root: the probe runs before the crowd, and the servers' processes are measured")
    wanted = [name for name in PARTS if not o.only or name in o.only]
    if "peers" in wanted:
        need_npm()
    if os.getloadavg()[0] > 0.5:
        say(f"this machine is not quiet (load {os.getloadavg()[0]:.2f}): others' work is in the latencies")
    results = {}
    with folder_of_its_own() as folder:
        for name in wanted:
            results[name] = PARTS[name][0](o, folder)
            if not o.json:
                PARTS[name][1](o, results[name])
    if o.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
