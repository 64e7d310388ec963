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
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NPM = ROOT / ".deps" / "npm"

NODE = """
const https = require('https'), fs = require('fs'), { WebSocketServer } = require('ws');
const dir = process.argv[2];
const server = https.createServer({ cert: fs.readFileSync(dir + '/c.crt'), key: fs.readFileSync(dir + '/c.key'),
                                    minVersion: 'TLSv1.3' });
const wss = new WebSocketServer({ server, perMessageDeflate: false });
wss.on('connection', ws => ws.on('message', (data, binary) => {
  for (const c of wss.clients) if (c !== ws && c.readyState === 1) c.send(data, { binary });
}));
server.listen({ port: +process.argv[3], host: '127.0.0.1', backlog: 4096 });
"""

NGINX = """
load_module modules/ngx_nchan_module.so;
worker_processes 1; worker_rlimit_nofile 20000; daemon off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 15000; multi_accept on; }}
http {{
  access_log off; nchan_max_reserved_memory 256M;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d;
  scgi_temp_path {dir}/e;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {dir}/c.crt; ssl_certificate_key {dir}/c.key;
    ssl_protocols TLSv1.3;
    location = /sub {{ nchan_subscriber websocket; nchan_channel_id bench; nchan_message_buffer_length 10; }}
  }}
  server {{
    listen 127.0.0.1:{plain};
    location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 10; }}
  }}
}}
"""

SLUICE = """
workers = 1; runtime_dir = "{dir}/run"; state_dir = "{dir}/state"; pin_dir = "/sys/fs/bpf/sluice-compare";
certificates = ( {{ name = "c"; cert_file = "{dir}/c.crt"; key_file = "{dir}/c.key"; }} );
endpoints = ( {{ path = "/ws"; words = "channels"; rate = 0; }} );
listeners = ( {{ address = "127.0.0.1"; port = {port}; tls = true; backlog = 4096; }} );
shield = {{ mode = "off"; }};
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{folder}/c.key", "-out", f"{folder}/c.crt", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)


class Server:
    def __init__(self, folder):
        self.dir, self.port, self.plain = folder, free_port(), free_port()

    def __enter__(self):
        log = open(self.dir / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(["taskset", "-c", "0", *self.command()], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(0.5)
                    return self
            time.sleep(0.05)
        self.__exit__()
        sys.exit(f"{self.name} did not start: see its log:\n" + (self.dir / f"{self.name}.log").read_text()[-2000:])

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def bench(self, subscribers, messages):
        args = ["taskset", "-c", "1", str(ROOT / "build/sluice-bench"), "fanout", "-j", "-q", "-n", str(subscribers),
                "-m", str(messages), "-w", "1", "-s", "128", "-p", str(self.process.pid), *self.bench_args()]
        done = subprocess.run(args, capture_output=True, text=True, timeout=900)
        if not done.stdout.strip():
            sys.exit(f"{self.name}: {done.stderr}")
        return json.loads(done.stdout.strip().splitlines()[-1])


class Sluice(Server):
    name = "Sluice"

    def command(self):
        (self.dir / "s.conf").write_text(SLUICE.format(dir=self.dir, port=self.port))
        (self.dir / "state").mkdir(exist_ok=True)
        return [str(ROOT / "build/sluiced"), "-c", str(self.dir / "s.conf")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/ws"]


class Nchan(Server):
    name = "nginx+nchan"

    def command(self):
        (self.dir / "n.conf").write_text(NGINX.format(dir=self.dir, port=self.port, plain=self.plain))
        return ["nginx", "-p", "/usr/share/nginx", "-c", str(self.dir / "n.conf"), "-e", str(self.dir / "error.log")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/sub", "--subscribe", "", "--expect", "",
                "--publish-url", f"http://127.0.0.1:{self.plain}/pub"]


class Ws(Server):
    name = "npm ws"

    def command(self):
        (self.dir / "server.js").write_text(NODE)
        return ["env", f"NODE_PATH={NPM}/node_modules", "node", str(self.dir / "server.js"), str(self.dir), str(self.port)]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/", "--subscribe", "", "--expect", "", "--publish", "%s"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--subscribers", type=int, default=5000)
    p.add_argument("--messages", type=int, default=200)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", action="store_true", help="every round as JSON, not the table")
    o = p.parse_args()
    if not (NPM / "node_modules/ws").exists():
        subprocess.run(["npm", "install", "--silent", "--no-save", "--no-package-lock", "--prefix", str(NPM), "ws"],
                       check=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-compare-"))
    folder.chmod(0o755)
    rounds = {}
    try:
        certificate(folder)
        (folder / "c.key").chmod(0o644)
        for i in range(o.rounds):
            for kind in (Sluice, Nchan, Ws):
                print(f"round {i + 1} of {o.rounds}: {kind.name}", file=sys.stderr)
                with kind(folder) as server:
                    rounds.setdefault(kind.name, []).append(server.bench(o.subscribers, o.messages))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
