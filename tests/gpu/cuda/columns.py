"""Chains as the device keeps them, and their rows by the scalar function that ``tests/gpu/european`` proves."""

import numpy as np

from gpu.european.greeks import spot_greeks


def chain(n, seed=3):
    """Inputs of n ordinary options around a spot of 100: float64[6, n]."""
    rng = np.random.default_rng(seed)
    return np.ascontiguousarray(
        [
            rng.uniform(70.0, 130.0, n), rng.uniform(0.01, 2.0, n), rng.uniform(0.0, 0.06, n),
            rng.uniform(0.0, 0.04, n), rng.uniform(0.1, 0.6, n), np.where(rng.random(n) < 0.5, 1.0, -1.0),
        ]
    )  # fmt: skip


def expected(columns, spot, rows=14):
    """float64[rows, n], one option at a time."""
    values = [spot_greeks(float(spot), *(float(x) for x in column[:5]), int(column[5])) for column in columns.T]
    return np.array(values).T[:rows]
