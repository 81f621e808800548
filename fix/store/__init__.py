"""Append-only store of a session's outgoing messages, and its two sequence numbers.

A message is written here before it is sent, so that whatever the peer may have seen can be
resent, and no sequence number is ever used twice. What survives what:

* kill -9 of the process: everything written, since the page cache outlives us. One ``write`` per
  batch; the sequence words are stores into a shared mapping.
* loss of power: what :class:`GroupSync` has covered, that is everything older than its window
  (50 ms by default), off the path.
* a flipped bit, a lost sector: found by the checksum of each entry, named by file, byte and
  MsgSeqNum, reported; the entries after it are read as ever.

Files in the session's directory:

``messages.dat``  a 64-byte header, then entries, back to back: 48 bytes (magic, CRC-32, first
                  MsgSeqNum, count, bytes, application reference, time, epoch and kind), ``count``
                  end offsets (uint32), the messages. Skipped numbers, resets and an operator's
                  corrections are entries too, so the data alone say what the numbers are.
``messages-YYYYMMDD.dat``  the same of earlier days; deleted after ``keep_days`` unless messages
                  in it may still be asked for.
                  While a step thread writes (``window.py``), and while its next window is made ready
                  (``ahead.py``), the file is longer, by zeros; after a kill the next start cuts them off.
``messages.idx``  where the entry of each MsgSeqNum is (uint64 each); rebuilt when it disagrees.
``session.words`` mapped uint64 words, see :class:`Word`; also the lock that keeps a second process out.

Why entries and not one record per message: a batch of a thousand quotes is then one header, one
CRC and one system call, about 10 us instead of 1 ms. Why a reset does not truncate: what was sent
before it is what one wants to read the day after.

Open ``message_store.py`` first, then ``scan.py`` (what damage is) and ``recovery.py``.
"""

from fix.store.layout import Word
from fix.store.memory import MemoryStore
from fix.store.message_store import KEEP_DAYS, MessageStore
from fix.store.protocol import Store
from fix.store.report import FileReport, StoredMessage, StoreReport, show, verify
from fix.store.scan import Damage
from fix.store.sync import GroupSync, SyncStats
from fix.store.window import StoreWindow

__all__ = [
    "KEEP_DAYS", "Damage", "FileReport", "GroupSync", "MemoryStore", "MessageStore", "Store", "StoreReport",
    "StoreWindow", "StoredMessage", "SyncStats", "Word", "show", "verify",
]  # fmt: skip
