"""Matching engine: operations per CPU second, beside the PyPI package lightmatchingengine.

    python -m benchmarks.matching [--ops 400000] [--peer-ops 20000] [--rounds 5]

An operation is one command carried out in full: identifiers looked up, rules checked, books changed
and 128-byte reports written for everybody concerned. The commands are drawn once, against a live
arena so that cancels and replaces mean orders that are there, and then replayed on fresh arenas
(ours) and on the peer (the same commands; a replace is its cancel and add, an IOC its add and
cancel). Costs are CPU time of the thread, so a busy machine does not change them much; ours is the
best and the median of several rounds. The resting population is stationary: 1,000 + 40 per book.

Mixes: ``lob`` 47 % new, 45 % cancel, 8 % IOC; ``exch`` 9 % new, 3 % IOC, 6 % cancel, 82 % replace.
"""

import argparse
import hashlib
import statistics
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from lightmatchingengine.lightmatchingengine import LightMatchingEngine

from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from market.jit import kernel
from market.records import EXECUTION, ORDER, table
from simulator.matching import Arena, apply, make_arena
from simulator.matching.cl_ord_ids import find_order

TARGET_ONE_BOOK = 8.0
TARGET_THOUSAND_BOOKS = 4.0
_TICKS = 1024
_BATCH = 64  # commands between two moments at which a venue would take the reports away
_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_LIMIT, _DAY, _IOC = int(OrdType.LIMIT), int(TimeInForce.DAY), int(TimeInForce.IOC)
_NEW, _CANCEL, _REPLACE = int(OrderAction.NEW), int(OrderAction.CANCEL), int(OrderAction.REPLACE)
_ORDER = int(FrameKind.ORDER)
_LOB, _EXCH = 0, 1


class Case(NamedTuple):
    """One row of the table."""

    name: str
    books: int
    mix: int
    target_mops: float


CASES = (
    Case("1 book, lob mix", 1, _LOB, TARGET_ONE_BOOK),
    Case("1 book, exch mix", 1, _EXCH, TARGET_ONE_BOOK),
    Case("1000 books, lob mix", 1000, _LOB, TARGET_THOUSAND_BOOKS),
    Case("1000 books, exch mix", 1000, _EXCH, TARGET_THOUSAND_BOOKS),
)


def population(books: int) -> int:
    """Resting orders that a case holds."""
    return 1000 + 40 * books


@kernel(allocates=True)
def _draw(arena: Arena, random: Any, books: int, mix: int, standing: int, orders: Any, live: Any, out: Any) -> int:
    """Fill ``orders`` with commands, applying each; the first ``standing`` only fill the books.

    ``live`` int64[n, 4]: ClOrdID, owner, book, side of orders that rested. Returns how many remain.
    """
    count, mid = 0, _TICKS // 2
    for i in range(orders.shape[0]):
        draw = random[i]
        u, book = draw & 1023, ((draw >> 10) & 0xFFFF) % books
        side, depth = _BUY + ((draw >> 26) & 1), (draw >> 27) & 31
        qty, owner, pick = 1 + ((draw >> 32) & 15), 16 + ((draw >> 36) & 63), (draw >> 42) & 0xFFFFF
        if i < standing:
            action = 0
        elif mix == 0:
            action = 0 if u < 481 else (1 if u < 942 else 2)
        else:
            action = 0 if u < 92 else (2 if u < 123 else (1 if u < 184 else 3))
        if action == 0 and i >= standing and count > standing:
            action = 1
        if action == 1 or action == 3:
            k = (pick * count) >> 20
            while count > 0 and find_order(arena, live[k, 1], np.uint64(live[k, 0])) == 0:
                count -= 1
                live[k] = live[count]
                k = (pick * count) >> 20
            if count == 0:
                action = 0
        row = orders[i]
        row.kind = _ORDER
        row.ts_ns = i
        row.ord_type = _LIMIT
        row.tif = _IOC if action == 2 else _DAY
        row.cl_ord_id = np.uint64((1 << 48) + (i << 16) + (i & 0xFFF))
        row.action = _NEW
        if action == 1 or action == 3:
            row.orig_cl_ord_id = np.uint64(live[k, 0])
            owner, book, side = live[k, 1], live[k, 2], live[k, 3]
            row.action = _CANCEL if action == 1 else _REPLACE
        sign = 1 if side == _BUY else -1
        row.instrument, row.owner, row.side, row.qty = book, owner, side, qty
        row.price_ticks = mid + 8 * sign if action == 2 else mid - (1 + depth) * sign
        apply(arena, orders, i, out, 0)
        if action == 1:
            count -= 1
            live[k] = live[count]
        elif action == 3:
            live[k, 0] = np.int64(row.cl_ord_id)
        elif find_order(arena, owner, row.cl_ord_id) != 0:
            live[count, 0], live[count, 1], live[count, 2], live[count, 3] = np.int64(row.cl_ord_id), owner, book, side
            count += 1
    return count


