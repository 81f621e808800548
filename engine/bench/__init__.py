"""Benchmarks that run on anybody's machine: ``axiom bench``.

``tick_to_order.py`` plays the rows and prints the table; ``venue.py`` is the driver process at the other end of
ring and socket; ``spine.py`` is our engine without its daemon, ``rivals.py`` what others would have written.
"""
