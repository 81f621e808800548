"""``@kernel``: how every compiled function of the project is made.

nogil, ``error_model='numpy'`` (a division by zero gives inf or 0 instead of ending the thread:
guard divisions explicitly), cached on disk. numba's cache follows a function's own file but not
the helpers it calls in other files, so each package's kernels live under a directory named by a
hash of all kernel sources that package may use: its own and those of the packages it may import.

With ``NUMBA_DISABLE_JIT=1`` kernels are plain Python, which is how they are debugged and how
tests use them as their own oracle; the intrinsics of ``atomics.py`` then fall back as well.
"""

import hashlib
import os
import platform
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

# Whose kernels a package's kernels may call (docs/architecture.md): what its cache key covers.
_USES = {
    "market": (),
    "config": ("market",),
    "fix": ("market",),
    "gpu": ("market",),
    "risk": ("market", "gpu"),
    "simulator": ("market", "fix", "gpu"),
    "strategies": ("market", "gpu", "risk"),
    "engine": ("market", "fix", "gpu", "risk", "strategies"),
}
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
def _package_digest(package: str) -> bytes:
    """Hash of one package's files that define kernels (they name this module)."""
    digest = hashlib.sha256()
    for path in sorted((_ROOT / package).rglob("*.py")):
        text = path.read_bytes()
        if b"market.jit" in text or b"market.atomics" in text or path.parent.name == "market":
            digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + text)
    return digest.digest()


@cache
def kernel_cache_dir(package: str) -> Path:
    """Return (and create) the cache directory for the kernels of ``package`` as they are now."""
    used = _USES.get(package, tuple(_USES))
    digest = hashlib.sha256(_toolchain())
    for name in (*used, package):
        digest.update(_package_digest(name) if (_ROOT / name).is_dir() else b"")
    path = cache_root() / "kernels" / f"{package}-{digest.hexdigest()[:16]}"
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
        package = function.__module__.partition(".")[0]
        saved = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(kernel_cache_dir(package))
        try:
            return numba.njit(**settings)(function)
        finally:
            numba.config.CACHE_DIR = saved

    return compile_later if fn is None else cast("Any", compile_later(fn))
