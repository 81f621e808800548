"""Cold parse, build and framing."""

from contextlib import suppress

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from fix.errors import GarbledMessageError
from fix.messages import (
    Message,
    build,
    encode_value,
    frame,
    join_fields,
    parse,
    parse_int,
    parse_utc_timestamp,
    seal,
    utc_timestamp,
)

NOW_NS = 1_450_967_400_123_456_789  # 2015-12-24 14:30:00.123456789 UTC


def sample(seq: int = 7) -> bytes:
    return build("FIX.4.4", "D", seq, "AXIOM", "OPT", utc_timestamp(NOW_NS), [(11, "ID"), (55, "GOOG"), (38, 10)])


def test_built_message_is_what_an_independent_parser_reads() -> None:
    parser = simplefix.FixParser()
    parser.append_buffer(sample())
    theirs = parser.get_message()
    assert theirs.encode() == simplefix_encode(sample())
    ours = parse(sample())
    assert [(tag, value) for tag, value in ours.fields] == [(int(tag), value) for tag, value in theirs.pairs]
    assert ours.msg_type == "D" and ours.seq == 7 and ours.text(52) == "20151224-14:30:00.123"


def simplefix_encode(raw: bytes) -> bytes:
    message = simplefix.FixMessage()
    for tag, value in parse(raw).fields:
        if tag not in (9, 10):
            message.append_pair(tag, value)
    return bytes(message.encode())


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b"9=", b"9=1", 1),
        lambda raw: raw[:-4] + b"999\x01" if raw[-4:-1] != b"999" else raw[:-4] + b"998\x01",
        lambda raw: raw.replace(b"35=D", b"36=D"),
        lambda raw: raw.replace(b"11=ID", b"11ID="),
        lambda raw: raw[:-1],
        lambda raw: raw[2:],
        lambda raw: raw.replace(b"ID", b"IE"),
    ],
)
def test_damaged_message_is_garbled(damage: object) -> None:
    with pytest.raises(GarbledMessageError):
        parse(damage(sample()))  # type: ignore[operator]


def test_raw_data_may_contain_soh_when_its_length_is_announced() -> None:
    message = parse(join_fields("FIX.4.4", [(35, "B"), (95, 5), (96, b"a\x01b=c"), (58, "after")]))
    assert message.get(96) == b"a\x01b=c"
    assert message.text(58) == "after"


@pytest.mark.parametrize(
    ("begin_string", "fields", "sound"),
    [
        ("FIX.4.4", [(96, b"abc")], False),
        ("FIX.4.4", [(96, b"abc"), (95, 3)], False),
        ("FIX.4.4", [(95, "x"), (96, b"abc")], False),
        ("FIX.4.4", [(95, 2), (96, b"abc")], False),
        ("FIX.4.4", [(95, 3), (96, b"abc"), (96, b"abc")], False),
        ("FIX.4.4", [(95, 3), (108, 30), (96, b"a\x01c")], True),
        ("FIX.4.4", [(95, 9), (95, 3), (96, b"abc")], True),
        ("FIX.4.4", [(95, 3)], True),
        ("FIX.4.0", [(96, b"abc")], False),
        ("FIX.4.1", [(355, b"abc")], True),  # no field of that version: a matter of the dictionary
        ("FIX.4.2", [(355, b"abc")], False),
        ("FIX.4.2", [(619, b"abc")], True),
        ("FIX.4.3", [(619, b"abc")], False),
        ("FIX.4.4", [(1402, b"abc")], True),
        ("FIXT.1.1", [(1402, b"abc")], False),
        ("FIX.4.4", [(89, b"abc")], False),
    ],
)
def test_raw_data_needs_its_length_before_it(begin_string: str, fields: list[tuple[int, bytes]], sound: bool) -> None:
    text = b"35=B\x01" + b"".join([b"%d=%b\x01" % (tag, encode_value(value)) for tag, value in fields])
    raw = seal(b"8=%b\x019=" % begin_string.encode(), text)
    if sound:
        assert [(tag, value) for tag, value in parse(raw).fields[3:-1]] == [(t, encode_value(v)) for t, v in fields]
    else:
        with pytest.raises(GarbledMessageError):
            parse(raw)


