"""``axiom doctor``: will the daemon and the simulator run well on this machine? Each fault with its mend."""

import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from rich.table import Table

from config import AxiomConfig
from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.output import emit_json, stdout
from engine.cli.profile import ConfigOption, JsonOption, load_profile

_MIN_PYTHON, _BELOW_PYTHON = (3, 11), (3, 14)
_SPIN_CORES = 3
_MIN_DESCRIPTORS = 1024
_RING_BYTES_PER_SLOT = 192
_MIB = 1 << 20

Grade = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """Outcome of one check; ``mend`` says what to do where it is not ok."""

    name: str
    grade: Grade
    found: str
    mend: str = ""


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check Python, kernels, cores, shared memory, ports, directories and limits; exit 1 if one fails."""
    findings = list(examine(load_profile(config, with_tables=True)))
    ok = all(finding.grade != "fail" for finding in findings)
    if as_json:
        emit_json({"ok": ok, "result": findings})
    else:
        stdout().print(_table(findings))
    if not ok:
        raise Finished(ExitCode.ERROR)


def examine(config: AxiomConfig) -> Iterator[Finding]:
    """Run every check."""
    yield _python()
    yield _kernels()
    yield _cores(config)
    yield _shared_memory(config)
    yield from _directories(config)
    yield _descriptors()
    yield from _ports(config)
    yield _daemon(config)


def _python() -> Finding:
    version = sys.version_info[:3]
    found = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if not _MIN_PYTHON <= version[:2] < _BELOW_PYTHON:
        return Finding("python", "fail", found, "use Python 3.11, 3.12 or 3.13: `make setup PYTHON=python3.12`")
    if sys.platform != "linux":
        return Finding("python", "fail", found, "run on Linux: rings, eventfd and epoll are its own")
    return Finding("python", "ok", found)


def _kernels() -> Finding:
    try:
        from market.jit import JIT_ENABLED, cache_root
    except ImportError as error:
        return Finding("kernels", "fail", str(error), "install the pinned packages: `make setup`")
    if not JIT_ENABLED:
        return Finding("kernels", "warn", "the JIT is off (plain Python)", "unset NUMBA_DISABLE_JIT")
    path = cache_root() / "kernels"
    blocker = _unwritable(path)
    if blocker:
        return Finding("kernels", "fail", blocker, "set AXIOM_CACHE_DIR to a directory you may write")
    cached = sum(1 for _ in path.rglob("*.nbi")) if path.is_dir() else 0
    if not cached:
        mend = "the first start compiles for a minute: `axiom warmup` does it now"
        return Finding("kernels", "warn", f"none compiled yet in {path}", mend)
    return Finding("kernels", "ok", f"{cached} compiled in {path}")


def _cores(config: AxiomConfig) -> Finding:
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    found = f"{usable} usable; loop mode {config.engine.loop_mode}"
    if config.engine.loop_mode == "spin" and usable < _SPIN_CORES:
        mend = f"set engine.loop_mode to auto, or give the process {_SPIN_CORES} cores: a spinner starves the rest"
        return Finding("cores", "fail", found, mend)
    for key in ("pin_step_core", "pin_greeks_core"):
        core = getattr(config.engine, key)
        if core >= 0 and core not in os.sched_getaffinity(0):
            return Finding("cores", "fail", f"{found}; engine.{key} = {core}", f"set engine.{key} to a usable core")
    if usable < 2:
        return Finding("cores", "warn", found, "two cores or more: daemon and simulator share one otherwise")
    return Finding("cores", "ok", found)


def _shared_memory(config: AxiomConfig) -> Finding:
    path = config.runtime_dir
    blocker = _unwritable(path)
    if blocker:
        return Finding("shared memory", "fail", blocker, "set engine.runtime_dir to a directory on a tmpfs")
    base = _existing(path)
    needed = sum(venue.ring_slots for venue in config.simulator.venues) * _RING_BYTES_PER_SLOT
    free = shutil.disk_usage(base).free
    found = f"{path}: {free // _MIB} MiB free, rings need {needed / _MIB:.1f}"
    if free < needed:
        mend = "make room there (in a container: --shm-size=256m), or set engine.runtime_dir"
        return Finding("shared memory", "fail", found, mend)
    if _filesystem(base) not in ("tmpfs", "ramfs", "hugetlbfs"):
        mend = "set engine.runtime_dir to a tmpfs: on a disk the rings are written back for ever"
        return Finding("shared memory", "warn", f"{found}; not a tmpfs", mend)
    return Finding("shared memory", "ok", found)


def _directories(config: AxiomConfig) -> Iterator[Finding]:
    needed_mib = config.engine.journal_min_free_mib + 2 * config.engine.journal_segment_mib
    for name, path in (("state directory", config.state_dir), ("simulator directory", config.simulator_dir)):
        blocker = _unwritable(path)
        if blocker:
            yield Finding(name, "fail", blocker, "set its state_dir to a directory you may write")
            continue
        free_mib = shutil.disk_usage(_existing(path)).free // _MIB
        found = f"{path}: {free_mib} MiB free"
        if free_mib < needed_mib:
            mend = f"make room: trading stops below journal_min_free_mib; {needed_mib} MiB are wanted to start"
            yield Finding(name, "fail", found, mend)
        else:
            yield Finding(name, "ok", found)


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MIN_DESCRIPTORS:
        return Finding("open files", "fail", f"limit {soft} (hard {hard})", f"`ulimit -n {_MIN_DESCRIPTORS}` or more")
    return Finding("open files", "ok", f"limit {soft}")


def _ports(config: AxiomConfig) -> Iterator[Finding]:
    for venue in config.simulator.venues:
        name, place = f"port of {venue.name}", f"{venue.host}:{venue.port}"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((venue.host, venue.port))
            except OSError as error:
                mend = "a simulator is running, or another program has it: `axiom demo` takes a free one by itself"
                yield Finding(name, "warn", f"{place}: {error.strerror}", mend)
                continue
        yield Finding(name, "ok", f"{place} is free")


def _daemon(config: AxiomConfig) -> Finding:
    try:
        status = request(config.control_socket, "status", {"rows": 0}, timeout_s=2.0)
    except NotRunning:
        return Finding("daemon", "ok", f"none running on {config.state_dir}")
    except CliError as error:
        return Finding("daemon", "warn", str(error), "look at its log, or stop it and start it again")
    return Finding("daemon", "ok", f"running, pid {status.get('pid', '?')}, {status.get('phase', '?')}")


# -- the ground ---------------------------------------------------------------------------------


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _unwritable(path: Path) -> str:
    """Why a file cannot be made in ``path`` (which need not exist yet); empty when it can."""
    base = _existing(path)
    if not base.is_dir():
        return f"{base} is not a directory"
    try:
        with tempfile.TemporaryFile(dir=base):
            return ""
    except OSError as error:
        return f"{base} cannot be written ({error.strerror})"


def _filesystem(path: Path) -> str:
    """Type of the file system that holds ``path``, from the kernel's table of mounts."""
    best, kind = "", ""
    place = str(path.resolve())
    read: Callable[[], str] = Path("/proc/self/mounts").read_text
    try:
        lines = read().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, mount, fs_type, *_ = line.split(" ")
        if (place == mount or place.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind


def _table(findings: list[Finding]) -> Table:
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = f"[{colours[finding.grade]}]{finding.grade}[/]"
        text = finding.found if not finding.mend else f"{finding.found}\n[dim]mend:[/] {finding.mend}"
        table.add_row(mark, finding.name, text)
    return table
