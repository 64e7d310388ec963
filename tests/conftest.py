# SPDX-License-Identifier: BSD-2-Clause
"""Every test has a time limit, set-up and tear-down included: 60 s, or what
@pytest.mark.time_limit(seconds) says; four times that where a sanitizer slows the daemon down, ten
times where an emulated CPU does (SLUICE_VM).

The limit is an alarm that fails the test where it stands, so that its tear-down still runs. A test
that even an alarm cannot reach is ended 30 s later with everybody's stack on standard error.
"""
import faulthandler
import os
import signal

import pytest

LIMIT_S = 60
SLOW = 4 if os.environ.get("SLUICE_SAN") else 10 if os.environ.get("SLUICE_VM") else 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("time_limit")
    seconds = (marker.args[0] if marker else LIMIT_S) * SLOW

    def on_alarm(_signum, _frame):
        pytest.fail(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    # again each 10 s: a tear-down that hangs is ended as well
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)
    faulthandler.dump_traceback_later(seconds + 30, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
