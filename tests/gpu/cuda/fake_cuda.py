"""``libcuda`` played by the CPU, for machines without a GPU: the boundary behind which a test may pretend.

Everything above the C library is the real code: memory by address, captured launches, error codes. The
kernels really run (compiled for the CPU, one block of one thread), the resident one in a thread of its own.
``Faults`` says what goes wrong.
"""

import ctypes
import threading
from typing import Any

import numpy as np

from gpu.cuda.build import SIGNATURES, DeviceCode
from gpu.cuda.driver import CudaDriver
from gpu.cuda.kernels import REDUCED_ROWS, STATE, WORDS, State, refresh_kernel, serve_kernel

LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
SUCCESS, INVALID_VALUE, NO_DEVICE, NOT_READY, LAUNCH_FAILURE = 0, 1, 100, 600, 719
NAMES = {
    NO_DEVICE: b"CUDA_ERROR_NO_DEVICE",
    LAUNCH_FAILURE: b"CUDA_ERROR_LAUNCH_FAILED",
    2: b"CUDA_ERROR_OUT_OF_MEMORY",
}


class Faults:
    """What the device does wrong from now on."""

    def __init__(self) -> None:
        self.init = SUCCESS
        self.codes: dict[str, int] = {}  # driver call -> error code
        self.silent = False  # launches are accepted and never run
        self.spoil: Any = None  # called with out[rows, n] after a refresh
        self.idle_polls = 1 << 60  # a poll takes nanoseconds here, a microsecond across a bus


def fake_code(name: str, capability: tuple[int, int]) -> DeviceCode:
    assert capability >= (7, 0)
    return DeviceCode(name, name.encode())


