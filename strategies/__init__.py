"""What to quote and when to hedge: closed forms as step kernels, each with its objective written down.

Nothing here knows orders, sessions or limits: kernels turn numbers into the prices we would like,
and risk's gate decides whether they may leave. Open ``quoting.py`` first, then ``hedging.py``;
``params.py`` is how both are set.
"""
