"""The exchange simulator: matching kernel, venues, order flow, market replay.

What lives here: everything a market needs to exist without a real exchange. ``matching/`` is the
price-time book kernel, ``flow/`` the participants that trade without FIX (recorded quotes, makers,
takers), ``venue/`` joins both with FIX sessions, a market data ring and the trade log, and
``process.py`` runs one or more venues in one process.

What may not: nothing of ``strategies`` or ``engine``; the venue knows its clients by CompID only,
and the daemon knows the venue by its sockets and its ring only.

Open ``venue/venue.py`` first, then ``tradelog.py``: the log is the truth that everything else is
checked against.
"""
