"""The validator of a session from its settings; sessions with equal settings share one."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from fix.dictionary.loading import APPL_VERSIONS, load
from fix.dictionary.model import DataDictionary
from fix.dictionary.overlay import Table, overlay, read_overlay
from fix.dictionary.validation import Validation
from fix.dictionary.validator import Validator
from fix.errors import DictionaryError
from fix.messages import ADMIN_TYPES

FIXT = "FIXT.1.1"


class _Applications(Mapping[str, DataDictionary]):
    """Application dictionaries by ApplVerID, loaded when a message asks for one."""

    def __init__(self, changed: dict[str, DataDictionary]) -> None:
        self._changed = changed

    def __getitem__(self, appl_ver_id: str) -> DataDictionary:
        if appl_ver_id not in APPL_VERSIONS:
            raise KeyError(appl_ver_id)
        return self._changed.get(appl_ver_id) or load(appl_ver_id)

    def __iter__(self) -> Iterator[str]:
        return iter(APPL_VERSIONS)

    def __len__(self) -> int:
        return len(APPL_VERSIONS)


def validator_for(
    begin_string: str,
    default_appl_ver_id: str = "9",
    validation: Validation | None = None,
    overlay_path: str | Path | None = None,
) -> Validator:
    """The validator of sessions with these settings.

    Parameters
    ----------
    begin_string:
        Version of the session; FIXT.1.1 takes application messages of all versions.
    default_appl_ver_id:
        FIXT.1.1: the application version ("7", "8", "9") that the overlay changes.
    overlay_path:
        A venue's TOML file. In FIXT.1.1 its session messages, header and trailer change the
        transport's dictionary, the rest the application's; fields count for both.

    Raises
    ------
    DictionaryError
        When there is no such version, or the overlay does not fit it.
    """
    return _validator_for(begin_string, default_appl_ver_id, validation or Validation(), overlay_path)


@cache
def _validator_for(
    begin_string: str, default_appl_ver_id: str, validation: Validation, overlay_path: str | Path | None
) -> Validator:
    transport = load(begin_string)
    if transport.version != FIXT:
        if not transport.header:
            raise DictionaryError(f"{begin_string} is no session protocol; sessions of it speak {FIXT}")
        return Validator(transport if overlay_path is None else overlay(transport, overlay_path), None, validation)
    if default_appl_ver_id not in APPL_VERSIONS:
        raise DictionaryError(
            f"default_appl_ver_id must be one of {', '.join(APPL_VERSIONS)}, was {default_appl_ver_id!r}"
        )
    changed: dict[str, DataDictionary] = {}
    if overlay_path is not None:
        where, table = read_overlay(overlay_path)
        application = load(default_appl_ver_id)
        ours, theirs = _divide(table, transport, application)
        transport = overlay(transport, ours, where)
        changed[default_appl_ver_id] = overlay(application, theirs, where)
    return Validator(transport, _Applications(changed), validation)


def _divide(table: Table, transport: DataDictionary, application: DataDictionary) -> tuple[Table, Table]:
    """What of an overlay belongs to the transport, and what to the application.

    A new field (name and type given) belongs to both, a change of a known one to who knows it.
    """
    messages, fields = table.get("messages", {}), table.get("fields", {})
    ours = {key: value for key, value in table.items() if key != "messages"}
    theirs = {key: value for key, value in table.items() if key not in ("header", "trailer")}
    if isinstance(messages, Mapping):
        ours["messages"] = {name: change for name, change in messages.items() if name in ADMIN_TYPES}
        theirs["messages"] = {name: change for name, change in messages.items() if name not in ADMIN_TYPES}
    if isinstance(fields, Mapping):
        ours["fields"] = {key: value for key, value in fields.items() if _concerns(transport, key, value)}
        theirs["fields"] = {
            key: value
            for key, value in fields.items()
            if _concerns(application, key, value) or key not in ours["fields"]
        }
    return ours, theirs


def _concerns(dictionary: DataDictionary, key: str, change: object) -> bool:
    fresh = isinstance(change, Mapping) and key.isdigit() and {"name", "type"} <= change.keys()
    return fresh or dictionary.knows(key)