def test_a_value_cannot_smuggle_in_a_field() -> None:
    with pytest.raises(ValueError, match="must not contain SOH"):
        join_fields("FIX.4.4", [(35, "0"), (58, "x\x0110=000")])


def test_groups_are_split_at_their_first_tag() -> None:
    raw = join_fields("FIX.4.4", [(35, "y"), (320, "r"), (146, 2), (55, "A"), (202, 1), (55, "B"), (202, 2)])
    assert parse(raw).groups(146, 55) == [{55: b"A", 202: b"1"}, {55: b"B", 202: b"2"}]


@given(st.integers(0, 200), st.integers(1, 40))
def test_framing_gives_the_same_messages_however_the_bytes_arrive(cut: int, size: int) -> None:
    stream = sample(1) + b"noise8=F" + sample(2) + sample(3)
    buffer, start, found = bytearray(), 0, []
    position = 0
    pieces = [cut, *([size] * (len(stream) // size + 1))]
    for piece in pieces:
        buffer += stream[position : position + piece]
        position += piece
        while True:
            begin, stop = frame(buffer, start, len(buffer))
            start = stop
            if begin == stop:
                break
            found.append(bytes(buffer[begin:stop]))
    assert found == [sample(1), sample(2), sample(3)]


@pytest.mark.parametrize("begin_string", [b"XYZ", b"", b"fix.4.4", b"\x00FIX.4.2"])
def test_a_message_of_no_known_version_is_framed_like_any_other(begin_string: bytes) -> None:
    strange = b"8=%b\x019=5\x0135=0\x0110=000\x01" % begin_string
    stream = b"58=free text 8=" + strange + sample(2)
    begin, stop = frame(stream, 0, len(stream))
    assert stream[begin:stop] == strange
    begin, stop = frame(stream, stop, len(stream))
    assert stream[begin:stop] == sample(2)


def test_wrong_body_length_swallows_what_it_covers_and_no_more() -> None:
    length = int(parse(sample(1)).text(9))
    damaged = sample(1).replace(b"\x019=%d" % length, b"\x019=%d" % (length + 20), 1)  # runs into the next one
    stream = damaged + sample(2) + sample(3)
    begin, stop = frame(stream, 0, len(stream))
    with pytest.raises(GarbledMessageError):
        parse(stream[begin:stop])
    begin, stop = frame(stream, stop, len(stream))
    assert parse(stream[begin:stop]).seq == 3


@pytest.mark.parametrize("length", [b"99999999999", b"-5", b"abc", b""])
def test_impossible_body_length_does_not_block_the_stream(length: bytes) -> None:
    stream = b"8=FIX.4.4\x019=" + length + b"\x0135=0\x01" + sample(2)
    begin, stop = frame(stream, 0, len(stream))
    assert stream[begin:stop] == sample(2)


@given(st.binary(max_size=300))
def test_any_bytes_are_either_parsed_or_garbled(data: bytes) -> None:
    begin, stop = frame(data, 0, len(data))
    assert 0 <= begin <= stop <= len(data)
    with suppress(GarbledMessageError):
        assert isinstance(parse(data), Message)


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_timestamp_round_trip_is_exact_to_the_millisecond(now_ns: int) -> None:
    assert parse_utc_timestamp(utc_timestamp(now_ns)) == now_ns - now_ns % 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"20151224-14:30:00", 1_450_967_400_000_000_000),
        (b"20151224-14:30:00.5", 1_450_967_400_500_000_000),
        (b"20151224-14:30:00.123456789", 1_450_967_400_123_456_789),
        (b"20151231-23:59:60", 1_451_606_400_000_000_000),  # a leap second
        (b"20150229-00:00:00", None),
        (b"20151224-24:00:00", None),
        (b"20151224 14:30:00", None),
        (b"20151224-14:30:00.", 1_450_967_400_000_000_000),
        (b"", None),
    ],
)
def test_timestamp_formats(text: bytes, expected: int | None) -> None:
    assert parse_utc_timestamp(text) == expected


@pytest.mark.parametrize(
    ("text", "value"), [(b"12", 12), (b"-3", -3), (b"+3", None), (b"1_0", None), (b" 1", None), (b"", None)]
)
def test_integers_are_read_as_fix_writes_them(text: bytes, value: int | None) -> None:
    assert parse_int(text) == value
