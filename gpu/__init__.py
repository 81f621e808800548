"""Pricing: European and American options, implied volatility, surfaces, and the theo table of a chain.

Everything here is a pure function of its arguments, or an object that owns the arrays of one
chain; nothing here reads a clock, a socket or a file, and nothing here knows orders or positions.

The rooms, in the order in which they build on each other:

=============  =======================================================================
``maths/``     elementary functions of the kernels
``european/``  price and thirteen Greeks; states the conventions (``greeks.py``: open it first)
``implied/``   implied volatility with a status per row
``surface/``   forwards, smiles and surfaces
``chain/``     the daemon's theo of one underlying (``theo.py``)
=============  =======================================================================

Units: prices, strikes and spots float64 in the instrument's currency; volatility per sqrt(year);
years are ACT/365; Greeks per 1.00 of spot, per 1.00 of volatility, per year; theta, charm, veta and
colour are derivatives in calendar time (-d/dT). Bad numbers give a status, never an exception.
"""
