#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""test.py BUILD [6.1|6.12] - `make vm-test`: whole machines, as an operator would have them.

    box ─► libvirtd of our own ─► vagrant up: edge, client, app ─► rsync ─► provision.sh
        ─► the suites on the edge ─► tests/vm/scenario.py between the three ─► summary ─► destroy

It needs root, and neither a running libvirtd nor systemd: libvirtd, its networks, dnsmasq and the
machines live in namespaces of this run (tests/vm/machine.py), so that no bridge, firewall rule or
domain of the host is touched or left, however the run ends. State is kept in .cache/vm/vagrant.
Every step has a time limit; the last line is the count, as that of `make test`.
"""
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/vm"))
import kernels   # noqa: E402
import machine   # noqa: E402
import scenario  # noqa: E402

CACHE = kernels.CACHE / "vagrant"
HERE = "/sluice"  # where the tree lies in the machines
MACHINES = ("edge", "client", "app")
BOX_S, DAEMON_S, ADD_S, UP_S, SUITE_S, DESTROY_S = 1200, 180, 180, 1200, 1800, 180
# of tests/net those that wait for answers, not for the clock: requests, handshakes, channels
SUITES = ("unit", "bpf", "net/test_http", "net/test_tls", "net/test_channels")

LIBVIRTD_CONF = 'auth_unix_rw="none"\nauth_unix_ro="none"\nunix_sock_rw_perms="0700"\n'
QEMU_CONF = ('user="root"\ngroup="root"\ndynamic_ownership=0\nremember_owner=0\ncgroup_controllers=[]\n'
             'namespaces=[]\nsecurity_driver="none"\nstdio_handler="file"\n')


class Steps:
    """What was done, how long it took, and what the tests said."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.times = []

    @contextlib.contextmanager
    def step(self, name):
        print(f"== {name}", flush=True)
        start = time.monotonic()
        try:
            yield
        finally:
            self.times.append((name, time.monotonic() - start))
            print(f"== {name}: {self.times[-1][1]:.1f} s", flush=True)

    def count(self, passed, failed, skipped):
        self.passed, self.failed, self.skipped = self.passed + passed, self.failed + failed, self.skipped + skipped

    def summary(self):
        print("\nsummary:")
        for name, seconds in self.times:
            print(f"  {name:40} {seconds:7.1f} s")
        print(f"  {'in all':40} {sum(s for _, s in self.times):7.1f} s")
        line = f"{self.passed} passed, {self.failed} failed"
        print(line + (f", {self.skipped} skipped" if self.skipped else ""), flush=True)
        return 0 if self.passed and not self.failed else 1


def call(*command, limit, **how):
    """Runs it, its words passed on; Failed if it fails or takes too long."""
    proc = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, start_new_session=True, **how)
    try:
        code = proc.wait(limit)
    except BaseException as late:
        os.killpg(proc.pid, signal.SIGKILL)
        proc.wait()
        if isinstance(late, subprocess.TimeoutExpired):
            raise machine.Failed(f"{command[0]} {command[1]}: not done within {limit} s") from None
        raise
    if code:
        raise machine.Failed(f"{' '.join(map(str, command))}: exit code {code}")


# ---- libvirt ------------------------------------------------------------------------------------


