"""The command: what it plays, what it prints, how it exits."""

import subprocess
import sys
from pathlib import Path

from tests.conformance.servers import ROOT

LOGON = "iCONNECT\nI8=FIX.4.2|35=A|34=1|49=TW42|52=<TIME>|56=ISLD|98=0|108=30|\n"
ANSWER = "E8=FIX.4.2|9=63|35=A|34=1|49=ISLD|52=00000000-00:00:00.000|56=TW42|98=0|108=30|10=0|\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.conformance.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_folder_of_any_version_is_played_and_what_fails_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "fix42"
    folder.mkdir()
    (folder / "good.def").write_bytes((LOGON + ANSWER).replace("|", "\x01").encode())
    (folder / "wrong.def").write_bytes((LOGON + ANSWER.replace("108=30", "108=31")).replace("|", "\x01").encode())
    done = run(str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "FAILED fix42/wrong\n  wrong.def:3: tag 108: '30' instead of '31'" in done.stdout
    assert "1 of 2 definitions hold" in done.stdout


def test_an_empty_folder_is_said_to_be_one(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2
    assert "no definitions in" in done.stdout
