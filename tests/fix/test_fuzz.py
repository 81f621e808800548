"""The short form of ``benchmarks/fix_fuzz.py``: the same rules over a few thousand mutated messages a version."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fix_fuzz import VERSIONS, Fuzzer
from fix.errors import GarbledMessageError
from fix.messages import frame, parse


@pytest.mark.parametrize("version", VERSIONS)
def test_mutated_messages_break_no_rule(version: str, tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, seed=20151224, version=version)
    fuzzer.play(3_000)
    fuzzer.close()
    counts = fuzzer.counts
    # The mutations reach every layer, or the test would prove nothing.
    assert min(counts[kind] for kind in ("garbled", "refused", "sound", "delivered", "answers")) > 100, counts
    assert fuzzer.connections > 20


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"8=FIX", b".4.4\x01", b"9=", b"9=5\x01", b"35=0\x01", b"10=", b"000\x01", b"\x01", b"x", b"=", b"8"]
        ),
        max_size=40,
    )
)
def test_framing_goes_forward_and_parse_only_says_garbled(parts: list[bytes]) -> None:
    data = b"".join(parts)
    at = 0
    for _ in range(len(data) + 1):
        begin, stop = frame(data, at, len(data))
        assert at <= begin <= stop <= len(data)
        if begin == stop:
            break
        with contextlib.suppress(GarbledMessageError):
            assert parse(data[begin:stop]).raw == data[begin:stop]
        at = stop
    else:
        raise AssertionError("framing never ends")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_garbled(data: bytes) -> None:
    for raw in (data, b"8=FIX.4.4\x019=" + data, b"8=FIX.4.4\x01" + data + b"\x0110=000\x01"):
        with contextlib.suppress(GarbledMessageError):
            parse(raw)
