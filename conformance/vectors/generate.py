#!/usr/bin/env python3
"""Writes the vectors beside it. It is an encoder of its own, from the spec alone; no code of the reference goes into an expectation."""
import hashlib
import json
import pathlib
import struct

UNDEFINED = object()
HERE = pathlib.Path(__file__).parent
COUNT = 0


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
    def __init__(self, name, kind, says):
        self.path = HERE / name
        self.names = set()
        self.lines = [f"# {says}", f"kind {kind}"]

    def add(self, *words):
        global COUNT
        COUNT += 1
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


def values():
    f = File("value.vec", "value", "Values and their one encoding. Spec 3.")
    f.say("Integers: the shortest form on both sides of each boundary.")
    for n in (0, 1, 23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991):
        f.value(f"int-{n}", "CODEC-1", n)
        f.value(f"int-minus-{n + 1 if n < 9007199254740991 else n}", "CODEC-1", -n - 1 if n < 9007199254740991 else -n)
    for raw, name in (("1800", "0-in-2-bytes"), ("1817", "23-in-2-bytes"), ("190018", "24-in-3-bytes"), ("1900ff", "255-in-3-bytes"),
                      ("1a0000ffff", "65535-in-5-bytes"), ("1b00000000ffffffff", "2-to-the-32-less-1-in-9-bytes"), ("3800", "minus-1-in-2-bytes"),
                      ("3900ff", "minus-256-in-3-bytes"), ("3a0000ffff", "minus-65536-in-5-bytes")):
        f.bad(f"int-{name}", "CODEC-1", raw, "not-canonical")
    f.bad("int-2-to-the-53", "CODEC-3", "1b0020000000000000", "not-canonical")
    f.bad("int-minus-2-to-the-53", "CODEC-3", "3b001fffffffffffff", "not-canonical")
    f.bad("int-2-to-the-64-less-1", "CODEC-3", "1bffffffffffffffff", "not-canonical")
    f.bad("int-bignum", "CODEC-8", "c249010000000000000000", "malformed")
    f.say("Floats: in half, single or double precision, never a whole number that an integer holds.")
    for name, x in (("half", 1.5), ("half-negative", -0.5), ("half-least", 2.0**-24), ("half-greatest-fraction", 1023.5), ("single", 100000.5),
                    ("single-least", 2.0**-149), ("double", 1.1), ("double-least", 5e-324), ("double-greatest", 1.7976931348623157e308),
                    ("whole-2-to-the-53", 2.0**53), ("whole-minus-2-to-the-53", -(2.0**53)), ("whole-1e300", 1e300)):
        f.value(f"float-{name}", "CODEC-1" if "whole" not in name else "CODEC-2", x)
    f.bad("float-half-as-single", "CODEC-1", "fa3fc00000", "not-canonical")
    f.bad("float-half-as-double", "CODEC-1", "fb3ff8000000000000", "not-canonical")
    f.bad("float-single-as-double", "CODEC-1", "fb40f86a0800000000", "not-canonical")
    f.bad("float-one", "CODEC-2", "f93c00", "not-canonical")
    f.bad("float-zero", "CODEC-2", "f90000", "not-canonical")
    f.bad("float-whole-double", "CODEC-2", "fb433fffffffffffff", "not-canonical")
    f.bad("float-minus-zero", "CODEC-4", "f98000", "not-canonical")
    f.bad("float-infinity", "CODEC-4", "f97c00", "not-canonical")
    f.bad("float-minus-infinity", "CODEC-4", "f9fc00", "not-canonical")
    f.bad("float-nan", "CODEC-4", "f97e00", "not-canonical")
    f.bad("float-nan-with-payload", "CODEC-4", "fb7ff8000000000001", "not-canonical")
    f.say("Simple values and tags.")
    f.value("null", "CODEC-8", None)
    f.value("false", "CODEC-8", False)
    f.value("true", "CODEC-8", True)
    for name, raw in (("undefined", "f7"), ("simple-0", "e0"), ("simple-32", "f820"), ("simple-true-in-2-bytes", "f815"), ("break", "ff"),
                      ("reserved-28", "1c"), ("reserved-float-31-of-major-0", "1f")):
        f.bad(name, "CODEC-8" if "reserved" not in name and name != "break" else "CODEC-13", raw, "malformed")
    f.bad("tag-date", "CODEC-8", "c074323031332d30332d32315432303a30343a30305a", "malformed")
    f.bad("tag-self-described", "CODEC-8", "d9d9f700", "malformed")
    f.bad("undefined-in-an-array", "CODEC-8", "81f7", "malformed")
    f.say("Text and bytes.")
    for name, s in (("empty", ""), ("ascii", "Buy milk"), ("of-23-bytes", "a" * 23), ("of-24-bytes", "a" * 24), ("of-256-bytes", "a" * 256), ("astral", "𝄞"),
                    ("composed", "é"), ("decomposed", "e\u0301"), ("quoted", 'a "b" \\ c'), ("with-a-null-byte", "a\u0000b"), ("with-an-escape", "\u001b[2J")):
        f.value(f"text-{name}", "CODEC-7", s)
    for name, b in (("empty", b""), ("short", b"\1\2"), ("of-24-bytes", bytes(24)), ("of-256-bytes", bytes(256))):
        f.value(f"bytes-{name}", "CODEC-1", b)
    f.bad("text-long-length", "CODEC-1", "780161", "not-canonical")
    f.bad("bytes-long-length", "CODEC-1", "590001ff", "not-canonical")
    f.bad("text-indefinite", "CODEC-6", "7f6161ff", "not-canonical")
    f.bad("bytes-indefinite", "CODEC-6", "5f4101ff", "not-canonical")
    for name, raw in (("lone-continuation", "6180"), ("cut-short", "61c3"), ("overlong", "62c080"), ("surrogate", "63eda080"), ("beyond-unicode", "64f4908080")):
        f.bad(f"text-utf8-{name}", "CODEC-7", raw, "malformed")
    f.say("Arrays and maps.")
    f.value("array-empty", "CODEC-6", [])
    f.value("array-mixed", "CODEC-1", [1, -1, 1.5, None, True, "a", b"\1", [], {}])
    f.value("array-of-24", "CODEC-1", list(range(24)))
    f.value("array-depth-16", "CODEC-10", nested(16))
    f.value("map-empty", "CODEC-6", {})
    f.value("map-two", "CODEC-5", {"a": 1, "b": 2})
    f.value("map-shorter-keys-first", "CODEC-5", {"b": 1, "aa": 2})
    f.value("map-empty-key", "CODEC-5", {"": 0, "a": 1})
    f.value("map-non-ascii-keys", "CODEC-5", {"z": 1, "é": 2})
    f.value("map-in-map", "CODEC-5", {"a": {"a": [{}]}})
    f.value("map-depth-16", "CODEC-10", [{"a": nested(14)}])
    f.bad("array-depth-17", "CODEC-10", enc(nested(17)), "malformed")
    f.bad("map-depth-17", "CODEC-10", enc([{"a": nested(15)}]), "malformed")
    f.bad("array-long-length", "CODEC-1", "980100", "not-canonical")
    f.bad("array-indefinite", "CODEC-6", "9f00ff", "not-canonical")
    f.bad("map-long-length", "CODEC-1", "b801616100", "not-canonical")
    f.bad("map-indefinite", "CODEC-6", "bf616100ff", "not-canonical")
    f.bad("map-unsorted", "CODEC-5", "a2616200616100", "not-canonical")
    f.bad("map-unsorted-by-length", "CODEC-5", "a262616100616200", "not-canonical")
    f.bad("map-key-twice", "CODEC-5", "a2616100616101", "not-canonical")
    f.bad("map-key-number", "CODEC-9", "a10000", "malformed")
    f.bad("map-key-bytes", "CODEC-9", "a1416100", "malformed")
    f.say("Lengths.")
    for name, raw in (("nothing", ""), ("int-cut-short", "19"), ("text-cut-short", "6261"), ("array-cut-short", "8200"), ("map-cut-short", "a16161"),
                      ("float-cut-short", "f93c"), ("array-of-4-billion", "9affffffff"), ("text-of-4-billion", "7affffffff")):
        if raw:
            f.bad(name, "CODEC-11" if "billion" not in name else "CODEC-14", raw, "malformed")
    f.bad("trailing-byte", "CODEC-11", "0000", "malformed")
    f.close()


R1, R2, R3 = bytes(range(16)), bytes([1] * 16), bytes([2] * 16)
HIST, LINK, FINGER, HASH = bytes(range(8)), bytes(range(0x10, 0x20)), bytes(range(0x20, 0x30)), bytes(range(32))
T1 = ["todos", "t1"]
TITLE, DONE = ["title", 0], ["done", 0]
MAX = 9007199254740991


