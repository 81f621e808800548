"""What the analytics benchmarks share: samples, timing, exact references, and the other libraries.

Not a benchmark itself. Other libraries are optional: ``missing()`` names those that are not here,
``pip install axiom[peers]`` brings them. References are 50-digit arithmetic (mpmath).
"""

import importlib.util
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

F8: TypeAlias = npt.NDArray[np.float64]

SIZES = (1, 100, 1_000, 10_000, 100_000)
_LONG_NS = 100_000

#: The rows of a reference that every peer can be compared on, in the order of ``gpu``'s ``Greek``.
FIVE = ("price", "delta", "gamma", "vega", "theta", "rho")

#: Module, what it is called here, how to install it.
PEERS = {
    "QuantLib": "pip install 'axiom[dev]'",
    "mpmath": "pip install 'axiom[dev]'",
    "scipy": "pip install 'axiom[dev]'",
    "py_vollib": "pip install 'axiom[peers]'",
    "py_vollib_vectorized": "pip install 'axiom[peers]'",
    "torch": "pip install 'axiom[peers]'",
}


def has(module: str) -> bool:
    """Whether a peer is installed (its import is left to whoever needs it)."""
    return importlib.util.find_spec(module) is not None


def missing() -> list[str]:
    """One line per peer that is not installed, with how to get it."""
    return [f"{name} is not installed ({how}): its column is empty" for name, how in PEERS.items() if not has(name)]


class Sample(NamedTuple):
    """n options; every array [n]. ``days`` is whole, so that libraries with dates see the same ``years``."""

    spot: F8
    strike: F8
    years: F8
    rate: F8
    dividend_yield: F8
    vol: F8
    right: npt.NDArray[np.int8]
    days: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of options."""
        return len(self.spot)

    def head(self, n: int) -> "Sample":
        """The first n, contiguous."""
        return Sample(*(np.ascontiguousarray(column[:n]) for column in self))

    @property
    def right_f8(self) -> F8:
        """+1.0 for a call, -1.0 for a put."""
        return self.right.astype(np.float64)


def sample(n: int, seed: int = 1) -> Sample:
    """Listed-option-like rows: 7 to 730 days, strikes within four standard deviations and 70..140 % of the spot."""
    g = np.random.default_rng(seed)
    days = g.integers(7, 731, n)
    years = days / 365.0
    spot, vol = g.uniform(80.0, 120.0, n), g.uniform(0.08, 0.8, n)
    reach = np.minimum(4.0 * vol * np.sqrt(years), 0.33)
    strike = spot * np.exp(g.uniform(-1.0, 1.0, n) * reach)
    right = np.where(g.random(n) < 0.5, 1, -1).astype(np.int8)
    return Sample(spot, strike, years, g.uniform(0.0, 0.06, n), g.uniform(0.0, 0.04, n), vol, right, days)


def best_ns(
    call: Callable[[], Any], per: int = 1, *, rounds: int = 5, round_s: float = 0.06, most: int = 20_000
) -> float:
    """Nanoseconds of ``call()`` divided by ``per``: the smallest of the rounds' medians.

    A neighbour on the machine makes single calls slower, never faster; the median drops the calls
    that it interrupted, the smallest median drops the rounds that it spoiled. Calls of more than
    ``_LONG_NS`` are all interrupted on a busy machine: of those the thread's CPU time is taken.
    """
    call()  # compiles, touches the memory
    began = time.perf_counter_ns()
    call()
    clock = time.thread_time_ns if time.perf_counter_ns() - began > _LONG_NS else time.perf_counter_ns
    medians = []
    for _ in range(rounds):
        times: list[int] = []
        until = time.perf_counter_ns() + int(round_s * 1e9)
        while len(times) < 3 or (time.perf_counter_ns() < until and len(times) < most):
            began = clock()
            call()
            times.append(clock() - began)
        medians.append(sorted(times)[len(times) // 2])
    return min(medians) / per


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    import llvmlite.binding
    import numba

    name = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    return {
        "processor": name or platform.processor(), "cores": str(os.cpu_count()),
        "llvm_cpu": llvmlite.binding.get_host_cpu_name(),
        "python": platform.python_version(), "numba": numba.__version__, "numpy": np.__version__,
    }  # fmt: skip


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], widths: Sequence[int] | None = None) -> str:
    """Columns of text: the first left-aligned, the rest right-aligned; None is a dash, floats get three digits."""

    def cell(value: Any) -> str:
        if value is None:
            return "-"
        if isinstance(value, float):
            if not math.isfinite(value):
                return str(value)
            if value != 0.0 and (abs(value) < 1e-3 or abs(value) >= 1e7):
                return f"{value:.1e}"
            return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    text = [[cell(value) for value in row] for row in (heads, *rows)]
    widths = widths or [max(len(row[i]) for row in text) for i in range(len(heads))]
    return "\n".join(
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in text
    )


# References


def exact_price(spot: Any, strike: Any, years: Any, rate: Any, dividend_yield: Any, vol: Any, right: int) -> Any:
    """Black-Scholes-Merton in mpmath's present precision; arguments may be mpf."""
    import mpmath as mp

    deviation = vol * mp.sqrt(years)
    d1 = (mp.log(spot / strike) + (rate - dividend_yield) * years) / deviation + deviation / 2
    asset, cash = spot * mp.exp(-dividend_yield * years), strike * mp.exp(-rate * years)
    half = mp.sqrt(mp.mpf(2))

    def n(x: Any) -> Any:
        return mp.erfc(-x / half) / 2

    return right * (asset * n(right * d1) - cash * n(right * (d1 - deviation)))


