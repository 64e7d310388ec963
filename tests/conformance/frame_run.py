# SPDX-License-Identifier: BSD-2-Clause
"""frame_run.py - plays one case of frame_cases.py against any server."""
from frame_cases import DEFLATE, OPEN, WAITS, Closed
from frame_wire import SLOW, Wire, close, ping

QUIET_S = 0.15


def run_case(case, host, port, tls):
    """AssertionError, with what came instead, unless the server does as the case says."""
    segments = list(case.send)
    behind = segments.pop(0) if case.glued else b""
    offer = "permessage-deflate" if case.path == DEFLATE else None
    with Wire(host, port, tls, case.path, behind, offer) as wire:
        assert (wire.agreed is not None) == (offer is not None), wire.agreed
        wire.play(segments)
        for i, want in enumerate(case.expect):
            got = wire.event()
            assert got == want, f"event {i}: {short(got)}, not {short(want)}"
        if case.end == OPEN:
            must_live(wire)
        elif case.end == WAITS:
            assert wire.quiet(QUIET_S * SLOW), f"something came: {short(wire.buf or 'the end')}"
        else:
            must_close(wire, case.end)


def must_live(wire):
    """Answers a ping, and then a close by the same code and the end."""
    assert wire.send(ping(b"still there?")), "gone"
    got = wire.event()
    assert got == ("pong", b"still there?"), f"{short(got)}, not the pong"
    wire.send(close(1000))
    must_close(wire, Closed(1000))


def must_close(wire, want):
    got = wire.event()
    assert got[0] == "close" and got[1] == want.code, f"{short(got)}, not close {want.code}"
    if want.reason is not None:
        assert got[2] == want.reason, f"reason {got[2]!r}, not {want.reason!r}"
    got[2].decode()  # a reason is text
    if want.code is None:
        assert got[2] == b"", "a reason without a code"
    got = wire.event()
    assert got == ("end",), f"{short(got)} behind the close frame"


def short(thing):
    said = repr(thing)
    return said if len(said) < 200 else f"{said[:120]}... ({len(said)} characters)"
