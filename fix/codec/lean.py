"""``kernel`` of this package: market.jit's, without reference counts.

numba counts references of every array argument in every call, by an indirect call and a locked
add each way, and can prune the pairs only from functions without early returns. Measured here:
decoding a report 733 ns with, 221 ns without; encoding an order 210 and 51. In exchange these kernels
must not allocate and must not return arrays; kernels with counts may call them, and they those.
Nor do they get a C callback wrapper, which nobody calls: compiling all takes an eighth less.
"""

from collections.abc import Callable
from typing import Any, TypeVar, overload

import market.jit

F = TypeVar("F", bound=Callable[..., Any])


@overload
def kernel(fn: F) -> F: ...
@overload
def kernel(*, inline: bool = ...) -> Callable[[F], F]: ...


def kernel(fn: Any = None, *, inline: bool = False) -> Any:
    """Compile on first call; see :func:`market.jit.kernel`."""
    compile_later = market.jit.kernel(inline=inline, _nrt=False, no_cfunc_wrapper=True)
    return compile_later if fn is None else compile_later(fn)