#: Orders of differentiation in (spot, years, rate, vol) of each row of ``Greek``, and the sign.
ORDERS = (
    ((0, 0, 0, 0), 1), ((1, 0, 0, 0), 1), ((2, 0, 0, 0), 1), ((0, 0, 0, 1), 1), ((0, 1, 0, 0), -1),
    ((0, 0, 1, 0), 1), ((1, 0, 0, 1), 1), ((0, 0, 0, 2), 1), ((1, 1, 0, 0), -1), ((0, 1, 0, 1), -1),
    ((3, 0, 0, 0), 1), ((2, 0, 0, 1), 1), ((2, 1, 0, 0), -1), ((0, 0, 0, 3), 1),
)  # fmt: skip


def exact_greeks(s: Sample, rows: int = 14) -> F8:
    """out[rows, n] by numerical differentiation at 60 digits: independent of every closed form. About 20 ms a row."""
    import mpmath as mp

    out = np.empty((rows, s.n))
    with mp.workdps(60):
        for i in range(s.n):
            K, q, w = mp.mpf(float(s.strike[i])), mp.mpf(float(s.dividend_yield[i])), int(s.right[i])

            def price(S: Any, T: Any, r: Any, v: Any, K: Any = K, q: Any = q, w: int = w) -> Any:
                return exact_price(S, K, T, r, q, v, w)

            at = tuple(mp.mpf(float(column[i])) for column in (s.spot, s.years, s.rate, s.vol))
            for row, (orders, sign) in enumerate(ORDERS[:rows]):
                out[row, i] = sign * (mp.diff(price, at, orders) if any(orders) else price(*at))
    return out


def exact_otm_prices(forward: F8, strike: F8, years: F8, vol: F8) -> tuple[F8, npt.NDArray[np.int8]]:
    """(undiscounted out-of-the-money prices rounded once from 50 digits, right)."""
    import mpmath as mp

    right = np.where(strike >= forward, 1, -1).astype(np.int8)
    price = np.empty(len(forward))
    with mp.workdps(50):
        for i in range(len(forward)):
            row = [mp.mpf(float(column[i])) for column in (forward, strike, years, vol)]
            price[i] = exact_price(row[0], row[1], row[2], mp.mpf(0), mp.mpf(0), row[3], int(right[i]))
    return price, right


def relative_error(got: F8, exact: F8) -> float:
    """Largest |got - exact| / |exact| over a row; rows where exact is 0 count absolutely."""
    with np.errstate(all="ignore"):
        return float(np.nanmax(np.abs(got - exact) / np.where(exact == 0.0, 1.0, np.abs(exact))))


# Other ways to the same numbers


