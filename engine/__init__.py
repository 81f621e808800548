"""The daemon: step, loop modes, journal, replay, control socket, operations command line and view.

It may use every other package, and none may use it. What decides per message lives in the step;
what waits, talks to people or touches disks lives around it and reaches it by frames only. No
pricing, no matching and no FIX parsing here. Open ``daemon.py`` first, then ``step/``; the
command line is ``cli/`` (one file per command), what it draws is ``view/``.
"""
