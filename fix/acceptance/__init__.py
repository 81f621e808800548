"""The echo acceptor that public FIX acceptance suites are played against: ``python -m fix.acceptance --port P``.

Every version's session on one port, built from the same endpoints, machine and dictionaries that
trade; nothing here is special to conformance but the application, which sends orders back.
"""

from fix.acceptance.echo import EchoApplication, echo
from fix.acceptance.serve import AcceptanceServer
from fix.acceptance.sessions import SESSIONS, EchoSession

__all__ = ["SESSIONS", "AcceptanceServer", "EchoApplication", "EchoSession", "echo"]