def libvirt_up():
    """The host's folders of libvirt, covered by ours, and a daemon that knows nothing else."""
    run = machine.RUN
    shutil.rmtree(CACHE / "libvirt", ignore_errors=True)
    shutil.copytree("/etc/libvirt", run / "etc", ignore=shutil.ignore_patterns("qemu"))
    (run / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF + f'log_outputs="2:file:{run}/libvirtd.log"\n')
    (run / "etc/qemu.conf").write_text(QEMU_CONF)
    for source, over in ((run / "etc", "/etc/libvirt"), (CACHE / "libvirt", "/var/lib/libvirt"),
                         (run / "log", "/var/log/libvirt"), (run / "cache", "/var/cache/libvirt")):
        source.mkdir(parents=True, exist_ok=True)
        source.chmod(0o755)
        machine.sh("mount", "--bind", source, over)
    (run / "consoles").mkdir()
    for folder in ("images", "boot", "dnsmasq"):
        (CACHE / "libvirt" / folder).mkdir()
    run.chmod(0o755)  # dnsmasq reads its files as another user
    machine.sh("ip", "link", "set", "lo", "up")
    machine.unfiltered_bridges()
    with open(run / "libvirtd.out", "wb") as out:
        subprocess.Popen(["libvirtd"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    end = time.monotonic() + DAEMON_S
    while not answers():
        if time.monotonic() > end:
            raise machine.Failed("libvirtd does not answer:\n" + (run / "libvirtd.out").read_text()[-2000:])
        time.sleep(0.3)


def answers():
    try:  # a first question while it still looks at its emulators may never be answered
        return subprocess.run(["virsh", "-c", "qemu:///system", "version"], capture_output=True, timeout=10,
                              stdin=subprocess.DEVNULL, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


# ---- Vagrant --------------------------------------------------------------------------------------


class Vagrant:
    def __init__(self, kernel):
        self.name = f"sluice/debian12-{kernel}"
        self.box = CACHE / f"debian12-{kernel}.box"
        self.env = dict(os.environ, VAGRANT_HOME=str(CACHE / "home"), VAGRANT_CWD=str(ROOT / "vagrant"),
                        VAGRANT_DOTFILE_PATH=str(machine.RUN / "dot"), VAGRANT_DEFAULT_PROVIDER="libvirt",
                        VAGRANT_CHECKPOINT_DISABLE="1", SLUICE_CONSOLES=str(machine.RUN / "consoles"), VAGRANT_NO_COLOR="1", SLUICE_BOX=self.name)

    def run(self, *args, limit):
        call("vagrant", *args, "--no-tty", limit=limit, env=self.env)

    def add_box(self):
        added = CACHE / f"added-{self.box.stem}"
        recipe = pathlib.Path(f"{self.box}.recipe").read_text()
        if not added.exists() or added.read_text() != recipe:
            self.run("box", "add", "--force", "--name", self.name, self.box, "--provider", "libvirt", limit=ADD_S)
            added.write_text(recipe)

    def ssh_config(self):
        path = machine.RUN / "ssh"
        with open(path, "wb") as out:
            call("vagrant", "ssh-config", limit=120, env=self.env, stdout=out)
        return path


class Host:
    """A machine, as scenario.py wants one."""

    def __init__(self, name, config):
        self.name = name
        self.ssh = ["ssh", "-F", str(config), "-o", "ControlMaster=auto", "-o", f"ControlPath={machine.RUN}/ssh-{name}",
                    "-o", "ControlPersist=3600", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=15", name]

    def sh(self, command, limit, out=None):
        whole = f"cd {HERE} && timeout -k 5 {limit} sh -c {shlex.quote(command)}"
        proc = subprocess.Popen([*self.ssh, f"sudo -n sh -c {shlex.quote(whole)}"], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", start_new_session=True)
        try:
            if out:
                said = ""
                for line in proc.stdout:
                    out(line)
                    said += line
                proc.wait(limit + 30)
            else:
                said, _ = proc.communicate(timeout=limit + 30)
        except BaseException as late:
            os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
            if isinstance(late, subprocess.TimeoutExpired):
                raise machine.Failed(f"{self.name} hangs since {limit + 30} s in: {command}") from None
            raise
        return proc.returncode, said

    def do(self, command, limit=60, **how):
        code, said = self.sh(command, limit, **how)
        if code:
            raise machine.Failed(f"{self.name}: {command}: exit code {code}\n{said[-4000:]}")
        return said


# ---- all of it ------------------------------------------------------------------------------------


def suites(steps, edge, kernel):
    for suite in SUITES:
        with steps.step(f"suite {suite} on the edge"):
            _, said = edge.sh(f"SLUICE_VM={kernel} python3 tests/run.py --build build {suite}", SUITE_S,
                              out=lambda line: print(line, end="", flush=True))
        found = re.search(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", said, re.M)
        steps.count(*(int(n or 0) for n in found.groups())) if found else steps.count(0, 1, 0)


def between(steps, edge, client, app):
    said = []

    class Tee:
        def write(self, text):
            said.append(text)
            return sys.__stdout__.write(text)

        def flush(self):
            sys.__stdout__.flush()
    with steps.step("client, edge and app, over the data network"), contextlib.redirect_stdout(Tee()):
        scenario.run(edge, client, app, "eth1", ROOT / "build")
    text = "".join(said)
    steps.count(len(re.findall(r"^\[ +OK \]", text, re.M)), len(re.findall(r"^\[ +FAILED +\]", text, re.M)), 0)


def main():
    build, kernel = sys.argv[1], (sys.argv[2:] or ["6.1"])[0]
    if os.path.realpath(ROOT / build) != str(ROOT / "build"):
        sys.exit("vm-test deploys build/: run it without O= and SAN=")
    began = os.environ.setdefault("SLUICE_VM_BEGAN", str(time.time()))
    if os.geteuid() != 0:
        sys.exit("vm-test needs root: for the box, its own libvirtd and their namespaces")

    def box():  # the only step that needs the network
        call(ROOT / "vagrant/build-box.sh", kernel, limit=BOX_S)
    try:
        machine.contain(box)
    except machine.Failed as failed:
        sys.exit(str(failed))
    steps = Steps()
    steps.times.append(("box", time.time() - float(began)))
    vagrant = Vagrant(kernel)
    try:
        with steps.step("libvirtd"):
            libvirt_up()
        with steps.step("vagrant box add"):
            vagrant.add_box()
        try:
            with steps.step("vagrant up, with rsync and provision.sh"):
                vagrant.run("up", *MACHINES, limit=UP_S)
            config = vagrant.ssh_config()
            edge, client, app = (Host(name, config) for name in MACHINES)
            for host in (edge, client, app):
                print(f"{host.name}: {host.do('uname -r; ip -br addr show dev eth1', 120)}".rstrip(), flush=True)
            suites(steps, edge, kernel)
            between(steps, edge, client, app)
        finally:
            with steps.step("vagrant destroy"):
                vagrant.run("destroy", "-f", limit=DESTROY_S)
    except machine.Failed as failed:
        print(failed, flush=True)
        for path in (machine.RUN / "libvirtd.log", *sorted((machine.RUN / "consoles").glob("*"))):
            with contextlib.suppress(OSError):
                print(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:].strip()}")
        steps.count(0, 1, 0)
    except KeyboardInterrupt as signalled:
        print(f"interrupted: {signalled}", flush=True)
        steps.count(0, 1, 0)
    sys.exit(steps.summary())


main()
