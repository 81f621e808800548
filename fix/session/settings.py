"""What one FIX session is: names, version, role, intervals and policies. Frozen; only ever grows.

The fields are what a counterparty's onboarding sheet asks for, in its order: who, which version,
when numbers start over, how gaps are asked for, credentials, routing, what is checked, how long
one waits. Every default is what most sheets ask for.
"""

import re
from enum import Enum

import msgspec

from fix.errors import SettingsError
from fix.messages import DATA_LENGTH_TAGS, HEADER_TAGS, TRAILER_TAGS
from fix.session.versions import APPL_VER_IDS, TimestampPrecision, VersionRules, rules


class Role(Enum):
    """Who opens the connection."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class TestRequestPolicy(Enum):
    """What is said to a peer that has been silent for ``test_request_after`` heartbeat intervals."""

    __test__ = False  # its name makes pytest look for tests in it

    ONCE = "once"  # one TestRequest, then wait for disconnect_after
    REPEATED = "repeated"  # another one each heartbeat interval until disconnect_after
    NEVER = "never"  # only wait: for peers that do not answer TestRequests


#: Messages that ask the peer to do something now. Arriving late they would be acted upon as if
#: they were fresh, so a resend request for them is answered by a gap fill.
STALE_TYPES = ("D", "E", "F", "G", "q", "AB", "AC", "AF", "H", "R", "S", "Z", "i", "V", "x", "c", "e", "g")

#: Header constants by field: tags of who speaks for whom, sent in every message.
HEADER_FIELDS = {
    "sender_sub_id": 50, "target_sub_id": 57, "on_behalf_of_comp_id": 115, "on_behalf_of_sub_id": 116,
    "deliver_to_comp_id": 128, "deliver_to_sub_id": 129, "sender_location_id": 142, "target_location_id": 143,
    "on_behalf_of_location_id": 144, "deliver_to_location_id": 145,
}  # fmt: skip

#: Fields of a Logon that have settings of their own.
_LOGON_OWN = frozenset((98, 108, 141, 789, 1137, 553, 554, 925, 95, 96))
_SECRETS = ("password", "new_password", "raw_data")
_POSITIVE = ("check_latency_s", "logon_timeout_s", "logout_timeout_s", "resend_timeout_s", "test_request_after")
_AT_LEAST_ONE = ("resend_chunk", "max_held_messages")


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one session.

    Raises
    ------
    SettingsError
        When a value is out of its range, or the version does not have what is asked for.
    """

    sender_comp_id: str
    target_comp_id: str
    role: Role
    begin_string: str = "FIX.4.4"
    #: HeartBtInt(108) that an initiator asks for; an acceptor takes the peer's. 0: no heartbeats.
    heartbeat_interval_s: int = 10
    #: Start every logon from MsgSeqNum 1. Off: a reset forgets what the peer has not received.
    reset_on_logon: bool = False
    #: When the peer's Logon carries a lower number than expected (it lost its memory), ask for
    #: ResetSeqNumFlag=Y on the next logon. Off: log out each time until a person decides.
    recover_by_reset: bool = False
    #: SendingTime(52) may be this far from our clock; 120 s is what counterparties use.
    check_latency_s: float = 120.0
    #: A connection that has not logged on by then is closed.
    logon_timeout_s: float = 10.0
    #: How long to wait for the answer to our Logout.
    logout_timeout_s: float = 2.0
    #: A gap that shows no progress for this long is asked for again.
    resend_timeout_s: float = 10.0
    #: Messages of a resend made in one turn of the loop, at about 8 us each.
    resend_chunk: int = 50
    #: Messages held while a gap is open. Beyond it they are dropped and asked for again.
    max_held_messages: int = 100_000
    #: Whether the venue cancels our orders when the session goes down. Carried for the
    #: application, which does it.
    cancel_on_disconnect: bool = True
    #: MsgTypes answered by a gap fill on a resend request.
    stale_types: tuple[str, ...] = STALE_TYPES

    # --- version
    #: FIXT.1.1: DefaultApplVerID(1137) of our Logon, "7" FIX.5.0, "8" SP1, "9" SP2. Required there.
    default_appl_ver_id: str = ""
    #: Decimals of 52 and 122; None: whole seconds in FIX.4.0 and 4.1, milliseconds later.
    timestamp_precision: TimestampPrecision | None = None
    #: FIXT.1.1: put DefaultApplVerID(1137) into a BusinessMessageReject. Some engines do; the
    #: specification does not have it there.
    business_reject_appl_ver_id: bool = False

    # --- sequence numbers
    #: Start over after a Logout of either side.
    reset_on_logout: bool = False
    #: Start over whenever the connection ends, by whatever cause.
    reset_on_disconnect: bool = False
    #: Read the store's numbers again before each logon: for a standby that shares the store.
    refresh_on_logon: bool = False
    #: Say NextExpectedMsgSeqNum(789) in Logons and resend by the peer's, without a ResendRequest.
    next_expected_msg_seq_num: bool = False
    #: Say LastMsgSeqNumProcessed(369) in every header.
    last_msg_seq_num_processed: bool = False
    #: Numbers asked for by one ResendRequest; 0: all that is missing.
    resend_chunk_size: int = 0
    #: Ask up to the last missing number instead of "all": EndSeqNo names it.
    closed_resend_interval: bool = False
    #: Ask again at every message beyond an open gap. Off: once, then after resend_timeout_s.
    send_redundant_resend_requests: bool = False

    # --- credentials. An acceptor demands username and password of the peer's Logon.
    username: str = ""
    password: str = ""
    new_password: str = ""
    #: RawData(96) of our Logon; its length goes into 95.
    raw_data: bytes = b""
    #: Further fields of our Logon, in wire order: what a venue's convention asks for.
    logon_fields: tuple[tuple[int, str], ...] = ()

    # --- what is checked of the peer
    check_latency: bool = True
    check_comp_id: bool = True
    #: HeartBtInt(108) of the peer is accepted between these; 0 (no heartbeats) only if the least is 0.
    heartbeat_min_s: int = 0
    heartbeat_max_s: int = 3600
    #: Refuse a resent message below the expected number that has no OrigSendingTime(122).
    require_orig_sending_time: bool = True
    #: Keep PossDupFlag(43) and OrigSendingTime(122) that the application gives to ``send``. Off:
    #: they are left out, since they belong to resends.
    allow_poss_dup: bool = False

    # --- silence, in heartbeat intervals without a received message
    test_request_after: float = 1.2
    disconnect_after: float = 2.4
    test_request_policy: TestRequestPolicy = TestRequestPolicy.ONCE
    #: Being woken this late means that we were frozen, not that the peer was silent: what lies in
    #: the socket is read before anybody is declared dead. 0: off.
    stall_after_s: float = 2.0

    # --- routing, in every header
    sender_sub_id: str = ""
    target_sub_id: str = ""
    sender_location_id: str = ""
    target_location_id: str = ""
    on_behalf_of_comp_id: str = ""
    on_behalf_of_sub_id: str = ""
    on_behalf_of_location_id: str = ""
    deliver_to_comp_id: str = ""
    deliver_to_sub_id: str = ""
    deliver_to_location_id: str = ""

    def __post_init__(self) -> None:
        self._check_names()
        self._check_version()
        self._check_intervals()
        self._check_logon()

    def __repr__(self) -> str:
        values = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            values.append(f"{name}={'***' if name in _SECRETS and value else repr(value)}")
        return f"SessionSettings({', '.join(values)})"

    def _check_names(self) -> None:
        for name in ("sender_comp_id", "target_comp_id"):
            if not getattr(self, name):
                raise SettingsError(f"{name} must be 1..32 printable ASCII characters, was ''")
        for name in ("sender_comp_id", "target_comp_id", *HEADER_FIELDS):
            value = getattr(self, name)
            if value and (not value.isascii() or not value.isprintable() or len(value) > 32):
                raise SettingsError(f"{name} must be 1..32 printable ASCII characters, was {value!r}")

    def _check_version(self) -> None:
        version = rules(self.begin_string)
        code = self.default_appl_ver_id
        if version.appl_ver_id and code not in APPL_VER_IDS:
            raise SettingsError(
                f'{self.begin_string} needs default_appl_ver_id "0".."9" ("9" is FIX.5.0SP2), was {code!r}'
            )
        if code and not version.appl_ver_id:
            raise SettingsError(f"default_appl_ver_id belongs to FIXT.1.1, begin_string is {self.begin_string}")
        if self.precision > TimestampPrecision.MILLIS and not version.fine_timestamps:
            raise SettingsError(
                f"timestamp_precision {self.precision.name} needs FIX.4.4 or FIXT.1.1, "
                f"begin_string is {self.begin_string}"
            )
        for name, present in (
            ("next_expected_msg_seq_num", version.next_expected),
            ("last_msg_seq_num_processed", version.last_processed),
        ):
            if getattr(self, name) and not present:
                raise SettingsError(f"{name}: {self.begin_string} does not have this field; leave it off")
        if not version.location_ids and (self.on_behalf_of_location_id or self.deliver_to_location_id):
            raise SettingsError(f"{self.begin_string} does not have OnBehalfOfLocationID and DeliverToLocationID")

    def _check_intervals(self) -> None:
        if not 0 <= self.heartbeat_interval_s <= 3600:
            raise SettingsError(f"heartbeat_interval_s must be 0..3600, was {self.heartbeat_interval_s}")
        if not 0 <= self.heartbeat_min_s <= self.heartbeat_max_s:
            raise SettingsError(
                f"heartbeat_min_s must be 0..heartbeat_max_s ({self.heartbeat_max_s}), was {self.heartbeat_min_s}"
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0, was {getattr(self, name)}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, was {getattr(self, name)}")
        if not self.disconnect_after > self.test_request_after:
            raise SettingsError(
                f"disconnect_after must be above test_request_after ({self.test_request_after}), "
                f"was {self.disconnect_after}"
            )
        for name in ("resend_chunk_size", "stall_after_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} must be at least 0, was {getattr(self, name)}")

    def _check_logon(self) -> None:
        for name in ("username", "password", "new_password"):
            text = getattr(self, name)
            if any(letter == "\x01" or ord(letter) > 255 for letter in text):
                raise SettingsError(f"{name} must be latin-1 text without SOH")  # the text stays out of the message
        before = 0
        for tag, text in self.logon_fields:
            if tag < 1 or tag in _LOGON_OWN or tag in HEADER_TAGS or tag in TRAILER_TAGS:
                raise SettingsError(f"logon_fields: tag {tag} is the session's own; it has a setting or is computed")
            if not text or ("\x01" in text and DATA_LENGTH_TAGS.get(before) != tag):
                raise SettingsError(f"logon_fields: tag {tag} needs a value without SOH")
            before = tag

    @property
    def key(self) -> tuple[str, str, str]:
        """(BeginString, our CompID, the peer's CompID): what identifies a session."""
        return (self.begin_string, self.sender_comp_id, self.target_comp_id)

    @property
    def name(self) -> str:
        """``SENDER-TARGET``, safe as the name of a directory."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", f"{self.sender_comp_id}-{self.target_comp_id}").lstrip(".")

    @property
    def rules(self) -> VersionRules:
        """What the version has and how it writes it."""
        return rules(self.begin_string)

    @property
    def is_fixt(self) -> bool:
        """Whether transport and application versions are separate."""
        return self.begin_string == "FIXT.1.1"

    @property
    def appl_version(self) -> str:
        """Version of the application messages: ``FIX.4.2``, ``FIX.5.0SP2``."""
        return APPL_VER_IDS[self.default_appl_ver_id] if self.default_appl_ver_id else self.begin_string

    @property
    def precision(self) -> TimestampPrecision:
        """Decimals of our timestamps."""
        chosen = self.timestamp_precision
        return self.rules.precision if chosen is None else chosen

    @property
    def header(self) -> tuple[tuple[int, str], ...]:
        """Routing constants of every message, by tag."""
        found = ((tag, getattr(self, name)) for name, tag in HEADER_FIELDS.items())
        return tuple((tag, value) for tag, value in found if value)

    @property
    def hot_faults(self) -> tuple[str, ...]:
        """Why the kernels may not encode for this session; empty when they may."""
        faults = []
        if self.begin_string not in ("FIX.4.4", "FIXT.1.1"):
            faults.append(f"begin_string {self.begin_string}: the kernels speak FIX.4.4 and FIXT.1.1")
        if self.precision is not TimestampPrecision.MILLIS:
            faults.append(f"timestamp_precision {self.precision.name}: the kernels write milliseconds")
        if self.header:
            faults.append("routing constants: the kernels write CompIDs only")
        if self.last_msg_seq_num_processed:
            faults.append("last_msg_seq_num_processed: the kernels do not write it")
        return tuple(faults)
