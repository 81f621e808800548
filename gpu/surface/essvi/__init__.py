"""The eSSVI core of the surface: scalar formulas and what is fitted with them.

``terms.py`` first (the formula and its conditions), then ``fit.py``, ``bump.py`` (what eSSVI leaves) and
``check.py`` (the dense grid on which a fit is refined until it is free of arbitrage).
"""