def frames():
    f = File("frame.vec", "frame", "Frames: every message, each way to be wrong. Spec 3 and 7. Base-ms is 0 and only core is agreed.")
    ok, bad = f.frame, f.bad_frame
    hello, welcome = [0, [1], [0], {}, None], [1, 1, [0], {}, 1700000000000]
    opening, opened = [2, "home", R1, 0, None], [3, 0, HIST, 0, LINK, 1700000000000, 1]
    row = [T1, TITLE, "a"]
    push, ack, reject = [5, [1, 5, row]], [6, 1, 1, 1], [7, 2, 2, 32, 1, 1700000000000]
    change, void = [8, 3, R1, 2, 5, row], [21, 4, R1, 3, 33]
    states, mark = [9, True, 2, HIST, [R1, 5, row]], [10, 2, HIST, FINGER]
    error, bye = [13, 1, 0, None, "not a frame"], [14, 5000]
    f.say("The connection.")
    ok("hello", "SESS-1", 0, hello)
    ok("hello-with-all", "SESS-1", 0, [0, [1, 2], [0, 2, 9], {0: 1048576, 4: 65536}, "secret"])
    ok("welcome", "SESS-2", 0, welcome)
    ok("welcome-with-limits", "SESS-2", 0, [1, 1, [0], {0: 1048576, 5: 64}, 0])
    ok("welcome-at-the-last-time", "SESS-2", 0, [1, 1, [0], {}, 2**47 - 1])
    ok("ping", "SESS-6", 0, [11, 7])
    ok("ping-greatest", "SESS-6", 0, [11, MAX])
    ok("pong", "SESS-6", 0, [12, 7, 1700000000000])
    ok("bye", "SESS-9", 0, bye)
    ok("error", "ERROR-2", 0, error)
    ok("error-with-detail", "ERROR-2", 0, [13, 3, 0, 1048576, ""])
    ok("error-on-a-channel", "ERROR-3", 1, [13, 10, 1, 4, "expected seq 4"])
    ok("error-unknown-code", "SESS-25", 0, [13, 9999, 2, 1000, "later"])
    ok("error-text-of-256-bytes", "LIMIT-7", 0, [13, 1, 0, None, "a" * 256])
    ok("two-messages", "FRAME-1", 0, [11, 7], [12, 8, 0])
    f.say("A space.")
    ok("open", "SESS-15", 1, opening)
    ok("open-with-cursor", "SESS-15", 65535, [2, "home", R1, 7, [12, HIST]])
    ok("open-with-staged-parts", "SYNC-27", 1, [2, "home", R1, 7, [12, HIST, 40]])
    ok("open-staged-at-the-position", "SYNC-32", 1, [2, "home", R1, 7, [12, HIST, 12]])
    ok("open-staged-in-a-reset", "SYNC-30", 1, [2, "home", R1, 7, [0, HIST, 40]])
    ok("open-name-of-128-bytes", "MODEL-8", 1, [2, "é" * 64, R1, 0, None])
    ok("opened", "SESS-15", 1, opened)
    ok("opened-without-reset", "SYNC-4", 1, [3, MAX, HIST, MAX, LINK, 0, 0])
    ok("shut", "SESS-17", 1, [4])
    ok("push", "IDENT-3", 1, push)
    ok("push-two", "IDENT-3", 1, [5, [1, 5, row], [2, [5, 1], row]])
    ok("push-counter-greatest", "CLOCK-1", 1, [5, [1, [5, 65535], row]])
    ok("push-two-rows", "MODEL-6", 1, [5, [1, 5, row, [["todos", "t2"], DONE, True, TITLE, "b"]]])
    ok("push-rows-by-bytes", "MODEL-6", 1, [5, [1, 5, [["b", "z"]], [["b", "é"]], [["ba", "a"]]]])
    ok("push-fields-by-bytes", "MODEL-6", 1, [5, [1, 5, [T1, ["aa", 0], 1, ["b", 0], 2]]])
    ok("push-create", "MODEL-7", 1, [5, [1, 5, [T1]]])
    ok("push-delete", "MODEL-7", 1, [5, [1, 5, [T1, 0, 2]]])
    ok("push-life-3", "MERGE-2", 1, [5, [1, 5, [T1, 0, 3, TITLE, "a"]]])
    ok("push-unset", "MERGE-10", 1, [5, [1, 5, [T1, TITLE, UNDEFINED]]])
    ok("push-null", "MERGE-11", 1, [5, [1, 5, [T1, TITLE, None]]])
    ok("push-after", "CLOCK-7", 1, [5, [1, 5, [T1, ["title", 0, 9], "a"]]])
    ok("push-after-own-reading", "CLOCK-7", 1, [5, [1, 5, [T1, ["title", 0, 5], "a"]]])
    ok("push-after-with-counter", "CLOCK-7", 1, [5, [1, 5, [T1, ["title", 0, [5, 3]], "a"]]])
    ok("push-origin", "IDENT-14", 1, [5, [1, 5, row, {0: [R2, 7, LINK]}]])
    ok("push-skip", "IDENT-20", 1, [5, [1, HASH], [2, 5, row]])
    ok("push-value-whole", "CODEC-5", 1, [5, [1, 5, [T1, TITLE, {"a": [1, 1.5, b"\1", None, True]}]]])
    ok("ack", "SESS-22", 1, ack)
    ok("ack-replicated", "SESS-22", 1, [6, 1, 1, 2])
    ok("reject", "IDENT-21", 1, reject)
    ok("reject-without-detail", "IDENT-21", 1, [7, 2, 2, 33, 0, None])
    ok("change", "SESS-20", 1, change)
    ok("change-with-origin", "IDENT-14", 1, [8, 3, R1, 2, [5, 1], row, {0: [R2, 7, LINK]}])
    ok("void", "IDENT-23", 1, void)
    ok("states", "SYNC-8", 1, states)
    ok("states-empty", "SYNC-26", 1, [9, True, 0, HIST])
    ok("states-not-last", "SYNC-8", 1, [9, False, 2, HIST, [R1, 5, row]])
    ok("states-of-two-authors", "SYNC-12", 1, [9, True, 3, HIST, [R1, 5, row], [R2, [5, 1], [["todos", "t2"], DONE, UNDEFINED]]])
    ok("states-outcome-accepted", "SYNC-11", 1, [9, True, 2, HIST, [-3, 1, LINK, 0, 0, None]])
    ok("states-outcome-rejected", "SYNC-11", 1, [9, True, 2, HIST, [-3, 1, LINK, 32, 1, 1700000000000]])
    ok("states-lives", "SYNC-12", 1, [9, True, 2, HIST, [-4, [["todos", "t2"], 0, 2], [["todos", "t3"]]]])
    ok("mark", "SYNC-18", 1, mark)
    ok("mark-backed-up", "IDENT-18", 1, [10, 2, HIST, FINGER, {1: 1}])
    f.say("Accepted, though what is unknown in them is left out or judged elsewhere.")
    ok("extension-ignored", "FRAME-2", 0, [11, 7, {5: "x"}], word="accepts")
    ok("extension-zero-ignored", "FRAME-2", 1, [4, {0: None}], word="accepts")
    ok("extension-nested-ignored", "FRAME-2", 1, [10, 2, HIST, FINGER, {9: {"a": [1, 2]}}], word="accepts")
    ok("limit-key-unknown", "LIMIT-8", 0, [0, [1], [0], {99: 1}, None], word="accepts")
    ok("profile-unknown", "SESS-4", 0, [0, [1], [0, 999], {}, None], word="accepts")
    ok("change-key-unknown", "FRAME-7", 1, [5, [1, 5, row, {99: True}]], word="accepts")
    ok("change-key-of-a-profile", "FRAME-7", 1, [5, [1, 5, row, {1: [[T1, TITLE, None]]}]], word="accepts")
    ok("rule-of-a-profile", "FRAME-8", 1, [5, [1, 5, [T1, ["votes", 3], 1]]], word="accepts")
    f.say("Frames as such.")
    f.bad("frame-of-a-channel-only", "FRAME-1", "00", "malformed")
    bad("frame-channel-65536", "CODEC-13", [65536, [4]])
    bad("frame-channel-negative", "CODEC-13", [-1, [4]])
    bad("frame-channel-text", "CODEC-13", ["a", [4]])
    f.bad("frame-channel-in-2-bytes", "CODEC-1", "18008104", "not-canonical")
    bad("frame-cut-short", "CODEC-11", [0, enc(hello)[:-1]])
    bad("frame-trailing-byte", "CODEC-11", [0, enc([11, 7]), b"\x00"])
    bad("frame-message-a-map", "CODEC-13", [0, {0: 11}])
    bad("frame-message-empty", "CODEC-13", [0, []])
    bad("frame-code-text", "CODEC-13", [0, ["ping", 7]])
    bad("frame-code-negative", "CODEC-13", [0, [-1, 7]])
    bad("frame-second-message-wrong", "CODEC-13", [0, [11, 7], [11]])
    f.bad("frame-indefinite-message", "CODEC-6", "009f0b07ff", "not-canonical")
    f.bad("frame-code-in-2-bytes", "CODEC-1", "0082180b07", "not-canonical")
    f.bad("frame-long-array-length", "CODEC-1", "0098020b07", "not-canonical")
    f.bad("frame-tagged-message", "CODEC-8", "00c1820b07", "malformed")
    f.say("Messages that nobody agreed to.")
    bad("unknown-code", "FRAME-4", [0, [99, 1]], "unknown-message")
    bad("unknown-code-on-a-space", "FRAME-4", [1, [22]], "unknown-message")
    for code, name, fields in ((15, "auth", ["secret"]), (16, "credit", [1024]), (17, "ranges", [1, []]), (18, "presence", [R1, 1, 1000, None]),
                               (19, "signal", [R1, b"\1"]), (20, "packed", [0, b"\1"])):
        bad(f"{name}-not-agreed", "FRAME-4", [0 if code == 15 else 1, [code, *fields]], "unknown-message")
    f.say("Extensions.")
    bad("extension-critical", "FRAME-3", [0, [11, 7, {-1: 1}]], "critical-extension")
    bad("extension-critical-beside-known", "FRAME-3", [1, [10, 2, HIST, FINGER, {1: 1, -1: 1}]], "critical-extension")
    bad("extension-empty", "FRAME-6", [0, [11, 7, {}]])
    bad("extension-key-text", "CODEC-13", [0, [11, 7, {"a": 1}]])
    bad("extension-unsorted", "CODEC-5", [0, b"\x83\x0b\x07\xa2\x06\x01\x05\x01"], "not-canonical")
    bad("extension-key-twice", "CODEC-5", [0, b"\x83\x0b\x07\xa2\x05\x01\x05\x01"], "not-canonical")
    bad("extension-value-not-canonical", "CODEC-1", [0, b"\x83\x0b\x07\xa1\x05\x18\x01"], "not-canonical")
    bad("extension-twice", "CODEC-13", [0, [11, 7, {5: 1}, {6: 1}]])
    f.say("Fields that are missing, too many, or of the wrong kind.")
    named = dict(hello=(0, hello), welcome=(0, welcome), ping=(0, [11, 7]), pong=(0, [12, 7, 0]), bye=(0, bye), error=(0, error), open=(1, opening),
                 opened=(1, opened), push=(1, push), ack=(1, ack), reject=(1, reject), change=(1, change), void=(1, void), states=(1, states[:4]), mark=(1, mark))
    for name, (channel, message) in named.items():
        bad(f"{name}-field-missing", "CODEC-13", [channel, message[:-1]])
        if name not in ("push", "change", "states"):
            bad(f"{name}-field-too-many", "CODEC-13", [channel, [*message, 0]])
    bad("shut-field-too-many", "CODEC-13", [1, [4, 0]])
    bad("hello-versions-empty", "CODEC-13", [0, [0, [], [0], {}, None]])
    bad("hello-version-negative", "CODEC-13", [0, [0, [-1], [0], {}, None]])
    bad("hello-limits-an-array", "CODEC-13", [0, [0, [1], [0], [], None]])
    bad("hello-token-bytes", "CODEC-13", [0, [0, [1], [0], {}, b"\1"]])
    bad("hello-token-empty", "CODEC-13", [0, [0, [1], [0], {}, ""]])
    bad("hello-token-of-4097-bytes", "CODEC-13", [0, [0, [1], [0], {}, "a" * 4097]])
    bad("hello-limits-unsorted", "CODEC-5", [0, b"\x85\x00\x81\x01\x81\x00\xa2\x05\x01\x00\x01\xf6"], "not-canonical")
    bad("welcome-time-negative", "CODEC-13", [0, [1, 1, [0], {}, -1]])
    bad("welcome-time-2-to-the-47", "CODEC-13", [0, [1, 1, [0], {}, 2**47]])
    bad("ping-negative", "CODEC-13", [0, [11, -1]])
    bad("ping-float", "CODEC-13", [0, [11, 1.5]])
    bad("bye-a-day-and-more", "CODEC-13", [0, [14, 86400001]])
    bad("error-class-4", "CODEC-13", [0, [13, 1, 4, None, ""]])
    bad("error-text-of-257-bytes", "LIMIT-7", [0, [13, 1, 0, None, "a" * 257]])
    bad("error-detail-text", "CODEC-13", [0, [13, 1, 0, "a", ""]])
    bad("open-name-empty", "MODEL-8", [1, [2, "", R1, 0, None]])
    bad("open-name-of-129-bytes", "LIMIT-5", [1, [2, "a" * 129, R1, 0, None]])
    bad("open-replica-of-15-bytes", "CODEC-13", [1, [2, "home", R1[:15], 0, None]])
    bad("open-settled-negative", "CODEC-13", [1, [2, "home", R1, -1, None]])
    bad("open-history-of-7-bytes", "CODEC-13", [1, [2, "home", R1, 0, [1, HIST[:7]]]])
    bad("open-staged-below-the-position", "SYNC-32", [1, [2, "home", R1, 0, [12, HIST, 11]]])
    bad("open-cursor-of-four-items", "CODEC-13", [1, [2, "home", R1, 0, [12, HIST, 13, 14]]])
    bad("opened-link-of-32-bytes", "CODEC-13", [1, [3, 0, HIST, 0, HASH, 0, 1]])
    bad("opened-reset-5", "CODEC-13", [1, [3, 0, HIST, 0, LINK, 0, 5]])
    bad("ack-seq-0", "CODEC-13", [1, [6, 0, 1, 1]])
    bad("ack-durability-0", "CODEC-13", [1, [6, 1, 1, 0]])
    bad("ack-durability-3", "CODEC-13", [1, [6, 1, 1, 3]])
    bad("ack-of-a-replica", "PROFILE-3", [1, [6, 1, 1, 1, R1]])
    bad("mark-fingerprint-of-32-bytes", "CODEC-13", [1, [10, 2, HIST, HASH]])
    bad("states-last-a-number", "CODEC-13", [1, [9, 1, 2, HIST]])
    bad("states-item-tag-unknown", "CODEC-13", [1, [9, True, 2, HIST, [-9, 1]]])
    bad("states-item-empty", "CODEC-13", [1, [9, True, 2, HIST, []]])
    bad("states-group-without-rows", "CODEC-13", [1, [9, True, 2, HIST, [R1, 5]]])
    bad("states-outcome-class-4", "CODEC-13", [1, [9, True, 2, HIST, [-3, 1, LINK, 32, 4, None]]])
    bad("states-lives-empty", "CODEC-13", [1, [9, True, 2, HIST, [-4]]])
    bad("states-sheet", "PROFILE-3", [1, [9, True, 2, HIST, [-1, "todos", 1, ["t1"], [[1, R1, 5]], TITLE, ["a"]]]])
    bad("states-settled", "PROFILE-3", [1, [9, True, 2, HIST, [-2, R2, 1, LINK]]])
    bad("states-keyed", "PROFILE-3", [1, [9, True, 2, HIST, [-5, R2, 1, [T1, ["votes", 3], 1]]]])
    bad("states-author-a-number", "PROFILE-3", [1, [9, True, 2, HIST, [7, 5, row]]])
    f.say("Changes.")
    bad("push-of-a-replica", "PROFILE-3", [1, [5, R1, [1, 5, row]]])
    bad("push-seq-0", "CODEC-13", [1, [5, [0, 5, row]]])
    bad("push-seq-2-to-the-53", "CODEC-3", [1, b"\x82\x05\x83\x1b\x00\x20\x00\x00\x00\x00\x00\x00\x05" + enc(row)], "not-canonical")
    bad("push-without-rows", "CODEC-13", [1, [5, [1, 5]]])
    bad("push-counter-0", "CLOCK-1", [1, [5, [1, [5, 0], row]]])
    bad("push-counter-65536", "CLOCK-1", [1, [5, [1, [5, 65536], row]]])
    bad("push-reading-before-1970", "CLOCK-1", [1, [5, [1, -1, row]]])
    bad("push-reading-2-to-the-47", "CLOCK-1", [1, [5, [1, 2**47, row]]])
    bad("push-after-below-own-reading", "CLOCK-8", [1, [5, [1, 5, [T1, ["title", 0, 4], "a"]]]])
    bad("push-after-counter-below-own", "CLOCK-8", [1, [5, [1, [5, 2], [T1, ["title", 0, [5, 1]], "a"]]]])
    bad("push-life-1-written", "CODEC-13", [1, [5, [1, 5, [T1, 0, 1, TITLE, "a"]]]])
    bad("push-life-0", "CODEC-13", [1, [5, [1, 5, [T1, 0, 0]]]])
    bad("push-even-life-with-an-op", "MODEL-7", [1, [5, [1, 5, [T1, 0, 2, TITLE, "a"]]]])
    bad("push-record-twice", "MODEL-5", [1, [5, [1, 5, row, row]]])
    bad("push-rows-unsorted", "MODEL-6", [1, [5, [1, 5, [["todos", "t2"]], [T1]]]])
    bad("push-collections-unsorted", "MODEL-6", [1, [5, [1, 5, [["todos", "a"]], [["lists", "b"]]]]])
    bad("push-cell-twice", "MODEL-5", [1, [5, [1, 5, [T1, TITLE, "a", TITLE, "b"]]]])
    bad("push-columns-unsorted", "MODEL-6", [1, [5, [1, 5, [T1, TITLE, "a", DONE, True]]]])
    bad("push-columns-by-length", "MODEL-6", [1, [5, [1, 5, [T1, ["b", 0], 1, ["aa", 0], 2]]]])
    bad("push-column-without-op", "CODEC-13", [1, [5, [1, 5, [T1, TITLE]]]])
    bad("push-field-empty", "MODEL-8", [1, [5, [1, 5, [T1, ["", 0], 1]]]])
    bad("push-field-of-65-bytes", "LIMIT-5", [1, [5, [1, 5, [T1, ["a" * 65, 0], 1]]]])
    bad("push-collection-empty", "MODEL-8", [1, [5, [1, 5, [["", "t1"]]]]])
    bad("push-collection-of-65-bytes", "LIMIT-5", [1, [5, [1, 5, [["a" * 65, "t1"]]]]])
    bad("push-record-empty", "MODEL-8", [1, [5, [1, 5, [["todos", ""]]]]])
    bad("push-record-of-129-bytes", "LIMIT-5", [1, [5, [1, 5, [["todos", "a" * 129]]]]])
    bad("push-record-a-number", "PROFILE-3", [1, [5, [1, 5, [7, TITLE, "a"]]]])
    bad("push-record-announced", "PROFILE-3", [1, [5, [1, 5, [[7, "todos", "t1"], TITLE, "a"]]]])
    bad("push-column-a-number", "PROFILE-3", [1, [5, [1, 5, [T1, 3, "a"]]]])
    bad("push-value-depth-17", "CODEC-10", [1, [5, [1, 5, [T1, TITLE, nested(17)]]]])
    bad("push-value-tagged", "CODEC-8", [1, b"\x82\x05\x83\x01\x05\x83" + enc(T1) + enc(TITLE) + b"\xc1\x00"])
    bad("push-value-key-number", "CODEC-9", [1, [5, [1, 5, [T1, TITLE, {1: 2}]]]])
    bad("push-value-undefined-inside", "CODEC-8", [1, [5, [1, 5, [T1, TITLE, [UNDEFINED]]]]])
    bad("push-value-a-whole-float", "CODEC-2", [1, b"\x82\x05\x83\x01\x05\x83" + enc(T1) + enc(TITLE) + b"\xf9\x3c\x00"], "not-canonical")
    bad("push-change-map-empty", "CODEC-13", [1, [5, [1, 5, row, {}]]])
    bad("push-change-key-negative", "CODEC-13", [1, [5, [1, 5, row, {-1: 0}]]])
    bad("push-origin-seq-0", "CODEC-13", [1, [5, [1, 5, row, {0: [R2, 0, LINK]}]]])
    bad("push-skip-hash-of-31-bytes", "CODEC-13", [1, [5, [1, HASH[:31]]]])
    bad("change-author-a-number", "PROFILE-3", [1, [8, 3, 1, 2, 5, row]])
    bad("change-without-rows", "CODEC-13", [1, [8, 3, R1, 2, 5]])
    f.close()


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


