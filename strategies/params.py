"""Parameters of the closed forms: tables of names, units, ranges and reasons over float64 words.

Like limits, the words may be changed while running; a kernel reads them at every call.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from strategies.errors import ParamError

P = TypeVar("P", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter: accepted values are ``low`` .. ``high``, both included."""

    unit: str
    default: float
    low: float
    high: float
    meaning: str
    reason: str  #: why the default is what it is

    def check(self, name: str, value: float) -> float:
        """Return ``value``; ParamError when it is outside the range or not a number."""
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise ParamError(f"{name} must be {self.low:g}..{self.high:g} {self.unit}, was {value:g}")
        return float(value)


def default_words(specs: Mapping[P, ParamSpec], words: int) -> npt.NDArray[np.float64]:
    """float64[words] with every default; unused words are zero."""
    values = np.zeros(words, np.float64)
    for param, spec in specs.items():
        values[param] = spec.default
    return values


def param_by_name(params: type[P], text: str) -> P:
    """The parameter called ``text`` in either case; ParamError suggests the nearest name."""
    name = text.strip().upper().replace("-", "_")
    if name in params.__members__:
        return params[name]
    near = difflib.get_close_matches(name, params.__members__, 1, 0.0)
    raise ParamError(f"unknown {params.__name__} {text!r}: did you mean {near[0].lower()}?")


def params_table(specs: Mapping[P, ParamSpec]) -> str:
    """Markdown table of all parameters, for the documentation."""
    rows = ["| parameter | unit | default | range | meaning | why this default |", "|---|---|---|---|---|---|"]
    for param, spec in specs.items():
        name = param.name.lower()
        span = f"{spec.low:g}..{spec.high:g}"
        rows.append(f"| `{name}` | {spec.unit} | {spec.default:g} | {span} | {spec.meaning} | {spec.reason} |")
    return "\n".join(rows) + "\n"
