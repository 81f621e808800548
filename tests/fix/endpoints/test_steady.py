"""The plain fast path takes exactly what the machine takes, and writes exactly what it writes."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.dictionary import Validation, load, validator_for
from fix.dictionary.plan import Values, both
from fix.endpoints.steady import SteadyReader, SteadyWriter
from fix.messages import build, checksum, utc_timestamp
from fix.session import AppMessage, SessionMachine, TimestampPrecision
from fix.store import MemoryStore
from fix.testing import START_NS, ScriptedPeer, Side, acceptor_settings, initiator_settings

ORDER: list[tuple[int, Any]] = [(11, "A1"), (55, "GOOG"), (54, "1"), (38, 10), (40, "2"), (44, b"12.45"), (58, "täg=1")]


def order(seq: int = 2, body: Any = ORDER, header: Any = (), stamp: int = START_NS, **names: str) -> bytes:
    return build(
        "FIX.4.4",
        "D",
        seq,
        names.get("sender", "AXIOM"),
        names.get("target", "OPT"),
        utc_timestamp(stamp),
        body,
        header,
    )


def reader(**changes: Any) -> SteadyReader:
    """One that has learned the shape of ``order()``."""
    made = SteadyReader(acceptor_settings(**changes))
    assert take(made, order()) is None, "not before the machine has accepted one"
    made.accepted(order())
    return made


def take(made: SteadyReader, raw: bytes, next_in: int = 2, now: int = START_NS, before: bytes = b"") -> bytes | None:
    buffer = bytearray(before + raw + bytes(64))
    found = made.take(buffer, len(before), len(before) + len(raw), next_in, now)
    if found is None:
        return None
    assert found.stop == len(before) + len(raw)
    return found.raw


def with_sum(raw: bytes) -> bytes:
    return raw[:-7] + b"10=%03d\x01" % checksum(raw[:-7])


def test_next_message_of_a_known_shape_is_taken() -> None:
    other = [(tag, f"{value!s}9") if tag != 58 else (tag, value) for tag, value in ORDER]
    assert take(reader(), order(7, other), 7) == order(7, other)
    assert take(reader(), order(), before=b"junk that was taken before") == order()


def by_kernel_order(raw: bytes) -> bytes:
    """The same message with the header as our kernels write it: 49, 56, 34, 52."""
    found = re.match(rb"(8=.*?35=D\x01)(34=2\x01)(49=AXIOM\x01)(52=[^\x01]+\x01)(56=OPT\x01)(.*)", raw, re.DOTALL)
    assert found is not None
    head, seq, sender, stamp, target, rest = found.groups()
    return with_sum(head + sender + target + seq + stamp + rest)


def test_header_in_the_order_of_the_kernels() -> None:
    made = SteadyReader(acceptor_settings())
    raw = by_kernel_order(order())
    made.accepted(raw)
    assert take(made, raw) == raw


@pytest.mark.parametrize(
    "raw",
    [
        order(3), order(1),
        order(header=[(43, "Y"), (122, "20151224-14:30:00.000")]), order(header=[(97, "Y")]),
        order(header=[(115, "FIRM")]), order(sender="OTHER"), order(target="OTHER"),
        order(stamp=START_NS + 121 * 10**9), order(stamp=START_NS - 121 * 10**9),
        order(body=ORDER[:-1]), order(body=[*ORDER, (1, "a")]), order(body=[ORDER[1], ORDER[0], *ORDER[2:]]),
        order()[:-4] + b"000\x01", order().replace(b"FIX.4.4", b"FIX.4.2"),
        with_sum(order().replace(b"11=A1", b"11=")),
        with_sum(order().replace(b"35=D", b"35=E")), order()[:-1], order()[:40], b"",
    ],
)  # fmt: skip
def test_anything_else_is_left_for_the_machine(raw: bytes) -> None:
    assert take(reader(), raw) is None


@pytest.mark.parametrize(
    ("msg_type", "body"),
    [
        ("0", []), ("1", [(112, "x")]), ("4", [(36, 9)]), ("B", [(95, 3), (96, "a=b")]), ("D", [(11, "x"), (108, "5")]),
        ("D", [(11, "x"), (89, "x")]), ("D", [(11, "x"), (34, "9")]),
    ],
)  # fmt: skip
def test_shapes_whose_values_matter_are_never_learned(msg_type: str, body: Any) -> None:
    made = SteadyReader(acceptor_settings())
    raw = build("FIX.4.4", msg_type, 2, "AXIOM", "OPT", utc_timestamp(START_NS), body)
    made.accepted(raw)
    assert take(made, raw) is None


def test_only_so_many_shapes_are_kept() -> None:
    made = SteadyReader(acceptor_settings())
    shapes = [order(body=[(300 + k, "x") for k in range(n + 1)]) for n in range(9)]
    for raw in shapes:
        made.accepted(raw)
    assert take(made, shapes[0]) is None
    assert take(made, shapes[-1]) == shapes[-1]


FIELD = st.tuples(
    st.sampled_from([1, 11, 38, 43, 44, 52, 55, 58, 60, 95, 96, 108, 115, 141, 9999]),
    st.text(st.characters(codec="latin-1", exclude_characters="\x01"), max_size=6),
)


@settings(max_examples=150)
@given(
    st.lists(FIELD, max_size=6),
    st.lists(FIELD, max_size=6),
    st.integers(1, 3),
    st.binary(max_size=3),
    st.integers(0, 200),
)
def test_whatever_the_reader_takes_the_machine_takes_too(
    first: list[tuple[int, str]], second: list[tuple[int, str]], seq: int, noise: bytes, at: int
) -> None:
    """Learn from one random message if the machine takes it; then both must agree on another."""
    made = SteadyReader(acceptor_settings())
    with_first, with_second = (order(2 + k, body) for k, body in enumerate((first, second)))
    machine = logged_on()
    if is_plain(machine.receive(with_first, START_NS)):
        made.accepted(with_first)
    raw = order(seq, second if seq == 3 else first)
    raw = with_sum(raw[:at] + noise + raw[at:]) if noise else raw
    taken = take(made, raw, machine.next_in)
    if taken is not None:
        assert is_plain(machine.receive(raw, START_NS)), raw
    del with_second


def logged_on(version: str = "FIX.4.4", validator: Any = None) -> SessionMachine:
    machine = SessionMachine(acceptor_settings(begin_string=version), MemoryStore(), validator)
    machine.connected(START_NS)
    machine.receive(build(version, "A", 1, "AXIOM", "OPT", utc_timestamp(START_NS), [(98, 0), (108, 30)]), START_NS)
    return machine


def is_plain(events: list[Any]) -> bool:
    return len(events) == 1 and isinstance(events[0], AppMessage) and not events[0].poss_dup


ALPHABET = {
    11: ["A1", "x y"], 55: ["GOOG", ""], 54: ["1", "2", "Z", "11"], 38: ["10", "1.5", "-1", "ten", "1e3", "5."],
    40: ["2", "Q", "1"], 44: ["12.45", ".", "1,2"], 59: ["0", "A1"], 21: ["1", "9"], 77: ["O", "K"], 110: ["7"],
    60: ["20151224-14:30:00", "20151324-14:30:00", "now"], 453: ["0", "1"], 9999: ["own"], 18: ["1 2", "1 ?"],
    126: ["20151224-14:30:00.1"], 114: ["Y", "N", "y"], 117: ["Q1"], 58: ["text"], 78: ["0", "1", "00"],
    528: ["A", "Z", "AA"], 529: ["1", "1 2 A", "1  2", " 1", "?"], 432: ["20151224", "20151232", "2015-1-1"],
    210: ["10", "1_0", "+1"], 847: ["1", "1000", "x"], 854: ["0", "9"], 168: ["20151224-24:00:00", "20151231-23:59:60"],
}  # fmt: skip
VALUES = st.lists(
    st.sampled_from(sorted(ALPHABET)).flatmap(lambda tag: st.tuples(st.just(tag), st.sampled_from(ALPHABET[tag]))),
    max_size=5, unique_by=lambda field: field[0],
)  # fmt: skip
PLAIN = [(11, "A1"), (21, "1"), (38, "10"), (40, "2"), (54, "1"), (55, "GOOG"), (60, "20151224-14:30:00")]


@settings(max_examples=300)
@given(VALUES, VALUES, st.sampled_from(["FIX.4.4", "FIX.4.2"]), st.booleans())
def test_dictionary_would_have_accepted_what_the_reader_takes(
    extra: list[tuple[int, str]], other: list[tuple[int, str]], version: str, strict: bool
) -> None:
    """Learn a shape from a message that the machine accepts; then change its values at will."""
    validator = validator_for(version, Validation(strict=strict))
    made = SteadyReader(acceptor_settings(begin_string=version), validator)
    first = [*[field for field in PLAIN if field[0] not in dict(extra)], *extra]
    changed = [(tag, dict(other).get(tag, value)) for tag, value in first]
    raws = [
        build(version, "D", seq, "AXIOM", "OPT", utc_timestamp(START_NS), body)
        for seq, body in ((2, first), (3, changed))
    ]
    machine = logged_on(version, validator)
    if not is_plain(machine.receive(raws[0], START_NS)):
        return
    made.accepted(raws[0])
    if take(made, raws[1], 3) is not None:
        assert is_plain(machine.receive(raws[1], START_NS)), raws[1]


ODD = ["", "0", "-", "-0", "007", "1.", ".5", "1.5.", "+1", "1e5", "999999999", "2147483648", "-2147483648", "9" * 21,
       "Y", "y", "YN", "A", "AB", "1 2", "1  2", " 1", "1 ", "20150229", "20151232", "00000101", "20151224-14:30:00",
       "20151224-14:30:60.123456789", "20151224-24:00:00", "20150229-00:00:00", "14:30:00", "14:30", "USD", "^", "]",
       "\\"]  # fmt: skip
VERSIONS = ["FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1", "FIX.5.0", "FIX.5.0SP1", "FIX.5.0SP2"]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_pattern_of_a_field_matches_nothing_that_its_tests_refuse(version: str, strict: bool) -> None:
    values = Values(load(version), Validation(strict=strict))
    built_in = 0
    for tag in values.dictionary.tags:
        pattern, test = values.pattern(tag), both(values.tests(tag))
        field = values.dictionary.field(tag)
        assert field is not None
        if pattern is None:
            assert test is not None, "somebody must look at the value"
            continue
        built_in += test is not None
        known = list(field.values)
        for text in {*ODD, *known, *(f"{one} {known[0]}" for one in known), *(f"{one}{known[0]}" for one in known)}:
            value = text.encode("latin-1", "replace")
            if re.fullmatch(pattern, value):
                assert value and (test is None or test(value)), (tag, field.type, value)
        for value in (text.encode("latin-1", "replace") for text in known):
            assert bool(re.fullmatch(pattern, value)) == bool(test is None or test(value)), (tag, value)
    assert built_in > 10 or version == "FIXT.1.1"


@settings(max_examples=300)
@given(st.sampled_from(VERSIONS), st.data(), st.text("0123456789-.:YNABab +Z\x02", max_size=24))
def test_pattern_of_any_field_against_any_text(version: str, data: st.DataObject, text: str) -> None:
    values = Values(load(version), Validation())
    tag = data.draw(st.sampled_from(sorted(values.dictionary.tags)))
    pattern, test, value = values.pattern(tag), both(values.tests(tag)), text.encode()
    if pattern is not None and re.fullmatch(pattern, value):
        assert value and (test is None or test(value))


@pytest.mark.parametrize("text", ["x" * 300, "\xe9" * 3, "\xff" * 600])
def test_checksum_of_long_messages_and_of_bytes_above_127(text: str) -> None:
    long = [*ORDER[:-1], (58, text)]
    assert take(reader(), order(body=long)) == order(body=long)
    raw = order(body=long)
    for wrong in ((int(raw[-4:-1]) + 1) % 256, 256, 999):
        assert take(reader(), raw[:-4] + b"%03d\x01" % wrong) is None


def test_body_length_that_is_wrong_by_its_digits_is_left_for_the_machine() -> None:
    raw = order()
    length = re.search(rb"\x019=(\d+)\x01", raw)
    assert length is not None
    for wrong in (b"%d" % (int(length[1]) + 1), b"%d" % (int(length[1]) - 1), b"9%b" % length[1], length[1][:-1]):
        changed = with_sum(raw[: length.start(1)] + wrong + raw[length.end(1) :])
        assert take(reader(), changed) is None
    padded = with_sum(raw[: length.start(1)] + b"0" + length[1] + raw[length.end(1) :])
    if take(reader(), padded) is not None:
        assert is_plain(logged_on().receive(padded, START_NS))


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4"])
def test_validated_messages_are_taken_and_those_with_groups_left(version: str) -> None:
    made = SteadyReader(acceptor_settings(begin_string=version), validator_for(version))
    plain, grouped = (
        build(version, "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), body) for body in (PLAIN, [*PLAIN, (78, "0")])
    )
    made.accepted(plain)
    assert take(made, plain) == plain
    made.accepted(grouped)
    assert take(made, grouped) is None
    made.forget()
    assert take(made, plain) is None


CONSTANTS = {
    "sender_sub_id": "DESK 7",
    "target_location_id": "100%",
    "on_behalf_of_comp_id": "FUND",
    "deliver_to_comp_id": "X",
}


@pytest.mark.parametrize("begin_string", ["FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1"])
@pytest.mark.parametrize("constants", [{}, CONSTANTS])
@pytest.mark.parametrize("fields", [[], ORDER, [(58, "100 % 'b'")], [(38, 0), (44, -1)]])
def test_steady_writer_writes_what_the_machine_writes(
    tmp_path: Path, begin_string: str, constants: dict[str, str], fields: Any
) -> None:
    side = Side(tmp_path, initiator_settings(begin_string=begin_string, **constants))
    writer = SteadyWriter(side.settings)
    ours = writer.build("D", 1, fields, START_NS)
    side.machine._send("D", fields, START_NS)
    assert ours == side.machine.take_output()
    side.store.release()


@pytest.mark.parametrize("precision", list(TimestampPrecision))
def test_writer_stamps_each_message_with_its_own_time(precision: TimestampPrecision) -> None:
    writer = SteadyWriter(initiator_settings(timestamp_precision=precision))
    for ago_ns in (0, 1, 999_999, 1_000_000, 999_000_000, 999_999_999, 10**9, 61 * 10**9, -5, 86_400 * 10**9, 0):
        raw = writer.build("D", 1, ORDER, START_NS - ago_ns)
        assert raw is not None
        assert b"\x0152=%b\x01" % utc_timestamp(START_NS - ago_ns, int(precision)) in raw


@pytest.mark.parametrize(
    "fields", [[(58, "a\x0135=A")], [(43, "Y")], [(95, 2), (96, b"\x01\x01")], [(0, "x")], [("11", "x")]]
)
def test_writer_leaves_the_unusual_to_the_machine(fields: Any) -> None:
    assert SteadyWriter(initiator_settings()).build("D", 1, fields, START_NS) is None


def test_writer_stands_back_where_the_header_changes_with_each_message() -> None:
    assert not SteadyWriter(initiator_settings(last_msg_seq_num_processed=True)).usable


def test_peer_of_the_machine_is_not_used_here(tmp_path: Path) -> None:
    """The scripted peer's messages are of the learned kind: a guard that this file tests what happens on the wire."""
    side = Side(tmp_path, acceptor_settings())
    peer = ScriptedPeer(side)
    peer.logon()
    peer.say("D", 2, ORDER)
    assert isinstance(side.events[-1], AppMessage)
    made = SteadyReader(side.settings)
    made.accepted(side.events[-1].raw)
    assert take(made, side.events[-1].raw) is not None
    side.store.release()