def numba_libm_greeks() -> Callable[..., None]:
    """The plain way with numba: one loop over libm's exp, log and erfc, price and 13 Greeks."""
    import numba

    @numba.njit(error_model="numpy")
    def loop(S_: Any, K_: Any, T_: Any, r_: Any, q_: Any, v_: Any, w_: Any, out: Any) -> None:
        for i in range(S_.shape[0]):
            S, K, T, r, q, v, w = S_[i], K_[i], T_[i], r_[i], q_[i], v_[i], w_[i]
            root = math.sqrt(T)
            dev = v * root
            d1 = (math.log(S / K) + (r - q) * T) / dev + 0.5 * dev
            d2 = d1 - dev
            dq, dr = math.exp(-q * T), math.exp(-r * T)
            n1, n2 = 0.5 * math.erfc(-w * d1 * 0.7071067811865476), 0.5 * math.erfc(-w * d2 * 0.7071067811865476)
            density = dq * 0.3989422804014327 * math.exp(-0.5 * d1 * d1)
            drift = (r - q) / dev - 0.5 * d2 / T
            gamma, vega = density / (S * dev), S * density * root
            d12 = d1 * d2
            out[0, i] = w * (S * dq * n1 - K * dr * n2)
            out[1, i] = w * dq * n1
            out[2, i] = gamma
            out[3, i] = vega
            out[4, i] = -0.5 * vega * v / T - w * (r * K * dr * n2 - q * S * dq * n1)
            out[5, i] = w * T * K * dr * n2
            out[6, i] = -density * d2 / v
            out[7, i] = vega * d12 / v
            out[8, i] = w * q * dq * n1 - density * drift
            out[9, i] = vega * (q + d1 * drift - 0.5 / T)
            out[10, i] = -gamma / S * (d1 / dev + 1.0)
            out[11, i] = gamma * (d12 - 1.0) / v
            out[12, i] = gamma * (q + d1 * drift + 0.5 / T)
            out[13, i] = -vega / (v * v) * (d12 * (1.0 - d12) + d1 * d1 + d2 * d2)

    return loop


def numpy_greeks(s: Sample) -> F8:
    """Plain numpy and scipy.special.ndtr: price and 13 Greeks, out[14, n]."""
    from scipy.special import ndtr

    S, K, T, r, q, v, w = s.spot, s.strike, s.years, s.rate, s.dividend_yield, s.vol, s.right_f8
    root = np.sqrt(T)
    dev = v * root
    d1 = (np.log(S / K) + (r - q) * T) / dev + 0.5 * dev
    d2 = d1 - dev
    dq, dr = np.exp(-q * T), np.exp(-r * T)
    n1, n2 = ndtr(w * d1), ndtr(w * d2)
    density = dq * 0.3989422804014327 * np.exp(-0.5 * d1 * d1)
    drift = (r - q) / dev - 0.5 * d2 / T
    gamma, vega = density / (S * dev), S * density * root
    d12 = d1 * d2
    return np.stack((
        w * (S * dq * n1 - K * dr * n2), w * dq * n1, gamma, vega,
        -0.5 * vega * v / T - w * (r * K * dr * n2 - q * S * dq * n1), w * T * K * dr * n2,
        -density * d2 / v, vega * d12 / v, w * q * dq * n1 - density * drift, vega * (q + d1 * drift - 0.5 / T),
        -gamma / S * (d1 / dev + 1.0), gamma * (d12 - 1.0) / v, gamma * (q + d1 * drift + 0.5 / T),
        -vega / (v * v) * (d12 * (1.0 - d12) + d1 * d1 + d2 * d2),
    ))  # fmt: skip


class TorchGreeks:
    """torch, eager, one thread: the same formulas on tensors made beforehand."""

    def __init__(self, s: Sample) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.columns = [torch.from_numpy(column) for column in (*s[:6], s.right_f8)]

    def __call__(self) -> F8:
        """out[14, n]."""
        t = self.torch
        S, K, T, r, q, v, w = self.columns
        with t.no_grad():
            root = t.sqrt(T)
            dev = v * root
            d1 = (t.log(S / K) + (r - q) * T) / dev + 0.5 * dev
            d2 = d1 - dev
            dq, dr = t.exp(-q * T), t.exp(-r * T)
            n1, n2 = t.special.ndtr(w * d1), t.special.ndtr(w * d2)
            density = dq * 0.3989422804014327 * t.exp(-0.5 * d1 * d1)
            drift = (r - q) / dev - 0.5 * d2 / T
            gamma, vega = density / (S * dev), S * density * root
            d12 = d1 * d2
            rows = (
                w * (S * dq * n1 - K * dr * n2), w * dq * n1, gamma, vega,
                -0.5 * vega * v / T - w * (r * K * dr * n2 - q * S * dq * n1), w * T * K * dr * n2,
                -density * d2 / v, vega * d12 / v, w * q * dq * n1 - density * drift,
                vega * (q + d1 * drift - 0.5 / T), -gamma / S * (d1 / dev + 1.0), gamma * (d12 - 1.0) / v,
                gamma * (q + d1 * drift + 0.5 / T), -vega / (v * v) * (d12 * (1.0 - d12) + d1 * d1 + d2 * d2),
            )  # fmt: skip
            return t.stack(rows).numpy()


