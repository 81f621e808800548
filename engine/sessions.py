"""From ``[[sessions]]`` to what ``fix`` wants: settings, secrets, TLS, hours, limits. The one place that maps them.

Secrets come from files or the environment, are read once at start, and are in no message, log line or
status document.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union, cast

from config.sessions import SessionConfig
from engine.errors import SessionConfigError
from fix.codec import SymbolTable
from fix.dictionary import Validation, Validator, validator_for
from fix.endpoints import (
    Backpressure,
    CodecHotPath,
    FixSession,
    HostPolicy,
    Initiator,
    OnExceed,
    Reconnect,
    SessionHandler,
    TlsSettings,
)
from fix.errors import FixError
from fix.schedule import Schedule
from fix.session import Role, SessionSettings, TestRequestPolicy, TimestampPrecision
from fix.store import MessageStore
from fix.throttle import ThrottlePolicy, ThrottleSettings

if TYPE_CHECKING:
    from fix.foreign import QuickfixStore

AnyStore = Union[MessageStore, "QuickfixStore"]
#: Keys that mean the same, under the same name, in the configuration and in ``SessionSettings``.
_SAME = (
    "sender_comp_id", "target_comp_id", "begin_string", "heartbeat_interval_s", "heartbeat_min_s", "heartbeat_max_s",
    "sender_sub_id", "sender_location_id", "target_sub_id", "target_location_id", "on_behalf_of_comp_id",
    "on_behalf_of_sub_id", "on_behalf_of_location_id", "deliver_to_comp_id", "deliver_to_sub_id",
    "deliver_to_location_id", "username", "logon_timeout_s", "logout_timeout_s", "test_request_after",
    "disconnect_after", "stall_after_s", "check_latency", "check_latency_s", "check_comp_id", "reset_on_logon",
    "reset_on_logout", "reset_on_disconnect", "refresh_on_logon", "recover_by_reset", "next_expected_msg_seq_num",
    "last_msg_seq_num_processed", "resend_chunk_size", "closed_resend_interval", "send_redundant_resend_requests",
    "resend_timeout_s", "require_orig_sending_time", "cancel_on_disconnect",
)  # fmt: skip


class SessionParts(NamedTuple):
    """One configured session, as ``fix`` takes it."""

    config: SessionConfig
    settings: SessionSettings
    validator: Validator | None  # None: structure only
    tls: TlsSettings | None
    schedule: Schedule | None  # None: non-stop
    throttle: ThrottleSettings | None
    backpressure: Backpressure
    addresses: tuple[tuple[str, int], ...]
    reconnect: Reconnect


def build_session(config: SessionConfig) -> SessionParts:
    """Map one entry.

    Raises
    ------
    SessionConfigError
        A secret cannot be read, a file is missing, or values do not go together; names the session and the key.
    """
    try:
        return SessionParts(
            config=config,
            settings=_settings(config),
            validator=_validator(config),
            tls=_tls(config),
            schedule=_schedule(config),
            throttle=_throttle(config),
            backpressure=_backpressure(config),
            addresses=((config.host, config.port), *map(_address, config.alternates)),
            reconnect=_reconnect(config),
        )
    except FixError as error:
        raise SessionConfigError(f"session {config.name}: {error}") from error


def open_store(config: SessionConfig, directory: Path, keep_days: int) -> AnyStore:
    """Open the store of a session's engine. Raises StoreError kinds that name the file and the mend."""
    if config.engine == "quickfix":
        from fix.foreign import QuickfixStore

        return QuickfixStore(directory)
    return MessageStore(directory, keep_days=keep_days)


def open_session(
    parts: SessionParts, store: AnyStore, handler: SessionHandler, symbols: SymbolTable, index: int
) -> tuple[FixSession, Initiator]:
    """Make the session and what connects it; nothing is connected yet.

    With ``engine = "quickfix"`` both are of ``fix.foreign``, which have the same surface.
    """
    settings = parts.settings
    # A drop copy only reads: what the kernels cannot write does not matter there, save the version.
    faults = [fault for fault in settings.hot_faults if parts.config.role != "drop_copy" or "begin_string" in fault]
    if faults:
        text = f"session {parts.config.name}: orders are written by kernels, which cannot do this: {'; '.join(faults)}"
        raise SessionConfigError(text)
    if parts.config.engine == "quickfix":
        return _foreign(parts, store, handler, symbols, index)
    try:
        session = FixSession(
            settings,
            cast(MessageStore, store),
            handler,
            None if settings.hot_faults else CodecHotPath.for_session(settings, symbols, index),
            index,
            parts.validator,
            schedule=parts.schedule,
            throttle=parts.throttle,
            backpressure=parts.backpressure,
        )
        first, *others = parts.addresses
        initiator = Initiator(
            session,
            *first,
            parts.reconnect,
            hosts=others,
            host_policy=HostPolicy(parts.config.host_policy),
            tls=parts.tls,
        )
    except FixError as error:
        raise SessionConfigError(f"session {parts.config.name}: {error}") from error
    return session, initiator


def _foreign(
    parts: SessionParts, store: Any, handler: SessionHandler, symbols: SymbolTable, index: int
) -> tuple[FixSession, Initiator]:
    from fix.foreign import QuickfixInitiator, QuickfixSession

    if parts.tls is not None:
        text = f'session {parts.config.name}: engine = "quickfix" has no TLS in its public builds; use engine = "axiom"'
        raise SessionConfigError(text)
    try:
        session = QuickfixSession(
            parts.settings,
            store,
            handler,
            CodecHotPath.for_session(parts.settings, symbols, index),
            index,
            dictionary=parts.validator,
            schedule=parts.schedule,
            throttle=parts.throttle,
        )
        first, *others = parts.addresses
        initiator = QuickfixInitiator(session, *first, parts.reconnect, hosts=others)
    except FixError as error:
        raise SessionConfigError(f"session {parts.config.name}: {error}") from error
    return cast(FixSession, session), cast(Initiator, initiator)


