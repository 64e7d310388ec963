# SPDX-License-Identifier: BSD-2-Clause
"""npm's `ws`, the WebSocket client that most of Node uses, against a running edge: the cases of
node/cases.js, each over ws and wss. The package is fetched once, into .deps/npm.
"""
import os
import shutil
import subprocess

import pytest

import sluice

NODE = sluice.ROOT / "tests/net/node"
NPM = sluice.ROOT / ".deps/npm"
LAST = "at_shutdown_everybody_is_closed_with_1001"

ENDPOINTS = """
    { path = "/ws"; rate = 0; },
    { path = "/lobby"; rate = 0; },
    { path = "/echo"; protocol = "echo"; rate = 0; },
    { path = "/relay"; protocol = "relay"; rate = 0; },
    { path = "/deflate"; protocol = "relay"; rate = 0; compression = true; },
    { path = "/sub"; protocol = "echo"; subprotocols = ["v2.chat", "v1.chat"]; },
    { path = "/strict"; origins = ["https://good.example"]; },
    { path = "/slow"; rate = 5; rate_burst = 5; },
    { path = "/few"; rate = 0; bad_format_per_min = 5; max_subscriptions = 3; words = ["channels", "rooms"]; }
"""


def cases():
    if not shutil.which("node"):
        return []
    return subprocess.run(["node", str(NODE / "cases.js")], capture_output=True, text=True,
                          check=True).stdout.split()


# so that channels have positions
KEPT = 'namespaces = ( { name = ""; history = 100; } );'


@pytest.fixture(scope="module")
def node_path():
    if not shutil.which("node"):
        pytest.skip("needs node")
    if not (NPM / "node_modules/ws/package.json").exists():
        pytest.skip("needs npm's ws, which `make deps-test` could not fetch")
    return NPM / "node_modules"


@pytest.fixture(scope="module")
def edge():
    with sluice.Edge(workers=2, endpoints=ENDPOINTS, extra=KEPT) as edge:
        yield edge


def command(edge, listener, case):
    return ["node", str(NODE / "cases.js"), edge.url(listener, ""), case]


@pytest.mark.parametrize("listener", ["plain", "tls"])
@pytest.mark.parametrize("case", [c for c in cases() if c != LAST])
def test_ws(edge, node_path, case, listener):
    done = subprocess.run(command(edge, listener, case), capture_output=True, text=True,
                          env=dict(os.environ, NODE_PATH=str(node_path)),
                          timeout=30 * sluice.SLOW)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_ws_at_shutdown(node_path, listener):
    with sluice.Edge(workers=2, endpoints=ENDPOINTS, extra=KEPT, shutdown_timeout="5 s") as edge:
        with subprocess.Popen(command(edge, listener, LAST), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, NODE_PATH=str(node_path))) as node:
            assert node.stdout.readline() == "READY\n"
            assert edge.stop() == 0
            out, err = node.communicate(timeout=30 * sluice.SLOW)
            assert node.returncode == 0, err[-3000:]
