"""``axiom surface``: fit a recorded chain, print what came of it, prove it free of arbitrage, draw it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from engine.cli.chainfile import DEFAULT_AT, load_chains
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit_json, stderr, stdout
from engine.cli.profile import JsonOption

if TYPE_CHECKING:
    from engine.cli.chainfit import FittedChain, FittedExpiry

_WIDE = 140  # columns of the terminal from which on the parameters stand in the table
_YIELD_ERROR = 0.05  # one sd per year: a cent over two hours is no yield


def surface(
    chain: Annotated[list[Path], typer.Option("--chain", help="Recorded quotes of a chain (zip); may be repeated.")],
    at: Annotated[str, typer.Option("--at", help="Minute, New York time, HH:MM.")] = DEFAULT_AT,
    spot: Annotated[float | None, typer.Option("--spot", help="Spot instead of the file's.")] = None,
    rate: Annotated[
        float, typer.Option("--rate", min=-0.5, max=1.0, help="Funding rate per year, continuous; parity refines it.")
    ] = 0.0,
    model: Annotated[str, typer.Option("--model", help="essvi, svi or sabr.")] = "essvi",
    beta: Annotated[float, typer.Option("--beta", min=0.0, max=1.0, help="Backbone of sabr.")] = 1.0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw smiles, surface and residuals there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the volatility surface of a recorded chain and prove it free of arbitrage."""
    if model not in ("essvi", "svi", "sabr"):
        raise CliError(ExitCode.ERROR, f"--model must be essvi, svi or sabr, was {model!r}")
    if plot is not None:
        _check_plot(plot)
    snapshots = load_chains(chain, at, spot)
    from engine.cli.chainfit import Model, fit_chain

    fitted = [fit_chain(snapshot, Model(model), rate, beta) for snapshot in snapshots]
    pictures = _draw(fitted, plot) if plot is not None else []
    if as_json:
        results = [document(one) for one in fitted]
        for result, picture in zip(results, pictures, strict=False):
            result["plot"] = str(picture)
        emit_json({"ok": True, "result": results})
        return
    for one in fitted:
        _print(one)
    for picture in pictures:
        stderr.print(f"drawn to {picture}", markup=False)


