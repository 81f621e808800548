"""The Logon: whether the one that opens a connection is accepted, and what ours says."""

import hmac
from collections.abc import Callable
from enum import Enum

from fix.messages import Field, Message
from fix.session.settings import Role, SessionSettings
from fix.session.timers import Timers

#: Given the peer's Logon before we answer it; a text refuses it and is what the peer is told.
Authenticate = Callable[[Message], str | None]


class LogonFault(Enum):
    """Why the first message of a connection closes it."""

    NOT_LOGON = "the first message must be a Logon"
    LOGGED_OUT = "the peer answered our Logon by a Logout"
    BEGIN_STRING = "Incorrect BeginString"
    COMP_ID = "CompID problem"
    MALFORMED = "the Logon is malformed"
    SENDING_TIME = "SendingTime accuracy problem"
    NO_APPL_VER_ID = "DefaultApplVerID(1137) is missing"
    ENCRYPTED = "EncryptMethod(98) must be 0"
    HEARTBEAT = "HeartBtInt(108) is out of range"
    RESET_NUMBER = "MsgSeqNum must be 1 with ResetSeqNumFlag=Y"
    NEXT_EXPECTED = "NextExpectedMsgSeqNum(789) is too high"
    CREDENTIALS = "Invalid credentials"

    @property
    def silent(self) -> bool:
        """Whether nothing is answered: who is there is not known, or does not speak sense."""
        return self not in _ANSWERED

    def describe(self, message: Message) -> str:
        """Text for logs: the rule and what the message said."""
        if self is LogonFault.LOGGED_OUT:
            return f"{self.value}: {message.text(58) or 'no reason given'}"
        said = f"{message.text(35)!r} from {message.text(49)!r} to {message.text(56)!r}"
        return (
            f"{self.value}; received MsgType {said}, MsgSeqNum {message.text(34)!r}, SendingTime {message.text(52)!r}"
        )


_ANSWERED = frozenset(
    (LogonFault.ENCRYPTED, LogonFault.HEARTBEAT, LogonFault.NEXT_EXPECTED, LogonFault.CREDENTIALS)
)  # fmt: skip


def wants_reset(settings: SessionSettings, message: Message) -> bool:
    """Whether a Logon asks to start over. A resent one (PossDupFlag=Y) is an echo of the past and does not."""
    return settings.rules.reset_flag and message.flag(141) and not message.flag(43)


def check_identity(settings: SessionSettings, message: Message) -> LogonFault | None:
    """Whether the message is a Logon of this session's peer at all."""
    if message.text(8) != settings.begin_string:
        return LogonFault.BEGIN_STRING
    if settings.check_comp_id and (
        message.text(49) != settings.target_comp_id or message.text(56) != settings.sender_comp_id
    ):
        return LogonFault.COMP_ID
    if message.msg_type == "5" and settings.role is Role.INITIATOR:
        return LogonFault.LOGGED_OUT
    if message.msg_type != "A":
        return LogonFault.NOT_LOGON
    return None


def check_logon(
    settings: SessionSettings, message: Message, timers: Timers, now_ns: int, next_out: int
) -> LogonFault | None:
    """First fault of a sound Logon, or None. ``next_out``: the number that the peer can expect at most."""
    if (message.seq or 0) < 1:
        return LogonFault.MALFORMED
    if not timers.sending_time_is_near(message.get(52), now_ns):
        return LogonFault.SENDING_TIME
    if settings.is_fixt and not message.text(1137):
        return LogonFault.NO_APPL_VER_ID
    reset = wants_reset(settings, message)
    if reset and message.seq != 1:
        return LogonFault.RESET_NUMBER
    if message.get(98) != b"0":
        return LogonFault.ENCRYPTED
    interval_s = message.integer(108)
    if interval_s is None or not heartbeat_fits(settings, interval_s):
        return LogonFault.HEARTBEAT
    if settings.role is Role.ACCEPTOR and not credentials_hold(settings, message):
        return LogonFault.CREDENTIALS
    starts_over = reset or settings.reset_on_logon
    if settings.next_expected_msg_seq_num and not starts_over and (message.integer(789) or 0) > next_out:
        return LogonFault.NEXT_EXPECTED
    return None


def heartbeat_fits(settings: SessionSettings, interval_s: int) -> bool:
    """Whether the peer's HeartBtInt(108) is one that we keep."""
    return settings.heartbeat_min_s <= interval_s <= settings.heartbeat_max_s


def credentials_hold(settings: SessionSettings, message: Message) -> bool:
    """Whether the Logon carries the username and password that the settings demand; in constant time."""
    holds = True
    for tag, wanted in ((553, settings.username), (554, settings.password)):
        if wanted:
            given = message.get(tag) or b""
            holds &= hmac.compare_digest(given, wanted.encode("latin-1"))
    return holds


def refusal_text(settings: SessionSettings, fault: LogonFault, message: Message, next_out: int) -> str:
    """Text(58) of the Logout that answers a Logon with ``fault``."""
    if fault is LogonFault.HEARTBEAT:
        return (
            f"HeartBtInt(108) must be {settings.heartbeat_min_s}..{settings.heartbeat_max_s}, was {message.text(108)}"
        )
    if fault is LogonFault.NEXT_EXPECTED:
        return f"NextExpectedMsgSeqNum too high, expecting {next_out} but received {message.text(789)}"
    return fault.value


def logon_body(settings: SessionSettings, interval_s: int, *, reset: bool, next_expected: int) -> list[Field]:
    """Body of our Logon. ``next_expected``: the number that we want from the peer next."""
    body: list[Field] = [(98, 0), (108, interval_s)]
    if reset and settings.rules.reset_flag:
        body.append((141, "Y"))
    if settings.next_expected_msg_seq_num:
        body.append((789, next_expected))
    if settings.is_fixt:
        body.append((1137, settings.default_appl_ver_id))
    if settings.raw_data:
        body += [(95, len(settings.raw_data)), (96, settings.raw_data)]
    if settings.role is Role.INITIATOR:  # an acceptor's are what it demands of the peer
        for tag, value in ((553, settings.username), (554, settings.password), (925, settings.new_password)):
            if value:
                body.append((tag, value))
    body.sort(key=lambda field: field[0])
    return body + list(settings.logon_fields)