# -- one struct each ----------------------------------------------------------------------------


def _settings(config: SessionConfig) -> SessionSettings:
    values: dict[str, Any] = {name: getattr(config, name) for name in _SAME}
    precision = config.timestamp_precision
    return SessionSettings(
        role=Role.INITIATOR,
        default_appl_ver_id=config.default_appl_ver_id if config.begin_string == "FIXT.1.1" else "",
        timestamp_precision=None if precision == "auto" else TimestampPrecision[precision.upper()],
        test_request_policy=TestRequestPolicy(config.test_request_policy),
        password=_secret(config, "password", config.password_file, config.password_env),
        new_password=_secret(config, "new_password", config.new_password_file, config.new_password_env),
        raw_data=_raw_data(config),
        logon_fields=tuple(_logon_field(entry) for entry in config.logon_fields),
        max_held_messages=config.backpressure.max_held_messages,
        **values,
    )


def _logon_field(entry: str) -> tuple[int, str]:
    tag, _, text = entry.partition("=")
    return int(tag), text


def _validator(config: SessionConfig) -> Validator | None:
    chosen = config.validation
    if not chosen.enabled:
        return None
    switches = Validation(
        validate_fields_out_of_order=chosen.validate_fields_out_of_order,
        validate_fields_have_values=chosen.validate_fields_have_values,
        validate_user_defined_fields=chosen.validate_user_defined_fields,
        allow_unknown_msg_fields=chosen.allow_unknown_msg_fields,
        check_required=chosen.check_required,
        strict=chosen.strict,
    )
    return validator_for(config.begin_string, config.default_appl_ver_id, switches, chosen.overlay or None)


def _tls(config: SessionConfig) -> TlsSettings | None:
    chosen = config.tls
    if not chosen.enabled:
        return None
    return TlsSettings(
        certificate=chosen.certificate_file,
        private_key=chosen.key_file,
        private_key_password=_variable(config, chosen.key_password_env, "tls.key_password_env"),
        authorities=chosen.ca_file,
        server_name=chosen.server_name,
        verify_hostname=chosen.verify_hostname,
        min_version=chosen.minimum_version,
        ciphers=chosen.ciphers,
    )


def _schedule(config: SessionConfig) -> Schedule | None:
    chosen = config.schedule
    if not chosen.enabled:
        return None
    return Schedule(
        time_zone=chosen.time_zone,
        start=_whole(chosen.start_time),
        end=_whole(chosen.end_time),
        days=chosen.weekdays,
        start_day=chosen.start_day,
        end_day=chosen.end_day,
        logon_start=_whole(chosen.logon_start),
        logon_end=_whole(chosen.logon_end),
        holidays=chosen.holidays,
        half_days=tuple(f"{entry[:11]}{_whole(entry[11:])}" for entry in chosen.half_days),
    )


def _whole(text: str) -> str:
    """``HH:MM`` as ``HH:MM:00``."""
    return f"{text}:00" if len(text) == len("HH:MM") else text


def _throttle(config: SessionConfig) -> ThrottleSettings | None:
    chosen = config.throttle
    if not chosen.messages:
        return None
    return ThrottleSettings(
        messages=chosen.messages,
        window_s=chosen.window_ms / 1000,
        reserve_for_cancels=chosen.reserve_for_cancels,
        policy=ThrottlePolicy(chosen.policy),
        max_queued=chosen.max_queued,
        max_queued_s=chosen.max_queued_ms / 1000,
    )


def _backpressure(config: SessionConfig) -> Backpressure:
    chosen = config.backpressure
    return Backpressure(
        max_backlog_bytes=chosen.max_backlog_mib << 20,
        pause_resend_bytes=chosen.pause_resend_kib << 10,
        on_exceed=OnExceed(chosen.on_exceed),
    )


def _reconnect(config: SessionConfig) -> Reconnect:
    return Reconnect(
        first_s=config.reconnect_min_ms / 1000,
        max_s=config.reconnect_max_ms / 1000,
        jitter=config.reconnect_jitter,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


# -- secrets ------------------------------------------------------------------------------------


def _secret(config: SessionConfig, kind: str, path: str, variable: str) -> str:
    """``password`` or ``new_password``: from its file or its environment variable; empty where neither is named."""
    if not path:
        return _variable(config, variable, f"{kind}_env")
    try:
        lines = _private(config, path, f"{kind}_file").decode("ascii").splitlines()
    except UnicodeDecodeError:
        lines = []
    if not lines or not lines[0]:
        raise SessionConfigError(f"session {config.name}: {kind}_file {path} must hold the {kind} on its first line")
    return lines[0]


def _variable(config: SessionConfig, variable: str, key: str) -> str:
    if not variable:
        return ""
    value = os.environ.get(variable, "")
    if not value:
        raise SessionConfigError(f"session {config.name}: {key} names {variable}, which is not set or empty: export it")
    return value


def _raw_data(config: SessionConfig) -> bytes:
    return _private(config, config.raw_data_file, "raw_data_file") if config.raw_data_file else b""


def _private(config: SessionConfig, path: str, key: str) -> bytes:
    """Bytes of a file that nobody else may read."""
    file = Path(path).expanduser()
    try:
        mode = file.stat().st_mode
        data = file.read_bytes()
    except OSError as error:
        raise SessionConfigError(f"session {config.name}: {key} {path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SessionConfigError(
            f"session {config.name}: {key} {path} may be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 it"
        )
    return data
