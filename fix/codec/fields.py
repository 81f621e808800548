"""Which FIX tags the hot path knows, and why it stops: slots, the tag table, stop and hand-over codes.

A known tag has a *slot*: a small number under which the index pass stores where its value stands.
Header slots come first, so that "header field after a body field" is one comparison.
The tables are constants of the kernels (market.jit compiles them in).
"""

from enum import IntEnum

import numpy as np


class Role(IntEnum):
    """Which end of the session we are: what :func:`fix.codec.decode` takes as hot."""

    CLIENT = 0  # takes 8, 9, W, X
    VENUE = 1  # takes D, F, G, q


class StopReason(IntEnum):
    """Why ``decode`` returned."""

    NEED_MORE = 0  # all whole messages are consumed; what is left is incomplete
    HAND_OVER = 1  # the next bytes are for the session machine
    OUT_FULL = 2  # the next message does not fit into ``out``


class HandOver(IntEnum):
    """What about a message made it one for the session machine."""

    NONE = 0
    GARBLED = 1  # BeginString, BodyLength or CheckSum
    TOO_LARGE = 2  # BodyLength or field count beyond what the hot path takes
    MESSAGE_TYPE = 3  # not one of this role's hot types
    STRUCTURE = 4  # tag unreadable, repeated, empty, out of order, or one that routes or encrypts
    MISSING_FIELD = 5  # a field that the message cannot be understood without
    COMP_ID = 6  # SenderCompID or TargetCompID is not this session's
    SEQUENCE = 7  # MsgSeqNum is not the expected one, or unreadable
    POSSIBLE_DUPLICATE = 8  # PossDupFlag or PossResend
    SENDING_TIME = 9  # unreadable, or too far from now
    UNSUPPORTED = 10  # an instruction that the conventions do not have, or an id of another form
    GROUP = 11  # repeating group: entry count, order or sides not as stated


class EncodeStop(IntEnum):
    """Why an encoder returned."""

    DONE = 0
    OUT_FULL = 1  # not MESSAGE_ROOM bytes, or no element of ``ends``, left
    BAD_ROW = 2  # the next row cannot be put on the wire


class Slot(IntEnum):
    """Where the index pass puts a known tag's value; the comment is the tag."""

    MSG_TYPE = 0  # 35
    SENDER_COMP_ID = 1  # 49
    TARGET_COMP_ID = 2  # 56
    MSG_SEQ_NUM = 3  # 34
    SENDING_TIME = 4  # 52
    POSS_DUP_FLAG = 5  # 43
    POSS_RESEND = 6  # 97
    ORIG_SENDING_TIME = 7  # 122
    CL_ORD_ID = 8  # 11; first body slot
    ORIG_CL_ORD_ID = 9  # 41
    ORDER_ID = 10  # 37
    EXEC_ID = 11  # 17
    EXEC_TYPE = 12  # 150
    ORD_STATUS = 13  # 39
    SYMBOL = 14  # 55
    SIDE = 15  # 54
    ORDER_QTY = 16  # 38
    PRICE = 17  # 44
    LAST_QTY = 18  # 32
    LAST_PX = 19  # 31
    LEAVES_QTY = 20  # 151
    CUM_QTY = 21  # 14
    COMMISSION = 22  # 12
    COMM_TYPE = 23  # 13
    TRANSACT_TIME = 24  # 60
    ORD_REJ_REASON = 25  # 103
    CXL_REJ_REASON = 26  # 102
    CXL_REJ_RESPONSE_TO = 27  # 434
    MASS_STATUS_REQ_ID = 28  # 584
    TOT_NUM_REPORTS = 29  # 911
    LAST_RPT_REQUESTED = 30  # 912
    ORD_TYPE = 31  # 40
    TIME_IN_FORCE = 32  # 59
    EXEC_INST = 33  # 18
    MASS_CANCEL_REQUEST_TYPE = 34  # 530
    MASS_STATUS_REQ_TYPE = 35  # 585
    NO_MD_ENTRIES = 36  # 268: the index pass stops here
    EXEC_REF_ID = 37  # 19
    SECONDARY_CL_ORD_ID = 38  # 526
    # Entry fields of W and X. The index pass refuses them before 268 (STRUCTURE).
    MD_ENTRY_TYPE = 39  # 269
    MD_ENTRY_PX = 40  # 270
    MD_ENTRY_SIZE = 41  # 271
    MD_ENTRY_POSITION = 42  # 290
    MD_UPDATE_ACTION = 43  # 279
    QUOTE_CONDITION = 44  # 276


def slot_bits(*slots: Slot) -> np.uint64:
    """Set of slots as the word that ``index_fields`` gives for what it has seen."""
    return np.uint64(sum(1 << int(slot) for slot in slots))


