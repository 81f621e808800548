"""Which verdict a message gets, rule by rule, and that a sound one gets none."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.dictionary import (
    BusinessReason,
    DataDictionary,
    Refusal,
    RejectReason,
    Validation,
    Validator,
    load,
    overlay,
    validator_for,
)
from fix.messages import Message, checksum, parse
from tests.fix.dictionary import traffic

HEAD = "34=2|49=TW|52=20240102-03:04:05|56=ISLD|"
ORDER = "11=A|21=1|40=1|54=1|38=200.00|55=INTC|60=20240102-03:04:05|"


def message(body: str, begin_string: str = "FIX.4.4") -> Message:
    text = body.replace("|", "\x01").encode("latin-1")
    head = b"8=%b\x019=%d\x01" % (begin_string.encode(), len(text))
    return parse(head + text + b"10=%03d\x01" % checksum(head + text))


def verdict(body: str, validation: Validation | None = None, version: str = "FIX.4.4") -> tuple[int, int | None] | None:
    refusal = validator_for(version, validation=validation).check(message(body, version))
    return None if refusal is None else (int(refusal.reason), refusal.ref_tag)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"35=D|{HEAD}{ORDER}", None),
        (f"35=0|{HEAD}999=HI|", (0, 999)),
        (f"35=0|{HEAD}0=HI|", (0, 0)),
        (f"35=0|{HEAD}-1=HI|", (0, -1)),
        (f"35=0|{HEAD}5000=HI|", (0, 5000)),
        (f"35=D|{HEAD}{ORDER.replace('11=A|', '')}", (1, 11)),
        ("35=0|34=2|49=TW|52=20240102-03:04:05|", (1, 56)),
        ("35=0|34=2|49=TW|56=ISLD|", (1, 52)),
        (f"35=0|{HEAD}55=MSFT|", (2, 55)),
        (f"35=0|{HEAD}112=|", (4, 112)),
        (f"35=D|{HEAD}{ORDER.replace('21=1', '21=4')}", (5, 21)),
        (f"35=D|{HEAD}{ORDER}18=1 2|", None),
        (f"35=D|{HEAD}{ORDER}18=1 ?|", (5, 18)),
        (f"35=D|{HEAD}{ORDER.replace('38=200.00', '38=+200.00')}", (6, 38)),
        (f"35=*|{HEAD}", (11, None)),
        (f"35=D|{HEAD}{ORDER}40=1|", (13, 40)),
        (f"35=D|{ORDER}{HEAD}", (14, 34)),
        (f"35=0|{HEAD}93=1|89=x|112=A|", (14, 112)),
        (f"35=D|{HEAD}{ORDER}386=3|336=1|336=2|", (16, 386)),
        (f"35=D|{HEAD}{ORDER}386=2|336=1|336=2|", None),
        (f"35=D|{HEAD}{ORDER}386=0|", None),
        (f"35=D|{HEAD}{ORDER}386=1|", (16, 386)),
    ],
)
def test_each_fault_gets_its_reason_and_tag(body: str, expected: tuple[int, int | None] | None) -> None:
    assert verdict(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # out of order before unknown type, before required, before values
        (f"35=*|55=A|{HEAD}", (14, 34)),
        (f"35=*|{HEAD}999=|", (11, None)),
        (f"35=D|{HEAD}11=|999=1|", (1, 40)),
        # header before trailer before body, each ascending
        (f"35=D|43=X|{HEAD}{ORDER}999=1|", (6, 43)),
        (f"35=D|{HEAD}{ORDER.replace('54=1', '54=?').replace('38=200.00', '38=x')}", (6, 38)),
        # one field: repeated, empty, format, enumeration, defined at all, defined here
        (f"35=D|{HEAD}{ORDER}110=|", (4, 110)),
        (f"35=D|{HEAD}{ORDER}7=x|", (6, 7)),
        (f"35=D|{HEAD}{ORDER}4=?|", (5, 4)),
        (f"35=D|{HEAD}{ORDER}4=B|", (2, 4)),
    ],
)
def test_of_several_faults_the_first_in_the_reference_order_is_told(
    body: str, expected: tuple[int, int | None]
) -> None:
    assert verdict(body) == expected


def test_missing_comp_id_of_an_application_message_is_a_business_reject() -> None:
    fault = validator_for("FIX.4.4").check(message(f"35=D|34=2|49=TW|52=20240102-03:04:05|{ORDER}"))
    assert fault == Refusal(RejectReason.REQUIRED_TAG_MISSING, 56, BusinessReason.REQUIRED_FIELD_MISSING)
    admin = validator_for("FIX.4.4").check(message("35=0|34=2|56=TW|52=20240102-03:04:05|"))
    assert admin == Refusal(RejectReason.REQUIRED_TAG_MISSING, 49)


@pytest.mark.parametrize(
    ("switches", "body", "strictly", "loosely"),
    [
        ({"validate_fields_out_of_order": False}, f"35=D|{ORDER}{HEAD}", (14, 34), None),
        ({"validate_fields_have_values": False}, f"35=0|{HEAD}112=|", (4, 112), None),
        ({"validate_fields_have_values": False}, f"35=D|{HEAD}{ORDER}110=|", (4, 110), (6, 110)),
        ({"validate_user_defined_fields": False}, f"35=0|{HEAD}5000=A|", (0, 5000), None),
        ({"validate_user_defined_fields": False}, f"35=0|{HEAD}4999=A|", (0, 4999), (0, 4999)),
        ({"allow_unknown_msg_fields": True}, f"35=0|{HEAD}999=A|", (0, 999), None),
        ({"allow_unknown_msg_fields": True}, f"35=0|{HEAD}55=A|", (2, 55), None),
        ({"allow_unknown_msg_fields": True}, f"35=0|{HEAD}5000=A|", (0, 5000), (0, 5000)),
        ({"allow_unknown_msg_fields": True}, f"35=0|{HEAD}-1=A|", (0, -1), (0, -1)),
        ({"check_required": False}, f"35=D|{HEAD}", (1, 11), None),
    ],
)
def test_each_switch_lets_pass_what_it_says_and_no_more(
    switches: dict[str, bool], body: str, strictly: object, loosely: object
) -> None:
    assert verdict(body) == strictly
    assert verdict(body, Validation(**switches)) == loosely


def test_before_4_2_a_char_is_text() -> None:
    order = "35=D|34=2|49=TW|52=20240102-03:04:05|56=ISLD|11=ABC|21=1|40=1|54=1|38=200|55=INTC|"
    assert verdict(order, version="FIX.4.0") is None
    assert verdict(order + "47=AB|", version="FIX.4.1") == (5, 47)
    assert verdict(order + "60=20240102-03:04:05|47=AB|", version="FIX.4.2") == (6, 47)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("453=1|448=X|447=D|452=1|", None),
        ("453=1|448=X|447=?|452=1|", (5, 447)),
        ("453=1|448=X|447=DD|452=1|", (6, 447)),
        ("453=2|447=D|448=X|452=1|", (15, 447)),
        ("453=1|448=X|452=1|447=D|", (15, 447)),
        ("453=1|448=|", (4, 448)),
        ("453=1|448=X|802=2|523=A|803=1|", (16, 802)),
        ("453=1|448=X|802=1|523=A|803=x|", (6, 803)),
        ("541=20240231|", (6, 541)),
        ("15=usd|", (6, 15)),
        ("200=202413|", (6, 200)),
        ("200=202412w2|", None),
    ],
)
def test_strict_looks_into_groups_and_dates(tail: str, expected: object) -> None:
    body = f"35=D|{HEAD}{ORDER}{tail}"
    assert verdict(body) is None
    assert verdict(body, Validation(strict=True)) == expected


def test_required_members_of_a_required_group_are_asked_for() -> None:
    # NewOrderList: NoOrders is required, its ClOrdID, ListSeqNo, Side are too
    head = f"35=E|{HEAD}66=L|394=1|68=1|73=1|"
    assert verdict(head + "11=A|67=1|54=1|55=X|") is None
    assert verdict(head + "11=A|67=1|55=X|") == (1, 54)


def test_required_members_of_an_optional_group_only_when_strict() -> None:
    # NewOrderCross: an optional NoLegs entry; AllocationInstruction's NoOrders
    changed = overlay(load("FIX.4.4"), {"messages": {"D": {"add": ["<382 375! 337 >"]}}})
    body = message(f"35=D|{HEAD}{ORDER}382=1|337=X|")
    assert Validator(changed).check(body) is None
    assert Validator(changed, validation=Validation(strict=True)).check(body) == Refusal(
        RejectReason.REQUIRED_TAG_MISSING, 375
    )


FIXT_ORDER = f"35=D|{HEAD}11=A|40=1|54=1|38=2|55=INTC|60=20240102-03:04:05|"


def test_fixt_takes_the_application_version_of_message_then_of_logon() -> None:
    validator = validator_for("FIXT.1.1", "9")
    # 1300 MarketSegmentID: in NewOrderSingle of neither; 1138 DisplayQty came with FIX.5.0
    assert validator.check(message(f"{FIXT_ORDER}1138=1|", "FIXT.1.1"), "7") is None
    fault = validator.check(message(f"{FIXT_ORDER}1138=1|", "FIXT.1.1"), "6")
    assert fault is not None and fault.reason is RejectReason.INVALID_TAG
    with_own = f"{FIXT_ORDER.replace('49=TW', '49=TW|1128=7')}1138=1|"
    assert validator.check(message(with_own, "FIXT.1.1"), "6") is None


def test_fixt_refuses_an_application_version_without_dictionary() -> None:
    validator = Validator(load("FIXT.1.1"), {"9": load("FIX.5.0SP2")})
    assert validator.check(message(FIXT_ORDER, "FIXT.1.1"), "9") is None
    assert validator.check(message(FIXT_ORDER, "FIXT.1.1")) is None  # one application: it is meant
    unsupported = message(FIXT_ORDER.replace("49=TW", "49=TW|1128=7"), "FIXT.1.1")
    assert validator.check(unsupported, "9") == Refusal(RejectReason.APPL_VERSION_UNSUPPORTED, 1128)
    invented = message(FIXT_ORDER.replace("49=TW", "49=TW|1128=x"), "FIXT.1.1")
    assert validator.check(invented, "9") == Refusal(RejectReason.VALUE_INCORRECT, 1128)


def test_fixt_session_messages_come_from_the_transport() -> None:
    validator = validator_for("FIXT.1.1", "9")
    logon = message(f"35=A|{HEAD}98=0|108=30|1137=9|", "FIXT.1.1")
    assert validator.check(logon) is None
    without = message(f"35=A|{HEAD}98=0|108=30|", "FIXT.1.1")
    assert validator.check(without) == Refusal(RejectReason.REQUIRED_TAG_MISSING, 1137)


def test_without_dictionary_the_structure_is_checked() -> None:
    validator = Validator()
    assert validator.check(message(f"35=D|{HEAD}{ORDER}9999=x|")) is None
    assert validator.check(message(f"35=D|{HEAD}{ORDER}58=|")) == Refusal(RejectReason.TAG_WITHOUT_VALUE, 58)
    assert validator.check(message(f"35=1|{HEAD}")) == Refusal(RejectReason.REQUIRED_TAG_MISSING, 112)


def test_sessions_with_equal_settings_share_a_validator() -> None:
    assert validator_for("FIX.4.4") is validator_for("FIX.4.4", validation=Validation())
    assert validator_for("FIX.4.4") is not validator_for("FIX.4.4", validation=Validation(strict=True))


def test_what_a_peer_invents_is_not_kept() -> None:
    validator = Validator(load("FIXT.1.1"), {"9": load("FIX.5.0SP2")})
    for number in range(200):
        validator.check(message(f"35=X{number}|{HEAD}", "FIXT.1.1"), "9")
        validator.check(message(f"35=D|1128={number}|{HEAD}", "FIXT.1.1"), "9")
    assert list(validator._plans) == [(b"D", "9")]


@pytest.mark.parametrize("version", ["FIX.4.0", "FIX.4.2", "FIX.4.4", "FIX.5.0SP2"])
def test_the_quick_pass_and_the_close_look_agree(version: str) -> None:
    """A message is sound for the one exactly when the other finds no fault."""
    rng = random.Random(version)
    application = load(version)
    transport = load("FIXT.1.1") if version.startswith("FIX.5") else application
    validator = Validator(transport, None if transport is application else application)
    raw_data = traffic.data_tags(transport) | traffic.data_tags(application)  # alone, they are a matter of the parser
    tags = [tag for tag in application.tags if tag not in raw_data]
    sound = 0
    for _ in range(300):
        msg_type = rng.choice(sorted(application.msg_types))
        fields = traffic.sound_message(transport, application, msg_type, rng, 0.1)
        if rng.random() < 0.5:
            fields = traffic.mutate(fields, tags, rng)
        one = parse(traffic.wire(transport.version, msg_type, fields))
        plan = validator._plan(one, "9")
        assert not isinstance(plan, Refusal)
        assert validator.check(one, "9") == validator._judge(one, plan)
        sound += validator.check(one, "9") is None
    assert 100 < sound < 290


def test_every_message_of_every_version_can_be_sound() -> None:
    rng = random.Random(5)
    checked = 0
    for code in "23456789":
        application: DataDictionary = load(code)
        transport = application if code < "7" else load("FIXT.1.1")
        validator = Validator(transport, None if transport is application else application)
        for msg_type in application.msg_types:
            fields = traffic.sound_message(transport, application, msg_type, rng, 0.0)
            one = parse(traffic.wire(transport.version, msg_type, fields))
            assert validator.check(one, code) is None, one
            checked += 1
    assert checked == 616


FIELDS = st.lists(
    st.tuples(
        st.one_of(st.integers(-5, 1200), st.sampled_from((8, 9, 10, 35, 49, 56, 453, 448, 802, 523, 1128))),
        st.one_of(st.binary(max_size=12), st.sampled_from(traffic.ODD)).map(lambda value: value.replace(b"\x01", b"")),
    ),
    max_size=25,
)


@given(st.sampled_from(("D", "8", "i", "A", "0", "\xe9", "")), FIELDS, st.sampled_from(("", "9", "x")), st.booleans())
@settings(max_examples=400, deadline=None)
def test_nothing_that_a_peer_sends_breaks_the_check(
    msg_type: str, fields: traffic.Fields, appl_ver_id: str, strict: bool
) -> None:
    head = [(8, b"FIX"), (9, b"1"), (35, msg_type.encode("latin-1"))]
    one = Message(b"", head + fields)
    for begin_string in ("FIX.4.0", "FIX.4.4", "FIXT.1.1"):
        refusal = validator_for(begin_string, validation=Validation(strict=strict)).check(one, appl_ver_id)
        assert refusal is None or refusal.text
