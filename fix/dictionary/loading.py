"""Dictionaries by version, from the data files that ship with the package. Each is loaded once."""

from functools import cache
from pathlib import Path

from fix.dictionary.model import DataDictionary, did_you_mean, parse_source
from fix.errors import DictionaryError

#: Where the data files lie; ``python -m fix.dictionary.generate`` writes them.
DATA = Path(__file__).parent / "data"

#: ApplVerID(1128), DefaultApplVerID(1137) -> version.
APPL_VERSIONS: dict[str, str] = {
    "2": "FIX.4.0",
    "3": "FIX.4.1",
    "4": "FIX.4.2",
    "5": "FIX.4.3",
    "6": "FIX.4.4",
    "7": "FIX.5.0",
    "8": "FIX.5.0SP1",
    "9": "FIX.5.0SP2",
}

#: Every version there is a dictionary of.
VERSIONS: tuple[str, ...] = (*APPL_VERSIONS.values(), "FIXT.1.1")


def load(version: str) -> DataDictionary:
    """The dictionary of a version (``FIX.4.4``, ``FIXT.1.1``, ``FIX.5.0SP2``) or ApplVerID (``9``).

    Raises
    ------
    DictionaryError
        When there is no such version, or its data file is not one.
    """
    return _load(APPL_VERSIONS.get(version, version))


@cache
def _load(version: str) -> DataDictionary:
    if version not in VERSIONS:
        raise DictionaryError(
            f"no dictionary of version {version!r}; there are {', '.join(VERSIONS)}"
            f"{did_you_mean(version, dict.fromkeys(VERSIONS))}"
        )
    path = DATA / f"{version}.dict"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DictionaryError(f"{path}: not readable ({error}); run python -m fix.dictionary.generate") from error
    return DataDictionary(parse_source(text, str(path)))
