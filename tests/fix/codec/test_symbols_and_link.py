"""The symbol table and what a link refuses to be."""

import numpy as np
import pytest

from fix.codec import HotLink, SymbolTable
from fix.codec.symbols import find_symbol
from fix.codec.words import JIT_ENABLED
from fix.errors import SettingsError
from tests.fix.codec.wire import array

PAD = b"\x0110=000\x01"


def found(table: SymbolTable, symbol: str) -> int:
    data = symbol.encode()
    return int(find_symbol(table.state, array(data + PAD), np.int64(0), np.int64(len(data))))


def test_every_symbol_is_found_and_no_other() -> None:
    count = 5000 if JIT_ENABLED else 300
    table = SymbolTable(count)
    names = [f"GOOG15{month:02d}24{'CP'[k % 2]}{k:08d}" for k in range(count) for month in (1 + k % 12,)]
    for instrument, name in enumerate(names):
        table.add(name, instrument)
    assert [found(table, name) for name in names] == list(range(count))
    assert [table.symbol(k) for k in range(count)] == names
    assert [table.index_of(name) for name in names] == list(range(count))
    for name in names[:: count // 50]:
        for other in (name[:-1], name + "0", name.lower(), name[1:], "x" + name[1:], name[:-1] + "x"):
            assert found(table, other) == table.index_of(other) == -1


def test_symbols_of_every_length_and_of_a_common_beginning() -> None:
    table = SymbolTable(64)
    for size in range(1, 25):
        table.add("A" * size, size)
    assert [found(table, "A" * size) for size in range(1, 26)] == [*range(1, 25), -1]


def test_an_empty_and_a_full_table_answer() -> None:
    table = SymbolTable(1)
    assert found(table, "GOOG") == -1
    table.add("GOOG", 0)
    assert (found(table, "GOOG"), found(table, "GOOH"), len(table)) == (0, -1, 1)


def test_adding_again_changes_the_scale_alone() -> None:
    table = SymbolTable(4)
    table.add("GOOG", 2, 2)
    table.add("GOOG", 2, 4, 100)
    assert (found(table, "GOOG"), len(table), table.state.rows[2, 4:7].tolist()) == (2, 1, [4, 10_000, 100])


@pytest.mark.parametrize(
    ("symbol", "instrument", "scale", "mend"),
    [("", 0, 2, "1..24"), ("S" * 25, 0, 2, "1..24"), ("A B", 0, 2, "printable"), ("A\x01", 0, 2, "printable"),
     ("[N/A]", 0, 2, "printable"),
     ("A", -1, 2, "0..3"), ("A", 4, 2, "larger capacity"), ("A", 0, 9, "0..8"), ("A", 0, -1, "0..8"), ("GOOG", 1, 2,
      "GOOG is 2"),
     ("OTHER", 2, 2, "GOOG is 2")],
)  # fmt: skip
def test_a_symbol_that_cannot_be_added_is_an_error_that_says_why(
    symbol: str, instrument: int, scale: int, mend: str
) -> None:
    table = SymbolTable(4)
    table.add("GOOG", 2)
    with pytest.raises(SettingsError, match=mend):
        table.add(symbol, instrument, scale)
    assert (len(table), found(table, "GOOG")) == (1, 2)


def test_a_table_says_what_it_does_not_know() -> None:
    with pytest.raises(SettingsError, match="capacity must be"):
        SymbolTable(0)
    for number in (-1, 1, 99):
        with pytest.raises(KeyError, match=str(number)):
            SymbolTable(4).symbol(number)


@pytest.mark.parametrize(
    ("change", "mend"),
    [({"sender": ""}, "sender must be 1..32"), ({"target": "T" * 33}, "target must be 1..32"), ({"sender": "A=B"},
     "without '='"),
     ({"sender": "A\x01"}, "printable"), ({"begin_string": "FIX.4.4.4.4.4"}, "begin_string must be 1..12"),
      ({"session": 65536}, "65535"),
     ({"owner": -1}, "owner must be"), ({"check_latency_ns": -1}, "check_latency_ns must be")],
)  # fmt: skip
def test_a_link_that_cannot_be_is_an_error_that_says_why(change: dict, mend: str) -> None:  # type: ignore[type-arg]
    options = {"begin_string": "FIX.4.4", "sender": "A", "target": "B"} | change
    with pytest.raises(SettingsError, match=mend):
        HotLink(**options)


def test_texts_that_would_break_a_message_are_refused() -> None:
    link = HotLink("FIX.4.4", "A", "B")
    for texts in ({128: "x"}, {-1: "x"}, {1: ""}, {1: "a\x01b"}):
        with pytest.raises(SettingsError, match="reason text"):
            link.set_reason_texts(texts)
    for name in ("m" * 33, "a\x01b"):
        with pytest.raises(SettingsError, match="md_req_id"):
            link.set_md_req_id(name)
