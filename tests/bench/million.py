#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""million.py - a million idle wss connections on one machine, clients included, and what one costs from a thousand on.

    make bench-million              # or python3 tests/bench/million.py [--count 1000000] [--steps 1000,10000,100000,1000000]

For each step a fresh sluiced, with as many workers as the limit of descriptors asks for, and as many processes of clients, each
client with one subscription to one channel: what it takes to connect them, what they cost at rest, heartbeats included, and then
a few publications to all of them, one after the other. Server and clients share the cores.

The clients give up their SSL objects (sluice-bench --asleep) and come from many addresses of 127.10.0.0/16, at most 10,000 from
each. No more are connected once less than --keep-free of memory is free, and the table says how many it were.

Needs root, for the sysctls that so many connections need; each is put back at the end, and said at the beginning. A heartbeat is
due each --interval seconds at a million connections, for fewer proportionally sooner (10 s at least), so that there are enough to
be measured; silence lasts for one interval, --rest seconds at least, and in it every client is asked once.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

from servers import ROOT, folder_of_its_own, free_port

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
MILLION = 1000000
SPARE = 512  # descriptors of a worker that are no connections; sluiced counts as many
INTERRUPTIONS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
FILL = 0.96  # of a worker: the kernel does not deal out evenly

# The patience with a pong is long: while all cores send and read a publication, a client that is well waits for its turn.
CONFIG = """
workers = {workers}; runtime_dir = "{dir}/run"; state_dir = "{dir}/state"; pin_dir = "{pin}";
certificates = ( {{ name = "c"; cert_file = "{dir}/c.crt"; key_file = "{dir}/c.key"; }} );
endpoints = ( {{ path = "/ws"; words = "channels"; rate = 0; heartbeat = "{interval} s";
                heartbeat_timeout = "60 s"; }} );
listeners = ( {{ address = "127.0.0.1"; port = {port}; tls = true; backlog = 4096; }} );
shield = {{ mode = "off"; }};
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- the machine ------------------------------------------------------------------------------------------


def at_least(*least):
    """A sysctl whose numbers are raised to these, or left where they are larger."""
    return lambda have: " ".join(str(max(h, l)) for h, l in zip(map(int, have.split()), least))


def sysctls(count):
    """What `count` connections with both ends here need: {name: from what it is to what it shall be}."""
    pages = os.sysconf("SC_PHYS_PAGES")
    return {
        "net.ipv4.ip_local_port_range": lambda have: "1024 65535",
        "net.ipv4.tcp_mem": at_least(pages // 4, pages // 3, pages // 2),
        "net.ipv4.tcp_max_orphans": at_least(count),
        "net.ipv4.tcp_max_syn_backlog": at_least(16384),
        "net.core.somaxconn": at_least(4096),
        "fs.file-max": at_least(2 * count + 200000),
        "net.netfilter.nf_conntrack_max": at_least(2 * count),  # where it counts at all
    }


@contextlib.contextmanager
def tuned(wanted):
    """Sets them, and puts them back whatever happens."""
    before = {}
    try:
        for name, shall in wanted.items():
            path = pathlib.Path("/proc/sys") / name.replace(".", "/")
            if not path.exists():
                continue
            have = " ".join(path.read_text().split())
            if shall(have) == have:
                continue
            before[path] = have
            say(f"sysctl {name}: {have} -> {shall(have)}, for the time of this run")
            path.write_text(shall(have))
        yield
    finally:
        for path, have in reversed(before.items()):
            path.write_text(have)


# What the kernel has of a socket that somebody polls; other caches have their own ups and downs.
SOCKET_CACHES = ("TCP", "sock_inode_cache", "lsm_inode_cache", "dentry", "filp", "eventpoll_epi", "eventpoll_pwq",
                 "tcp_bind_bucket", "tcp_bind2_bucket", "skbuff_", "kmalloc-")


def slabs():
    """{cache: bytes}, once the kernel has given back the names and inodes that nobody has open, like those of /proc, which we
    ourselves read all the time."""
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")
    time.sleep(0.2)  # they are freed a little later
    rows = (l.split() for l in pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:])
    return {word[0]: int(word[14]) * int(word[5]) * resource.getpagesize() for word in rows
            if word[0].startswith(SOCKET_CACHES)}


def memory_taken():
    """By whomever, but not by files' pages that would be given back; MemAvailable counts the inodes of open sockets so."""
    kb = {k: int(v.split()[0]) for k, v in (l.split(":") for l in pathlib.Path("/proc/meminfo").read_text().splitlines())}
    return 1024 * (kb["MemTotal"] - kb["MemFree"] - kb["Active(file)"] - kb["Inactive(file)"])


