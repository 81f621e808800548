"""Imported once by the server that the rig's processes are forked from: modules and kernels are there already."""

from engine.warmup import warm_kernels

warm_kernels(lambda _text: None)
