"""Venues that are absent, come back, forget, and say what they never should."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.replay import verify
from tests.faults.rig import Daemon, profile, until
from tests.faults.scripted import Script

STRANGER = "00FF00000000AAAA"  # a well-formed ClOrdID that was never ours


@asynccontextmanager
async def market(tmp_path, **engine) -> AsyncIterator[tuple[Daemon, Script]]:
    """A daemon under two scripted venues, quoting; stopped in order and replayed at the end."""
    config = profile(tmp_path, market_data="fix", engine=engine)
    script, daemon = Script(config, tmp_path / "venues"), Daemon(config)
    await script.start()
    daemon.start()
    try:
        yield daemon, script
        daemon.ask("stop", mode="drain")
        assert await daemon.ended() == 0, daemon.tail()
    finally:
        daemon.destroy()
        await script.stop()
    result = verify(config.state_dir)
    assert result.ok, result.mismatch


async def quoting(daemon):
    return await daemon.shows(lambda s: s if s["chain"]["quoted_two_sided"] >= 8 else None, "quotes")


def scopes(status, kind="instrument"):
    return {scope["name"]: scope for scope in status.get("scopes", []) if scope["scope"] == kind}


def halted(symbol):
    """A condition: the instrument is halted, and the event loop has heard of it from the step."""
    return lambda status: status if scopes(status).get(symbol, {}).get("reason") else None


def position(status, symbol):
    return next((row["qty"] for row in status["positions"] if row["symbol"] == symbol), 0)


async def test_venues_that_are_down_at_start_are_waited_for(tmp_path):
    config = profile(tmp_path, market_data="fix")
    script, daemon = Script(config, tmp_path / "venues"), Daemon(config)
    daemon.start()
    status = await daemon.reaches("connecting")
    assert not status["armed"]
    await script.eq.start()
    await daemon.shows(lambda s: s["phase_text"] == "waiting for the security lists of OPT", "what is missing")
    await script.opt.start()
    await quoting(daemon)
    daemon.ask("stop")
    assert await daemon.ended() == 0
    await script.stop()


async def test_venue_goes_away_and_comes_back_with_our_orders(tmp_path):
    """Orders are UNKNOWN while it is away, never assumed gone; the venue's word settles them."""
    async with market(tmp_path) as (daemon, script):
        before = len((await quoting(daemon))["open_orders"])
        await script.opt.stop("maintenance")
        status = await daemon.shows(lambda s: s if s["sessions"][0]["state"] == "DOWN" else None, "down")
        assert status["orders"]["unknown"] == len(status["open_orders"]) >= before - 2
        lost = script.opt.open.popitem()[0]  # this one the venue has lost meanwhile
        kept = set(script.opt.open)
        await script.opt.start()
        await daemon.alert("is not at the venue")
        await until(lambda: not kept & set(script.opt.open), "cancel of what a restart found")
        assert lost not in script.opt.open
        await quoting(daemon)


async def test_venue_that_forgot_the_sequence_numbers_halts_the_firm_if_orders_were_open(tmp_path):
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        await script.opt.stop("crash")
        script.opt.forget()
        await script.opt.start()
        status = await daemon.shows(lambda s: s if s["risk_state"] == "HALTED" else None, "halt")
        assert status["state_reason"].startswith("SEQUENCES_RESET: OPT")
        await daemon.shows(lambda s: s["sessions"][0]["state"] == "READY" and not s["open_orders"], "reconciled")
        assert not script.opt.open
        daemon.ask("resume", scope="firm", reason="positions compared")
        await quoting(daemon)


async def test_venue_that_forgot_the_sequence_numbers_is_taken_up_where_nothing_was_open(tmp_path):
    async with market(tmp_path, auto_arm=False) as (daemon, script):
        await daemon.reaches("running")
        await script.opt.stop("crash")
        script.opt.forget()
        await daemon.shows(lambda s: s["sessions"][0]["state"] == "DOWN", "down")
        await script.opt.start()
        status = await daemon.shows(lambda s: s if s["sessions"][0]["state"] == "READY" else None, "reconciled")
        assert not status["state_reason"]
        daemon.ask("arm", reason="test")
        await quoting(daemon)


async def test_fill_of_an_order_we_never_sent_halts_the_instrument_and_counts(tmp_path):
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        symbol = script.opt.option("C", 100)
        exec_id = script.opt.fill(symbol, 3, "4.10", cl_ord_id=STRANGER)
        status = await daemon.shows(halted(symbol), "halt of the instrument")
        assert scopes(status)[symbol]["state"] == "HALTED"
        assert scopes(status)[symbol]["reason"].startswith("UNKNOWN_FILL")
        assert STRANGER in scopes(status)[symbol]["reason"]
        assert (position(status, symbol), status["fills"]["count"]) == (3, 1)
        assert status["pnl"]["cash_e4"] == -3 * 41_000 * 100 - 2_500
        script.opt.fill(symbol, 3, "4.10", cl_ord_id=STRANGER, exec_id=exec_id)  # told twice, it counts once
        script.opt.fill(symbol, 2, "4.20", cl_ord_id=STRANGER, side=2)
        status = await daemon.shows(lambda s: s if s["fills"]["count"] == 2 else None, "the second fill")
        assert position(status, symbol) == 1
        await until(lambda: not [o for o in script.opt.open.values() if o.text(55) == symbol], "its orders cancelled")
        assert len(script.opt.open) > 10, "other instruments trade on"


