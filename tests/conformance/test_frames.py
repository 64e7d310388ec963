# SPDX-License-Identifier: BSD-2-Clause
"""The frame table against the running daemon, over ws and over wss."""
import pytest

import frame_cases
from frame_run import run_case
from sluice import Edge

ENDPOINTS = f"""
    {{ path = "/echo"; protocol = "echo"; rate = 0; rate_burst = 0;
       max_message = "{frame_cases.MESSAGE_MAX // 1024} KiB";
       max_fragments = {frame_cases.FRAGMENTS_MAX}; }},
    {{ path = "{frame_cases.SMALL}"; protocol = "echo"; rate = 0; rate_burst = 0;
       max_message = "{frame_cases.SMALL_MESSAGE_MAX // 1024} KiB";
       max_fragments = {frame_cases.SMALL_FRAGMENTS_MAX}; }},
    {{ path = "{frame_cases.DEFLATE}"; protocol = "echo"; rate = 0; rate_burst = 0; compression = true;
       max_message = "{frame_cases.MESSAGE_MAX // 1024} KiB";
       max_fragments = {frame_cases.FRAGMENTS_MAX}; }}
"""


@pytest.fixture(scope="module")
def edge():
    with Edge(workers=2, endpoints=ENDPOINTS) as running:
        yield running


@pytest.mark.parametrize("listener", ["plain", "tls"])
@pytest.mark.parametrize("case", frame_cases.CASES, ids=lambda c: c.name)
def test_frames(edge, case, listener):
    run_case(case, "127.0.0.1", edge.port[listener], listener == "tls")


def test_the_table_is_as_large_as_promised():
    assert len(frame_cases.CASES) >= 300
