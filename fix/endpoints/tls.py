"""TLS of a session's connection: what to show, whom to believe.

Nothing here is optional by accident: a client verifies the venue's certificate and name unless told
otherwise by name, and an acceptor that wants client certificates refuses whoever has none.
"""

import ssl
from pathlib import Path
from typing import Any

import msgspec

from fix.errors import SettingsError, TlsError

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """TLS of one endpoint. Files are PEM. Raises SettingsError when a value is none."""

    #: Our certificate and the chain up to, not including, the root. An acceptor needs one; an
    #: initiator where the venue asks for a client certificate.
    certificate: str = ""
    #: Its key; empty: in the same file.
    private_key: str = ""
    private_key_password: str = ""
    #: Whose signatures are believed. Empty: the system's, for an initiator; for an acceptor none.
    authorities: str = ""
    #: Name that the venue's certificate must have, also sent as SNI. Empty: the host connected to.
    server_name: str = ""
    #: Off only for a venue whose certificate names something else; the signature is still checked.
    verify_hostname: bool = True
    #: Acceptor: clients must show a certificate signed by ``authorities``.
    require_client_certificate: bool = False
    #: 1.2 because counterparties still have it; nothing older.
    min_version: str = "1.2"
    #: OpenSSL cipher list for TLS 1.2; empty: Python's choice.
    ciphers: str = ""

    def __post_init__(self) -> None:
        if self.min_version not in _VERSIONS:
            raise SettingsError(f"min_version must be one of {', '.join(_VERSIONS)}, was {self.min_version!r}")
        if self.require_client_certificate and not self.authorities:
            raise SettingsError("require_client_certificate needs authorities: a file of whom to believe")
        if self.private_key and not self.certificate:
            raise SettingsError("private_key needs certificate: the file that goes with it")

    def __repr__(self) -> str:
        secret = "***" if self.private_key_password else ""
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "private_key_password")
        return f"TlsSettings({', '.join(shown)}, private_key_password={secret!r})"

    def client_context(self) -> ssl.SSLContext:
        """Context of an initiator.

        Raises
        ------
        TlsError
            When a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.verify_hostname
        if not self.authorities:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return self._complete(context)

    def server_context(self) -> ssl.SSLContext:
        """Context of an acceptor. Raises TlsError as :meth:`client_context`."""
        if not self.certificate:
            raise TlsError("an acceptor needs tls.certificate (a PEM file with its certificate and chain)")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED if self.require_client_certificate else ssl.CERT_NONE
        return self._complete(context)

    def _complete(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = _VERSIONS[self.min_version]
        # Nagle and compression aside, a FIX stream has no use for renegotiation or tickets' reuse.
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if self.authorities:
            _load("authorities", self.authorities, context.load_verify_locations)
        if self.certificate:
            key = self.private_key or self.certificate
            if not Path(key).is_file():
                raise TlsError(f"tls.private_key: no file {key}; name the PEM file of the key")
            # A function, so that a key with a password never asks at the terminal.
            password = self.private_key_password
            _load("certificate", self.certificate, lambda path: context.load_cert_chain(path, key, lambda: password))
        if self.ciphers:
            try:
                context.set_ciphers(self.ciphers)
            except ssl.SSLError:
                raise TlsError(f"tls.ciphers: OpenSSL knows none of {self.ciphers!r}") from None
        return context


def _load(name: str, path: str, load: Any) -> None:
    if not Path(path).is_file():
        raise TlsError(f"tls.{name}: no file {path}; name a PEM file")
    try:
        load(path)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(f"tls.{name}: {path} cannot be used: {describe_error(error)}") from error


def describe_error(error: BaseException) -> str:
    """What went wrong, as far as OpenSSL says, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        mend = {
            "key values mismatch": "; private_key does not belong to certificate",
            "bad decrypt": "; private_key_password is wrong",
            "bad password read": "; private_key_password is missing",
            "wrong version number": "; the other side does not speak TLS here",
            "unsupported protocol": "; the other side wants an older TLS than min_version",
            "tlsv1 alert protocol version": "; the other side wants another TLS version",
            "peer did not return a certificate": "; the client has shown no certificate",
            "tlsv13 alert certificate required": "; the venue wants a client certificate: set certificate",
            "no shared cipher": "; the two cipher lists have nothing in common",
        }.get(reason, "")
        return f"TLS: {reason}{mend}"
    return str(error) or type(error).__name__
