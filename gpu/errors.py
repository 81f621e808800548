"""What gpu/ raises, and when.

::

    GpuError (ValueError)
     ├── ChainError         a chain or a table was built with something that cannot work
     ├── ShapeError         arguments that do not broadcast, or an ``out`` that cannot hold the answer (``api.py``)
     ├── PortfolioError     a book or its scenarios likewise (``portfolio/scenarios.py``)
     ├── DeviceError        a GPU is not there, failed or answered wrongly (``cuda/errors.py``); the router catches it
     ├── RetargetError      a formula uses something that a device cannot have (``cuda/errors.py``)
     └── InvalidArgument    what py_vollib's users expect to be raised (``vollib/helpers/exceptions.py``)

Elsewhere only construction raises. Quotes, spots and times that make no sense give a status per row
(``IvStatus``, ``ForwardStatus``, ``SmileStatus``, ``TheoStatus``), because one bad quote must not
stop the other two thousand series.
"""


class GpuError(ValueError):
    """Root of the package's errors."""


class ChainError(GpuError):
    """The instruments, arrays or settings given to a chain pricer do not fit together."""
