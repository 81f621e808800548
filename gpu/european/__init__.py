"""European options: values and thirteen Greeks, one by one inside a kernel and whole chains at a time.

Open ``greeks.py`` first: it states the conventions (units, signs) that every other room follows; then
``formulas.py`` (the one source of the mathematics) and ``batch.py`` (arrays). ``chain_greeks.py``: only the
spot moves. ``table.py``: few options, called often. ``dividends.py``, ``piecewise.py``: dividends in cash.
"""
