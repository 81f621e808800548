"""What a venue knows of order flow: a market's instruments, and orders from one instant to the next.

The venue's cycle is: ``step`` with the current tops of its books, apply the orders in their order,
``on_executions`` with all reports since. Makers come before takers in a step, so that a taker meets
quotes that already follow the new fair value, and a stale quote is never there to be picked off by
the flow itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from market.instruments import InstrumentMaster
from simulator.errors import FlowError
from simulator.flow.quoter import Quoter
from simulator.flow.takers import MAX_ARRIVALS_PER_STEP, OWNER_TAKER, Takers


class Flow(Protocol):
    """Order flow of one market, as the venue process sees it. Instrument 0 is the underlying."""

    master: InstrumentMaster
    underlying: int
    #: The market's first day in New York, for start times given as a clock.
    day: date
    #: Simulated UTC instants: where to begin, and the last thing that is known to happen.
    start_ns: int
    end_ns: int
    #: One line for people, and a digest of all input that determines the market.
    description: str
    sha: str

    @property
    def owners(self) -> tuple[int, ...]:
        """Participant ids in use, all in 1..15."""
        ...

    @property
    def max_commands(self) -> int:
        """Rows of ``orders_out`` with which nothing ever waits for the next step."""
        ...

    def list_only(self, instruments: Iterable[int]) -> None:
        """Send orders for these instruments only: this process hosts only their venue."""
        ...

    def begin(self, start_ns: int) -> None:
        """Go to ``start_ns``, with no orders in any book."""
        ...

    def step(self, sim_now_ns: int, books: Any, orders_out: Any) -> int:
        """Write the ORDER rows of everything up to ``sim_now_ns``; return how many."""
        ...

    def on_executions(self, executions: Any, n: int) -> None:
        """Take EXECUTION rows 0..n-1; those of other owners are passed over."""
        ...

    def fair(self, out: npt.NDArray[np.float64]) -> None:
        """Write the fair value [currency] of every instrument, NaN where there is none."""
        ...


class QuotedMarket(ABC):
    """What replayed and generated flow share: makers' quotes in the books, and takers.

    A subclass sets ``_fair_ticks`` and ``_half_ticks`` (fair value and reference half-spread in
    price units, NaN where unknown) and the wants of ``_quoter`` in ``_begin_at`` and ``_move_to``.
    """

    underlying = 0
    price_unit = 0.01

    def __init__(self, master: InstrumentMaster, quoter: Quoter, takers: Takers) -> None:
        self.master = master
        self._quoter = quoter
        self._takers = takers
        self._fair_ticks = np.full(master.count, np.nan)
        self._half_ticks = np.full(master.count, np.nan)
        self._now_ns = 0
        self._begun = False

    @property
    def owners(self) -> tuple[int, ...]:
        """Participant ids in use: makers from 1, takers last."""
        return (*self._quoter.owners, OWNER_TAKER)

    @property
    def max_commands(self) -> int:
        """Every slot at once, and all takers that one step lets through."""
        return len(self._quoter.slots) + MAX_ARRIVALS_PER_STEP

    @property
    def takers(self) -> Takers:
        """The taker process (its counters)."""
        return self._takers

    @property
    def quoter(self) -> Quoter:
        """The makers' quotes (their counters and positions)."""
        return self._quoter

    def list_only(self, instruments: Iterable[int]) -> None:
        """Send orders for these instruments only."""
        self._quoter.listed[:] = 0
        for number in instruments:
            if not 0 <= number < self.master.count:
                raise FlowError(f"instrument {number} is not in this market: 0..{self.master.count - 1}")
            self._quoter.listed[number] = 1

    def begin(self, start_ns: int) -> None:
        """Go to ``start_ns``, with no orders in any book and the random streams at their seeds."""
        self._quoter.clear()
        self._now_ns = start_ns
        self._begin_at(start_ns)
        spot = self._fair_ticks[self.underlying] * self.price_unit
        self._takers.begin(start_ns, float(spot) if np.isfinite(spot) else 0.0)
        self._begun = True

    def step(self, sim_now_ns: int, books: Any, orders_out: Any) -> int:
        """Move to ``sim_now_ns``: quotes first, then takers. FlowError if time goes back."""
        if not self._begun:
            raise FlowError("step before begin: call begin(start_ns) first")
        if sim_now_ns < self._now_ns:
            raise FlowError(f"simulated time went back by {self._now_ns - sim_now_ns} ns: give step ascending times")
        self._now_ns = sim_now_ns
        self._move_to(sim_now_ns)
        k = self._quoter.emit(sim_now_ns, orders_out)
        return self._takers.act(
            sim_now_ns, self._quoter.listed, books, self._fair_ticks, self._half_ticks, orders_out, k
        )

    def on_executions(self, executions: Any, n: int) -> None:
        """Take EXECUTION rows 0..n-1; those of other owners are passed over."""
        self._quoter.absorb(executions, n, self._now_ns)

    def fair(self, out: npt.NDArray[np.float64]) -> None:
        """Write the fair value [currency] of every instrument, NaN where there is none."""
        out[: self.master.count] = self._fair_ticks * self.price_unit

    @abstractmethod
    def _begin_at(self, start_ns: int) -> None:
        """Put the market at its first instant."""

    @abstractmethod
    def _move_to(self, now_ns: int) -> None:
        """Bring fair values and recorded quotes to ``now_ns``."""
