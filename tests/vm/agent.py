# SPDX-License-Identifier: BSD-2-Clause
"""agent.py PORT - inside a machine: runs what is asked for on its second serial port.

One JSON object a line, both ways. In: {"id", "sh", "cwd", "env", "limit"} or {"off": true}. Out: once
{"ready": kernel}, then for each command {"id", "out": text} as it comes and {"id", "rc": code}; a
command still running after `limit` seconds is killed with all its children and has the code 124.
Commands run side by side.
"""
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import tty

say_lock = threading.Lock()


def say(port, **what):
    line = json.dumps(what).encode() + b"\n"
    with say_lock:
        while line:
            line = line[os.write(port, line):]


def run(port, ask):
    number, late = ask["id"], []
    try:
        proc = subprocess.Popen(["/bin/sh", "-c", ask["sh"]], cwd=ask.get("cwd"), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                env=dict(os.environ, **ask.get("env") or {}))
    except OSError as error:
        say(port, id=number, out=f"{error}\n")
        say(port, id=number, rc=127)
        return

    def kill():
        late.append(True)
        os.killpg(proc.pid, signal.SIGKILL)

    timer = threading.Timer(ask["limit"], kill)
    timer.start()
    rest = b""
    while True:
        got = os.read(proc.stdout.fileno(), 4096)
        whole, newline, rest = (rest + got).rpartition(b"\n") if got else (rest, b"", b"")
        if whole or newline:
            say(port, id=number, out=(whole + newline).decode(errors="replace"))
        if not got:
            break
    code = proc.wait()
    timer.cancel()
    say(port, id=number, rc=124 if late else code if code >= 0 else 128 - code)


def main():
    port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port, termios.TCSANOW)
    say(port, ready=os.uname().release)
    buffer = b""
    while True:
        buffer += os.read(port, 4096)
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            ask = json.loads(line)
            if ask.get("off"):
                return
            threading.Thread(target=run, args=(port, ask), daemon=True).start()


main()
