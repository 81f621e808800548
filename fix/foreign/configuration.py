"""A session's settings in quickfix's words, and its dictionaries in quickfix's XML.

What quickfix cannot do is refused here, when the session is built, never ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from fix.dictionary import DataDictionary, Validation, Validator, load, overlay
from fix.dictionary.layout import Layout, parse_layout
from fix.errors import SettingsError
from fix.foreign.records import SessionSpec
from fix.foreign.store import QuickfixStore
from fix.session import Role, SessionSettings

#: Settings of ours without a counterpart, and the only value that they may have.
_ONLY: dict[str, object] = {
    "last_msg_seq_num_processed": False,
    "resend_chunk_size": 0,
    "closed_resend_interval": False,
    "test_request_after": 1.2,
    "disconnect_after": 2.4,
    "allow_poss_dup": False,
    "require_orig_sending_time": True,
}
_SECRET_TAGS = (554, 925, 96)
_HEADER = {
    50: "sender_sub_id", 57: "target_sub_id", 142: "sender_location_id", 143: "target_location_id",
    115: "on_behalf_of_comp_id", 116: "on_behalf_of_sub_id", 144: "on_behalf_of_location_id",
    128: "deliver_to_comp_id", 129: "deliver_to_sub_id", 145: "deliver_to_location_id",
}  # fmt: skip


#: What our own venues add to FIX, inside a group: without it quickfix would tear a SecurityList apart.
_DIALECT: dict[str, Any] = {
    "fields": {
        str(tag): {"name": name, "type": "INT"}
        for tag, name in enumerate(("VenueIndex", "TickRule", "PriceScale", "ExpiryNs", "OptionStyle"), 5001)
    },
    "messages": {"y": {"groups": {"NoRelatedSym": {"add": ["5001", "5002", "5003", "5004", "5005"]}}}},
}
#: Without a dictionary of one's own: what a venue adds beyond the standard is let through.
LENIENT = Validation(validate_user_defined_fields=False)


def check_settings(settings: SessionSettings, validation: Validation = LENIENT) -> None:
    """Refuse what quickfix cannot do.

    Raises
    ------
    SettingsError
        Naming the setting, its value and the way out.
    """
    defaults = SessionSettings(sender_comp_id="A", target_comp_id="B", role=Role.INITIATOR)
    for name, only in _ONLY.items():
        value = getattr(settings, name, only)
        if value != only:
            raise SettingsError(
                f'{settings.name}: engine "quickfix" cannot do {name} = {value!r} (only {only!r}); '
                'use engine "axiom" or drop it'
            )
    policy = getattr(settings, "test_request_policy", None)
    if policy != getattr(defaults, "test_request_policy", None):
        raise SettingsError(f'{settings.name}: engine "quickfix" has its own test request policy, was {policy}')
    for name in ("check_required", "strict"):
        if getattr(validation, name) != getattr(LENIENT, name):
            raise SettingsError(
                f'{settings.name}: engine "quickfix" cannot do {name} = {getattr(validation, name)}; leave it out'
            )
    for name in ("logon_timeout_s", "logout_timeout_s"):
        if getattr(settings, name) < 1:
            raise SettingsError(
                f'{settings.name}: engine "quickfix" counts in seconds: {name} must be >= 1, '
                f"was {getattr(settings, name)}"
            )
    if settings.raw_data and not _is_text(settings.raw_data):
        raise SettingsError(
            f'{settings.name}: engine "quickfix" takes text alone: raw_data must be UTF-8, '
            f"was {len(settings.raw_data)} bytes that are not"
        )
    for name in (settings.sender_comp_id, settings.target_comp_id, *(getattr(settings, n) for n in _HEADER.values())):
        if any(char in name for char in "\n\r#[]=:>"):
            raise SettingsError(f"{settings.name}: a CompID or SubID must not contain any of '#[]=:>', was {name!r}")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def session_spec(
    settings: SessionSettings, store: QuickfixStore, books: Mapping[Path, DataDictionary], *,
    ask: bool, numbers: tuple[int, int], enabled: bool,
) -> SessionSpec:  # fmt: skip
    """The session as its worker has to run it; ``ask``: each Logon of the peer is put before the parent."""
    logon: list[tuple[int, bytes]] = []
    if settings.role is Role.INITIATOR:
        for tag, value in ((553, settings.username), (554, settings.password), (925, settings.new_password)):
            if value:
                logon.append((tag, value.encode()))
        if settings.raw_data:
            logon += [(95, b"%d" % len(settings.raw_data)), (96, settings.raw_data)]
    logon += [(tag, value.encode()) for tag, value in settings.logon_fields]
    header = tuple((tag, value) for tag, name in _HEADER.items() if (value := getattr(settings, name)))
    return SessionSpec(
        settings.begin_string,
        settings.sender_comp_id,
        settings.target_comp_id,
        str(store.spool_path),
        str(store.files),
        tuple(map(str, books)),
        tuple(sorted(set().union(*map(special_tags, books.values())))),
        settings.stale_types,
        tuple(logon),
        header,
        _SECRET_TAGS,
        settings.recover_by_reset,
        ask,
        *numbers,
        enabled,
    )


def _yes(value: bool) -> str:
    return "Y" if value else "N"


def session_section(settings: SessionSettings, files: Path, paths: Sequence[Path], validation: Validation) -> str:
    """One ``[SESSION]`` of quickfix's configuration file."""
    values: dict[str, str] = {
        "BeginString": settings.begin_string,
        "SenderCompID": settings.sender_comp_id,
        "TargetCompID": settings.target_comp_id,
        "FileStorePath": str(files),
        "NonStopSession": "Y",
        "ResetOnLogon": _yes(settings.reset_on_logon),
        "ResetOnLogout": _yes(settings.reset_on_logout),
        "ResetOnDisconnect": _yes(settings.reset_on_disconnect),
        "RefreshOnLogon": _yes(settings.refresh_on_logon),
        "SendNextExpectedMsgSeqNum": _yes(settings.next_expected_msg_seq_num),
        "SendRedundantResendRequests": _yes(settings.send_redundant_resend_requests),
        "CheckLatency": _yes(settings.check_latency),
        "MaxLatency": str(max(1, round(settings.check_latency_s))),
        "CheckCompID": _yes(settings.check_comp_id),
        "LogonTimeout": str(round(settings.logon_timeout_s)),
        "LogoutTimeout": str(round(settings.logout_timeout_s)),
        "ValidateFieldsOutOfOrder": _yes(validation.validate_fields_out_of_order),
        "ValidateFieldsHaveValues": _yes(validation.validate_fields_have_values),
        "ValidateUserDefinedFields": _yes(validation.validate_user_defined_fields),
        "AllowUnknownMsgFields": _yes(validation.allow_unknown_msg_fields),
        "UseDataDictionary": "Y",
    }
    if settings.timestamp_precision is not None:
        values["TimestampPrecision"] = str(int(settings.timestamp_precision.value))
    if settings.role is Role.INITIATOR:
        values["HeartBtInt"] = str(settings.heartbeat_interval_s)
    if len(paths) == 2:
        values["DefaultApplVerID"] = settings.default_appl_ver_id
        values["TransportDataDictionary"], values["AppDataDictionary"] = map(str, paths)
    else:
        values["DataDictionary"] = str(paths[0])
    return _section("SESSION", values)


