"""Forwards, smiles and surfaces: what the quotes of a chain say about the market as a whole.

Open ``calibrate.py`` first: a whole chain to one surface free of arbitrage; ``surface.py`` is what it answers,
``arbitrage.py`` the proof for any surface, ``local_vol.py`` Dupire.

=============  ========================================================================
``forwards/``  forward, discount and carry from put-call parity
``essvi/``     the core of the surface: the formula, its fit, its bumps, its own check
``slices/``    one smile per expiry: SVI and SABR surfaces, and the daemon's smiles
=============  ========================================================================
"""
