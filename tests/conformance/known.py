"""Where we differ from the reference engine on purpose, and why. Everything else must be equal."""

#: script -> reason; a version is named where only some differ.
KNOWN: dict[str, str] = {
    "logon_number_zero": "a Logon with MsgSeqNum 0 is malformed: closed without an answer, as every malformed Logon",
    "logon_encrypted": "EncryptMethod other than 0 is refused by Logout; the reference answers 98=0 and talks on",
    "logon_negative_interval": "a negative HeartBtInt is refused by Logout; the reference agrees and closes later",
    "logon_again": "a second Logon without ResetSeqNumFlag is told why the session ends; the reference only closes",
    "logon_reset_not_number_one": "ResetSeqNumFlag=Y requires MsgSeqNum 1; the reference takes any number",
    "logon_reset_in_place_not_number_one": "ResetSeqNumFlag=Y requires MsgSeqNum 1; the reference takes any number",
    "number_missing": "a missing MsgSeqNum ends the session, as the specification says; the reference ignores it",
    "number_missing_order": "a missing MsgSeqNum ends the session by Logout; the reference ignores the message",
    "sequence_reset_without_number": "a missing MsgSeqNum ends the session; the reference rejects, RefSeqNum left out",
    "number_negative": "up to FIX.4.2 the reference closes without a word; ours ignores the message in every version",
    "resend_request_from_zero": "BeginSeqNo 0 is rejected; the reference answers by a gap fill of nothing",
    "resend_request_from_what_is_not_sent": "numbers never sent are rejected; the reference fills them backwards",
    "resend_request_from_below_zero": "out of range in every version; up to FIX.4.2 the reference calls it a format",
    "resend_request_end_before_begin": "rejected; the reference answers by a gap fill of nothing",
    "resend_request_too_high": "a ResendRequest beyond a gap also shows the gap; the reference forgets it",
    "sequence_reset_negative": "out of range in every version; up to FIX.4.2 the reference calls it a format",
    "gap_fill_of_nothing": "a gap fill up to its own number is rejected; in the reference it has no effect",
    "gap_held_twice": "of two messages with one number beyond a gap the first counts; the reference keeps the last",
    "trailer_signature": "the echo leaves a Signature out: it signed another message",
    "msg_type_empty": "an empty MsgType is garbled; the reference rejects it",
    "huge_tag": "a tag beyond 32 bits is rejected as invalid; the reference calls the message garbled",
    "data_too_short": "raw data that its length does not fit is garbled in every version, known to it or not",
    "reject_too_high": "a Reject beyond a gap shows the gap; the reference counts it as the number expected",
    "begin_string_wrong_too_high": "a message of another version counts where its number is the one expected; "
    "the reference counts any",
    "sending_time_far_then_more": "a message with a wrong time is not counted, so nothing is lost by a clock; "
    "the reference counts it",
    "logging_out_then_order": "after our Logout nothing of the application is sent; the reference still does",
    "appl_ver_id_of_another_version": "a message of another ApplVerID is checked by that version; "
    "the reference, given one dictionary, checks it by none",
    "novalues/comp_ids": "a second CompID fault is rejected without a second Logout",
}


def known(name: str) -> str:
    """Why a script is played differently, or nothing. ``name``: ``fix44/script``."""
    return KNOWN.get(name) or KNOWN.get(name.rpartition("/")[2], "")