def _check_plot(path: Path) -> None:
    """Fail before the work, not after it."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise CliError(ExitCode.ERROR, "--plot needs matplotlib: install the extra with pip install 'axiom[plot]'")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise CliError(ExitCode.ERROR, f"--plot must end in .png, .svg or .pdf, was {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise CliError(ExitCode.NOT_FOUND, f"--plot: there is no directory {path.absolute().parent}; make it first")


def _draw(fitted: "list[FittedChain]", path: Path) -> list[Path]:
    """One picture per chain; of several, each is named after its symbol and day."""
    from engine.cli.surface_plot import draw

    pictures: list[Path] = []
    for one in fitted:
        whose = f"-{one.snapshot.symbol}-{one.snapshot.day:%Y%m%d}" if len(fitted) > 1 else ""
        name = path.with_stem(path.stem + whose)
        if name in pictures:  # two files of one day
            name = path.with_stem(f"{path.stem}{whose}-{len(pictures) + 1}")
        try:
            draw(one, name)
        except OSError as error:
            raise CliError(ExitCode.ERROR, f"--plot: {name} cannot be written ({error}); give another path") from error
        pictures.append(name)
    return pictures


def _number(value: float, form: str) -> str:
    """``form`` without a minus before a zero; a dash for NaN."""
    return "-" if math.isnan(value) else format(value, form)


def _print(fitted: "FittedChain") -> None:
    """The table and the verdict of one chain."""
    snapshot, out = fitted.snapshot, stdout()
    style = "American" if snapshot.american else "European"
    out.print(
        f"{snapshot.symbol} {snapshot.day} {snapshot.at} New York, {style}, spot {snapshot.spot:,.2f} "
        f"({snapshot.spot_source}), model {fitted.model}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    rows = [_cells(expiry) for expiry in fitted.expiries]
    hidden = set() if out.width >= _WIDE else {"+-", "discount", "parameters"}
    for name in rows[0]:
        if name not in hidden:
            left = name in ("expiry", "proof", "parameters")
            table.add_column(name, justify="left" if left else "right", no_wrap=name != "parameters")
    for row in rows:
        table.add_row(*(cell for name, cell in row.items() if name not in hidden))
    out.print(table)
    out.print(_summary(fitted), markup=False, soft_wrap=True)


def _cells(expiry: "FittedExpiry") -> dict[str, str]:
    """One line of the table by its headings. A yield that nothing is known about is not shown."""
    inside = 100.0 * expiry.inside / expiry.points if expiry.points else math.nan
    known = expiry.dividend_yield_error < _YIELD_ERROR
    return {
        "expiry": f"{expiry.day}",
        "days": f"{365.0 * expiry.years:,.2f}",
        "forward": _number(expiry.forward, ",.2f"),
        "+-": _number(expiry.forward_error, ".2f"),
        "discount": _number(expiry.discount, ".5f"),
        "yield %": _number(100.0 * expiry.dividend_yield if known else math.nan, "+z.2f"),
        "vol %": _number(100.0 * expiry.money_vol, ".2f"),
        "points": f"{expiry.points}",
        "out": f"{expiry.rejected}",
        "in %": _number(inside, ".0f"),
        "miss": _number(expiry.median_miss, ".2f"),
        "proof": expiry.verdict,
        "parameters": _params(expiry),
    }


def _params(expiry: "FittedExpiry") -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in expiry.params.items() if name not in ("floored", "beta"))


def _remark(expiry: "FittedExpiry") -> str:
    """What a reader should know of one expiry beside its numbers."""
    found = [] if expiry.status == "OK" else [expiry.status.lower().replace("_", " ")]
    if expiry.points and expiry.forward_source != "PARITY":
        found.append("forward carried from the spot, parity says nothing or contradicts it")
    return ", ".join(found)


def _summary(fitted: "FittedChain") -> str:
    """What the proof says of the surface, and what the quotes themselves give away."""
    proof = fitted.proof
    verdict = "free of arbitrage" if proof.free else f"ARBITRAGE: {proof.worst()}"
    points = sum(expiry.points for expiry in fitted.expiries)
    inside = sum(expiry.inside for expiry in fitted.expiries)
    again = "" if math.isnan(fitted.refit_ms) else f", refit {fitted.refit_ms:.1f} ms"
    lines = [
        f"surface: {verdict} on a grid of {proof.points:,} points ({proof.rows} dates); smallest density g "
        f"{proof.butterfly.margin:.4f} at k {proof.butterfly.k:+.3f}, {365.0 * proof.butterfly.years:.2f} days",
        f"quotes: {inside} of {points} hold the surface, median miss {fitted.median_miss:.2f} half-spreads; fit "
        f"{fitted.fit_ms:.1f} ms{again}",
    ]
    remarks = [f"{e.day} {remark}" for e in fitted.expiries if (remark := _remark(e))]
    if remarks:
        lines.append("; ".join(remarks))
    if fitted.quote_faults:
        worst = fitted.quote_faults[0]
        lines.append(
            f"static arbitrage in the raw quotes: {len(fitted.quote_faults)}; largest: {worst.fault.name.lower()} of "
            f"{worst.amount:.2f} at strike {worst.strike:g}, {365.0 * worst.years:.2f} days"
        )
    return "\n".join(lines) + "\n"


def document(fitted: "FittedChain") -> dict[str, Any]:
    """The result as plain values; NaN becomes null in JSON."""
    snapshot, proof = fitted.snapshot, fitted.proof
    kinds = ("butterfly", "convexity", "monotone", "calendar", "wings", "positive")
    return {
        "file": str(snapshot.path), "symbol": snapshot.symbol, "day": f"{snapshot.day}", "at": snapshot.at,
        "american": snapshot.american, "spot": snapshot.spot, "spot_source": snapshot.spot_source,
        "model": str(fitted.model), "rate": fitted.rate, "fit_ms": fitted.fit_ms,
        "refit_ms": fitted.refit_ms, "median_miss": fitted.median_miss,
        "expiries": [_expiry_document(expiry) for expiry in fitted.expiries],
        "arbitrage": {
            "free": proof.free, "points": proof.points, "rows": proof.rows, "worst": proof.worst(),
            **{kind: vars(getattr(proof, kind)) for kind in kinds},
        },
        "quote_faults": [
            {"fault": v.fault.name, "years": v.years, "strike": v.strike, "right": v.right, "amount": v.amount}
            for v in fitted.quote_faults
        ],
    }  # fmt: skip


def _expiry_document(expiry: "FittedExpiry") -> dict[str, Any]:
    plain = {name: value for name, value in vars(expiry).items() if name != "quotes"}
    return plain | {"day": f"{expiry.day}", "quotes": vars(expiry.quotes)}
