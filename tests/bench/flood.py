# SPDX-License-Identifier: BSD-2-Clause
"""flood.py - what is left for honest clients while an edge is flooded with SYNs, with the shield and without.

    far host, core 0                          edge host, core 1
    bench_flood send ──live frames──┐
    echo clients, TLS connects ─────┴─veth──► NAPI thread ─► XDP ─► stack ─► sluiced, one worker

The edge's core does everything the edge has to do, and nothing else: its veth's NAPI runs in a thread that competes with the
worker, as ksoftirqd would, and the generator puts frames into its ring as a NIC does, which are lost when that
is full. Sources are forged at random; what is answered to them is dropped where it leaves the wire. Both edges are the
real daemon under default sysctls; one has no interface for its shield, the other has all rules in force
and answers every SYN by cookie (on a veth that must be asked for).

For each rate: how many frames a second were offered, how many the edge took out of its ring, the share of TLS + WebSocket handshakes that
succeed within five seconds (TCP's first retransmission comes after one), and echoes per second of connections that
exist, each of which sends so and so many a second, as a share of what came back without a flood.

    make all build-tests && python3 tests/bench/flood.py [--rates 100000,400000] [--seconds 4] [--family 6] [--ack] [--json]
"""
import argparse
import contextlib
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/net"))

import netns  # noqa: E402
import sluice  # noqa: E402
import wire  # noqa: E402

EDGE = {4: "198.51.100.1", 6: "2001:db8:1::1"}
SYN, ACK = "tcp S o=020405b40402080a00bc614e0000000001030307", "tcp A o=0101080a00bc614e00000001"
PORT, TALKERS, PER_S, CALLERS = 8443, 24, 40, 4


def flood_frame(family, ack):
    return f"ip{family} dst={EDGE[family]} {(ACK if ack else SYN).replace(' o=', f' dport={PORT} o=')}"


@contextlib.contextmanager
def wire_between(family):
    """Addresses that the generator's frames know; who is not the client is reached by the client's door."""
    with netns.Pair() as net:
        for ns, dev, mac in ((net.edge, net.edge_if, "02:00:00:00:00:01"), (net.far, net.far_if, "02:00:00:00:00:02")):
            netns.sh("ip", "-n", ns, "link", "set", dev, "address", mac)
        for gate in ("198.51.100.9", "2001:db8:1::9"):
            netns.sh("ip", "-n", net.edge, "neigh", "replace", gate, "lladdr", "02:00:00:00:00:02", "dev", net.edge_if,
                     "nud", "permanent")
            netns.sh("ip", "-n", net.edge, *(["-6"] if ":" in gate else []), "route", "replace", "default", "via", gate,
                     "dev", net.edge_if)
        for host in EDGE.values():
            netns.sh("ip", "-n", net.far, "neigh", "replace", host, "lladdr", "02:00:00:00:00:01", "dev", net.far_if,
                     "nud", "permanent")
        threaded(net)
        yield net


def threaded(net):
    """The edge's NAPI in a thread, on core 1. A veth has NAPI with GRO only, or with an XDP program; and a sysfs of that
    namespace is needed to say so."""
    netns.sh("nsenter", f"--net=/run/netns/{net.edge}", "ethtool", "-K", net.edge_if, "gro", "on")
    subprocess.run(["nsenter", f"--net=/run/netns/{net.edge}", "unshare", "-m", "sh", "-c",
                    f"mount -t sysfs none /sys && echo 1 > /sys/class/net/{net.edge_if}/threaded"], check=True, timeout=20)
    pin_napi(net.edge_if)


def pin_napi(name):
    """Threads come and go with XDP programs: pin those that are there."""
    for proc in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if proc.name.isdigit() and (proc / "comm").read_text().startswith(f"napi/{name}"[:15]):
                os.sched_setaffinity(int(proc.name), {1})


class Generator:
    def __init__(self, net, frame):
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{net.far}", "taskset", "-c", "0",
             str(sluice.BUILD / "tests/bench/bench_flood"), "send", net.far_if, frame],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the generator does not run")

    def begin(self, per_s, seconds):
        self.process.stdin.write(f"{per_s} {int(seconds * 1000)}\n")
        self.process.stdin.flush()

    def end(self):
        """What it has really sent, per second; for how many seconds."""
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise RuntimeError("the generator has failed")
        return float(line[0]), float(line[1]) / 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)


