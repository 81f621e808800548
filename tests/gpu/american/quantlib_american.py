"""QuantLib as the foreign oracle of the American tests: times are whole days of a 365-day year."""

import QuantLib as ql

DAY = 1.0 / 365.0


def _option(spot, strike, days, rate, dividend_yield, vol, right):
    today = ql.Date(4, 1, 2021)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()

    def flat(x):
        return ql.YieldTermStructureHandle(ql.FlatForward(today, x, count))

    process = ql.BlackScholesMertonProcess(
        ql.QuoteHandle(ql.SimpleQuote(spot)),
        flat(dividend_yield),
        flat(rate),
        ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), vol, count)),
    )
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
    return ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days)), process, today


def exact(*case):
    """Price by spectral collocation with tanh-sinh quadrature, about 1e-10, in 0.1 s; one boundary only."""
    return _collocation(case, ql.QdFpTanhSinhIterationScheme(20, 60, 1e-13))


def smooth(*case):
    """As :func:`exact` in a tenth of the time, by Gauss-Legendre: up to 1e-5 off near a boundary, smooth elsewhere."""
    return _collocation(case, ql.QdFpAmericanEngine.highPrecisionScheme())


def _collocation(case, scheme):
    option, process, _ = _option(*case)
    option.setPricingEngine(ql.QdFpAmericanEngine(process, scheme))
    return option.NPV()


def grid(spot, strike, days, rate, dividend_yield, vol, right, dividends=(), escrowed=False, nodes=400):
    """(price, delta, gamma) by finite differences, about 1e-3; ``dividends``: (amount, day)."""
    option, process, today = _option(spot, strike, days, rate, dividend_yield, vol, right)
    if dividends:
        model = ql.FdBlackScholesVanillaEngine.Escrowed if escrowed else ql.FdBlackScholesVanillaEngine.Spot
        schedule = [ql.FixedDividend(amount, today + day) for amount, day in dividends]
        engine = ql.FdBlackScholesVanillaEngine(
            process, schedule, nodes, nodes, 0, ql.FdmSchemeDesc.Douglas(), False, -1.0, model
        )
    else:
        engine = ql.FdBlackScholesVanillaEngine(process, nodes, nodes, 0)
    option.setPricingEngine(engine)
    return option.NPV(), option.delta(), option.gamma()
