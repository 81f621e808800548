"""The few calls of the CUDA driver that a chain on the device needs, straight to its C library.

``libcuda`` comes with the GPU's driver and keeps its binary interface over many versions, which
Python's wrappers of it do not; a launch through it costs no Python. Every failing call raises
:class:`DeviceError` with the call and the driver's own name for the error.

What a test may replace is the library, and nothing above it.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.cuda.build import DeviceCode, device_code
from gpu.cuda.errors import DeviceError, NoDeviceError

Array: TypeAlias = npt.NDArray[Any]

_MAPPED = 0x01 | 0x02  # CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: the default stream waits for nobody, and nobody for it
_CAPTURE_THREAD_LOCAL = 1
_NOT_READY = 600
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR, _ATTRIBUTE_SMS, _ATTRIBUTE_MAPS_HOST, _ATTRIBUTE_COOPERATIVE = 75, 76, 16, 19, 95


class Buffer(NamedTuple):
    """Memory that a kernel can address; ``view`` is the host's, where it has one."""

    view: Array | None
    handle: Any  # what a launch is given


class Call(NamedTuple):
    """A prepared launch: the C function at ``entry`` called with two words."""

    entry: int
    graph: int
    stream: int


class Driver(Protocol):
    """A device as a session sees it: memory, two ways to launch, and whether it is done."""

    name: str

    def bind(self) -> None:
        """Make the device current in this thread."""

    def mapped(self, shape: int | tuple[int, ...], dtype: Any) -> Buffer:
        """Zeroed host memory that the device can address."""

    def resident(self, count: int) -> Buffer:
        """``count`` zeroed words of the device's own memory."""

    def capture(self, kernel: str, blocks: int, threads: int, arguments: Sequence[Buffer | int]) -> Call:
        """Record one launch as a graph, to be replayed."""

    def launch(self, kernel: str, blocks: int, threads: int, arguments: Sequence[Buffer | int]) -> None:
        """Launch and return at once; all blocks are resident together or it fails."""

    def resident_blocks(self, kernel: str, threads: int) -> int:
        """How many blocks of that kernel can run together."""

    def idle(self) -> bool:
        """Whether everything launched has finished. Raises DeviceError if it finished badly."""

    def close(self) -> None:
        """Free everything; waits for what still runs."""


def load_library() -> Any:
    """The driver's C library.

    Raises
    ------
    NoDeviceError
        There is none on this machine.
    """
    os.environ.setdefault("CUDA_MODULE_LOADING", "EAGER")  # a lazy load would wait for the kernel that stays
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoDeviceError("no NVIDIA driver: libcuda.so.1 is not on this machine") from None


