# SPDX-License-Identifier: BSD-2-Clause
"""What a publisher hears of subscribers that are too slow: `skipped` in its answers, whichever worker counts the channel,
whichever has the subscriber, and whichever the publisher."""
import json
import socket
import time

import pytest

import sluice
import wire
from test_slow import PAD, Client

EXTRA = """namespaces = (
  { name = "cut"; slow_consumer = "disconnect"; },
  { name = "feed"; slow_consumer = "drop_oldest"; },
  { name = "price"; slow_consumer = "conflate"; } );
memory = { connection_queue = "64 KiB"; };
"""
ENDPOINTS = '{ path = "/ws"; words = "channels"; rate = 0; }'


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=3, endpoints=ENDPOINTS, extra=EXTRA) as e:
        e.listener = "plain"
        yield e


def publish(speaker, channel, i):
    speaker.say(type="publish", channel=channel, data={"n": i, "pad": PAD}, id=i)
    answer = speaker.until("published")
    assert answer["id"] == i and answer["channel"] == channel
    return answer.get("skipped", 0)


@pytest.mark.parametrize("namespace", ["feed", "price", "cut"])
def test_who_publishes_more_than_somebody_takes_is_told(edge, namespace):
    speaker, told = Client(edge), 0
    for k in range(3):  # at home in one worker or another
        channel = f"{namespace}:{k}"
        assert publish(speaker, channel, 0) == 0
        deaf = Client(edge, channel)
        deaf.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end, i, skipped = time.monotonic() + 60 * sluice.SLOW, 1, 0
        while skipped == 0 and time.monotonic() < end:
            skipped = publish(speaker, channel, i)
            i += 1
        assert skipped > 0, channel
        told += 1
        # of another channel nothing was dropped
        assert publish(speaker, f"{namespace}:quiet", 0) == 0
        deaf.s.close()
        time.sleep(2.5)
        assert publish(speaker, channel, i) == 0  # it is a second's number, not a sum
    assert told == 3
    speaker.s.close()


def test_without_slow_subscribers_there_is_no_such_field(edge):
    quick = Client(edge, "feed:calm")
    for i in range(50):
        assert publish(quick, "feed:calm", i) == 0
    quick.s.close()
