"""FIX.4.4: codec kernels, session machine, message store, endpoints.

Open ``session/machine.py`` first (what a session does), then ``endpoints/session.py`` (who drives
it), ``store.py`` (what survives a crash) and ``codec/`` (the per-message kernels). Nothing in here
knows what an order means: records in, records out. Imports ``market`` only.
"""
