#!/usr/bin/env python3
"""Writes the vectors beside it. No code of the reference goes into an expectation."""
from encoding import *
from frames import frames, values
from profiles import accesses, conditions, flow, peers, presences, repairs, rules, signals, subscriptions


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
    f.case("offset-of-an-odd-round-trip", "CLOCK-13", ["offset", 1000, 1101, 1050], -1)
    f.case("offset-at-the-longest-round-trip", "CLOCK-13", ["offset", 1000, 3000, 2000], 0)
    f.case("offset-beyond-the-longest-round-trip", "CLOCK-13", ["offset", 1000, 3001, 2000], None)
    f.close()


if __name__ == "__main__":
    values()
    frames()
    links()
    fingerprints()
    merges()
    clocks()
    accesses()
    peers()
    presences()
    subscriptions()
    flow()
    conditions()
    signals()
    repairs()
    rules()
    print(File.count, "vectors")