def links():
    f = File("link.vec", "link", "The chain: [space, replica, base-ms, pushed changes] => the start and the link at each. Spec 6.")
    row = [T1, TITLE, "a"]
    first, base = [1, 5, row], 1700000000000
    cases = [("start", "IDENT-2", "home", R1, 0, []), ("start-of-another-space", "IDENT-2", "work", R1, 0, []),
             ("start-of-another-replica", "IDENT-2", "home", R2, 0, []), ("one-change", "IDENT-2", "home", R1, 0, [first]),
             ("same-change-other-base", "IDENT-2", "home", R1, 5, [[1, 0, row]]), ("base-of-today", "IDENT-2", "home", R1, base, [[1, -12, row]]),
             ("counter", "CLOCK-1", "home", R1, base, [[1, [7, 3], row]]), ("two-changes", "IDENT-3", "home", R1, 0, [first, [2, 6, [T1, 0, 2]]]),
             ("life-written", "MODEL-7", "home", R1, 0, [[1, 5, [T1, 0, 3, TITLE, "a"]]]), ("row-without-ops", "MODEL-7", "home", R1, 0, [[1, 5, [T1]]]),
             ("unset", "MERGE-10", "home", R1, 0, [[1, 5, [T1, TITLE, UNDEFINED]]]), ("after", "CLOCK-7", "home", R1, base, [[1, 5, [T1, ["title", 0, 9], "a"]]]),
             ("after-with-counter", "CLOCK-7", "home", R1, base, [[1, 5, [T1, ["title", 0, [9, 65535]], "a"]]]),
             ("origin", "IDENT-14", "home", R1, 0, [[1, 5, row, {0: [R2, 7, LINK]}]]), ("two-rows", "MODEL-6", "home", R1, 0, [[1, 5, row, [["todos", "t2"], DONE, True, TITLE, {"b": 1.5}]]])]
    for name, rule, *given in cases:
        f.case(name, rule, given, chain(*given))
    skipped = [first, [2, sha(enc(literal([2, 6, [T1, 0, 2]], 0)))], [3, 7, [T1]]]
    whole = [first, [2, 6, [T1, 0, 2]], [3, 7, [T1]]]
    assert chain("home", R1, 0, skipped) == chain("home", R1, 0, whole)
    f.case("skip", "IDENT-20", ["home", R1, 0, skipped], chain("home", R1, 0, skipped))
    f.case("the-same-without-skip", "IDENT-20", ["home", R1, 0, whole], chain("home", R1, 0, whole))
    f.close()


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