def default_section(
    role: Role, hosts: Iterable[tuple[str, int]], reconnect_s: float, extra: Mapping[str, str] | None = None
) -> str:
    """The ``[DEFAULT]`` section: where to connect or listen."""
    values = {"ConnectionType": role.value, "SocketNodelay": "Y", "SocketReuseAddress": "Y", "PersistMessages": "Y"}
    for number, (host, port) in enumerate(hosts):
        if role is Role.ACCEPTOR:
            values |= {"SocketAcceptHost": host, "SocketAcceptPort": str(port)}
        else:
            suffix = str(number) if number else ""
            values |= {f"SocketConnectHost{suffix}": host, f"SocketConnectPort{suffix}": str(port)}
    if role is Role.INITIATOR:
        values["ReconnectInterval"] = str(max(1, round(reconnect_s)))
    return _section("DEFAULT", values | dict(extra or {}))


def _section(name: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        if "\n" in value or "\r" in value or not value:
            raise SettingsError(f"{key} must be one line and not empty, was {value!r}")
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""])


# ---------------------------------------------------------------- dictionaries


def special_tags(book: DataDictionary) -> set[int]:
    """Tags that quickfix understands only by the dictionary: counts of groups, lengths of raw data."""
    return {int(tag) for tag in re.findall(r"<(\d+)", book.source.text())} | set(book.data_tags)


