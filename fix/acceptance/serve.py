"""All acceptance sessions behind one port."""

from fix.acceptance.echo import EchoApplication
from fix.acceptance.sessions import SESSIONS
from fix.endpoints import Acceptor, FixSession
from fix.store import MemoryStore


class AcceptanceServer:
    """One independent set of sessions on one port; several may live in one process.

    Parameters
    ----------
    port:
        0 takes a free one; see :attr:`port` after :meth:`start`.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._acceptor = Acceptor(
            [
                FixSession(
                    session.settings(),
                    MemoryStore(),
                    EchoApplication(session.begin_string, session.default_appl_ver_id),
                    dictionary=session.validator(),
                )
                for session in SESSIONS
            ],
            host=host,
            port=port,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._acceptor.port

    @property
    def acceptor(self) -> Acceptor:
        """The acceptor, for what it can tell about dropped connections."""
        return self._acceptor

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._acceptor.start()

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        for session in self._acceptor.sessions:
            session.abort("the acceptor is closing")
        await self._acceptor.close()
