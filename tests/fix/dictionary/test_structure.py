"""The quick acceptance of plain messages never takes what the rules, one by one, refuse."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fix.dictionary.structure import _is_plain, check_structure, check_thoroughly
from fix.messages import Message

TIME = b"20151224-14:30:00.000"
HEAD = [(8, b"FIX.4.4"), (9, b"70"), (35, b"D"), (34, b"2"), (49, b"AXIOM"), (52, TIME), (56, b"OPT")]
BODY = [(11, b"A"), (55, b"GOOG"), (54, b"1"), (38, b"10")]
TAGS = [*range(-1, 12), 16, 34, 35, 36, 38, 43, 45, 49, 50, 52, 54, 55, 56, 89, 90, 93, 97, 98, 108, 112, 115, 122,
        123, 141, 369, 627, 628, 630, 1128, 1156, 5001]  # fmt: skip
VALUES = [b"", b"1", b"Y", b"N", b"x", b"-1", b"D", b"A", b"0", b"AE", b"\xe9", b"a b", TIME, TIME[:17], b"20150231",
          b"18446744073709551616"]  # fmt: skip
FIELDS = st.tuples(st.sampled_from(TAGS), st.sampled_from(VALUES))
CHANGES = st.lists(st.tuples(st.sampled_from(["put", "drop", "set", "swap"]), st.integers(0, 40), FIELDS), max_size=4)


def changed(changes: list[tuple[str, int, tuple[int, bytes]]]) -> Message:
    """An order that is sound, but for ``changes``."""
    fields = [*HEAD, *BODY, (10, b"000")]
    for kind, place, field in changes:
        at = place % len(fields)
        if kind == "put":
            fields.insert(at, field)
        elif kind == "drop" and len(fields) > 1:
            del fields[at]
        elif kind == "set":
            fields[at] = (fields[at][0], field[1])
        elif kind == "swap":
            fields[at], fields[at - 1] = fields[at - 1], fields[at]
    return Message(b"", fields)


@settings(max_examples=2000, deadline=None)
@given(CHANGES)
@example([("put", 10, (34, b"2"))])
@example([("swap", 4, (1, b""))])
def test_what_is_plain_is_sound(changes: list[tuple[str, int, tuple[int, bytes]]]) -> None:
    message = changed(changes)
    if 35 not in message:  # parse() lets no such message through
        return
    if _is_plain(message):
        assert check_thoroughly(message) is None, message.fields
    assert check_structure(message) == check_thoroughly(message)


def test_the_ordinary_is_plain_and_each_rule_alone_makes_it_a_matter_of_the_walks() -> None:
    assert _is_plain(changed([]))
    for at, (tag, _) in enumerate(HEAD):
        if tag not in (8, 9):
            assert not _is_plain(changed([("drop", at, (0, b""))])), tag
        assert not _is_plain(changed([("set", at, (0, b""))])), tag


@pytest.mark.parametrize("field", [(0, b"1"), (-1, b"1"), (89, b"x"), (43, b"Y"), (122, b"x"), (7, b"x"), (38, b"10")])
def test_what_a_rule_is_about_is_left_to_the_walks(field: tuple[int, bytes]) -> None:
    assert not _is_plain(changed([("put", 9, field)]))
