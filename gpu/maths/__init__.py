"""Elementary functions of the kernels, and what makes their loops wide.

Nothing here knows what an option is. Open ``wide.py`` first (``@wide_kernel``: vectors of the machine's
full width), then ``functions.py`` (exp, log, the normal distribution, for such loops and for scalar code)
and ``pairs.py`` (sums that cancel, in two doubles).
``memory.py``, ``aligned.py``: arrays at addresses, rows on cache lines.
"""
