"""``axiom demo``: a market, the daemon that makes it, and a screen to watch both.

Three processes: this one supervises; ``axiom sim`` and ``axiom run`` are its children. It takes no
part in the trading: it reads the daemon's status over the control socket like any other client,
and when all is over it counts positions and cash again from the venues' own trade logs.
"""

from engine.cli.demo.command import demo

__all__ = ["demo"]
