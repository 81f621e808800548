"""The words everyone speaks: instruments, records, order states, clock, ids, rings, jit helpers.

Nothing in here imports another package of ours, and nothing in here knows what a strategy, a
session or a venue is. Open ``records.py`` first: its 128-byte frames are what memory, shared
memory and journal all hold. Then ``orders.py`` (the life of an order) and ``rings.py`` (how
frames travel between threads and processes).
"""
