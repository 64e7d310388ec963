# SPDX-License-Identifier: BSD-2-Clause
"""servers.py - the servers that Sluice is measured beside, each with one worker on core 0; the crowd gets core 1.

    with folder_of_its_own() as folder, Haproxy(folder) as server:
        server.bench("idle", "-n", "9000", "-t", "5")

All speak TLS 1.3 with the same ECDSA P-256 certificate. Those that only pass WebSockets on have a plain Sluice behind
them, on core 1, which is not measured.
"""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
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

# rooms are an application's affair in Socket.IO: this is what `sluice-bench --dialect socketio` expects of one
NODE_SOCKETIO = """
const https = require('https'), fs = require('fs'), { Server } = require('socket.io');
const dir = process.argv[2];
const server = https.createServer({ cert: fs.readFileSync(dir + '/c.crt'), key: fs.readFileSync(dir + '/c.key'),
                                    minVersion: 'TLSv1.3' });
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false, serveClient: false });
io.on('connection', socket => {
  socket.on('subscribe', channel => { socket.join(channel); socket.emit('subscribed', channel); });
  socket.on('publish', (channel, data) => io.to(channel).emit('message', data));
});
server.listen({ port: +process.argv[3], host: '127.0.0.1', backlog: 4096 });
"""

# it does not start with a listener for WebSockets alone, so there is one that nobody uses
MOSQUITTO = """
persistence false
sys_interval 0
allow_anonymous true
set_tcp_nodelay true
log_dest stderr
log_type error
websockets_log_level 0
listener {plain} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
max_connections -1
certfile {dir}/c.crt
keyfile {dir}/c.key
tls_version tlsv1.3
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
workers = 1; io_uring = "{io_uring}"; runtime_dir = "{dir}/run"; state_dir = "{dir}/state"; pin_dir = "/sys/fs/bpf/sluice-compare";
certificates = ( {{ name = "c"; cert_file = "{dir}/c.crt"; key_file = "{dir}/c.key"; }} );
endpoints = ( {{ path = "/ws"; words = "channels"; rate = 0; compression = true; }} );
listeners = ( {{ address = "127.0.0.1"; port = {port}; tls = true; backlog = 4096; }} );
shield = {{ mode = "off"; }};
"""


PLAIN = """
workers = 1; runtime_dir = "{dir}/run2"; state_dir = "{dir}/state2"; pin_dir = "/sys/fs/bpf/sluice-compare2";
endpoints = ( {{ path = "/ws"; words = "channels"; rate = 0; }} );
listeners = ( {{ address = "127.0.0.1"; port = {behind}; backlog = 4096; }} );
shield = {{ mode = "off"; }};
"""

# one for plain requests, one that passes WebSockets on
NGINX_TLS = """
worker_processes 1; worker_rlimit_nofile 20000; daemon off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 19990; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d;
  scgi_temp_path {dir}/e;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {dir}/c.crt; ssl_certificate_key {dir}/c.key;
    ssl_protocols TLSv1.3; ssl_session_tickets on;
    location = /ok {{ return 200 "ok"; }}
    location / {{
      proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_read_timeout 600s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $host;
    }}
  }}
}}
"""

HAPROXY = """
global
  maxconn 9900
  nbthread 1
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
frontend f
  bind 127.0.0.1:{port} ssl crt {dir}/c.pem backlog 4096
  http-request return status 200 content-type text/plain string ok if {{ path /ok }}
  default_backend b
backend b
  server s 127.0.0.1:{behind}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{folder}/c.key", "-out", f"{folder}/c.crt", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)


@contextlib.contextmanager
def folder_of_its_own():
    """With a certificate that every server may read."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-compare-"))
    try:
        folder.chmod(0o755)
        certificate(folder)
        (folder / "c.key").chmod(0o644)
        (folder / "c.pem").write_text((folder / "c.crt").read_text() + (folder / "c.key").read_text())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need_npm():
    """Both at once: npm takes away what it is not told of."""
    if node_lacks("ws") or node_lacks("socket.io"):
        with contextlib.suppress(OSError):
            subprocess.run(["npm", "install", "--silent", "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
                            "--ignore-scripts", "--prefix", str(NPM), "ws", "socket.io"], check=False)


class Failed(SystemExit):
    """A server that did not do its part, in words; ends a script that has no use for a row without it."""


def node_lacks(package):
    if not shutil.which("node"):
        return "no node here: tools/deps.sh compare"
    if not (NPM / "node_modules" / package / "package.json").exists():
        return f"npm's {package} is not under .deps/npm: tools/deps.sh compare"
    return None