class Client:
    """Sockets of the far host."""

    def __init__(self, net, family):
        self.net, self.family, self.lock, self.context = net, family, threading.Lock(), sluice.Edge.ssl_context()

    def call(self, seconds):
        with self.lock, self.net.inside(self.net.far):
            s = socket.socket(socket.AF_INET6 if self.family == 6 else socket.AF_INET)
        s.settimeout(seconds)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect((EDGE[self.family], PORT))
        s = self.context.wrap_socket(s, server_hostname="localhost")
        s.sendall(wire.upgrade_request("/echo"))
        status, _, rest = wire.read_head(s)
        assert status == 101
        return s, wire.Frames(s, rest)


class Talkers:
    """Connections that exist; each says something PER_S times a second and counts what comes back."""

    def __init__(self, client):
        self.echoes, self.stop, self.threads = [0] * TALKERS, threading.Event(), []
        for i in range(TALKERS):
            s, frames = client.call(10)
            s.settimeout(20)
            self.threads.append(threading.Thread(target=self.talk, args=(i, s, frames), daemon=True))
        for t in self.threads:
            t.start()

    def talk(self, i, s, frames):
        due = time.monotonic() + i / TALKERS / PER_S
        with contextlib.suppress(OSError, ConnectionError):
            while not self.stop.is_set():
                time.sleep(max(0, due - time.monotonic()))
                due = max(due + 1 / PER_S, time.monotonic() - 0.1)
                s.sendall(wire.frame(1, b"x" * 100))
                frames.next()
                self.echoes[i] += 1
        s.close()

    def count(self):
        return sum(self.echoes)

    def end(self):
        self.stop.set()


