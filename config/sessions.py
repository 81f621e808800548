"""Keys of ``[[sessions]]``: everything a counterparty's onboarding sheet asks of one FIX session.

Six keys make a session (name, venue, both CompIDs, host, port); every other has a default that does
no harm, with its reason. Tables below a session: ``[sessions.tls]``, ``[sessions.schedule]``,
``[sessions.throttle]``, ``[sessions.backpressure]``, ``[sessions.validation]``.
"""

from typing import Annotated, Literal

from msgspec import Struct

from config.keys import Address, ClockTime, CompId, Date, Day, HalfDay, LogonField, MarketData, Name, Text, about


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of one session's connection. The peer's signature is always verified: no key switches that off."""

    enabled: Annotated[bool, about("Speak TLS. Off: plain TCP, for venues reached by a private line.")] = False
    ca_file: Annotated[
        str, about("PEM file of the authorities that may have signed the peer. Empty: the system's.")
    ] = ""
    certificate_file: Annotated[str, about("PEM file of our own certificate chain, where the venue wants one.")] = ""
    key_file: Annotated[str, about("PEM file of its private key. Empty: it stands in certificate_file.")] = ""
    key_password_env: Annotated[str, about("Environment variable with the key's password. Empty: it has none.")] = ""
    server_name: Annotated[str, about("Name that must stand in the peer's certificate. Empty: the host.")] = ""
    verify_hostname: Annotated[
        bool, about("Off only for a venue whose certificate names something else; its signature is still checked.")
    ] = True
    ciphers: Annotated[str, about("OpenSSL cipher list of TLS 1.2. Empty: the library's own choice.")] = ""
    minimum_version: Annotated[Literal["1.2", "1.3"], about("Oldest TLS version; older ones than 1.2 are broken.")] = (
        "1.2"
    )


class ScheduleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the session exists. A new session begins at MsgSeqNum 1 on both sides."""

    enabled: Annotated[bool, about("Connect only inside the schedule. Off: non-stop, numbers are never reset.")] = False
    time_zone: Annotated[str, about("IANA name of the zone that the times are in.", min_length=1)] = "UTC"
    start_time: Annotated[ClockTime, about("The session begins; on start_day, where one is given.")] = "00:00:00"
    end_time: Annotated[ClockTime, about("It ends; not after start_time: on the next day.")] = "00:00:00"
    weekdays: Annotated[tuple[Day, ...], about("Days on which a daily session begins. Empty: every day.")] = ()
    start_day: Annotated[
        Literal["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"], about("Weekly session: first day.")
    ] = ""
    end_day: Annotated[
        Literal["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"], about("Weekly session: last day.")
    ] = ""
    holidays: Annotated[
        tuple[Date, ...],
        about("Dates, YYYY-MM-DD in time_zone, on which no daily session begins and a weekly one is closed."),
    ] = ()
    half_days: Annotated[
        tuple[HalfDay, ...],
        about(
            "Dates with an earlier end, YYYY-MM-DD HH:MM: when the daily session that begins then ends, or from when "
            "to midnight a weekly one is closed."
        ),
    ] = ()
    logon_start: Annotated[str, about("Logon from here on, HH:MM:SS. Empty: from start_time.")] = ""
    logon_end: Annotated[str, about("Logon until here, HH:MM:SS. Empty: until end_time.")] = ""


class ThrottleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Order messages that the venue takes; counted where they leave, below the risk gate's own rate limit."""

    messages: Annotated[int, about("Order messages per window. 0: no throttle.", ge=0, le=1_000_000)] = 0
    window_ms: Annotated[int, about("Length of the sliding window; venues count by the second.", ge=1, le=60_000)] = (
        1000
    )
    reserve_for_cancels: Annotated[
        int,
        about(
            "Messages of the window that only cancels may use: they must pass when orders no longer do.",
            ge=0,
            le=1_000_000,
        ),
    ] = 0
    policy: Annotated[
        Literal["reject", "queue"],
        about("What happens to the rest. queue: it waits its turn; a quote is then late. reject: the order is denied."),
    ] = "reject"
    max_queued: Annotated[
        int, about("Messages that may wait under queue; the next one is denied.", ge=1, le=1_000_000)
    ] = 10_000
    max_queued_ms: Annotated[
        int, about("An order that waited this long is dropped: a stale price is worse than none.", ge=1, le=600_000)
    ] = 1000


class BackpressureConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about a peer that reads too slowly, or asks for more than it takes."""

    max_backlog_mib: Annotated[
        int, about("Unsent bytes at which the peer is cut off; what it misses it gets by resend.", ge=1, le=4096)
    ] = 64
    on_exceed: Annotated[
        Literal["disconnect", "refuse"],
        about("What happens there. refuse: nothing more is sent until the peer has read."),
    ] = "disconnect"
    pause_resend_kib: Annotated[
        int, about("Unsent bytes at which a resend waits, so that live messages are not behind it.", ge=1, le=1 << 20)
    ] = 1024
    max_held_messages: Annotated[
        int, about("Messages held while a gap is open; beyond it they are asked for again.", ge=1, le=10_000_000)
    ] = 100_000


class ValidationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks of received messages against the dictionary of the version, as other engines name them."""

    enabled: Annotated[
        bool, about("Check against the dictionary. Off: structure only, as the kernels of the hot path do.")
    ] = False
    overlay: Annotated[str, about("TOML file with the venue's own fields, messages and enums. Empty: none.")] = ""
    validate_fields_out_of_order: Annotated[bool, about("Refuse header fields in the body, and the like.")] = True
    validate_fields_have_values: Annotated[bool, about("Refuse tags without a value.")] = True
    validate_user_defined_fields: Annotated[
        bool, about("Refuse tags from 5000 on that the dictionary does not have; off, since venues add them.")
    ] = False
    allow_unknown_msg_fields: Annotated[bool, about("Take tags below 5000 that the message does not have.")] = False
    check_required: Annotated[bool, about("Refuse messages that lack a required field.")] = True
    strict: Annotated[
        bool, about("Also check calendar days, currencies and every group entry. Off: as other engines do.")
    ] = False


class SessionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One FIX session that the daemon initiates."""

    name: Annotated[Name, about("Unique; the scope of halt and resume, and the store's directory.")]
    venue: Annotated[Name, about("Venue it leads to; must be a [[simulator.venues]] name when simulated.")]
    sender_comp_id: Annotated[CompId, about("SenderCompID(49) of our messages.")]
    target_comp_id: Annotated[CompId, about("TargetCompID(56) of our messages.")]
    port: Annotated[int, about("TCP port of the venue's acceptor.", ge=1, le=65_535)]
    host: Annotated[str, about("Host name or address of the venue's acceptor.", min_length=1)] = "127.0.0.1"
    alternates: Annotated[
        tuple[Address, ...], about("More addresses of the same session, HOST:PORT, tried in turn after the first.")
    ] = ()
    host_policy: Annotated[
        Literal["priority", "round_robin"],
        about("Address after a connection that logged on. priority: the first again; round_robin: the next one."),
    ] = "priority"
    role: Annotated[
        Literal["options", "underlying", "drop_copy"],
        about("options are quoted, underlyings hedge; drop_copy only listens, and checks the venue's other sessions."),
    ] = "options"
    engine: Annotated[
        Literal["axiom", "quickfix"],
        about("Session engine. quickfix: the package of that name, in a process of its own."),
    ] = "axiom"
    begin_string: Annotated[
        Literal["FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1"],
        about("FIX version; FIXT.1.1 is the transport of FIX 5.0 and later."),
    ] = "FIX.4.4"
    default_appl_ver_id: Annotated[
        Literal["7", "8", "9"], about("DefaultApplVerID(1137) of FIXT.1.1: 7 is FIX 5.0, 8 is SP1, 9 is SP2.")
    ] = "9"
    timestamp_precision: Annotated[
        Literal["auto", "seconds", "millis", "micros", "nanos"],
        about("Digits of SendingTime(52). auto: seconds up to FIX.4.1, milliseconds from FIX.4.2 on."),
    ] = "auto"

    # -- names beside the CompIDs -----------------------------------------------------------------
    sender_sub_id: Annotated[Text, about("SenderSubID(50), where the venue wants one.")] = ""
    sender_location_id: Annotated[Text, about("SenderLocationID(142).")] = ""
    target_sub_id: Annotated[Text, about("TargetSubID(57).")] = ""
    target_location_id: Annotated[Text, about("TargetLocationID(143).")] = ""
    on_behalf_of_comp_id: Annotated[Text, about("OnBehalfOfCompID(115): for whom a hub sends.")] = ""
    on_behalf_of_sub_id: Annotated[Text, about("OnBehalfOfSubID(116).")] = ""
    on_behalf_of_location_id: Annotated[Text, about("OnBehalfOfLocationID(144).")] = ""
    deliver_to_comp_id: Annotated[Text, about("DeliverToCompID(128): to whom a hub passes on.")] = ""
    deliver_to_sub_id: Annotated[Text, about("DeliverToSubID(129).")] = ""
    deliver_to_location_id: Annotated[Text, about("DeliverToLocationID(145).")] = ""

    # -- logon ------------------------------------------------------------------------------------
    username: Annotated[Text, about("Username(553) of the Logon.")] = ""
    password_file: Annotated[str, about("File whose first line is Password(554); must not be readable by others.")] = ""
    password_env: Annotated[str, about("Environment variable that holds Password(554).")] = ""
    new_password_file: Annotated[
        str, about("File with NewPassword(925): the password is changed at the next logon.")
    ] = ""
    new_password_env: Annotated[str, about("Environment variable with NewPassword(925).")] = ""
    raw_data_file: Annotated[str, about("File whose bytes are RawData(96) of the Logon: a token or a key.")] = ""
    logon_fields: Annotated[
        tuple[LogonField, ...],
        about(
            "More fields of the Logon, TAG=TEXT: a venue's own wishes. Cancel-on-disconnect is often asked for so: the "
            "simulated venue takes 35002=0 (keep orders), 35002=1 (cancel them)."
        ),
    ] = ()
    logon_timeout_s: Annotated[float, about("A connection without an answer to our Logon is closed.", gt=0, le=300)] = (
        10.0
    )
    logout_timeout_s: Annotated[float, about("Longest wait for the answer to our Logout.", gt=0, le=300)] = 2.0

    # -- heartbeats and clocks --------------------------------------------------------------------
    heartbeat_interval_s: Annotated[
        int, about("HeartBtInt(108). Short enough to see a dead venue before quotes are old.", ge=1, le=3600)
    ] = 5
    heartbeat_min_s: Annotated[int, about("Shortest HeartBtInt(108) taken from the peer.", ge=0, le=3600)] = 0
    heartbeat_max_s: Annotated[int, about("Longest HeartBtInt(108) taken from the peer.", ge=1, le=3600)] = 3600
    test_request_after: Annotated[
        float, about("Heartbeat intervals of silence after which we ask: the habit of other engines.", ge=1, le=10)
    ] = 1.2
    disconnect_after: Annotated[
        float, about("Heartbeat intervals of silence after which the line counts as dead.", gt=1, le=20)
    ] = 2.4
    test_request_policy: Annotated[
        Literal["once", "repeated", "never"], about("How often a silent peer is asked before the line is given up.")
    ] = "once"
    stall_after_s: Annotated[
        float,
        about("Woken this late, we were frozen, not the peer silent: it is heard before it is given up.", ge=0, le=600),
    ] = 2.0
    check_latency: Annotated[bool, about("Refuse messages whose SendingTime(52) is far from our clock.")] = True
    check_latency_s: Annotated[float, about("How far: what counterparties use.", gt=0, le=86_400)] = 120.0
    check_comp_id: Annotated[bool, about("Refuse messages of other CompIDs.")] = True

    # -- sequence numbers -------------------------------------------------------------------------
    reset_on_logon: Annotated[
        bool, about("ResetSeqNumFlag(141)=Y. Off: a reset loses what the venue still had to tell.")
    ] = False
    reset_on_logout: Annotated[bool, about("Both numbers are 1 after an orderly Logout. Off: see reset_on_logon.")] = (
        False
    )
    reset_on_disconnect: Annotated[bool, about("Both numbers are 1 after any disconnect. Off: see reset_on_logon.")] = (
        False
    )
    refresh_on_logon: Annotated[bool, about("Read the numbers from the store again: for a standby's takeover.")] = False
    recover_by_reset: Annotated[
        bool, about("Ask for a reset when the venue has lost its memory. Off: log out until a person decides.")
    ] = True
    next_expected_msg_seq_num: Annotated[
        bool, about("NextExpectedMsgSeqNum(789) in the Logon: no resend requests, where the venue knows it too.")
    ] = False
    last_msg_seq_num_processed: Annotated[bool, about("LastMsgSeqNumProcessed(369) in every header.")] = False
    resend_chunk_size: Annotated[
        int, about("Numbers that one ResendRequest asks for. 0: all at once; some venues limit it.", ge=0, le=1_000_000)
    ] = 0
    closed_resend_interval: Annotated[bool, about("EndSeqNo is the last missing number, not infinity.")] = False
    send_redundant_resend_requests: Annotated[bool, about("Ask again although an answer is on its way.")] = False
    resend_timeout_s: Annotated[
        float, about("A gap without progress for this long is asked for again.", gt=0, le=600)
    ] = 10.0
    require_orig_sending_time: Annotated[bool, about("Refuse a PossDup message without OrigSendingTime(122).")] = True

    # -- what trading makes of it -----------------------------------------------------------------
    market_data: Annotated[
        MarketData,
        about(
            "fix, ring (the venue's own ring file), ring:PATH (relative to runtime_dir), "
            "aeron:CHANNEL[;stream=N][;dir=PATH] (extra aeron), or none."
        ),
    ] = "ring"
    cancel_on_disconnect: Annotated[
        bool, about("Whether the venue cancels our orders when the line is lost; how it is asked to: logon_fields.")
    ] = True
    on_restart: Annotated[
        Literal["cancel", "adopt"], about("Open orders found on start. cancel: they were priced by a dead process.")
    ] = "cancel"
    on_reconnect: Annotated[
        Literal["ask", "cancel"],
        about("After a lost line. ask: the venue's word on every order; cancel: a mass cancel first, then ask."),
    ] = "ask"
    reconnect_min_ms: Annotated[int, about("First back-off after a lost connection.", ge=10, le=60_000)] = 100
    reconnect_max_ms: Annotated[int, about("Longest back-off.", ge=10, le=600_000)] = 5000
    reconnect_jitter: Annotated[
        float, about("Share of each back-off that is random, so that clients do not come back together.", ge=0, le=1)
    ] = 0.5

    # -- role drop_copy ---------------------------------------------------------------------------
    drop_copy_timeout_ms: Annotated[
        int, about("An execution known to one side only for this long halts the session it is of.", ge=10, le=60_000)
    ] = 1000
    drop_copy_lost: Annotated[
        Literal["alert", "halt"], about("While the drop copy itself is down. halt: no trading that nobody checks.")
    ] = "alert"

    tls: TlsConfig = TlsConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    throttle: ThrottleConfig = ThrottleConfig()
    backpressure: BackpressureConfig = BackpressureConfig()
    validation: ValidationConfig = ValidationConfig()