class CudaDriver:
    """One device and one stream of it. See :class:`Driver`.

    Parameters
    ----------
    library
        The C library; by default this machine's.
    ordinal
        Which device; CUDA_VISIBLE_DEVICES decides what 0 is.
    code
        Gives a kernel's machine code by its name and the device's compute capability.

    Raises
    ------
    NoDeviceError
        No library, no device, or one that cannot map host memory.
    DeviceError
        A driver call failed.
    """

    def __init__(
        self, library: Any = None, ordinal: int = 0,
        code: Callable[[str, tuple[int, int]], DeviceCode] = device_code,
    ) -> None:  # fmt: skip
        self._cuda = load_library() if library is None else library
        self._code = code
        self._modules: list[ctypes.c_void_p] = []
        self._functions: dict[str, ctypes.c_void_p] = {}
        self._pinned: list[ctypes.c_void_p] = []
        self._owned: list[ctypes.c_uint64] = []
        self._graphs: list[ctypes.c_void_p] = []
        failure = int(self._cuda.cuInit(ctypes.c_uint(0)))
        if failure != 0:
            raise NoDeviceError(f"the NVIDIA driver finds no usable device: cuInit says {self._error(failure)}")
        count, device = ctypes.c_int(), ctypes.c_int()
        self._do("cuDeviceGetCount", ctypes.byref(count))
        if not 0 <= ordinal < count.value:
            raise NoDeviceError(f"device {ordinal} does not exist: the driver shows {count.value}")
        self._do("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self._device = device
        label = ctypes.create_string_buffer(128)
        self._do("cuDeviceGetName", label, ctypes.c_int(128), device)
        self.name = label.value.decode(errors="replace")
        self.capability = (self._attribute(_ATTRIBUTE_MAJOR), self._attribute(_ATTRIBUTE_MINOR))
        self.multiprocessors = self._attribute(_ATTRIBUTE_SMS)
        if self.capability < (7, 0) or not self._attribute(_ATTRIBUTE_MAPS_HOST):
            raise NoDeviceError(
                f"{self.name} has compute capability {self.capability[0]}.{self.capability[1]}; the kernels need 7.0 "
                "and mapped host memory"
            )
        self._context, self._stream = ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.bind()
        self._do("cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(_NON_BLOCKING))

    def bind(self) -> None:
        """Make the device current in this thread."""
        self._do("cuCtxSetCurrent", self._context)

    def mapped(self, shape: int | tuple[int, ...], dtype: Any) -> Buffer:
        """Zeroed pinned host memory that the device can address; not write-combined, so x86 keeps stores in order."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        host, device = ctypes.c_void_p(), ctypes.c_uint64()
        self._do("cuMemHostAlloc", ctypes.byref(host), ctypes.c_size_t(size), ctypes.c_uint(_MAPPED))
        self._pinned.append(host)
        self._do("cuMemHostGetDevicePointer_v2", ctypes.byref(device), host, ctypes.c_uint(0))
        assert host.value is not None
        view = np.frombuffer((ctypes.c_byte * size).from_address(host.value), dtype).reshape(shape)
        view[...] = 0
        return Buffer(view, device.value)

    def resident(self, count: int) -> Buffer:
        """``count`` zeroed words of the device's own memory."""
        device = ctypes.c_uint64()
        self._do("cuMemAlloc_v2", ctypes.byref(device), ctypes.c_size_t(8 * count))
        self._owned.append(device)
        self._do("cuMemsetD8Async", device, ctypes.c_ubyte(0), ctypes.c_size_t(8 * count), self._stream)
        self._do("cuStreamSynchronize", self._stream)
        return Buffer(None, device.value)

    def capture(self, kernel: str, blocks: int, threads: int, arguments: Sequence[Buffer | int]) -> Call:
        """Record one launch on the stream as a graph, instantiated and uploaded."""
        function = self._function(kernel)
        graph, replay = ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_CAPTURE_THREAD_LOCAL))
        try:
            self._launch("cuLaunchKernel", function, blocks, threads, arguments, None)
        finally:
            self._do("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            self._do("cuGraphInstantiateWithFlags", ctypes.byref(replay), graph, ctypes.c_ulonglong(0))
        finally:
            self._do("cuGraphDestroy", graph)
        self._graphs.append(replay)
        self._do("cuGraphUpload", replay, self._stream)
        self._do("cuStreamSynchronize", self._stream)
        entry = ctypes.cast(self._cuda.cuGraphLaunch, ctypes.c_void_p).value
        assert entry is not None and replay.value is not None
        return Call(entry, replay.value, self._stream.value or 0)

    def launch(self, kernel: str, blocks: int, threads: int, arguments: Sequence[Buffer | int]) -> None:
        """Launch cooperatively (all blocks resident together, or an error) and return at once."""
        if not self._attribute(_ATTRIBUTE_COOPERATIVE):
            raise NoDeviceError(f"{self.name} cannot launch cooperatively")
        self._launch("cuLaunchCooperativeKernel", self._function(kernel), blocks, threads, arguments)

    def resident_blocks(self, kernel: str, threads: int) -> int:
        """How many blocks of that kernel can run together on an otherwise empty device."""
        each = ctypes.c_int()
        self._do(
            "cuOccupancyMaxActiveBlocksPerMultiprocessor", ctypes.byref(each), self._function(kernel),
            ctypes.c_int(threads), ctypes.c_size_t(0),
        )  # fmt: skip
        return each.value * self.multiprocessors

    def idle(self) -> bool:
        """Whether everything launched has finished."""
        code = int(self._cuda.cuStreamQuery(self._stream))
        if code not in (0, _NOT_READY):
            raise DeviceError(f"cuStreamQuery: {self._error(code)}")
        return code == 0

    def close(self) -> None:
        """Free everything, as far as the driver still answers; waits for what still runs."""
        cuda = self._cuda
        cuda.cuCtxSetCurrent(self._context)
        for graph in self._graphs:
            cuda.cuGraphExecDestroy(graph)
        cuda.cuStreamDestroy_v2(self._stream)
        for pointer in self._owned:
            cuda.cuMemFree_v2(pointer)
        for host in self._pinned:
            cuda.cuMemFreeHost(host)
        for module in self._modules:
            cuda.cuModuleUnload(module)
        cuda.cuDevicePrimaryCtxRelease_v2(self._device)
        self._graphs, self._owned, self._pinned, self._modules, self._functions = [], [], [], [], {}

    def _function(self, kernel: str) -> ctypes.c_void_p:
        if kernel not in self._functions:
            code = self._code(kernel, self.capability)
            module, function = ctypes.c_void_p(), ctypes.c_void_p()
            self._do("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code.image))
            self._modules.append(module)
            self._do("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(code.entry.encode()))
            self._functions[kernel] = function
        return self._functions[kernel]

    def _launch(
        self, name: str, function: Any, blocks: int, threads: int, arguments: Sequence[Buffer | int], *extra: Any
    ) -> None:
        one, none = ctypes.c_uint(1), ctypes.c_uint(0)
        packed, _values = _packed(arguments)  # both live until the driver has copied them
        self._do(
            name, function, ctypes.c_uint(blocks), one, one, ctypes.c_uint(threads), one, one, none, self._stream,
            packed, *extra,
        )  # fmt: skip

    def _attribute(self, which: int) -> int:
        value = ctypes.c_int()
        self._do("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(which), self._device)
        return value.value

    def _do(self, name: str, *arguments: Any) -> None:
        code = int(getattr(self._cuda, name)(*arguments))
        if code != 0:
            raise DeviceError(f"{name}: {self._error(code)}")

    def _error(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
        return f"{(text.value or b'unknown error').decode()} ({code})"


def _packed(arguments: Sequence[Buffer | int]) -> tuple[Any, list[ctypes.c_int64]]:
    """Kernel parameters as the driver wants them, an array of pointers to 64-bit values; and those values."""
    values = [ctypes.c_int64(a.handle if isinstance(a, Buffer) else a) for a in arguments]
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    return pointers, values
