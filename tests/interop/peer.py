"""A real quickfix engine as the far side: a process that says what it sees and does what it is told.

Run with one JSON object as argument (see :class:`tests.interop.rig.Peer`). Commands come as JSON
lines on standard input, everything seen goes out as JSON lines on standard output. It answers
orders, cancels, replaces and mass quotes as a venue does, unless told to be quiet.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import quickfix

SOH = "\x01"
ORDER_ID = "00000000000000A{:01X}"


def fields_of(raw: str) -> dict[str, str]:
    """Last value of each tag."""
    return dict(part.split("=", 1) for part in raw.split(SOH) if "=" in part)


class Says:
    """Lines to standard output, one writer at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, kind: str, **values: Any) -> None:
        line = json.dumps({"kind": kind} | values) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()


say = Says()


class Log(quickfix.Log):  # type: ignore[misc]
    """quickfix's own words."""

    def onIncoming(self, raw: str) -> None:
        say("in", raw=raw)

    def onOutgoing(self, raw: str) -> None:
        say("out", raw=raw)

    def onEvent(self, text: str) -> None:
        say("event", text=text)

    def clear(self) -> None:
        pass

    def backup(self) -> None:
        pass


class LogFactory(quickfix.LogFactory):  # type: ignore[misc]
    """Logs belong to quickfix once made: without giving them away it frees ours twice."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[Any] = []

    def create(self, *_: Any) -> Any:
        log = Log()
        log.__disown__()
        self.logs.append(log)
        return log

    def destroy(self, log: Any) -> None:
        pass


class Desk(quickfix.Application):  # type: ignore[misc]
    """Says all, and answers as a small venue."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.version = config["begin_string"]
        self.executions = 0
        self.make: Callable[[str], Any] = quickfix.Message

    def onCreate(self, session_id: Any) -> None:
        pass

    def onLogon(self, session_id: Any) -> None:
        say("logon", **numbers(session_id))

    def onLogout(self, session_id: Any) -> None:
        say("logout", **numbers(session_id))

    def toAdmin(self, message: Any, session_id: Any) -> None:
        header = message.getHeader()
        if header.getField(35) == "A":
            for tag, value in self.config.get("logon_fields", {}).items():
                message.setField(int(tag), value)

    def fromAdmin(self, message: Any, session_id: Any) -> None:
        expected = self.config.get("password")
        if expected is not None and message.getHeader().getField(35) == "A":
            given = message.getField(554) if message.isSetField(554) else ""
            if given != expected:
                raise quickfix.RejectLogon("wrong password")

    def toApp(self, message: Any, session_id: Any) -> None:
        pass

    def fromApp(self, message: Any, session_id: Any) -> None:
        raw = message.toString()
        say("app", raw=raw)
        if not self.config.get("quiet"):
            for answer in self.answers(fields_of(raw), raw):
                quickfix.Session.sendToTarget(self.make(answer), session_id)

    def answers(self, got: dict[str, str], raw: str) -> Iterator[str]:
        """What a venue says to ``raw``."""
        kind = got["35"]
        if kind == "D":
            yield self.report(got, "0", "0")
        elif kind == "F":
            yield self.report(got, "4", "4")
        elif kind == "G":
            yield self.report(got, "5", "0")
        elif kind == "i":
            yield f"35=b|117={got['117']}|297=0|"

    def report(self, got: dict[str, str], exec_type: str, status: str) -> str:
        """An execution report in the words of the version."""
        self.executions += 1
        old = self.version in ("FIX.4.0", "FIX.4.1", "FIX.4.2")
        leaves = "0" if status == "4" else got.get("38", "0")
        parts = ["35=8", f"37={ORDER_ID.format(1)}", f"17={self.executions:016X}"]
        parts += ["20=0"] if old else []
        parts += [] if self.version == "FIX.4.0" else [f"150={exec_type}"]
        parts += [f"39={status}", f"11={got['11']}"]
        parts += [f"41={got['41']}"] if "41" in got else []
        parts += [f"55={got['55']}", f"54={got['54']}", f"38={got.get('38', '0')}"]
        parts += ["32=0", "31=0"] if self.version in ("FIX.4.0", "FIX.4.1") else []
        parts += [] if self.version == "FIX.4.0" else [f"151={leaves}"]
        parts += ["14=0", "6=0", *([f"60={got['60']}"] if "60" in got else []), ""]
        return "|".join(parts)


def numbers(session_id: Any) -> dict[str, int]:
    """Both sequence numbers."""
    session = quickfix.Session.lookupSession(session_id)
    return {"next_out": session.getExpectedSenderNum(), "next_in": session.getExpectedTargetNum()}


