#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""matrix.py BUILD - the verifier's work: object x kernel x compiler, as a table. `make load-matrix`.

Loads every BPF object under the running kernel and in a light machine for each other one, then
prints how many instructions the verifier walked. Exits with 1 if a program was refused or is at
or above half of the limit, see load.c.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ("6.1", "6.12", "running")


def main():
    build = ROOT / sys.argv[1]
    light = ROOT / "tests/vm/light.py"
    env = dict(os.environ, SLUICE_BUILD=str(build))
    good = True
    for kernel in KERNELS:
        (build / "vm" / f"insns-{kernel}").unlink(missing_ok=True)
        job = ["load", "load"] if kernel == "running" else ["bpf", kernel, "load/"]
        done = subprocess.run([light, *job], env=env, text=True, timeout=3100, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            good = False
            print(done.stdout)
        for line in done.stdout.splitlines():
            if line.startswith("skipped: ") and "calls what kernel" not in line:
                print(f"{kernel}: {line}")
    counts, compilers = {}, set()
    for kernel in KERNELS:
        path = build / "vm" / f"insns-{kernel}"
        for line in path.read_text().splitlines() if path.exists() else ():
            _, _, compiler, object_name, program, count = line.split()
            counts[object_name, program, kernel, compiler] = count
            compilers.add(compiler)
    compilers = sorted(compilers, key=lambda c: int(c.rpartition("-")[2]))
    programs = list(dict.fromkeys((o, p) for o, p, _, _ in counts))
    columns = [(k, c) for k in KERNELS for c in compilers]
    rows = [["program"] + [f"{os.uname().release.split('-')[0] if k == 'running' else k} {c}" for k, c in columns]]
    rows += [[p if p.startswith(o) else f"{o}: {p}"] + [counts.get((o, p, k, c), "-") for k, c in columns]
             for o, p in programs]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}"
                                for i, (cell, w) in enumerate(zip(row, widths))) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|")
    print("\nInstructions walked by the verifier; 1,000,000 is its limit, 500,000 ours. absent: the kernel has not\n"
          "what the program calls, and userspace does without it.")
    sys.exit(0 if good and counts else 1)


main()
