# SPDX-License-Identifier: BSD-2-Clause
"""frames.py - packets made by hand, down to the lies in their headers."""
import socket
import struct


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp(src, dst, flags=0x02, dport=8080, sport=40000, offset=5, cut=None):
    seg = struct.pack(">HHIIBBHHH", sport, dport, 1000, 0, offset << 4, flags, 64240, 0, 0)
    v6 = len(src) == 16
    pseudo = src + dst + (struct.pack(">II", len(seg), 6) if v6 else struct.pack(">BBH", 0, 6, len(seg)))
    seg = seg[:16] + struct.pack(">H", checksum(pseudo + seg)) + seg[18:]
    return seg[:cut]


def ip4(payload, src, dst, length=None, frag=0, options=b"", ihl=None, proto=6):
    n = 20 + len(options)
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | (ihl if ihl is not None else n // 4), 0,
                       length if length is not None else n + len(payload), 1, frag, 64, proto, 0, src, dst) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(payload, src, dst, length=None, next_header=6):
    return struct.pack(">IHBB", 6 << 28, length if length is not None else len(payload), next_header, 64) + src + dst + payload


def malformed(from4, to4, from6, to6):
    """(reason, EtherType, packet) of each kind that rule 1 knows, between these addresses."""
    a4, e4 = socket.inet_aton(from4), socket.inet_aton(to4)
    a6, e6 = socket.inet_pton(socket.AF_INET6, from6), socket.inet_pton(socket.AF_INET6, to6)
    multi4, loop4 = socket.inet_aton("224.0.0.5"), socket.inet_aton("127.0.0.1")
    multi6 = socket.inet_pton(socket.AF_INET6, "ff02::5")
    fragment = struct.pack(">BBHI", 6, 0, 1, 7)  # first fragment, more to come
    routing = struct.pack(">BBBBI", 6, 0, 0, 1, 0)
    good4, good6 = tcp(a4, e4), tcp(a6, e6)
    yield "bad-ip-header", 0x0800, ip4(good4, a4, e4, ihl=3)
    yield "bad-ip-header", 0x0800, b"\x65" + ip4(good4, a4, e4)[1:]
    yield "bad-ip-header", 0x86dd, b"\x40" + ip6(good6, a6, e6)[1:]
    yield "bad-length", 0x0800, ip4(good4, a4, e4, length=9000)
    yield "bad-length", 0x86dd, ip6(good6, a6, e6, length=9000)
    # a third tag of VLAN 0, which the kernel would take off as it takes off two
    yield "vlan-tags", 0x8100, struct.pack(">HHHHHH", 0, 0x8100, 0, 0x8100, 0, 0x0800) + ip4(good4, a4, e4)
    yield "vlan-tags", 0x88a8, struct.pack(">HHHHHH", 0, 0x9100, 0, 0x8100, 0, 0x86dd) + ip6(good6, a6, e6)
    yield "ipv6-ext", 0x86dd, ip6(routing + good6, a6, e6, next_header=43)
    yield "truncated", 0x0800, ip4(tcp(a4, e4, cut=12), a4, e4)
    yield "truncated", 0x86dd, ip6(tcp(a6, e6, cut=12), a6, e6)
    yield "tcp-fragment", 0x0800, ip4(good4, a4, e4, frag=0x2000)
    yield "tcp-fragment", 0x0800, ip4(good4, a4, e4, frag=0x0010)
    yield "tcp-fragment", 0x86dd, ip6(fragment + good6, a6, e6, next_header=44)
    yield "ipv4-options", 0x0800, ip4(good4, a4, e4, options=b"\x83\x07\x04\x01\x02\x03\x04\x00")
    yield "bogus-source", 0x0800, ip4(tcp(multi4, e4), multi4, e4)
    yield "bogus-source", 0x0800, ip4(tcp(loop4, e4), loop4, e4)
    yield "bogus-source", 0x86dd, ip6(tcp(multi6, e6), multi6, e6)
    yield "land", 0x0800, ip4(tcp(e4, e4), e4, e4)
    yield "land", 0x86dd, ip6(tcp(e6, e6), e6, e6)
    yield "port-zero", 0x0800, ip4(tcp(a4, e4, sport=0), a4, e4)
    yield "port-zero", 0x86dd, ip6(tcp(a6, e6, sport=0), a6, e6)
    yield "bad-tcp-offset", 0x0800, ip4(tcp(a4, e4, offset=3), a4, e4)
    yield "bad-tcp-offset", 0x86dd, ip6(tcp(a6, e6, offset=15), a6, e6)
    for flags in (0x00, 0x03, 0x06, 0x29, 0x3f, 0x01):
        yield "bad-tcp-flags", 0x0800, ip4(tcp(a4, e4, flags), a4, e4)
        yield "bad-tcp-flags", 0x86dd, ip6(tcp(a6, e6, flags), a6, e6)
