"""Numbers as people read them in a trading screen; None and NaN are a dash."""

import math
from typing import Any

DASH = "\N{EN DASH}"

#: Colour of each state, wherever one is drawn.
STATE_STYLES = {
    "ACTIVE": "green",
    "READY": "green",
    "AGREES": "green",
    "running": "green",
    "LOGGED_ON": "yellow",
    "REDUCING": "yellow",
    "draining": "yellow",
    "HALTED": "red",
    "DOWN": "red",
    "MISMATCH": "bold white on red",
    "KILLED": "bold white on red",
}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def price(value: Any, decimals: int = 2) -> str:
    """A price in currency."""
    return DASH if _missing(value) else f"{value:,.{decimals}f}"


def count(value: Any) -> str:
    """A quantity or a number of things."""
    return DASH if _missing(value) else f"{value:,.0f}"


def signed(value: Any, decimals: int = 0) -> str:
    """A number whose sign matters: positions, Greeks, P&L. No sign on what rounds to zero."""
    if _missing(value):
        return DASH
    text = f"{value:+,.{decimals}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def percent(value: Any, decimals: int = 1) -> str:
    """A fraction of one, as per cent."""
    return DASH if _missing(value) else f"{value * 100:.{decimals}f}%"


def micros(value: Any) -> str:
    """Microseconds, in the unit that leaves three figures."""
    if _missing(value):
        return DASH
    if value < 10:
        return f"{value:.2f}us"
    if value < 1000:
        return f"{value:.0f}us"
    return f"{value / 1000:.1f}ms" if value < 1e6 else f"{value / 1e6:.2f}s"


def seconds(value: Any) -> str:
    """A duration as h:mm:ss."""
    if _missing(value):
        return DASH
    whole = int(value)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def styled(state: Any) -> str:
    """A state's name in its colour, as rich markup."""
    text = DASH if state is None else str(state)
    style = STATE_STYLES.get(text)
    return f"[{style}]{text}[/]" if style else text


def gain(value: Any, decimals: int = 2) -> str:
    """Money won or lost, in colour, as rich markup."""
    text = signed(value, decimals)
    if _missing(value) or text.strip("+-0.,") == "":
        return text
    return f"[{'green' if value > 0 else 'red'}]{text}[/]"
