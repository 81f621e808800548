"""Text eight bytes at a time: unaligned loads and stores, field-end masks, digits to numbers and back.

FIX is fields of 2 to 24 characters. A byte loop over them mispredicts once a field, which costs
more than the work itself; so a field is loaded as one 64-bit word and converted by arithmetic on
all its bytes at once. The loads know nothing of the array's end: **each caller proves its bounds**,
and its docstring says how. With ``NUMBA_BOUNDSCHECK=1`` every load and store here is checked too.

All words are ``uint64``: numba turns ``uint64 + int64`` into a float, hence the constants below.
Codes that are passed to kernels are ``np.int64``, not ``int``, throughout this package: numba
compiles a callee once more for every *literal* int or bool that it is called with.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from market.jit import JIT_ENABLED, kernel

CHECKED = bool(numba.config.BOUNDSCHECK)
BLOCK_BYTES = 64

_0 = np.uint64(0)
_1 = np.uint64(1)
_3 = np.uint64(3)
_4 = np.uint64(4)
_6 = np.uint64(6)
_8 = np.uint64(8)
_16 = np.uint64(16)
_32 = np.uint64(32)
_48 = np.uint64(48)
_64 = np.uint64(64)
_255 = np.uint64(255)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZEROS = np.uint64(0x3030303030303030)
_HIGH_NIBBLES = np.uint64(0xF0F0F0F0F0F0F0F0)
_LOW_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_SIXES = np.uint64(0x0606060606060606)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LOW_QUARTER = np.uint64(0xFFFF)
_FOUR_ZEROS = np.uint64(0x30303030)
_FOUR_SIXES = np.uint64(0x06060606)
_ONES = np.uint64(0x0101010101010101)
_TOP_BITS = np.uint64(0x8080808080808080)
_LETTER_BITS = np.uint64(0x4040404040404040)
_NIBBLE_PAIRS = np.uint64(0x000F000F000F000F)
_EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)
_EVEN_HALVES = np.uint64(0x0000FFFF0000FFFF)
_LOW_HALF = np.uint64(0x00000000FFFFFFFF)
_TEN_PAIRS = np.uint64(2561)  # 10 * 2**8 + 1
_HUNDRED_PAIRS = np.uint64(6553601)  # 100 * 2**16 + 1
_MYRIAD_PAIRS = np.uint64(42949672960001)  # 10000 * 2**32 + 1
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_HASH_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MASK64 = (1 << 64) - 1
_EIGHT = np.int64(8)

if JIT_ENABLED:
    _WORD = ir.IntType(64)
    _BYTES64 = ir.VectorType(ir.IntType(8), BLOCK_BYTES)
    _LANES64 = ir.VectorType(ir.IntType(1), BLOCK_BYTES)

    def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())

    @intrinsic  # type: ignore[untyped-decorator]
    def _load_u64(_ctx: Any, arr: Any, idx: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.load(_place(context, builder, sig.args[0], args[0], args[1], _WORD), align=1)

        return types.uint64(arr, types.intp), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def _store_u64(_ctx: Any, arr: Any, idx: Any, word: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            builder.store(args[2], _place(context, builder, sig.args[0], args[0], args[1], _WORD), align=1)
            return context.get_dummy_value()

        return types.void(arr, types.intp, types.uint64), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def _copy64(_ctx: Any, dst: Any, d: Any, src: Any, s: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            block = builder.load(_place(context, builder, sig.args[2], args[2], args[3], _BYTES64), align=1)
            builder.store(block, _place(context, builder, sig.args[0], args[0], args[1], _BYTES64), align=1)
            return context.get_dummy_value()

        return types.void(dst, types.intp, src, types.intp), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def _scan64(_ctx: Any, arr: Any, idx: Any, lanes: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            block = builder.load(_place(context, builder, sig.args[0], args[0], args[1], _BYTES64), align=1)
            wanted = builder.bitcast(args[2], _LANES64)
            block = builder.select(wanted, block, ir.Constant(_BYTES64, [0] * BLOCK_BYTES))
            ends = builder.icmp_unsigned("==", block, ir.Constant(_BYTES64, [1] * BLOCK_BYTES))
            reduce_type = ir.FunctionType(ir.IntType(8), [_BYTES64])
            reduce = builder.module.declare_intrinsic("llvm.vector.reduce.add.v64i8", fnty=reduce_type)
            total = builder.zext(builder.call(reduce, [block]), _WORD)
            return context.make_tuple(builder, sig.return_type, [builder.bitcast(ends, _WORD), total])

        return types.UniTuple(types.uint64, 2)(arr, types.intp, types.uint64), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def lowest_bit(_ctx: Any, word: Any) -> Any:
        """Index of the lowest set bit of ``word`` (uint64); 64 where there is none."""

        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def text_size(_ctx: Any, word: Any) -> Any:
        """Bytes of ``word`` (uint64, not 0) up to its last that is not zero."""

        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            leading = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
            return builder.sub(ir.Constant(_WORD, 8), builder.lshr(leading, ir.Constant(_WORD, 3)))

        return types.int64(types.uint64), codegen

    @kernel(inline=True)
    def mul_wrap(a: Any, b: Any) -> Any:
        """``a * b`` modulo 2**64, both uint64."""
        return a * b

else:

    def _load_u64(arr: Any, idx: int) -> Any:
        return np.uint64(int.from_bytes(bytes(arr[idx : idx + 8]), "little"))

    def _store_u64(arr: Any, idx: int, word: Any) -> None:
        arr[idx : idx + 8] = np.frombuffer(int(word).to_bytes(8, "little"), np.uint8)

    def _copy64(dst: Any, d: int, src: Any, s: int) -> None:
        dst[d : d + BLOCK_BYTES] = src[s : s + BLOCK_BYTES]

    def _scan64(arr: Any, idx: int, lanes: Any) -> tuple[Any, Any]:
        ends, total = 0, 0
        for lane in range(BLOCK_BYTES):
            if (int(lanes) >> lane) & 1:
                value = int(arr[idx + lane])
                ends |= (value == 1) << lane
                total += value
        return np.uint64(ends), np.uint64(total & 255)

    def lowest_bit(word: Any) -> int:  # noqa: D103
        value = int(word)
        return 64 if value == 0 else (value & -value).bit_length() - 1

    def text_size(word: Any) -> int:  # noqa: D103
        return (int(word).bit_length() + 7) // 8

    def mul_wrap(a: Any, b: Any) -> Any:  # noqa: D103
        return np.uint64((int(a) * int(b)) & _MASK64)


@kernel(inline=True)
def load_u64(arr: Any, idx: int) -> Any:
    """Eight bytes of ``arr`` (uint8) from ``idx``, first byte lowest. Needs ``0 <= idx <= len - 8``."""
    if CHECKED or not JIT_ENABLED:
        arr[idx]
        arr[idx + 7]
        if idx < 0:
            arr[arr.shape[0]]
    return _load_u64(arr, idx)


@kernel(inline=True)
def store_u64(arr: Any, idx: int, word: Any) -> None:
    """Write eight bytes at ``idx``, lowest byte first. Needs ``0 <= idx <= len - 8``."""
    if CHECKED or not JIT_ENABLED:
        arr[idx] = np.uint8(0)
        arr[idx + 7] = np.uint8(0)
        if idx < 0:
            arr[arr.shape[0]] = np.uint8(0)
    _store_u64(arr, idx, word)


@kernel(inline=True)
def copy64(dst: Any, d: int, src: Any, s: int) -> None:
    """Copy 64 bytes of ``src`` at ``s`` to ``dst`` at ``d``; both must have them."""
    if CHECKED or not JIT_ENABLED:
        dst[d + 63] = src[s + 63]
    _copy64(dst, d, src, s)


@kernel(inline=True)
def scan64(arr: Any, idx: int, count: int) -> Any:
    """Mask of SOH bytes and byte sum modulo 256 of ``arr[idx:idx + count]``, 1 <= count <= 64.

    Reads a whole block where the array has one, byte by byte at the array's end: never outside it.
    """
    if idx + BLOCK_BYTES <= arr.shape[0]:
        lanes = ALL >> (_64 - np.uint64(count))
        return _scan64(arr, idx, lanes)
    ends = _0
    total = _0
    for lane in range(count):
        value = np.uint64(arr[idx + lane])
        if value == _1:
            ends |= _1 << np.uint64(lane)
        total = (total + value) & _255
    return ends, total


@kernel(inline=True)
def first_bytes(word: Any, count: int) -> Any:
    """Return ``word`` with all but its first ``count`` bytes (1..8) zeroed."""
    return word & (ALL >> np.uint64(64 - 8 * count))


@kernel(inline=True)
def find_byte(word: Any, pattern: Any) -> int:
    """Index of the first byte of ``word`` equal to the one that fills ``pattern``; 8 where there is none."""
    diff = word ^ pattern
    # The classic zero-byte test; only bits above the first hit can be false, and the lowest counts.
    hit = ~((((diff & ~_TOP_BITS) + ~_TOP_BITS) | diff) | ~_TOP_BITS)
    return lowest_bit(hit) >> 3


@kernel(inline=True)
def digits8(word: Any, count: int) -> int:
    """Value of the ``count`` (1..8) ASCII digits that ``word`` begins with; -1 where one is no digit."""
    shift = np.uint64(64 - 8 * count)
    padded = word << shift
    if count < 8:
        padded |= _ZEROS >> np.uint64(8 * count)
    if (padded & _HIGH_NIBBLES) != _ZEROS:
        return -1
    if ((padded + _SIXES) & _HIGH_NIBBLES) != _ZEROS:
        return -1
    value = mul_wrap(padded & _LOW_NIBBLES, _TEN_PAIRS) >> _8
    value = mul_wrap(value & _EVEN_BYTES, _HUNDRED_PAIRS) >> _16
    value = mul_wrap(value & _EVEN_HALVES, _MYRIAD_PAIRS) >> _32
    return np.int64(value)


@kernel(inline=True)
def digits4(word: Any, count: int) -> int:
    """As :func:`digits8` for ``count`` 1..4, at two thirds of its price."""
    padded = ((word << np.uint64(32 - 8 * count)) & _LOW_HALF) | (_FOUR_ZEROS >> np.uint64(8 * count))
    if (((padded ^ _FOUR_ZEROS) | ((padded + _FOUR_SIXES) ^ _FOUR_ZEROS)) & _HIGH_NIBBLES) != _0:
        return -1
    value = mul_wrap(padded & _LOW_NIBBLES, _TEN_PAIRS) >> _8
    value = mul_wrap(value & _EVEN_BYTES, _HUNDRED_PAIRS) >> _16
    return np.int64(value & _LOW_QUARTER)


@kernel(inline=True)
def hex8(word: Any) -> int:
    """Value of eight uppercase hex digits, first most significant; -1 where one is no such digit."""
    letters = (word & _LETTER_BITS) >> _6
    value = (word & _LOW_NIBBLES) + (letters << _3) + letters
    # Writing the value back must give the same text: that alone refuses lower case and all else.
    above9 = ((value + _SIXES) >> _4) & _ONES
    if (value & _HIGH_NIBBLES) != _0 or (value + _ZEROS + (above9 << _3) - above9) != word:
        return -1
    pairs = ((value & _NIBBLE_PAIRS) << _4) | ((value >> _8) & _NIBBLE_PAIRS)
    high = ((pairs & _255) << np.uint64(24)) | (pairs & np.uint64(0xFF0000))
    low = ((pairs >> np.uint64(24)) & np.uint64(0xFF00)) | (pairs >> _48)
    return np.int64(high | low)


@kernel(inline=True)
def hex_text8(value: Any) -> Any:
    """Word of eight uppercase hex digits of the low 32 bits of ``value`` (uint64)."""
    # Bytes in text order, then each byte's two nibbles in text order.
    byte0 = (value >> np.uint64(24)) & _255
    byte1 = value & np.uint64(0xFF0000)
    byte2 = (value & np.uint64(0xFF00)) << np.uint64(24)
    byte3 = (value & _255) << _48
    spread = byte0 | byte1 | byte2 | byte3
    nibbles = ((spread >> _4) & _NIBBLE_PAIRS) | ((spread & _NIBBLE_PAIRS) << _8)
    above9 = ((nibbles + _SIXES) >> _4) & _ONES
    return nibbles + _ZEROS + (above9 << _3) - above9


@kernel(inline=True)
def digit_bytes8(value: Any) -> Any:
    """Eight bytes 0..9, most significant first, of ``value`` (uint64) below 10**8."""
    # Divisions by constants become multiplications; each step halves the groups.
    high = value // np.uint64(10_000)
    fours = high | ((value - high * np.uint64(10_000)) << _32)
    hundreds = ((fours * np.uint64(10_486)) >> np.uint64(20)) & np.uint64(0x0000007F0000007F)
    twos = hundreds | ((fours - hundreds * np.uint64(100)) << _16)
    tens = ((twos * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    return tens | ((twos - tens * np.uint64(10)) << _8)


@kernel(inline=True)
def put_digits(out: Any, o: int, value: int, count: int) -> int:
    """Write exactly the last ``count`` (1..8) digits of ``value`` >= 0, below 10**8; needs 8 free bytes."""
    word = digit_bytes8(np.uint64(value)) | _ZEROS
    store_u64(out, o, word >> np.uint64(64 - 8 * count))
    return o + count


@kernel(inline=True)
def put_small(out: Any, o: int, value: int) -> int:
    """Write ``value`` (0 <= value < 10**8) without leading zeros; needs 8 free bytes."""
    raw = digit_bytes8(np.uint64(value))
    skip = lowest_bit(raw) >> 3
    if skip > 7:
        skip = 7
    store_u64(out, o, (raw | _ZEROS) >> np.uint64(8 * skip))
    return o + 8 - skip


@kernel
def put_uint(out: Any, o: int, value: int) -> int:
    """Write ``value`` (0 <= value < 2**63) without leading zeros; needs 24 free bytes; returns the end."""
    if value < 100_000_000:
        return put_small(out, o, value)
    high = value // 100_000_000
    low = value - high * 100_000_000
    if high >= 100_000_000:
        top = high // 100_000_000
        o = put_small(out, o, top)
        o = put_digits(out, o, high - top * 100_000_000, _EIGHT)
    else:
        o = put_small(out, o, high)
    return put_digits(out, o, low, _EIGHT)


@kernel
def fnv1a(buf: Any, at: int, size: int) -> Any:
    """FNV-1a of ``buf[at:at + size]`` as uint64: the number that a foreign id is known by."""
    value = _FNV_OFFSET
    for k in range(size):
        value = mul_wrap(value ^ np.uint64(buf[at + k]), _FNV_PRIME)
    return value


@kernel(inline=True)
def hash3(w0: Any, w1: Any, w2: Any) -> Any:
    """Hash of 24 symbol bytes (three uint64 words); take the high bits."""
    value = mul_wrap(w0, _HASH_PRIME)
    value = mul_wrap(value ^ (value >> _32) ^ w1, _HASH_PRIME)
    return mul_wrap(value ^ (value >> _32) ^ w2, _HASH_PRIME)


def word_of(text: bytes) -> np.uint64:
    """Up to eight bytes as the word that :func:`load_u64` gives for them (zero padded)."""
    if len(text) > 8:
        raise ValueError(f"a word holds 8 bytes, {text!r} has {len(text)}")
    return np.uint64(int.from_bytes(text, "little"))
