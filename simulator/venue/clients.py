"""The counterparties of one venue: who they are, their FIX session, their participant number.

A participant number stands in every report of the trade log, so it must mean the same client for
ever: it is given once and kept in ``participants.json`` beside the log.
"""

import os
from pathlib import Path

import msgspec

from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath, FixSession, SessionHandler
from fix.messages import Message
from fix.session import Role, SessionSettings
from fix.store import MessageStore
from market import records
from simulator.errors import VenueSettingsError
from simulator.matching import REASON_TEXT
from simulator.tradelog import PARTICIPANTS_FILE, participant_numbers
from simulator.venue.depth import DepthSubscription
from simulator.venue.publisher import Subscription
from simulator.venue.settings import FIRST_CLIENT, LAST_CLIENT, ClientSettings, VenueSettings

CANCEL_ON_DISCONNECT_TAG = 35002  #: a user field that several venues have given this meaning
_WISHES = {"0": False, "1": True, "3": True}  # never; on disconnect; on disconnect and logout (all one to us)

#: Market data is worthless late: a resend request for it is answered by a gap fill.
STALE_TYPES = ("W", "X", "Y")


class Participants:
    """CompID to participant number, kept in a file; numbers are given once and never reused."""

    def __init__(self, log_path: Path) -> None:
        self.path = log_path.with_name(PARTICIPANTS_FILE)
        self.numbers = participant_numbers(log_path)

    def number_of(self, comp_id: str) -> int:
        """The participant number of ``comp_id``; a new one is on disk before it is returned."""
        found = self.numbers.get(comp_id)
        if found is None:
            found = max(self.numbers.values(), default=FIRST_CLIENT - 1) + 1
            if found > LAST_CLIENT:
                raise VenueSettingsError(f"{self.path}: participant numbers end at {LAST_CLIENT}")
            self.numbers[comp_id] = found
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(self.numbers))
            temporary.rename(self.path)
        return found


class VenueHotPath(CodecHotPath):
    """The venue's side of the hot path: two kinds of order messages do not become frames.

    A repeated one, since an ORDER frame cannot say that it is a repetition, and an order must not be
    executed late. And one whose ids are not 16 hex digits, since its reports would not carry the
    client's own ids. Both go to the application as text, which refuses them.
    """

    def decode_one(self, raw: bytes) -> int:
        """Decode one whole message; frames written, 0 for what is not to become a frame."""
        if b"\x0143=Y\x01" in raw:
            return 0
        count = super().decode_one(raw)
        foreign = records.as_layout(self.frames[:count], records.ORDER)["reason"] & records.EXEC_FOREIGN_ID
        return 0 if foreign.any() else count


class Client:
    """One counterparty: settings, participant number, FIX session, market data subscription."""

    def __init__(
        self,
        settings: ClientSettings,
        owner: int,
        session: FixSession,
        store: MessageStore,
        hot: CodecHotPath,
        books: int,
    ) -> None:
        self.settings = settings
        self.owner = owner
        self.session = session
        self.store = store
        self.hot = hot
        self.subscription = Subscription(books)
        self.depth = DepthSubscription()
        self.was_logged_on = False
        self.cancels_on_disconnect = settings.cancel_on_disconnect

    def hear_wishes(self, logon: Message) -> str | None:
        """Take CancelOnDisconnectType(35002) of a Logon, for as long as it lasts; the refusal's text, if any."""
        wish = logon.text(CANCEL_ON_DISCONNECT_TAG)
        if wish not in ("", *_WISHES):
            return f"CancelOnDisconnectType({CANCEL_ON_DISCONNECT_TAG}) must be 0, 1 or 3, was {wish}"
        self.cancels_on_disconnect = _WISHES.get(wish, self.settings.cancel_on_disconnect)
        return None


def open_client(
    venue: VenueSettings, client: ClientSettings, owner: int, symbols: SymbolTable, books: int, handler: SessionHandler
) -> Client:
    """Open the message store and the acceptor session of one client."""
    settings = SessionSettings(
        sender_comp_id=venue.comp_id,
        target_comp_id=client.comp_id,
        role=Role.ACCEPTOR,
        heartbeat_interval_s=venue.heartbeat_interval_s,
        cancel_on_disconnect=client.cancel_on_disconnect,
        stale_types=STALE_TYPES,
    )
    store = MessageStore(venue.directory / "sessions" / settings.name)
    hot = VenueHotPath(settings.begin_string, venue.comp_id, client.comp_id, symbols, Role.ACCEPTOR, owner)
    hot.link.set_reason_texts(REASON_TEXT)
    made: list[Client] = []  # the session must be there before the client that its Logons are for

    def wishes(logon: Message) -> str | None:
        return made[0].hear_wishes(logon)

    session = FixSession(settings, store, handler, hot=hot, index=owner, authenticate=wishes)
    made.append(Client(client, owner, session, store, hot, books))
    return made[0]
