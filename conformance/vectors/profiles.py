"""What the profiles beyond the core add."""
from encoding import *


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
    extended(f, "presence", 1, [18, R1, 1, 30000, b"a"])
    bad("presence-counter-negative", "CODEC-13", [1, [18, R1, -1, 30000, b"a"]])
    bad("presence-field-missing", "CODEC-13", [1, [18, R1, 1, 0]])
    bad("presence-field-too-many", "CODEC-13", [1, [18, R1, 1, 0, None, 0]])
    f.close()


def flow():
    f = File("flow.vec", "frame-agreed flow", "Credit. Spec 15.")
    f.frame("credit", "FLOW-2", 1, [16, 1648576])
    f.frame("credit-of-nothing", "FLOW-2", 65535, [16, 0])
    f.frame("credit-of-all", "FLOW-2", 1, [16, MAX])
    extended(f, "credit", 1, [16, 7])
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


def extended(f, name, channel, message):
    """Extensions of a message: one that is ignored, none at all, one that is critical."""
    f.frame(f"{name}-extended", "FRAME-2", channel, [*message, {77: [None]}], word="accepts")
    f.bad_frame(f"{name}-extended-by-nothing", "FRAME-6", [channel, [*message, {}]])
    f.bad_frame(f"{name}-extended-critically", "FRAME-3", [channel, [*message, {77: 0, -77: 0}]], "critical-extension")


def accesses():
    f = File("access.vec", "frame-agreed access", "A token renewed, and the right in opened. Spec 14.")
    f.frame("auth", "ACCESS-15", 0, [15, "eyJhbGciOiJFZERTQSJ9.e30.c2ln"])
    f.frame("auth-of-4096-bytes", "ACCESS-15", 0, [15, "a" * 4096])
    for name, token in (("empty", ""), ("of-4097-bytes", "a" * 4097), ("of-40960-bytes", "a" * 40960), ("bytes", b"a"), ("null", None)):
        f.bad_frame(f"auth-{name}", "CODEC-13", [0, [15, token]])
    f.bad_frame("auth-field-missing", "CODEC-13", [0, [15]])
    f.bad_frame("auth-field-too-many", "CODEC-13", [0, [15, "a", "b"]])
    extended(f, "auth", 0, [15, "a"])
    for name, right in (("to-read", 1), ("to-write", 2)):
        f.frame(f"opened-{name}", "ACCESS-11", 1, [3, 0, HIST, 0, LINK, 0, 1, {0: right}])
    f.bad_frame("opened-right-text", "CODEC-13", [1, [3, 0, HIST, 0, LINK, 0, 1, {0: "write"}]])
    f.close()


def peers():
    f = File("peer.vec", "frame-agreed rules peer", "What peers tell each other, and what a server says of settled changes. Spec 21.")
    ok, bad, row = f.frame, f.bad_frame, [T1, TITLE, "a"]
    states = lambda *items: [9, True, 7, HIST, *items]
    ok("push-of-another", "PEER-9", 1, [5, R2, [1, 5, row], {0: LINK}])
    ok("push-of-another-goes-on", "PEER-9", 1, [5, R2, [7, 5, row], [8, 6, [T1, 0, 2]], {0: LINK}])
    ok("push-of-another-with-a-skip", "IDENT-20", 1, [5, R2, [7, HASH], [8, 6, row], {0: LINK}])
    ok("push-of-another-with-its-change-map", "PEER-9", 1, [5, R2, [7, 5, row, {0: [R3, 2, LINK]}], {0: LINK}])
    ok("push-of-another-extended", "FRAME-2", 1, [5, R2, [1, 5, row], {0: LINK, 77: 0}], word="accepts")
    bad("push-of-another-without-its-link", "PEER-9", [1, [5, R2, [1, 5, row]]])
    bad("push-of-another-with-another-key", "PEER-9", [1, [5, R2, [1, 5, row], {1: LINK}]])
    bad("push-of-another-link-of-15-bytes", "PEER-9", [1, [5, R2, [1, 5, row], {0: LINK[:15]}]])
    bad("push-of-another-link-text", "PEER-9", [1, [5, R2, [1, 5, row], {0: "start"}]])
    bad("push-of-another-without-changes", "CODEC-13", [1, [5, R2, {0: LINK}]])
    bad("push-of-15-bytes", "CODEC-13", [1, [5, R2[:15], [1, 5, row], {0: LINK}]])
    bad("push-of-two-others", "CODEC-13", [1, [5, R2, R3, [1, 5, row], {0: LINK}]])
    bad("push-of-another-behind-its-change", "CODEC-13", [1, [5, [1, 5, row], R2, {0: LINK}]])
    ok("void-with-its-link", "PEER-18", 1, [21, 3, R1, 2, 33, {0: LINK}])
    ok("void-without-its-link", "PEER-18", 1, [21, 3, R1, 2, 33])
    bad("void-link-of-32-bytes", "PEER-18", [1, [21, 3, R1, 2, 33, {0: HASH}]])
    for tag, name, rule in ((-2, "settled", "PEER-18"), (-6, "held", "PEER-6")):
        ok(f"states-{name}", rule, 1, states([tag, R2, MAX, LINK]))
        ok(f"states-{name}-of-two", rule, 1, states([tag, R2, 2, LINK], [tag, R3, 9, LINK]))
        bad(f"states-{name}-link-of-15-bytes", "CODEC-13", [1, states([tag, R2, 2, LINK[:15]])])
        bad(f"states-{name}-without-its-link", "CODEC-13", [1, states([tag, R2, 2])])
        bad(f"states-{name}-with-more", "CODEC-13", [1, states([tag, R2, 2, LINK, 0])])
        bad(f"states-{name}-replica-of-15-bytes", "CODEC-13", [1, states([tag, R2[:15], 2, LINK])])
        bad(f"states-{name}-seq-negative", "CODEC-13", [1, states([tag, R2, -1, LINK])])
    bad("states-settled-seq-0", "CODEC-13", [1, states([-2, R2, 0, LINK])])
    ok("states-held-nothing", "PEER-6", 1, states([-6, R2, 0, LINK]))
    ok("states-base", "PEER-7", 1, states([-7, 0], [R2, 5, row]))
    ok("states-base-beside-what-is-settled", "PEER-7", 1, states([-7, 3], [-2, R2, 2, LINK], [R2, 5, row], [-5, R3, 2, [T1, ["votes", 3], 1]], [-4, [["todos", "t2"], 0, 2]]))
    ok("states-nothing-new", "PEER-6", 1, states())
    bad("states-base-negative", "CODEC-13", [1, states([-7, -1])])
    bad("states-base-of-two-numbers", "CODEC-13", [1, states([-7, 0, 1])])
    bad("states-base-of-none", "CODEC-13", [1, states([-7])])
    f.close()


