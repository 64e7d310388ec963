# SPDX-License-Identifier: BSD-2-Clause
"""machine.py - light virtual machines that run this host's own files under another kernel.

    machine.contain(prepare)               first: this process, and no other, for what follows
    lab = machine.Lab()
    edge = lab.machine("edge", kernels.get("6.1"), cpus=2, nic="198.51.100.10/24")
    rc, said = edge.sh("sluicectl -v", limit=60)

       this process ──── ttyS1, a UNIX socket ────► agent.py ─► /bin/sh -c ...
          │                                            │  /  by virtiofs, read-only, tmpfs above it
          └─ bridge in our own network namespace ──── eth0, a queue for each CPU

contain() puts the process into namespaces of its own: processes, network and mounts. So whatever
happens to it (SIGINT, SIGKILL, an error), machines, taps, the bridge and temporary files end with
it, without anybody tidying up. The read-only share is so by the host's mount: no guest can write.

KVM only where kvm_intel or kvm_amd drives it; else TCG, with the flags that make it reliable:
-cx16 and -la57 (QEMU 7.2 loses the flags behind cmpxchg16b and crashes 6.12 guests without).
"""
import contextlib
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import kernels

ROOT = kernels.ROOT
RUN = kernels.CACHE / "run"  # a tmpfs, in our mount namespace only
BOOT_S = 120                 # until the agent answers: about 5 s on an idle host
MODULES = ["virtio_pci", "virtiofs", "overlay"]
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "depmod": "kmod",
         "dpkg-deb": "dpkg", "apt-get": "apt", "ip": "iproute2", "unshare": "util-linux"}
VIRTIOFSD = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"]


class Failed(Exception):
    """A machine or a command did not do what it should."""


def lacking():
    """Why no machine can be started here; None if one can."""
    if os.uname().machine != "x86_64":
        return "machines are for x86_64 only"
    if os.geteuid() != 0:
        return "needs root for namespaces and shares"
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            return f"no {tool} here (Debian: {package})"
    if not any(map(os.path.exists, VIRTIOFSD)):
        return "no virtiofsd here (Debian: qemu-system-common)"
    with open(shutil.which("busybox"), "rb") as f:
        if b"ld-linux" in f.read(4096):
            return "busybox is not static (Debian: busybox-static)"
    return None


def contain(prepare):
    """Calls prepare(), then runs this program again in namespaces that end with it: returns only there."""
    if not (os.getpid() == 1 and os.environ.get("SLUICE_VM_CONTAINED")):
        prepare()
        os.environ["SLUICE_VM_CONTAINED"] = "1"
        os.execvp("unshare", ["unshare", "--pid", "--net", "--mount", "--fork", "--mount-proc",
                              "--kill-child=SIGKILL", sys.executable, *sys.argv])

    reap()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupted)
    RUN.mkdir(parents=True, exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", "mode=0700", "run", RUN)
    sh("mount", "-t", "tmpfs", "run", "/run")  # virtiofsd locks a file there, named by its socket
    for name, path in (("root", "/"), ("tree", ROOT)):
        (RUN / name).mkdir()
        sh("mount", "--bind", path, RUN / name)
        sh("mount", "-o", "remount,bind,ro", RUN / name)


def reap():
    """The first process of the namespace stays to bury whom nobody waits for (libvirtd's emulators
    are waited for in vain otherwise); its child returns from here and does the work."""
    child = os.fork()
    if child == 0:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all of us
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: os.kill(child, n))
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def interrupted(number, _frame):
    raise KeyboardInterrupt(f"signal {number}")


