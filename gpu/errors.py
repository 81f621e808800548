"""What gpu/ raises, and when.

::

    GpuError (ValueError)
     └── ChainError     a chain or a table was built with something that cannot work

Only construction raises. Quotes, spots and times that make no sense give a status per row
(``IvStatus``, ``ForwardStatus``, ``SmileStatus``, ``TheoStatus``), because one bad quote must not
stop the other two thousand series.
"""


class GpuError(ValueError):
    """Root of the package's errors."""


class ChainError(GpuError):
    """The instruments, arrays or settings given to a chain pricer do not fit together."""
