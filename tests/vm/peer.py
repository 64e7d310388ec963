#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""peer.py WHAT ... - the client's side of scenario.py: friend and attacker. Says one JSON value.

    reaches SOURCE TO PORT               can a connection be made from there? true or false
    echo SOURCE TO PORT BYTES            a WebSocket, TLS on port 8443, whose message comes back
    malformed DEV MAC FROM4 TO4 FROM6 TO6 PORT   a frame of each kind; how many for which reason
    ask SOURCE TO PORT TIMES             what the app server behind the edge answers, one question each
    status SOURCE TO PORT PATH           of the HTTP answer to a WebSocket's request
    flood syn|ack DEV MAC FRIEND TO PORT SECONDS forged sources, while a friend is served and (syn) connects anew
    serve PORT                           the edge's other server: accepts, on both families
"""
import json
import os
import pathlib
import random
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
import frames  # noqa: E402
import wire    # noqa: E402

PATIENCE_S = 40  # an emulated CPU takes seconds for a TLS handshake
DENIED_S = 4     # a SYN that nobody answers has been repeated by then


def dial(source, to, port, patience):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    s.settimeout(patience)
    s.bind((source, 0))
    s.connect((to, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(PATIENCE_S)
    return s


def reaches(source, to, port):
    try:
        dial(source, to, int(port), DENIED_S).close()
        return True
    except (TimeoutError, socket.timeout):
        return False


def request(source, to, port, path):
    """The socket, the answer's status, and what came behind its head."""
    s = dial(source, to, port, PATIENCE_S)
    if port == 8443:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s = context.wrap_socket(s, server_hostname="localhost")
    s.sendall(wire.upgrade_request(path))
    status, _, rest = wire.read_head(s)
    return s, status, rest


def open_websocket(source, to, port, path="/echo"):
    s, status, rest = request(source, to, port, path)
    assert status == 101, status
    return s, wire.Frames(s, rest)


def status(source, to, port, path):
    return request(source, to, int(port), path)[1]


def echo(source, to, port, size):
    s, back = open_websocket(source, to, int(port))
    left = int(size)
    while left:
        body = os.urandom(min(left, 50000))
        # masked by zeros: masking costs an emulated Python more than all the rest
        n = len(body)
        length = struct.pack(">B", 0x80 | n) if n < 126 else struct.pack(">BH", 0xfe, n)
        s.sendall(b"\x82" + length + bytes(4) + body)
        assert back.next() == (2, body)
        left -= n
    s.close()
    return "echoed"


def ask(source, to, port, times):
    """Questions are a channel, answers another; app.py answers by squares."""
    s, back = open_websocket(source, to, int(port), "/ws")

    def say(**message):
        s.sendall(wire.frame(1, json.dumps(message).encode()))

    def hear():
        heard = json.loads(back.next()[1])
        assert heard["type"] != "error", heard
        return heard

    def answered(number):
        """The answer; None if nobody has heard the question."""
        say(type="publish", channel="questions", data={"number": number, "answer": mine}, id=number)
        while True:
            heard = hear()
            if heard["type"] == "message" and heard["data"]["number"] == number:
                return heard["data"]["square"]
            if heard["type"] == "published" and heard["id"] == number and "offset" not in heard:
                return None
    mine = f"answers-{os.getpid()}-{random.getrandbits(32)}"
    say(type="subscribe", channel=mine)
    while hear()["type"] != "subscribed":
        pass
    answers, end = [], time.monotonic() + PATIENCE_S
    for number in range(int(times)):
        while (answer := answered(number)) is None:
            assert time.monotonic() < end, "no app server hears questions"
            time.sleep(0.5)  # it is on its way, or on its way back
        answers.append(answer)
    s.close()
    return answers


def raw_socket(dev, mac):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((dev, 0))
    return raw, bytes.fromhex(mac.replace(":", "")) + raw.getsockname()[4]


def malformed(dev, mac, from4, to4, from6, to6, port):
    raw, link = raw_socket(dev, mac)
    assert int(port) == 8080, "the port of frames.py"
    sent = {}
    for reason, ethertype, packet in frames.malformed(from4, to4, from6, to6):
        if ethertype == 0x8100:
            continue  # of VLAN 0: the bridge between the machines takes it off; tests/net sends it over a veth
        raw.send(link + struct.pack(">H", ethertype) + packet)
        sent[reason] = sent.get(reason, 0) + 1
        time.sleep(0.002)
    return sent


def forged(to, flags, port):
    """A frame without its link header, of the family of `to`, from one of scenario.py's SPOOFED."""
    sport = random.randint(1024, 65535)
    if ":" in to:
        source = socket.inet_pton(socket.AF_INET6, f"2001:db8:f00d::{random.randint(1, 0xffff):x}")
        target = socket.inet_pton(socket.AF_INET6, to)
        return b"\x86\xdd" + frames.ip6(frames.tcp(source, target, flags, dport=port, sport=sport), source, target)
    source = socket.inet_aton(f"{random.choice(['203.0.113', '192.0.2'])}.{random.randint(1, 254)}")
    target = socket.inet_aton(to)
    return b"\x08\x00" + frames.ip4(frames.tcp(source, target, flags, dport=port, sport=sport), source, target)


def flood(kind, dev, mac, friend, to, port, seconds):
    """Frames are made beforehand: sending is what an emulated CPU should spend its time on."""
    raw, link = raw_socket(dev, mac)
    port, flags = int(port), {"syn": 0x02, "ack": 0x10}[kind]
    made = [link + forged(to, flags, port) for _ in range(2000)]
    held = open_websocket(friend, to, port)
    end, sent = time.monotonic() + float(seconds), [0]
    told = {"connects": 0, "echoes": 0, "failed": 0}

    def attack():
        while time.monotonic() < end:
            for frame in made[:50] if sent[0] else made:
                try:
                    raw.send(frame)
                except OSError:  # the device's queue is full: the flood is as large as can be
                    continue
                sent[0] += 1
            made.append(made.pop(0))
            random.shuffle(made)

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        while time.monotonic() < end:
            try:
                if kind == "syn":
                    open_websocket(friend, to, port)[0].close()
                    told["connects"] += 1
                held[0].sendall(wire.frame(1, b"still here"))
                assert held[1].next() == (1, b"still here")
                told["echoes"] += 1
            except (OSError, AssertionError) as error:
                told["failed"] += 1
                told["error"] = str(error)
                break
    finally:
        thread.join()
    return dict(told, sent=sent[0])


def serve(port):
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        listener.accept()[0].close()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
