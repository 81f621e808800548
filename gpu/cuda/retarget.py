"""One maths, two targets: a kernel's plain Python source, compiled again for another target.

A formula of ours is a function decorated with ``@kernel``; its compiled object keeps the Python
function as ``py_func``. :func:`retarget` copies that function with its global names replaced: another
kernel of ours by its own retargeted copy (recursively), a substituted name by its twin, numbers and
the ``math`` module as they are. So there is no second copy of a formula that could drift.

What a formula may use is therefore small: ``math``, numbers, and other such functions. Anything else
is refused by name when the device code is built, not when it gives a wrong price.
"""

import dis
import math
from collections.abc import Callable, Hashable, Mapping
from types import CodeType, FunctionType
from typing import Any

from gpu.cuda.errors import RetargetError

Function = Callable[..., Any]


def plain(function: Any) -> FunctionType:
    """The Python function behind a kernel, whether it was compiled or not (JIT off)."""
    source = getattr(function, "py_func", function)
    if not isinstance(source, FunctionType):
        raise RetargetError(f"{function!r} is no kernel of ours: only Python functions can be compiled again")
    return source


def global_names(code: CodeType) -> set[str]:
    """Names that a function's body looks up among its globals or the builtins."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= global_names(constant)
    return names


def _key(function: Any) -> Any:
    """What a substitute is found by: the Python function, or the object itself (an intrinsic has none)."""
    return getattr(function, "py_func", function)


class Retargeter:
    """Compiles functions for one target, each once.

    Parameters
    ----------
    compile_function
        Makes a function of the target out of a Python function (``cuda.jit(device=True)``, say).
    substitutes
        Twins by the function they stand for: primitives, and approximations that the target has better.
    namespace
        Put into the globals of every copy as well (the simulator looks for its module there).
    """

    def __init__(
        self,
        compile_function: Callable[[FunctionType], Any],
        substitutes: Mapping[Any, Any],
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self._compile = compile_function
        self._substitutes = {_key(key): value for key, value in substitutes.items()}
        self._namespace = dict(namespace or {})
        self._done: dict[FunctionType, Any] = {}

    def __call__(self, function: Any) -> Any:
        """The target's twin of ``function``.

        Raises
        ------
        RetargetError
            It, or a function that it calls, uses a global that the target cannot have.
        """
        source = plain(function)
        if source in self._substitutes:
            return self._substitutes[source]
        if source not in self._done:
            self._done[source] = self._compile(self.copy(source))
        return self._done[source]

    def copy(self, function: Any) -> FunctionType:
        """The function itself with its globals retargeted, not yet compiled: for a kernel's outermost one."""
        source = plain(function)
        if source.__closure__:
            raise RetargetError(f"{source.__qualname__} closes over {source.__code__.co_freevars}: pass them in")
        found = {
            name: self._value(source, name, source.__globals__[name])
            for name in sorted(global_names(source.__code__))
            if name in source.__globals__
        }
        found |= {"__name__": source.__module__, "__builtins__": source.__globals__["__builtins__"], **self._namespace}
        twin = FunctionType(source.__code__, found, source.__name__, source.__defaults__)
        twin.__module__, twin.__qualname__ = source.__module__, source.__qualname__
        return twin

    def _value(self, source: FunctionType, name: str, value: Any) -> Any:
        if value is math or type(value) in (int, float, bool):
            return value
        if isinstance(value, FunctionType) or hasattr(value, "py_func"):
            return self(value)
        if isinstance(value, Hashable) and value in self._substitutes:
            return self._substitutes[value]
        raise RetargetError(
            f"{source.__module__}.{source.__qualname__} uses {name}, a {type(value).__name__}: a formula of two "
            "targets may use math, int and float constants and other kernels; or name a substitute for it"
        )
