"""Numbers, ids and times in text, against Python's own arithmetic."""

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.codec import HotLink, words
from fix.codec.link import WORDS
from fix.codec.values import (
    BAD_PRICE,
    days_of_date,
    id_and_origin,
    id_value,
    price_value,
    qty_value,
    time_value,
    uint_value,
)
from fix.codec.writing import date_word, put_decimal, put_id, set_time
from market import ids
from market.jit import kernel
from tests.fix.codec.wire import array, time_text

I = np.int64  # noqa: E741  kernels are compiled for one integer type
PAD = b"\x0110=000\x01"  # what follows a value in a message, at least


def value(text: str) -> tuple[np.ndarray, np.int64, np.int64]:
    return array(text.encode() + PAD), I(0), I(len(text))


@kernel
def texts_of(numbers, out, ends):  # type: ignore[no-untyped-def]
    o = np.int64(0)
    for k in range(numbers.shape[0]):
        o = words.put_uint(out, o, numbers[k])
        ends[k] = o


@kernel
def word_round_trips(numbers, bad):  # type: ignore[no-untyped-def]
    """Count of numbers whose eight digits or hex digits do not read back."""
    for k in range(numbers.shape[0]):
        digits = words.digit_bytes8(np.uint64(numbers[k] % 100_000_000)) | np.uint64(0x3030303030303030)
        if words.digits8(digits, np.int64(8)) != numbers[k] % 100_000_000:
            bad[0] += 1
        if words.hex8(words.hex_text8(np.uint64(numbers[k]) & np.uint64(0xFFFFFFFF))) != numbers[k] & 0xFFFFFFFF:
            bad[1] += 1


def test_eight_digits_and_eight_hex_digits_read_back() -> None:
    rng = np.random.default_rng(1)
    count = 200_000 if words.JIT_ENABLED else 300
    edges = [d * 10**k + e for k in range(9) for d in range(10) for e in (-1, 0, 1)]
    numbers = np.array([n for n in edges if n >= 0] + list(rng.integers(0, 1 << 40, count)), np.int64)
    bad = np.zeros(2, np.int64)
    word_round_trips(numbers, bad)
    assert bad.tolist() == [0, 0]


@kernel
def short_digits_differ(texts, bad):  # type: ignore[no-untyped-def]
    """Count of words of which ``digits4`` and ``digits8`` say different things."""
    for k in range(texts.shape[0]):
        for count in range(1, 5):
            if words.digits4(texts[k], np.int64(count)) != words.digits8(texts[k], np.int64(count)):
                bad[0] += 1


def test_four_digits_read_as_eight_do_whatever_stands_there() -> None:
    """Digits, their neighbours in ASCII and their kin with other high bits, and any bytes behind them."""
    rng = np.random.default_rng(2)
    count = 300_000 if words.JIT_ENABLED else 300
    near = np.frombuffer(b"0123456789/:=\x00\x01\x10\x7f\xb0\xff -", np.uint8)
    texts = rng.integers(0, 1 << 64, count, np.uint64)
    texts.view(np.uint8).reshape(-1, 8)[:, :4] = near[rng.integers(0, len(near), (count, 4))]
    bad = np.zeros(1, np.int64)
    short_digits_differ(texts, bad)
    assert bad[0] == 0


@pytest.mark.parametrize("text", ["0123456789ABCDEF", "0123456789ABCDEf", "NONE", "ABCDEFGH", "0" * 17, "x"])
def test_an_id_and_where_it_is_from_are_read_at_once(text: str) -> None:
    assert id_and_origin(*value(text)) == (id_value(*value(text)), text == "0123456789ABCDEF")


def test_nothing_is_no_time_also_before_the_first() -> None:
    """The date and the second last read are remembered: before the first there is none to be like."""
    fresh = HotLink("FIX.4.4", "AXIOM", "OPT").state.words
    zeros = value("20151224-14:30:00.000")[0].copy()
    zeros[:8] = 0
    assert time_value(fresh, zeros, I(0), I(21)) == -1
    first = time_value(fresh, *value("20151224-14:30:00.250"))
    for bad in ("20151224-14:30:61.250", "20151224-14:60:00", "20151224-24:00:00", "20151224-14.30.00"):
        assert time_value(fresh, *value(bad)) == -1
    assert time_value(fresh, *value("20151224-14:30:00.251")) == first + 1_000_000
    assert time_value(fresh, *value("20151225-14:30:01")) == first + 86_400_750_000_000
    zeros[:8] = value("20151224")[0][:8]
    zeros[9:17] = 0
    assert time_value(HotLink("FIX.4.4", "AXIOM", "OPT").state.words, zeros, I(0), I(21)) == -1


