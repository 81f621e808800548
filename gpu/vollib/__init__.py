"""The functions of py_vollib under their own names: change the import, keep the code.

``from py_vollib.black_scholes import black_scholes`` becomes ``from gpu.vollib.black_scholes import
black_scholes``, and so on for ``black``, ``black_scholes`` and ``black_scholes_merton`` with their
``implied_volatility``, ``greeks.analytical`` and ``greeks.numerical``, and for
``helpers.exceptions``. Names, order of arguments, flags ('c', 'p') and units are py_vollib's:
**vega and rho per 1 %, theta per calendar day** (the rest of gpu/ uses per 1.00 and per year).

What is added: every argument may be an array (they broadcast; the answer is then a float64 array);
second- and third-order Greeks in ``greeks.analytical``; ``return_status=True`` for (answer, status).

What is different on purpose: a price without a volatility raises *this* package's exceptions, in every
version, if the arguments are numbers; in an array such a row is NaN and its status says why, and no
row raises. A flag that is neither 'c' nor 'p' is refused (py_vollib's Greeks take it for a call). At
expiry and at zero volatility there are limits instead of NaN. ``docs/numerics/implied.md`` has the table.
"""
