"""European options: values and thirteen Greeks, one by one inside a kernel and whole chains at a time.

Open ``greeks.py`` first: it states the conventions (units, signs) that every other room follows.
"""
