"""Forwards, smiles and surfaces: what the quotes of a chain say about the market as a whole.

Open ``forward.py`` first (put-call parity), then ``smile.py``.
"""
