"""Nested groups read right, and messages shown as a person reads them."""

import pytest

from fix.dictionary import decode, describe, load
from fix.messages import Message, checksum, parse

HEAD = "34=2|49=TW|52=20240102-03:04:05|56=ISLD|"


def message(body: str, begin_string: str = "FIX.4.4") -> Message:
    text = body.replace("|", "\x01").encode("latin-1")
    head = b"8=%b\x019=%d\x01" % (begin_string.encode(), len(text))
    return parse(head + text + b"10=%03d\x01" % checksum(head + text))


MASS_QUOTE = (
    f"35=i|{HEAD}117=Q7|296=2|"
    "302=S1|304=2|295=2|299=1|55=A|132=1.5|299=2|55=B|132=2.5|"
    "302=S2|304=1|295=1|299=3|55=C|133=9|"
)


def test_a_mass_quote_is_sets_of_entries() -> None:
    body = decode(message(MASS_QUOTE), load("FIX.4.4")).body
    sets = body.group(296)
    assert [one.text(302) for one in sets] == ["S1", "S2"]
    assert [[(entry.text(299), entry.text(55)) for entry in one.group(295)] for one in sets] == [
        [("1", "A"), ("2", "B")],
        [("3", "C")],
    ]
    assert [tag for tag, _ in body.fields] == [117, 296]
    assert sets[0].group(295)[0].get(133) is None


def test_a_group_ends_where_a_field_is_none_of_its_members() -> None:
    order = f"35=D|{HEAD}11=A|453=2|448=P|447=D|802=1|523=S|803=1|448=Q|21=1|55=X|54=1|60=20240102-03:04:05|40=1|"
    body = decode(message(order), load("FIX.4.4")).body
    first, second = body.group(453)
    assert first.group(802)[0].fields == [(523, b"S"), (803, b"1")]
    assert second.fields == [(448, b"Q")]
    assert body.get(21) == b"1"


def test_a_repeated_field_opens_an_entry_that_lacks_its_first() -> None:
    body = decode(message(f"35=V|{HEAD}262=R|263=1|264=0|267=1|269=0|146=2|48=1|48=2|"), load("FIX.4.4")).body
    assert [entry.text(48) for entry in body.group(146)] == ["1", "2"]


def test_the_header_has_groups_too() -> None:
    parts = decode(message(f"35=0|{HEAD}627=2|628=A|630=1|628=B|112=x|"), load("FIX.4.4"))
    assert [hop.text(628) for hop in parts.header.group(627)] == ["A", "B"]
    assert parts.body.text(112) == "x"
    assert parts.misplaced == 0


def test_a_fixt_message_takes_its_header_from_the_transport() -> None:
    parts = decode(message(f"35=W|{HEAD}55=A|268=1|269=0|270=1.5|", "FIXT.1.1"), load("9"), load("FIXT.1.1"))
    assert parts.header.text(49) == "TW"
    assert parts.body.group(268)[0].text(270) == "1.5"


def test_a_message_is_described_with_names_and_indented_groups() -> None:
    text = describe(message(MASS_QUOTE).raw)
    assert text.startswith("MassQuote (i), FIX.4.4\n")
    assert "  SenderCompID(49) = TW\n" in text
    assert "    [2]\n      QuoteSetID(302) = S2\n" in text
    assert "        [1]\n          QuoteEntryID(299) = 3\n" in text
    assert "MsgType(35) = i (MASS_QUOTE)" in text


def test_several_values_and_foreign_ones_are_named() -> None:
    text = describe(message(f"35=D|{HEAD}18=1 6|54=1|59=Z|9999=mine|").raw)
    assert "ExecInst(18) = 1 6 (NOT_HELD, PARTICIPATE_DO_NOT_INITIATE)" in text
    assert "Side(54) = 1 (BUY)" in text
    assert "TimeInForce(59) = Z (not enumerated)" in text
    assert "?(9999) = mine" in text


@pytest.mark.parametrize(
    ("begin_string", "secret"),
    [
        ("FIX.4.4", "553=joe|554=s3cret|"),
        ("FIX.4.2", "95=6|96=s3cret|"),
        ("FIXT.1.1", "553=joe|925=s3cret|1137=9|"),
        ("FIXT.1.1", "1401=6|1402=s3cret|1137=9|"),
        ("FIX.9.9", "554=s3cret|"),
    ],
)
def test_secrets_are_never_shown(begin_string: str, secret: str) -> None:
    text = describe(message(f"35=A|{HEAD}98=0|108=30|{secret}", begin_string).raw)
    assert "s3cret" not in text
    assert "********" in text


@pytest.mark.parametrize(
    "raw", [b"35=A\x01554=s3cret\x01x", b"8=FIX.4.4\x0135=A\x0196=s3cret\x01", b"35=A\x01554=s3cret"]
)
def test_secrets_are_not_shown_where_the_rest_cannot_be_read_either(raw: bytes) -> None:
    assert "s3cret" not in (text := describe(raw)) and "***" in text and text.startswith("unreadable (")


def test_bytes_that_are_no_message_are_said_to_be_none() -> None:
    assert describe(b"\x00\xffgarbage").startswith("unreadable (")
    assert describe(b"").count("\n") == 0
    assert "unreadable" not in describe(message(f"35=ZZ|{HEAD}").raw)
