"""The kernels really become device code, without a device: types, instructions, no spills."""

import re

import pytest

from gpu.cuda import build
from gpu.cuda.errors import NoDeviceError

HOPPER = (9, 0)


@pytest.fixture(scope="module", params=sorted(build.SIGNATURES))
def ptx(request):
    try:
        return request.param, build.ptx_of(request.param, HOPPER)
    except NoDeviceError as e:
        pytest.skip(str(e))


def test_the_kernel_is_one_entry_without_calls_in_doubles(ptx):
    name, text = ptx
    assert re.findall(r"\.visible \.entry \w*?(\w+)_kernel", text) != []
    assert text.count(".visible .entry") == 1
    assert ".target sm_90" in text
    assert not re.search(r"^\s*call", text, re.MULTILINE), "a formula was not inlined"
    single = re.search(r"^\s*(add|sub|mul|fma|mad|div|rcp|sqrt|cvt)\S*\.f32", text, re.MULTILINE)
    assert single is None, "single precision has crept in"
    assert not re.search(r"\.local ", text), "a row went through local memory"
    assert len(re.findall(r"\.param \.u64 \w+_param_\d+,?$", text, re.MULTILINE)) == len(build.SIGNATURES[name])


def test_the_answer_is_stored_last_behind_a_system_fence(ptx):
    _name, text = ptx
    body = text[text.rindex("bar.sync") :]
    order = [body.index("atom.acq_rel.gpu.add.u64"), body.index("membar.sys"), body.index("st.release.sys.u64")]
    assert order == sorted(order)
    assert text[: text.rindex("bar.sync")].rstrip().endswith("membar.sys;")
    rows = [match.start() for match in re.finditer(r"st\.(global\.)?f64", text)]
    assert max(rows) < text.rindex("st.release.sys.u64")


def test_only_the_kernel_that_stays_polls_and_rests(ptx):
    name, text = ptx
    assert (
        ("ld.acquire.sys.u64" in text) == ("ld.acquire.gpu.u64" in text) == ("nanosleep" in text) == (name == "serve")
    )


def test_the_linker_takes_it_and_a_second_build_reads_the_file(ptx, monkeypatch):
    name, _text = ptx
    code = build.device_code(name, HOPPER)
    assert code.image[:4] == b"\x7fELF" or code.image.lstrip().startswith(b"//")
    assert code.entry.encode() in code.image

    def must_not_compile(*arguments):
        raise AssertionError("the cached file was not used")

    monkeypatch.setattr(build, "ptx_of", must_not_compile)
    assert build.device_code(name, HOPPER) == code
