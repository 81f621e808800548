"""A venue: FIX order entry, matching, trade log, market data by ring and by FIX.

The path of an order::

    socket -> fix endpoint -> ORDER frames -> order delay -> core (one kernel call per batch)
        -> reports -> trade log (write) -> report delay -> message store -> socket
                   -> changed books -> market data ring, FIX subscribers

What lives here: ``settings`` (what a venue is), ``venue`` (the parts joined), ``core`` (commands
to reports, no I/O), ``delayline`` (latency), ``publisher`` (market data), ``application`` (the FIX
messages that are not hot), ``securities`` (the security list), ``recovery`` (what a start after a
crash owes its clients), ``marketclock``. What may not: a decision about the market itself, which
is ``matching/``; who trades, which is ``flow/``. Open ``venue.py`` first.
"""
