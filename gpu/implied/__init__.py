"""Implied volatility: what volatility a price stands for, with a status per row instead of a surprise.

``black.py``      one option, and what each status means: open it first
``log_price.py``  the formulas: first guess, and the one step that is left to do
``batch.py``      whole chains, cold or from the last volatilities
``bachelier.py``  the same in the normal model
``quotes.py``     bid, mid and ask volatilities of a chain's quotes
"""