async def test_unknown_fill_is_remembered_over_a_restart(tmp_path):
    config = profile(tmp_path, market_data="fix")
    script, daemon = Script(config, tmp_path / "venues"), Daemon(config)
    await script.start()
    daemon.start()
    await quoting(daemon)
    symbol = script.opt.option("P", 95)
    script.opt.fill(symbol, 3, "1.50", cl_ord_id=STRANGER)
    await daemon.shows(halted(symbol), "halt")
    await daemon.kill()
    daemon.start()
    status = await quoting(daemon)
    assert (position(status, symbol), scopes(status)[symbol]["state"]) == (3, "HALTED")
    daemon.ask("resume", scope=f"instrument:{symbol}", reason="looked at")
    await daemon.shows(lambda s: symbol not in scopes(s), "resumed")
    daemon.ask("stop")
    assert await daemon.ended() == 0
    await script.stop()


async def test_negative_quantity_halts_the_instrument_and_changes_no_position(tmp_path):
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        symbol = script.opt.option("P", 100)
        order = await until(
            lambda: next((o for o in script.opt.open.values() if o.text(55) == symbol), None), "an order"
        )
        script.opt.fill(symbol, -3, "4.10", cl_ord_id=order.text(11), order_qty=5)
        status = await daemon.shows(halted(symbol), "halt of the instrument")
        assert scopes(status)[symbol]["reason"].startswith("BAD_VALUE")
        assert (position(status, symbol), status["fills"]["count"]) == (0, 0)


async def test_unknown_symbol_is_shown_and_trading_goes_on(tmp_path):
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        script.opt.quote("NOSUCH260101C00001000")
        script.opt.fill("NOSUCH260101C00001000", 3, "4.10", cl_ord_id=STRANGER)
        await daemon.alert("symbol we do not know")
        status = await quoting(daemon)
        assert status["sessions"][0]["state"] == "READY"
        assert status["fills"]["count"] == 0


async def test_security_list_entries_that_make_no_sense_are_named_and_left_out(tmp_path):
    config = profile(tmp_path, market_data="fix")
    script, daemon = Script(config, tmp_path / "venues"), Daemon(config)
    script.opt.extra_entries = [
        [(55, "ZZZ260101C00001000"), (461, "OCEXXS"), (541, "20260101"), (202, 1), (231, 100), (711, 1), (311, "ZZZ")],
        [(55, "AXM260101C00001000"), (461, "OQEXXS"), (541, "20260101"), (202, 1), (231, 100), (711, 1), (311, "AXM")],
    ]
    await script.start()
    daemon.start()
    await daemon.alert("its underlying 'ZZZ' is listed by no session")
    await daemon.alert("AXM260101C00001000")
    status = await quoting(daemon)
    assert status["chain"]["series"] == 10
    daemon.ask("stop")
    assert await daemon.ended() == 0
    await script.stop()


async def test_session_reject_of_an_order_halts_the_session_and_asks_what_is_true(tmp_path):
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        asked = len(script.opt.seen("AF"))
        order = await until(lambda: next((o for o in script.opt.open.values() if o.msg_type == "D"), None), "an order")
        del script.opt.open[order.text(11)]  # a venue that rejects does not keep it
        script.opt.reject(order, "Value is incorrect")
        status = await daemon.shows(lambda s: s if "OPT" in scopes(s, "session") else None, "halt of the session")
        assert "MESSAGE_REFUSED" in scopes(status, "session")["OPT"]["reason"]
        await until(lambda: len(script.opt.seen("AF")) > asked, "a mass status request")
        await daemon.shows(lambda s: not s["open_orders"], "no order left")
        assert not script.opt.open
        daemon.ask("resume", scope="session:OPT", reason="understood")
        await quoting(daemon)


async def test_gap_that_the_venue_fills_with_nothing_is_followed_by_a_mass_status(tmp_path):
    """Whatever was in the gap is lost; the venue's list of open orders tells."""
    async with market(tmp_path) as (daemon, script):
        await quoting(daemon)
        asked = len(script.opt.seen("AF"))
        script.opt.lose_one()
        script.opt.quote(script.opt.option("C", 100))
        await daemon.alert("are missing: asked again")
        await until(lambda: len(script.opt.seen("AF")) > asked, "a mass status request")
        await quoting(daemon)
