"""The final report: what a run came to, and whether the venues' own books say the same."""

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from engine.view import panels
from engine.view.numbers import count, gain, percent, seconds, signed


def report(document: dict[str, Any]) -> RenderableType:
    """Draw the report document of ``axiom demo`` (``final``: last status, ``checks``: name, ok, text)."""
    status = document.get("final") or {}
    chain, fills, pnl = status.get("chain") or {}, status.get("fills") or {}, status.get("pnl") or {}
    facts = Table.grid(padding=(0, 2))
    facts.add_row("market", escape(str(document.get("market", ""))))
    facts.add_row("ran for", seconds(status.get("uptime_s")))
    facts.add_row("series quoted", f"{count(document.get('quoted_peak'))} of {count(chain.get('series'))} at most")
    facts.add_row("quote presence", percent(chain.get("presence")))
    facts.add_row("fills", f"{count(fills.get('count'))} ({count(fills.get('contracts'))} contracts)")
    facts.add_row("P&L", f"{gain(pnl.get('total'))} (fees {signed(pnl.get('fees'), 2)})")
    facts.add_row("delta left", f"{signed((status.get('portfolio') or {}).get('delta'), 1)} shares")
    checks = Table.grid(padding=(0, 2))
    for check in document.get("checks") or []:
        mark = "[green]ok[/]" if check.get("ok") else "[bold red]FAILED[/]"
        checks.add_row(mark, escape(str(check.get("name"))), f"[dim]{escape(str(check.get('text', '')))}[/]")
    verdict = Text("all checks passed", "bold green") if document.get("ok") else Text("a check failed", "bold red")
    heading = Text("\nfinal report", "bold")
    return Group(heading, facts, Text("\nlatency", "bold"), panels.latency(status), Text("\nchecks", "bold"), checks,
                 verdict)  # fmt: skip