def signals():
    f = File("signal.vec", "frame-agreed signal", "Signals. Spec 23.")
    f.frame("signal", "SIGNAL-1", 1, [19, R1, b"offer"])
    f.frame("signal-empty", "SIGNAL-1", 65535, [19, R1, b""])
    f.frame("signal-of-16384-bytes", "SIGNAL-4", 1, [19, R1, b"a" * 16384])
    f.bad_frame("signal-of-16385-bytes", "SIGNAL-4", [1, [19, R1, b"a" * 16385]])
    f.bad_frame("signal-of-163840-bytes", "SIGNAL-4", [1, [19, R1, b"a" * 163840]])
    extended(f, "signal", 1, [19, R1, b"offer"])
    f.bad_frame("signal-field-too-many", "CODEC-13", [1, [19, R1, b"a", 0]])
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
    extended(f, "ranges", 1, [17, 1, [[b"", 0]]])
    replaced = lambda *ranges: [9, True, 2, HIST, [-4, [T1, 0, 2]], {0: list(ranges)}]
    ok("states-that-replace", "REPAIR-6", 1, replaced([b"a", b"b"]))
    ok("states-that-replace-the-rest", "REPAIR-6", 1, replaced([b"", b"b"], [b"c", b""]))
    bad("states-that-replace-nothing", "CODEC-13", [1, replaced()])
    bad("states-that-replace-a-bound", "CODEC-13", [1, replaced([b"a"])])
    bad("states-that-replace-three-bounds", "CODEC-13", [1, replaced([b"a", b"b", b"c"])])
    bad("states-that-replace-names", "CODEC-13", [1, replaced(["a", "b"])])
    bad("ranges-seed-missing", "CODEC-13", [1, [17, [[b"", 0]]]])
    bad("ranges-range-without-a-kind", "CODEC-13", [1, [17, 1, [[b""]]]])
    bad("ranges-fingerprint-without-a-count", "CODEC-13", [1, [17, 1, [[b"", 1, FINGER]]]])
    bad("ranges-nothing-with-more", "CODEC-13", [1, [17, 1, [[b"", 0, 1]]]])
    bad("ranges-cell-twice", "CODEC-13", [1, [17, 1, [[b"", 2, [b"c", digest], [b"c", digest]]]]])
    bad("ranges-cell-without-a-digest", "CODEC-13", [1, [17, 1, [[b"", 2, [b"c"]]]]])
    bad("ranges-unsorted", "CODEC-13", [1, [17, 1, [[b"b", 0], [b"a", 0]]]])
    bad("ranges-bound-twice", "CODEC-13", [1, [17, 1, [[b"a", 0], [b"a", 0]]]])
    bad("ranges-unbounded-before-the-last", "CODEC-13", [1, [17, 1, [[b"", 0], [b"a", 0]]]])
    bad("ranges-of-a-fourth-kind", "CODEC-13", [1, [17, 1, [[b"a", 3]]]])
    bad("ranges-fingerprint-of-15-bytes", "CODEC-13", [1, [17, 1, [[b"", 1, 2, FINGER[:15]]]]])
    bad("ranges-cells-unsorted", "CODEC-13", [1, [17, 1, [[b"", 2, [b"d", digest], [b"c", digest]]]]])
    bad("ranges-digest-of-31-bytes", "CODEC-13", [1, [17, 1, [[b"", 2, [b"c", digest[:31]]]]]])
    bad("ranges-seed-negative", "CODEC-13", [1, [17, -1, []]])
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
