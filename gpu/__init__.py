"""Pricing: European and American options, implied volatility, surfaces, risk of books, and a chain's theo.

Everything here is a pure function of its arguments, or an object that owns the arrays of one
chain; nothing here reads a clock, a socket or a file, and nothing here knows orders.

Arrays in, arrays out: ``gpu.greeks(...)`` and the other names of ``gpu/api.py`` (open it first to use
the package). They are loaded when first asked for: ``import gpu`` alone is cheap and compiles nothing.

The rooms, in the order in which they build on each other:

==============  =======================================================================
``maths/``      elementary functions of the kernels, wide vectors
``european/``   price and thirteen Greeks; states the conventions (``greeks.py``: open it first)
``implied/``    implied volatility with a status per row
``american/``   early exercise
``surface/``    forwards, smiles and surfaces
``cuda/``       the same kernels on a GPU
``router/``     who computes a chain's Greeks: measured at start, watched afterwards
``chain/``      the daemon's theo of one underlying (``theo.py``)
``portfolio/``  a book on a grid of spot, volatility and time
``vollib/``     the functions of py_vollib under their own names
==============  =======================================================================

Units: prices, strikes and spots float64 in the instrument's currency; volatility per sqrt(year);
years are ACT/365; Greeks per 1.00 of spot, per 1.00 of volatility, per year; theta, charm, veta and
colour are derivatives in calendar time (-d/dT). Bad numbers give a status, never an exception.
"""

import importlib
from typing import Any

#: What the package offers under its own name. By name of the module rather than by an import
#: statement, so that the cache of a kernel in here does not depend on every other room.
_API = "gpu.api"
_NAMES = frozenset({
    "Book", "Greek", "IvStatus", "PriceStatus", "Scenarios", "american_greeks", "american_implied_vol",
    "american_price", "bachelier_greeks", "bachelier_implied_vol", "bachelier_price", "black76_greeks",
    "black76_implied_vol", "black76_price", "fit_surface", "forward_from_parity", "greeks", "implied_vol", "option",
    "portfolio_grid", "price",
})  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'gpu' has no attribute {name!r}")
    value = getattr(importlib.import_module(_API), name)
    globals()[name] = value  # from now on without asking
    return value


def __dir__() -> list[str]:
    return sorted(_NAMES | {name for name in globals() if name.startswith("__")})
