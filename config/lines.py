"""Where in a TOML file each key stands.

``tomllib`` forgets line numbers, and an error without one is a search. This scanner reads a text
that ``tomllib`` has already accepted, so it need not judge syntax: it only follows table headers,
keys, and the values that go on over several lines.
"""

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

_KEY_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|[\[\]{}#]|[^"\'\[\]{}#]+|.')


def _split_key(text: str) -> tuple[list[str], int]:
    """Parts of a dotted key at the start of ``text``, and where it ends."""
    parts: list[str] = []
    at = 0
    while match := _KEY_PART.match(text, at):
        parts.append(next(group for group in match.groups() if group is not None))
        at = match.end()
        if at >= len(text) or text[at] != ".":
            break
        at += 1
    return parts, at


class _Value:
    """Follows a value until it ends: bracket depth and multi-line strings."""

    def __init__(self) -> None:
        self.depth = 0
        self.quote = ""

    def feed(self, text: str) -> bool:
        """Take one line; True while the value goes on in the next one."""
        at = 0
        while at < len(text):
            if self.quote:
                end = text.find(self.quote, at)
                while end > 0 and self.quote == '"""' and text[end - 1] == "\\":
                    end = text.find(self.quote, end + 1)
                if end < 0:
                    return True
                at = end + 3
                self.quote = ""
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                break
            token, at = match.group(), match.end()
            if token == "#":
                break
            if token in ('"""', "'''"):
                self.quote = token
            elif token in "[{":
                self.depth += 1
            elif token in "]}":
                self.depth -= 1
        return self.depth > 0 or bool(self.quote)


def _header(line: str, counts: dict[KeyPath, int]) -> KeyPath:
    """Path of a ``[table]`` or the next ``[[array of tables]]`` entry."""
    is_array = line.startswith("[[")
    parts, _ = _split_key(line[2 if is_array else 1 :])
    path: KeyPath = ()
    for depth, part in enumerate(parts):
        path = (*path, part)
        last = depth == len(parts) - 1
        if last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _entries(text: str) -> Iterator[tuple[KeyPath, int]]:
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    value: _Value | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        if value is not None:
            value = value if value.feed(raw) else None
            continue
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            table = _header(line, counts)
            yield table, number
            continue
        parts, end = _split_key(line)
        path = table
        for part in parts:
            path = (*path, part)
            yield path, number
        value = _Value()
        if not value.feed(line[end + 1 :]):
            value = None


class Lines:
    """Line number of each key of one TOML text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        for path, number in _entries(text):
            self._lines.setdefault(path, number)

    def knows(self, path: KeyPath) -> bool:
        """Whether ``path`` itself is written in the file."""
        return path in self._lines

    def of(self, path: KeyPath) -> int:
        """Line of ``path``, or of the nearest enclosing key that is written in the file; 1 at worst."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)
