#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""run.py - runs what `make test` has built and adds up what came of it.

    suite        what it is                                what counts as one
    unit         build/tests/unit/FOLDER/test_*            each TEST()
    bpf          build/tests/bpf/test_*                    each TEST()
    fuzz         build/tests/fuzz/fuzz_* over its corpus   each input
    net          pytest, tests/net                         each test
    conformance  pytest, tests/conformance                 each test
    vm           tests/vm/light.py: the verifier, then     each TEST(), object and step
                 other kernels in light machines

`make test T=...` selects:

    T=net                   a whole suite
    T=fanout                all of tests/unit/fanout
    T=fanout/two_rooms      those of its tests whose name contains two_rooms
    T=head/request_line     likewise by TEST()'s first word, or by the file test_head.c
    T=net/backpressure      files of tests/net whose path contains it, else tests
    T=net/backpressure/slow tests named so in those files
    T=vm/6.12               one kernel; T=vm/6.12/bpf, /pair or /net one of its machines' jobs,
                            T=vm/6.12/bpf/shield those of its tests

A test that lacks something (root, a tool, a kernel feature) is skipped and says what. The last
line is `N passed, N failed`, with `, N skipped` if there were any; the exit code is 0 only if
nothing failed and something ran. Unit tests and corpora run on all cores, the rest one by one,
since it owns namespaces, interfaces and ports.
"""
import argparse
import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUITES = ("unit", "bpf", "fuzz", "net", "conformance", "vm")
VM_S = 3100      # one job in light machines; light.py ends itself before
SILENCE_S = 420  # a pytest run that says nothing for so long hangs; its own limits are far below

LINE = re.compile(r"^\[ *(RUN|OK|FAILED|SKIPPED) *\] (\S+/\S+)$")


class Outcome:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def words(self):
        parts = [f"{self.passed} passed"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        return ", ".join(parts)

    def final(self):
        line = f"{self.passed} passed, {self.failed} failed"
        return line + (f", {self.skipped} skipped" if self.skipped else "")


def of_failed(said):
    """What was said but by tests that ended well: of a long log, the part that tells."""
    kept, own, test = [], [], ""
    for line in said.splitlines():
        found = LINE.match(line)
        if found and found.group(1) == "RUN":
            kept += own
            own, test = [], found.group(2)
        own.append(line)
        if found and found.group(1) in ("OK", "SKIPPED") and found.group(2) == test:
            own = []
    return kept + own


class Run:
    def __init__(self, build, san, select):
        self.build = build
        self.san = san
        self.select = select  # "" or T
        self.slow = 4 if san else 10 if os.environ.get("SLUICE_VM") else 1  # inside a machine, an emulated CPU
        self.total = Outcome()
        self.failed = []  # their names, told once more at the end
        self.print_lock = threading.Lock()
        self.running = set()  # programs, to be killed if we are interrupted
        self.env = dict(
            os.environ,
            SLUICE_BUILD=os.path.join(ROOT, build),
            SLUICE_SAN=san,
            ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:" + os.environ.get("ASAN_OPTIONS", ""),
            UBSAN_OPTIONS="print_stacktrace=1:" + os.environ.get("UBSAN_OPTIONS", ""),
            TSAN_OPTIONS="halt_on_error=0:" + os.environ.get("TSAN_OPTIONS", ""),
        )

    # ---- programs that print cmocka's lines ---------------------------------------------------

    def program(self, name, command, timeout_s):
        """Runs one, prints its line (and all it said, if it failed), returns its outcome."""
        start = time.monotonic()
        if "thread" in self.san:  # ThreadSanitizer wants its shadow where the kernel may put a stack
            command = ["setarch", "-R"] + command
        proc = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.running.add(proc)
        try:
            said = proc.communicate(timeout=timeout_s)[0]
            ending = ""
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            said = proc.communicate()[0]
            ending = f"still running after {timeout_s} s"
        self.running.discard(proc)
        said = said.decode(errors="replace")
        seen = {"RUN": {}, "OK": {}, "FAILED": {}, "SKIPPED": {}}
        for line in said.splitlines():
            found = LINE.match(line)
            if found:
                seen[found.group(1)][found.group(2)] = True
        failed = list(seen["FAILED"])
        if not ending and proc.returncode < 0:
            ending = f"died of {signal.Signals(-proc.returncode).name}"
        for test in seen["RUN"]:  # begun and never ended: it took the program with it
            if not any(test in seen[how] for how in ("OK", "FAILED", "SKIPPED")):
                failed.append(f"{test} ({ending or f'exit code {proc.returncode}'})")
                ending = ending or "-"
        out = Outcome()
        out.passed = len(set(seen["OK"]) - set(seen["FAILED"]))
        out.skipped = len(seen["SKIPPED"])
        if not failed and (ending or proc.returncode):
            failed.append(ending or f"exit code {proc.returncode}")
        if not failed and not out.passed and not out.skipped:
            failed.append("no test in it")
        out.failed = len(failed)
        self.report(name, out, time.monotonic() - start, failed, said,
                    [l for l in said.splitlines() if l.startswith("skipped: ")])
        return out

    def report(self, name, out, seconds, failed, said, notes):
        with self.print_lock:
            mark = "FAILED" if out.failed else "ok" if out.passed else "skipped"
            print(f"  {mark:7} {name:40} {out.words():28} {seconds:6.2f} s", flush=True)
            for note in sorted(set(notes)):
                print(f"          {note}")
            if failed:
                for line in of_failed(said):
                    print(f"          | {line}")
                for test in failed:
                    print(f"          failed: {test}")
                    self.failed.append(f"{name}: {test}")
            sys.stdout.flush()

    def chosen(self, path, rest, by_name):
        """The argument list for one program, or None if the selection passes it by."""
        if not rest:
            return []
        return [t for t in self.listed(path) if by_name(t)] or None

    def programs(self, jobs, parallel):
        out = Outcome()
        workers = os.cpu_count() if parallel else 1
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            try:
                for done in pool.map(lambda job: self.program(*job), jobs):
                    out.add(done)
            except BaseException:  # SIGINT: they have sessions of their own and heard nothing
                pool.shutdown(wait=False, cancel_futures=True)
                for proc in list(self.running):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(proc.pid, signal.SIGKILL)
                raise
        return out

    def built(self, source_dir, prefix):
        """Sources under tests/ and their programs, only those whose source is (still) there."""
        found = []
        for folder, _, files in sorted(os.walk(os.path.join(ROOT, source_dir))):
            for f in sorted(files):
                if f.startswith(prefix) and f.endswith(".c"):
                    source = os.path.relpath(os.path.join(folder, f), ROOT)[:-2]
                    found.append((source, os.path.join(ROOT, self.build, source)))
        return found

    def suite_unit(self, rest):
        head, _, tail = rest.partition("/")
        programs = self.built("tests/unit", "test_")
        # by folder or file, as the Makefile chose what to build; else by TEST()'s first word
        near = [p for p in programs if head in
                (p[0].split("/")[2], os.path.basename(p[0])[len("test_"):])]
        jobs = []
        for source, path in near or programs:
            if near or not rest:
                args = self.chosen(path, tail, lambda t: tail in t)
            else:
                args = self.chosen(path, rest, lambda t: t.startswith(head + "/") and
                                   tail in t.partition("/")[2])
            if args is not None:
                jobs.append((source[len("tests/"):], [path] + args, 120 * self.slow))
        return self.programs(jobs, parallel=True) if jobs else None

    def suite_bpf(self, rest):
        jobs = []
        for source, path in self.built("tests/bpf", "test_"):
            stem = os.path.basename(source)[len("test_"):]
            head, _, tail = rest.partition("/")
            if not rest or (head == stem and not tail):
                args = []
            else:
                args = self.chosen(path, rest, lambda t: rest in t or
                                   (head == stem and tail in t))
            if args is not None:
                jobs.append((source[len("tests/"):], [path] + args, 300 * self.slow))
        if not jobs:
            return None
        if os.geteuid() != 0:
            out = Outcome()
            for name, command, _ in jobs:
                one = Outcome()
                one.skipped = max(1, len(command) - 1 or len(self.listed(command[0])))
                self.report(name, one, 0, [], "", ["skipped: loading BPF programs needs root"])
                out.add(one)
            return out
        return self.programs(jobs, parallel=False)

    def listed(self, path):
        return subprocess.run([path, "-l"], cwd=ROOT, env=self.env, capture_output=True, text=True,
                              timeout=60, check=False).stdout.split()

    def suite_fuzz(self, rest):
        jobs = []
        for source, path in self.built("tests/fuzz", "fuzz_"):
            name = os.path.basename(source)[len("fuzz_"):]
            head, _, tail = rest.partition("/")
            corpus = source + ".in"
            if rest and not name.startswith(head):
                continue
            if not os.path.isdir(os.path.join(ROOT, corpus)):
                inputs = []
            else:
                inputs = [f"{corpus}/{f}" for f in sorted(os.listdir(os.path.join(ROOT, corpus)))
                          if tail in f and not f.startswith(".")]
            if inputs:
                jobs.append((source[len("tests/"):], [path] + inputs, 120 * self.slow))
            elif not tail:
                jobs.append((source[len("tests/"):], [path], 120))  # will say: no test in it
        return self.programs(jobs, parallel=True) if jobs else None

    # ---- pytest -------------------------------------------------------------------------------

    def pytest(self, suite, rest):
        base = os.path.join(ROOT, "tests", suite)
        files = []
        for folder, _, names in sorted(os.walk(base)):
            if "node_modules" not in folder:
                files += [os.path.join(folder, n) for n in sorted(names)
                          if n.startswith("test_") and n.endswith(".py")]
        if not files:
            return None
        keyword = ""
        if rest:
            in_path = [f for f in files if rest in os.path.relpath(f, base)]
            folder, _, name = rest.rpartition("/")
            if in_path:
                files = in_path
            else:
                files = [f for f in files if folder in os.path.relpath(f, base)]
                keyword = name
        if not files:
            return None
        with tempfile.TemporaryDirectory() as tmp:
            xml_path = os.path.join(tmp, "results.xml")
            command = ["/usr/bin/python3", "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir",
                       "tests", "-v", "-rs", "--color=no", "-p", "no:cacheprovider",
                       "--junitxml", xml_path] + (["-k", keyword] if keyword else []) + \
                      [os.path.relpath(f, ROOT) for f in files]
            code, ending = self.stream(command)
            return self.pytest_outcome(suite, xml_path, code, ending)

    def stream(self, command):
        """Passes pytest's lines on as they come, without its header and its closing count."""
        env = dict(self.env, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        proc = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", start_new_session=True)
        heard = [time.monotonic()]
        ending = []

        def watch():
            while proc.poll() is None:
                time.sleep(1)
                if time.monotonic() - heard[0] > SILENCE_S * self.slow:
                    ending.append(f"nothing heard for {SILENCE_S * self.slow} s")
                    os.killpg(proc.pid, signal.SIGKILL)
                    return

        threading.Thread(target=watch, daemon=True).start()
        noise = re.compile(r"^(platform |cachedir|rootdir|plugins|collecting|collected|generated xml"
                           r"|-+ generated xml|=+ test session starts|=+ .* in [0-9.]+s.*=+$|$)")
        for line in proc.stdout:
            heard[0] = time.monotonic()
            if not noise.match(line):
                print("  " + line.rstrip("\n"), flush=True)
        return proc.wait(), "".join(ending)

    def pytest_outcome(self, suite, xml_path, code, ending):
        out = Outcome()
        try:
            for case in xml.etree.ElementTree.parse(xml_path).getroot().iter("testcase"):
                kinds = {child.tag for child in case}
                if kinds & {"failure", "error"}:
                    out.failed += 1
                    self.failed.append(f"{case.get('classname', suite)}::{case.get('name')}")
                elif "skipped" in kinds:
                    out.skipped += 1
                else:
                    out.passed += 1
        except (OSError, xml.etree.ElementTree.ParseError):
            ending = ending or f"pytest left no results (exit code {code})"
        if code == 5 and not ending:  # nothing selected: not for this suite to complain
            return None
        if not out.failed and (ending or code != 0):
            print(f"  FAILED  {suite}: {ending or f'pytest ended with {code}'}", flush=True)
            out.failed = 1
            self.failed.append(f"{suite}: {ending or 'pytest'}")
        return out

    def suite_net(self, rest):
        return self.pytest("net", rest)

    def suite_conformance(self, rest):
        return self.pytest("conformance", rest)

    def suite_vm(self, rest):
        """As many jobs at once as there are cores: each keeps little more than one busy. Where all suites
        run, few of the BPF tests are asked again under other kernels: tests/vm/light.py."""
        light = os.path.join(ROOT, "tests/vm/light.py")
        wanted = rest.split("/", 2)
        jobs = [("vm/load", [light, "load"], 330)] if wanted[0] in ("", "load") else []
        for kernel in ("6.1", "6.12"):
            for job in ("bpf", "pair", *(["net"] if self.select else [])):
                if wanted[0] in ("", kernel) and (len(wanted) < 2 or wanted[1] == job):
                    few = ["env", "SLUICE_VM_FEW=1"] if not self.select else []
                    jobs.append((f"vm/{kernel}/{job}", [*few, light, job, kernel, *wanted[2:]], VM_S))
        jobs.sort(key=lambda job: job[0].endswith("pair"))
        if not jobs:
            return None
        if self.san:
            one = Outcome()
            one.skipped = len(jobs)
            self.report("vm", one, 0, [], "", ["skipped: sanitizers are too slow for emulated CPUs"])
            return one
        return self.programs(jobs, parallel=True)

    # ---- all of it ----------------------------------------------------------------------------

    def run(self):
        head, _, rest = self.select.partition("/")
        if head in SUITES:
            wanted = {head: rest}
        elif self.select:
            wanted = {"unit": self.select}
        else:
            wanted = dict.fromkeys(SUITES, "")
        ran = False
        for suite in SUITES:
            if suite not in wanted:
                continue
            print(f"{suite}:", flush=True)
            start = time.monotonic()
            out = getattr(self, "suite_" + suite)(wanted[suite])
            if out is None:
                print("  (none)", flush=True)
                continue
            ran = True
            self.total.add(out)
            print(f"  {suite}: {out.words()} in {time.monotonic() - start:.1f} s", flush=True)
        if not ran:
            print(f"no test matches T={self.select}", file=sys.stderr)
            self.total.failed += 1
        for name in self.failed:
            print(f"failed: {name}")
        print(self.total.final(), flush=True)
        return 1 if self.total.failed else 0


def main():
    parser = argparse.ArgumentParser(description="runs the tests that make has built")
    parser.add_argument("--build", default="build", help="where make put them")
    parser.add_argument("--san", default="", help="the sanitizers they are built with")
    parser.add_argument("select", nargs="?", default="", help="as in make test T=")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left behind then, either
    sys.exit(Run(args.build, args.san, args.select).run())


if __name__ == "__main__":
    main()