@kernel
def _replay(arena: Arena, orders: Any, first: int, last: int, out: Any) -> int:
    """Apply orders[first:last]; returns the number of reports."""
    total, n = 0, 0
    for i in range(first, last):
        n = apply(arena, orders, i, out, n)
        if i % _BATCH == 0:
            total += n
            n = 0
    return total + n


def draw_commands(case: Case, ops: int, seed: int) -> tuple[Any, int]:
    """The commands of ``case``, standing orders first, and how many of those there are."""
    standing = population(case.books)
    orders, out = table(ORDER, standing + ops), table(EXECUTION, 4 * standing + 1024)
    random = np.random.default_rng(seed).integers(0, 1 << 62, standing + ops, np.int64)
    live = np.zeros((standing + ops, 4), np.int64)
    _draw(_fresh_arena(case), random, case.books, case.mix, standing, orders, live, out)
    return orders, standing


def _fresh_arena(case: Case) -> Arena:
    return make_arena(case.books, 2 * population(case.books) + 1024, _TICKS)


def _digest(arena: Arena) -> str:
    parts: list[npt.NDArray[Any]] = [arena.words, arena.books, arena.orders]
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()


def time_ours(case: Case, orders: Any, standing: int, rounds: int) -> tuple[list[float], float]:
    """CPU nanoseconds per operation of each round, and reports per operation."""
    out = table(EXECUTION, 4 * standing + 1024)
    costs, digests, reports = [], set(), 0
    for _ in range(rounds):
        arena = _fresh_arena(case)
        _replay(arena, orders, 0, standing, out)
        began = time.thread_time_ns()
        reports = _replay(arena, orders, standing, len(orders), out)
        costs.append((time.thread_time_ns() - began) / (len(orders) - standing))
        digests.add(_digest(arena))
    if len(digests) != 1:
        raise AssertionError("the same commands led to different states")
    return costs, reports / (len(orders) - standing)


def time_peer(orders: Any, standing: int, ops: int) -> float:
    """CPU nanoseconds per operation of lightmatchingengine."""
    names = ("action", "tif", "instrument", "side", "price_ticks", "qty", "cl_ord_id", "orig_cl_ord_id")
    rows = list(zip(*(orders[name][: standing + ops].tolist() for name in names), strict=True))
    engine, ids = LightMatchingEngine(), {}
    began = 0
    for i, (action, tif, book, side, price, qty, cl_ord_id, orig) in enumerate(rows):
        if i == standing:
            began = time.thread_time_ns()
        if action != _NEW:
            engine.cancel_order(ids.pop(orig), book)
            if action == _CANCEL:
                continue
        order, _ = engine.add_order(book, price, qty, 1 if side == _BUY else 2)
        if tif != _IOC:
            ids[cl_ord_id] = order.order_id
        elif order.leaves_qty > 0:
            engine.cancel_order(order.order_id, book)
    return (time.thread_time_ns() - began) / (len(rows) - standing)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", type=int, default=400_000)
    parser.add_argument("--peer-ops", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print(f"matching, {args.ops:,} operations x {args.rounds} rounds, CPU time; peer: {args.peer_ops:,} operations")
    heads = ("best ns", "median", "M ops/s", "target", "rows/op", "peer ns", "ratio")
    print(f"{'case':<22}" + "".join(f"{head:>9}" for head in heads))
    for case in CASES:
        orders, standing = draw_commands(case, args.ops, args.seed)
        costs, reports = time_ours(case, orders, standing, args.rounds)
        peer = time_peer(orders, standing, args.peer_ops)
        best = min(costs)
        print(
            f"{case.name:<22}{best:>9.0f}{statistics.median(costs):>9.0f}{1e3 / best:>9.1f}{case.target_mops:>9.0f}"
            f"{reports:>9.2f}{peer:>9.0f}{peer / best:>8.0f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
