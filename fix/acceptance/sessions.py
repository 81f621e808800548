"""The sessions that acceptance suites expect to find: one per FIX version, named by the peer's CompID."""

import msgspec

from fix.dictionary import Validation, Validator, validator_for
from fix.session import Role, SessionSettings

OUR_COMP_ID = "ISLD"


class EchoSession(msgspec.Struct, frozen=True):
    """One session of the acceptor: the peer's name, the version, and how strict it is."""

    target_comp_id: str
    begin_string: str
    #: DefaultApplVerID(1137) of a FIXT.1.1 session.
    default_appl_ver_id: str = ""
    validation: Validation = Validation()

    def settings(self) -> SessionSettings:
        """Settings of the session: what the reference engines do by default, reset at every logon."""
        return SessionSettings(
            sender_comp_id=OUR_COMP_ID,
            target_comp_id=self.target_comp_id,
            role=Role.ACCEPTOR,
            begin_string=self.begin_string,
            default_appl_ver_id=self.default_appl_ver_id,
            reset_on_logon=True,
            business_reject_appl_ver_id=True,
            # An echo is never stale, and the suites want every application message again.
            stale_types=(),
            # A gap is asked for once; the suites take a second ResendRequest for a fault.
            resend_timeout_s=86_400.0,
            # The suites excuse nobody for having been frozen: a second TestRequest would be a fault too.
            stall_after_s=0.0,
        )

    def validator(self) -> Validator:
        """The dictionaries of the version, shared by all sessions of it."""
        return validator_for(self.begin_string, self.default_appl_ver_id or "9", self.validation)


SESSIONS = (
    EchoSession("TW40", "FIX.4.0"),
    EchoSession("TW41", "FIX.4.1"),
    EchoSession("TW42", "FIX.4.2"),
    EchoSession("TW43", "FIX.4.3"),
    EchoSession("TW44", "FIX.4.4"),
    EchoSession("TW50", "FIXT.1.1", "7"),
    EchoSession("TW50SP1", "FIXT.1.1", "8"),
    EchoSession("TW50SP2", "FIXT.1.1", "9"),
    EchoSession("TW", "FIX.4.4"),
    EchoSession(
        "NO_CHECK_FIELDS_HAVE_VALUES", "FIX.4.4", validation=Validation(validate_fields_have_values=False)
    ),
)  # fmt: skip