class Server:
    behind_it = False  # needs somebody to pass WebSockets on to
    most = 19000       # clients that its descriptors allow

    def __init__(self, folder):
        self.dir, self.port, self.plain, self.behind = folder, free_port(), free_port(), free_port()
        self.other = None

    @staticmethod
    def lacks():
        """What has to be installed before it runs, or None."""
        return None

    def __enter__(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # not all of them raise their own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log = open(self.dir / f"{self.name}.log", "ab")
        if self.behind_it:
            (self.dir / "behind.conf").write_text(PLAIN.format(dir=self.dir, behind=self.behind))
            (self.dir / "state2").mkdir(exist_ok=True)
            self.other = subprocess.Popen(["taskset", "-c", "1", str(BUILD / "sluiced"), "-c", str(self.dir / "behind.conf")],
                                          stdout=log, stderr=log, stdin=subprocess.DEVNULL)
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
        raise Failed(f"{self.name} did not start: see its log:\n" + (self.dir / f"{self.name}.log").read_text()[-2000:])

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.other:
            self.other.terminate()
            self.other.wait()

    def bench(self, mode, *args):
        """sluice-bench's result; the whole tree of this server's processes is measured."""
        command = ["taskset", "-c", "1", str(BUILD / "sluice-bench"), mode, "-j", "-q", "-p", str(self.process.pid), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        if not done.stdout.strip():
            raise Failed(f"{self.name}: {done.stderr.strip()}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def fanout(self, subscribers, messages, *more):
        """Of 128 bytes, the next when the one before has reached everybody, unless `more` says otherwise."""
        return self.bench("fanout", "-n", str(subscribers), "-m", str(messages), "-s", "128", *more, *self.bench_args())

    def idle(self, clients, seconds):
        args = [a for a in self.bench_args() if not a.startswith("--publish") and not a.startswith("http:") and a != "%s"]
        return self.bench("idle", "-n", str(clients), "-P", "2", "-t", str(seconds), *args)

    def handshakes(self, seconds, *more):
        """Up to the answer to a plain GET, or to the 101 of a server of WebSockets."""
        args = ["-u", f"https://127.0.0.1:{self.port}/ok", "--get"] if self.behind_it else \
            ["-u", f"wss://127.0.0.1:{self.port}/ws"]
        return self.bench("handshake", "-t", str(seconds), "-f", "16", *more, *args)


class Sluice(Server):
    name = "Sluice"

    def __init__(self, folder, io_uring="auto"):
        super().__init__(folder)
        self.io_uring = io_uring

    def command(self):
        (self.dir / "s.conf").write_text(SLUICE.format(dir=self.dir, port=self.port, io_uring=self.io_uring))
        (self.dir / "state").mkdir(exist_ok=True)
        return [str(BUILD / "sluiced"), "-c", str(self.dir / "s.conf")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/ws"]

    def worker(self):
        """What its one worker has counted so far."""
        done = subprocess.run([str(BUILD / "sluicectl"), "-c", str(self.dir / "run/control.sock"), "-j", "worker", "show"],
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Failed(f"sluicectl worker show: {done.stderr.strip()}")
        return json.loads(done.stdout)[0]


class Nchan(Server):
    name = "nginx+nchan"

    @staticmethod
    def lacks():
        if shutil.which("nginx") and pathlib.Path("/usr/lib/nginx/modules/ngx_nchan_module.so").exists():
            return None
        return "no nginx with nchan here: tools/deps.sh compare"

    def command(self):
        (self.dir / "n.conf").write_text(NGINX.format(dir=self.dir, port=self.port, plain=self.plain))
        return ["nginx", "-p", "/usr/share/nginx", "-c", str(self.dir / "n.conf"), "-e", str(self.dir / "error.log")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/sub", "--subscribe", "", "--expect", "",
                "--publish-url", f"http://127.0.0.1:{self.plain}/pub"]


class Ws(Server):
    name = "npm ws"

    @staticmethod
    def lacks():
        return node_lacks("ws")

    def command(self):
        (self.dir / "server.js").write_text(NODE)
        return ["env", f"NODE_PATH={NPM}/node_modules", "node", str(self.dir / "server.js"), str(self.dir), str(self.port)]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/", "--subscribe", "", "--expect", "", "--publish", "%s"]


class SocketIo(Server):
    name = "Socket.IO"

    @staticmethod
    def lacks():
        return node_lacks("socket.io")

    def command(self):
        (self.dir / "io.js").write_text(NODE_SOCKETIO)
        return ["env", f"NODE_PATH={NPM}/node_modules", "node", str(self.dir / "io.js"), str(self.dir), str(self.port)]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket", "--dialect", "socketio"]


class Mosquitto(Server):
    name = "mosquitto"

    @staticmethod
    def lacks():
        return None if shutil.which("mosquitto") else "no mosquitto here: tools/deps.sh compare"

    def command(self):
        (self.dir / "m.conf").write_text(MOSQUITTO.format(dir=self.dir, port=self.port, plain=self.plain))
        return ["mosquitto", "-c", str(self.dir / "m.conf")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/mqtt", "--dialect", "mqtt"]


class Nginx(Server):
    name = "nginx"
    behind_it = True
    most = 9300  # both ends of a connection, and its own

    def command(self):
        (self.dir / "t.conf").write_text(NGINX_TLS.format(dir=self.dir, port=self.port, behind=self.behind))
        return ["nginx", "-p", "/usr/share/nginx", "-c", str(self.dir / "t.conf"), "-e", str(self.dir / "error.log")]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/ws"]


class Haproxy(Server):
    name = "haproxy"
    behind_it = True
    most = 9900

    def command(self):
        (self.dir / "h.cfg").write_text(HAPROXY.format(dir=self.dir, port=self.port, behind=self.behind))
        return ["haproxy", "-f", str(self.dir / "h.cfg"), "-db"]

    def bench_args(self):
        return ["-u", f"wss://127.0.0.1:{self.port}/ws"]
