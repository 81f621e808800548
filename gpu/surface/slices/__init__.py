"""One smile per expiry: the alternatives to eSSVI, and the smiles behind the daemon's theo.

``slices.py`` first: SVI or SABR per expiry, repaired into a surface; ``slice_terms.py`` evaluates it and
says why it is free of arbitrage. ``svi.py`` and ``sabr.py`` are the formulas with their fits; ``smile.py`` is
the daemon's SVI plus spline.
"""
