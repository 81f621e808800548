"""Implied volatility: what volatility a price stands for, with a status per row instead of a surprise.

Open ``black.py`` first.
"""