def fingerprints():
    f = File("fingerprint.vec", "fingerprint", "A state => its fingerprint on the wire. Spec 8.")
    a, b = [5, R2, "a"], [[5, 1], R3, True]
    cases = {"empty": [], "one-record": [[T1, 1, {}]], "one-cell": [[T1, 1, {"title": a}]], "two-cells": [[T1, 1, {"done": b, "title": a}]],
             "two-records": [[T1, 1, {"title": a}], [["todos", "t2"], 1, {"title": b}]], "two-collections": [[["lists", "l1"], 1, {}], [T1, 1, {"title": a}]],
             "unset-does-not-count": [[T1, 1, {"done": [6, R2, UNDEFINED], "title": a}]], "deleted-does-not-count": [[T1, 1, {"title": a}], [["todos", "t2"], 2, {}]],
             "life-3": [[T1, 3, {"title": a}]], "null-counts": [[T1, 1, {"title": [5, R2, None]}]], "another-author": [[T1, 1, {"title": [5, R3, "a"]}]],
             "another-reading": [[T1, 1, {"title": [6, R2, "a"]}]], "a-hundred-records": [[["todos", f"t{n:02}"], 1, {"title": [n, R2, n]}] for n in range(100)]}
    assert fingerprint(cases["one-cell"]) == fingerprint(cases["unset-does-not-count"]) == fingerprint(cases["deleted-does-not-count"])
    for name, state in cases.items():
        f.case(name, "SYNC-18", state, fingerprint(state))
    f.close()


