"""Puts a version policy into the text of a `config.pbtxt`, or takes it out; the rest stays as it is, comments included.

A pin remembers the policy that it stands for in a comment of its own block, which exports keep word for word.
"""

import re

import open_inference_pb2 as pb
from google.protobuf import text_format

from jobcast_server.errors import BundleError
from jobcast_server.policy import Policy
from jobcast_server.repository.pin import CONFIG

_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[{}<>\[\]]|\w+|\s+|.""", re.DOTALL)
_REMEMBERED = re.compile(r"# set by jobcast models rollback; before: (\S+)")
_NOTHING = "none"


def pin(text: str, version: int, before: Policy | None) -> str:
    """The configuration with `version` pinned; `before` is the policy that it has now.

    Raises:
        BundleError: the text is not one that can be edited, or `before` is nothing that can be put back.
    """
    place = _block(text)
    held = _REMEMBERED.search(text, *place) if place else None
    remembered = held[1] if held else str(before or _NOTHING)
    if remembered != _NOTHING:
        _remembered(remembered)
    block = (
        f"version_policy {{ # set by jobcast models rollback; before: {remembered}\n"
        f"  specific {{ versions: [{version}] }}\n}}"
    )
    return _checked(text, _put(text, place, block), Policy(0, frozenset({version})))


def release(text: str) -> str:
    """The configuration with the policy that it had before it was pinned; the same text when nothing is pinned.

    Raises:
        BundleError: the text is not one that can be edited, or the policy that it remembers is not one.
    """
    place = _block(text)
    if place is None or policy_of(text).WhichOneof("policy_choice") != "specific":
        return text
    held = _REMEMBERED.search(text, *place)
    if held is None or held[1] == _NOTHING:
        start, end = _line(text, *place)
        return _checked(text, text[:start] + text[end:], None)
    before = _remembered(held[1])
    return _checked(text, _put(text, place, _written(before)), before)


def _remembered(text: str) -> Policy:
    try:
        return Policy.parse(text)
    except ValueError as error:
        raise BundleError(f"{CONFIG}: version_policy: the policy before the rollback {error}") from None


def policy_of(text: str) -> pb.ModelVersionPolicy:
    """The version policy in a configuration.

    Raises:
        BundleError: it is not a model configuration.
    """
    return _parsed(text).version_policy


def _parsed(text: str) -> pb.ModelConfig:
    try:
        config = pb.ModelConfig()
        text_format.Parse(text, config, allow_unknown_field=True)
    except (RecursionError, text_format.ParseError) as error:
        raise BundleError(f"{CONFIG}: is not a model configuration: {error}") from None
    return config


def _block(text: str) -> tuple[int, int] | None:
    """Where the field `version_policy` of the configuration itself starts and ends."""
    depth, start = 0, None
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word in "{<[":
            depth += 1
        elif word in "}>]":
            depth -= 1
            if depth == 0 and start is not None:
                return start, found.end()
        elif depth == 0 and word == "version_policy":
            start = found.start()
    return None


def _put(text: str, place: tuple[int, int] | None, block: str) -> str:
    if place is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{block}\n"
    return text[: place[0]] + block + text[place[1] :]


def _line(text: str, start: int, end: int) -> tuple[int, int]:
    """The place with a separator behind it and, where nothing else stands on its lines, with these lines."""
    if separator := re.compile(r"\s*[,;]").match(text, end):
        end = separator.end()
    first = len(text[:start].rstrip(" \t"))
    rest = re.compile(r"[ \t]*(\r?\n|$)").match(text, end)
    alone = rest is not None and (first == 0 or text[first - 1] == "\n")
    return (first, rest.end()) if rest is not None and alone else (start, end)


def _written(policy: Policy) -> str:
    if policy.specific is not None:
        return f"version_policy {{ specific {{ versions: {sorted(policy.specific)} }} }}"
    return f"version_policy {{ latest {{ num_versions: {policy.latest} }} }}" if policy.latest else (
        "version_policy { all { } }"
    )  # fmt: skip


def _checked(old: str, new: str, policy: Policy | None) -> str:
    """The new text, once read again: it says what was meant, and all else as before."""
    before, after = _parsed(old), _parsed(new)
    wanted = _parsed(_written(policy)).version_policy if policy else pb.ModelVersionPolicy()
    same = after.version_policy == wanted
    before.ClearField("version_policy")
    after.ClearField("version_policy")
    if not same or before != after:
        raise BundleError(f"{CONFIG}: version_policy cannot be edited where it stands; write it on lines of its own")
    return new
