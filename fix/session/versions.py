"""What differs between the FIX versions at session level, as one table; nothing else asks for a version.

FIX.4.0 and 4.1 stamp whole seconds, have no reason codes in a Reject and ask for "all" by 999999;
FIX.4.2 brought milliseconds, reasons, and BusinessMessageReject; FIXT.1.1 carries the application
messages of any version and names it by DefaultApplVerID(1137) and ApplVerID(1128).
"""

from enum import IntEnum

import msgspec

from fix.errors import SettingsError


class TimestampPrecision(IntEnum):
    """Decimals of a second in SendingTime(52) and OrigSendingTime(122)."""

    SECONDS = 0
    MILLIS = 3
    MICROS = 6
    NANOS = 9


class VersionRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one BeginString behaves."""

    begin_string: str
    precision: TimestampPrecision = TimestampPrecision.MILLIS
    #: Finer stamps than milliseconds may be asked for.
    fine_timestamps: bool = False
    #: EndSeqNo(16) that asks for everything.
    all_messages: int = 0
    #: Reject(3) has RefTagID(371), RefMsgType(372) and SessionRejectReason(373); without them the
    #: tag stands in brackets behind the text.
    reject_reasons: bool = True
    #: Highest SessionRejectReason(373) that the version knows.
    last_reject_reason: int = 99
    #: BusinessMessageReject(j) exists; without it an application message is refused by Reject(3).
    business_reject: bool = True
    #: ResetSeqNumFlag(141) exists.
    reset_flag: bool = True
    #: OnBehalfOfLocationID(144) and DeliverToLocationID(145) exist.
    location_ids: bool = True
    #: LastMsgSeqNumProcessed(369) exists.
    last_processed: bool = True
    #: NextExpectedMsgSeqNum(789) exists.
    next_expected: bool = False
    #: DefaultApplVerID(1137) is required in a Logon.
    appl_ver_id: bool = False


_RULES = {
    rules.begin_string: rules
    for rules in (
        VersionRules(
            begin_string="FIX.4.0", precision=TimestampPrecision.SECONDS, all_messages=999_999, reject_reasons=False,
            business_reject=False, reset_flag=False, location_ids=False, last_processed=False,
        ),
        VersionRules(
            begin_string="FIX.4.1", precision=TimestampPrecision.SECONDS, all_messages=999_999, reject_reasons=False,
            business_reject=False, last_processed=False,
        ),
        VersionRules(begin_string="FIX.4.2", last_reject_reason=11),
        VersionRules(begin_string="FIX.4.3"),
        VersionRules(begin_string="FIX.4.4", fine_timestamps=True, next_expected=True),
        VersionRules(begin_string="FIXT.1.1", fine_timestamps=True, next_expected=True, appl_ver_id=True),
    )
}  # fmt: skip

BEGIN_STRINGS = tuple(_RULES)

#: ApplVerID(1128) and DefaultApplVerID(1137) by code.
APPL_VER_IDS = {
    "0": "FIX.2.7", "1": "FIX.3.0", "2": "FIX.4.0", "3": "FIX.4.1", "4": "FIX.4.2", "5": "FIX.4.3", "6": "FIX.4.4",
    "7": "FIX.5.0", "8": "FIX.5.0SP1", "9": "FIX.5.0SP2",
}  # fmt: skip


def rules(begin_string: str) -> VersionRules:
    """Rules of one BeginString.

    Raises
    ------
    SettingsError
        When it is none that is spoken here.
    """
    found = _RULES.get(begin_string)
    if found is None:
        raise SettingsError(
            f"begin_string must be one of {', '.join(BEGIN_STRINGS)}, was {begin_string!r}"
            + ("; FIX.5.0 is FIXT.1.1 with default_appl_ver_id" if begin_string.startswith("FIX.5.0") else "")
        )
    return found


def appl_ver_id(version: str) -> str:
    """Code of an application version: ``"9"`` for ``"FIX.5.0SP2"``; a code is returned as it is.

    Raises
    ------
    SettingsError
        When there is no such version.
    """
    for code, name in APPL_VER_IDS.items():
        if version in (code, name):
            return code
    raise SettingsError(f"application version must be one of {', '.join(APPL_VER_IDS.values())}, was {version!r}")
