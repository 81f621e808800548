"""The metrics endpoint: what ``axiom status`` and ``axiom latency`` show, for a Prometheus server to scrape.

Off unless ``engine.metrics_port`` is set. The HTTP server has a thread of its own; a scrape asks the event loop
for one status document, and reads the latency histograms where both writers count them. Nothing is
counted for the endpoint's sake: what nobody scrapes costs nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.errors import EngineError
from engine.latency import ABOUT, BUCKETS, STEPS, Latencies, upper_bound_ns

_ANSWER_S = 2.0
_PHASES = ("starting", "compiling", "replaying", "connecting", "reconciling", "running", "draining", "stopped")
_STATES = ("ACTIVE", "REDUCING", "HALTED", "KILLED")
_BOUNDS_NS = [upper_bound_ns(bucket) for bucket in range(BUCKETS)]
Document = dict[str, Any]


class EngineCollector(Collector):
    """What one scrape gives.

    Parameters
    ----------
    ask:
        Gives the status document (no chain rows), from the scraping thread.
    latencies:
        The daemon's histograms.
    """

    def __init__(self, ask: Callable[[], Document], latencies: Latencies) -> None:
        self._ask = ask
        self._latencies = latencies

    def collect(self) -> Iterator[Metric]:
        """Everything, as the client library wants it."""
        yield from self._stages()
        document = self._ask()
        yield from _engine(document)
        if "orders" in document:  # not before the state of the last run is restored
            yield from _trading(document)
            yield from _sessions(document["sessions"])

    def _stages(self) -> Iterator[Metric]:
        """Histograms in seconds, one bucket for each power of two; the sum is of the buckets' upper bounds."""
        family = HistogramMetricFamily(
            "axiom_latency_seconds", "Latency by stage, within 6.25 %, corrected for coordinated omission",
            labels=["stage"],
        )  # fmt: skip
        counts = self._latencies.slots.sum(axis=0)
        for stage in ABOUT:
            row = counts[stage]
            running = np.cumsum(row)
            edges = range(STEPS - 1, BUCKETS, STEPS)
            buckets = [(f"{_BOUNDS_NS[edge] / 1e9:.9g}", float(running[edge])) for edge in edges]
            family.add_metric(
                [stage.name.lower()], [*buckets, ("+Inf", float(running[-1]))], float(np.dot(row, _BOUNDS_NS)) / 1e9
            )
        yield family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"axiom_{name}", about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"axiom_{name}", about, value=value)


def _one_of(name: str, about: str, values: tuple[str, ...], present: str) -> Metric:
    """A state as one series a value, 1 for the one that holds."""
    family = GaugeMetricFamily(f"axiom_{name}", about, labels=[name])
    for value in values:
        family.add_metric([value.lower()], float(value == present))
    return family


def _engine(document: Document) -> Iterator[Metric]:
    yield _one_of("phase", "Where the daemon is in its life", _PHASES, document["phase"])
    yield _gauge("run", "Number of the run", document["run"])
    yield _gauge("uptime_seconds", "Since the process began", document["uptime_s"])
    loop = document.get("loop")
    if loop:
        yield _counter("steps", "Frames through the step, over all runs", loop["steps"])
        yield _gauge("backlog_frames", "Frames waiting in the rings", loop["backlog"])
        yield _counter(
            "lapped_frames", "Frames that a publisher overwrote before they were read", loop["lapped_frames"]
        )
        yield _gauge("resident_bytes", "Resident memory", loop["rss_mib"] * (1 << 20))
        yield _counter("cpu_seconds", "CPU time of the process", loop["cpu_seconds"])