def merges():
    f = File("merge.vec", "merge", "[state, changes as [author, stamp, + row]] => the state after them. Spec 5. Expected states are written by hand.")
    def t(life, **fields):
        return [[T1, life, fields]]
    def case(name, rule, state, changes, expected):
        f.case(name, rule, [state, changes], expected)
    a5 = [5, R2, "a"]
    case("create", "MERGE-2", [], [[R2, 5, [T1]]], t(1))
    case("create-with-a-field", "MERGE-2", [], [[R2, 5, [T1, TITLE, "a"]]], t(1, title=a5))
    case("delete", "MERGE-3", t(1, title=a5), [[R3, 6, [T1, 0, 2]]], t(2))
    case("delete-with-an-older-clock", "MERGE-3", t(1, title=a5), [[R3, 1, [T1, 0, 2]]], t(2))
    case("re-create", "MERGE-2", t(2), [[R3, 6, [T1, 0, 3, TITLE, "b"]]], t(3, title=[6, R3, "b"]))
    case("write-to-a-former-life", "MERGE-4", t(3, title=a5), [[R3, 9, [T1, TITLE, "b"]]], t(3, title=a5))
    case("write-to-a-deleted-record", "MERGE-4", t(2), [[R3, 9, [T1, TITLE, "b"]]], t(2))
    case("a-higher-life-drops-cells", "MERGE-3", t(1, title=a5), [[R3, 6, [T1, 0, 2]], [R3, 7, [T1, 0, 3, DONE, True]]], t(3, done=[7, R3, True]))
    case("delete-twice", "MERGE-1", t(1, title=a5), [[R2, 6, [T1, 0, 2]], [R3, 7, [T1, 0, 2]]], t(2))
    case("greater-reading-wins", "MERGE-8", t(1, title=a5), [[R3, 6, [T1, TITLE, "b"]]], t(1, title=[6, R3, "b"]))
    case("lesser-reading-loses", "MERGE-8", t(1, title=a5), [[R3, 4, [T1, TITLE, "b"]]], t(1, title=a5))
    case("counter-decides", "MERGE-8", t(1, title=a5), [[R2, [5, 1], [T1, TITLE, "b"]]], t(1, title=[[5, 1], R2, "b"]))
    case("counter-below-milliseconds", "MERGE-8", t(1, title=[6, R2, "a"]), [[R3, [5, 65535], [T1, TITLE, "b"]]], t(1, title=[6, R2, "a"]))
    case("greater-replica-wins-a-tie", "MERGE-8", t(1, title=a5), [[R3, 5, [T1, TITLE, "b"]]], t(1, title=[5, R3, "b"]))
    case("lesser-replica-loses-a-tie", "MERGE-8", t(1, title=[5, R3, "a"]), [[R2, 5, [T1, TITLE, "b"]]], t(1, title=[5, R3, "a"]))
    case("equal-stamps-greater-bytes-win", "MERGE-9", t(1, title=a5), [[R2, 5, [T1, TITLE, "b"]]], t(1, title=[5, R2, "b"]))
    case("equal-stamps-lesser-bytes-lose", "MERGE-9", t(1, title=[5, R2, "b"]), [[R2, 5, [T1, TITLE, "a"]]], t(1, title=[5, R2, "b"]))
    case("equal-stamps-bytes-not-values", "MERGE-9", t(1, title=[5, R2, 7]), [[R2, 5, [T1, TITLE, -1]]], t(1, title=[5, R2, -1]))
    case("equal-stamps-longer-text-wins", "MERGE-9", t(1, title=[5, R2, "z"]), [[R2, 5, [T1, TITLE, "aa"]]], t(1, title=[5, R2, "aa"]))
    case("equal-stamps-unset-loses", "MERGE-9", t(1, title=[5, R2, 0]), [[R2, 5, [T1, TITLE, UNDEFINED]]], t(1, title=[5, R2, 0]))
    case("equal-stamps-value-beats-unset", "MERGE-9", t(1, title=[5, R2, UNDEFINED]), [[R2, 5, [T1, TITLE, 0]]], t(1, title=[5, R2, 0]))
    case("unset-wins-later", "MERGE-10", t(1, title=a5), [[R3, 6, [T1, TITLE, UNDEFINED]]], t(1, title=[6, R3, UNDEFINED]))
    case("unset-keeps-its-stamp", "MERGE-10", t(1, title=[6, R3, UNDEFINED]), [[R2, 5, [T1, TITLE, "b"]]], t(1, title=[6, R3, UNDEFINED]))
    case("unset-of-what-is-not-there", "MERGE-10", t(1), [[R3, 6, [T1, TITLE, UNDEFINED]]], t(1, title=[6, R3, UNDEFINED]))
    case("null-is-a-value", "MERGE-11", t(1, title=a5), [[R3, 6, [T1, TITLE, None]]], t(1, title=[6, R3, None]))
    case("fields-merge-apart", "MERGE-8", t(1, done=[9, R2, True], title=a5), [[R3, 6, [T1, DONE, False, TITLE, "b"]]], t(1, done=[9, R2, True], title=[6, R3, "b"]))
    case("after-wins-over-the-future", "CLOCK-7", t(1, title=[900, R2, "a"]), [[R3, 6, [T1, ["title", 0, 900], "b"]]], t(1, title=[[900, 1], R3, "b"]))
    case("after-carries-the-counter", "CLOCK-7", t(1, title=[[900, 65535], R2, "a"]), [[R3, 6, [T1, ["title", 0, [900, 65535]], "b"]]], t(1, title=[901, R3, "b"]))
    case("after-does-not-reach-other-cells", "CLOCK-7", t(1, title=[900, R2, "a"]), [[R3, 6, [T1, DONE, True, ["title", 0, 900], "b"]]],
         t(1, done=[6, R3, True], title=[[900, 1], R3, "b"]))
    case("after-behind-the-cell-loses", "CLOCK-7", t(1, title=[950, R2, "a"]), [[R3, 6, [T1, ["title", 0, 900], "b"]]], t(1, title=[950, R2, "a"]))
    case("after-above-the-cell-is-ignored", "CLOCK-9", t(1, title=a5), [[R3, 6, [T1, ["title", 0, 900], "b"]]], t(1, title=[6, R3, "b"]))
    case("after-without-a-cell-is-ignored", "CLOCK-9", t(1), [[R3, 6, [T1, ["title", 0, 900], "b"]]], t(1, title=[6, R3, "b"]))
    case("after-in-a-new-life-is-ignored", "CLOCK-9", t(2), [[R3, 6, [T1, 0, 3, ["title", 0, 900], "b"]]], t(3, title=[6, R3, "b"]))
    case("two-records-in-one-change", "MODEL-2", [], [[R2, 5, [T1, TITLE, "a"], [["todos", "t2"], TITLE, "b"]]], [[T1, 1, {"title": a5}], [["todos", "t2"], 1, {"title": [5, R2, "b"]}]])
    case("the-same-change-twice", "MERGE-8", [], [[R2, 5, [T1, TITLE, "a"]], [R2, 5, [T1, TITLE, "a"]]], t(1, title=a5))
    f.close()

    f = File("join.vec", "join", "[state, state] => their join; the order of the two makes no difference. Spec 5. Expected states are written by hand.")
    b6 = [6, R3, "b"]
    f.case("with-nothing", "MERGE-12", [[], t(1, title=a5)], t(1, title=a5))
    f.case("with-itself", "MERGE-12", [t(1, title=a5), t(1, title=a5)], t(1, title=a5))
    f.case("greater-life", "MERGE-1", [t(1, title=[9, R2, "a"]), t(2)], t(2))
    f.case("greater-life-drops-cells", "MERGE-3", [t(1, title=[9, R2, "a"]), t(3, done=b6)], t(3, done=b6))
    f.case("greater-stamp", "MERGE-8", [t(1, title=a5), t(1, title=b6)], t(1, title=b6))
    f.case("tie-by-bytes", "MERGE-9", [t(1, title=a5), t(1, title=[5, R2, "b"])], t(1, title=[5, R2, "b"]))
    f.case("unset-later", "MERGE-10", [t(1, title=a5), t(1, title=[6, R3, UNDEFINED])], t(1, title=[6, R3, UNDEFINED]))
    f.case("other-fields", "MERGE-8", [t(1, title=a5), t(1, done=b6)], t(1, done=b6, title=a5))
    f.case("other-records", "MERGE-12", [t(1, title=a5), [[["todos", "t2"], 1, {}]]], [[T1, 1, {"title": a5}], [["todos", "t2"], 1, {}]])
    f.close()

    f = File("admit.vec", "admit", "[server's time, state, [author, stamp, + row]] => the code, 0 where the change is accepted. Spec 4 and 5.")
    now = 1700000000000
    f.case("now", "CLOCK-10", [now, [], [R2, now, [T1]]], 0)
    f.case("at-the-bound", "CLOCK-10", [now, [], [R2, now + 300000, [T1]]], 0)
    f.case("at-the-bound-with-a-counter", "CLOCK-10", [now, [], [R2, [now + 300000, 9], [T1]]], 0)
    f.case("beyond-the-bound", "CLOCK-10", [now, [], [R2, now + 300001, [T1]]], 32)
    f.case("the-distant-past", "CLOCK-11", [now, [], [R2, 0, [T1]]], 0)
    f.case("after-far-ahead", "CLOCK-10", [now, t(1, title=a5), [R2, now, [T1, ["title", 0, now + 86400000], "b"]]], 0)
    f.case("create", "MERGE-5", [now, [], [R2, 5, [T1]]], 0)
    f.case("delete-what-is-not-there", "MERGE-5", [now, [], [R2, 5, [T1, 0, 2]]], 33)
    f.case("delete", "MERGE-5", [now, t(1), [R2, 5, [T1, 0, 2]]], 0)
    f.case("re-create-what-lives", "MERGE-5", [now, t(1), [R2, 5, [T1, 0, 3]]], 33)
    f.case("a-life-gone-by", "MERGE-4", [now, t(3), [R2, 5, [T1, 0, 2]]], 0)
    f.case("one-row-of-two-too-far", "MERGE-5", [now, t(1), [R2, 5, [T1], [["todos", "t2"], 0, 3]]], 33)
    f.close()


