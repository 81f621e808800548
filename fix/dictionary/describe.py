"""A message as a person reads it: names beside numbers, groups indented, secrets masked."""

from collections.abc import Iterator, Mapping

from fix.dictionary.formats import MULTIPLE_VALUE_TYPES
from fix.dictionary.groups import Entry, split
from fix.dictionary.loading import APPL_VERSIONS, VERSIONS, load
from fix.dictionary.model import DataDictionary, FieldDefinition
from fix.errors import GarbledMessageError
from fix.messages import SOH, mask_secrets, split_fields

#: Password, NewPassword, EncryptedPassword, EncryptedNewPassword, RawData, SecureData, Signature.
SECRET_TAGS = frozenset((554, 925, 1402, 1404, 96, 91, 89))
MASK = "********"


def describe(raw: bytes, application: DataDictionary | None = None, transport: DataDictionary | None = None) -> str:
    """One line per field. Never fails: what cannot be read is said, and shown as it stands.

    Without dictionaries those of the message's own BeginString and ApplVerID are taken.
    """
    try:
        if raw[-1:] != SOH:
            raise GarbledMessageError("does not end with SOH")
        fields = split_fields(raw)
    except GarbledMessageError as error:
        return f"unreadable ({error}): {mask_secrets(raw)[:200].replace(SOH, b'|')!r}"
    first: dict[int, bytes] = {}
    for tag, value in fields:
        first.setdefault(tag, value)
    if application is None:
        transport, application = _dictionaries(first)
    carrier = transport or application
    msg_type = first.get(35, b"").decode("latin-1")
    definition = application.message(msg_type) or carrier.message(msg_type)
    parts = split(fields, carrier.header, carrier.trailer, definition.members if definition else {})
    lines = [f"{definition.name if definition else 'unknown message'} ({msg_type}), {carrier.version}"]
    for entry, dictionary in ((parts.header, carrier), (parts.body, application), (parts.trailer, carrier)):
        lines += _lines(entry, (dictionary, carrier), 1)
    return "\n".join(lines)


def _dictionaries(first: Mapping[int, bytes]) -> tuple[DataDictionary, DataDictionary]:
    """(transport, application) that the message itself names, FIX.4.4 where it names none."""
    begin_string = first.get(8, b"").decode("latin-1")
    if begin_string not in VERSIONS:
        begin_string = "FIX.4.4"
    transport = load(begin_string)
    if transport.version != "FIXT.1.1":
        return transport, transport
    version = first.get(1128, first.get(1137, b"9")).decode("latin-1")
    return transport, load(version if version in APPL_VERSIONS else "9")


def _lines(entry: Entry, dictionaries: tuple[DataDictionary, ...], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for tag, value in entry.fields:
        field = next((found for found in (d.field(tag) for d in dictionaries) if found is not None), None)
        yield f"{indent}{field.name if field else '?'}({tag}) = {_value(tag, value, field)}"
        for number, inner in enumerate(entry.groups.get(tag, ()), 1):
            yield f"{indent}  [{number}]"
            yield from _lines(inner, dictionaries, depth + 2)


def _value(tag: int, value: bytes, field: FieldDefinition | None) -> str:
    if tag in SECRET_TAGS:
        return MASK
    text = value.decode("latin-1")
    shown = text if text.isprintable() else repr(value)[2:-1]
    if field is None or not field.values:
        return shown
    parts = text.split(" ") if field.type in MULTIPLE_VALUE_TYPES else [text]
    names = [field.values.get(part, "not enumerated") for part in parts]
    return f"{shown} ({', '.join(names)})"