def tcp_sockets():
    lines = pathlib.Path("/proc/net/sockstat").read_text().splitlines()
    return next(int(l.split()[2]) for l in lines if l.startswith("TCP:"))


class Kernel:
    """Finds out, while all connections are there and say nothing, where the machine's memory is."""
    SETTLED = 5  # looks, a second apart, at the same number of sockets

    def __init__(self):
        self.sockets_before, self.slabs_before, self.taken_before = tcp_sockets(), slabs(), memory_taken()
        self.sockets = self.looks = 0
        self.found = None

    def look(self):
        last, self.sockets = self.sockets, tcp_sockets()
        ends = self.sockets - self.sockets_before
        self.looks = self.looks + 1 if ends > 100 and abs(self.sockets - last) <= ends // 1000 else 0
        if self.looks < self.SETTLED or self.found:
            return
        each = {k: round((v - self.slabs_before.get(k, 0)) / (ends / 2)) for k, v in slabs().items()}
        taken = round((memory_taken() - self.taken_before) / (ends / 2))
        self.found = {"slab_per_connection_both_ends": sum(each.values()),
                      "memory_per_connection": taken if ends > 100000 else None,  # else others' ups and downs are larger
                      "slabs": {k: v for k, v in sorted(each.items(), key=lambda c: -c[1]) if v >= 50}}


