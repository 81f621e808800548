"""Verdicts on a message: the reasons, their texts, and the catalogue of them all.

The texts are the ones that counterparties know from the reference engines; some of them route
their alarms by text.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec


class RejectReason(IntEnum):
    """SessionRejectReason(373)."""

    INVALID_TAG = 0
    REQUIRED_TAG_MISSING = 1
    TAG_NOT_DEFINED_FOR_TYPE = 2
    UNDEFINED_TAG = 3
    TAG_WITHOUT_VALUE = 4
    VALUE_INCORRECT = 5
    FORMAT_INCORRECT = 6
    DECRYPTION_PROBLEM = 7
    SIGNATURE_PROBLEM = 8
    COMP_ID_PROBLEM = 9
    SENDING_TIME_PROBLEM = 10
    INVALID_MSG_TYPE = 11
    XML_PROBLEM = 12
    TAG_REPEATED = 13
    TAG_OUT_OF_ORDER = 14
    GROUP_OUT_OF_ORDER = 15
    GROUP_COUNT_INCORRECT = 16
    DELIMITER_IN_VALUE = 17
    APPL_VERSION_UNSUPPORTED = 18


class BusinessReason(IntEnum):
    """BusinessRejectReason(380)."""

    OTHER = 0
    UNKNOWN_ID = 1
    UNKNOWN_SECURITY = 2
    UNSUPPORTED_MSG_TYPE = 3
    APPLICATION_NOT_AVAILABLE = 4
    REQUIRED_FIELD_MISSING = 5
    NOT_AUTHORIZED = 6
    DELIVER_TO_FIRM_NOT_AVAILABLE = 7


#: Text(58) that goes with each reason of a session-level Reject(3).
REJECT_TEXT: dict[RejectReason, str] = {
    RejectReason.INVALID_TAG: "Invalid tag number",
    RejectReason.REQUIRED_TAG_MISSING: "Required tag missing",
    RejectReason.TAG_NOT_DEFINED_FOR_TYPE: "Tag not defined for this message type",
    RejectReason.UNDEFINED_TAG: "Undefined tag",
    RejectReason.TAG_WITHOUT_VALUE: "Tag specified without a value",
    RejectReason.VALUE_INCORRECT: "Value is incorrect (out of range) for this tag",
    RejectReason.FORMAT_INCORRECT: "Incorrect data format for value",
    RejectReason.DECRYPTION_PROBLEM: "Decryption problem",
    RejectReason.SIGNATURE_PROBLEM: "Signature problem",
    RejectReason.COMP_ID_PROBLEM: "CompID problem",
    RejectReason.SENDING_TIME_PROBLEM: "SendingTime accuracy problem",
    RejectReason.INVALID_MSG_TYPE: "Invalid MsgType",
    RejectReason.XML_PROBLEM: "XML validation error",
    RejectReason.TAG_REPEATED: "Tag appears more than once",
    RejectReason.TAG_OUT_OF_ORDER: "Tag specified out of required order",
    RejectReason.GROUP_OUT_OF_ORDER: "Repeating group fields out of order",
    RejectReason.GROUP_COUNT_INCORRECT: "Incorrect NumInGroup count for repeating group",
    RejectReason.DELIMITER_IN_VALUE: "Non-data value includes field delimiter",
    RejectReason.APPL_VERSION_UNSUPPORTED: "Invalid or unsupported application version",
}

#: Text(58) that goes with each reason of a BusinessMessageReject(j).
BUSINESS_TEXT: dict[BusinessReason, str] = {
    BusinessReason.OTHER: "Other",
    BusinessReason.UNKNOWN_ID: "Unknown ID",
    BusinessReason.UNKNOWN_SECURITY: "Unknown Security",
    BusinessReason.UNSUPPORTED_MSG_TYPE: "Unsupported Message Type",
    BusinessReason.APPLICATION_NOT_AVAILABLE: "Application not available",
    BusinessReason.REQUIRED_FIELD_MISSING: "Conditionally Required Field Missing",
    BusinessReason.NOT_AUTHORIZED: "Not authorized",
    BusinessReason.DELIVER_TO_FIRM_NOT_AVAILABLE: "DeliverTo firm not available at this time",
}

_REJECT_WHEN: dict[RejectReason, str] = {
    RejectReason.INVALID_TAG: "a tag is not in the session's dictionary (nor user-defined, where those are let pass)",
    RejectReason.REQUIRED_TAG_MISSING: "a required field of header, body, trailer or group entry is absent; "
    "PossDupFlag=Y without OrigSendingTime",
    RejectReason.TAG_NOT_DEFINED_FOR_TYPE: "the tag exists, but not in this message",
    RejectReason.TAG_WITHOUT_VALUE: "nothing stands between '=' and SOH",
    RejectReason.VALUE_INCORRECT: "the value is none of the enumerated ones",
    RejectReason.FORMAT_INCORRECT: "the value does not read as the field's type",
    RejectReason.COMP_ID_PROBLEM: "SenderCompID or TargetCompID is not the session's; a Logout follows",
    RejectReason.SENDING_TIME_PROBLEM: "SendingTime is too far from our clock, or OrigSendingTime after it; "
    "a Logout follows",
    RejectReason.INVALID_MSG_TYPE: "the dictionary has no such message",
    RejectReason.TAG_REPEATED: "a tag outside a repeating group stands twice",
    RejectReason.TAG_OUT_OF_ORDER: "a header field after the body, or a body field after the trailer",
    RejectReason.GROUP_OUT_OF_ORDER: "strict validation: an entry does not follow the order of the group's fields",
    RejectReason.GROUP_COUNT_INCORRECT: "NumInGroup is not the number of entries that follow",
    RejectReason.APPL_VERSION_UNSUPPORTED: "FIXT.1.1: no dictionary for the message's application version",
}
_BUSINESS_WHEN: dict[BusinessReason, str] = {
    BusinessReason.OTHER: "the application refuses for a reason of its own; the text says which",
    BusinessReason.UNKNOWN_ID: "the message names an identifier that is not known",
    BusinessReason.UNKNOWN_SECURITY: "the instrument is not known",
    BusinessReason.UNSUPPORTED_MSG_TYPE: "the message is sound, the application does not handle it",
    BusinessReason.APPLICATION_NOT_AVAILABLE: "the application is not running",
    BusinessReason.REQUIRED_FIELD_MISSING: "an application message without a field that this session needs",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a message is refused, and which tag is to blame (None: no single one).

    ``business``: the refusal is a BusinessMessageReject(j) with this reason where the version has
    that message, since the header field at fault is missing from an application message.
    """

    reason: RejectReason
    ref_tag: int | None = None
    business: BusinessReason | None = None

    @property
    def text(self) -> str:
        """Text(58) of the Reject."""
        return REJECT_TEXT[self.reason]


class CatalogueRow(msgspec.Struct, frozen=True):
    """One line of the documentation's table of rejects."""

    message: str
    tag: int
    code: int
    text: str
    when: str


def reject_catalogue() -> Iterator[CatalogueRow]:
    """Every reject that a session may send, in the order of message and code."""
    for reason, when in _REJECT_WHEN.items():
        yield CatalogueRow("Reject (3)", 373, int(reason), REJECT_TEXT[reason], when)
    for business, when in _BUSINESS_WHEN.items():
        yield CatalogueRow("BusinessMessageReject (j)", 380, int(business), BUSINESS_TEXT[business], when)
