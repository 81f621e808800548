"""The guided engine of ``fix_fuzz.py``: atheris (libFuzzer) lets the code that an input reaches steer the next ones.

One process a part, since libFuzzer never returns: :func:`run` starts it and reads what it says. Only our own
modules are watched. Kernels are compiled code that shows nothing; in the part ``kernels`` they run as plain
Python (``NUMBA_DISABLE_JIT=1``), so that they steer as well.

An input that breaks a rule lies in the directory of artefacts; ``fix_fuzz.py --part PART --replay FILE``
plays it again, without atheris.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

HANG_S = 20
#: Of a story: longer ones cost more than they find.
MOST_BYTES = 700
_STATE_EVERY = 1_000
_MISSING = (
    "atheris is not installed: pip install -c constraints.txt -e '.[fuzz]' "
    "(wheels for CPython 3.11 to 3.13 on x86-64 Linux); --engine random needs nothing"
)
#: What the stories run through. The rest of ``fix`` needs sockets, files or processes.
_COLD = ("fix.messages", "fix.session", "fix.dictionary", "fix.store.memory", "fix.endpoints.steady")
_DONE = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_STARTED = re.compile(r"#\d+\s+INITED cov: (\d+)")


class Outcome(NamedTuple):
    """What one part came to."""

    executions: int
    counts: dict[str, int]
    edges_of_seeds: int
    edges: int
    inputs_kept: int
    grown_mib: float


class GuidedError(Exception):
    """A rule is broken, or libFuzzer ended before its time. The text says where the input lies."""


def require_atheris() -> None:
    """End the command in words where atheris is not there."""
    if find_spec("atheris") is None:
        sys.exit(_MISSING)


def run(part: str, runs: int, seed: int, artefacts: Path) -> Outcome:
    """Play ``runs`` stories of one part.

    Parameters
    ----------
    artefacts:
        Where libFuzzer's log, the corpus it has found and the input that broke a rule are left.

    Raises
    ------
    GuidedError
        At the first input that breaks a rule.
    """
    place = artefacts / part
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if part == "kernels":
        environment["NUMBA_DISABLE_JIT"] = "1"
    with tempfile.TemporaryDirectory(prefix="axiom-fuzz-") as directory:
        state, log = Path(directory) / "state.json", place / "libfuzzer.log"
        command = [
            sys.executable, __file__, part, str(seed), str(runs), str(state), f"{place}/corpus", f"-runs={runs}",
            f"-seed={seed}", f"-timeout={HANG_S}", f"-max_len={MOST_BYTES}", f"-artifact_prefix={place}/",
            "-rss_limit_mb=4096",
        ]  # fmt: skip
        with log.open("wb") as sink:
            status = subprocess.run(
                command, stdout=sink, stderr=sink, env=environment, cwd=ROOT, check=False
            ).returncode
        said = log.read_text(encoding="utf-8", errors="replace")
        done, started = _DONE.search(said), _STARTED.search(said)
        if status or done is None:
            raise GuidedError(f"{part}: {_last_words(said)}\n(all of it in {log}; replay with --part {part} --replay)")
        told = json.loads(state.read_text(encoding="utf-8"))
    executions, edges, _, kept = (int(text) for text in done.groups())
    edges_of_seeds = int(started.group(1)) if started else 0
    return Outcome(executions, told["counts"], edges_of_seeds, edges, kept, told["grown_mib"])


def _last_words(said: str) -> str:
    """The exception, or libFuzzer's own verdict, and where the input was written."""
    lines = [line for line in said.splitlines() if "Error" in line or "Test unit written" in line or "==" in line[:2]]
    return "\n".join(line[:2000] for line in lines[:8]) or said[-2000:]


def rss_mib() -> float:
    """Resident memory of this process now, MiB."""
    with open("/proc/self/statm") as source:
        return int(source.read().split()[1]) * resource.getpagesize() / 2**20


def _unwatched(part: str) -> list[str]:
    """Modules of ``fix`` that are imported as they are."""
    watched = (*_COLD, "fix.codec") if part == "kernels" else _COLD
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "fix").rglob("*.py")]
    names = [name.removesuffix(".__init__") for name in names]
    return [name for name in names if not any(f"{name}.".startswith(f"{prefix}.") for prefix in watched)]


def _child(part: str, seed: int, runs: int, state: Path, corpus: Path, arguments: list[str]) -> None:
    """The process that libFuzzer owns; never returns."""
    import atheris

    with atheris.instrument_imports(include=["fix"], exclude=_unwatched(part)):
        from benchmarks.fuzz.script import Author, play
    author = Author(part, seed)
    for number, story in enumerate(author.seeds()):
        (corpus / f"seed-{number:03d}").write_bytes(story)
    counts: dict[str, int] = {}
    played = 0
    settled = 0.0

    def one_input(data: bytes) -> None:
        nonlocal played, settled
        played += 1
        for name, count in play(data, part).items():
            counts[name] = counts.get(name, 0) + count
        if not played % _STATE_EVERY or played >= runs:
            settled = settled or (rss_mib() if 2 * played >= runs else 0.0)
            grown = rss_mib() - settled if settled else 0.0
            state.write_text(json.dumps({"played": played, "counts": counts, "grown_mib": grown}), encoding="utf-8")

    def vary(data: bytes, most: int, number: int) -> bytes:
        return author.vary(data, most, number, atheris.Mutate)

    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one_input, custom_mutator=vary)
    atheris.Fuzz()


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]), sys.argv[6:])