def _trading(document: Document) -> Iterator[Metric]:
    yield _one_of("risk_state", "State of the firm", _STATES, document["risk_state"])
    yield _gauge("armed", "Whether quotes may be sent", float(document["armed"]))
    orders, fills, chain = document["orders"], document["fills"], document["chain"]
    requests = CounterMetricFamily("axiom_requests", "Orders by what became of the request", labels=["kind"])
    for kind in ("sent", "replaced", "cancelled", "rejected", "denied"):
        requests.add_metric([kind], orders[kind])
    yield requests
    yield _gauge("open_orders", "Orders in the market", orders["open"])
    yield _gauge("unknown_orders", "Orders of which we do not know whether they stand", orders["unknown"])
    yield _counter("fills", "Executions", fills["count"])
    yield _counter("contracts", "Option contracts traded", fills["contracts"])
    yield _gauge("series_quoted_two_sided", "Series with both sides standing", chain["quoted_two_sided"])
    if chain["presence"] is not None:
        yield _gauge("presence_ratio", "Samples with both sides standing, of those at which risk allowed them",
                     chain["presence"])  # fmt: skip
    portfolio = GaugeMetricFamily("axiom_portfolio", "Greeks held: per 1.00 of spot or volatility, per year",
                                  labels=["greek"])  # fmt: skip
    for greek in ("delta", "gamma", "vega", "theta"):
        if document["portfolio"][greek] is not None:
            portfolio.add_metric([greek], document["portfolio"][greek])
    yield portfolio
    money = GaugeMetricFamily("axiom_pnl", "Profit and loss in currency", labels=["part"])
    for part in ("total", "edge", "fees"):
        money.add_metric([part], document["pnl"][part])
    yield money
    used = GaugeMetricFamily("axiom_limit_used", "Use of a risk limit, worst over its scopes", labels=["limit", "unit"])
    value = GaugeMetricFamily("axiom_limit", "Value of a risk limit", labels=["limit", "unit"])
    for row in document["risk"]:
        value.add_metric([row["limit"], row["unit"]], row["value"])
        if row["used"] is not None:
            used.add_metric([row["limit"], row["unit"]], row["used"])
    yield value
    yield used


def _sessions(rows: list[Document]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("axiom_session_ready", "Whether orders may be sent on it", labels=["session"])
    hot = GaugeMetricFamily("axiom_session_hot", "Whether the step itself sends and receives", labels=["session"])
    messages = CounterMetricFamily("axiom_session_messages", "Application messages", labels=["session", "direction"])
    reconnects = CounterMetricFamily("axiom_session_reconnects", "Logons after the first", labels=["session"])
    age = GaugeMetricFamily("axiom_market_data_age_seconds", "Since the source was heard last", labels=["session"])
    ring = CounterMetricFamily("axiom_ring", "What was counted of a session's market data ring",
                               labels=["session", "counter"])  # fmt: skip
    back = CounterMetricFamily("axiom_lane_demotions", "Times that a hot session went back to asyncio",
                               labels=["session", "reason"])  # fmt: skip
    for row in rows:
        name = row["name"]
        ready.add_metric([name], float(row["state"] == "READY"))
        hot.add_metric([name], float(row["hot"]))
        messages.add_metric([name, "in"], row["messages_in"])
        messages.add_metric([name, "out"], row["messages_out"])
        reconnects.add_metric([name], row["reconnects"])
        if row["market_data_age_ms"] is not None:
            age.add_metric([name], row["market_data_age_ms"] / 1e3)
        for counter, count in (row["ring"] or {}).items():
            if counter not in ("alive", "waiting", "longest_restore_ns"):
                ring.add_metric([name, counter], count)
        for reason, count in ((row["lane"] or {}).get("demotions") or {}).items():
            back.add_metric([name, reason], count)
    yield from (ready, hot, messages, reconnects, age, ring, back)


class MetricsServer:
    """HTTP on ``host:port`` until :meth:`stop`; create it on the event loop's thread.

    Raises
    ------
    EngineError
        The port cannot be had.
    """

    def __init__(self, host: str, port: int, build: Callable[[], Document], latencies: Latencies) -> None:
        loop = asyncio.get_running_loop()

        async def document() -> Document:
            return build()

        def ask() -> Document:
            return asyncio.run_coroutine_threadsafe(document(), loop).result(_ANSWER_S)

        registry = CollectorRegistry()
        registry.register(EngineCollector(ask, latencies))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            text = (
                f"engine.metrics_port {port} on {host} cannot be had: {error.strerror}; choose another, or 0 for none"
            )
            raise EngineError(text) from error
        self.port = int(self._server.server_port)

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
