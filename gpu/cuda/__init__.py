"""The GPU's side of the Greeks: the same scalar formulas, compiled for CUDA, behind a driver that may fail.

Open ``kernels.py`` first: what runs on the device and the words through which host and device talk.

====================  ==========================================================================
``retarget.py``       turns compiled CPU functions into functions of another target
``primitives.py``     what differs between the targets: indices, fences, shared words
``device.py``         their CUDA twins (imports numba-cuda: only where a device is opened)
``kernels.py``        one refresh of a chain, and the kernel that stays and serves requests
``build.py``          the kernels as device code, cached on disk
``driver.py``         the few calls of the CUDA driver that are needed, and their failures
``handshake.py``      the host's half of the conversation
``sessions.py``       a chain on the device: by a captured graph, or by the kernel that stays
====================  ==========================================================================

Nothing here decides whether the GPU is worth using: that is ``gpu/router``.
"""
