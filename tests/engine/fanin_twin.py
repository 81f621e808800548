"""What ``engine.fanin`` must put out, told in plain Python over lists and dicts, without rings or kernels."""

from dataclasses import dataclass, field

WATCH_NS, ALIVE_NS = 1_000_000, 100_000_000
QUOTE, TRADE, VOID, ALIVE = "quote", "trade", "void", "alive"
Frame = tuple[str, int, int]  # what, publisher's instrument, src_seq


@dataclass
class Publisher:
    """Everything ever published, and what stands."""

    slots: int
    books: int
    silence_ns: int
    frames: list[Frame] = field(default_factory=list)
    table: dict[int, Frame] = field(default_factory=dict)
    beats: int = 0
    closed: bool = False

    def publish(self, frame: Frame) -> None:
        if frame[0] == QUOTE and frame[1] < self.books:
            self.table[frame[1]] = frame
        self.frames.append(frame)

    def void(self) -> None:
        self.table.clear()
        self.frames.append((VOID, 0, 0))


@dataclass
class Reader:
    """One bound source. ``known`` are the instruments that we have numbers for."""

    publisher: Publisher
    known: set[int]
    cursor: int
    life: tuple[int, int] = (0, 0)
    moved_ns: int = 0
    watched_ns: int = 0
    told_ns: int = 0
    dead: bool = True
    restore: int | None = None
    wished: bool = False
    seen: dict[int, int] = field(default_factory=dict)  # src_seq of the books that stand
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.life = self._life()

    def _life(self) -> tuple[int, int]:
        return self.publisher.beats, len(self.publisher.frames)

    def _count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def _void(self) -> Frame:
        self.seen.clear()
        return (VOID, 0, 0)

    def _give(self, frame: Frame) -> Frame:
        self.seen[frame[1]] = max(frame[2], self.seen.get(frame[1], 0))
        return frame

    def _watch(self, now: int) -> Frame | None:
        them = self.publisher
        self.watched_ns = now
        self.moved_ns = self.moved_ns or now
        if self._life() != self.life and not them.closed:
            self.life, self.moved_ns = self._life(), now
            if self.dead:
                self.dead, self.told_ns, self.restore = False, 0, 0
            if now - self.told_ns < ALIVE_NS:
                return None
            self.told_ns = now
            return (ALIVE, 0, 0)
        all_read = self.cursor >= len(them.frames)
        if not self.dead and all_read and (them.closed or now - self.moved_ns > them.silence_ns):
            self.dead, self.restore = True, None
            self._count("deaths")
            return self._void()
        return None

    def next(self, now: int) -> Frame | None:
        them = self.publisher
        if now - self.watched_ns >= WATCH_NS and (said := self._watch(now)):
            return said
        if self.wished:
            self.wished = False
            if not self.dead:
                self.restore = 0
        if self.restore is not None:
            for row in range(self.restore, them.books):
                if row in them.table and row in self.known:
                    self.restore = row + 1
                    self._count("restored_books")
                    return self._give(them.table[row])
            self.restore = None
            self._count("restores")
        while self.cursor < len(them.frames):
            if len(them.frames) - self.cursor > them.slots:
                self._count("laps")
                self._count("lapped_frames", len(them.frames) - self.cursor)
                self.cursor, self.restore = len(them.frames), 0
                return self._void()
            frame = them.frames[self.cursor]
            self.cursor += 1
            self._count("frames")
            if frame[0] == VOID:
                self._count("voids")
                self.restore = None
                return self._void()
            if frame[0] == QUOTE and frame[1] in self.known:
                before = self.seen.get(frame[1], 0)
                if before and frame[2] > before + 1:
                    self._count("gaps")
                    self._count("missed", frame[2] - before - 1)
                return self._give(frame)
            if frame[0] == QUOTE:
                self._count("orphans")
        return None
