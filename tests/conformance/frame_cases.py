# SPDX-License-Identifier: BSD-2-Clause
"""frame_cases.py - what a WebSocket server must do with frames: one table.

A case is what is sent, segment by segment, what must come back, and how it ends:

    OPEN        the connection lives: it answers a ping, and closes when asked to
    WAITS       the connection lives and says nothing, since something is incomplete
    Closed(n)   a close frame with code n comes (None: without a code), then the end

The endpoints are /echo, where every message comes back as it was (max_message 100 KiB,
max_fragments 1024), /echo-small (max_message 1 KiB, max_fragments 8), and /echo-deflate, which is
/echo with permessage-deflate agreed on; none limits rates. What comes back is never compressed.
The names are sentences; the table is built by loops where the rule is one of numbers.
"""
import dataclasses
import random
import zlib

from frame_wire import (BINARY, CLOSE, CONT, PING, PONG, TEXT, binary, chop, close, deflated,
                        fragments, frame, packed, ping, pong, text)

OPEN, WAITS = "open", "waits"
MESSAGE_MAX, FRAGMENTS_MAX = 100 * 1024, 1024
DEFLATE = "/echo-deflate"
SMALL, SMALL_MESSAGE_MAX, SMALL_FRAGMENTS_MAX = "/echo-small", 1024, 8


@dataclasses.dataclass(frozen=True)
class Closed:
    code: int | None
    reason: bytes | None = None  # None: any


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    send: tuple
    expect: tuple
    end: object
    path: str = "/echo"
    glued: bool = False  # the first segment goes out with the upgrade request


CASES = []


def case(name, send, expect=(), end=OPEN, path="/echo", glued=False):
    if isinstance(send, bytes):
        send = [send]
    CASES.append(Case(name, tuple(send), tuple(expect), end, path, glued))


def T(s):
    return ("text", s.encode() if isinstance(s, str) else s)


def B(b):
    return ("binary", b)


def refused(name, send, code=1002, expect=(), **how):
    case(name, send, expect, Closed(code), **how)


