"""Errors of ``risk``. Kernels never raise: they return a ``Denial``.

RiskError
└── LimitError        a limit's name or value cannot be accepted
"""


class RiskError(Exception):
    """Root of this package's errors."""


class LimitError(RiskError):
    """A limit is unknown, or its value is outside its range; the text names the nearest right one."""
