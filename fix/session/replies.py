"""Bodies and routing of Reject(3) and BusinessMessageReject(j), as each version lays them out."""

from fix.messages import Field, Message
from fix.session.checks import BusinessReason, Refusal
from fix.session.settings import SessionSettings
from fix.session.versions import VersionRules

_REVERSED_ROUTE = {115: 128, 116: 129, 128: 115, 129: 116}
_REVERSED_LOCATIONS = {144: 145, 145: 144}


def reversed_route(message: Message, rules: VersionRules) -> list[Field]:
    """Routing header of an answer to ``message``: OnBehalfOf and DeliverTo change places."""
    route: list[Field] = []
    for tag, back in _REVERSED_ROUTE.items():
        value = message.get(tag)
        if value:
            route.append((back, value))
    if rules.location_ids:
        for tag, back in _REVERSED_LOCATIONS.items():
            value = message.get(tag)
            if value:
                route.append((back, value))
    return route


def _ref_seq(message: Message) -> list[Field]:
    """RefSeqNum(45); nothing when the peer's MsgSeqNum is absent or no number."""
    seq = message.seq
    return [] if seq is None else [(45, seq)]


def reject_body(message: Message, refusal: Refusal, rules: VersionRules) -> list[Field]:
    """Body of the Reject(3) that answers ``message``.

    Versions without RefTagID(371) get the tag in brackets behind the text; a reason that the
    version does not know is left out, the text says it.
    """
    text, tag = refusal.text, refusal.ref_tag
    if not rules.reject_reasons:
        return [*_ref_seq(message), (58, text if tag is None else f"{text} ({tag})")]
    body: list[Field] = [*_ref_seq(message), (58, text)]
    if tag is not None:
        body.append((371, tag))
    body.append((372, message.msg_type))
    if refusal.reason <= rules.last_reject_reason:
        body.append((373, int(refusal.reason)))
    return body


def business_reject(
    settings: SessionSettings, message: Message, reason: int, text: str, ref_tag: int = 0
) -> tuple[str, list[Field]]:
    """MsgType and body of the answer to an application message that is not served."""
    shown = f"{text} ({ref_tag})" if ref_tag else text
    if not settings.rules.business_reject:
        if reason == BusinessReason.UNSUPPORTED_MSG_TYPE:
            shown = "Unsupported message type"
        return "3", [*_ref_seq(message), (58, shown)]
    body: list[Field] = [*_ref_seq(message), (58, shown), (372, message.msg_type), (380, int(reason))]
    if settings.is_fixt and settings.business_reject_appl_ver_id:
        body.append((1137, settings.default_appl_ver_id))
    return "j", body
