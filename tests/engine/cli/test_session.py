"""``axiom session``: what is asked of the daemon, and what can be read without one."""

import json
from pathlib import Path

import pytest

from engine.cli.app import status_of
from engine.cli.exits import ExitCode
from fix.foreign import QuickfixStore
from fix.foreign.spool import SpoolWriter
from fix.messages import join_fields
from fix.store import MessageStore
from tests.engine.cli.stand_in import ok, refused, stand_in

ROW = {"name": "OPT", "venue": "OPT", "role": "options", "state": "LOGGED_ON", "next_in": 12, "next_out": 34,
       "reconnects": 0, "address": "127.0.0.1:1", "detail": "logged on"}  # fmt: skip
LOGON = b"8=FIX.4.4\x019=50\x0135=A\x0149=AXIOM\x0156=SIMOPT\x0134=1\x01554=s3cret\x0110=000\x01"


def message(seq: int) -> bytes:
    return b"8=FIX.4.4\x019=60\x0135=D\x0149=AXIOM\x0156=SIMOPT\x0134=%d\x0111=A%d\x0110=000\x01" % (seq, seq)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of the demo profile's session OPT with three messages; its state directory."""
    made = MessageStore(tmp_path / "fix" / "OPT")
    made.append(1, LOGON)
    made.append(2, message(2))
    made.append(3, message(3))
    made.close()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "verb", "args"),
    [
        (["connect", "OPT"], "session.connect", {"name": "OPT"}),
        (["disconnect", "OPT"], "session.disconnect", {"name": "OPT"}),
        (["reset", "OPT"], "session.reset", {"name": "OPT", "force": False}),
        (["reset", "OPT", "--force"], "session.reset", {"name": "OPT", "force": True}),
        (["set-seq", "OPT", "--in", "5"], "session.set_seq",
         {"name": "OPT", "next_in": 5, "next_out": None, "force": False}),
        (["set-seq", "OPT", "--in", "5", "--out", "6", "--force"], "session.set_seq",
         {"name": "OPT", "next_in": 5, "next_out": 6, "force": True}),
    ],
)  # fmt: skip
def test_a_change_goes_over_the_socket_with_its_reason(tmp_path, capsys, command, verb, args) -> None:
    with stand_in(tmp_path, **{verb.replace(".", "__"): ok(ROW)}) as daemon:
        assert status_of(["session", *command, "--reason", "why", "--state-dir", str(tmp_path)]) == 0
    assert [(asked["verb"], asked["args"]) for asked in daemon.asked] == [(verb, {**args, "reason": "why"})]
    assert capsys.readouterr().out.strip() == "OPT: LOGGED_ON, next in 12, next out 34"