class Callers:
    """New clients, one after the other, until told to stop; each has five seconds."""

    def __init__(self, client):
        self.client, self.good, self.bad, self.stop = client, 0, 0, threading.Event()
        self.took = []
        self.threads = [threading.Thread(target=self.run) for _ in range(CALLERS)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                s, _ = self.client.call(5)
                took = time.monotonic() - began
                s.close()
                self.took.append(took)
                self.good += took <= 5
                self.bad += took > 5
            except (OSError, ConnectionError):
                self.bad += 1
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


def cpu_of(pids):
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def arrived(net):
    """Frames that the edge's veth has taken out of its ring so far; what found that full is not among them."""
    shown = json.loads(netns.sh("ip", "-n", net.edge, "-j", "-s", "link", "show", "dev", net.edge_if))
    return shown[0]["stats64"]["rx"]["packets"]


def napi_pids(name):
    out = []
    for proc in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if proc.name.isdigit() and (proc / "comm").read_text().startswith(f"napi/{name}"[:15]):
                out.append(int(proc.name))
    return out


def point(net, generator, client, talkers, rate, seconds):
    """One rate: the flood first runs half a second alone."""
    pin_napi(net.edge_if)
    if rate:
        generator.begin(rate, seconds + 0.7)
        time.sleep(0.5)
    napi = napi_pids(net.edge_if)
    callers, echoes, cpu, frames = Callers(client), talkers.count(), cpu_of(napi), arrived(net)
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    echoes, cpu = (talkers.count() - echoes) / took, (cpu_of(napi) - cpu) / took
    frames = (arrived(net) - frames) / took
    callers.stop.set()
    sent, lasted = generator.end() if rate else (0, 0)
    if rate and lasted < seconds + 0.6:
        raise RuntimeError(f"the flood of {rate}/s ended after {lasted:.1f} s")
    callers.end()
    time.sleep(1.5 if rate else 0)  # what was retransmitted comes home
    tried = callers.good + callers.bad
    return {"offered_per_s": round(sent), "arrived_per_s": round(frames), "echoes_per_s": round(echoes, 1), "napi_cpu": round(cpu, 3),
            "connects": tried, "connects_ok": callers.good,
            "connect_ms": round(1000 * statistics.median(callers.took), 1) if callers.took else None}


def curve(o, shielded):
    with wire_between(o.family) as net:
        shield = f'interfaces = ["{net.edge_if}"]; mode = "native"; cookies = {{ mode = "always"; }};' \
            if shielded else 'mode = "off";'
        listeners = {"tls": {"tls": True, "address": EDGE[o.family], "port": PORT}}
        os.sched_setaffinity(0, {1})  # the daemon inherits it
        with sluice.Edge(workers=1, listeners=listeners, netns=net.edge, extra=f"shield = {{ {shield} }};",
                         endpoints='{ path = "/echo"; protocol = "echo"; rate = 0; }') as edge:
            os.sched_setaffinity(0, {0})
            if shielded:
                status = json.loads(edge.ctl("-j", "status"))
                assert status["interfaces"][0]["mode"] == "native", status
            with Generator(net, flood_frame(o.family, o.ack)) as generator:
                client = Client(net, o.family)
                talkers = Talkers(client)
                out = []
                for rate in [0, *o.rates]:
                    out.append(point(net, generator, client, talkers, rate, o.seconds))
                    out[-1]["goodput"] = round(out[-1]["echoes_per_s"] / out[0]["echoes_per_s"], 3)
                    show(out[-1], "shield" if shielded else "kernel")
                talkers.end()
            if shielded:
                drops = json.loads(edge.ctl("-j", "drop", "show"))["reasons"]
                print("  dropped: " + (", ".join(f"{r['packets']} {r['reason']}" for r in drops if r["packets"]) or "none"),
                      file=sys.stderr)
    return out


def show(p, who):
    if p["offered_per_s"] == 0:
        print(f"{who}: idle {p['echoes_per_s']:.0f} echoes/s of {TALKERS * PER_S}", file=sys.stderr)
    share = 100 * p["connects_ok"] / max(p["connects"], 1)
    print(f"  {who} {p['offered_per_s']:>9,}/s offered, {p['arrived_per_s']:>9,}/s worked on: connects {share:5.1f} % of {p['connects']:4d} (median {p['connect_ms']} ms), "
          f"goodput {100 * p['goodput']:5.1f} %, NAPI {100 * p['napi_cpu']:.0f} % of the core", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rates", type=lambda t: [int(r) for r in t.split(",")],
                   default=[50000, 100000, 200000, 300000, 400000, 600000, 800000])
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--family", type=int, choices=(4, 6), default=4)
    p.add_argument("--ack", action="store_true", help="bogus ACKs instead of SYNs")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        sys.exit("needs root and two cores")
    kernel, shield = curve(o, False), curve(o, True)
    if o.json:
        print(json.dumps({"kernel": kernel, "shield": shield}))
        return
    print(f"{'ACKs' if o.ack else 'SYNs'} over IPv{o.family}, forged sources; connects of those tried, echoes as a share of idle\n")
    print("| offered per second | kernel: worked on | connects | goodput | shield: worked on | connects | goodput |")
    print("|---|---|---|---|---|---|---|")
    for k, s in zip(kernel, shield):
        cells = [f"{max(k['offered_per_s'], s['offered_per_s']):,}"]
        for c in (k, s):
            cells += [f"{c['arrived_per_s']:,}", f"{100 * c['connects_ok'] / max(c['connects'], 1):.1f} % of {c['connects']}", f"{100 * c['goodput']:.1f} %"]
        print("| " + " | ".join(cells) + " |")
    both = [(k["offered_per_s"], k, s) for k, s in zip(kernel, shield)
            if k["goodput"] < 0.1 and s["goodput"] >= 0.8 and s["connects_ok"] >= 0.99 * s["connects"]
            and s["arrived_per_s"] >= 0.9 * s["offered_per_s"]]  # what found the ring full was not survived
    quiet = min(kernel[0]["echoes_per_s"], shield[0]["echoes_per_s"]) >= 0.95 * TALKERS * PER_S
    if not quiet:
        print("\nidle already less than 95 % of the echoes came back: the machine is busy, and this says nothing")
    if both and quiet:
        print(f"\nfrom {both[0][0]:,}/s on the edge without the shield is below 10 %, the one with it whole")
    elif quiet:
        print(f"\nno rate up to {kernel[-1]['offered_per_s']:,}/s where the one is below 10 % and the other, having "
              "worked on nine tenths of the flood, above 80 %")


if __name__ == "__main__":
    main()
