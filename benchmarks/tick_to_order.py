"""Tick to order, all rows, one table: the same as ``axiom bench tick-to-order``.

    python benchmarks/tick_to_order.py [--rounds 3] [--ticks 20000] [--gap-us 100] [--only ROW ...] [--out FILE]

The program itself is ``engine/bench``, so that it runs wherever the package is installed.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

from engine.bench.tick_to_order import main  # noqa: E402 - the checkout must be importable first

if __name__ == "__main__":
    main()
