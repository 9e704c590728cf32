"""An adapter of Syncline's conformance suite: one JSON object a line on stdin, one on stdout. Logs belong on stderr."""

import json
import sys


class Unsupported(Exception):
    """What this implementation does not do yet."""


class Fault(Exception):
    """Bytes that are refused; its text is a name from the registry of errors, such as `malformed`."""


def decode(kind, data):
    """The bytes of one `value` or one `frame`, as your implementation holds them; raises Fault."""
    raise Unsupported


def encode(kind, decoded):
    """What `decode` gave, as bytes."""
    raise Unsupported


def hello(command):
    return {"version": 1, "name": "mine", "profiles": ["core"], "roles": []}


def vectors(command):
    try:
        if command["kind"] not in ("value", "frame", "frame-agreed"):
            raise Unsupported
        decoded = decode(command["kind"], bytes.fromhex(command["hex"]))
        return {"hex": encode(command["kind"], decoded).hex()}
    except Fault as fault:
        return {"error": str(fault)}
    except Unsupported:
        return {"error": "unknown-kind"}


# Each further verb of the README's table is a function more.
VERBS = {"hello": hello, "vectors": vectors, "bye": lambda command: {}}


def answer(line):
    try:
        command = json.loads(line)
        given = command["id"]
    except (ValueError, TypeError, KeyError):
        return {"id": None, "error": "no JSON object with an id"}
    verb = VERBS.get(command.get("verb"))
    if verb is None:
        return {"id": given, "error": "unsupported"}
    try:
        return {"id": given, "ok": True, "wake": None, **verb(command)}
    except Exception as error:
        return {"id": given, "error": repr(error)}


for line in sys.stdin:
    reply = answer(line)
    print(json.dumps(reply), flush=True)
    if '"bye"' in line and reply.get("ok"):
        break
