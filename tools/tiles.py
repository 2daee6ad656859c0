#!/usr/bin/env python3
"""Check that a tiled log (C2SP tlog-tiles) is what its checkpoint says, with nothing but the Python library.

usage: tiles.py DIR-OR-URL [SIZE ROOT]

Reads every entry bundle and every tile of the tree, recomputes all hashes from the entries up, and compares each tile
and the root. ROOT is hex or base64; without SIZE and ROOT they are those of `checkpoint`, whose signatures are NOT
verified. Exit 0: all agree. Exit 1: something is wrong, and it is said where. Exit 2: usage.
"""

import base64
import hashlib
import pathlib
import sys
import urllib.request

WIDTH = 256  # hashes of a full tile, entries of a full bundle
MAX_FAULTS = 20


class Fault(Exception):
    """What is wrong, beginning with where."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def fetch(base, path):
    """The bytes of a file of the log, or None where there is none."""
    try:
        if "://" not in base:
            return pathlib.Path(base, path).read_bytes()
        with urllib.request.urlopen(f"{base.rstrip('/')}/{path}", timeout=30) as response:
            return response.read(WIDTH * (2 + 65535) + 1)  # more than any file of a log has
    except OSError as error:
        if isinstance(error, FileNotFoundError) or getattr(error, "code", 0) == 404:
            return None
        raise Fault(f"{path}: {error}") from error


def name(level, index, width):
    """The path of a tile or bundle: number 1234067 is x001/x234/067."""
    groups = f"{index % 1000:03}"
    while index := index // 1000:
        groups = f"x{index % 1000:03}/{groups}"
    return f"tile/{level}/{groups}" + (f".p/{width}" if width < WIDTH else "")


def read(base, level, index, width):
    """Hashes of a tile, or entries of a bundle; of a partial one that is gone, the first of the full one."""
    for path, wide in dict.fromkeys((name(level, index, w), w) for w in (width, WIDTH)):
        if (data := fetch(base, path)) is not None:
            found = entries(path, data) if level == "entries" else [data[i : i + 32] for i in range(0, len(data), 32)]
            if len(found) != wide or len(found[-1]) != 32 and level != "entries":
                raise Fault(f"{path}: {len(data)} bytes with {len(found)} parts, not {wide} whole ones")
            return found[:width]
    raise Fault(f"{name(level, index, width)}: missing")


def entries(path, data):
    found, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or end == at + 2:
            raise Fault(f"{path}: entry {len(found)} is empty or cut off")
        found.append(data[at + 2 : end])
        at = end
    return found


def fold(nodes):
    """RFC 6962 tree head over nodes of equal height, of which the last may be an incomplete one."""
    if len(nodes) == 1:
        return nodes[0]
    split = 1 << ((len(nodes) - 1).bit_length() - 1)
    return sha256(b"\x01", fold(nodes[:split]), fold(nodes[split:]))


def leaves(base, index, width, faults):
    """Hashes of the entries; where these cannot be had, those of the tile, so that the rest is checked all the same."""
    try:
        return [sha256(b"\x00", entry) for entry in read(base, "entries", index, width)]
    except Fault as fault:
        faults.append(str(fault))
    return read(base, 0, index, width)


def compare(base, level, index, computed, faults):
    """Compares a tile with the hashes that belong in it."""
    try:
        stored = read(base, level, index, len(computed))
    except Fault as fault:
        return faults.append(str(fault))
    if wrong := [at for at in range(len(computed)) if stored[at] != computed[at]]:
        first = index * WIDTH + wrong[0]
        of = name(level - 1, first, WIDTH) if level else f"entry {first}"
        where = name(level, index, len(computed))
        faults.append(f"{where}: {len(wrong)} wrong; hash {wrong[0]} is not that of {of}")


def check(base, size, root):
    """All faults of the tree, and how many files were compared."""
    faults, files, below, edge, count, level = [], 0, [], None, size, 0
    while count:
        above = []
        for start in range(0, count, WIDTH):
            index, width = start // WIDTH, min(WIDTH, count - start)
            computed = below[start : start + width] if level else leaves(base, index, width, faults)
            compare(base, level, index, computed, faults)
            files += 1 if level else 2
            if len(faults) >= MAX_FAULTS:
                return faults + ["more is not looked for"], files
            if width == WIDTH:
                above.append(fold(computed))
            else:  # The right edge: what the levels below have to the right of it comes last.
                edge = fold(computed + ([edge] if edge else []))
        below, count, level = above, count // WIDTH, level + 1
    if (edge := edge or sha256()) != root:
        faults.append(f"root: the entries give {edge.hex()}, not {root.hex()}")
    return faults, files


def arguments(log, size=None, root=None):
    """Size and root, of the checkpoint if they are not given; whoever signed it."""
    if size is None:
        lines = (fetch(log, "checkpoint") or b"").decode(errors="replace").partition("\n\n")[0].split("\n")
        if len(lines) != 3:
            raise Fault("checkpoint: missing, or not the lines of origin, size and root")
        _, size, root = lines
    try:
        digest = bytes.fromhex(root) if len(root) == 64 else base64.b64decode(root, validate=True)
        return int(size), digest
    except ValueError as error:
        raise Fault(f"checkpoint: no size and root: {size} {root}") from error


if len(sys.argv) not in (2, 4):
    print(__doc__, file=sys.stderr)
    sys.exit(2)
try:
    size, root = arguments(*sys.argv[1:])
    faults, files = check(sys.argv[1], size, root)
except Fault as fault:
    faults = [str(fault)]
if faults:
    sys.exit("\n".join(faults))
print(f"{size} entries, {files} tiles and bundles, root {root.hex()}: all agree (signatures not looked at)")
