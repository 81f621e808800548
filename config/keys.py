"""Types that several sections' keys share, and how a key is documented."""

from typing import Annotated, Any

from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]
CompId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]
Text = Annotated[str, Meta(pattern=r"^[ -~]{0,64}$")]
Core = Annotated[int, Meta(ge=-1, le=1023)]
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
Market = Annotated[str, Meta(pattern=r"^(generated|replay:.+)$")]
MarketData = Annotated[str, Meta(pattern=r"^(fix|ring|ring:.+|aeron:.+|none)$")]
Telemetry = Annotated[str, Meta(pattern=r"^(none|ring:.+|aeron:.+)$")]
Day = Annotated[str, Meta(pattern=r"^(mon|tue|wed|thu|fri|sat|sun)$")]
Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
HalfDay = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2} ([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
Address = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}$")]
LogonField = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,4}=[ -~]+$")]


def about(text: str, **bounds: Any) -> Meta:
    """Range and documentation of one key; the text is what ``axiom config explain`` prints."""
    return Meta(description=text, **bounds)
