"""Data dictionaries of all FIX versions and the validation of messages against them.

``model.py`` is what a dictionary is; ``validator.py`` what a session asks of a message;
``overlay.py`` how a venue's dialect is added. The data files are made by ``generate.py``.
"""

from fix.dictionary.describe import describe
from fix.dictionary.groups import Entry, Parts, decode
from fix.dictionary.loading import APPL_VERSIONS, VERSIONS, load
from fix.dictionary.model import DataDictionary, FieldDefinition, MessageDefinition
from fix.dictionary.overlay import overlay
from fix.dictionary.sessions import validator_for
from fix.dictionary.validation import Validation
from fix.dictionary.validator import Validator
from fix.dictionary.verdict import (
    BUSINESS_TEXT,
    REJECT_TEXT,
    BusinessReason,
    CatalogueRow,
    Refusal,
    RejectReason,
    reject_catalogue,
)  # fmt: skip

__all__ = [
    "APPL_VERSIONS",
    "BUSINESS_TEXT",
    "REJECT_TEXT",
    "VERSIONS",
    "BusinessReason",
    "CatalogueRow",
    "DataDictionary",
    "Entry",
    "FieldDefinition",
    "MessageDefinition",
    "Parts",
    "Refusal",
    "RejectReason",
    "Validation",
    "Validator",
    "decode",
    "describe",
    "load",
    "overlay",
    "reject_catalogue",
    "validator_for",
]
