"""Small dense linear systems inside a kernel: LU in place without pivoting, several right-hand sides."""

import numpy as np

from gpu.american.rules import F8
from gpu.maths.wide import wide_kernel

_SUMS = {"contract", "nsz", "reassoc", "arcp"}


@wide_kernel(fastmath=_SUMS)
def factor(n: int, matrix: F8, top: F8) -> None:
    """LU of ``matrix[n * n]`` (rows along memory) in place; the diagonal keeps the pivots' reciprocals.

    No pivoting: the matrices here come from Volterra equations of the second kind, whose diagonal
    dominates. ``top[n]`` is scratch (a row apart, so that the compiler knows it does not change).
    """
    size = np.uintp(n)
    for c in range(size):
        pivot = 1.0 / matrix[c * size + c]
        matrix[c * size + c] = pivot
        begin = np.uintp(c + np.uintp(1))
        rest = size - begin
        for k in range(rest):
            top[k] = matrix[c * size + begin + k]
        for i in range(rest):
            line = (begin + i) * size + begin
            ratio = matrix[line - np.uintp(1)] * pivot
            matrix[line - np.uintp(1)] = ratio
            for k in range(rest):
                matrix[line + k] -= ratio * top[k]


@wide_kernel(fastmath=_SUMS)
def substitute(n: int, matrix: F8, right: F8) -> None:
    """Solve for one right-hand side in place, after :func:`factor`."""
    size = np.uintp(n)
    for i in range(size):
        total = 0.0
        for k in range(i):
            total += matrix[i * size + k] * right[k]
        right[i] -= total
    for back in range(size):
        row = size - np.uintp(1) - back
        total = 0.0
        for k in range(back):
            total += matrix[row * size + row + np.uintp(1) + k] * right[row + np.uintp(1) + k]
        right[row] = (right[row] - total) * matrix[row * size + row]
