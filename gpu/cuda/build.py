"""The kernels as machine code of one GPU generation, built once and kept beside the kernel caches.

numba-cuda turns the retargeted source into PTX, NVIDIA's linker that into machine code (a "cubin", so that the
driver may be older than the compiler; without the linker the driver gets the PTX and translates it itself).
No GPU is needed here. A second process reads the file and imports no compiler at all.
"""

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from gpu.cuda import kernels
from gpu.cuda.errors import NoDeviceError
from gpu.cuda.retarget import Retargeter
from market.jit import kernel_cache_dir

_ENTRY = re.compile(r"\.visible \.entry (\w+)\(")

#: Parameters of the kernels: p a pointer to int64, d a pointer to float64, i an int64.
SIGNATURES = {"refresh": "pdddpdpdii", "serve": "pdddpdpdiiiii"}


class DeviceCode(NamedTuple):
    """One kernel, ready for the driver."""

    entry: str  # its name inside the image
    image: bytes  # cubin, or PTX ending in a zero byte


def compiler_version() -> str:
    """Version of numba-cuda.

    Raises
    ------
    NoDeviceError
        It is not installed.
    """
    try:
        return version("numba-cuda")
    except PackageNotFoundError:
        raise NoDeviceError("numba-cuda is not installed: pip install 'axiom[cuda]'") from None


def device_code(name: str, capability: tuple[int, int]) -> DeviceCode:
    """The kernel ``name`` ("refresh" or "serve") for GPUs of that compute capability; under a second, then cached."""
    label = f"{name}-sm{capability[0]}{capability[1]}-{compiler_version()}"
    path = Path(kernel_cache_dir("gpu.cuda.build")) / f"{label}.cubin"
    if path.is_file():
        entry, _, image = path.read_bytes().partition(b"\n")
        return DeviceCode(entry.decode(), image)
    ptx = ptx_of(name, capability)
    found = _ENTRY.search(ptx)
    assert found is not None, "numba-cuda gave PTX without an entry"
    image = _linked(ptx.encode(), capability)
    part = path.with_suffix(".part")
    part.write_bytes(found[1].encode() + b"\n" + image)
    part.replace(path)
    return DeviceCode(found[1], image)


def ptx_of(name: str, capability: tuple[int, int]) -> str:
    """PTX of one kernel; see :func:`device_code`.

    Raises
    ------
    NoDeviceError
        numba-cuda or its compiler (libnvvm) cannot be imported.
    RetargetError
        A formula uses what a device cannot have.
    """
    compiler_version()
    try:
        from numba import cuda, types

        from gpu.cuda import device
    except (ImportError, OSError) as e:
        raise NoDeviceError(f"numba-cuda cannot be imported: {e}") from e
    retarget = Retargeter(device.compile_function, device.device_primitives())
    source = retarget.copy({"refresh": kernels.refresh_kernel, "serve": kernels.serve_kernel}[name])
    kinds = {"p": types.CPointer(types.int64), "d": types.CPointer(types.float64), "i": types.int64}
    signature = types.void(*(kinds[letter] for letter in SIGNATURES[name]))
    ptx, _ = cuda.compile(source, signature, device=False, abi="numba", cc=capability, output="ptx")
    return str(ptx)


def _linked(ptx: bytes, capability: tuple[int, int]) -> bytes:
    """Machine code, or the PTX itself where NVIDIA's linker is not installed."""
    try:
        nvjitlink = import_module("cuda.bindings.nvjitlink")
    except (ImportError, OSError, RuntimeError):
        return ptx + b"\0"
    handle = nvjitlink.create(1, [f"-arch=sm_{capability[0]}{capability[1]}"])
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, ptx, len(ptx), "axiom")
        nvjitlink.complete(handle)
        image = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, image)
        return bytes(image)
    finally:
        nvjitlink.destroy(handle)
