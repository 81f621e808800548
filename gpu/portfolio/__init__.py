"""Risk of a book: full revaluation on a grid of spot and volatility shocks and a roll of time.

Open ``scenarios.py`` first (what a shock means), then ``book.py`` (positions, netting, bad rows) and
``grid.py`` (the answer). ``value.py`` and ``premium.py`` hold the kernels, ``american.py`` the tables of
early exercise, ``device.py`` the European grid on a GPU.
"""
