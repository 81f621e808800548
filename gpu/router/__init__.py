"""Where a chain's Greeks are computed: on the CPU, or on a GPU where one is faster and healthy.

Open ``router.py`` first. ``paths.py`` opens and tests the ways there are, ``calibration.py`` measures
them and says which is taken, ``supervisor.py`` keeps a device alive behind the caller's back,
``cpu.py`` is the way that always works.
"""