def test_integers_are_written_as_python_writes_them() -> None:
    numbers = sorted(
        {n for k in range(19) for n in (10**k - 1, 10**k, 10**k + 1, 123456789012345678 // 10**k)} | {2**63 - 1}
    )
    out, ends = np.zeros(len(numbers) * 24 + 64, np.uint8), np.zeros(len(numbers), np.int64)
    texts_of(np.array(numbers, np.int64), out, ends)
    begins = [0, *ends.tolist()]
    assert [bytes(out[a:b]).decode() for a, b in pairwise(begins)] == [str(n) for n in numbers]


@given(st.text("0123456789", min_size=1, max_size=20))
def test_unsigned_integers_up_to_18_digits(text: str) -> None:
    assert uint_value(*value(text)) == (int(text) if len(text) <= 18 else -1)


@given(st.binary(min_size=1, max_size=19))
def test_anything_else_is_no_integer(data: bytes) -> None:
    expected = int(data) if data.isdigit() and len(data) <= 18 else -1
    assert uint_value(array(data + PAD), I(0), I(len(data))) == expected


def price_oracle(text: str, scale: int) -> int:
    if not set(text) <= set("0123456789.-"):
        return int(BAD_PRICE)
    try:
        units = Decimal(text).scaleb(scale)
    except InvalidOperation:
        return int(BAD_PRICE)
    return int(units) if units == int(units) and abs(units) <= 10**17 else int(BAD_PRICE)


@given(st.from_regex(r"\A-?[0-9]{0,6}\.?[0-9]{0,6}\Z"), st.integers(0, 8))
def test_prices_are_exact_or_refused(text: str, scale: int) -> None:
    if text:
        assert price_value(*value(text), I(scale)) == price_oracle(text, scale)


@given(st.text("0123456789.-+eE \x00/:", min_size=1, max_size=21), st.integers(0, 8))
def test_what_is_no_decimal_is_no_price(text: str, scale: int) -> None:
    assert price_value(*value(text), I(scale)) == price_oracle(text, scale)


@given(st.integers(-(10**17), 10**17), st.integers(0, 8))
def test_prices_read_back_as_they_were_written(units: int, scale: int) -> None:
    out = np.zeros(128, np.uint8)
    end = put_decimal(out, I(0), I(units), I(scale), I(10**scale))
    assert Decimal(bytes(out[:end]).decode()) == Decimal(units).scaleb(-scale)
    assert price_value(out, I(0), I(end), I(scale)) == units


@pytest.mark.parametrize(
    ("text", "quantity"),
    [("0", 0), ("10", 10), ("0010", 10), ("10.0", 10), ("10.", 10), ("2147483647", 2147483647), ("2147483648", -1),
     ("-1", -1), ("-0", 0), ("1.5", -1), ("1e3", -1), ("", -1), ("10 ", -1), ("99999999999999999999", -1)],
)  # fmt: skip
def test_quantities(text: str, quantity: int) -> None:
    if text:
        assert qty_value(*value(text)) == quantity


@given(st.integers(0, (1 << 64) - 1))
def test_our_ids_read_back(number: int) -> None:
    out = np.zeros(64, np.uint8)
    assert put_id(out, I(0), np.uint64(number)) == 16
    assert bytes(out[:16]).decode() == ids.to_wire(number)
    assert int(id_value(out, I(0), I(16))) == number


@given(
    st.one_of(
        st.binary(min_size=1, max_size=20),
        st.text("0123456789ABCDEFabcdefG@O", min_size=16, max_size=16).map(str.encode),
    )
)
def test_foreign_ids_are_known_by_their_hash(data: bytes) -> None:
    if data != b"NONE" and max(data) < 128:
        assert int(id_value(array(data + PAD), I(0), I(len(data)))) == ids.from_wire(data.decode("ascii"))


def test_no_id_is_zero() -> None:
    assert int(id_value(*value("NONE"))) == 0


def days_to_test() -> list[date]:
    first, step = date(1970, 1, 1), 1 if words.JIT_ENABLED else 97
    edges = [
        date(y, m, d)
        for y in (1970, 1999, 2000, 2004, 2100, 2400, 9999)
        for m, d in ((1, 1), (2, 28), (3, 1), (12, 31))
    ]
    return edges + [first + timedelta(days=k) for k in range(0, 60_000, step)] + [date(2000, 2, 29), date(2096, 2, 29)]


def test_every_date_converts_both_ways() -> None:
    for day in days_to_test():
        days = (day - date(1970, 1, 1)).days
        assert days_of_date(I(day.year), I(day.month), I(day.day)) == days
        assert int(date_word(I(days))).to_bytes(8, "little").decode() == day.strftime("%Y%m%d")


@pytest.mark.parametrize(
    "text", ["20260230", "20250229", "21000229", "20261301", "20260001", "20260100", "19691231", "2026010a", "00000000"]
)
def test_days_that_do_not_exist_are_refused(text: str) -> None:
    assert time_value(np.zeros(WORDS, np.int64), *value(text + "-00:00:00")) == -1


@given(st.integers(0, 4_000_000_000 * 10**9), st.sampled_from([0, 3, 6, 9]))
def test_times_of_every_precision(at_ns: int, decimals: int) -> None:
    unit = 10 ** (9 - decimals)
    words_ = np.zeros(WORDS, np.int64)
    assert time_value(words_, *value(time_text(at_ns, decimals))) == at_ns // unit * unit


def test_a_leap_second_is_the_second_after() -> None:
    words_ = np.zeros(WORDS, np.int64)
    assert time_value(words_, *value("20161231-23:59:60")) == time_value(words_, *value("20170101-00:00:00"))


@pytest.mark.parametrize(
    "text",
    ["20260102 13:45:12", "20260102-24:00:00", "20260102-13:60:00", "20260102-13:00:61", "20260102-13.45:12",
     "20260102-13:45",
     "20260102-13:45:12.", "20260102-13:45:12.1", "20260102-13:45:12,123", "20260102-13:45:12.12x",
     "20260102-1a:45:12"],
)  # fmt: skip
def test_times_of_another_form_are_refused(text: str) -> None:
    assert time_value(np.zeros(WORDS, np.int64), *value(text)) == -1


@given(st.integers(0, 253_402_300_799_999_999_999 // 1000))
def test_outgoing_time_is_cut_to_milliseconds(now_ns: int) -> None:
    state = np.zeros(WORDS, np.int64)
    state[16] = -1
    set_time(state, I(now_ns))
    text = b"".join(int(state[k]).to_bytes(8, "little") for k in (17, 29, 30))[:21].decode()
    assert text == time_text(now_ns)


def test_words_of_text_hold_at_most_eight_bytes() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        words.word_of(b"123456789")
