"""A kernel's cache must not outlive any source that it was compiled from."""

import contextlib
import threading
from pathlib import Path

import pytest
from numba.core.caching import IndexDataCacheFile

from market import jit


@pytest.fixture
def tree(tmp_path: Path, monkeypatch):
    """A tree of two packages: gpu.a -> gpu.room.b -> market.c, and gpu.other, which nobody imports."""
    files = {
        "market/__init__.py": "",
        "market/c.py": "LIMIT = 1\n",
        "gpu/__init__.py": "",
        "gpu/a.py": "from gpu.room import (\n    b,\n)\n",
        "gpu/room/__init__.py": "",
        "gpu/room/b.py": "def late():\n    from market.c import LIMIT\n    return LIMIT\n",
        "gpu/other.py": "import gpu.a\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(jit, "_ROOT", tmp_path)
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    jit._sources.cache_clear()
    jit._closure_digest.cache_clear()
    jit._file_digest.cache_clear()


@pytest.mark.parametrize("changed", ["gpu/a.py", "gpu/room/b.py", "gpu/room/__init__.py", "market/c.py"])
def test_key_follows_every_source_that_a_kernel_can_reach(tree, changed):
    before = jit._closure_digest("gpu.a")
    with (tree / changed).open("a") as file:
        file.write("# one more line\n")
    _forget()
    assert jit._closure_digest("gpu.a") != before


def test_key_does_not_follow_what_a_kernel_cannot_reach(tree):
    before = jit._closure_digest("gpu.a")
    (tree / "gpu/other.py").write_text("import market.c\n")
    _forget()
    assert jit._closure_digest("gpu.a") == before


def test_every_project_package_is_known():
    """A package that the key does not know would leave its helpers out of every key."""
    root = Path(jit.__file__).parent.parent
    text = (root / "pyproject.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("root_packages"))
    assert set(line.split('"')[1::2]) == jit._OURS


def test_two_processes_that_cache_one_function_do_not_take_one_name(tmp_path):
    """numba reads the index, chooses a free name and writes: both are brought to the choice at once."""
    both = threading.Barrier(2)

    class Slow(IndexDataCacheFile):
        def _load_index(self):
            found = super()._load_index()
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(1.0)
            return found

    def save(key: str) -> None:
        jit._OneWriter(Slow(str(tmp_path), "f-1", "stamp")).save(key, f"code of {key}")

    writers = [threading.Thread(target=save, args=(key,)) for key in ("int64", "float64")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = IndexDataCacheFile(str(tmp_path), "f-1", "stamp")
    assert [kept.load("int64"), kept.load("float64")] == ["code of int64", "code of float64"]
