"""FIX 4.0 to 5.0SP2: codec kernels, dictionaries, session machine, message store, endpoints.

Open ``session/machine.py`` first (what a session does), then ``endpoints/session.py`` (who drives
it), ``store/`` (what survives a crash), ``dictionary/`` (what a message may contain) and ``codec/``
(the per-message kernels). ``foreign/`` is the quickfix package as a second engine, ``acceptance/``
the echo acceptor of the public conformance suites. Nothing in here knows what an order means:
records in, records out. Imports ``market`` only.
"""
