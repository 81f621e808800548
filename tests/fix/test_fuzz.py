"""The short form of ``benchmarks/fix_fuzz.py``: the same rules over a few thousand inputs of both engines."""

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fix_fuzz import SESSIONS, Fuzzer
from benchmarks.fuzz.rules import RuleBrokenError
from benchmarks.fuzz.script import BYTES, KERNELS, PARTS, Author, play
from fix.endpoints.steady import SteadyReader
from fix.errors import GarbledMessageError
from fix.messages import frame, parse
from fix.session import AppMessage, SessionMachine
from fix.session.outbound import Outbound
from fix.session.timers import Timers

COMMAND = Path(__file__).resolve().parents[2] / "benchmarks" / "fix_fuzz.py"


@pytest.mark.parametrize("part", SESSIONS)
def test_mutated_messages_break_no_rule(part: str, tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, seed=20151224, part=part)
    fuzzer.play(3_000)
    fuzzer.close()
    counts = fuzzer.counts
    # The mutations reach every layer, or the test would prove nothing.
    kinds = ("garbled", "delivered", "answers") if part == KERNELS else ("garbled", "refused", "sound", "answers")
    assert min(counts[kind] for kind in kinds) > 100, counts
    assert counts["delivered"] > 100
    assert counts["connections"] > 20
    assert counts["by kernels" if part == KERNELS else "sound"] > 20


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


# ------------------------------------------------------------------ stories


def change_a_byte(data: bytes, most: int) -> bytes:
    """What libFuzzer does, in its simplest form."""
    at = len(data) // 2
    return (data[:at] + b"\x00" + data[at + 1 :])[:most]


@pytest.mark.parametrize("part", PARTS)
def test_stories_and_their_variations_break_no_rule(part: str) -> None:
    author = Author(part, 1)
    stories = author.seeds()
    stories = stories[:: max(1, len(stories) // 60)] + stories[-24:]
    happened: Counter[str] = Counter()
    for number, story in enumerate(stories):
        happened += play(story, part)
        for round_number in range(3):
            story = author.vary(story, 2_000, 1_000 * round_number + number, change_a_byte)
            happened += play(story, part)
    kinds = ("garbled", "sound") if part == BYTES else ("delivered", "answers", "connections")
    assert min(happened[kind] for kind in kinds) > 30, happened


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(PARTS))
def test_any_bytes_are_a_story(data: bytes, part: str) -> None:
    assert play(data, part) == play(data, part), "a file of an input must tell the same each time"


def skip_a_number(machine: Any) -> None:
    machine._next_in += 1


def deliver_twice(machine: Any) -> None:
    last = [event for event in machine._events if isinstance(event, AppMessage)]
    machine._events += last


@pytest.mark.parametrize("fault", [skip_a_number, deliver_twice])
def test_a_machine_that_breaks_a_rule_is_found_out(fault: Callable[[Any], None], monkeypatch: Any) -> None:
    handle = SessionMachine._handle

    def faulty(self: Any, message: Any, now_ns: int) -> None:
        handle(self, message, now_ns)
        if message.msg_type == "D":
            fault(self)

    monkeypatch.setattr(SessionMachine, "_handle", faulty)
    assert broken("FIX.4.4")


def test_a_number_used_twice_is_found_out(monkeypatch: Any) -> None:
    build = Outbound.build
    monkeypatch.setattr(
        Outbound, "build", lambda self, msg_type, seq, *rest: build(self, msg_type, seq - (msg_type == "0"), *rest)
    )
    assert broken("FIX.4.4")


def test_a_reader_that_takes_too_much_is_found_out(monkeypatch: Any) -> None:
    def take(self: SteadyReader, buffer: bytearray, start: int, end: int, *_: int) -> Any:
        self.message.raw, self.message.stop, self.message.msg_type = bytes(buffer[start:end]), end, "D"
        return self.message

    monkeypatch.setattr(SteadyReader, "take", take)
    assert broken("FIX.4.4")


def test_a_time_that_is_named_too_late_is_found_out(monkeypatch: Any) -> None:
    next_due_ns = Timers.next_due_ns
    monkeypatch.setattr(
        Timers, "next_due_ns", lambda self, *args, **options: next_due_ns(self, *args, **options) + 10**10
    )
    assert broken("FIX.4.4")


def broken(part: str) -> bool:
    """Whether one of the stories breaks a rule now."""
    for story in Author(part, 1).seeds():
        try:
            play(story, part)
        except RuleBrokenError:
            return True
    return False


# -------------------------------------------------------- the guided engine


def fuzz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(COMMAND), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.skipif(find_spec("atheris") is not None, reason="atheris is installed")
def test_without_atheris_the_command_says_what_to_install() -> None:
    done = fuzz("--engine", "atheris")
    assert (done.returncode, done.stdout) == (1, "")
    assert "atheris is not installed: pip install" in done.stderr
    assert "'.[fuzz]'" in done.stderr


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris (extra fuzz) is not installed")
@pytest.mark.parametrize("part", ["FIX.4.4", BYTES])
def test_atheris_steers_and_finds_more_than_the_seeds_do(part: str, tmp_path: Path) -> None:
    done = fuzz("--engine", "atheris", "--part", part, "--runs", "1500", "--artefacts", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    edges, of_seeds = (
        int(done.stdout.split(name, 1)[1].split()[0].strip("(),").replace(",", "")) for name in ("edges", "(seeds")
    )
    assert edges > of_seeds > 300
    assert len(list((tmp_path / part / "corpus").iterdir())) > 100
    story = min((tmp_path / part / "corpus").iterdir())
    assert fuzz("--part", part, "--replay", str(story)).stdout == f"{dict(play(story.read_bytes(), part))}\n"
