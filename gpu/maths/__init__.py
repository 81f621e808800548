"""Elementary functions of the kernels: normal distribution, scaled complementary error function, wide vectors.

Nothing here knows what an option is. Open ``normal.py`` first.
"""
