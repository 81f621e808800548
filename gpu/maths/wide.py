"""``@wide_kernel``: kernels whose loops over many arrays become vectors of the machine's full width.

numba leaves two things undone that cost a factor of four to eight. (1) LLVM vectorises a loop over
a dozen arrays only if it knows that they do not overlap: checking twenty pointers against each other
at run time is beyond its limit, and raising the limit does not help. (2) On many AVX-512 machines it
keeps to 256 bits unless told otherwise, and numba can be told only through environment variables
that must be set before its import. Both are attributes of the function in LLVM's language, so they
are written there while numba lowers the function, through the documented hook for that
(``pipeline_class``): ``noalias`` on every pointer argument and ``"prefer-vector-width"="512"``.
llvmlite refuses attributes that it does not know by name, hence ``set.add`` below; machines with
narrower vectors use what they have. Tried and left: the private ``CPUTargetOptions.noalias``
(no width), ``prange`` (brings a thread pool), ``fastmath=True`` (see ``FAST``).

(3) A loop that does not end on a whole vector would finish in scalar code, one option at the price
of eight. The back edge of each loop is marked so that the last, partial vector is masked instead.

If numba's internals move, ``wide_support()`` says what is missing and kernels are merely slower;
``vector_width`` measures what the machine code really holds.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

import llvmlite.binding
import numba

from market.jit import JIT_ENABLED, kernel

F = TypeVar("F", bound=Callable[..., Any])

#: Licence for the arithmetic: fused multiply-add, no signed zeros, x/y as x*(1/y), approximate
#: functions. Never ``reassoc``: it folds the rounding trick of ``functions.exp_fast`` away (errors
#: of 1e3). Never ``nnan`` or ``ninf``: bad rows are recognised by their NaN.
FAST = frozenset({"contract", "nsz", "arcp", "afn"})

_WIDTH_ATTRIBUTE = '"prefer-vector-width"="512"'

_missing = ""
_pipeline: Any = None
try:
    from llvmlite import ir as _ll
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.compiler_machinery import register_pass
    from numba.core.lowering import Lower
    from numba.core.typed_passes import BaseNativeLowering, NativeLowering

    def _mark_loops(module: Any, function: Any) -> None:
        """Ask for masked tails: metadata on every branch that goes back."""
        order = {id(block): position for position, block in enumerate(function.blocks)}
        for position, block in enumerate(function.blocks):
            last = block.terminator
            targets = [order[id(x)] for x in getattr(last, "operands", ()) if id(x) in order]
            if any(target <= position for target in targets):
                wish = module.add_metadata(["llvm.loop.vectorize.predicate.enable", _ll.Constant(_ll.IntType(1), 1)])
                mark = module.add_metadata([wish, wish, _ll.Constant(_ll.IntType(32), position)])  # unlike any other
                mark.operands = (mark, wish)  # a loop's metadata names itself first
                last.set_metadata("llvm.loop", mark)

    class _WideLower(Lower):  # type: ignore[misc]
        """Lowering that leaves the attributes on the function it made."""

        def lower_normal_function(self, fndesc: Any) -> None:
            super().lower_normal_function(fndesc)
            for argument in self.function.args[2:]:  # after the return and the error slot
                if isinstance(argument.type, _ll.PointerType):
                    argument.add_attribute("noalias")
            self.function.attributes.add("noinline")  # its attributes would not follow it into a caller
            set.add(self.function.attributes, _WIDTH_ATTRIBUTE)
            if machine_width() > 256:  # AVX2 masks slowly, SSE and NEON not at all: there the tail stays scalar
                _mark_loops(self.module, self.function)

    @register_pass(mutates_CFG=True, analysis_only=False)
    class _WideLowering(BaseNativeLowering):  # type: ignore[misc]
        _name = "axiom_wide_lowering"

        @property
        def lowering_class(self) -> Any:
            return _WideLower

    class _WideCompiler(CompilerBase):  # type: ignore[misc]
        def define_pipelines(self) -> list[Any]:
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
            passes.passes = [(_WideLowering if p is NativeLowering else p, text) for p, text in passes.passes]
            passes.finalize()
            return [passes]

    _pipeline = _WideCompiler
except (ImportError, AttributeError) as error:  # a numba whose insides moved: correct, but narrow
    _missing = f"numba {numba.__version__} has no place for function attributes ({error}); kernels stay narrow"


def wide_support() -> str:
    """Empty if wide kernels are wide here, else the reason why not."""
    if not JIT_ENABLED:
        return "NUMBA_DISABLE_JIT is set: kernels run as plain Python"
    if numba.config.BOUNDSCHECK:
        return "NUMBA_BOUNDSCHECK is set: a loop that may raise is not vectorised"
    return _missing


@overload
def wide_kernel(fn: F) -> F: ...
@overload
def wide_kernel(**options: Any) -> Callable[[F], F]: ...


def wide_kernel(fn: Any = None, **options: Any) -> Any:
    """As ``market.jit.kernel``, vectorised over its arrays: for inner loops over 1-D float64 arrays.

    The caller promises that no array it passes overlaps another one. The loop itself must be plain:
    ``for i in range(n)``, arithmetic and helpers that are ``@wide_helper``, choices written as
    ``a if c else b``; no break, no return inside, no calls of libm. Take the rows of
    a 2-D array as separate arguments (an outer ``@kernel`` slices them).
    """

    def compile_later(function: Any) -> Any:
        settings: dict[str, Any] = {"fastmath": set(FAST), **options}
        if _pipeline is not None:
            settings["pipeline_class"] = _pipeline
        return kernel(**settings)(function)

    return compile_later if fn is None else cast("Any", compile_later(fn))


def wide_helper(fn: F) -> F:
    """Compile a scalar function that is inlined into wide loops: the formulas, written once for one number.

    Numbers in, numbers (or a tuple of them) out; ``math.sqrt``, the functions of ``functions.py`` and
    other helpers inside. It may be called from any kernel and from Python, one number at a time.
    """
    return kernel(inline=True, fastmath=set(FAST))(fn)


def machine_width() -> int:
    """Bits in the widest vector of doubles of this machine (as numba was told to see it)."""
    features = numba.config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()
    has = set(features.split(","))
    if "+avx512f" in has:
        return 512
    return 256 if "+avx" in has else 128


_ARITHMETIC = r"\bv?(?:mul|add|sub|div|fn?m(?:add|sub)\d*)pd\b.*%"
_REGISTERS = {
    512: re.compile(_ARITHMETIC + "zmm"),
    256: re.compile(_ARITHMETIC + "ymm"),
    128: re.compile(_ARITHMETIC + r"xmm|\bfm\w+\s+v\d+\.2d"),
}


def vector_width(dispatcher: Any) -> int:
    """Bits of the widest packed-double arithmetic in the machine code of a kernel; 0 if there is none.

    The kernel must have been called before. Its last signature is compiled once more in memory (about
    a second): numba cannot show code that it took from the cache on disk. 0 with the JIT off.
    """
    if not JIT_ENABLED:
        return 0
    options = {name: value for name, value in dispatcher.targetoptions.items() if name != "nopython"}
    fresh = numba.njit(pipeline_class=dispatcher._compiler.pipeline_class, **options)(dispatcher.py_func)
    signature = dispatcher.nopython_signatures[-1].args
    fresh.compile(signature)
    text = fresh.inspect_asm(signature)
    return max((bits for bits, pattern in _REGISTERS.items() if pattern.search(text)), default=0)
