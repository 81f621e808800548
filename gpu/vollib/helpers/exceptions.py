"""What the functions of this package raise, for numbers only; rows of arrays have a status instead.

::

    GpuError (ValueError)
     └── InvalidArgument            a flag that is not 'c' or 'p', a number that no model takes
          ├── PriceIsBelowIntrinsic no volatility is low enough for this price
          └── PriceIsAboveMaximum   no volatility is high enough
"""

from gpu.errors import GpuError


class InvalidArgument(GpuError):  # noqa: N818 - py_vollib's name
    """An argument that makes no sense."""


class PriceIsBelowIntrinsic(InvalidArgument):
    """The price is under the discounted intrinsic value, or too close to it to hold a digit of volatility."""


class PriceIsAboveMaximum(InvalidArgument):
    """The price is not under the discounted forward (call) or strike (put), or too close to it."""
