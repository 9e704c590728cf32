"""An encoder of its own, from the spec alone, the files of vectors, and what is hashed."""
import hashlib
import json
import pathlib
import struct

UNDEFINED = object()
HERE = pathlib.Path(__file__).parent


# ---- the encoding, and the notation ------------------------------------------------------------
def head(major, n):
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | extra]) + n.to_bytes(size, "big")


def floating(x):
    for form, lead in (("e", 0xF9), ("f", 0xFA), ("d", 0xFB)):
        try:
            packed = struct.pack(">" + form, x)
        except OverflowError:
            continue
        if struct.unpack(">" + form, packed)[0] == x:
            return bytes([lead]) + packed


def enc(x):
    if x is None:
        return b"\xf6"
    if x is UNDEFINED:
        return b"\xf7"
    if isinstance(x, bool):
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x) if x >= 0 else head(1, -1 - x)
    if isinstance(x, float):
        return floating(x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(map(enc, x))
    return head(5, len(x)) + b"".join(k + v for k, v in sorted((enc(k), enc(v)) for k, v in x.items()))


def edn(x):
    if x is UNDEFINED:
        return "undefined"
    if isinstance(x, bytes):
        return f"h'{x.hex()}'"
    if isinstance(x, list):
        return "[" + ", ".join(map(edn, x)) + "]"
    if isinstance(x, dict):
        pairs = sorted(x.items(), key=lambda pair: enc(pair[0]))
        return "{" + ", ".join(f"{edn(k)}: {edn(v)}" for k, v in pairs) + "}"
    return json.dumps(x, ensure_ascii=False)


# ---- files ----------------------------------------------------------------------------------------
class File:
    count = 0

    def __init__(self, name, kind, says):
        self.path = HERE / name
        self.names = set()
        self.lines = [f"# {says}", f"kind {kind}"]

    def add(self, *words):
        File.count += 1
        assert words[1] not in self.names, words
        self.names.add(words[1])
        self.lines.append(" ".join(words))

    def say(self, text):
        self.lines += ["", f"# {text}"]

    def value(self, name, rule, x):
        self.add("valid", name, rule, enc(x).hex(), edn(x))

    def frame(self, name, rule, *items, word="valid"):
        self.add(word, name, rule, b"".join(map(enc, items)).hex(), ", ".join(map(edn, items)))

    def bad(self, name, rule, raw, error):
        self.add("invalid", name, rule, raw.replace(" ", "") if isinstance(raw, str) else raw.hex(), error)

    def bad_frame(self, name, rule, items, error="malformed"):
        self.bad(name, rule, b"".join(x if isinstance(x, bytes) else enc(x) for x in items), error)

    def case(self, name, rule, given, expected):
        self.add("valid", name, rule, edn(given), "=>", edn(expected))

    def close(self):
        self.path.write_text("\n".join(self.lines) + "\n")


def nested(depth, leaf=0):
    return leaf if depth == 0 else [nested(depth - 1, leaf)]


# ---- what most cases are about ---------------------------------------------------------------------
R1, R2, R3 = bytes(range(16)), bytes([1] * 16), bytes([2] * 16)
HIST, LINK, FINGER, HASH = bytes(range(8)), bytes(range(0x10, 0x20)), bytes(range(0x20, 0x30)), bytes(range(32))
T1 = ["todos", "t1"]
TITLE, DONE = ["title", 0], ["done", 0]
MAX = 9007199254740991


# ---- what is computed -------------------------------------------------------------------------------
def sha(b):
    return hashlib.sha256(b).digest()


def reading(stamp, base=0):
    ms, counter = stamp if isinstance(stamp, list) else (stamp, 0)
    return base + ms, counter


def literal(pushed, base):
    seq, stamp, *rest = pushed
    extra = rest.pop() if isinstance(rest[-1], dict) else {}
    rows = []
    for record, *ops in rest:
        life = 1
        if ops[:1] == [0]:
            life, ops = ops[1], ops[2:]
        for at in range(0, len(ops), 2):
            if len(ops[at]) == 3:
                ops[at] = ops[at][:2] + [list(reading(ops[at][2], base))]
        rows.append([record, life, *ops])
    return [seq, *reading(stamp, base), rows, extra]


def chain(space, replica, base, pushed):
    links = [sha(enc(["syncline", space, replica]))[:16]]
    for change in pushed:
        digest = change[1] if isinstance(change[1], bytes) else sha(enc(literal(change, base)))
        links.append(sha(links[-1] + digest)[:16])
    return links


def fingerprint(state):
    digests = []
    for (collection, record), life, fields, *further in state:
        if life % 2 == 1:
            for field, rule, key, cell in further[0] if further else []:
                if rule % 8 == 0:
                    cell = [] if cell[2] is UNDEFINED else [*reading(cell[0]), *cell[1:]]
                if cell:
                    digests.append(sha(enc([collection, record, field, rule, key, life, cell])))
            digests.append(sha(enc([collection, record, None, 1, None, life, None])))
            for name, (stamp, author, value) in fields.items():
                if value is not UNDEFINED:
                    digests.append(sha(enc([collection, record, name, 0, None, life, [*reading(stamp), author, value]])))
    total = sum(int.from_bytes(d, "big") for d in digests) % 2**256
    return sha(enc([len(digests), total.to_bytes(32, "big")]))[:16]
