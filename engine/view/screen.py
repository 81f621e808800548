"""The live screen: head line, chain, and the panels around it, fitted to the terminal."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.layout import Layout
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.view import panels
from engine.view.chain import chain_table
from engine.view.numbers import count, gain, percent, seconds, signed, styled

_SIDE_COLUMNS = 46
_WIDE_COLUMNS = 120
_FRAME_LINES = 2
_HEAD_LINES = 3
_FOOT_LINES = 9
_SUMMARY_COLUMNS = 72
_NS_PER_S = 1_000_000_000


def screen(status: dict[str, Any], *, width: int, height: int, note: str = "") -> RenderableType:
    """The whole screen in ``width`` x ``height`` cells; ``note`` is a line about the viewer itself."""
    if status.get("phase") not in ("running", "draining", "stopped") and not status.get("final"):
        return _starting(status, note)
    body_lines = max(6, height - _HEAD_LINES - _FOOT_LINES)
    chain = Layout(_panel(_chain_title(status), chain_table(status, body_lines - _FRAME_LINES - 1)))
    body = Layout(size=body_lines)
    if width >= _WIDE_COLUMNS:
        body.split_row(chain, _side(status, body_lines))
    else:
        body.update(chain)
    root = Layout()
    root.split_column(Layout(_head(status, note), size=_HEAD_LINES), body, _foot(status, width))
    return root


def _side(status: dict[str, Any], lines: int) -> Layout:
    """Panels beside the chain, as many as there is room for; positions take what is left."""
    wanted = (
        ("sessions", Group(panels.sessions(status), panels.underlyings(status)), 7),
        ("P&L", panels.money(status), 8),
        ("Greeks", panels.greeks(status), 7),
    )
    shown: list[Layout] = []
    for title, body, size in wanted:
        if size <= lines:
            shown.append(Layout(_panel(title, body), size=size))
            lines -= size
    if lines > _FRAME_LINES:
        shown.append(Layout(_panel("positions", panels.positions(status, max(0, lines - _FRAME_LINES - 2)))))
    side = Layout(size=_SIDE_COLUMNS)
    side.split_column(*shown)
    return side


def _foot(status: dict[str, Any], width: int) -> Layout:
    timing = Group(panels.latency(status, ("p50", "p99", "p999")), panels.loop(status))
    parts = [
        Layout(_panel("latency and loop", timing), ratio=5),
        Layout(_panel("orders", panels.trading(status)), ratio=4),
    ]
    if width >= _WIDE_COLUMNS:
        parts.append(Layout(_panel("risk use", panels.risk(status, 7)), ratio=4))
    foot = Layout(size=_FOOT_LINES)
    foot.split_row(*parts, Layout(_panel("messages", panels.messages(status, 7)), ratio=5))
    return foot


def summary(status: dict[str, Any]) -> RenderableType:
    """What ``axiom status`` prints once: the panels under each other, no full screen."""
    parts: list[RenderableType] = [
        Text("\nsessions", "bold"), panels.sessions(status), panels.underlyings(status),
        Text("\nP&L and Greeks", "bold"), panels.money(status), panels.greeks(status),
        Text("\norders", "bold"), panels.trading(status),
        Text("\nrisk use", "bold"), panels.risk(status, 20),
        Text("\nlatency", "bold"), panels.latency(status), panels.loop(status),
    ]  # fmt: skip
    if status.get("alerts") or status.get("scopes"):
        parts += [Text("\nmessages", "bold"), panels.messages(status, 12)]
    return Group(_head(status, ""), Constrain(Group(*parts), _SUMMARY_COLUMNS))


def headline(status: dict[str, Any]) -> str:
    """One line of plain text: for logs, and for terminals that are none."""
    chain, orders = status.get("chain") or {}, status.get("orders") or {}
    fills, delta = status.get("fills") or {}, (status.get("portfolio") or {}).get("delta")
    pnl = (status.get("pnl") or {}).get("total")
    return (
        f"{status.get('phase', '?')} {status.get('risk_state', '?')}"
        f" quoted={count(chain.get('quoted_two_sided'))}/{count(chain.get('series'))}"
        f" presence={percent(chain.get('presence'))} open={count(orders.get('open'))}"
        f" fills={count(fills.get('count'))} delta={signed(delta, 1)} pnl={signed(pnl, 2)}"
    )


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=f"[bold]{title}[/]", title_align="left", border_style="dim", padding=(0, 1))


def _chain_title(status: dict[str, Any]) -> str:
    chain = status.get("chain") or {}
    quoted = f"{count(chain.get('quoted_two_sided'))} of {count(chain.get('series'))} series quoted two-sided"
    return f"chain: {quoted}, presence {percent(chain.get('presence'))}"


def _head(status: dict[str, Any], note: str) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2))
    for _ in range(5):
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    market = int(status.get("market_ns") or 0)
    clock = datetime.fromtimestamp(market / _NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if market else ""
    armed = "armed" if status.get("armed") else "[yellow]not armed[/]"
    table.add_row(
        f"[bold]axiom[/] run {count(status.get('run'))}",
        f"{styled(status.get('phase'))}, {armed}",
        styled(status.get("risk_state")) + _because(status),
        f"market {clock}",
        f"up {seconds(status.get('uptime_s'))}",
        f"P&L {gain((status.get('pnl') or {}).get('total'))}",
    )
    return Panel(table, border_style="dim", subtitle=escape(note) or None, subtitle_align="right", padding=(0, 1))


def _because(status: dict[str, Any]) -> str:
    reason = status.get("state_reason")
    return f" [dim]({escape(str(reason))})[/]" if reason else ""


def _starting(status: dict[str, Any], note: str) -> RenderableType:
    progress = status.get("phase_progress")
    bar = ProgressBar(total=1.0, completed=float(progress or 0.0), pulse=progress is None, width=50)
    text = status.get("phase_text") or "waiting for the daemon"
    row = Table.grid()  # a bar alone does not end its line
    row.add_row(bar)
    lines: list[RenderableType] = [Text(f"{status.get('phase') or 'starting'}: {text}"), row, panels.sessions(status)]
    return Panel(Group(*lines), title="axiom", title_align="left", subtitle=escape(note) or None, padding=(1, 2))