class QuantLibOption:
    """QuantLib from Python with the instrument kept: quotes move, NPV and five Greeks are asked."""

    def __init__(self, s: Sample, i: int, *, american: str = "") -> None:
        """Row i of ``s``; ``american`` a scheme of its QdFpAmericanEngine: fast, accurate, reference."""
        import QuantLib as ql  # noqa: N813 - what its users call it

        today = ql.Date(15, 6, 2026)
        ql.Settings.instance().evaluationDate = today
        basis, calendar = ql.Actual365Fixed(), ql.NullCalendar()
        self.spot = ql.SimpleQuote(float(s.spot[i]))
        self.vol = ql.SimpleQuote(float(s.vol[i]))
        rate, carry = (
            ql.YieldTermStructureHandle(ql.FlatForward(today, float(value), basis))
            for value in (s.rate[i], s.dividend_yield[i])
        )
        surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, calendar, ql.QuoteHandle(self.vol), basis))
        self.process = ql.BlackScholesMertonProcess(ql.QuoteHandle(self.spot), carry, rate, surface)
        expiry = today + int(s.days[i])
        exercise = ql.AmericanExercise(today, expiry) if american else ql.EuropeanExercise(expiry)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if s.right[i] > 0 else ql.Option.Put, float(s.strike[i]))
        self.option = ql.VanillaOption(payoff, exercise)
        if american:
            if american == "reference":  # highPrecision is off by 4e-7 near the boundary of long deep puts
                scheme = ql.QdFpTanhSinhIterationScheme(20, 60, 1e-13)
            else:
                scheme = getattr(ql.QdFpAmericanEngine, american + "Scheme")()
            self.option.setPricingEngine(ql.QdFpAmericanEngine(self.process, scheme))
        else:
            self.option.setPricingEngine(ql.AnalyticEuropeanEngine(self.process))

    def six(self) -> tuple[float, ...]:
        """(price, delta, gamma, vega, theta, rho)."""
        o = self.option
        return o.NPV(), o.delta(), o.gamma(), o.vega(), o.theta(), o.rho()

    def moved(self, spot: float) -> tuple[float, ...]:
        """Price and Greeks at another spot: what is timed."""
        self.spot.setValue(spot)
        return self.six()

    def price_moved(self, spot: float) -> float:
        """Price alone at another spot."""
        self.spot.setValue(spot)
        return self.option.NPV()


def quantlib_ns(s: Sample, i: int = 0, *, american: str = "", calls: int = 0) -> float:
    """Nanoseconds per option: NPV and five Greeks, or the American price alone, of a kept instrument."""
    option = QuantLibOption(s, i, american=american)
    spots = [float(s.spot[i]) * (1.0 + 1e-4 * k) for k in range(calls or (50 if american else 500))]
    ask = option.price_moved if american else option.moved

    def run() -> None:
        for spot in spots:
            ask(spot)

    return best_ns(run, len(spots), round_s=0.1)


def quiet(call: Callable[[], Any]) -> Any:
    """Run a peer that warns on every call (pandas, division by zero) without its warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return call()


def vectorized_greeks(s: Sample) -> F8:
    """py_vollib_vectorized: out[6, n] in the units of FIVE (its theta is per day, vega and rho per 1 %)."""
    vollib()
    from py_vollib_vectorized import get_all_greeks, vectorized_black_scholes_merton

    flag = np.where(s.right > 0, "c", "p")
    args = (flag, s.spot, s.strike, s.years, s.rate, s.vol, s.dividend_yield)
    price = vectorized_black_scholes_merton(*args, return_as="numpy")
    g = get_all_greeks(*args, model="black_scholes_merton", return_as="dict")
    return np.stack([
        np.asarray(price).ravel(), np.asarray(g["delta"]), np.asarray(g["gamma"]), 100.0 * np.asarray(g["vega"]),
        365.0 * np.asarray(g["theta"]), 100.0 * np.asarray(g["rho"]),
    ])  # fmt: skip


@cache
def vollib() -> tuple[Callable[..., float], ...]:
    """py_vollib's own price, delta, gamma, vega, theta, rho, implied volatility (Black-Scholes-Merton).

    py_vollib_vectorized replaces them inside py_vollib when it is imported: taken here before that.
    """
    from py_vollib.black_scholes_merton import black_scholes_merton
    from py_vollib.black_scholes_merton.greeks.analytical import delta, gamma, rho, theta, vega
    from py_vollib.black_scholes_merton.implied_volatility import implied_volatility

    return black_scholes_merton, delta, gamma, vega, theta, rho, implied_volatility


def vollib_greeks(s: Sample, i: int) -> tuple[float, ...]:
    """py_vollib, one option: the six numbers in the units of FIVE."""
    price, delta, gamma, vega, theta, rho, _ = vollib()
    args = ("c" if s.right[i] > 0 else "p", *(float(c[i]) for c in (s.spot, s.strike, s.years, s.rate, s.vol)))
    q = float(s.dividend_yield[i])
    return (
        price(*args, q), delta(*args, q), gamma(*args, q), 100.0 * vega(*args, q),
        365.0 * theta(*args, q), 100.0 * rho(*args, q),
    )  # fmt: skip


# Implied volatility


class Quotes(NamedTuple):
    """n out-of-the-money option prices with known volatility; every array [n]."""

    price: F8  # discounted
    forward: F8
    strike: F8
    years: F8
    rate: F8
    vol: F8
    right: npt.NDArray[np.int8]

    @property
    def discount(self) -> F8:
        """exp(-rate * years)."""
        return np.exp(-self.rate * self.years)

    def head(self, n: int) -> "Quotes":
        """The first n, contiguous."""
        return Quotes(*(np.ascontiguousarray(column[:n]) for column in self))

    def floor(self) -> F8:
        """What one eps of the price's own scale moves the volatility: eps F / vega."""
        deviation = self.vol * np.sqrt(self.years)
        d1 = np.log(self.forward / self.strike) / deviation + 0.5 * deviation
        vega = self.forward * np.exp(-0.5 * d1 * d1) * np.sqrt(self.years / (2.0 * math.pi))
        return np.asarray(2.220446049250313e-16 * self.forward / vega)


