"""The theo of one underlying's chain: calibrate on the market's quotes, refresh on every tick.

Open ``theo.py`` first: ``ChainPricer`` uses the other rooms in the order in which they are needed.
``theo_table.py`` hands whole refreshes from its thread to the step.
"""
