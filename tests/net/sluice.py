# SPDX-License-Identifier: BSD-2-Clause
"""sluice.py - a running sluiced of one's own, for a test.

    with sluice.Edge(workers=2) as edge:
        ws = websockets.connect(edge.url("plain", "/echo"))

Each Edge has its own directory, ports and pin directory, so that any number of them, and of other
people's daemons, run side by side. Leaving the block stops it and removes every trace, whatever
happened in between; if the test failed, the end of its log is printed.

    workers=N           default 2
    listeners={...}     name: {"tls": bool, "address": "127.0.0.1"}; default one "plain", one "tls"
    endpoints="..."     libconfig text between ( and ); default /ws (native), /echo, /relay
    extra="..."         more settings, as they stand in sluice.conf
    interfaces=[...]    for the shield; none: it judges no packets
    user=NUMBER         run the whole daemon as this user (needs root)
    netns=NAME          run it in this network namespace (made by the test)
    env={...}           more environment
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
SLOW = 4 if os.environ.get("SLUICE_SAN") else 10 if os.environ.get("SLUICE_VM") else 1  # an emulated CPU

ENDPOINTS = """
    { path = "/ws"; origins = "*"; },
    { path = "/echo"; protocol = "echo"; origins = "*"; rate = 0; },
    { path = "/relay"; protocol = "relay"; origins = "*"; }
"""

_count = 0


def free_port(address="127.0.0.1"):
    """A port that nobody listens on. It is ours for as long as nobody else asks."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def wait_for(what, seconds, condition, every=0.02):
    """The first true answer of condition(); AssertionError naming `what` if there is none in time."""
    end = time.monotonic() + seconds * SLOW
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds * SLOW} s: {what}")
        time.sleep(every)


def alive(pid):
    """Runs, and is no zombie."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class Edge:
    def __init__(self, workers=2, listeners=None, endpoints=ENDPOINTS, extra="", interfaces=(),
                 user=None, netns=None, env=None, shutdown_timeout="1 s"):
        global _count
        _count += 1
        self.workers = workers
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-test-"))
        self.dir.chmod(0o755)
        self.runtime_dir = self.dir / "run"
        self.state_dir = self.dir / "state"
        self.pin_dir = pathlib.Path(f"/sys/fs/bpf/sluice-test-{os.getpid()}-{_count}")
        self.control = self.runtime_dir / "control.sock"
        self.conf = self.dir / "sluice.conf"
        self.log_path = self.dir / "log"
        self.user, self.netns, self.env = user, netns, env or {}
        self.port = {}
        self.process = self.notify = None
        self.told = []  # what it has told its service manager
        self._strays = set()
        self.state_dir.mkdir()
        self.log_path.touch()
        if listeners is None:
            listeners = {"plain": {"tls": False}, "tls": {"tls": True}}
        self.listeners = listeners
        self.conf.write_text(self._config(endpoints, extra, interfaces, shutdown_timeout))
        if user is not None:
            for path in (self.dir, self.state_dir, self.log_path):
                os.chown(path, user, user)

    def _config(self, endpoints, extra, interfaces, shutdown_timeout):
        lines = []
        for name, how in self.listeners.items():
            address = how.get("address", "127.0.0.1")
            self.port[name] = how.get("port") or free_port("::1" if ":" in address else "127.0.0.1")
            more = how.get("more", "")
            tls = "true" if how.get("tls") else "false"
            lines.append(f'{{ address = "{address}"; port = {self.port[name]}; tls = {tls}; {more} }}')
        names = ", ".join(f'"{i}"' for i in interfaces)
        shield = f"interfaces = [{names}];" if interfaces else 'mode = "off";'
        dev = any(how.get("tls") for how in self.listeners.values()) and "certificates" not in extra
        return f"""
