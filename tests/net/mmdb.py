# SPDX-License-Identifier: BSD-2-Clause
"""mmdb.py - writes small MaxMind databases (format 2.0), after its public specification.

    mmdb.write(path, {"203.0.113.0/24": {"country": {"iso_code": "XA"}}}, ip_version=6)
"""
import ipaddress
import struct

MARKER = b"\xab\xcd\xefMaxMind.com"


def _head(kind, size):
    if size >= 29:
        raise ValueError("longer than this writer knows")
    if kind > 7:
        return bytes([size, kind - 7])
    return bytes([kind << 5 | size])


def encode(value):
    if isinstance(value, str):
        raw = value.encode()
        return _head(2, len(raw)) + raw
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(encode(v) for v in value)
    if isinstance(value, tuple):  # (type, number)
        raw = value[1].to_bytes(8, "big").lstrip(b"\0")
        return _head(value[0], len(raw)) + raw
    return encode((6, value))


def write(path, records, ip_version=6):
    """records: prefix → record. IPv4 goes below ::/96 in a tree of IPv6, with ::ffff:0:0/96 an alias."""
    nodes, data, places = [[None, None]], b"", {}
    width = 128 if ip_version == 6 else 32

    def put(bits, what):
        at = 0
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][bits[-1]] = what

    for prefix, record in records.items():
        net = ipaddress.ip_network(prefix)
        number, length = int(net.network_address), net.prefixlen
        if net.version == 4 and width == 128:
            length += 96
        raw = encode(record)
        if raw not in places:
            places[raw] = len(data)
            data += raw
        put([number >> (width - 1 - i) & 1 for i in range(length)], ("data", places[raw]))
    if width == 128:
        at = 0
        for _ in range(96):
            if nodes[at][0] is None:
                nodes.append([None, None])
                nodes[at][0] = len(nodes) - 1
            at = nodes[at][0]
        put([(0xffff << 32) >> (127 - i) & 1 for i in range(96)], at)
    n = len(nodes)

    def record_of(r):
        return n if r is None else n + 16 + r[1] if isinstance(r, tuple) else r

    tree = b"".join(struct.pack(">I", record_of(r))[1:] for node in nodes for r in node)
    meta = encode({"binary_format_major_version": (5, 2), "binary_format_minor_version": (5, 0),
                   "build_epoch": (9, 1700000000), "database_type": "Test", "description": {"en": "a test"},
                   "ip_version": (5, ip_version), "languages": ["en"], "node_count": (6, n), "record_size": (5, 24)})
    with open(path, "wb") as f:
        f.write(tree + bytes(16) + data + MARKER + meta)
