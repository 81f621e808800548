"""Status of one priced row; what a batch answers instead of an exception or a surprise."""

from enum import IntEnum


class PriceStatus(IntEnum):
    """Of one row of a pricing batch. Rows never influence each other."""

    OK = 0
    INTRINSIC = 1  # no time or no volatility left: the discounted intrinsic value and its Greeks
    BAD_INPUT = 2  # NaN, infinite, or a spot, strike that is not positive: outputs are NaN
    NOT_CONVERGED = 3  # an iteration did not reach its tolerance: outputs are NaN
