"""Bad input, typed by a user at the command line: exit code 4, and words that name file, place and mend."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "profiles" / "demo.toml"
COMMANDS = {"check": ("config", "check"), "run": ("run",), "sim": ("sim",), "demo": ("demo", "--for", "1s", "--json")}


def axiom(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def broken(directory: Path, old: str, new: str) -> tuple[Path, int]:
    """The demo's profile with one line changed, and that line's number."""
    text = DEMO.read_text()
    assert old in text
    path = directory / "profile.toml"
    path.write_text(text.replace(old, new, 1).replace(".axiom/", f"{directory}/"))
    return path, text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("loop_mode =", "loop_mod =", ["loop_mod", "loop_mode"]),
        ("seed = 7", 'seed = "seven"', ["seed", "seven"]),
        ("port = 19101", "port = 70000", ["port", "65535", "70000"]),
        ('state_dir = ".axiom/run"', 'state_dir = ".axiom/run', ["is not TOML"]),
    ],
    ids=["unknown key", "wrong type", "out of range", "not TOML"],
)
def test_bad_profile(tmp_path, command, old, new, words):
    path, line = broken(tmp_path, old, new)
    arguments = COMMANDS[command]
    done = axiom(*arguments, "--config", path)
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    assert str(path) in said.replace("\n", "") and str(line) in said
    for word in words:
        assert word in said, said
    assert "Traceback" not in said


def _empty(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


def _truncated(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20151224_goog_minute_quote_american_call_7500000_20151224.csv", "34200000,1,1,1,1\n" * 1000)
    path.write_bytes(path.read_bytes()[:-200])


def _another_format(path: Path) -> None:
    path.write_bytes(b"time,bid,ask\n09:30,1,2\n" * 50)


@pytest.mark.parametrize("make", [_truncated, _empty, _another_format], ids=["truncated", "empty", "another format"])
@pytest.mark.parametrize("command", ["sim", "demo"])
def test_bad_quote_file(tmp_path, command, make):
    path = tmp_path / "goog_20151224_quote_minute_american.zip"
    make(path)
    profile, _ = broken(tmp_path, "seed = 7", "seed = 8")
    done = axiom(*COMMANDS[command], "--config", profile, "--market", f"replay:{path}")
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    assert path.name in said and "Traceback" not in said
