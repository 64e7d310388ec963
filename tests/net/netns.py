# SPDX-License-Identifier: BSD-2-Clause
"""netns.py - two hosts and a wire between them, made of network namespaces, gone after the test.

    with netns.Pair() as net:
        net.edge, net.far     names of the namespaces; 198.51.100.1 and 2001:db8:1::1 are the edge's
        net.run(net.far, "ping", ...)
"""
import contextlib
import ctypes
import os
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

_count = 0


def sh(*args, check=True):
    done = subprocess.run(args, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(args)}: {done.stderr}")
    return done.stdout


class Pair:
    def __init__(self):
        global _count
        _count += 1
        tag = f"{os.getpid()}-{_count}"
        self.edge, self.far = f"sl-edge-{tag}", f"sl-far-{tag}"
        self.edge_if, self.far_if = f"sle{os.getpid() % 100000}{_count}", f"slf{os.getpid() % 100000}{_count}"

    def __enter__(self):
        try:
            for ns in (self.edge, self.far):
                sh("ip", "netns", "add", ns)
                sh("ip", "-n", ns, "link", "set", "lo", "up")
            sh("ip", "link", "add", self.edge_if, "netns", self.edge, "type", "veth", "peer", "name", self.far_if,
               "netns", self.far)
            for ns, dev, hosts in ((self.edge, self.edge_if, ["198.51.100.1/24", "2001:db8:1::1/64"]),
                                   (self.far, self.far_if, ["198.51.100.9/24", "203.0.113.5/24", "192.0.2.77/24",
                                                            "2001:db8:1::9/64", "2001:db8:bad::5/64"])):
                for host in hosts:
                    nodad = ["nodad"] if ":" in host else []
                    sh("ip", "-n", ns, "addr", "add", host, "dev", dev, *nodad)
                sh("ip", "-n", ns, "link", "set", dev, "up")
            for route in ("203.0.113.0/24", "192.0.2.0/24"):
                sh("ip", "-n", self.edge, "route", "add", route, "dev", self.edge_if)
            sh("ip", "-n", self.edge, "-6", "route", "add", "2001:db8:bad::/48", "dev", self.edge_if)
            # checksums are computed, not left to a NIC that is not there
            sh("nsenter", f"--net=/run/netns/{self.far}", "ethtool", "-K", self.far_if, "tx", "off")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for ns in (self.edge, self.far):
            with contextlib.suppress(Exception):
                sh("ip", "netns", "del", ns, check=False)

    @staticmethod
    def mac(ns, dev):
        words = sh("ip", "-n", ns, "-o", "link", "show", dev).split()
        return bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))

    @contextlib.contextmanager
    def inside(self, ns):
        """Sockets opened in the block belong to that namespace; they stay there afterwards."""
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{ns}") as there:
            assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0