def letters(n):
    return (b"abcdefghijklmnopqrstuvwxyz0123456789" * (n // 36 + 1))[:n]


def octets(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


# ---- framing: lengths, masks, opcodes, bits ------------------------------------------------------

SIZES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 124, 125, 126, 127, 128, 129, 255, 256,
         1000, 4096, 16383, 16384, 16385, 65534, 65535, 65536, 65537, MESSAGE_MAX)
for n in SIZES:
    case(f"framing/text-of-{n}-bytes", text(letters(n)), [T(letters(n))])
    case(f"framing/binary-of-{n}-bytes", binary(octets(n)), [B(octets(n))])

for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0", b"\0\0\0\x80"):
    for n in (1, 5, 126, 131):
        case(f"framing/mask-{key.hex()}-over-{n}-bytes", binary(octets(n), mask=key),
             [B(octets(n))])

case("framing/each-frame-has-its-own-mask",
     binary(b"one", mask=b"\x01\x02\x03\x04") + binary(b"two", mask=b"\xfe\xed\xfa\xce"),
     [B(b"one"), B(b"two")])
case("framing/text-and-binary-keep-their-kind", text("t") + binary(b"b") + text("t2"),
     [T("t"), B(b"b"), T("t2")])
case("framing/nul-is-a-character", text("a\0b"), [T("a\0b")])
case("framing/payload-that-looks-like-frames", binary(ping(b"no") + close(1000)),
     [B(ping(b"no") + close(1000))])

for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    refused(f"framing/opcode-{op}", frame(op))
    refused(f"framing/opcode-{op}-with-payload", frame(op, b"abc"))
    refused(f"framing/opcode-{op}-within-a-message", frame(TEXT, b"a", fin=False) + frame(op))
for op in (3, 7, 11, 15):
    refused(f"framing/opcode-{op}-without-fin", frame(op, fin=False))
    refused(f"framing/opcode-{op}-behind-a-message", text("a") + frame(op), expect=[T("a")])

for rsv in range(1, 8):
    refused(f"framing/rsv-{rsv}-on-text", text("a", rsv=rsv))
    refused(f"framing/rsv-{rsv}-on-ping", ping(b"a", rsv=rsv))
for rsv in (1, 2, 4):
    refused(f"framing/rsv-{rsv}-on-binary", binary(b"a", rsv=rsv))
    refused(f"framing/rsv-{rsv}-on-close", close(1000, rsv=rsv))
    refused(f"framing/rsv-{rsv}-on-pong", pong(rsv=rsv))
    refused(f"framing/rsv-{rsv}-on-a-continuation",
            frame(TEXT, b"a", fin=False) + frame(CONT, b"b", rsv=rsv))
    refused(f"framing/rsv-{rsv}-behind-a-message", text("a") + text("b", rsv=rsv), expect=[T("a")])
refused("framing/rsv-refused-at-the-first-byte", b"\xc1")

for name, data in (("text", text("a", mask=None)), ("binary", binary(b"a", mask=None)),
                   ("an-empty-text", text("", mask=None)), ("a-ping", ping(mask=None)),
                   ("a-pong", pong(mask=None)), ("a-close", close(1000, mask=None)),
                   ("a-continuation", frame(TEXT, b"a", fin=False) + frame(CONT, b"b", mask=None)),
                   ("a-long-text", text(letters(300), mask=None))):
    refused(f"framing/{name}-without-mask", data)
refused("framing/no-mask-is-seen-at-the-second-byte", text(letters(50), mask=None)[:2])
refused("framing/no-mask-behind-a-message", text("a") + text("b", mask=None), expect=[T("a")])

for size, values in ((16, (0, 1, 124, 125)), (64, (0, 125, 126, 65535))):
    for n in values:
        refused(f"framing/length-{n}-in-{size}-bits", binary(octets(n), size=size))
refused("framing/fragment-length-7-in-16-bits",
        frame(TEXT, b"a", fin=False) + frame(CONT, b"1234567", size=16))
refused("framing/long-length-is-seen-at-the-header", binary(b"", size=16, declared=125)[:4])
for n in (1 << 63, (1 << 64) - 1, (1 << 63) + 5):
    refused(f"framing/length-{n:x}-has-the-top-bit", binary(b"", size=64, declared=n))
refused("framing/top-bit-is-seen-at-its-byte", b"\x82\xff\x80")

# ---- incomplete: wait, do not answer, do not fall ------------------------------------------------

for cut in (1, 2, 3, 5, 6, 10):
    case(f"framing/waits-after-{cut}-bytes-of-a-frame", text("Hello")[:cut], end=WAITS)
for cut in (2, 3, 4, 7, 8, 100):
    case(f"framing/waits-after-{cut}-bytes-of-a-longer-frame", text(letters(300))[:cut], end=WAITS)
for cut in (2, 5, 9, 13, 14, 5000):
    case(f"framing/waits-after-{cut}-bytes-of-a-very-long-frame", binary(octets(70000))[:cut],
         end=WAITS)
for cut in (1, 5, 6, 9):
    case(f"control/waits-after-{cut}-bytes-of-a-ping", ping(b"Hello")[:cut], end=WAITS)
for cut in (1, 6, 7):
    case(f"closing/waits-after-{cut}-bytes-of-a-close", close(1000)[:cut], end=WAITS)
case("framing/waits-for-the-rest-of-a-second-frame", text("a") + text("bc")[:7], [T("a")], WAITS)
case("fragmentation/waits-for-the-last-fragment", frame(TEXT, b"a", fin=False), end=WAITS)
case("fragmentation/waits-and-still-answers-pings", frame(TEXT, b"a", fin=False) + ping(b"p"),
     [("pong", b"p")], WAITS)

# ---- segmentation: how the bytes are cut changes nothing -----------------------------------------

MIXED = (text("h\u00e4\u20ac\U0001f600") + ping(b"p") + binary(octets(140)) + text("")
         + b"".join(fragments(TEXT, b"\xe2", b"\x82", b"\xac")))
MIXED_BACK = [T("h\u00e4\u20ac\U0001f600"), ("pong", b"p"), B(octets(140)), T(""), T("\u20ac")]
for n in (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 17, 23, 31, 64, 100):
    case(f"segmentation/mixed-frames-by-{n}-bytes", chop(MIXED, n), MIXED_BACK)
for n, size in ((10, 1), (200, 1), (200, 3), (300, 7), (5000, 100), (70000, 4096), (70000, 1460)):
    case(f"segmentation/text-of-{n}-bytes-by-{size}", chop(text(letters(n)), size), [T(letters(n))])
for at in range(1, 11):
    data = text("Hello")
    case(f"segmentation/a-frame-cut-at-{at}", [data[:at], data[at:]], [T("Hello")])
for at in (1, 2, 3, 4, 5, 7, 8, 9):
    data = text(letters(200))
    case(f"segmentation/a-longer-frame-cut-at-{at}", [data[:at], data[at:]], [T(letters(200))])
for at in (1, 2, 3, 6, 9, 10, 11, 13, 14, 15):
    data = binary(octets(66000))
    case(f"segmentation/a-very-long-frame-cut-at-{at}", [data[:at], data[at:]], [B(octets(66000))])
for count in (2, 10, 100, 500):
    case(f"segmentation/{count}-frames-in-one-segment",
         b"".join(text(str(i)) for i in range(count)),
         [T(str(i)) for i in range(count)])
case("segmentation/a-frame-and-the-beginning-of-the-next",
     [text("one") + text("two")[:3], text("two")[3:]], [T("one"), T("two")])
case("segmentation/frames-behind-the-upgrade-request", text("early") + ping(b"e"),
     [T("early"), ("pong", b"e")], glued=True)
case("segmentation/half-a-frame-behind-the-upgrade-request", [text("early")[:4], text("early")[4:]],
     [T("early")], glued=True)

# ---- fragmentation -------------------------------------------------------------------------------

for at in range(0, 6):
    case(f"fragmentation/text-cut-at-{at}", b"".join(fragments(TEXT, b"Hello"[:at], b"Hello"[at:])),
         [T("Hello")])
    case(f"fragmentation/binary-cut-at-{at}-in-two-segments",
         fragments(BINARY, b"Hello"[:at], b"Hello"[at:]), [B(b"Hello")])
for count in (3, 5, 50, FRAGMENTS_MAX):
    parts = [b"x%d," % i for i in range(count)]
    case(f"fragmentation/{count}-fragments", b"".join(fragments(BINARY, *parts)),
         [B(b"".join(parts))])
for count in (2, 3, 100):
    case(f"fragmentation/{count}-empty-fragments", b"".join(fragments(TEXT, *[b""] * count)),
         [T("")])
case("fragmentation/empty-fragments-around-a-full-one",
     b"".join(fragments(TEXT, b"", b"a", b"", b"b", b"")),
     [T("ab")])
case("fragmentation/two-messages-in-fragments",
     b"".join(fragments(TEXT, b"a", b"b") + fragments(BINARY, b"c", b"d")), [T("ab"), B(b"cd")])
case("fragmentation/long-fragments",
     fragments(BINARY, octets(30000), octets(126), octets(40000)),
     [B(octets(30000) + octets(126) + octets(40000))])
case("fragmentation/fragments-by-single-bytes",
     chop(b"".join(fragments(TEXT, b"He", b"", b"llo")), 1),
     [T("Hello")])
case("fragmentation/each-fragment-its-mask",
     frame(TEXT, b"abcde", fin=False, mask=b"\x01\x02\x03\x04")
     + frame(CONT, b"fgh", mask=b"\xff\x00\xff\x00"), [T("abcdefgh")])

refused("fragmentation/continuation-first", frame(CONT, b"a"))
refused("fragmentation/continuation-first-without-fin", frame(CONT, b"a", fin=False))
refused("fragmentation/empty-continuation-first", frame(CONT))
refused("fragmentation/continuation-behind-a-message", text("a") + frame(CONT, b"b"),
        expect=[T("a")])
refused("fragmentation/continuation-behind-fragments",
        b"".join(fragments(TEXT, b"a", b"b")) + frame(CONT, b"c"), expect=[T("ab")])
refused("fragmentation/continuation-behind-a-ping", ping(b"p") + frame(CONT, b"b"),
        expect=[("pong", b"p")])
for first in (TEXT, BINARY):
    for second in (TEXT, BINARY):
        for fin in (True, False):
            refused(f"fragmentation/message-{second}{'-fin' if fin else ''}-within-message-{first}",
                    frame(first, b"a", fin=False) + frame(second, b"b", fin=fin))
refused("fragmentation/message-within-an-empty-beginning", frame(TEXT, b"", fin=False) + text("b"))
refused("fragmentation/message-after-two-fragments",
        frame(TEXT, b"a", fin=False) + frame(CONT, b"b", fin=False) + text("c"))
refused("fragmentation/message-within-a-message-with-a-ping-between",
        frame(TEXT, b"a", fin=False) + ping(b"p") + text("b"), expect=[("pong", b"p")])

# ---- control frames ------------------------------------------------------------------------------

for n in (0, 1, 2, 64, 124, 125):
    case(f"control/ping-of-{n}-bytes", ping(octets(n)), [("pong", octets(n))])
case("control/ping-with-bytes-that-are-no-text", ping(b"\xff\xfe\x00"), [("pong", b"\xff\xfe\x00")])
case("control/ten-pings-in-order", b"".join(ping(b"%d" % i) for i in range(10)),
     [("pong", b"%d" % i) for i in range(10)])
case("control/ten-pings-in-ten-segments", [ping(b"%d" % i) for i in range(10)],
     [("pong", b"%d" % i) for i in range(10)])
case("control/ping-by-single-bytes", chop(ping(octets(20)), 1), [("pong", octets(20))])
case("control/largest-ping-by-single-bytes", chop(ping(octets(125)), 1), [("pong", octets(125))])
case("control/pong-nobody-asked-for", pong(b"x") + text("a"), [T("a")])
case("control/empty-pong", pong() + text("a"), [T("a")])
case("control/largest-pong", pong(octets(125)) + text("a"), [T("a")])
case("control/pongs-between-pings", pong(b"1") + ping(b"2") + pong(b"3") + ping(b"4"),
     [("pong", b"2"), ("pong", b"4")])
case("control/ping-between-messages", text("a") + ping(b"p") + text("b"),
     [T("a"), ("pong", b"p"), T("b")])
case("control/ping-between-fragments",
     frame(TEXT, b"a", fin=False) + ping(b"p") + frame(CONT, b"b"),
     [("pong", b"p"), T("ab")])
case("control/pong-between-fragments",
     frame(TEXT, b"a", fin=False) + pong(b"p") + frame(CONT, b"b"),
     [T("ab")])
case("control/pings-between-all-fragments",
     frame(BINARY, b"a", fin=False) + ping(b"1") + frame(CONT, b"", fin=False)
     + ping(b"2") + ping(b"3") + frame(CONT, b"b", fin=False) + ping(b"4") + frame(CONT, b"c"),
     [("pong", b"1"), ("pong", b"2"), ("pong", b"3"), ("pong", b"4"), B(b"abc")])
case("control/ping-between-fragments-by-single-bytes",
     chop(frame(TEXT, b"a", fin=False) + ping(b"pp") + frame(CONT, b"b"), 1),
     [("pong", b"pp"), T("ab")])
case("control/ping-within-a-cut-character",
     frame(TEXT, b"\xe2\x82", fin=False) + ping(b"\xff") + frame(CONT, b"\xac"),
     [("pong", b"\xff"), T("\u20ac")])
for op, name in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close")):
    for n, size in ((126, 16), (65536, 64)):
        refused(f"control/{name}-of-{n}-bytes", frame(op, b"", declared=n, size=size))
    refused(f"control/{name}-without-fin", frame(op, fin=False))
    refused(f"control/{name}-in-fragments", frame(op, b"", fin=False) + frame(CONT))
    refused(f"control/{name}-with-a-long-length", frame(op, b"", declared=0, size=16))
    refused(f"control/{name}-without-fin-between-fragments",
            frame(TEXT, b"a", fin=False) + frame(op, fin=False))
refused("control/too-long-ping-is-seen-at-the-second-byte", ping(b"", declared=126, size=16)[:2])

# ---- UTF-8 ---------------------------------------------------------------------------------------

GOOD_TEXT = {
    "greek": "\u03ba\u1f79\u03c3\u03bc\u03b5", "german": "Z\u00fcrich \u00c4\u00d6\u00dc\u00df",
    "chinese": "\u4f60\u597d\uff0c\u4e16\u754c", "emoji": "\U0001f600\U0001f389",
    "family-of-emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "arabic": "\u0645\u0631\u062d\u0628\u0627",
    "combining": "e\u0301a\u0308", "bom": "\ufeffx",
    "u+0000": "\0", "u+007f": "\x7f", "u+0080": "\x80", "u+07ff": "\u07ff", "u+0800": "\u0800",
    "u+0fff": "\u0fff", "u+1000": "\u1000", "u+d7ff": "\ud7ff", "u+e000": "\ue000",
    "u+fdd0": "\ufdd0",
    "u+fffd": "\ufffd", "u+fffe": "\ufffe", "u+ffff": "\uffff", "u+10000": "\U00010000",
    "u+1ffff": "\U0001ffff", "u+40000": "\U00040000", "u+fffff": "\U000fffff",
    "u+100000": "\U00100000", "u+10fffe": "\U0010fffe", "u+10ffff": "\U0010ffff",
}
for name, s in GOOD_TEXT.items():
    case(f"utf8/{name}", text(s), [T(s)])
for name, s in (("greek", GOOD_TEXT["greek"]), ("emoji", GOOD_TEXT["emoji"])):
    data = s.encode()
    for at in range(1, len(data)):
        case(f"utf8/{name}-in-fragments-cut-at-{at}",
             b"".join(fragments(TEXT, data[:at], data[at:])), [T(s)])
case("utf8/every-byte-its-fragment",
     b"".join(fragments(TEXT, *[bytes([c]) for c in GOOD_TEXT["chinese"].encode()])),
     [T(GOOD_TEXT["chinese"])])
case("utf8/empty-fragments-within-a-character",
     b"".join(fragments(TEXT, b"\xf0", b"", b"\x9f", b"", b"", b"\x98\x80")), [T("\U0001f600")])
case("utf8/long-text-of-all-widths", text("a\u00e4\u20ac\U0001f600" * 2000),
     [T("a\u00e4\u20ac\U0001f600" * 2000)])
case("utf8/long-text-cut-within-characters", chop(text("\u20ac\U0001f600" * 500), 101),
     [T("\u20ac\U0001f600" * 500)])
case("utf8/binary-need-not-be-text", binary(b"\xff\xc0\x80\xed\xa0\x80"),
     [B(b"\xff\xc0\x80\xed\xa0\x80")])
case("utf8/binary-fragments-need-not-be-text", b"".join(fragments(BINARY, b"\xc3", b"\x28")),
     [B(b"\xc3\x28")])

BAD_TEXT = {
    "lone-continuation-80": b"\x80", "lone-continuation-bf": b"\xbf",
    "two-continuations": b"\x80\xbf",
    "c0": b"\xc0\x80", "c1": b"\xc1\xbf", "f5": b"\xf5\x80\x80\x80", "f8": b"\xf8\x88\x80\x80\x80",
    "fc": b"\xfc\x84\x80\x80\x80\x80", "fe": b"\xfe", "ff": b"\xff",
    "overlong-slash-2": b"\xc0\xaf", "overlong-slash-3": b"\xe0\x80\xaf",
    "overlong-slash-4": b"\xf0\x80\x80\xaf",
    "overlong-nul-3": b"\xe0\x80\x80", "overlong-7ff": b"\xe0\x9f\xbf",
    "overlong-ffff": b"\xf0\x8f\xbf\xbf",
    "surrogate-d800": b"\xed\xa0\x80", "surrogate-dbff": b"\xed\xaf\xbf",
    "surrogate-dc00": b"\xed\xb0\x80",
    "surrogate-dfff": b"\xed\xbf\xbf", "surrogate-pair": b"\xed\xa0\x81\xed\xb0\x80",
    "above-10ffff": b"\xf4\x90\x80\x80", "u+1fffff": b"\xf7\xbf\xbf\xbf",
    "two-then-ascii": b"\xc3(", "three-then-ascii": b"\xe2\x82(",
    "four-then-ascii": b"\xf0\x9f\x98(",
    "two-then-two": b"\xc3\xc3\xa4", "one-continuation-too-many": b"\xc3\xa4\xa4",
    "cut-two": b"abc\xc3", "cut-three-1": b"abc\xe2", "cut-three-2": b"abc\xe2\x82",
    "cut-four-1": b"\xf0",
    "cut-four-2": b"\xf0\x9f", "cut-four-3": b"\xf0\x9f\x98", "latin-1": b"Z\xfcrich",
    "behind-much-ascii": letters(5000) + b"\xff",
    "behind-much-greek": "\u03ba".encode() * 3000 + b"\xce",
    "in-the-middle": letters(100) + b"\xed\xa0\x80" + letters(100),
}
for name, data in BAD_TEXT.items():
    refused(f"utf8/refuses-{name}", text(data), 1007)
    refused(f"utf8/refuses-{name}-in-the-last-of-two-fragments",
            b"".join(fragments(TEXT, b"good ", data)), 1007)
for name in ("surrogate-d800", "above-10ffff", "overlong-slash-3", "three-then-ascii",
             "two-then-two"):
    data = BAD_TEXT[name]
    refused(f"utf8/refuses-{name}-one-byte-a-fragment",
            b"".join(fragments(TEXT, *[bytes([c]) for c in data])), 1007)
    refused(f"utf8/refuses-{name}-one-byte-a-segment", chop(text(data), 1), 1007)
refused("utf8/fails-fast-at-the-first-bad-byte", text(b"abc\xff" + letters(96))[:10], 1007)
refused("utf8/fails-fast-at-a-surrogate", text(b"\xed\xa0" + letters(98))[:8], 1007)
refused("utf8/fails-fast-in-a-long-frame",
        text(letters(1000) + b"\xc0" + letters(60000))[:14 + 1001], 1007)
refused("utf8/fails-fast-in-an-open-message", frame(TEXT, b"\xf4\x90", fin=False), 1007)
refused("utf8/fails-fast-in-a-later-fragment",
        frame(TEXT, b"\xf4", fin=False) + frame(CONT, b"\x90", fin=False), 1007)
refused("utf8/refuses-a-character-cut-by-an-empty-last-fragment",
        b"".join(fragments(TEXT, b"\xe2\x82", b"")), 1007)
refused("utf8/refuses-bad-text-behind-a-good-message", text("a") + text(b"\xff"), 1007,
        expect=[T("a")])
refused("utf8/refuses-bad-text-behind-a-ping-within",
        frame(TEXT, b"\xc3", fin=False) + ping(b"p") + frame(CONT, b"("),
        1007, expect=[("pong", b"p")])

# ---- closing -------------------------------------------------------------------------------------

VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
               3000, 3001, 3999, 4000, 4001, 4999)
for code in VALID_CODES:
    case(f"closing/code-{code}-is-answered", close(code), end=Closed(code))
for code in (0, 1, 500, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999,
             65535):
    refused(f"closing/code-{code}-is-refused", close(code))
case("closing/without-code", close(), end=Closed(None))
for reason in (b"", b"bye", "auf Wiedersehen, \u00e4\u00f6\u00fc".encode(), letters(122),
               letters(123)):
    case(f"closing/with-a-reason-of-{len(reason)}-bytes", close(1000, reason), end=Closed(1000))
refused("closing/payload-of-one-byte", frame(CLOSE, b"\x03"))
refused("closing/payload-of-one-byte-is-seen-at-the-header", frame(CLOSE, b"\x03")[:2])
for name in ("lone-continuation-80", "surrogate-d800", "overlong-slash-2", "above-10ffff",
             "cut-three-2", "latin-1"):
    refused(f"closing/reason-{name}", close(1000, BAD_TEXT[name]), 1007)
refused("closing/reason-bad-behind-good", close(1001, b"good \xff"), 1007)
case("closing/by-single-bytes", chop(close(1000, b"bye"), 1), end=Closed(1000))
case("closing/largest-by-single-bytes", chop(close(1000, letters(123)), 1), end=Closed(1000))
case("closing/behind-a-message", text("a") + close(1000), [T("a")], Closed(1000))
case("closing/behind-a-ping", ping(b"p") + close(1000), [("pong", b"p")], Closed(1000))
case("closing/within-a-message", frame(TEXT, b"a", fin=False) + close(1001), end=Closed(1001))
case("closing/within-a-cut-character", frame(TEXT, b"\xe2", fin=False) + close(1000),
     end=Closed(1000))
case("closing/a-message-behind-it-is-ignored", close(1000) + text("late"), end=Closed(1000))
case("closing/a-ping-behind-it-is-ignored", close(1000) + ping(b"late"), end=Closed(1000))
case("closing/rubbish-behind-it-is-ignored", close(1000) + b"\xff" * 50, end=Closed(1000))
case("closing/twice", close(1000) + close(1001), end=Closed(1000))
case("closing/without-code-and-then-with", close() + close(1001), end=Closed(None))
case("closing/at-once-with-the-upgrade-request", close(1000), end=Closed(1000), glued=True)
refused("closing/a-good-frame-behind-a-bad-one-is-not-answered", frame(3) + text("late"))
refused("closing/a-close-behind-a-bad-frame-changes-nothing", frame(3) + close(1000))

# ---- limits: refused at the header that announces too much ---------------------------------------

for n in (SMALL_MESSAGE_MAX - 1, SMALL_MESSAGE_MAX):
    case(f"limits/message-of-{n}-bytes-fits", text(letters(n)), [T(letters(n))], path=SMALL)
    case(f"limits/message-of-{n}-bytes-fits-in-fragments",
         b"".join(fragments(BINARY, octets(n - 300), octets(300))),
         [B(octets(n - 300) + octets(300))], path=SMALL)
for n in (SMALL_MESSAGE_MAX + 1, 65535, 65536, 1 << 32, (1 << 63) - 1):
    refused(f"limits/header-of-{n}-bytes", binary(b"", declared=n), 1009, path=SMALL)
    refused(f"limits/header-of-{n}-bytes-for-text", text(b"", declared=n), 1009, path=SMALL)
for n in (MESSAGE_MAX + 1, 1 << 31, (1 << 32) - 1, 1 << 40):
    refused(f"limits/header-of-{n}-bytes-at-the-default", binary(b"", declared=n), 1009)
refused("limits/sum-of-two-fragments",
        frame(BINARY, octets(1000), fin=False) + frame(CONT, b"", declared=25), 1009, path=SMALL)
refused("limits/sum-of-many-fragments",
        b"".join(frame(BINARY if i == 0 else CONT, octets(200), fin=False) for i in range(5))
        + frame(CONT, b"", declared=25), 1009, path=SMALL)
refused("limits/sum-with-a-ping-between",
        frame(TEXT, letters(1024), fin=False) + ping(b"p") + frame(CONT, b"", declared=1), 1009,
        expect=[("pong", b"p")], path=SMALL)
refused("limits/a-huge-fragment-behind-a-small-one",
        frame(TEXT, b"a", fin=False) + frame(CONT, b"", declared=(1 << 63) - 1), 1009,
        path=SMALL)
case("limits/the-sum-begins-anew-with-each-message",
     text(letters(1024)) + b"".join(fragments(BINARY, octets(600), octets(424)))
     + text(letters(1024)),
     [T(letters(1024)), B(octets(600) + octets(424)), T(letters(1024))], path=SMALL)
case("limits/full-then-an-empty-last-fragment", b"".join(fragments(TEXT, letters(1024), b"")),
     [T(letters(1024))], path=SMALL)
case("limits/as-many-fragments-as-allowed",
     b"".join(fragments(TEXT, *[b"%d" % i for i in range(SMALL_FRAGMENTS_MAX)])), [T("01234567")],
     path=SMALL)
refused("limits/one-fragment-too-many",
        b"".join(fragments(TEXT, *[b"%d" % i for i in range(SMALL_FRAGMENTS_MAX + 1)])), 1009,
        path=SMALL)
refused("limits/empty-fragments-count",
        b"".join(fragments(TEXT, *[b""] * (SMALL_FRAGMENTS_MAX + 1))), 1009,
        path=SMALL)
refused("limits/the-last-allowed-fragment-must-be-the-last",
        b"".join(frame(TEXT if i == 0 else CONT, b"x", fin=False) for i in range(SMALL_FRAGMENTS_MAX)),
        1009, path=SMALL)
case("limits/pings-between-are-no-fragments",
     b"".join(f + ping(b"p") for f in fragments(TEXT, *[b"x"] * SMALL_FRAGMENTS_MAX)[:-1])
     + fragments(TEXT, *[b"x"] * SMALL_FRAGMENTS_MAX)[-1],
     [("pong", b"p")] * (SMALL_FRAGMENTS_MAX - 1) + [T("x" * SMALL_FRAGMENTS_MAX)], path=SMALL)
case("limits/fragments-are-counted-for-each-message",
     b"".join(fragments(TEXT, *[b"x"] * SMALL_FRAGMENTS_MAX)) * 3,
     [T("x" * SMALL_FRAGMENTS_MAX)] * 3, path=SMALL)
refused("limits/too-many-fragments-at-the-default",
        b"".join(fragments(BINARY, *[b""] * (FRAGMENTS_MAX + 1))), 1009)

assert len({c.name for c in CASES}) == len(CASES), "two cases of one name"

# ---- permessage-deflate: without context takeover ------------------------------------------------


def unpacks(name, send, expect=(), end=OPEN):
    case(f"deflate/{name}", send, expect, end, path=DEFLATE)


def refuses(name, send, code=1007, expect=()):
    refused(f"deflate/refuses-{name}", send, code, expect, path=DEFLATE)


def in_fragments(op, *parts, between=b""):
    """A compressed message in so many frames; the first says so, with `between` behind each."""
    frames = [frame(op if i == 0 else CONT, part, fin=i == len(parts) - 1, rsv=0 if i else 4)
              for i, part in enumerate(parts)]
    return between.join(frames)


HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"  # RFC 7692 7.2.3.1
BLOCKS = {
    "a-fixed-block": HELLO,
    "a-stored-block": b"\x00\x05\x00\xfa\xffHello\x00",
    "a-final-block": b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    "two-blocks": b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    "a-final-block-within": b"\xf3\x48\x05\x00" + packed(b"llo"),
    "flushes-nobody-needs": b"\0\0\0\xff\xff" * 20 + HELLO,
}
for name, data in BLOCKS.items():
    unpacks(name, deflated(TEXT, data), [T("Hello")])
    unpacks(f"{name}-by-single-bytes", chop(deflated(TEXT, data), 1), [T("Hello")])
    unpacks(f"{name}-in-binary", deflated(BINARY, data), [B(b"Hello")])
for name, data in {"one-octet": b"\0", "a-fixed-block": b"\x02\0", "a-final-block": b"\x03\0\0",
                   "nothing": b""}.items():
    unpacks(f"the-empty-message-as-{name}", deflated(TEXT, data) + text("next"), [T(""), T("next")])
for n in (1, 125, 126, 5000, 65536, MESSAGE_MAX):
    for how, more in {"stored": {"level": 0}, "fixed": {"strategy": zlib.Z_FIXED}, "dynamic": {},
                      "a-small-window": {"bits": 9}, "an-end": {"flush": zlib.Z_FINISH}}.items():
        if n < MESSAGE_MAX or how != "stored":  # which would be longer than the limit on the wire
            unpacks(f"text-of-{n}-bytes-with-{how}", deflated(TEXT, packed(letters(n), **more)),
                    [T(letters(n))])
JUNK = random.Random(7).randbytes(50000)
unpacks("what-cannot-become-shorter", deflated(BINARY, packed(JUNK)), [B(JUNK)])
unpacks("all-widths-of-text", deflated(TEXT, packed("a\u00e4\u20ac\U0001f600" * 2000)),
        [T("a\u00e4\u20ac\U0001f600" * 2000)])
unpacks("plain-and-packed-by-turns",
        text("one") + deflated(TEXT, packed("two")) + binary(b"\xff") + deflated(TEXT, packed("three")),
        [T("one"), T("two"), B(b"\xff"), T("three")])
unpacks("100-messages-in-one-segment",
        b"".join(deflated(TEXT, packed(f"message {i}")) for i in range(100)),
        [T(f"message {i}") for i in range(100)])
for at in range(len(HELLO) + 1):
    unpacks(f"fragments-cut-at-{at}", in_fragments(TEXT, HELLO[:at], HELLO[at:]), [T("Hello")])
unpacks("every-octet-its-fragment", in_fragments(TEXT, *[bytes([c]) for c in packed(letters(300))]),
        [T(letters(300))])
unpacks("pings-between-fragments",
        in_fragments(TEXT, HELLO[:2], HELLO[2:4], HELLO[4:], between=ping(b"p")),
        [("pong", b"p"), ("pong", b"p"), T("Hello")])
unpacks("a-plain-message-in-fragments", b"".join(fragments(TEXT, b"Hel", b"lo")), [T("Hello")])
unpacks("waits-for-the-last-fragment", in_fragments(TEXT, HELLO, b"")[:-6], end=WAITS)
unpacks("a-close-within-a-message", frame(TEXT, HELLO[:3], fin=False, rsv=4) + close(1001),
        end=Closed(1001))

for rsv in (1, 2, 3, 5, 6, 7):
    refuses(f"rsv-{rsv}", frame(TEXT, HELLO, rsv=rsv), 1002)
for op in (CLOSE, PING, PONG):
    refuses(f"rsv-4-on-control-frame-{op}", frame(op, rsv=4), 1002)
    refuses(f"rsv-4-on-control-frame-{op}-within-a-message",
            frame(TEXT, HELLO[:3], fin=False, rsv=4) + frame(op, rsv=4), 1002)
for first in (0, 4):
    refuses(f"rsv-4-on-a-continuation-of-rsv-{first}",
            frame(BINARY, HELLO[:3], fin=False, rsv=first) + frame(CONT, HELLO[3:], rsv=4), 1002)
refuses("rsv-4-where-nothing-is-open", frame(CONT, HELLO, rsv=4), 1002)

BROKEN = {
    "a-reserved-block": b"\x07", "a-cut-block": HELLO[:-3], "a-missing-flush": HELLO[:-1],
    "an-end-without-a-flush": BLOCKS["a-final-block"][:-1],
    "rubbish-behind-an-end": BLOCKS["a-final-block"] + b"\xff",
    "rubbish-behind-a-flush": HELLO + b"\0",
    "a-flush-that-was-not-cut-off": HELLO + b"\0\0\xff\xff",
    "stored-lengths-that-differ": b"\x00\x05\x00\xf0\xffHello\x00",
    "a-stored-block-that-is-too-short": b"\x00\x04\x00\xfb\xff",
    "a-reference-before-the-message": b"\x02\x02\0\0",
    "zlib's-header": zlib.compress(b"Hello"), "plain-text": b"Hello, plain text",
}
for name, data in BROKEN.items():
    for op in (TEXT, BINARY):
        refuses(f"{name}-in-message-{op}", deflated(op, data))
    refuses(f"{name}-in-fragments", in_fragments(TEXT, data[:1], data[1:]))
refuses("rubbish-behind-a-good-message", deflated(TEXT, HELLO) + deflated(TEXT, b"\x07") + text("late"),
        expect=[T("Hello")])
TAKEOVER = zlib.compressobj(9, zlib.DEFLATED, -15)
FIRST = (TAKEOVER.compress(letters(500)) + TAKEOVER.flush(zlib.Z_SYNC_FLUSH))[:-4]
SECOND = (TAKEOVER.compress(letters(500)) + TAKEOVER.flush(zlib.Z_SYNC_FLUSH))[:-4]
refuses("context-takeover", deflated(TEXT, FIRST) + deflated(TEXT, SECOND), expect=[T(letters(500))])

for name, data in BAD_TEXT.items():
    refuses(f"text-{name}", deflated(TEXT, packed(data)))
unpacks("binary-need-not-be-text", deflated(BINARY, packed(b"\xff\xc0\x80")), [B(b"\xff\xc0\x80")])

for n in (MESSAGE_MAX + 1, 1 << 20, 50 << 20):
    bomb = packed(bytes(n))
    refuses(f"a-bomb-of-{n}-bytes", deflated(BINARY, bomb), 1009)
    if n < 1 << 21:  # whose first kilobytes are beyond the limit already
        refuses(f"a-bomb-of-{n}-bytes-in-fragments", in_fragments(TEXT, bomb[:20], bomb[20:]), 1009)
refuses("more-than-the-limit-on-the-wire", deflated(BINARY, b"", declared=MESSAGE_MAX + 1), 1009)
