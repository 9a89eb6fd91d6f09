"""Parameter names on both sides of a conversion."""

import re
from collections.abc import Iterable, Mapping


class KeyMap:
    """
    A table of name pairs that reads in both directions.

    Args:
        rules: pairs of (official name, our name). `{field}` stands for a part that both names share.
        fields: regular expression of each field.

    Example:

    >>> names = KeyMap([("blocks.{n}.norm.{p}", "layers.{n}.norm1.{p}")], {"n": r"\\d+", "p": "weight|bias"})
    >>> names.to_ours("blocks.3.norm.bias")
    'layers.3.norm1.bias'
    >>> names.to_official("layers.3.norm1.bias")
    'blocks.3.norm.bias'
    """

    def __init__(self, rules: Iterable[tuple[str, str]], fields: Mapping[str, str]) -> None:
        rules = list(rules)
        self._to_ours = [(_compile(official, fields), ours) for official, ours in rules]
        self._to_official = [(_compile(ours, fields), official) for official, ours in rules]

    def to_ours(self, official_key: str) -> str:
        """Our name. Raises `KeyError` for a name that is not in the table."""
        return _rename(official_key, self._to_ours)

    def to_official(self, our_key: str) -> str:
        """The official name. Raises `KeyError` for a name that is not in the table."""
        return _rename(our_key, self._to_official)


def _compile(template: str, fields: Mapping[str, str]) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>{fields[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def _rename(key: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, template in rules:
        match = pattern.fullmatch(key)
        if match is not None:
            return template.format(**match.groupdict())
    raise KeyError(key)


def count_levels(keys: Iterable[str], prefix: str) -> int:
    """
    How many numbered parts a model has, going by the highest number, so that a gap is a missing key and not an end.

    Example:

    >>> count_levels(["encoder.down.0.bias", "encoder.down.2.bias", "decoder.up.7.bias"], "encoder.down.")
    3
    """
    numbers = (key.removeprefix(prefix).split(".")[0] for key in keys if key.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_SUFFIX = re.compile(r"(?<=\.)(weight|bias)$")


def summarise_keys(keys: Iterable[str], max_groups: int = 20) -> list[str]:
    """
    Make a long list of names readable: one line for names that differ only in numbers, or in being weight or bias.

    Args:
        keys: parameter names.
        max_groups: lines after which the rest is only counted.

    Example:

    >>> summarise_keys(["blocks.0.norm.bias", "blocks.0.norm.weight", "blocks.1.norm.weight", "head.bias"])
    ['blocks.{0-1}.norm.{bias,weight} (3 keys)', 'head.bias']
    """
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(_SUFFIX.sub("#", _NUMBER.sub("#", key)), []).append(key)
    lines = [_describe_group(members) for members in groups.values()]
    if len(lines) > max_groups:
        num_hidden = sum(len(members) for members in list(groups.values())[max_groups:])
        lines = [*lines[:max_groups], f"and {num_hidden} more keys"]
    return lines


def _describe_group(keys: list[str]) -> str:
    if len(keys) == 1:
        return keys[0]
    columns = zip(*(map(int, _NUMBER.findall(key)) for key in keys), strict=True)
    numbers = iter([_describe_numbers(sorted(set(column))) for column in columns])
    suffixes = sorted({match[1] for key in keys if (match := _SUFFIX.search(key))})
    name = _NUMBER.sub(lambda _: next(numbers), keys[0])
    return f"{_SUFFIX.sub(_braces(suffixes), name)} ({len(keys)} keys)"


def _describe_numbers(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{{{numbers[0]}-{numbers[-1]}}}"
    return _braces(map(str, numbers))


def _braces(words: Iterable[str]) -> str:
    words = list(words)
    return words[0] if len(words) == 1 else "{" + ",".join(words) + "}"
