"""A million mutated messages and streams through framing, parsing, validation and the session machine.

``python benchmarks/fix_fuzz.py [--engine random|atheris] [--runs 1000000] [--seed 1] [--part FIX.4.4]``

``random``: our own mutator, one long session a part on a message store on disk, ``--runs`` messages in all.
``atheris``: libFuzzer steers by the code that is reached; ``--runs`` stories in all, each a whole session of up
to 48 acts, or bytes alone (``fuzz/script.py``). Needs the extra ``fuzz``.

The rules are in ``fuzz/rules.py``; beyond them neither engine may hang or grow in memory. The first input
that breaks a rule is printed with the seed that makes it (random) or left as a file (atheris), which
``--part PART --replay FILE`` plays again. The tests play a short form of both (tests/fix/test_fuzz.py).
"""

import argparse
import faulthandler
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fuzz.guided import HANG_S, GuidedError, require_atheris, rss_mib
from benchmarks.fuzz.guided import run as run_guided
from benchmarks.fuzz.messages import APPL_VER_ID, Mutator
from benchmarks.fuzz.rules import Watched
from benchmarks.fuzz.script import BYTES, KERNELS, PARTS, START_NS, play, version_of
from fix.dictionary import validator_for
from fix.session import Role, SessionSettings, State
from fix.store import MessageStore

#: What the random engine has: it always talks to a session.
SESSIONS = tuple(part for part in PARTS if part != BYTES)
BATCH = 2_000
MOST_GROWTH_MIB = 16.0


class Fuzzer:
    """The random engine: one session that is told nonsense for long."""

    def __init__(self, directory: Path, seed: int, part: str = "FIX.4.4") -> None:
        version = version_of(part)
        self.rng = random.Random(seed)
        self.mutator = Mutator(self.rng, version)
        appl_ver_id = APPL_VER_ID if version == "FIXT.1.1" else ""
        settings = SessionSettings(
            sender_comp_id="AXIOM", target_comp_id="PEER", role=Role.ACCEPTOR, begin_string=version,
            default_appl_ver_id=appl_ver_id, reset_on_logon=True,
        )  # fmt: skip
        validator = None if part == KERNELS else validator_for(version, appl_ver_id)
        self.watched = Watched(settings, MessageStore(directory), validator, START_NS)

    @property
    def counts(self) -> Counter[str]:
        """What has happened so far."""
        return self.watched.counts

    def close(self) -> None:
        """Let go of the store."""
        self.watched.machine.store.release()

    def play(self, messages: int) -> None:
        """Feed ``messages`` mutated messages, in pieces of any size; RuleBrokenError names what went wrong."""
        watched, rng = self.watched, self.rng
        for _ in range(messages):
            if watched.machine.state is State.DISCONNECTED:
                watched.connect()
                watched.receive(self.mutator.message("A", 1, watched.now_ns))
            self.counts["messages"] += 1
            self._feed(self.mutator.next(watched.machine.next_in, watched.now_ns))
            if rng.random() < 0.5:
                watched.drain()
            if rng.random() < 0.05:
                watched.say()
            if rng.random() < 0.02:
                watched.tick(rng.choice((1, 10, 31, 40)))

    def _feed(self, raw: bytes) -> None:
        while raw and self.watched.machine.state is not State.DISCONNECTED:
            size = len(raw) if self.rng.random() < 0.8 else self.rng.randrange(1, len(raw) + 1)
            piece, raw = raw[:size], raw[size:]
            self.watched.feed(piece)


def run_part(messages: int, seed: int, part: str) -> tuple[Counter[str], float]:
    """One part of the random engine: what happened, and MiB by which memory grew in its second half."""
    directory = Path(tempfile.mkdtemp(prefix="axiom-fuzz-"))
    fuzzer = Fuzzer(directory, seed, part)
    settled = 0.0
    try:
        for done in range(0, messages, BATCH):
            if not settled and 2 * done >= messages:
                settled = rss_mib()
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            fuzzer.play(min(BATCH, messages - done))
    except Exception as error:
        print(f"\n{part}, seed {seed}, message {fuzzer.counts['messages']}: {error}", file=sys.stderr)
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        fuzzer.close()
        shutil.rmtree(directory)
    return fuzzer.counts, rss_mib() - settled if settled else 0.0


def share_of(part: str, parts: tuple[str, ...], runs: int) -> int:
    """Runs of one part: all have the same, but the one without sessions, whose inputs cost a tenth, has half of all."""
    if BYTES not in parts or len(parts) == 1:
        return -(-runs // len(parts))
    return -(-runs // 2) if part == BYTES else -(-runs // (2 * (len(parts) - 1)))


def run(runs: int, seed: int, parts: tuple[str, ...], engine: str, artefacts: Path) -> int:
    """The long form; the exit code."""
    print(f"{engine}: {runs:,} runs, seed {seed}, over {', '.join(parts)}")
    begun = time.perf_counter()
    worst, executions = 0.0, 0
    for number, part in enumerate(parts):
        share, since = share_of(part, parts, runs), time.perf_counter()
        if engine == "atheris":
            outcome = run_guided(part, share, seed + number, artefacts)
            counts, grown, executed = Counter(outcome.counts), outcome.grown_mib, outcome.executions
            print(
                f"  {part:9} {executed:,} stories in {time.perf_counter() - since:.0f} s; edges {outcome.edges:,} "
                f"(seeds {outcome.edges_of_seeds:,}), {outcome.inputs_kept:,} inputs kept; memory +{grown:.1f} MiB"
            )
        else:
            counts, grown = run_part(share, seed + number, part)
            executed = counts["messages"]
        worst, executions = max(worst, grown), executions + executed
        print(f"  {part:9}", ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts)), flush=True)
    seconds = time.perf_counter() - begun
    each = 1e6 * seconds / executions
    print(f"no rule broken; {executions:,} in {seconds:.0f} s, {each:.0f} us each; memory at most +{worst:.1f} MiB")
    if worst > MOST_GROWTH_MIB:
        print(
            f"memory grew by {worst:.1f} MiB in the second half of a part; at most {MOST_GROWTH_MIB}", file=sys.stderr
        )
        return 1
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("random", "atheris"), default="random", help="who makes the inputs")
    parser.add_argument("--runs", type=int, default=1_000_000, help="messages (random) or stories (atheris) in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, help="one version, or the kernels; default: all of them in turn")
    parser.add_argument("--artefacts", type=Path, default=Path(".axiom/fuzz"), help="atheris: corpus, logs, findings")
    parser.add_argument("--replay", type=Path, help="play one file that atheris has left, with its --part")
    chosen = parser.parse_args()
    if chosen.replay is not None:
        if chosen.part is None:
            parser.error("--replay needs the --part that the file belongs to")
        print(dict(play(chosen.replay.read_bytes(), chosen.part)))
        return
    if chosen.engine == "random" and chosen.part == BYTES:
        parser.error("the part bytes belongs to --engine atheris; the random engine talks to a session in every part")
    if chosen.engine == "atheris":
        require_atheris()
    try:
        parts = (chosen.part,) if chosen.part else PARTS if chosen.engine == "atheris" else SESSIONS
        sys.exit(run(chosen.runs, chosen.seed, parts, chosen.engine, chosen.artefacts.resolve()))
    except GuidedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
