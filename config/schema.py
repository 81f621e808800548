"""Every key of the configuration: type, unit, range, default and the reason for the default.

Structs are frozen; ``load.py`` fills them from TOML. A key's unit is its suffix. Those of
``[[sessions]]`` have a file of their own, ``sessions.py``. Names that have a
table elsewhere are not repeated here: risk limits (``risk.limits.LIMITS``) and the parameters of
quoting and hedging (``strategies``) are tables of name and number, checked against their own
table by whoever loads the file for use (``axiom run``, ``axiom config check``).
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from config.keys import ClockTime, CompId, Core, Market, Name, Telemetry, about
from config.sessions import SessionConfig

__all__ = [
    "AxiomConfig",
    "DropCopyConfig",
    "EngineConfig",
    "FlowConfig",
    "HedgingConfig",
    "QuotingConfig",
    "RiskConfig",
    "SessionConfig",
    "SimulatorConfig",
    "TheoConfig",
    "VenueClientConfig",
    "VenueConfig",
]


class EngineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon itself."""

    state_dir: Annotated[str, about("Journal, stores, snapshots, control socket; one daemon per directory.")] = (
        ".axiom/run"
    )
    runtime_dir: Annotated[
        str, about("Shared-memory rings. auto: $XDG_RUNTIME_DIR, else /dev/shm; keyed by state_dir so demos coexist.")
    ] = "auto"
    loop_mode: Annotated[
        Literal["auto", "spin", "poll", "park"],
        about("How the step is driven. auto spins only where three cores may be used: a spinner starves the rest."),
    ] = "auto"
    hot_sessions: Annotated[
        bool,
        about("spin and poll: the step itself receives and sends for FIX sessions that are in order, past asyncio."),
    ] = True
    max_instruments: Annotated[
        int, about("Capacity of every per-instrument table. 4096 holds any single chain of today.", ge=2, le=65_536)
    ] = 4096
    max_orders: Annotated[
        int, about("Order slots; two per quoted series and as many in flight again.", ge=16, le=65_535)
    ] = 16_384
    journal_segment_mib: Annotated[
        int,
        about(
            "Size of one journal file, pre-touched. 64 MiB is half a million frames; one step may need 4.",
            ge=8,
            le=4096,
        ),
    ] = 64
    journal_fsync_interval_ms: Annotated[
        int, about("Group fdatasync period, off the path. 0: the page cache only.", ge=0, le=10_000)
    ] = 100
    store_sync_window_ms: Annotated[
        int,
        about(
            "Group fdatasync of the FIX message stores: what a power cut may take. 0: the page cache only.",
            ge=0,
            le=60_000,
        ),
    ] = 50
    store_keep_days: Annotated[
        int, about("Days for which sent messages are kept after their numbers were reset.", ge=0, le=3650)
    ] = 7
    journal_min_free_mib: Annotated[
        int, about("Trading stops while the disk still has this much: room to stop in order.", ge=1, le=1_048_576)
    ] = 256
    snapshot_interval_s: Annotated[
        float,
        about("How often state is snapshot, so that a restart replays little.", ge=1, le=86_400),
    ] = 300.0
    timer_interval_ms: Annotated[
        int, about("TIMER frames into the step: ages, rates and retries are judged at this grain.", ge=1, le=1000)
    ] = 10
    drain_timeout_s: Annotated[float, about("Longest wait for cancel acknowledgements on stop.", ge=0.1, le=600)] = 5.0
    reconcile_timeout_s: Annotated[
        float, about("Longest wait for a venue's mass status before it is asked again.", ge=0.1, le=600)
    ] = 10.0
    max_clock_jump_ms: Annotated[
        int, about("A wall clock that steps further than this against the monotonic one halts quoting.", ge=1)
    ] = 500
    pin_step_core: Annotated[Core, about("CPU of the step thread in spin mode. -1: not pinned.")] = -1
    pin_greeks_core: Annotated[Core, about("CPU of the Greeks thread. -1: not pinned.")] = -1
    telemetry: Annotated[
        Telemetry,
        about("Orders and events for onlookers: ring:PATH (relative to runtime_dir), aeron:CHANNEL[;...], or none."),
    ] = "none"
    metrics_port: Annotated[int, about("Prometheus metrics by HTTP on this port. 0: no endpoint.", ge=0, le=65_535)] = 0
    metrics_host: Annotated[str, about("Address of the metrics endpoint; 0.0.0.0 for all of this machine's.")] = (
        "127.0.0.1"
    )
    auto_arm: Annotated[
        bool, about("Arm when every session has reconciled. false: wait for an operator, as a live desk should.")
    ] = True
    log_level: Annotated[Literal["debug", "info", "warning", "error"], about("Least severe event that is logged.")] = (
        "info"
    )


class QuotingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two-sided quotes by the Gueant-Lehalle-Fernandez-Tapia closed form."""

    enabled: Annotated[bool, about("false: sessions, theo and hedging run, nothing is quoted.")] = True
    min_replace_interval_ms: Annotated[
        int, about("A side of a series is not replaced more often, save to get out of the way.", ge=0, le=60_000)
    ] = 50
    params: Annotated[dict[str, float], about("NAME = value over the defaults of strategies.quoting.QUOTING.")] = {}


class HedgingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delta hedging with the underlying by a no-trade band."""

    enabled: Annotated[bool, about("false: portfolio delta is shown but not traded.")] = True
    min_interval_ms: Annotated[
        int, about("Least time between two hedge orders: the first one's fill must count.", ge=0, le=60_000)
    ] = 100
    params: Annotated[dict[str, float], about("NAME = value over the defaults of strategies.hedging.HEDGING.")] = {}


class RiskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits by name over the defaults of ``risk.limits.LIMITS``."""

    limits: Annotated[
        dict[str, float], about("NAME = value; see `axiom limits show` for names, units and ranges.")
    ] = {}


class TheoConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Theoretical values: how often they are fitted and refreshed."""

    rate: Annotated[
        float, about("Continuous interest rate per year, where parity cannot tell the discount.", ge=-0.1, le=0.5)
    ] = 0.0025
    refresh_spot_bp: Annotated[
        float, about("Refresh at once when the underlying moved this far; between, delta and gamma.", gt=0, le=1000)
    ] = 2.0
    refresh_interval_ms: Annotated[
        int, about("Refresh at least this often. Every refresh is journaled: 128 bytes a series.", ge=1, le=60_000)
    ] = 500
    calibrate_interval_ms: Annotated[
        int, about("Forwards and smiles are fitted again at this interval.", ge=10, le=600_000)
    ] = 1000
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        about("Who computes. auto: measured at start, the faster; cuda: a GPU where there is one. The CPU steps in."),
    ] = "auto"
    cuda_persistent: Annotated[
        bool, about("Offer a kernel that stays on the GPU: lower latency, but it wants the GPU and a core for itself.")
    ] = False


class VenueClientConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A counterparty that a simulated venue lets in."""

    comp_id: Annotated[CompId, about("Its SenderCompID(49); any other is dropped.")]
    cancel_on_disconnect: Annotated[
        bool, about("Cancel its orders when the connection is lost, as options venues offer.")
    ] = True
    self_trade_prevention: Annotated[
        Literal["cancel_resting", "cancel_incoming", "decrement_both"],
        about("What happens when two of its orders meet."),
    ] = "cancel_incoming"


class DropCopyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session on which a simulated venue repeats execution reports of its clients."""

    comp_id: Annotated[CompId, about("CompID of who listens; must differ from every client's.")]
    clients: Annotated[tuple[CompId, ...], about("CompIDs of the clients that are copied. Empty: all of them.")] = ()
    reports: Annotated[
        Literal["all", "trades"], about("Every execution report, or only trades, busts and corrections.")
    ] = "all"


class VenueConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A simulated venue: FIX acceptor, matching engine, market data ring, trade log."""

    name: Annotated[Name, about("Unique; also names its ring file and its directory.")]
    kind: Annotated[Literal["options", "equity"], about("What it lists: the chain, or its underlying.")]
    comp_id: Annotated[CompId, about("Its own CompID.")]
    port: Annotated[int, about("TCP port of its FIX acceptor.", ge=1, le=65_535)]
    clients: Annotated[tuple[VenueClientConfig, ...], about("Who may log on.")]
    drop_copies: Annotated[tuple[DropCopyConfig, ...], about("Who is told what the clients traded.")] = ()
    host: Annotated[str, about("Address it listens on.", min_length=1)] = "127.0.0.1"
    ring: Annotated[str, about("Market data ring; relative to runtime_dir. Empty: NAME.ring.")] = ""
    ring_slots: Annotated[
        int, about("Slots of the ring, a power of two. 16384 is seconds of a busy chain.", ge=256, le=1 << 22)
    ] = 1 << 14
    ring_silence_ms: Annotated[
        int,
        about("A promise: a venue silent for longer is dead to its readers, its books void.", ge=50, le=60_000),
    ] = 1000
    aeron: Annotated[
        str, about("aeron:CHANNEL[;stream=N][;dir=PATH] to publish on beside the ring (extra aeron). Empty: no.")
    ] = ""
    fee_per_unit_usd: Annotated[
        float, about("Charged per contract or share on each of our fills; negative is a rebate.", ge=-10, le=10)
    ] = 0.0
    order_delay_us: Annotated[int, about("From the socket to the matching engine.", ge=0, le=1_000_000)] = 50
    report_delay_us: Annotated[int, about("From the matching engine to the socket.", ge=0, le=1_000_000)] = 50
    delay_jitter_us: Annotated[
        int, about("Seeded, uniform, added to both delays; order of messages is kept.", ge=0, le=1_000_000)
    ] = 20


class FlowConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Order flow of the simulated market. Keys of the generated market are unused by a replay."""

    underlying: Annotated[Name, about("Ticker of the generated underlying.")] = "AXM"
    spot: Annotated[float, about("Opening price of the generated underlying.", gt=1, le=100_000)] = 100.0
    volatility: Annotated[float, about("Level of the generated volatility, per sqrt(year).", gt=0, le=3)] = 0.25
    expiries: Annotated[int, about("Number of generated expiries.", ge=1, le=24)] = 6
    strikes: Annotated[int, about("Strikes per generated expiry, odd so that one is at the money.", ge=3, le=401)] = 21
    makers: Annotated[int, about("Competing makers around the moving fair value.", ge=1, le=8)] = 3
    taker_rate_per_s: Annotated[
        float, about("Base rate of the Hawkes takers, all series together, per second of wall time.", ge=0, le=1e4)
    ] = 4.0
    taker_branching: Annotated[
        float, about("Expected children per taker; at 1 the process explodes.", ge=0, le=0.95)
    ] = 0.5
    taker_max_qty: Annotated[int, about("Largest taker order, contracts.", ge=1, le=10_000)] = 10
    equity_taker_rate_per_s: Annotated[
        float, about("Base rate of takers in the underlying, per second of wall time.", ge=0, le=1e4)
    ] = 1.0


class SimulatorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exchange simulator: one market, one or more venues."""

    seed: Annotated[int, about("Of every random number of the flow: same seed, same market.", ge=0, le=2**63 - 1)] = 7
    speed: Annotated[float, about("Seconds of market time per second of wall time.", gt=0, le=3600)] = 1.0
    market: Annotated[Market, about("generated, or replay:PATH of a zip of quote bars.")] = "generated"
    start_time: Annotated[
        ClockTime, about("New York time at which the market begins; the opening minutes have few quotes.")
    ] = "09:45"
    state_dir: Annotated[str, about("Trade logs and message stores of the venues.")] = ".axiom/sim"
    step_interval_ms: Annotated[int, about("Wall time between two steps of the flow.", ge=1, le=1000)] = 10
    flow: FlowConfig = FlowConfig()
    venues: Annotated[tuple[VenueConfig, ...], about("The venues of this market.")] = ()


class AxiomConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole profile: the daemon and, where simulated, its market."""

    engine: EngineConfig = EngineConfig()
    sessions: Annotated[tuple[SessionConfig, ...], about("FIX sessions; session number = place in the file.")] = ()
    quoting: QuotingConfig = QuotingConfig()
    hedging: HedgingConfig = HedgingConfig()
    risk: RiskConfig = RiskConfig()
    theo: TheoConfig = TheoConfig()
    simulator: SimulatorConfig = SimulatorConfig()

    @property
    def state_dir(self) -> Path:
        """The daemon's state directory, absolute."""
        return Path(self.engine.state_dir).expanduser().absolute()

    @property
    def simulator_dir(self) -> Path:
        """The simulator's state directory, absolute; a venue's own is ``simulator_dir / name``."""
        return Path(self.simulator.state_dir).expanduser().absolute()

    @property
    def trading(self) -> dict[int, SessionConfig]:
        """Sessions that trade, by session number."""
        return {number: entry for number, entry in enumerate(self.sessions) if entry.role != "drop_copy"}

    @property
    def control_socket(self) -> Path:
        """Unix socket of the daemon's control server."""
        return self.state_dir / "control.sock"

    @property
    def runtime_dir(self) -> Path:
        """Directory of the shared-memory rings; not created here."""
        if self.engine.runtime_dir != "auto":
            return Path(self.engine.runtime_dir).expanduser().absolute()
        key = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:10]
        return _memory_dir() / f"axiom-{os.getuid()}-{key}"

    def ring_path(self, venue: str) -> Path:
        """Ring file that the simulated venue ``venue`` publishes to."""
        found = next((entry.ring for entry in self.simulator.venues if entry.name == venue), "")
        return self.runtime_dir / (found or f"{venue}.ring")

    def market_data_path(self, session: SessionConfig) -> Path | None:
        """Ring that ``session`` reads its market data from; None where it subscribes by FIX, or trades nothing.

        Where they come by Aeron: the local ring that they are copied into.
        """
        if session.market_data in ("fix", "none") or session.role == "drop_copy":
            return None
        kind, _, path = session.market_data.partition(":")
        if kind == "aeron":
            return self.runtime_dir / f"{session.name}.aeron.ring"
        return self.runtime_dir / path if path else self.ring_path(session.venue)

    def digest(self) -> int:
        """64-bit hash of every value: RUN_START's ``config_digest``."""
        return int.from_bytes(hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()[:8], "little")


def _memory_dir() -> Path:
    """First place that is memory and ours to write: rings on a disk would be written back for ever."""
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):
        if candidate and os.path.isabs(candidate) and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    return Path(tempfile.gettempdir())