FIRST_BODY_SLOT = int(Slot.CL_ORD_ID)
FIRST_ENTRY_SLOT = int(Slot.MD_ENTRY_TYPE)
SLOTS = 64  # a set of slots fits one word
LAST_TABLE_TAG = 1023

# Negative table entries: not a slot.
OTHER = -1  # not known here: information in a report, an instruction nobody may ignore in an order
HARMLESS = -2  # allowed in an order: says nothing about how to execute it
DATA_LENGTH = -3  # the next field, tag + 1, has a value of this many bytes and may hold SOH
REFUSE = -4  # routing, encryption, or a field that has no place in a body: session machine
HEADER_EXTRA = -5  # header fields that change nothing: SenderSubID and the like

_SLOT_TAGS = {
    35: Slot.MSG_TYPE, 49: Slot.SENDER_COMP_ID, 56: Slot.TARGET_COMP_ID, 34: Slot.MSG_SEQ_NUM,
    52: Slot.SENDING_TIME, 43: Slot.POSS_DUP_FLAG, 97: Slot.POSS_RESEND, 122: Slot.ORIG_SENDING_TIME,
    11: Slot.CL_ORD_ID, 41: Slot.ORIG_CL_ORD_ID, 37: Slot.ORDER_ID, 17: Slot.EXEC_ID, 150: Slot.EXEC_TYPE,
    39: Slot.ORD_STATUS, 55: Slot.SYMBOL, 54: Slot.SIDE, 38: Slot.ORDER_QTY, 44: Slot.PRICE, 32: Slot.LAST_QTY,
    31: Slot.LAST_PX, 151: Slot.LEAVES_QTY, 14: Slot.CUM_QTY, 12: Slot.COMMISSION, 13: Slot.COMM_TYPE,
    60: Slot.TRANSACT_TIME, 103: Slot.ORD_REJ_REASON, 102: Slot.CXL_REJ_REASON, 434: Slot.CXL_REJ_RESPONSE_TO,
    584: Slot.MASS_STATUS_REQ_ID, 911: Slot.TOT_NUM_REPORTS, 912: Slot.LAST_RPT_REQUESTED, 40: Slot.ORD_TYPE,
    59: Slot.TIME_IN_FORCE, 18: Slot.EXEC_INST, 530: Slot.MASS_CANCEL_REQUEST_TYPE,
    585: Slot.MASS_STATUS_REQ_TYPE, 19: Slot.EXEC_REF_ID, 526: Slot.SECONDARY_CL_ORD_ID,
    268: Slot.NO_MD_ENTRIES, 269: Slot.MD_ENTRY_TYPE, 270: Slot.MD_ENTRY_PX,
    271: Slot.MD_ENTRY_SIZE, 290: Slot.MD_ENTRY_POSITION, 279: Slot.MD_UPDATE_ACTION, 276: Slot.QUOTE_CONDITION,
}  # fmt: skip

# Account, Currency, HandlInst, Text, PositionEffect, CustomerOrFirm, OrderCapacity.
_HARMLESS_TAGS = (1, 15, 21, 58, 77, 204, 528)
# RawDataLength, SignatureLength, SecureDataLen and XmlDataLen are refused: their headers are the machine's.
_DATA_LENGTH_TAGS = (348, 350, 352, 354, 356, 358, 360, 362, 364, 445, 618, 621)
# SenderSubID, TargetSubID, SenderLocationID, TargetLocationID, LastMsgSeqNumProcessed.
_HEADER_EXTRA_TAGS = (50, 57, 142, 143, 369)
# BeginString, BodyLength, CheckSum; SecureData, Signature, RawData, XmlData; OnBehalfOf*, DeliverTo*; encoding.
# Last, raw data that stands alone: where it ends is not known (behind its length it is not looked at).
_REFUSED_TAGS = (8, 9, 10, 89, 90, 91, 93, 95, 96, 115, 116, 128, 129, 144, 145, 212, 213, 347,
                 *(tag + 1 for tag in _DATA_LENGTH_TAGS))  # fmt: skip


def _tag_table() -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Slot or class of each tag below 1024."""
    table = np.full(LAST_TABLE_TAG + 1, OTHER, np.int8)
    table[0] = REFUSE
    for tag, slot in _SLOT_TAGS.items():
        table[tag] = slot
    table[list(_HARMLESS_TAGS)] = HARMLESS
    table[list(_DATA_LENGTH_TAGS)] = DATA_LENGTH
    table[list(_HEADER_EXTRA_TAGS)] = HEADER_EXTRA
    table[list(_REFUSED_TAGS)] = REFUSE
    return table


#: int8[1024]: slot (>= 0) or one of the negative classes above.
TAG_TABLE = _tag_table()