def sh(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def unfiltered_bridges():
    """Bridges of this namespace forward what they are given: br_netfilter, where the kernel has it,
    would look into it first and drop some of the malformed packets."""
    for family in ("ip", "ip6", "arp"):
        path = pathlib.Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables")
        if path.exists():
            path.write_text("0")


class Lab:
    """A bridge, and the machines on it. They end with the `with` block."""

    def __init__(self):
        self.machines = []
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        sh("ip", "link", "set", "br0", "up")
        unfiltered_bridges()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.machines:
            machine.off()

    def machine(self, name, kernel, **how):
        machine = Machine(name, kernel, len(self.machines), **how)
        self.machines.append(machine)
        return machine

    def boot(self):
        """Starts all; each may panic once on its way up, which TCG sometimes makes them do."""
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            try:
                machine.wait()
            except Panic as panic:
                print(f"{machine.name}: {panic}; starting it once more", flush=True)
                machine.off()
                machine.start()
                machine.wait()


class Panic(Failed):
    """It died before its agent answered."""


class Machine:
    """`nic`: addresses of eth0. It has two queues for each CPU: XDP sends on one of its own."""

    def __init__(self, name, kernel, number, cpus=2, memory_mb=1024, nic=()):
        self.name, self.kernel, self.number = name, kernel, number
        self.cpus, self.memory_mb, self.nic = cpus, memory_mb, list(nic)
        self.dir = RUN / name
        self.console = self.dir / "console"
        self.children, self.qemu, self.port = [], None, None
        self.lock, self.asked, self.heard = threading.Lock(), 0, {}

    # ---- up and down ----------------------------------------------------------------------------

    def child(self, *command, log):
        with open(self.dir / log, "wb") as out:
            self.children.append(subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                                  stdout=out, stderr=out))
        return self.children[-1]

    def start(self):
        self.dir.mkdir(exist_ok=True)
        self.asked, self.heard = 0, {}
        q = ["qemu-system-x86_64", "-M", "q35", "-m", self.memory_mb, "-smp", self.cpus, "-nodefaults",
             "-no-reboot", "-display", "none", "-device", "virtio-rng-pci", *accelerator(),
             "-object", f"memory-backend-memfd,id=mem,size={self.memory_mb}M,share=on", "-numa", "node,memdev=mem",
             "-serial", f"file:{self.console}", "-serial", f"unix:{self.dir}/agent,server=on,wait=off",
             "-kernel", self.kernel.image, "-initrd", self.kernel.initrd(MODULES, ROOT / "tests/vm/init.sh")]
        for share in ("root", "tree"):
            socket_path = self.dir / share
            socket_path.unlink(missing_ok=True)
            self.child(next(filter(os.path.exists, VIRTIOFSD)), f"--socket-path={socket_path}", "-o",
                       f"source={RUN / share}", "-o", "sandbox=chroot", "-o", "cache=always", log=f"{share}.log")
            self.until(socket_path.exists, 10, f"virtiofsd for {share}")
            q += ["-chardev", f"socket,id={share},path={socket_path}",
                  "-device", f"vhost-user-fs-pci,chardev={share},tag={share}"]
        if self.nic:
            tap, queues = f"tap{self.number}", 2 * self.cpus
            if not os.path.exists(f"/sys/class/net/{tap}"):
                sh("ip", "tuntap", "add", tap, "mode", "tap", "multi_queue")
                sh("ip", "link", "set", tap, "master", "br0", "up")
            q += ["-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no,queues={queues}", "-device",
                  f"virtio-net-pci,netdev=n0,mac=52:54:00:5c:1c:{self.number + 16:02x}"
                  f",mq=on,vectors={2 * queues + 2}"]
        modules = self.kernel.modules
        q += ["-append", "console=ttyS0 quiet net.ifnames=0 panic=-1 mitigations=off nokaslr "
              f"vm_name={self.name} vm_tree={ROOT} vm_modules={modules}"]
        (self.dir / "agent").unlink(missing_ok=True)
        self.qemu = self.child(*q, log="qemu.log")
        self.until((self.dir / "agent").exists, 20, "qemu")
        self.port = socket.socket(socket.AF_UNIX)
        self.port.connect(str(self.dir / "agent"))
        threading.Thread(target=self.listen, args=(self.port,), daemon=True).start()

    def until(self, condition, limit, what):
        end = time.monotonic() + limit
        while not condition():
            if any(c.poll() is not None for c in self.children) or time.monotonic() > end:
                raise Failed(f"{self.name}: {what} did not start within {limit} s\n{self.logs()}")
            time.sleep(0.02)

    def wait(self):
        said = self.mailbox(None)
        end = time.monotonic() + BOOT_S
        while True:
            try:
                ready = said.get(timeout=0.2)
                break
            except queue.Empty:
                if self.qemu.poll() is not None:
                    raise Panic(f"{self.name} died on its way up\n{self.logs()}") from None
                if time.monotonic() > end:
                    raise Failed(f"{self.name} not up within {BOOT_S} s\n{self.logs()}") from None
        assert ready["ready"] == self.kernel.version, ready
        commands = ["modprobe virtio_net"] if self.nic else []
        for address in self.nic:
            commands.append(f"ip addr add {address} dev eth0{' nodad' if ':' in address else ''}")
        if self.nic:
            commands += ["ip link set eth0 up"]
            self.do(" && ".join(commands), limit=60)

    def off(self):
        """Ends it, without ado: it keeps nothing."""
        with contextlib.suppress(OSError):
            if self.port:
                self.port.close()
        for child in reversed(self.children):
            child.kill()
            child.wait()
        self.children = []

    def logs(self):
        """The ends of its console and of its helpers' complaints."""
        text = []
        for path in (self.console, *sorted(self.dir.glob("*.log"))):
            with contextlib.suppress(OSError):
                end = path.read_bytes()[-3000:].decode(errors="replace").strip()
                if end:
                    text.append(f"--- {self.name}: {path.name}\n{end}")
        return "\n".join(text)

    # ---- commands ---------------------------------------------------------------------------------

    def mailbox(self, number):
        with self.lock:
            return self.heard.setdefault(number, queue.Queue())

    def listen(self, port):
        buffer = b""
        with contextlib.suppress(OSError):
            while got := port.recv(65536):
                *lines, buffer = (buffer + got).split(b"\n")
                for line in lines:
                    with contextlib.suppress(ValueError):
                        said = json.loads(line)
                        self.mailbox(said.get("id")).put(said)

    def sh(self, command, limit, env=None, out=None, cwd=ROOT):
        """Runs it there: (exit code, what it said). `out` is called with each piece as it comes.
        Raises Failed if the machine dies or says nothing more."""
        with self.lock:
            self.asked += 1
            number = self.asked
        said = self.mailbox(number)
        ask = {"id": number, "sh": command, "limit": limit, "env": env or {}, "cwd": str(cwd)}
        self.port.sendall(json.dumps(ask).encode() + b"\n")
        end, pieces = time.monotonic() + limit + 15, []
        while True:
            try:
                got = said.get(timeout=0.5)
            except queue.Empty:
                if self.qemu.poll() is not None:
                    raise Failed(f"{self.name} died during: {command}\n{self.logs()}") from None
                if time.monotonic() > end:
                    raise Failed(f"{self.name} hangs since {limit + 15} s in: {command}\n{self.logs()}") from None
                continue
            if "rc" in got:
                return got["rc"], "".join(pieces)
            pieces.append(got["out"])
            if out:
                out(got["out"])

    def do(self, command, limit=60, **how):
        """Runs it there and wants it to succeed; what it said."""
        code, said = self.sh(command, limit, **how)
        if code:
            raise Failed(f"{self.name}: {command}: exit code {code}\n{said[-4000:]}")
        return said


def accelerator():
    if os.access("/dev/kvm", os.W_OK) and any(
            os.path.exists(f"/sys/module/kvm_{maker}") for maker in ("intel", "amd")):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-cx16,-la57"]
