"""Hypothesis strategies that damage what was whole: JSON-like values, tables and bytes."""

import copy
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
"""How many times as many inputs as usual are tried."""


def tries(count):
    """Settings of a test that tries so many inputs; always the same ones, unless FUZZ_TIMES asks for others."""
    health = list(HealthCheck)
    return settings(max_examples=count * TIMES, deadline=None, suppress_health_check=health, derandomize=TIMES == 1)


plain = (st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=20))
scalars = st.one_of(*plain, st.just([]), st.just({}))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def places(value, path=()):
    """Yield the path of every part of a JSON-like value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def changed(draw, original):
    """A copy of `original` in which up to three parts are replaced, removed or joined by others."""
    result = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(result) if path]))
        parent = result
        for key in path[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            parent[path[-1]] = draw(values)
        elif action == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(values)
        else:
            parent.append(draw(values))
        if not any(places(result)):
            break
    return result


@st.composite
def damaged(draw, original):
    """Bytes of which some are others, some are gone, some come twice, or the end is missing."""
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(0, 40))
        action = draw(st.sampled_from(["replace", "remove", "repeat", "cut", "insert"]))
        if action == "replace":
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif action == "remove":
            del content[place : place + length]
        elif action == "repeat":
            content[place:place] = content[place : place + length]
        elif action == "insert":
            content[place:place] = draw(st.binary(max_size=8))
        else:
            del content[place:]
    return bytes(content)