def test_accepting_says_how_many(tmp_path, capsys) -> None:
    with stand_in(tmp_path, session__accept=ok({"name": "DC", "accepted": 2})):
        assert status_of(["session", "accept", "DC", "--reason", "x", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == "DC: 2 mismatches accepted"


@pytest.mark.parametrize("command", [["connect"], ["disconnect"], ["reset"], ["accept"]])
def test_a_change_without_a_reason_is_not_asked_for(tmp_path, command) -> None:
    with stand_in(tmp_path) as daemon:
        assert status_of(["session", *command, "OPT", "--state-dir", str(tmp_path)]) == ExitCode.ERROR
        assert status_of(["session", *command, "OPT", "--reason", " ", "--state-dir", str(tmp_path)]) != 0
    assert not [asked for asked in daemon.asked if asked["verb"] != "session.accept"]


def test_set_seq_needs_a_number(tmp_path, capsys) -> None:
    assert status_of(["session", "set-seq", "OPT", "--reason", "x", "--state-dir", str(tmp_path)]) == ExitCode.ERROR
    assert "give --in N, --out N or both" in capsys.readouterr().err


def test_a_refusal_is_printed_and_its_code_is_the_exit_code(tmp_path, capsys) -> None:
    with stand_in(tmp_path, session__reset=refused(1, "OPT has 3 open orders")):
        assert status_of(["session", "reset", "OPT", "--reason", "x", "--state-dir", str(tmp_path)]) == 1
    assert "OPT has 3 open orders" in capsys.readouterr().err


def test_the_list_has_a_line_for_each_session_with_its_numbers(tmp_path, capsys) -> None:
    with stand_in(tmp_path, session__list=ok({"sessions": [ROW, {**ROW, "name": "EQ", "next_out": 1234567}]})):
        assert status_of(["session", "list", "--state-dir", str(tmp_path)]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["name", "venue", "role"]
    assert first.split()[:6] == ["OPT", "OPT", "options", "LOGGED_ON", "12", "34"]
    assert second.split()[0] == "EQ" and "1234567" in second


def test_without_a_daemon_the_list_says_what_the_stores_hold(store, capsys) -> None:
    assert status_of(["session", "list", "--state-dir", str(store), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["result"]["sessions"]}
    assert (rows["OPT"]["next_in"], rows["OPT"]["next_out"], rows["OPT"]["state"]) == (1, 4, "NO_DAEMON")
    assert "next_out" not in rows["EQ"]


def test_a_sound_store_verifies_and_a_flipped_bit_is_named(store, capsys) -> None:
    arguments = ["session", "store", "verify", "OPT", "--state-dir", str(store), "--json"]
    assert status_of(arguments) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    path = store / "fix" / "OPT" / "messages.dat"
    data = bytearray(path.read_bytes())
    data[data.index(b"11=A2")] ^= 4
    path.write_bytes(data)
    assert status_of(arguments) == ExitCode.ERROR
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [(damage["first_seq"], damage["last_seq"]) for damage in report["result"]["damage"]] == [(2, 2)]


def test_show_prints_the_messages_asked_for_and_no_password(store, capsys) -> None:
    assert status_of(["session", "store", "show", "OPT", "--state-dir", str(store)]) == 0
    text = capsys.readouterr().out
    assert [line.split()[1] for line in text.splitlines()] == ["1", "2", "3"]
    assert "s3cret" not in text and "554=***" in text
    assert status_of(["session", "store", "show", "OPT", "--first", "2", "--last", "2", "--state-dir", str(store)]) == 0
    assert "11=A2" in (only := capsys.readouterr().out) and len(only.splitlines()) == 1


def test_show_with_fields_names_tags_and_masks_too(store, capsys) -> None:
    assert status_of(["session", "store", "show", "OPT", "--fields", "--state-dir", str(store)]) == 0
    text = capsys.readouterr().out
    assert "SenderCompID(49) = AXIOM" in text and "s3cret" not in text


@pytest.mark.parametrize(
    ("name", "found"), [("NOPE", "there is no session 'NOPE'; there are: OPT"), ("EQ", "no store")]
)
def test_a_store_that_is_not_there_is_not_found(store, capsys, name, found) -> None:
    assert status_of(["session", "store", "verify", name, "--state-dir", str(store)]) == ExitCode.NOT_FOUND
    assert found in capsys.readouterr().err


# -- a session that quickfix keeps --------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """What engine quickfix leaves of session OPT: two messages sent, two received, one of them taken."""
    made = QuickfixStore(tmp_path / "fix" / "OPT")
    spool = SpoolWriter(made.spool_path)
    spool.append(1, message(1))
    made.set_taken(spool.end)
    spool.append(2, message(2))
    made.note_numbers(3, 4)
    sent = [join_fields("FIX.4.4", [(35, kind), (34, seq), (554, "s3cret")]) for seq, kind in ((1, "A"), (2, "D"))]
    header = f"1,0,{len(sent[0])} 2,{len(sent[0])},{len(sent[1])} "
    (made.files / "FIX.4.4-AXIOM-SIMOPT.body").write_bytes(b"".join(sent))
    (made.files / "FIX.4.4-AXIOM-SIMOPT.header").write_text(header)
    made.close()
    return tmp_path


def test_a_store_of_quickfix_is_verified_and_its_files_are_named(foreign, capsys) -> None:
    arguments = ["session", "store", "verify", "OPT", "--state-dir", str(foreign)]
    assert status_of(arguments) == 0
    text = capsys.readouterr().out
    assert "quickfix keeps its own files in quickfix/ (body, header, seqnums)" in text
    assert "2 messages sent are stored, 2 received are spooled, 1 not taken yet" in text
    assert status_of([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["result"]["engine"]) == (True, "quickfix")
    assert (report["result"]["next_in"], report["result"]["next_out"]) == (3, 4)
    assert {"spool.dat", "quickfix/FIX.4.4-AXIOM-SIMOPT.body"} <= set(report["result"]["files"])


@pytest.mark.parametrize(
    ("file", "what", "found"),
    [("spool.dat", b"11=A1", "spool.dat: the entry at offset 16"),
     ("quickfix/FIX.4.4-AXIOM-SIMOPT.body", b"35=D", "MsgSeqNum 2 at offset")],
)  # fmt: skip
def test_damage_in_either_part_of_it_is_named(foreign, capsys, file, what, found) -> None:
    path = foreign / "fix" / "OPT" / file
    data = bytearray(path.read_bytes())
    data[data.index(what)] ^= 4
    path.write_bytes(data)
    assert status_of(["session", "store", "verify", "OPT", "--state-dir", str(foreign)]) == ExitCode.ERROR
    text = capsys.readouterr().out
    assert "1 damaged" in text and found in text


def test_what_quickfix_has_sent_is_shown_and_no_password(foreign, capsys) -> None:
    assert status_of(["session", "store", "show", "OPT", "--first", "2", "--state-dir", str(foreign)]) == 0
    said = capsys.readouterr()
    [line] = said.out.splitlines()
    assert line.split()[:2] == ["-", "2"] and "554=***" in line and "s3cret" not in line
    assert "quickfix keeps its own files" in said.err
    assert status_of(["session", "store", "show", "OPT", "--state-dir", str(foreign), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["seq"], row["kind"]) for row in rows] == [(1, "message"), (2, "message")]


def test_the_list_knows_the_numbers_of_a_quickfix_session_too(foreign, capsys) -> None:
    assert status_of(["session", "list", "--state-dir", str(foreign), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["result"]["sessions"]}
    assert (rows["OPT"]["next_in"], rows["OPT"]["next_out"]) == (3, 4)
