"""Errors of ``strategies``. Kernels never raise.

StrategyError
└── ParamError        a parameter's name or value cannot be accepted
"""


class StrategyError(Exception):
    """Root of this package's errors."""


class ParamError(StrategyError):
    """A parameter is unknown, or its value is outside its range; the text names the nearest right one."""
