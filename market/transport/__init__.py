"""Streams of 128-byte frames between processes: one small interface, several carriers.

A :class:`~market.transport.interface.Publisher` sends frames in order and never waits for anybody; a
:class:`~market.transport.interface.Subscriber` gives them in order, with a *void frame* wherever some are
missing, so that a reader never mistakes a book for current that is not. Carriers: the shared-memory ring
(:mod:`market.rings`, the default: nothing to install, no daemon) and Aeron by IPC, UDP or multicast
(:mod:`market.transport.aeron`, the extra ``aeron``). ``open_publisher`` and ``open_subscriber`` of
:mod:`market.transport.choose` take an address; :class:`~market.transport.bridge.Bridge` copies any subscriber
into a local ring. Nothing is imported here, so that whoever only reads addresses compiles nothing.
"""
