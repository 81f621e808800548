"""American options: the exercise boundary by collocation, price and all first and second order Greeks from it.

Open ``boundary.py`` first (the equation), then ``value.py`` (the integral); ``row.py`` decides what
applies to one option, ``batch.py`` and ``chain.py`` price many. A call is the put with spot and
strike, rate and yield exchanged.

Beside that core: ``double_boundary.py`` (negative rates with two boundaries), ``dividends.py`` (cash
dividends, with ``dividend_recursion.py`` for calls), ``finite_difference.py`` (a grid for every
regime, slow, the judge of the others), ``implied.py`` (volatility from American prices).
"""
