"""What a session validates, as its counterparty's onboarding sheet names it."""

import msgspec


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """Switches of one session's validation. The defaults are those of the reference engines.

    A refused message is answered by a Reject and never reaches the application, so loosening a
    switch means: the application takes what the counterparty really sends.
    """

    #: Header before body before trailer. Off: any order is read.
    validate_fields_out_of_order: bool = True
    #: ``58=`` followed by SOH is refused. Off: an empty value passes wherever its type has no format.
    validate_fields_have_values: bool = True
    #: Tags from 5000 must be in the dictionary (add a venue's in an overlay). Off: all pass.
    validate_user_defined_fields: bool = True
    #: Tags below 5000 that the dictionary does not have in this message pass.
    allow_unknown_msg_fields: bool = False
    #: Required fields of header, body and group entries must be there.
    check_required: bool = True
    #: Beyond the reference engines: dates, currencies and countries are read too, calendar days
    #: must exist, group entries are validated like the body (values, order, required members).
    #: Off by default because counterparties are certified against the reference engines.
    strict: bool = False
