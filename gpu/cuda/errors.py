"""What goes wrong between the host and a GPU.

::

    GpuError
    └── DeviceError            no usable device, or a device that was lost
        └── NoDeviceError  there is none to begin with: the reason is the message
    └── RetargetError          a formula uses what another target cannot have
"""

from gpu.errors import GpuError


class DeviceError(GpuError):
    """A call of the driver failed, or the device did not answer."""


class NoDeviceError(DeviceError):
    """No device, driver or compiler on this machine; the message names what is missing."""


class RetargetError(GpuError):
    """A function cannot be compiled for another target; the message names the function and the name in it."""