workers = {self.workers};
runtime_dir = "{self.runtime_dir}";
state_dir = "{self.state_dir}";
pin_dir = "{self.pin_dir}";
shutdown_timeout = "{shutdown_timeout}";
endpoints = ( {endpoints} );
listeners = ( {", ".join(lines)} );
{'certificates = ( { name = "dev"; dev = true; } );' if dev else ""}
{"" if "shield" in extra else "shield = { " + shield + " };"}
{extra}
"""

    # ---- life -----------------------------------------------------------------------------------

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, _value, _traceback):
        with contextlib.suppress(Exception):
            self.stop()
        self.kill_everything()
        if kind is not None:
            print(f"--- the end of sluiced's log ({self.dir.name}) ---", file=sys.stderr)
            print(self.log()[-8000:], file=sys.stderr)
        if self.notify:
            self.notify.close()
        shutil.rmtree(self.pin_dir, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self, *args):
        """sluiced with its configuration, as this Edge runs it."""
        full = [str(BUILD / "sluiced"), "-c", str(self.conf), *args]
        if self.user is not None:
            full = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups",
                    "--inh-caps=-all", *full]
        if self.netns:  # not `ip netns exec`: that hides /sys/fs/bpf behind a fresh /sys
            full = ["nsenter", f"--net=/run/netns/{self.netns}", *full]
        return full

    def spawn(self, *args):
        """Starts it and does not wait."""
        if self.notify:
            self.notify.close()
        self.told = []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # a file, not an abstract name: those end at the border of a network namespace
        name = str(self.dir / f"notify-{time.monotonic_ns()}")
        self.notify.bind(name)
        os.chmod(name, 0o777)
        self.notify.setblocking(False)
        env = dict(os.environ, NOTIFY_SOCKET=name, **self.env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env, start_new_session=True)

    def start(self, seconds=15):
        """Starts it and waits until it is ready."""
        self.spawn()
        wait_for("sluiced is ready", seconds,
                 lambda: "READY=1" in self.hear() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"sluiced ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        self.members()
        return self

    def replace(self, seconds=20):
        """Has another one take over; waits until it is ready and returns the process of the old one, which
        may still be letting its clients go."""
        old, seen = self.process, len(self.log())
        self.members()
        self.spawn("--replace")
        wait_for("the new sluiced is ready", seconds,
                 lambda: "READY=1" in self.hear() or self.process.poll() is not None)
        if self.process.poll() is not None:
            new, self.process = self.process, old
            raise AssertionError(f"the new sluiced ended with {new.returncode}:\n{self.log()[seen:]}")
        self.members()
        return old

    def hear(self):
        """All that it has told its service manager so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told += self.notify.recv(4096).decode().split("\n")
        return self.told

    def stop(self, seconds=20):
        """SIGTERM; its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds * SLOW)

    def kill_everything(self):
        self.members()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self._strays:
            if alive(pid) and self._is_ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _is_ours(self, pid):
        with contextlib.suppress(OSError):
            return str(self.conf).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    # ---- what it is -----------------------------------------------------------------------------

    @property
    def keeper(self):
        return self.process.pid

    def members(self):
        """{"worker-0": pid, ..., "admin": pid} of those that live."""
        found = {}
        with contextlib.suppress(OSError):
            for line in (self.runtime_dir / "members").read_text().splitlines():
                name, pid, _start = line.split()
                found[name] = int(pid)
        self._strays.update(found.values())
        return found

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, text, seconds=5):
        wait_for(f"{text!r} in the log", seconds, lambda: text in self.log())

    def url(self, listener="plain", path="/ws"):
        how = self.listeners[listener]
        address = how.get("host") or how.get("address", "127.0.0.1")
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        if ":" in address:
            address = f"[{address}]"
        return f"{'wss' if how.get('tls') else 'ws'}://{address}:{self.port[listener]}{path}"

    @staticmethod
    def ssl_context():
        """Takes the development certificate, and any other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not the default one: it reads every CA
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def connect(self, listener="plain", path="/ws", **more):
        """websockets.connect() with what this Edge needs; no pings of its own."""
        import websockets
        more.setdefault("ping_interval", None)
        more.setdefault("open_timeout", 10 * SLOW)
        if self.listeners[listener].get("tls"):
            more.setdefault("ssl", self.ssl_context())
        return websockets.connect(self.url(listener, path), **more)

    def ctl_run(self, *args):
        """sluicectl against this daemon, where the daemon runs: what became of it."""
        where = ["nsenter", f"--net=/run/netns/{self.netns}"] if self.netns else []
        return subprocess.run([*where, str(BUILD / "sluicectl"), "-c", str(self.control), *args],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20 * SLOW)

    def ctl(self, *args, check=True):
        """sluicectl against this daemon: its standard output."""
        done = self.ctl_run(*args)
        if check and done.returncode != 0:
            raise AssertionError(f"sluicectl {' '.join(args)}: {done.returncode}: {done.stderr}")
        return done.stdout

    def owner(self, client_port, listener="plain"):
        """Name of the member that has the connection from 127.0.0.1:client_port. Needs root."""
        want = f":{self.port[listener]:04X} 0100007F:{client_port:04X}"
        inode = None
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines():
            if want in line:
                inode = line.split()[9]
        if inode in (None, "0"):  # it waits in a queue still, or it is gone
            return None
        for name, pid in self.members().items():
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                            return name
        return None
