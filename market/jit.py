"""``@kernel``: how every compiled function of the project is made.

nogil, ``error_model='numpy'`` (a division by zero gives inf or 0 instead of ending the thread:
guard divisions explicitly), cached on disk. numba's cache follows a function's own file but not
the helpers it calls in other files, so the kernels of a module live under a directory named by a
hash of all sources that they can reach: the module and whatever of ours it imports, however far.

With ``NUMBA_DISABLE_JIT=1`` kernels are plain Python, which is how they are debugged and how
tests use them as their own oracle; the intrinsics of ``atomics.py`` then fall back as well.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import llvmlite
import llvmlite.binding
import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

JIT_ENABLED = not numba.config.DISABLE_JIT

#: from a.b import (c, d) | import e.f, at any depth of indentation.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
_OURS = frozenset({"market", "config", "fix", "gpu", "risk", "simulator", "strategies", "engine"})
_ROOT = Path(__file__).resolve().parent.parent
_KEEP_DAYS = 14


def cache_root() -> Path:
    """Directory of all kernel caches; ``AXIOM_CACHE_DIR`` overrides ``~/.cache/axiom``."""
    base = os.environ.get("AXIOM_CACHE_DIR")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "axiom"


@lru_cache(maxsize=1)
def _toolchain() -> bytes:
    cpu = llvmlite.binding.get_host_cpu_name()
    parts = (numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(), cpu,
             str(numba.config.BOUNDSCHECK), str(numba.config.CPU_NAME), str(numba.config.CPU_FEATURES))  # fmt: skip
    return "|".join(parts).encode()


@cache
def _sources(module: str) -> tuple[Path, frozenset[str]]:
    """File of a module of ours and the names that it imports; no file for what is not ours."""
    path = _ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return path, frozenset()
    names: set[str] = set()
    for source, imported, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
        names.update(plain.replace(" ", "").split(","))
        if source:
            words = imported.strip("()").replace(",", " ").split()
            names.add(source)
            names.update(f"{source}.{word}" for word in words)  # a module, or a name that has no file
    parents = {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    return path, frozenset(name for name in names | parents if name.partition(".")[0] in _OURS)


@cache
def _closure_digest(module: str) -> str:
    """Hash of a module and of every module of ours that it imports, however far away."""
    seen: set[str] = set()
    waiting = [module]
    files: set[Path] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path, imports = _sources(name)
        if path.is_file():
            files.add(path)
            waiting.extend(imports)
    digest = hashlib.sha256(_toolchain())
    for path in sorted(files):
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + _file_digest(path))
    return digest.hexdigest()[:16]


@cache
def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@cache
def kernel_cache_dir(module: str) -> Path:
    """Return (and create) the cache directory for the kernels of ``module`` as its sources are now."""
    path = cache_root() / "kernels" / f"{module}-{_closure_digest(module)}"
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        _forget_old(path.parent)
    return path


def _forget_old(parent: Path) -> None:
    """Remove cache directories untouched for two weeks; only when a new one is made."""
    horizon = time.time() - _KEEP_DAYS * 86_400
    for entry in parent.iterdir():
        if entry.stat().st_mtime < horizon:
            shutil.rmtree(entry, ignore_errors=True)


class _OneWriter:
    """The cache files of one function, written by one process at a time.

    numba reads the function's index, chooses the next free file name, and writes both. Two processes
    that compile it for different types at the same moment would choose the same name, and one of them
    would later be given the other's machine code.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def save(self, key: Any, data: Any) -> None:
        """As numba's own, alone."""
        with open(os.path.join(self._files._cache_path, "writer.lock"), "ab") as lock:
            with contextlib.suppress(OSError):  # a file system without locks: as safe as numba is
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._files.save(key, data)


@overload
def kernel(fn: F) -> F: ...
@overload
def kernel(*, inline: bool = ..., allocates: bool = ..., internal: bool = ..., **options: Any) -> Callable[[F], F]: ...


def kernel(
    fn: Any = None, *, inline: bool = False, allocates: bool = False, internal: bool = False, **options: Any
) -> Any:
    """Compile ``fn`` on first call: nogil, cached, numpy error model.

    ``inline=True`` marks a small helper of other kernels (LLVM is told to inline it; numba's own
    ``inline='always'`` is not used, since it multiplies compile time). ``options`` go to numba's
    ``njit`` unchanged, e.g. ``fastmath={'contract', 'nsz'}``.

    Kernels work on arrays that their caller owns, so numba's reference counting is off: it costs an
    atomic operation per array touched (ten times the work of a small rule) and half the compile
    time. ``internal=True``: called by other kernels only, so the entry point for Python is not
    compiled. ``allocates=True`` turns it on for the few warm kernels that create or return arrays.
    """

    def compile_later(function: Any) -> Any:
        settings: dict[str, Any] = {
            "nogil": True,
            "cache": True,
            "error_model": "numpy",
            "_nrt": allocates,
            "no_cfunc_wrapper": True,  # nobody calls a kernel as a C callback
            **options,
        }
        if inline:
            settings["forceinline"] = True
        if internal:
            settings["no_cpython_wrapper"] = True
        if not JIT_ENABLED:
            return function
        saved = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(kernel_cache_dir(function.__module__))
        try:
            dispatcher = numba.njit(**settings)(function)
        finally:
            numba.config.CACHE_DIR = saved
        with contextlib.suppress(AttributeError):  # a numba whose insides moved: as safe as it is
            dispatcher._cache._cache_file = _OneWriter(dispatcher._cache._cache_file)
        return dispatcher

    return compile_later if fn is None else cast("Any", compile_later(fn))