def subscriptions():
    f = File("subscribe.vec", "frame-agreed subscribe", "Subscriptions. Spec 17.")
    ok, bad = f.frame, f.bad_frame
    opening = lambda cursor, *ext: [2, "home", R1, 0, cursor, *ext]
    many = [f"c{i:04}" for i in range(640)]
    ok("open-collections", "SUB-1", 1, opening(None, {0: ["lists", "todos"]}))
    ok("open-64-collections", "SUB-1", 1, opening(None, {0: many[:64]}))
    ok("open-collections-known", "SUB-1", 1, opening([3, HIST], {0: ["lists", "todos"], 1: ["todos"]}))
    ok("open-nothing-known", "SUB-1", 1, opening([3, HIST], {0: ["lists"], 1: []}))
    ok("open-known-of-all", "SUB-1", 1, opening([3, HIST], {1: ["todos"]}))
    ok("open-collections-by-bytes", "SUB-1", 1, opening(None, {0: ["b", "ba", "é"]}))
    ok("open-staged", "SUB-6", 1, opening([1, HIST, 1], {0: ["lists", "todos"], 1: ["todos"]}))
    bad("open-65-collections", "SUB-1", [1, opening(None, {0: many[:65]})])
    bad("open-640-collections", "SUB-1", [1, opening(None, {0: many})])
    bad("open-65-known", "SUB-1", [1, opening([3, HIST], {1: many[:65]})])
    bad("open-no-collections", "SUB-1", [1, opening(None, {0: []})])
    bad("open-collections-unsorted", "SUB-1", [1, opening(None, {0: ["todos", "lists"]})])
    bad("open-collection-twice", "SUB-1", [1, opening(None, {0: ["todos", "todos"]})])
    bad("open-collection-empty", "MODEL-8", [1, opening(None, {0: [""]})])
    bad("open-collection-of-65-bytes", "LIMIT-5", [1, opening(None, {0: ["a" * 65]})])
    bad("open-known-beyond-the-collections", "SUB-1", [1, opening([3, HIST], {0: ["lists"], 1: ["todos"]})])
    bad("open-staged-below-the-cursor", "SYNC-32", [1, opening([3, HIST, 1], {0: ["lists", "todos"], 1: ["todos"]})])
    f.close()


def presences():
    f = File("presence.vec", "frame-agreed presence", "Presence. Spec 18.")
    ok, bad = f.frame, f.bad_frame
    ok("presence", "PRES-6", 1, [18, R1, 1, 30000, b"{}"])
    ok("presence-gone", "PRES-8", 1, [18, R1, 1, 0, None])
    ok("presence-empty", "PRES-6", 1, [18, R1, 0, 1, b""])
    ok("presence-of-1024-bytes", "PRES-2", 1, [18, R1, MAX, 60000, b"a" * 1024])
    bad("presence-of-1025-bytes", "PRES-2", [1, [18, R1, 1, 30000, b"a" * 1025]])
    bad("presence-of-10240-bytes", "PRES-2", [1, [18, R1, 1, 30000, b"a" * 10240]])
    bad("presence-ttl-0", "PRES-2", [1, [18, R1, 1, 0, b"a"]])
    bad("presence-ttl-60001", "PRES-2", [1, [18, R1, 1, 60001, b"a"]])
    bad("presence-ttl-600000", "PRES-2", [1, [18, R1, 1, 600000, b"a"]])
    bad("presence-gone-with-a-ttl", "PRES-2", [1, [18, R1, 1, 1, None]])
    bad("presence-text", "CODEC-13", [1, [18, R1, 1, 30000, "a"]])
    bad("presence-replica-of-15-bytes", "CODEC-13", [1, [18, R1[:15], 1, 30000, b"a"]])
    bad("presence-field-missing", "CODEC-13", [1, [18, R1, 1, 0]])
    bad("presence-field-too-many", "CODEC-13", [1, [18, R1, 1, 0, None, 0]])
    f.close()


def flow():
    f = File("flow.vec", "frame-agreed flow", "Credit. Spec 15.")
    f.frame("credit", "FLOW-2", 1, [16, 1648576])
    f.frame("credit-of-nothing", "FLOW-2", 65535, [16, 0])
    f.frame("credit-of-all", "FLOW-2", 1, [16, MAX])
    f.bad_frame("credit-negative", "CODEC-13", [1, [16, -1]])
    f.bad_frame("credit-text", "CODEC-13", [1, [16, "1"]])
    f.bad_frame("credit-field-missing", "CODEC-13", [1, [16]])
    f.bad_frame("credit-field-too-many", "CODEC-13", [1, [16, 1, 2]])
    f.close()


def conditions():
    f = File("conditions.vec", "frame-agreed conditions", "Conditions, and what a change needs. Spec 6 and 16.")
    T1, ok = ["todos", "t1"], f.frame
    push = lambda changes, seq=9: [5, [seq, 5, [T1], changes]]
    bad = lambda name, rule, changes, seq=9: f.bad_frame(name, rule, [1, push(changes, seq)])
    ok("a-life", "COND-2", 1, push({1: [[T1, 0]]}))
    ok("the-last-life", "COND-2", 1, push({1: [[T1, MAX]]}))
    ok("no-value", "COND-2", 1, push({1: [[T1, ["title", 0], None]]}))
    ok("a-stamp", "COND-2", 1, push({1: [[T1, ["title", 0], [1700000000000, 7, R1]]]}))
    ok("an-element", "COND-2", 1, push({1: [[T1, ["tags", 8, "red"], None]]}))
    ok("an-entry-of-an-unknown-rule", "COND-2", 1, push({1: [[T1, ["x", 24, [1]], [0, 0, R1]]]}))
    ok("with-origin-and-needs", "IDENT-25", 1, push({0: [R1, 3, LINK], 1: [[T1, 1]], 4: [2, 8]}))
    bad("no-conditions", "COND-3", {1: []})
    bad("a-condition-of-one-item", "COND-3", {1: [[T1]]})
    bad("a-condition-of-four-items", "COND-3", {1: [[T1, ["title", 0], None, 1]]})
    bad("a-counter", "COND-3", {1: [[T1, ["votes", 3], None]]})
    bad("lww-with-a-key", "COND-3", {1: [[T1, ["title", 0, "k"], None]]})
    bad("a-set-without-a-key", "COND-3", {1: [[T1, ["tags", 8], None]]})
    bad("a-rule-of-no-join", "COND-3", {1: [[T1, ["x", 5], None]]})
    bad("a-stamp-without-its-author", "COND-3", {1: [[T1, ["title", 0], [5, 0]]]})
    bad("a-counter-of-65536", "COND-3", {1: [[T1, ["title", 0], [5, 65536, R1]]]})
    bad("a-record-without-a-name", "MODEL-8", {1: [[["todos", ""], 0]]})
    bad("no-needs", "IDENT-30", {4: []})
    bad("needs-of-itself", "IDENT-30", {4: [9]})
    bad("needs-twice", "IDENT-30", {4: [2, 2]})
    bad("needs-out-of-order", "IDENT-30", {4: [3, 2]})
    bad("needs-of-0", "IDENT-30", {4: [0]})
    f.close()


def signals():
    f = File("signal.vec", "frame-agreed signal", "Signals. Spec 23.")
    f.frame("signal", "SIGNAL-1", 1, [19, R1, b"offer"])
    f.frame("signal-empty", "SIGNAL-1", 65535, [19, R1, b""])
    f.frame("signal-of-16384-bytes", "SIGNAL-4", 1, [19, R1, b"a" * 16384])
    f.bad_frame("signal-of-16385-bytes", "SIGNAL-4", [1, [19, R1, b"a" * 16385]])
    f.bad_frame("signal-text", "CODEC-13", [1, [19, R1, "offer"]])
    f.bad_frame("signal-replica-of-15-bytes", "CODEC-13", [1, [19, R1[:15], b"a"]])
    f.bad_frame("signal-field-missing", "CODEC-13", [1, [19, R1]])
    f.close()


def repairs():
    f = File("repair.vec", "frame-agreed repair", "Ranges. Spec 20.")
    ok, bad, digest = f.frame, f.bad_frame, sha(b"cell")
    ok("ranges-of-all", "REPAIR-3", 1, [17, 1, [[b"", 1, 40, FINGER]]])
    ok("ranges-of-three-kinds", "REPAIR-5", 1, [17, MAX, [[b"a", 0], [b"b", 1, 2, FINGER], [b"", 2, [b"c", digest], [b"d", digest]]]])
    ok("ranges-of-an-empty-list", "REPAIR-3", 1, [17, 0, [[b"", 2]]])
    ok("ranges-none", "REPAIR-9", 1, [17, 1, []])
    bad("ranges-unsorted", "CODEC-13", [1, [17, 1, [[b"b", 0], [b"a", 0]]]])
    bad("ranges-bound-twice", "CODEC-13", [1, [17, 1, [[b"a", 0], [b"a", 0]]]])
    bad("ranges-unbounded-before-the-last", "CODEC-13", [1, [17, 1, [[b"", 0], [b"a", 0]]]])
    bad("ranges-of-a-fourth-kind", "CODEC-13", [1, [17, 1, [[b"a", 3]]]])
    bad("ranges-fingerprint-of-15-bytes", "CODEC-13", [1, [17, 1, [[b"", 1, 2, FINGER[:15]]]]])
    bad("ranges-cells-unsorted", "CODEC-13", [1, [17, 1, [[b"", 2, [b"d", digest], [b"c", digest]]]]])
    bad("ranges-digest-of-31-bytes", "CODEC-13", [1, [17, 1, [[b"", 2, [b"c", digest[:31]]]]]])
    bad("ranges-seed-negative", "CODEC-13", [1, [17, -1, []]])
    f.close()


