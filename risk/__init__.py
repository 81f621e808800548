"""The pre-trade gate: what must hold before an order may leave, and the exposure it is held against.

Nothing here sends, prices or decides to trade; every kernel is a scalar function of ``RiskState``
and its arguments, without a clock. Open ``gate.py`` first (the rules in their order), then
``rules.py`` (each rule by itself), ``exposure.py`` (what counts as exposure), ``limits.py`` and
``denials.py`` (the two tables that people read).
"""
