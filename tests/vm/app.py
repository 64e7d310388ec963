#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""app.py EDGE PORT - an app server behind the edge, as small as one can be.

    client ─ wss://edge/ws ─► sluiced ◄─ ws://edge:PORT/app ─ app.py
                 publish "questions" ─────► subscribed
                 hears its own channel ◄─── publish {"number", "square"}

It speaks the native protocol on a listener of its own, whose endpoint shares its `space` with the
clients'. Whoever asks names the channel in which he hears the answer. A connection that ends is made
again, for as long as this runs.
"""
import json
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
import wire  # noqa: E402

SILENCE_S = 60  # the edge pings more often: one that says nothing for so long is gone


def serve(edge, port):
    s = socket.create_connection((edge, port), timeout=SILENCE_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(wire.upgrade_request("/app"))
    status, _, rest = wire.read_head(s)
    if status != 101:
        raise ConnectionError(f"the edge answers {status}")
    heard = wire.Frames(s, rest)

    def say(**message):
        s.sendall(wire.frame(1, json.dumps(message).encode()))
    say(type="subscribe", channel="questions")
    while True:
        opcode, payload = heard.next()
        if opcode == 9:
            s.sendall(wire.frame(10, payload))
        elif opcode == 8:
            raise ConnectionError("the edge has closed")
        elif opcode == 1 and (message := json.loads(payload))["type"] == "message":
            asked = message["data"]
            say(type="publish", channel=asked["answer"],
                data={"number": asked["number"], "square": asked["number"] ** 2})


def main():
    while True:
        try:
            serve(sys.argv[1], int(sys.argv[2]))
        except (OSError, EOFError) as ended:
            print(f"{ended or type(ended).__name__}; again", flush=True)
            time.sleep(0.5)


main()