def clocks():
    f = File("clock.vec", "clock", "Clocks; see README.md for the three questions. Spec 4.")
    f.case("mint-at-now", "CLOCK-2", ["mint", 5, 1000], 1000)
    f.case("mint-again-in-one-millisecond", "CLOCK-2", ["mint", 1000, 1000], [1000, 1])
    f.case("mint-after-the-clock-stepped-back", "CLOCK-3", ["mint", [1000, 7], 400], [1000, 8])
    f.case("mint-carries-the-counter", "CLOCK-2", ["mint", [1000, 65535], 1000], 1001)
    f.case("mint-at-the-absorption-bound", "CLOCK-6", ["mint", 61000, 1000], [61000, 1])
    f.case("mint-beyond-the-absorption-bound", "CLOCK-6", ["mint", 61001, 1000], 1000)
    f.case("observe-the-past", "CLOCK-5", ["observe", 1000, 1000, 900], 1000)
    f.case("observe-a-later-reading", "CLOCK-5", ["observe", 1000, 1000, [2000, 3]], [2000, 3])
    f.case("observe-at-the-bound", "CLOCK-5", ["observe", 1000, 1000, 61000], 61000)
    f.case("observe-beyond-the-bound", "CLOCK-5", ["observe", 1000, 1000, 61001], 1000)
    f.case("offset-of-a-right-clock", "CLOCK-13", ["offset", 1000, 1100, 1050], 0)
    f.case("offset-of-a-slow-clock", "CLOCK-13", ["offset", 1000, 1100, 6050], 5000)
    f.case("offset-of-a-fast-clock", "CLOCK-13", ["offset", 9000, 9100, 1050], -8000)
    f.case("offset-at-the-longest-round-trip", "CLOCK-13", ["offset", 1000, 3000, 2000], 0)
    f.case("offset-beyond-the-longest-round-trip", "CLOCK-13", ["offset", 1000, 3001, 2000], None)
    f.close()