def processes(count, each):
    return max(1, -(-count // each))


# ---- one step ---------------------------------------------------------------------------------------------


class Edge:
    """A sluiced for `count` connections."""

    def __init__(self, folder, workers, interval):
        self.dir, self.port = folder, free_port()
        self.pin = f"/sys/fs/bpf/sluice-million-{os.getpid()}"
        (folder / "state").mkdir(exist_ok=True)
        (folder / "s.conf").write_text(CONFIG.format(dir=folder, workers=workers, port=self.port, interval=interval,
                                                     pin=self.pin))

    def __enter__(self):
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen([str(BUILD / "sluiced"), "-c", str(self.dir / "s.conf")], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + 60
        while "ready: " not in (self.dir / "log").read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                sys.exit("sluiced did not start:\n" + (self.dir / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            say("sluiced does not end: killed")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.pin, ignore_errors=True)


def run_bench(arguments, look):
    """sluice-bench's result, and nothing left of it if we are interrupted: its clients end with it."""
    process = subprocess.Popen([str(BUILD / "sluice-bench"), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        # should our watch over memory fail, then the crowd is what the kernel shall end
        pathlib.Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
        said = None
        while said is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=1)[0]
            look()
    finally:
        process.kill()
        process.wait()
    if not said.strip():
        sys.exit(f"sluice-bench ended with {process.returncode} and no result")
    return json.loads(said)


def step(folder, count, o, limit):
    workers = max(o.workers, processes(count, int((limit - SPARE) * FILL)))
    crowds = max(o.workers, processes(count, limit - SPARE))
    interval = min(o.interval, max(10, o.interval * count // MILLION))
    say(f"{count:,} connections: {workers} workers, {crowds} processes of clients, a heartbeat every {interval} s")
    with Edge(folder, workers, interval) as edge:
        kernel = Kernel()
        row = run_bench(["fanout", "-j", "-u", f"wss://127.0.0.1:{edge.port}/ws", "-p", str(edge.process.pid), "-n", str(count),
                         "-P", str(crowds), "-f", str(max(4, 512 // crowds)), "-m", str(o.messages), "-w", "1", "-s", "128",
                         "--asleep", "--rest", str(max(o.rest, interval)), "--keep-free", str(o.keep_free)], kernel.look)
    return dict(row, asked=count, workers=workers, crowds=crowds, interval=interval, kernel=kernel.found)


# ---- the table --------------------------------------------------------------------------------------------


def of_kernel(field):
    """Unknown where the crowd never stood still."""
    return lambda r: f"{r['kernel'][field]:,}" if r["kernel"] and r["kernel"][field] is not None else "-"


COLUMNS = (
    ("connections", lambda r: f"{r['subscribers']:,}"),
    ("workers", lambda r: f"{r['workers']}"),
    ("s to connect", lambda r: f"{r['rest']['connect_s']:.1f}"),
    ("connects/s", lambda r: f"{r['subscribers'] / r['rest']['connect_s']:,.0f}"),
    ("user bytes/connection", lambda r: f"{r['rest']['pss_per_connection']:,}"),
    ("kernel bytes/connection, both ends", of_kernel("slab_per_connection_both_ends")),
    ("client bytes/connection", lambda r: f"{r['rest']['client_pss_per_connection']:,}"),
    ("all memory, bytes/connection", of_kernel("memory_per_connection")),
    ("without clients, % of a core", lambda r: f"{100 * r['rest']['cpu_empty']:.2f}"),
    ("at rest, % of a core", lambda r: f"{100 * r['rest']['cpu']:.2f}"),
    ("heartbeats/s in it", lambda r: f"{r['rest']['pings'] / r['rest']['seconds']:,.0f}"),
    ("CPU per heartbeat, us", lambda r: f"{r['rest']['cpu_us_per_ping']:.1f}"),
    ("one publication: all have it after, s", lambda r: f"{r['seconds'] / r['messages']:.3f}"),
    ("p50 / p99 / max, ms", lambda r: " / ".join(f"{r['latency_ms'][k]:,.0f}" for k in ("p50", "p99", "max"))),
    ("server CPU per delivery, us", lambda r: f"{r['server_cpu_us_per_delivery']:.2f}"),
)

NOTES = """
TLS 1.3, one subscription each to one channel, messages of 128 bytes, server and clients on the same {cores} cores. User: PSS of
all of sluiced's processes, with the clients minus without; client: likewise of sluice-bench. Kernel: the slab of sockets,
likewise, for both ends of a connection over loopback. All memory: what the machine has less. CPU: of sluiced's processes, user and
system; on loopback the receiver's TCP work is done inside the sender's send(). At rest: over {rest}. Per heartbeat, a ping and
its pong: what rest costs more than no clients. Publications: {messages}, each when all have the one before; of their times the mean.
"""


def print_table(rows, o):
    """Columns are steps: there are more figures than steps."""
    print("| | " + " | ".join(f"{r['asked']:,}" for r in rows) + " |")
    print("|---|" + "---|" * len(rows))
    for name, cell in COLUMNS:
        print(f"| {name} | " + " | ".join(cell(r) for r in rows) + " |")
    seconds = ", ".join(f"{r['rest']['seconds']} s" for r in rows)
    print(NOTES.format(cores=os.cpu_count(), rest=seconds, messages=o.messages))
    last = rows[-1]["kernel"]
    if last:
        print(f"Slab at {rows[-1]['asked']:,}, bytes per connection: "
              + ", ".join(f"{k} {v:,}" for k, v in last["slabs"].items()) + "\n")


def wrong(r, o):
    """What keeps a row from being what was asked for."""
    if r["rest"]["stopped_for_memory"]:
        yield f"{r['subscribers']:,} fit: then less than {o.keep_free} MiB of memory were free (--keep-free)"
    elif r["subscribers"] < r["asked"]:
        yield f"only {r['subscribers']:,} of {r['asked']:,} connected: why is said above"
    for what in ("missing", "lost", "doubled", "reordered", "order_differs"):
        if r[what]:
            yield f"{r['asked']:,} connections: {r[what]:,} {what.replace('_', ' ')}"


# ---- all of it --------------------------------------------------------------------------------------------


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=MILLION, help="connections of the last step (1000000)")
    p.add_argument("--steps", help="all of them, instead of 1000,10000,100000 and --count")
    p.add_argument("--workers", type=int, default=os.cpu_count(), help="at least so many, and processes of clients")
    p.add_argument("--messages", type=int, default=5, help="publications at each step (5)")
    p.add_argument("--rest", type=int, default=30, help="seconds of silence, at least (30)")
    p.add_argument("--interval", type=int, default=300, help="seconds between heartbeats at a million (300)")
    p.add_argument("--keep-free", type=int, default=2048, help="MiB of memory that stay free (2048)")
    p.add_argument("--json", action="store_true", help="what was measured as JSON, not the table")
    o = p.parse_args()
    steps = o.steps.split(",") if o.steps else [s for s in (1000, 10000, 100000) if s < o.count] + [o.count]
    o.steps = [int(s) for s in steps]
    if min(o.steps) < 1 or min(o.interval, o.messages, o.rest, o.workers, o.keep_free) < 1:
        p.error("every number is at least 1")
    return o


def interrupted(number, _frame):
    for other in INTERRUPTIONS:  # once is enough
        signal.signal(other, signal.SIG_IGN)
    sys.exit(f"{signal.Signals(number).name}: everything is being put back")


def main():
    o = arguments()
    if os.geteuid() != 0:
        sys.exit("million.py needs root, for the sysctls that so many connections need")
    for number in INTERRUPTIONS:
        signal.signal(number, interrupted)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    rows = []
    with tuned(sysctls(max(o.steps))), folder_of_its_own() as folder:
        for count in o.steps:
            rows.append(step(folder, count, o, limit))
            if rows[-1]["rest"]["stopped_for_memory"]:
                break
    if o.json:
        print(json.dumps(rows))
    else:
        print_table(rows, o)
    problems = [text for r in rows for text in wrong(r, o)]
    for text in problems:
        print(text, file=sys.stderr if o.json else sys.stdout)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