class FakeCuda:
    """The C library of one machine with one device."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.calls: list[str] = []
        self.memory: dict[int, Any] = {}  # address -> array that owns it
        self.graphs: dict[int, list[Any]] = {}
        self.threads: list[threading.Thread] = []
        self.recording: list[Any] | None = None
        self.contexts = 0
        self.launches = 0
        self._names: list[bytes] = []
        self.cuGraphLaunch = LAUNCH(self._replay)

    def driver(self) -> CudaDriver:
        return CudaDriver(self, code=fake_code)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        action = getattr(type(self), f"_{name}", None)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            code = self.faults.codes.get(name, SUCCESS)
            if code == SUCCESS and action is not None:
                return action(self, *arguments) or SUCCESS
            return code

        return call

    def _cuInit(self, flags: Any) -> int:
        return self.faults.init

    def _cuGetErrorName(self, code: Any, text: Any) -> None:
        text._obj.value = NAMES.get(code.value, b"CUDA_ERROR_UNKNOWN")

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = 1

    def _cuDeviceGetName(self, label: Any, size: Any, device: Any) -> None:
        label.value = b"a CPU in disguise"

    def _cuDeviceGetAttribute(self, value: Any, which: Any, device: Any) -> None:
        value._obj.value = {75: 9, 76: 0, 16: 4, 19: 1, 95: 1}[which.value]

    def _cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> None:
        self.contexts += 1
        context._obj.value = 1

    def _cuDevicePrimaryCtxRelease_v2(self, device: Any) -> None:
        self.contexts -= 1

    def _cuStreamCreate(self, stream: Any, flags: Any) -> None:
        stream._obj.value = 7

    def _cuStreamQuery(self, stream: Any) -> int:
        return NOT_READY if any(thread.is_alive() for thread in self.threads) else SUCCESS

    def _allocate(self, pointer: Any, size: int) -> None:
        array = np.full(size + 64, 0xEE, np.uint8)  # what was there before is nobody's zero
        address = (array.ctypes.data + 63) // 64 * 64
        self.memory[address] = array
        pointer._obj.value = address

    def _cuMemHostAlloc(self, host: Any, size: Any, flags: Any) -> None:
        self._allocate(host, size.value)

    def _cuMemAlloc_v2(self, device: Any, size: Any) -> None:
        self._allocate(device, size.value)

    def _cuMemHostGetDevicePointer_v2(self, device: Any, host: Any, flags: Any) -> None:
        device._obj.value = host.value

    def _cuMemsetD8Async(self, device: Any, value: Any, size: Any, stream: Any) -> None:
        ctypes.memset(device.value, value.value, size.value)

    def _cuMemFree_v2(self, device: Any) -> None:
        del self.memory[device.value]

    def _cuMemFreeHost(self, host: Any) -> None:
        del self.memory[host.value]

    def _cuModuleLoadData(self, module: Any, image: Any) -> None:
        module._obj.value = 11

    def _cuModuleGetFunction(self, function: Any, module: Any, entry: Any) -> None:
        self._names.append(entry.value)
        function._obj.value = len(self._names)

    def _cuOccupancyMaxActiveBlocksPerMultiprocessor(self, each: Any, function: Any, threads: Any, shared: Any) -> None:
        each._obj.value = 2

    def _cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        self.recording = []

    def _cuStreamEndCapture(self, stream: Any, graph: Any) -> None:
        assert self.recording is not None
        handle = len(self.graphs) + 1
        self.graphs[handle], self.recording = self.recording, None
        graph._obj.value = handle

    def _cuGraphInstantiateWithFlags(self, replay: Any, graph: Any, flags: Any) -> None:
        replay._obj.value = graph.value

    def _cuLaunchKernel(self, function: Any, *rest: Any) -> None:
        assert self.recording is not None, "only captured launches are expected"
        self.recording.append((self._names[function.value - 1].decode(), _parameters(function, rest, self._names)))

    def _replay(self, graph: int | None, stream: int | None) -> int:
        self.launches += 1
        code = self.faults.codes.get("cuGraphLaunch", SUCCESS if graph in self.graphs else INVALID_VALUE)
        if code == SUCCESS and not self.faults.silent:
            for _name, parameters in self.graphs[graph]:
                arrays, scalars = self._unpack("refresh", parameters)
                refresh_kernel(*arrays, *scalars)
                self._spoil(arrays[-1], scalars)
        return code

    def _cuLaunchCooperativeKernel(self, function: Any, *rest: Any) -> None:
        arrays, scalars = self._unpack("serve", _parameters(function, rest, self._names))
        scalars[3] = self.faults.idle_polls
        self.launches += 1
        if self.faults.silent:  # a kernel that came up and then hangs
            arrays[6][STATE] = State.RUNNING
            return
        thread = threading.Thread(target=serve_kernel, args=(*arrays, *scalars), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _spoil(self, out: Any, scalars: list[int]) -> None:
        if self.faults.spoil is not None:
            self.faults.spoil(out.reshape(scalars[1], scalars[0]))

    def _unpack(self, kernel: str, values: list[int]) -> tuple[list[Any], list[int]]:
        """Arrays over the addresses that a launch was given, as long as the kernel's contract says."""
        n, rows = values[8], values[9]
        lengths = [WORDS, WORDS, 6 * n, 6 * n, WORDS, WORDS, WORDS, rows * n]
        kinds = {"p": np.int64, "d": np.float64}
        arrays = []
        for letter, address, length in zip(SIGNATURES[kernel], values, lengths, strict=False):
            assert address in self.memory, "a kernel was given memory that nobody allocated"
            arrays.append(np.frombuffer((ctypes.c_byte * (8 * length)).from_address(address), kinds[letter]))
        assert rows >= REDUCED_ROWS
        return arrays, values[8:]


def _parameters(function: Any, rest: Any, names: list[bytes]) -> list[int]:
    kernel = names[function.value - 1].decode()
    packed = rest[8]  # after the grid, the block, the shared bytes and the stream
    assert len(packed) == len(SIGNATURES[kernel])
    return [ctypes.c_int64.from_address(pointer).value for pointer in packed]
