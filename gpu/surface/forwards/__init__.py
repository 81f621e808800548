"""Forwards and discounts from put-call parity.

``parity.py`` first: the term structures with their errors, dividends and borrow; ``parity_american.py`` takes the early
exercise premium off American quotes. ``forward.py`` is the shorter fit of one expiry behind the daemon's theo.
"""
