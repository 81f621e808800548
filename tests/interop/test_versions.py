"""Every version against a real quickfix peer: logon, an order and its report, logout.

FIX.4.4 and FIXT.1.1 with FIX.5.0SP2 in both roles with both engines; each of the others once with each engine,
once in each role: what differs by version is written and read by the same code in either.
"""

from typing import Any

from fix.dictionary import validator_for
from fix.session import Role, State
from tests.interop.rig import VERSIONS, Make, World, everywhere

ENGINES = ("axiom", "quickfix")
_FULL = [("FIX.4.4", ""), ("FIXT.1.1", "9")]
_INITIATORS = [(version, engine) for k, version in enumerate(VERSIONS) for j, engine in enumerate(ENGINES)
               if version in _FULL or (k + j) % 2 == 0]  # fmt: skip
_ACCEPTORS = [(version, engine) for version in VERSIONS for engine in ENGINES
              if version in _FULL or (version, engine) not in _INITIATORS]  # fmt: skip


def order_body(version: str, cl_ord_id: str) -> list[tuple[int, str]]:
    """A limit order with what the version requires, and no more."""
    body = [(11, cl_ord_id)]
    if version != "FIXT.1.1":
        body.append((21, "1"))
    body += [(55, "GOOG"), (54, "1")]
    if version not in ("FIX.4.0", "FIX.4.1"):
        body.append((60, "20151224-14:30:00"))
    return [*body, (38, "5"), (40, "2"), (44, "12.34")]


def text_of(version: str, cl_ord_id: str) -> str:
    return "|".join(["35=D", *(f"{tag}={value}" for tag, value in order_body(version, cl_ord_id)), ""])


def validating(ours: World) -> World:
    """Both sides validate: what one engine sends, the other's dictionary must take."""
    settings = ours.settings
    ours.dictionary = validator_for(settings.begin_string, settings.default_appl_ver_id)
    return ours


@everywhere(case=_INITIATORS)
async def test_initiator_logs_on_trades_and_logs_out(world: Make, case: tuple[tuple[str, str], str]) -> None:
    version, engine = case
    ours = await validating(world(Role.INITIATOR, engine, version=version)).open()
    ours.session.send("D", order_body(version[0], "ABC"))
    await ours.handler.until(lambda: ours.handler.raws("8"), "the report arrives")
    report = ours.handler.raws("8")[0]
    assert (report.text(8), report.text(11), report.text(39)) == (version[0], "ABC", "0")
    assert not ours.peer.messages("out", "3"), "the peer refused something of ours"
    ours.session.logout("done")
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED)
    await ours.peer.until(lambda: ours.peer.messages("in", "5"), "our Logout arrives")
    assert ours.peer.messages("in", "5")[0].text(58) == "done"


@everywhere(case=_ACCEPTORS)
async def test_acceptor_takes_an_order_and_reports(world: Make, case: tuple[tuple[str, str], str]) -> None:
    version, engine = case
    ours = await validating(world(Role.ACCEPTOR, engine, version=version)).open()
    await ours.peer.send(text_of(version[0], "ABC"))
    await ours.handler.until(lambda: ours.handler.raws("D"), "the order arrives")
    report: list[tuple[int, Any]] = [(37, "1"), (17, "1"), (39, "0"), (11, "ABC"), (55, "GOOG"), (54, "1")]
    report += [(38, 5), (14, 0), (6, 0)]
    if version[0] in ("FIX.4.0", "FIX.4.1", "FIX.4.2"):
        report.append((20, "0"))
    if version[0] in ("FIX.4.0", "FIX.4.1"):
        report += [(32, 0), (31, 0)]
    if version[0] != "FIX.4.0":
        report += [(150, "0"), (151, 5)]
    ours.session.send("8", report)
    await ours.peer.until(lambda: ours.peer.messages("app", "8"), "the peer takes the report")
    assert not ours.peer.messages("out", "3"), "the peer refused something of ours"
    await ours.peer.do("logout", text="bye")
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED)
    await ours.peer.until(lambda: ours.peer.messages("in", "5"), "our Logout answers theirs")
