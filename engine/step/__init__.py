"""The step: what happens per message, one fused kernel without clock, randomness, allocation or I/O.

Read in the order of a tick: ``dispatch.py`` (which frame goes where), ``books.py`` (market data
and theo), ``quoting.py`` (what we want in the market), ``submit.py`` (risk gate and order slots),
``emit.py`` (frames out). Answers come back through ``reports.py``; operators, sessions and time
through ``control.py``; ``hedging.py`` trades the underlying; ``reconcile.py`` compares with the
venue. Nothing here may import asyncio, log, or look at a clock.
"""
