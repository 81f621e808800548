"""Whether the first message of a connection is a Logon that may be accepted."""

from enum import Enum

from fix.messages import Message
from fix.session.checks import check_message
from fix.session.settings import Role, SessionSettings
from fix.session.timers import Timers


class LogonFault(Enum):
    """Why the first message of a connection closes it. Nothing is answered: the peer is not known."""

    NOT_LOGON = "the first message must be a Logon"
    LOGGED_OUT = "the peer answered our Logon by a Logout"
    BEGIN_STRING = "Incorrect BeginString"
    COMP_ID = "CompID problem"
    MALFORMED = "the Logon is malformed"
    SENDING_TIME = "SendingTime accuracy problem"
    ENCRYPTED = "EncryptMethod(98) must be 0"
    HEARTBEAT = "HeartBtInt(108) must be 0..3600"
    RESET_NUMBER = "MsgSeqNum must be 1 with ResetSeqNumFlag=Y"

    def describe(self, message: Message) -> str:
        """Text for logs: the rule and what the message said."""
        if self is LogonFault.LOGGED_OUT:
            return f"{self.value}: {message.text(58) or 'no reason given'}"
        said = f"{message.text(35)!r} from {message.text(49)!r} to {message.text(56)!r}"
        return (
            f"{self.value}; received MsgType {said}, MsgSeqNum {message.text(34)!r}, SendingTime {message.text(52)!r}"
        )


def check_logon(settings: SessionSettings, message: Message, timers: Timers, now_ns: int) -> LogonFault | None:
    """First fault of the message that opens a connection, or None."""
    if message.text(8) != settings.begin_string:
        return LogonFault.BEGIN_STRING
    if message.text(49) != settings.target_comp_id or message.text(56) != settings.sender_comp_id:
        return LogonFault.COMP_ID
    if message.msg_type == "5" and settings.role is Role.INITIATOR:
        return LogonFault.LOGGED_OUT
    if message.msg_type != "A":
        return LogonFault.NOT_LOGON
    if check_message(message) is not None or (message.seq or 0) < 1:
        return LogonFault.MALFORMED
    if not timers.sending_time_is_near(message.get(52), now_ns):
        return LogonFault.SENDING_TIME
    if message.get(98) != b"0":
        return LogonFault.ENCRYPTED
    if not 0 <= (message.integer(108) or 0) <= 3600:
        return LogonFault.HEARTBEAT
    if message.flag(141) and message.seq != 1:
        return LogonFault.RESET_NUMBER
    return None
