"""What people see of a running daemon: rich renderables made from the status document.

Every function takes the document (plain dicts and lists, ``docs/status.md``) and returns something
that rich can draw. A key that is absent or null is drawn as a dash: a view must survive a daemon
that is starting, or of another version. No sockets, no clocks, no state. Open ``screen.py`` first.
"""

from engine.view.picture import svg
from engine.view.report import report
from engine.view.screen import screen, summary

__all__ = ["report", "screen", "summary", "svg"]
