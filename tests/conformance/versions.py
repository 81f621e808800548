"""The sessions of the acceptance acceptors: one per FIX version, and who plays which version."""

from dataclasses import dataclass

SENDER = "ISLD"


@dataclass(frozen=True)
class Session:
    """One session of the acceptor."""

    target: str
    begin_string: str
    xml: str
    default_appl_ver_id: str = ""
    validate_fields_have_values: bool = True
    label: str = ""

    @property
    def name(self) -> str:
        """``fix44``: how folders of definitions are called."""
        return self.label or self.xml.removesuffix(".xml").lower()


SESSIONS = (
    Session("TW40", "FIX.4.0", "FIX40.xml"),
    Session("TW41", "FIX.4.1", "FIX41.xml"),
    Session("TW42", "FIX.4.2", "FIX42.xml"),
    Session("TW43", "FIX.4.3", "FIX43.xml"),
    Session("TW44", "FIX.4.4", "FIX44.xml"),
    Session("TW50", "FIXT.1.1", "FIX50.xml", "7"),
    Session("TW50SP1", "FIXT.1.1", "FIX50SP1.xml", "8"),
    Session("TW50SP2", "FIXT.1.1", "FIX50SP2.xml", "9"),
    Session("TW", "FIX.4.4", "FIX44.xml", label="tw"),
    Session("NO_CHECK_FIELDS_HAVE_VALUES", "FIX.4.4", "FIX44.xml", validate_fields_have_values=False, label="novalues"),
)
VERSIONS = {session.name: session for session in SESSIONS}
