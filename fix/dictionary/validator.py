"""The session-level check of a message against the dictionaries of its session.

A sound message is recognised in one pass; only when something is off is the message taken apart
to find the *first* fault, in the order in which the reference engines look: CompIDs there, order
of the parts, MsgType, required fields (header, trailer, body, group entries; ascending), then per
field of header, trailer and body (ascending): repeated, empty, format, enumeration, known tag, known in this
message, number of group entries. Counterparties' test suites pin that order.

Not here, but in the session machine: BeginString, CompIDs, SendingTime, sequence numbers.
"""

from collections.abc import Callable, Mapping

from fix.dictionary.groups import Entry, Parts, split
from fix.dictionary.layout import Member
from fix.dictionary.loading import APPL_VERSIONS
from fix.dictionary.model import DataDictionary
from fix.dictionary.plan import Plan, Values, header_rank, trailer_rank, user_defined
from fix.dictionary.structure import check_structure
from fix.dictionary.validation import Validation
from fix.dictionary.verdict import BusinessReason, Refusal, RejectReason
from fix.messages import ADMIN_TYPES, Message, parse_int


class Validator:
    """Checks messages of sessions with one dictionary and one set of switches; they share it.

    Parameters
    ----------
    transport:
        Dictionary of header, trailer and session messages; None: only the structure is checked.
    application:
        FIXT.1.1 alone: dictionary of application messages, or several by ApplVerID ("9"). None:
        ``transport`` has them.
    validation:
        The switches.
    """

    def __init__(
        self,
        transport: DataDictionary | None = None,
        application: DataDictionary | Mapping[str, DataDictionary] | None = None,
        validation: Validation | None = None,
    ) -> None:
        self.transport = transport
        self.application = application
        self.validation = validation or Validation()
        self._values: dict[int, Values] = {}
        self._plans: dict[tuple[bytes, str], Plan] = {}
        if transport is not None:
            self._transport_values = self._of(transport)

    @property
    def data_tags(self) -> dict[int, int]:
        """Length tag -> raw data tag, of all dictionaries."""
        known: dict[int, int] = {}
        for dictionary in (self.transport, *self._applications().values()):
            if dictionary is not None:
                known.update(dictionary.data_tags)
        return known

    def check(self, message: Message, appl_ver_id: str = "") -> Refusal | None:
        """First fault of ``message``, or None when it is sound.

        ``appl_ver_id``: the peer's DefaultApplVerID(1137), for messages without ApplVerID(1128).
        """
        if self.transport is None:
            return check_structure(message)
        fields = message.fields
        version = "" if self.application is None else message.text(1128, appl_ver_id)
        plan = self._plans.get((fields[2][1], version))
        if plan is None:
            found = self._plan(message, version)
            if isinstance(found, Refusal):
                return found
            plan = found
        sound, part = plan.sound, 0
        for tag, value in fields:
            rule = sound.get(tag)
            if rule is None or not value or rule[0] < part:
                return self._judge(message, plan)
            part, test = rule
            if test is not None and not test(value):
                return self._judge(message, plan)
        tags = dict(fields)
        if len(tags) != len(fields) or not plan.required <= tags.keys():
            return self._judge(message, plan)
        return None

    # ----------------------------------------------------------------- plans

    def _of(self, dictionary: DataDictionary) -> Values:
        key = id(dictionary)
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = Values(dictionary, self.validation)
        return found

    def _applications(self) -> Mapping[str, DataDictionary]:
        if isinstance(self.application, DataDictionary):
            versions = {version: code for code, version in APPL_VERSIONS.items()}
            return {versions.get(self.application.version, ""): self.application}
        return self.application or {}

    def _plan(self, message: Message, version: str) -> Plan | Refusal:
        """Make the plan of a MsgType seen for the first time."""
        assert self.transport is not None
        dictionary = self.transport
        if self.application is not None and message.msg_type not in ADMIN_TYPES:
            applications = self._applications()
            found = applications.get(version) if version else None
            if found is None and not version and len(applications) == 1:
                found = next(iter(applications.values()))
            if found is None:
                return self._unsupported(message, self.transport)
            dictionary = found
        plan = Plan(message.msg_type, self._transport_values, self._of(dictionary), self.validation)
        if plan.known:  # what a peer invents must not fill the memory
            self._plans[message.fields[2][1], version] = plan
        return plan

    def _unsupported(self, message: Message, carrier: DataDictionary) -> Refusal:
        """No dictionary of that application version: faults of header and trailer come before that."""
        parts = split(message.fields, carrier.header, carrier.trailer, {})
        return (
            self._missing(message, (49, 56))
            or self._misplaced(parts)
            or self._check_part(parts.header, self._of(carrier), header_rank, None)
            or self._check_part(parts.trailer, self._of(carrier), trailer_rank, None)
            or Refusal(RejectReason.APPL_VERSION_UNSUPPORTED, 1128 if 1128 in message else None)
        )

    # --------------------------------------------------------------- verdict

    def _judge(self, message: Message, plan: Plan) -> Refusal | None:
        """The first fault, looked for closely."""
        refusal = self._missing(message, (49, 56))
        if refusal is not None:
            return refusal
        parts = split(message.fields, plan.header, plan.trailer, plan.body)
        refusal = self._misplaced(parts)
        if refusal is not None:
            return refusal
        if not plan.known:
            return Refusal(RejectReason.INVALID_MSG_TYPE)
        if self.validation.check_required:
            for part, tags in (
                (parts.header, plan.required_header),
                (parts.trailer, plan.required_trailer),
                (parts.body, plan.required_body),
            ):
                for tag in tags:
                    if tag not in part:
                        return Refusal(RejectReason.REQUIRED_TAG_MISSING, tag)
            if plan.required_body or self.validation.strict:
                refusal = self._entries_complete(parts.body, plan.body)
        return (
            refusal
            or self._check_part(parts.header, plan.transport, header_rank, None)
            or self._check_part(parts.trailer, plan.transport, trailer_rank, None)
            or self._check_part(parts.body, plan.application, _ascending, plan.body)
            or self._missing(message, (52, 34))
        )

    def _misplaced(self, parts: Parts) -> Refusal | None:
        if parts.misplaced and self.validation.validate_fields_out_of_order:
            return Refusal(RejectReason.TAG_OUT_OF_ORDER, parts.misplaced)
        return None

    def _missing(self, message: Message, tags: tuple[int, ...]) -> Refusal | None:
        """Header fields without which a session cannot go on, whatever the dictionary requires."""
        for tag in tags:
            if tag not in message:
                admin = message.msg_type in ADMIN_TYPES
                business = None if admin else BusinessReason.REQUIRED_FIELD_MISSING
                return Refusal(RejectReason.REQUIRED_TAG_MISSING, tag, business)
        return None

    def _entries_complete(self, entry: Entry, members: Mapping[int, Member]) -> Refusal | None:
        """Required members of group entries, at every depth.

        The reference engines ask for them only in groups that are themselves required, and only
        for members that stand in the group directly; ``strict`` asks for all.
        """
        strict = self.validation.strict
        for count_tag in sorted(entry.groups):
            member = members.get(count_tag)
            if member is None or member.group is None:
                continue
            inner = member.group.members
            if strict:
                needed = [tag for tag, found in inner.items() if found.required]
            elif member.declared:
                needed = [tag for tag, found in inner.items() if found.declared and found.direct]
            else:
                needed = []
            needed.sort()
            for one in entry.groups[count_tag]:
                for tag in needed:
                    if tag not in one:
                        return Refusal(RejectReason.REQUIRED_TAG_MISSING, tag)
                refusal = self._entries_complete(one, inner) if needed or strict else None
                if refusal is not None:
                    return refusal
        return None

    def _check_part(
        self, entry: Entry, values: Values, rank: Callable[[int], int], members: Mapping[int, Member] | None
    ) -> Refusal | None:
        """Fields of one part in the order of ``rank``; ``members``: those that the body may have."""
        validation = self.validation
        last: int | None = None
        for tag, value in sorted(entry.fields, key=lambda field: rank(field[0])):
            if tag == last:
                return Refusal(RejectReason.TAG_REPEATED, tag)
            last = tag
            refusal = self._check_value(tag, value, values)
            if refusal is not None:
                return refusal
            listed = members is None or tag in members
            known = tag in values.dictionary.tags
            if not (known and listed) and not self._lets_pass(tag):
                return Refusal(RejectReason.TAG_NOT_DEFINED_FOR_TYPE if known else RejectReason.INVALID_TAG, tag)
            member = None if members is None else members.get(tag)
            if member is not None and member.group is not None:
                entries = entry.group(tag)
                if _count(value) != len(entries):
                    return Refusal(RejectReason.GROUP_COUNT_INCORRECT, tag)
                if validation.strict:
                    refusal = self._check_entries(entries, member, values)
                    if refusal is not None:
                        return refusal
        return None

    def _lets_pass(self, tag: int) -> bool:
        """Whether a tag that the message does not have is none of our business."""
        if tag <= 0:
            return False
        if user_defined(tag):
            return not self.validation.validate_user_defined_fields
        return self.validation.allow_unknown_msg_fields

    def _check_value(self, tag: int, value: bytes, values: Values) -> Refusal | None:
        if not value and self.validation.validate_fields_have_values:
            return Refusal(RejectReason.TAG_WITHOUT_VALUE, tag or None)
        form, enumeration = values.tests(tag)
        if form is not None and not form(value):
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
        if enumeration is not None and not enumeration(value):
            return Refusal(RejectReason.VALUE_INCORRECT, tag)
        return None

    def _check_entries(self, entries: list[Entry], owner: Member, values: Values) -> Refusal | None:
        """Strict: each entry opens with the group's first field and keeps its order; values and counts."""
        assert owner.group is not None
        group = owner.group
        place = {tag: index for index, tag in enumerate(group.members)}
        for entry in entries:
            if entry.fields[0][0] != group.delimiter:
                return Refusal(RejectReason.GROUP_OUT_OF_ORDER, entry.fields[0][0])
            before = -1
            for tag, value in entry.fields:
                if place[tag] < before:
                    return Refusal(RejectReason.GROUP_OUT_OF_ORDER, tag)
                before = place[tag]
                refusal = self._check_value(tag, value, values)
                member = group.members[tag]
                if refusal is None and member.group is not None:
                    inner = entry.group(tag)
                    if _count(value) != len(inner):
                        return Refusal(RejectReason.GROUP_COUNT_INCORRECT, tag)
                    refusal = self._check_entries(inner, member, values)
                if refusal is not None:
                    return refusal
        return None


def _count(value: bytes) -> int | None:
    """NumInGroup as a number, however many zeros lead it."""
    return parse_int(value.lstrip(b"0") or b"0")


def _ascending(tag: int) -> int:
    return tag
