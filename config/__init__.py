"""Configuration: frozen typed structs, and the loader that turns TOML into them.

What a key means, its unit, its range and the reason for its default stand beside the key in
``schema.py``: open that first. ``load.py`` reads a file and says of every fault the file, the line,
the bound and the mend. No defaults live anywhere else, and nothing here knows what the values do.
"""

from config.errors import ConfigError, Problem
from config.load import load, load_text
from config.schema import AxiomConfig

__all__ = ["AxiomConfig", "ConfigError", "Problem", "load", "load_text"]
