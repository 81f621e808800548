"""What ``decode`` takes and what it leaves: nothing wrong gets through, nothing right is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.codec import HandOver, HotLink, Role, StopReason, decode, decode_one
from fix.codec.words import JIT_ENABLED
from market import records
from tests.fix.codec import wire
from tests.fix.codec.wire import CALL, NOW_NS, NOW_TEXT, SYMBOLS, array, body_of, message, reframe

TABLE = wire.symbol_table()
REPORT: wire.Fields = [
    (37, "00000000000000AB"), (11, "0001000000020003"), (17, "00000000DEADBEEF"), (150, "F"), (39, "1"), (55,
     SYMBOLS[CALL]),
    (54, "1"), (38, 10), (44, "12.50"), (32, 3), (31, "12.45"), (151, 7), (14, 3), (6, "12.45"), (60, NOW_TEXT),
]  # fmt: skip
ORDER: wire.Fields = [
    (11, "0001000000020003"), (55, SYMBOLS[CALL]), (54, "2"), (38, 10), (40, "2"), (44, "0.05"), (59, "0"), (21, "1"),
     (60, NOW_TEXT),
]  # fmt: skip
REJECT: wire.Fields = [
    (37, "NONE"), (11, "0001000000020004"), (41, "0001000000020003"), (39, "8"), (434, "1"), (102, 1), (60, NOW_TEXT),
]  # fmt: skip
SNAPSHOT: wire.Fields = [
    (55, SYMBOLS[CALL]), (268, 2), (269, "0"), (270, "1.00"), (271, 5), (269, "1"), (270, "1.05"), (271, 7),
]  # fmt: skip


def report(seq: int = 1, **header: object) -> bytes:
    return message("8", seq, REPORT, **header)


def take(data: bytes, link: HotLink | None = None, next_in: int = 1, rows: int = 64) -> tuple[int, int, int, int]:
    link = link or wire.client_link()
    result = decode(link.state, TABLE.state, array(data), 0, len(data), next_in, NOW_NS, wire.frames(rows))
    return tuple(int(x) for x in result)  # type: ignore[return-value]


STREAM = [
    report(1),
    message("9", 2, REJECT),
    message("W", 3, SNAPSHOT),
    report(4),
    message("W", 5, SNAPSHOT),
    report(6),
]


def test_a_stream_of_steady_messages_is_taken_whole() -> None:
    data = b"".join(STREAM)
    assert take(data) == (len(data), 6, 6, StopReason.NEED_MORE)


def test_nothing_received_is_nothing_taken() -> None:
    assert take(b"") == (0, 0, 0, StopReason.NEED_MORE)


def test_a_stream_cut_at_any_byte_gives_the_whole_messages_before_the_cut() -> None:
    data = b"".join(STREAM[:3])
    ends = np.cumsum([0] + [len(m) for m in STREAM[:3]]).tolist()
    buffer, link, out = array(data), wire.client_link(), wire.frames(8)
    step = 1 if JIT_ENABLED else 17
    for cut in range(0, len(data) + 1, step):
        whole = sum(end <= cut for end in ends[1:])
        result = decode(link.state, TABLE.state, buffer, 0, cut, 1, NOW_NS, out)
        assert tuple(result) == (ends[whole], whole, whole, StopReason.NEED_MORE)


def test_two_halves_give_what_the_whole_gives() -> None:
    data = b"".join(STREAM)
    buffer, link, out = array(data), wire.client_link(), wire.frames(8)
    for cut in range(0, len(data), 1 if JIT_ENABLED else 41):
        consumed, frames, messages, _ = decode(link.state, TABLE.state, buffer, 0, cut, 1, NOW_NS, out)
        rest = decode(link.state, TABLE.state, buffer, consumed, len(data), 1 + messages, NOW_NS, out[frames:])
        assert (consumed + rest[0], frames + rest[1], messages + rest[2]) == (len(data), 6, 6)


def test_leading_zeros_of_sequence_and_length_are_read() -> None:
    data = report("000000001")  # type: ignore[arg-type]
    length = data.split(b"\x01")[1]
    padded = data.replace(length, b"9=000" + length[2:])
    padded = padded[:-7] + b"10=%03d\x01" % (sum(padded[:-7]) % 256)
    assert take(data)[2] == 1
    assert take(padded) == (len(padded), 1, 1, StopReason.NEED_MORE)


SEQ = 2
HANDED_OVER = {
    "heartbeat": (message("0", SEQ, []), HandOver.MESSAGE_TYPE),
    "mass cancel report": (message("r", SEQ, REPORT), HandOver.MESSAGE_TYPE),
    "an order at a client": (message("D", SEQ, ORDER), HandOver.MESSAGE_TYPE),
    "two character type": (message("AF", SEQ, []), HandOver.MESSAGE_TYPE),
    "three character type": (message("888", SEQ, REPORT), HandOver.MESSAGE_TYPE),
    "sequence too high": (report(SEQ + 1), HandOver.SEQUENCE),
    "sequence too low": (report(SEQ - 1), HandOver.SEQUENCE),
    "sequence negative": (report("-2"), HandOver.SEQUENCE),  # type: ignore[arg-type]
    "sequence no number": (report("2x"), HandOver.SEQUENCE),  # type: ignore[arg-type]
    "sequence 2**64 + 2": (report(2**64 + 2), HandOver.SEQUENCE),
    "no sequence": (report(None), HandOver.MISSING_FIELD),  # type: ignore[arg-type]
    "no sending time": (report(SEQ, t52=None), HandOver.MISSING_FIELD),
    "sender is another": (report(SEQ, t49="OPTVENUE2"), HandOver.COMP_ID),
    "sender is a beginning": (report(SEQ, t49="OPTVENUE"), HandOver.COMP_ID),
    "sender is longer": (report(SEQ, t49="OPTVENUE11"), HandOver.COMP_ID),
    "sender in lower case": (report(SEQ, t49="optvenue1"), HandOver.COMP_ID),
    "target is another": (report(SEQ, t56="AXIOM02"), HandOver.COMP_ID),
    "possible duplicate": (report(SEQ, t43="Y", t122=NOW_TEXT), HandOver.POSSIBLE_DUPLICATE),
    "possible resend": (report(SEQ, t97="Y"), HandOver.POSSIBLE_DUPLICATE),
    "PossDupFlag of another value": (report(SEQ, t43="X"), HandOver.STRUCTURE),
    "sent too long ago": (report(SEQ, t52="20260102-13:43:12.000"), HandOver.SENDING_TIME),
    "sent in the future": (report(SEQ, t52="20260102-13:47:13.000"), HandOver.SENDING_TIME),
    "sending time unreadable": (report(SEQ, t52="20260102 13:45:12"), HandOver.SENDING_TIME),
    "routed": (report(SEQ, t115="SOMEONE"), HandOver.STRUCTURE),
    "field twice": (message("8", SEQ, [*REPORT, (11, "0001000000020003")]), HandOver.STRUCTURE),
    "sender twice": (reframe(body_of(report(SEQ)).replace(b"\x0134", b"\x0149=OPTVENUE1\x0134")), HandOver.STRUCTURE),
    "header field in the body": (message("8", SEQ, [*REPORT[:3], (43, "N"), *REPORT[3:]]), HandOver.STRUCTURE),
    "extra header field in the body": (message("8", SEQ, [*REPORT, (50, "DESK")]), HandOver.STRUCTURE),
    "no symbol": (message("8", SEQ, [f for f in REPORT if f[0] != 55]), HandOver.MISSING_FIELD),
    "no execution id": (message("8", SEQ, [f for f in REPORT if f[0] != 17]), HandOver.MISSING_FIELD),
    "no cumulative quantity": (message("8", SEQ, [f for f in REPORT if f[0] != 14]), HandOver.MISSING_FIELD),
    "a reject without its original": (message("9", SEQ, [f for f in REJECT if f[0] != 41]), HandOver.MISSING_FIELD),
    "another version": (report(SEQ).replace(b"FIX.4.4", b"FIX.4.2"), HandOver.GARBLED),
    "MsgType not third": (reframe(b"34=2\x01" + body_of(report(SEQ)).replace(b"34=2\x01", b"")), HandOver.GARBLED),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", HandOver.GARBLED),
    "garbage of one byte": (b"x", HandOver.GARBLED),
    "a message that starts with its body": (body_of(report(SEQ)), HandOver.GARBLED),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDED_OVER)
def test_anything_unsteady_is_left_to_the_session(name: str) -> None:
    data, why = HANDED_OVER[name]
    link = wire.client_link()
    assert take(data, link, next_in=SEQ) == (0, 0, 0, StopReason.HAND_OVER)
    assert link.hand_over[0] == why


@pytest.mark.parametrize("name", HANDED_OVER)
def test_steady_messages_before_an_unsteady_one_are_taken_and_none_after(name: str) -> None:
    data, _ = HANDED_OVER[name]
    first = report(SEQ - 1)
    assert take(first + data + report(SEQ + 1), next_in=SEQ - 1) == (len(first), 1, 1, StopReason.HAND_OVER)


BODY = body_of(report())
GARBLED = {
    "checksum + 1": reframe(BODY, check=(sum(report()[:-7]) + 1) % 256),
    "checksum of two digits": report()[:-7] + b"10=12\x01",
    "checksum no number": report()[:-7] + b"10=12x\x01",
    "length + 1": reframe(BODY, length=len(BODY) + 1),
    "length - 1": reframe(BODY, length=len(BODY) - 1),
    "length 0": reframe(BODY, length=0),
    "length no number": reframe(BODY).replace(b"\x019=", b"\x019=x"),
    "length empty": reframe(BODY).replace(b"\x019=", b"\x019=\x01"),
    "length of seven digits": reframe(BODY).replace(b"\x019=", b"\x019=0000"),
    "negative length": reframe(BODY).replace(b"\x019=", b"\x019=-"),
    "tag without number": reframe(BODY.replace(b"\x0155=", b"\x01x5=")),
    "tag with leading zero": reframe(BODY.replace(b"\x0155=", b"\x01055=")),
    "tag of nine digits": reframe(BODY + b"123456789=1\x01"),
    "tag empty": reframe(BODY + b"=1\x01"),
    "tag zero": reframe(BODY + b"0=1\x01"),
    "field without equals": reframe(BODY + b"5812\x01"),
    "field empty": reframe(BODY + b"\x01"),
    "checksum in the body": reframe(BODY + b"10=012\x01"),
    "begin string in the body": reframe(BODY + b"8=FIX.4.4\x01"),
    "value empty": reframe(BODY + b"58=\x01"),
    "body too short": reframe(b"35=8"),
    "a data field longer than the body": reframe(BODY + b"354=9999\x01355=abc\x01"),
    "a data length that is no number": reframe(BODY + b"354=x\x01355=abc\x01"),
    "a data length that is negative": reframe(BODY + b"354=-1\x01355=abc\x01"),
    "a data length without its data": reframe(BODY + b"354=3\x01"),
    "data without its length": reframe(BODY + b"355=abc\x01"),
    "data before its length": reframe(BODY + b"355=abc\x01354=3\x01"),
    "a data length with another field in between": reframe(BODY + b"354=3\x0158=abc\x01355=abc\x01"),
    "a data length that swallows other fields": reframe(BODY + b"354=9\x0158=abc\x011=ABCD\x01"),
}


@pytest.mark.parametrize("name", GARBLED)
def test_a_garbled_message_is_never_taken(name: str) -> None:
    data = GARBLED[name]
    link = wire.client_link()
    assert take(data, link)[:3] == (0, 0, 0)
    assert take(data + report(1), link) == (0, 0, 0, StopReason.HAND_OVER)
    assert link.hand_over[0] in (HandOver.GARBLED, HandOver.STRUCTURE)
    one = decode_one(link.state, TABLE.state, array(data), 0, len(data), NOW_NS, wire.frames(1), 0)
    assert one in (-HandOver.GARBLED, -HandOver.STRUCTURE)


def test_a_data_field_may_hold_field_ends() -> None:
    text = b"\x0110=000\x018=FIX.4.4\x019=5\x01"
    data = reframe(BODY + b"354=%d\x01355=" % len(text) + text + b"\x0158=after\x01")
    assert take(data + report(2)) == (len(data) + len(report(2)), 2, 2, StopReason.NEED_MORE)


def test_unknown_fields_of_a_report_are_no_obstacle() -> None:
    body: wire.Fields = [
        *REPORT,
        (9999, "x"),
        (10001, "y"),
        (1234567, "z"),
        (453, 1),
        (448, "DESK"),
        (447, "D"),
        (452, 3),
        (58, "text"),
    ]
    assert take(message("8", 1, body, t50="DESK", t369=12))[1:] == (1, 1, StopReason.NEED_MORE)


def test_a_message_beyond_the_hot_path_is_handed_over_not_waited_for() -> None:
    link = wire.client_link()
    assert take(b"8=FIX.4.4\x019=16385\x0135=8\x0149=", link) == (0, 0, 0, StopReason.HAND_OVER)
    assert link.hand_over[0] == HandOver.TOO_LARGE
    many = reframe(BODY + b"58=x\x01" * 600)
    assert take(many, link) == (0, 0, 0, StopReason.HAND_OVER)
    assert link.hand_over[0] == HandOver.TOO_LARGE


def test_a_full_table_stops_before_the_message_that_has_no_row() -> None:
    data = b"".join(STREAM)
    taken = len(STREAM[0]) + len(STREAM[1])
    assert take(data, rows=2) == (taken, 2, 2, StopReason.OUT_FULL)
    assert take(data, rows=6) == (len(data), 6, 6, StopReason.NEED_MORE)
    assert take(data, rows=0) == (0, 0, 0, StopReason.HAND_OVER)


def test_latency_check_can_be_switched_off() -> None:
    late = report(t52="20200102-13:43:12")
    assert take(late, wire.client_link(check_latency_ns=0))[1] == 1
    assert take(report(t52="20260102-13:43:13.000"))[1] == 1


@pytest.mark.parametrize(
    ("begin", "sender", "target"), [("FIX.4.2", "A", "B"), ("F", "C" * 8, "D" * 16), ("FIXT.1.1", "E" * 32, "F" * 17)]
)
def test_sessions_of_any_name(begin: str, sender: str, target: str) -> None:
    link = HotLink(begin, sender, target, role=Role.CLIENT)
    body = body_of(report(t49=target, t56=sender))
    assert take(reframe(body, begin=begin.encode()), link)[1:] == (1, 1, StopReason.NEED_MORE)
    assert take(reframe(body, begin=begin.encode() + b"x"), link)[3] == StopReason.HAND_OVER
    other = target[:-1] + "x"
    assert take(reframe(body_of(report(t49=other, t56=sender)), begin=begin.encode()), link)[3] == StopReason.HAND_OVER


def test_decode_one_takes_what_the_session_has_accepted() -> None:
    link, out = wire.client_link(), wire.frames(4)
    for k, data in enumerate((report(99), report(7, t43="Y", t122=NOW_TEXT), report(8, t97="Y"), report(9, t43="N"))):
        assert decode_one(link.state, TABLE.state, data, 0, len(data), NOW_NS, out, k) == 1
    rows = records.as_layout(out, records.EXECUTION)
    assert [int(r.poss_dup) for r in rows.view(np.recarray)] == [0, 1, 1, 0]
    assert [int(r.msg_seq) for r in rows.view(np.recarray)] == [99, 7, 8, 9]


def test_decode_one_takes_one_whole_message() -> None:
    link, out = wire.client_link(), wire.frames(4)
    data = report(1)
    for piece in (data[:-1], data + b"8", data + data, data[1:], b""):
        assert decode_one(link.state, TABLE.state, array(piece), 0, len(piece), NOW_NS, out, 0) == -HandOver.GARBLED
        assert link.hand_over[0] == HandOver.GARBLED
    heartbeat = message("0", 1, [])
    assert decode_one(link.state, TABLE.state, heartbeat, 0, len(heartbeat), NOW_NS, out, 0) == -HandOver.MESSAGE_TYPE


def is_right(data: bytes, seq: int) -> bool:
    """Independent: BodyLength, CheckSum, names and number of one message are as they must be."""
    fields = data.split(b"\x01")
    body = data[len(fields[0]) + len(fields[1]) + 2 : -7]
    names = dict(f.split(b"=", 1) for f in fields[2:-2] if b"=" in f)  # type: ignore[misc]
    framed = fields[0] == b"8=FIX.4.4" and int(fields[1][2:]) == len(body)
    summed = fields[-2] == b"10=%03d" % (sum(data[:-7]) % 256)
    named = names.get(b"49") == b"OPTVENUE1" and names.get(b"56") == b"AXIOM01" and int(names[b"34"]) == seq
    return framed and summed and named and names.get(b"43") != b"Y" and names.get(b"35") in (b"8", b"9", b"W", b"X")


edits = st.lists(
    st.tuples(st.sampled_from(["replace", "insert", "delete", "cut"]), st.floats(0, 1, exclude_max=True),
    st.integers(0, 255)),
    min_size=1, max_size=4,
)  # fmt: skip


def mutate(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    out = bytearray(data)
    for how, where, byte in changes:
        at = int(where * len(out)) if out else 0
        if how == "replace" and out:
            out[at] = byte
        elif how == "insert":
            out.insert(at, byte)
        elif how == "delete" and out:
            del out[at]
        elif how == "cut":
            del out[at + 1 :]
    return bytes(out)


@given(edits, st.booleans())
def test_whatever_is_taken_of_damaged_bytes_is_right(changes: list[tuple[str, float, int]], mend: bool) -> None:
    damaged = mutate(STREAM[1], changes)
    if mend and b"35=" in damaged and b"10=" in damaged:
        damaged = reframe(damaged[damaged.index(b"35=") : damaged.rindex(b"10=")])
    data = STREAM[0] + damaged + STREAM[2]
    link = wire.client_link()
    results = []
    for poison in (0x01, 0x30, 0xFF):
        buffer, out = array(data, before=32, after=64, poison=poison), wire.frames(8)
        result = decode(link.state, TABLE.state, buffer, 32, 32 + len(data), 1, NOW_NS, out)
        results.append((tuple(int(x) for x in result), out.tobytes()))
    assert results[0] == results[1] == results[2], "bytes outside the message changed the result"
    consumed, frames, messages, _ = results[0][0]
    assert frames == messages >= 1
    pieces = wire.split(data[:consumed])
    assert len(pieces) == messages
    assert all(is_right(piece, k + 1) for k, piece in enumerate(pieces))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_never_taken(data: bytes) -> None:
    exact = take(data)
    assert exact[:3] == (0, 0, 0)
    begin = b"8=FIX.4.4\x019="
    assert take(begin + data)[:3] == (0, 0, 0)
    body = b"35=8\x01" + data
    assert take(reframe(body))[:3] == (0, 0, 0)