@cache
def _with_dialect(version: str) -> DataDictionary:
    book = load(version)
    return overlay(book, _DIALECT, "dialect") if "y" in book.msg_types else book


def _own(book: DataDictionary, validation: Validation) -> DataDictionary:
    """``book``, with our own dialect where it is a stock one and a venue's fields are let through anyway."""
    lenient = not validation.validate_user_defined_fields
    return _with_dialect(book.version) if lenient and book is load(book.version) else book


def write_dictionaries(
    settings: SessionSettings, directory: Path, validator: Validator | None = None
) -> dict[Path, DataDictionary]:
    """Write what the session speaks as XML; dictionaries by file, the transport's first.

    ``validator`` carries a venue's overlay. It matters more here than elsewhere: quickfix sorts
    the fields of a repeating group that it does not know, and the message is ruined.
    """
    transport = None if validator is None else validator.transport
    if validator is not None and transport is not None:
        transport = _own(transport, validator.validation)
    fixt = settings.begin_string == "FIXT.1.1"
    books = [transport or (load(settings.begin_string) if fixt else _with_dialect(settings.begin_string))]
    if fixt:
        application = None if validator is None else validator.application
        if isinstance(application, Mapping):
            application = application[settings.default_appl_ver_id]
        if validator is not None and application is not None:
            application = _own(application, validator.validation)
        books.append(application or _with_dialect(settings.default_appl_ver_id))
    written = {}
    for book in books:
        path = directory / f"{book.version}.xml"
        text = dictionary_xml(book)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            new = path.with_suffix(".new")
            new.write_text(text, encoding="utf-8")
            new.replace(path)
        written[path] = book
    return written


def _version(version: str) -> str:
    kind, major, rest = version.split(".", 2)
    minor, _, pack = rest.partition("SP")
    return f'type="{kind}" major="{major}" minor="{minor}" servicepack="{pack or 0}"'


def _nodes(book: DataDictionary, layout: Layout, depth: int) -> Iterable[str]:
    blank = " " * depth
    for node in layout:
        required = "Y" if node.required else "N"
        if node.component:
            yield f'{blank}<component name={quoteattr(node.component)} required="{required}"/>'
            continue
        name = quoteattr(book.name(node.tag))
        if node.children is None:
            yield f'{blank}<field name={name} required="{required}"/>'
        else:
            yield f'{blank}<group name={name} required="{required}">'
            yield from _nodes(book, node.children, depth + 1)
            yield f"{blank}</group>"


def dictionary_xml(book: DataDictionary) -> str:
    """One dictionary in the XML that quickfix reads."""
    source = book.source
    lines = [f"<fix {_version(book.version)}>"]
    for name, text in (("header", source.header), ("trailer", source.trailer)):
        lines += [f" <{name}>", *_nodes(book, parse_layout(text.split()), 2), f" </{name}>"]
    lines.append(" <messages>")
    for msg_type in book.msg_types:
        name, category, *_ = source.messages[msg_type].split()
        named = f"name={quoteattr(name)} msgtype={quoteattr(msg_type)} msgcat={quoteattr(category)}"
        lines += [f"  <message {named}>", *_nodes(book, book.layout(msg_type), 3), "  </message>"]
    lines += [" </messages>", " <components>"]
    for name, layout in book.components.items():
        lines += [f"  <component name={quoteattr(name)}>", *_nodes(book, layout, 3), "  </component>"]
    lines += [" </components>", " <fields>", *_fields(book), " </fields>", "</fix>", ""]
    return "\n".join(lines)


def _fields(book: DataDictionary) -> Iterable[str]:
    for tag in book.tags:
        field = book.field(tag)
        assert field is not None
        opening = f'  <field number="{tag}" name={quoteattr(field.name)} type={quoteattr(field.type)}'
        if not field.values:
            yield f"{opening}/>"
            continue
        yield f"{opening}>"
        for value, name in field.values.items():
            yield f"   <value enum={quoteattr(value)} description={quoteattr(name)}/>"
        yield "  </field>"