def quotes(n: int, exact: int, seed: int = 2) -> Quotes:
    """Out-of-the-money prices within six standard deviations; the first ``exact`` rounded once from 50 digits."""
    g = np.random.default_rng(seed)
    years, vol = g.uniform(0.02, 2.0, n), g.uniform(0.08, 1.0, n)
    forward = g.uniform(80.0, 120.0, n)
    strike = forward * np.exp(g.uniform(-6.0, 6.0, n) * vol * np.sqrt(years))
    right = np.where(strike >= forward, 1, -1).astype(np.int8)
    deviation = vol * np.sqrt(years)
    price = np.empty(n)
    price[:exact], _ = exact_otm_prices(forward[:exact], strike[:exact], years[:exact], vol[:exact])
    for i in range(exact, n):  # good enough to be timed
        d1 = math.log(forward[i] / strike[i]) / deviation[i] + 0.5 * deviation[i]
        w, half = float(right[i]), math.sqrt(0.5)
        price[i] = (
            w * 0.5 * (forward[i] * math.erfc(-w * d1 * half) - strike[i] * math.erfc(-w * (d1 - deviation[i]) * half))
        )
    keep = price > 1e-14
    rate = np.zeros(n)
    return Quotes(*(np.ascontiguousarray(c[keep]) for c in (price, forward, strike, years, rate, vol, right)))


def quantlib_implied(q: Quotes, i: int, *, rational: bool = False) -> Callable[[], float]:
    """QuantLib's solver for row i with its arguments made: its default one, or Li's rational guess with relaxation."""
    import QuantLib as ql  # noqa: N813

    kind = ql.Option.Call if q.right[i] > 0 else ql.Option.Put
    discount = math.exp(-q.rate[i] * q.years[i])
    args = (kind, float(q.strike[i]), float(q.forward[i]), float(q.price[i]), discount, 0.0, ql.nullDouble())
    root = math.sqrt(q.years[i])
    if rational:
        return lambda: ql.blackFormulaImpliedStdDevLiRS(*args, 1.0, 1e-12) / root
    return lambda: ql.blackFormulaImpliedStdDev(*args, 1e-12) / root


def vectorized_implied(q: Quotes) -> F8:
    """py_vollib_vectorized's Black volatilities [n]."""
    vollib()
    from py_vollib_vectorized import vectorized_implied_volatility_black

    flag = np.where(q.right > 0, "c", "p")
    found = vectorized_implied_volatility_black(q.price, q.forward, q.strike, q.rate, q.years, flag, return_as="numpy")
    return np.asarray(found).ravel()


def vollib_implied(q: Quotes, i: int) -> float:
    """py_vollib's volatility of row i (spot = forward, no rates)."""
    flag = "c" if q.right[i] > 0 else "p"
    row = (float(c[i]) for c in (q.price, q.forward, q.strike, q.years))
    return float(vollib()[6](*row, 0.0, 0.0, flag))
