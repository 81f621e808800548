"""Layouts: which fields a message, component or group has, as a tree, and its one-line text.

The text is a line of tokens separated by blanks, in the order of the specification::

    11            field 11, optional            11!           required
    @Instrument   component, optional           @Instrument!  required
    <453 448 447 > repeating group: NumInGroup, then the entry's members; ``<453! ...`` required

A message holds components by name, so a dictionary's file stays small; :func:`expand` resolves
them when a message is first asked for.
"""

from collections.abc import Iterator, Mapping

import msgspec

from fix.errors import DictionaryError


class Node(msgspec.Struct, frozen=True):
    """One place in a layout: a field (``tag``), a component (``component``), or a group (``children``)."""

    tag: int
    required: bool
    component: str = ""
    children: "tuple[Node, ...] | None" = None


Layout = tuple[Node, ...]


class Member(msgspec.Struct, frozen=True):
    """A field of a message or of a group's entry, components resolved.

    ``required``: it must be there: the field is required and so is every component around it.
    ``declared``: the field itself says required, whatever stands around it.
    ``direct``: it stands in the message or group itself, not in a component.
    """

    tag: int
    required: bool
    declared: bool = False
    direct: bool = True
    group: "Group | None" = None


class Group(msgspec.Struct, frozen=True, eq=False):
    """A repeating group: its NumInGroup tag, the tag that opens an entry, and an entry's members in order."""

    count_tag: int
    delimiter: int
    members: dict[int, Member]


def parse_layout(tokens: list[str]) -> Layout:
    """Read a line of tokens.

    Raises
    ------
    DictionaryError
        When a token is none, or groups are not closed.
    """
    stack: list[tuple[int, bool, list[Node]]] = [(0, False, [])]
    for token in tokens:
        if token == ">":
            if len(stack) == 1:
                raise DictionaryError("layout: '>' closes no group")
            tag, required, children = stack.pop()
            stack[-1][2].append(Node(tag, required, children=tuple(children)))
            continue
        required = token.endswith("!")
        word = token[:-1] if required else token
        if word.startswith("@"):
            stack[-1][2].append(Node(0, required, component=word[1:]))
        elif word.startswith("<"):
            stack.append((_tag(word[1:]), required, []))
        else:
            stack[-1][2].append(Node(_tag(word), required))
    if len(stack) != 1:
        raise DictionaryError(f"layout: the group of tag {stack[-1][0]} is not closed; end it with '>'")
    return tuple(stack[0][2])


def _tag(word: str) -> int:
    if not (word.isascii() and word.isdigit() and word[0] != "0"):
        raise DictionaryError(f"layout: a tag must be a positive integer, was {word!r}")
    return int(word)


def format_layout(layout: Layout) -> str:
    """The line that :func:`parse_layout` reads."""
    return " ".join(_tokens(layout))


def _tokens(layout: Layout) -> Iterator[str]:
    for node in layout:
        mark = "!" if node.required else ""
        if node.component:
            yield f"@{node.component}{mark}"
        elif node.children is not None:
            yield f"<{node.tag}{mark}"
            yield from _tokens(node.children)
            yield ">"
        else:
            yield f"{node.tag}{mark}"


def resolve(layout: Layout, components: Mapping[str, Layout], _around: tuple[str, ...] = ()) -> Layout:
    """The same layout without components at its top level; their fields are required only where they are."""
    nodes: list[Node] = []
    for node in layout:
        if not node.component:
            nodes.append(node)
            continue
        for inner in resolve(_component(node.component, components, _around), components, (*_around, node.component)):
            nodes.append(inner if node.required else msgspec.structs.replace(inner, required=False))
    return tuple(nodes)


def _component(name: str, components: Mapping[str, Layout], around: tuple[str, ...]) -> Layout:
    if name in around:
        raise DictionaryError(f"component {name} contains itself: {' > '.join((*around, name))}")
    found = components.get(name)
    if found is None:
        raise DictionaryError(f"component {name} is not defined")
    return found


def expand(layout: Layout, components: Mapping[str, Layout]) -> dict[int, Member]:
    """Members of a layout by tag, in order, components and groups resolved."""
    members: dict[int, Member] = {}
    _collect(layout, components, members, around=(), direct=True)
    return members


def _collect(
    layout: Layout, components: Mapping[str, Layout], members: dict[int, Member], *,
    around: tuple[str, ...], direct: bool, inside_required: bool = True,
) -> None:  # fmt: skip
    for node in layout:
        if node.component:
            _collect(
                _component(node.component, components, around), components, members,
                around=(*around, node.component), direct=False, inside_required=inside_required and node.required,
            )  # fmt: skip
            continue
        group = None
        if node.children:
            entry: dict[int, Member] = {}
            _collect(node.children, components, entry, around=around, direct=True)
            group = Group(node.tag, next(iter(entry)), entry)
        members[node.tag] = Member(node.tag, node.required and inside_required, node.required, direct, group)