def rules():
    f = File("rules-frame.vec", "frame-agreed rules", "Frames of the profile rules. Spec 5 and 8.")

    def push(*ops):
        return [5, [1, 5, [T1, *ops]]]

    def states(*items):
        return [9, True, 2, HIST, *items]
    votes, tags, notes, attrs, best = ["votes", 3], ["tags", 8], ["notes", 4], ["attrs", 16], ["best", 9]
    dot, later = [R2, 1, 0], [R2, 1, 1]
    for name, rule, *ops in (
            ("counter", "RULES-2", votes, 1), ("counter-negative", "RULES-2", votes, -MAX), ("counter-greatest", "RULES-2", votes, MAX), ("max", "RULES-2", best, "a"), ("min-null", "RULES-2", ["best", 2], None),
            ("set", "RULES-12", tags, [["x", True]]), ("set-absent", "RULES-12", tags, [["x", False]]), ("set-by-encoded-keys", "RULES-12", tags, [[9, True], [-1, True], ["z", True], ["aa", True], [[], True]]),
            ("set-after", "CLOCK-7", tags, [["x", True, [5, 0]]]), ("map", "RULES-12", attrs, [["a", 1], ["b", UNDEFINED], ["aa", [1]]]), ("map-after", "CLOCK-7", attrs, [["a", 1, [9, 3]]]),
            ("map-key-of-256-bytes", "RULES-12", attrs, [["a" * 253, 1]]), ("multi-add", "RULES-14", notes, [[], "a", "a"]), ("multi-remove", "RULES-14", notes, [[dot, later]]), ("multi-replace", "RULES-14", notes, [[dot], "b"]),
            ("two-rules-on-one-field", "RULES-5", ["votes", 0], 1, votes, 2), ("unknown-stamped", "RULES-6", ["f", 24], [[None, 1]]), ("unknown-greatest", "RULES-6", ["f", 17], [1]), ("unknown-least", "RULES-6", ["f", 10], {"a": 1}),
            ("unknown-seq", "RULES-6", ["f", 11], "x"), ("unknown-dots", "RULES-6", ["f", 28], [[dot], 1]), ("join-5-is-judged", "RULES-3", ["f", 5], {"any": [1]}), ("list-is-judged", "RULES-3", ["f", 12], 7), ("life-is-judged", "RULES-3", ["f", 1], 7)):
        f.frame(f"push-{name}", rule, 1, push(*ops))
    f.frame("change-counter", "RULES-2", 1, [8, 3, R1, 2, 5, [T1, votes, 1]])
    for name, item in (("counter-sum-0", [-5, R2, 7, [T1, votes, 0]]), ("dots", [-5, R2, 7, [T1, notes, [[0, 2], [1, "a"]]]]), ("dots-removed", [-5, R2, 7, [T1, notes, [[0]]]]), ("unknown-seq", [-5, R2, 7, [T1, ["f", 11], "x"]]), ("max", [-4, [T1, best, 7]]),
                       ("min-and-a-life", [-4, [T1, ["best", 2], 7], [["todos", "t2"], 0, 2]]), ("set", [R1, 5, [T1, tags, [["x", True], ["y", False]]]]), ("map-beside-lww", [R1, 5, [T1, attrs, [["a", 1], ["b", UNDEFINED]], TITLE, "a"]])):
        f.frame(f"states-{name}", "RULES-19", 1, states(item))
    for name, rule, *ops in (
            ("counter-0", "RULES-8", votes, 0), ("counter-text", "RULES-8", votes, "1"), ("counter-fraction", "RULES-8", votes, 1.5), ("counter-undefined", "RULES-2", votes, UNDEFINED), ("max-undefined", "RULES-2", best, UNDEFINED), ("set-empty", "RULES-12", tags, []),
            ("set-a-value", "RULES-2", tags, "x"), ("set-present-a-number", "RULES-2", tags, [["x", 1]]), ("set-unsorted", "RULES-12", tags, [["y", True], ["x", True]]), ("set-twice", "RULES-12", tags, [["x", True], ["x", False]]),
            ("set-key-of-257-bytes", "RULES-12", tags, [["a" * 255, True]]), ("set-after-below", "CLOCK-8", tags, [["x", True, [4, 0]]]), ("set-after-relative", "RULES-2", tags, [["x", True, 9]]), ("map-key-number", "RULES-12", attrs, [[1, 1]]),
            ("map-pair-short", "RULES-2", attrs, [["a"]]), ("multi-nothing", "RULES-14", notes, [[]]), ("multi-without-dots", "RULES-14", notes, []), ("multi-dots-unsorted", "RULES-14", notes, [[later, dot]]), ("multi-dots-twice", "RULES-14", notes, [[dot, dot]]),
            ("multi-dot-seq-0", "RULES-14", notes, [[[R2, 0, 0]]]), ("counter-after", "RULES-4", ["votes", 3, 9], 1), ("set-column-after", "RULES-4", ["tags", 8, 9], [["x", True]]), ("unknown-keyed-a-value", "RULES-6", ["f", 24], 1)):
        f.bad_frame(f"push-{name}", rule, [1, push(*ops)])
    for name, item in (("counter-in-a-group", [R1, 5, [T1, votes, 1]]), ("lww-in-plain", [-4, [T1, TITLE, "a"]]), ("set-in-keyed", [-5, R1, 7, [T1, tags, [["x", True]]]]), ("keyed-without-rows", [-5, R1, 7]), ("keyed-seq-0", [-5, R1, 0, [T1, votes, 1]]),
                       ("entry-after", [R1, 5, [T1, tags, [["x", True, [5, 0]]]]]), ("dots-unsorted", [-5, R1, 7, [T1, notes, [[2, 0]]]]), ("dots-both", [-5, R1, 7, [T1, notes, [[0], [0, "a"]]]]), ("dots-none", [-5, R1, 7, [T1, notes, [[]]]]), ("join-5", [R1, 5, [T1, ["f", 5], 1]])):
        f.bad_frame(f"states-{name}", "RULES-19", [1, states(item)])
    f.close()

    a5 = [5, R2, "a"]
    f = File("rules-merge.vec", "merge rules", "[state, changes as [author, stamp, + row]] => the state after them, by the rules of the profile rules. Spec 5. Expected states are written by hand.")

    def t(*cells, life=1, **fields):
        return [[T1, life, fields, list(cells)]] if cells else [[T1, life, fields]]

    def case(name, rule, state, changes, expected):
        f.case(name, rule, [state, changes], expected)
    case("counter-of-one", "RULES-9", t(), [[R2, 5, [T1, votes, 2]], [R2, 6, [T1, votes, -3]]], t([*votes, R2, [2, -1]]))
    case("counter-of-two", "RULES-9", t(), [[R3, 5, [T1, votes, 2]], [R2, 1, [T1, votes, 5]]], t([*votes, R2, [2, 5]], [*votes, R3, [1, 2]]))
    case("counter-each-once", "RULES-9", t([*votes, R2, [1, 2]]), [[R2, 5, [T1, votes, 2]]], t([*votes, R2, [1, 2]]))
    case("counter-sum-0-stays", "RULES-9", t(), [[R2, 5, [T1, votes, 2]], [R2, 6, [T1, votes, -2]]], t([*votes, R2, [2, 0]]))
    case("max-greater", "RULES-7", t([*best, None, [3]]), [[R2, 1, [T1, best, 7]]], t([*best, None, [7]]))
    case("max-lesser", "RULES-7", t([*best, None, [7]]), [[R2, 9, [T1, best, 3]]], t([*best, None, [7]]))
    case("max-by-kind", "RULES-7", t([*best, None, [7]]), [[R2, 9, [T1, best, "a"]]], t([*best, None, ["a"]]))
    case("max-by-value-not-bytes", "RULES-7", t([*best, None, [-1]]), [[R2, 9, [T1, best, 1.5]]], t([*best, None, [1.5]]))
    case("max-arrays-item-by-item", "RULES-7", t([*best, None, [[1, 9]]]), [[R2, 9, [T1, best, [2]]]], t([*best, None, [[2]]]))
    case("max-text-by-bytes", "RULES-7", t([*best, None, ["aa"]]), [[R2, 9, [T1, best, "b"]]], t([*best, None, ["b"]]))
    case("min-lesser", "RULES-7", t(["best", 2, None, [3]]), [[R2, 1, [T1, ["best", 2], -7]]], t(["best", 2, None, [-7]]))
    case("min-null-is-least", "RULES-7", t(["best", 2, None, [3]]), [[R2, 1, [T1, ["best", 2], None]]], t(["best", 2, None, [None]]))
    case("set-add-and-remove", "MERGE-8", t(), [[R2, 5, [T1, tags, [["x", True], ["y", True]]]], [R3, 6, [T1, tags, [["x", False]]]]], t([*tags, "x", [6, R3, UNDEFINED]], [*tags, "y", [5, R2, True]]))
    case("set-older-loses", "MERGE-8", t([*tags, "x", [6, R3, UNDEFINED]]), [[R2, 5, [T1, tags, [["x", True]]]]], t([*tags, "x", [6, R3, UNDEFINED]]))
    case("set-tie-present-wins", "MERGE-9", t([*tags, "x", [5, R2, UNDEFINED]]), [[R2, 5, [T1, tags, [["x", True]]]]], t([*tags, "x", [5, R2, True]]))
    case("set-after", "CLOCK-7", t([*tags, "x", [900, R3, True]]), [[R2, 5, [T1, tags, [["x", False, [900, 0]], ["y", True, [900, 0]]]]]], t([*tags, "x", [[900, 1], R2, UNDEFINED]], [*tags, "y", [5, R2, True]]))
    case("map-entries-apart", "MERGE-8", t([*attrs, "a", a5]), [[R3, 6, [T1, attrs, [["a", UNDEFINED], ["b", False]]]]], t([*attrs, "a", [6, R3, UNDEFINED]], [*attrs, "b", [6, R3, False]]))
    case("multi-side-by-side", "RULES-14", t(), [[R2, 5, [T1, notes, [[], "a"]]], [R3, 5, [T1, notes, [[], "b", "c"]]]], t([*notes, [R2, 1, 0], ["a"]], [*notes, [R3, 2, 0], ["b"]], [*notes, [R3, 2, 1], ["c"]]))
    case("multi-replace", "RULES-16", t([*notes, dot, ["a"]]), [[R3, 6, [T1, notes, [[dot], "b"]]]], t([*notes, dot, []], [*notes, [R3, 1, 0], ["b"]]))
    case("multi-removed-stays", "RULES-15", t([*notes, dot, []]), [[R2, 6, [T1, notes, [[], "a"]]]], t([*notes, dot, []]))
    case("multi-absent-leaves-nothing", "RULES-16", t(), [[R3, 6, [T1, notes, [[dot]]]]], t())
    case("multi-of-an-origin", "RULES-14", t(), [[R3, 6, [T1, notes, [[], "a"]], {0: [R2, 7, LINK]}]], t([*notes, [R2, 7, 0], ["a"]]))
    case("two-rules-on-one-field", "RULES-5", t(votes=a5), [[R3, 6, [T1, votes, 1]]], t([*votes, R3, [1, 1]], votes=a5))
    case("a-higher-life-drops-all", "MERGE-3", t([*votes, R2, [1, 1]], [*tags, "x", a5], [*notes, dot, ["a"]], [*best, None, [7]]), [[R3, 6, [T1, 0, 2]]], t(life=2))
    case("a-lower-life-is-nothing", "MERGE-4", t(life=3), [[R2, 5, [T1, best, 9, votes, 1]]], t(life=3))
    case("unknown-by-its-join", "RULES-6", t(["f", 17, None, [7]], ["f", 24, "k", a5]), [[R3, 6, [T1, ["f", 10], 1, ["f", 11], "x", ["f", 17], 9, ["f", 24], [["k", "b"]], ["f", 28], [[], 1]]]],
         t(["f", 10, None, [1]], ["f", 11, R3, [1, "x"]], ["f", 17, None, [9]], ["f", 24, "k", [6, R3, "b"]], ["f", 28, [R3, 1, 0], [1]]))
    f.close()

    f = File("rules-join.vec", "join rules", "[state, state] => their join, by the rules of the profile rules. Spec 5. Expected states are written by hand.")
    for name, rule, one, other, expected in (
            ("counter-later", "RULES-1", [*votes, R2, [2, 5]], [*votes, R2, [3, 1]], [*votes, R2, [3, 1]]), ("max", "RULES-7", [*best, None, [3]], [*best, None, [7]], [*best, None, [7]]),
            ("min", "RULES-7", ["best", 2, None, [3]], ["best", 2, None, [7]], ["best", 2, None, [3]]), ("multi-removed-wins", "RULES-15", [*notes, dot, ["a"]], [*notes, dot, []], [*notes, dot, []]),
            ("multi-two-values", "RULES-15", [*notes, dot, ["z"]], [*notes, dot, ["aa"]], [*notes, dot, ["aa"]]), ("unknown-seq", "RULES-1", ["f", 11, R2, [2, "z"]], ["f", 11, R2, [3, "a"]], ["f", 11, R2, [3, "a"]])):
        f.case(name, rule, [t(one), t(other)], t(expected))
    f.case("cells-apart", "RULES-1", [t([*votes, R2, [2, 5]]), t([*votes, R3, [1, 1]])], t([*votes, R2, [2, 5]], [*votes, R3, [1, 1]]))
    f.close()

    f = File("rules-fingerprint.vec", "fingerprint rules", "A state with cells of the profile rules => its fingerprint on the wire. Spec 8.")
    one = t([*votes, R2, [1, 2]])
    cases = {"counter": one, "counter-sum-0": t([*votes, R2, [2, 0]]), "set": t([*tags, "x", [5, R2, True]]), "map": t([*attrs, "a", [[5, 1], R2, None]]), "max": t([*best, None, [7]]), "multi": t([*notes, dot, ["a"]]),
             "gone-does-not-count": t([*attrs, "a", [6, R2, UNDEFINED]], [*notes, dot, []], [*tags, "x", [6, R2, UNDEFINED]], [*votes, R2, [1, 2]]), "all-together": t([*best, None, [7]], [*notes, dot, ["a"]], [*votes, R2, [1, 2]], title=a5)}
    assert fingerprint(cases["counter"]) == fingerprint(cases["gone-does-not-count"])
    for name, state in cases.items():
        f.case(name, "SYNC-18", state, fingerprint(state))
    f.close()

    f = File("rules-admit.vec", "admit rules", "[server's time, state, [author, stamp, + row]] => the code, with changes of the profile rules. Spec 5.")
    for name, code, sum, amount in (("within", 0, MAX - 1, 1), ("beyond", 37, MAX, 1), ("below", 37, 1 - MAX, -2), ("back-again", 0, MAX, -1)):
        f.case(f"sum-{name}", "RULES-10", [5, t([*votes, R2, [1, sum]]), [R2, 5, [T1, votes, amount]]], code)
    f.case("sum-of-another", "RULES-10", [5, t([*votes, R3, [1, MAX]]), [R2, 5, [T1, votes, 1]]], 0)
    f.case("sum-in-a-new-life", "RULES-10", [5, t([*votes, R2, [1, MAX]], life=1), [R2, 5, [T1, 0, 2]]], 0)
    f.close()

    f = File("rules-link.vec", "link rules", "The chain over changes of the profile rules. Spec 6.")
    base = 1700000000000
    for name, *ops in (("amount", votes, 1), ("set-after", tags, [["x", True, [base + 9, 0]]]), ("multi", notes, [[dot], "b"]), ("unknown", ["f", 24], [["k", 1]])):
        changes = [[1, 5, [T1, *ops]]]
        f.case(name, "RULES-2", ["home", R1, base, changes], chain("home", R1, base, changes))
    f.close()


if __name__ == "__main__":
    values()
    frames()
    links()
    fingerprints()
    merges()
    clocks()
    presences()
    subscriptions()
    flow()
    conditions()
    signals()
    repairs()
    rules()
    print(COUNT, "vectors")
