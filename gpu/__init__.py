"""Pricing: normal distribution, Greeks, implied volatility, forwards, smiles and the theo table of a chain.

Everything here is a pure function of its arguments, or an object that owns the arrays of one
chain; nothing here reads a clock, a socket or a file, and nothing here knows orders or positions.
Open ``theo.py`` first: ``ChainPricer`` uses all the rest in the order in which it is needed
(``forward.py`` -> ``implied_vol.py`` -> ``smile.py`` -> Black values of ``greeks.py``).

Units: prices, strikes and spots float64 in the instrument's currency; volatility per sqrt(year);
years are ACT/365; Greeks per 1.00 of spot, per 1.00 of volatility, per year; theta, charm, veta and
colour are derivatives in calendar time (-d/dT). Bad numbers give a status, never an exception.
"""
