"""Reads YAML within bounds: no tags that run code, no deep nests, no aliases that grow without end."""

from __future__ import annotations

import yaml  # type: ignore[import-untyped]

from agent.definitions.candidates import Unfit

MAX_DEPTH = 100  # levels; the parser recurses once per level, and its stack ends at a few thousand
MAX_NODES = 1_000_000  # values of a document with all its aliases expanded


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, except that dates, `on` and `no` stay strings, as in JSON.

    The loader in C is used where it is available, since it is ten times as fast.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith(":timestamp") and not (tag.endswith(":bool") and first in "yYnNoO")
    ]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> object:
    """Parse a YAML document. Raises Unfit."""
    try:
        _check_size(text)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise Unfit(f"no YAML: {problem}", mark.line + 1 if mark else None) from None


def _check_size(text: str) -> None:
    """Raise Unfit for a document that nests too deep or is too large once its aliases are expanded.

    The parser shares the value of an alias. Merge keys (`<<`) and everything that walks the values do not: thirty lines
    of aliases can stand for a billion values.
    """
    sizes: dict[str, int] = {}  # of the values with an anchor
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor and number of values so far
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                open_nodes.append((event.anchor, 1))
                if len(open_nodes) > MAX_DEPTH:
                    raise Unfit(f"it nests deeper than {MAX_DEPTH} levels", event.start_mark.line + 1)
                continue
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                anchor, size = open_nodes.pop()
            case yaml.ScalarEvent():
                anchor, size = event.anchor, 1
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    raise Unfit(f"its alias {event.anchor!r} has no anchor before it", event.start_mark.line + 1)
                anchor, size = None, sizes[event.anchor]
            case _:
                continue
        if anchor:
            sizes[anchor] = size
        outer, number = open_nodes[-1]
        open_nodes[-1] = (outer, number + size)
        if number + size > MAX_NODES:
            raise Unfit(f"it has more than {MAX_NODES} parts once its aliases are expanded")
