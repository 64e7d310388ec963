#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""light.py - tests under other kernels, in light machines. tests/run.py calls it for T=vm.

    light.py load [NAME]          the verifier of the running kernel and every BPF object (no machine)
    light.py bpf KERNEL [NAME]    one boot: all programs of tests/bpf, then every BPF object loaded
    light.py net KERNEL [NAME]     one machine: tests/net of what this host's kernel has not got
    light.py pair KERNEL [NAME]   sluiced on one machine, friends and attackers on another, and on a third
                                  the app server that it stands before

NAME selects tests by a part of their name. What is printed are cmocka's lines, which run.py counts.
What the verifier walked is kept in BUILD/vm/insns-KERNEL for matrix.py.
"""
import glob
import os
import pathlib
import signal
import subprocess
import sys
import time

import kernels
import machine
import scenario

ROOT = kernels.ROOT
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
# What `make test` runs of tests/bpf in each machine: where kernels differ; "" is a whole program. The rest
# asks the same of userspace on any kernel, or of one kind of cookies once more, for ten times as long;
# `make vm-kernels` runs it too.
DIFFER = {
    "xdp": "", "lookup": "", "reuseport": "", "coexist": "",
    "connect": "under_default_sysctls an_old_kernels_cookies",
}
PROGRAM_S = 1200 # for one test program under emulation, on a busy host
WHOLE_S = 3000   # for everything that one call does


def result(word, test):
    print(f"[{word:^10}] {test}", flush=True)


def compilers():
    return sorted(glob.glob(f"{BUILD}/matrix/*"))


class Insns:
    """Passes lines on and keeps those that tell what the verifier walked."""

    def __init__(self, name):
        self.file = BUILD / "vm" / f"insns-{name}"
        self.text = ""

    def __call__(self, text):
        self.text += text
        print(text, end="", flush=True)

    def keep(self):
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text("".join(l + "\n" for l in self.text.splitlines() if l.startswith("insns ")))


def load_command(name):
    return [str(BUILD / "tests/vm/load"), name, *compilers()]


def load(select):
    if select and select not in "load/":
        return
    if len(compilers()) < 2:
        result("RUN", "load/a_newer_compiler")
        print("skipped: no clang but the oldest here (make vm-kernels installs the newest)")
        result("SKIPPED", "load/a_newer_compiler")
    if not compilers():
        return
    insns = Insns("running")
    done = subprocess.run(load_command("running"), stdout=subprocess.PIPE, text=True, timeout=300, check=False,
                          stderr=subprocess.STDOUT)
    insns(done.stdout)
    insns.keep()
    if done.returncode:
        sys.exit(done.returncode)


def bpf(kernel, select):
    bad = 0
    with machine.Lab() as lab:
        guest = lab.machine("guest", kernel, cpus=2, memory_mb=2048)
        lab.boot()
        guest.do("modprobe -a veth tun sch_ingress cls_bpf act_bpf tls 8021q; true", limit=120)
        env = {"SLUICE_BUILD": str(BUILD), "SLUICE_VM": kernel.name}
        for source in sorted((ROOT / "tests/bpf").glob("test_*.c")):
            program = BUILD / "tests/bpf" / source.stem
            names = subprocess.run([program, "-l"], capture_output=True, text=True, timeout=60,
                                   check=True).stdout.split()
            if not any(select in name for name in names):
                continue
            stem, wanted = source.stem.removeprefix("test_"), select
            if os.environ.get("SLUICE_VM_FEW"):
                if stem not in DIFFER:
                    continue
                wanted = DIFFER[stem]
                stale = [w for w in wanted.split() if not any(w in name for name in names)]
                assert not stale, f"{stem} has no test {stale}"
            start = time.monotonic()
            code, _ = guest.sh(f"exec {program} {wanted}", limit=PROGRAM_S, env=env,
                               out=lambda text: print(text, end="", flush=True))
            print(f"{source.stem} on {kernel.version}: {time.monotonic() - start:.1f} s", flush=True)
            if code:
                bad = code
                print(f"{source.stem} ended with {code}; the kernel's last words:")
                print(guest.sh("dmesg | tail -20", limit=30)[1])
        if compilers() and (not select or select in "load/"):
            insns = Insns(kernel.name)
            code, _ = guest.sh(" ".join(["exec", *load_command(kernel.name)]), limit=PROGRAM_S, out=insns)
            insns.keep()
            bad = bad or code
    return bad


def pair(kernel, select):
    with machine.Lab() as lab:
        edge = lab.machine("edge", kernel, cpus=2, memory_mb=1280, nic=scenario.EDGE_NIC)
        client = lab.machine("client", kernel, cpus=1, memory_mb=768, nic=scenario.CLIENT_NIC)
        app = lab.machine("app", kernel, cpus=1, memory_mb=512, nic=scenario.APP_NIC)
        lab.boot()
        return scenario.run(edge, client, app, "eth0", BUILD, select)


def net(kernel, select):
    """What this host's kernel has not got: kTLS."""
    bad = False
    with machine.Lab() as lab:
        guest = lab.machine("guest", kernel, cpus=2, memory_mb=2048)
        lab.boot()
        guest.do("ip link set lo up; modprobe -a tls", limit=120)
        command = f"exec python3 -m pytest -p no:cacheprovider -q -rA --tb=short tests/net/test_ktls.py -k '{select or 'test'}'"
        code, said = guest.sh(command, limit=PROGRAM_S, env={"SLUICE_BUILD": str(BUILD), "SLUICE_VM": kernel.name,
                                                             "PYTHONDONTWRITEBYTECODE": "1"})
        _, sealed = guest.sh("awk '/^TlsTxSw/ {print $2}' /proc/net/tls_stat", limit=30)
    for line in said.splitlines():
        word, _, test = line.partition(" ")
        if word in ("PASSED", "FAILED", "ERROR"):
            name = "net/" + test.split(" ")[0].split("::")[-1]
            result("RUN", name)
            result("OK" if word == "PASSED" else "FAILED", name)
            bad = bad or word != "PASSED"
    result("RUN", "net/the_kernel_has_sealed")
    print(f"connections that the kernel sealed: {sealed.strip()}")
    result("OK" if sealed.strip().isdigit() and int(sealed) > 0 or select else "FAILED", "net/the_kernel_has_sealed")
    if code or bad:
        print(said)
    return code


def main():
    what, *rest = sys.argv[1:]
    if what == "load":
        load("".join(rest))
        return
    job, name, select = {"bpf": bpf, "pair": pair, "net": net}[what], rest[0], "".join(rest[1:])
    def prepare():  # what needs the host's network
        lack = machine.lacking()
        if lack:
            raise kernels.Missing(lack)
        kernels.get(name)

    try:
        machine.contain(prepare)
    except kernels.Missing as missing:
        result("RUN", f"vm/{what}_on_{name}")
        print(f"skipped: {missing}")
        result("SKIPPED", f"vm/{what}_on_{name}")
        return
    kernel = kernels.get(name)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(machine.Failed(f"not done within {WHOLE_S} s")))
    signal.alarm(WHOLE_S)
    start = time.monotonic()
    try:
        code = job(kernel, select)
    except machine.Failed as failed:
        result("RUN", f"vm/{what}_on_{name}")
        print(failed)
        result("FAILED", f"vm/{what}_on_{name}")
        code = 1
    except KeyboardInterrupt as signalled:
        print(f"interrupted: {signalled}", flush=True)
        code = 130
    print(f"{what} on {kernel.version}: {time.monotonic() - start:.0f} s in all", flush=True)
    sys.exit(code)


main()