def settings_text(config: dict[str, Any]) -> str:
    """The configuration file."""
    share = os.path.join(sys.prefix, "share", "quickfix")
    values = {
        "ConnectionType": config["role"], "NonStopSession": "Y", "ReconnectInterval": "1",
        "HeartBtInt": str(config["heartbeat"]), "SocketConnectHost": "127.0.0.1",
        "SocketConnectPort": str(config["port"]), "SocketAcceptPort": str(config["port"]),
        "SocketReuseAddress": "Y", "SocketNodelay": "Y", "FileStorePath": config["directory"],
        "LogoutTimeout": "2", "LogonTimeout": "4",
    }  # fmt: skip
    version = config["begin_string"]
    if version == "FIXT.1.1":
        names = {"7": "FIX50", "8": "FIX50SP1", "9": "FIX50SP2"}
        values["DefaultApplVerID"] = config["appl_ver_id"]
        values["TransportDataDictionary"] = f"{share}/FIXT11.xml"
        values["AppDataDictionary"] = f"{share}/{names[config['appl_ver_id']]}.xml"
    else:
        values["DataDictionary"] = f"{share}/{version.replace('.', '')}.xml"
    values |= config.get("settings", {})
    lines = ["[DEFAULT]", *(f"{name}={value}" for name, value in values.items()), "[SESSION]"]
    lines += [f"BeginString={version}", f"SenderCompID={config['sender']}", f"TargetCompID={config['target']}", ""]
    return "\n".join(lines)


def maker(config: dict[str, Any]) -> Callable[[str], Any]:
    """How to make a message of ``35=..|..``: one with groups needs the dictionaries (``groups``)."""
    share = os.path.join(sys.prefix, "share", "quickfix")
    version = config["begin_string"]
    if not config.get("groups"):
        return lambda text: quickfix.Message(message_text(version, text), False)
    if version == "FIXT.1.1":
        names = {"7": "FIX50", "8": "FIX50SP1", "9": "FIX50SP2"}
        books = [quickfix.DataDictionary(f"{share}/FIXT11.xml"),
                 quickfix.DataDictionary(f"{share}/{names[config['appl_ver_id']]}.xml")]  # fmt: skip
    else:
        books = [quickfix.DataDictionary(f"{share}/{version.replace('.', '')}.xml")]

    return lambda text: quickfix.Message(message_text(version, text), *books, False)


def message_text(version: str, text: str) -> str:
    """``35=..|..`` as a whole message."""
    body = text.replace("|", SOH)
    return f"8={version}{SOH}9={len(body)}{SOH}{body}10=000{SOH}"


def main() -> None:
    """Run until standard input ends."""
    config = json.loads(sys.argv[1])
    os.makedirs(config["directory"], exist_ok=True)
    settings = quickfix.SessionSettings()
    settings.setFromString(settings_text(config))
    desk, stores, logs = Desk(config), quickfix.FileStoreFactory(settings), LogFactory()
    desk.make = maker(config)
    kind = quickfix.SocketInitiator if config["role"] == "initiator" else quickfix.SocketAcceptor
    engine = kind(desk, stores, settings, logs)
    session_id = quickfix.SessionID(config["begin_string"], config["sender"], config["target"])
    session = quickfix.Session.lookupSession(session_id)
    if config.get("next_out"):
        session.setNextSenderMsgSeqNum(config["next_out"])
    if config.get("next_in"):
        session.setNextTargetMsgSeqNum(config["next_in"])
    engine.start()
    say("started", **numbers(session_id))
    for line in sys.stdin:
        command = json.loads(line)
        session = quickfix.Session.lookupSession(session_id)
        what = command["do"]
        if what == "send":
            for text in command["texts"]:
                quickfix.Session.sendToTarget(desk.make(text), session_id)
        elif what == "logout":
            session.logout(command.get("text", ""))
        elif what == "logon":
            session.logon()
        elif what == "disconnect":
            session.disconnect()
        elif what == "set_out":
            session.setNextSenderMsgSeqNum(command["seq"])
        elif what == "set_in":
            session.setNextTargetMsgSeqNum(command["seq"])
        elif what == "reset":
            session.reset()
        elif what == "quiet":
            config["quiet"] = command["on"]
        elif what == "numbers":
            pass  # they are said after every command
        elif what == "quit":
            break
        say("done", **numbers(session_id))
    os._exit(0)


if __name__ == "__main__":
    main()
