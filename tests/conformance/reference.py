"""A real quickfix engine as acceptor with a correct echo application: the oracle for every version.

Runs as a process of its own: ``python -m tests.conformance.reference --port P``. Its dictionaries are the
ones that the package brings along.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.conformance.versions import SENDER, SESSIONS

_SESSION = """
[SESSION]
BeginString={begin_string}
SenderCompID={sender}
TargetCompID={target}
"""
_DEFAULT = """
[DEFAULT]
ConnectionType=acceptor
SocketAcceptHost=127.0.0.1
SocketAcceptPort={port}
SocketReuseAddress=Y
SocketNodelay=Y
StartTime=00:00:00
EndTime=00:00:00
ResetOnLogon=Y
FileStorePath={store}
UseDataDictionary=Y
"""


def dictionaries() -> Path | None:
    """Directory of the dictionaries of the installed package, or None."""
    directory = Path(sys.prefix) / "share" / "quickfix"
    return directory if (directory / "FIX44.xml").is_file() else None


def available() -> str:
    """Why the reference cannot run here, or nothing."""
    try:
        import quickfix  # noqa: F401
    except ImportError:
        return "quickfix is not installed"
    return "" if dictionaries() else "quickfix is installed without its dictionaries"


def configuration(port: int, store: str) -> str:
    """The acceptor's settings, in its own format."""
    directory = dictionaries()
    text = _DEFAULT.format(port=port, store=store)
    for session in SESSIONS:
        text += _SESSION.format(begin_string=session.begin_string, sender=SENDER, target=session.target)
        if session.begin_string == "FIXT.1.1":
            text += f"DefaultApplVerID={session.default_appl_ver_id}\n"
            text += f"TransportDataDictionary={directory}/FIXT11.xml\n"
            text += f"AppDataDictionary={directory}/{session.xml}\n"
        else:
            text += f"DataDictionary={directory}/{session.xml}\n"
        if not session.validate_fields_have_values:
            text += "ValidateFieldsHaveValues=N\n"
    return text


def application(fix: Any) -> Any:
    """The echo application on quickfix's own callbacks."""
    echoed = ("D", "d", "E")

    class Echo(fix.Application):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[tuple[str, str]] = set()

        def onCreate(self, session: Any) -> None:
            fix.Session.lookupSession(session).reset()

        def onLogon(self, session: Any) -> None:
            pass

        def onLogout(self, session: Any) -> None:
            name = session.toString()
            self.seen = {known for known in self.seen if known[0] != name}

        def toAdmin(self, message: Any, session: Any) -> None:
            pass

        def toApp(self, message: Any, session: Any) -> None:
            pass

        def fromAdmin(self, message: Any, session: Any) -> None:
            pass

        def fromApp(self, message: Any, session: Any) -> None:
            msg_type = message.getHeader().getField(35)
            if msg_type not in echoed:
                raise fix.UnsupportedMessageType()
            if msg_type == "D":
                known = (session.toString(), message.getField(11))
                resend = message.getHeader().isSetField(97) and message.getHeader().getField(97) == "Y"
                if resend and known in self.seen:
                    return
                self.seen.add(known)
            fix.Session.sendToTarget(fix.Message(message), session)

    class Guarded(Echo):
        """An exception that quickfix does not expect would leave its thread hanging: end the process instead."""

        def fromApp(self, message: Any, session: Any) -> None:
            try:
                super().fromApp(message, session)
            except (fix.UnsupportedMessageType, fix.FieldNotFound):
                raise
            except BaseException as error:  # noqa: BLE001 - the outermost frame of a foreign thread
                sys.stderr.write(f"reference application failed: {error!r}\n")
                sys.stderr.flush()
                os._exit(1)

    return Guarded()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    import quickfix as fix

    with tempfile.TemporaryDirectory(prefix="axiom-reference-") as directory:
        file = Path(directory) / "reference.cfg"
        file.write_text(configuration(port, directory))
        settings = fix.SessionSettings(str(file))
        echo = application(fix)
        stores, logs = (
            fix.MemoryStoreFactory(),
            fix.FileLogFactory(settings) if os.environ.get("REFERENCE_LOG") else None,
        )
        parts = (echo, stores, settings) if logs is None else (echo, stores, settings, logs)
        acceptor = fix.SocketAcceptor(*parts)
        done = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: done.set())
        acceptor.start()
        print(f"listening on 127.0.0.1:{port}", flush=True)
        done.wait()
        # Stopping waits for sessions to log out; nobody here needs that.
        os._exit(0)


if __name__ == "__main__":
    main()
