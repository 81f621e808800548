"""What the dictionaries know, how they are read, and that they come from their sources as they stand."""

import sys
from pathlib import Path

import pytest

from fix.dictionary import APPL_VERSIONS, VERSIONS, RejectReason, load, reject_catalogue
from fix.dictionary.generate import convert, main
from fix.dictionary.layout import format_layout, parse_layout
from fix.dictionary.loading import DATA
from fix.dictionary.model import DataDictionary, Source, escape, parse_source, unescape
from fix.errors import DictionaryError

XML = Path(sys.prefix) / "share" / "quickfix"


@pytest.mark.skipif(not XML.is_dir(), reason=f"no XML dictionaries at {XML} (they come with the quickfix package)")
def test_generating_again_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), *map(str, sorted(XML.glob("FIX*.xml")))]) == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in DATA.glob("*.dict")}
    assert len(made) == len(VERSIONS) == 9
    assert "6028 fields" in capsys.readouterr().out


@pytest.mark.parametrize("version", VERSIONS)
def test_a_data_file_is_sorted_and_reads_back(version: str) -> None:
    text = (DATA / f"{version}.dict").read_text(encoding="utf-8")
    source = parse_source(text, version)
    assert source.version == version
    assert source.text() == text
    assert len(text) < 500_000


@pytest.mark.parametrize(("code", "version"), APPL_VERSIONS.items())
def test_versions_load_once_by_name_and_by_code(code: str, version: str) -> None:
    assert load(code) is load(version)
    assert load(version).version == version


def test_an_unknown_version_names_the_nearest() -> None:
    with pytest.raises(DictionaryError, match=r"'FIX.4.5'.*did you mean FIX.4"):
        load("FIX.4.5")


def test_fields_have_names_types_and_values() -> None:
    side = load("FIX.4.4").field(54)
    assert side is not None
    assert (side.name, side.type, side.values["5"]) == ("Side", "CHAR", "SELL_SHORT")
    assert load("FIX.4.4").tag("ClOrdID") == 11
    assert load("FIX.4.4").field(99999) is None
    with pytest.raises(DictionaryError, match=r"did you mean .*ClOrdID"):
        load("FIX.4.4").tag("ClOrderID")


def test_required_reaches_through_components_only_where_all_are_required() -> None:
    source = Source(
        "FIX.4.4", {}, {"Outer": "1 @Inner!", "Inner": "2! 3"},
        {"A": "All app 9! @Outer!", "B": "Optional app 9! @Outer", "C": "Entry app <7! 8! @Inner @Outer! >"},
    )  # fmt: skip
    dictionary = DataDictionary(source)
    needed = {
        msg_type: sorted(tag for tag, member in definition.members.items() if member.required)
        for msg_type in "ABC"
        if (definition := dictionary.message(msg_type)) is not None
    }
    assert needed == {"A": [2, 9], "B": [9], "C": [7]}
    entry = dictionary.group("C", 7)
    assert entry is not None
    assert {tag: (member.required, member.direct) for tag, member in entry.members.items()} == {
        8: (True, True), 1: (False, False), 2: (True, False), 3: (False, False),
    }  # fmt: skip


def test_groups_nest_and_open_with_their_first_field() -> None:
    parties = load("FIX.4.4").group("D", 453)
    assert parties is not None
    assert parties.delimiter == 448
    inner = parties.members[802].group
    assert inner is not None
    assert (inner.delimiter, list(inner.members)) == (523, [523, 803])
    sets = load("FIX.4.4").group("i", 296)
    assert sets is not None
    assert (sets.delimiter, load("FIX.4.4").group("i", 295).delimiter) == (302, 299)  # type: ignore[union-attr]


def test_fix_5_has_its_header_in_fixt() -> None:
    assert not load("FIX.5.0SP2").header
    assert load("FIXT.1.1").header[1128].required is False
    assert load("FIXT.1.1").header[627].group is not None


def test_raw_data_is_found_with_its_length() -> None:
    assert load("FIX.4.4").data_tags[95] == 96
    assert load("FIX.4.4").data_tags[93] == 89
    assert load("FIX.5.0SP2").data_tags[1184] == 1185
    assert len(load("FIX.4.4").data_tags) == 16


def test_a_dictionary_decodes_only_what_is_asked_for() -> None:
    source = load("FIX.5.0SP2").source
    fresh = DataDictionary(source)
    fresh.message("D")
    assert len(fresh._messages) == 1
    assert len(fresh._fields) == 0


def test_layouts_read_back() -> None:
    line = "11! @Instrument! <453! 448! <802 523 803 > 447 > 58"
    assert format_layout(parse_layout(line.split())) == line


@pytest.mark.parametrize("tokens", [["<453", "448"], [">"], ["x1"], ["0"], ["²"]])
def test_a_broken_layout_is_refused(tokens: list[str]) -> None:
    with pytest.raises(DictionaryError, match="layout"):
        parse_layout(tokens)


@pytest.mark.parametrize("text", ["plain", "a b", "a=b", "50%", "%20", "line\nend"])
def test_names_survive_a_line(text: str) -> None:
    assert " " not in escape(text) and "\n" not in escape(text)
    assert unescape(escape(text)) == text


def test_a_damaged_file_names_its_line() -> None:
    with pytest.raises(DictionaryError, match=r"x\.dict:1: must open with"):
        parse_source("nonsense", "x.dict")
    with pytest.raises(DictionaryError, match=r"x\.dict:3: no line"):
        parse_source("axiom-fix-dictionary 1 FIX.4.4\nF 1 Account STRING\nZ oops\n", "x.dict")


def test_a_component_within_itself_is_named() -> None:
    source = Source("FIX.4.4", {1: "Account STRING"}, {"A": "@B", "B": "@A"}, {"D": "Order app @A"})
    with pytest.raises(DictionaryError, match="A contains itself: A > B > A"):
        DataDictionary(source).message("D")


MINIMAL = """<fix type='FIX' major='4' minor='4' servicepack='0'>
 <header><field name='BeginString' required='Y'/></header><trailer><field name='CheckSum' required='Y'/></trailer>
 <messages><message name='News' msgtype='B' msgcat='app'>{}</message></messages>
 <components><component name='Known'><field name='Text' required='Y'/></component></components>
 <fields><field number='8' name='BeginString' type='STRING'/><field number='10' name='CheckSum' type='STRING'/>
  <field number='58' name='Text' type='STRING'><value enum='A B' description='an example'/></field></fields></fix>"""


def test_any_xml_of_the_family_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.xml"
    path.write_text(MINIMAL.format("<component name='Known' required='Y'/>"))
    source = convert(path)
    assert source.text() == (
        "axiom-fix-dictionary 1 FIX.4.4\nF 8 BeginString STRING\nF 10 CheckSum STRING\n"
        "F 58 Text STRING A%20B=an%20example\nC Known 58!\nH 8!\nT 10!\nM B News app @Known!\n"
    )
    field = DataDictionary(source).field(58)
    assert field is not None and field.values == {"A B": "an example"}


@pytest.mark.parametrize(
    ("inside", "what"),
    [
        ("<field name='Headline' required='Y'/>", "Headline.*not among its <fields>"),
        ("<component name='Unknown' required='Y'/>", "component Unknown is not defined"),
        ("<field required='Y'/>", "needs name="),
    ],
)
def test_xml_that_contradicts_itself_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str, what: str
) -> None:
    path = tmp_path / "own.xml"
    path.write_text(MINIMAL.format(inside))
    with pytest.raises(DictionaryError, match=what):
        convert(path)
    assert main(["--out", str(tmp_path / "out"), str(path)]) == 1
    assert "own.xml" in capsys.readouterr().err


def test_the_catalogue_has_every_reject_with_its_text() -> None:
    rows = list(reject_catalogue())
    texts = {(row.tag, row.code): row.text for row in rows}
    assert texts[373, 5] == "Value is incorrect (out of range) for this tag"
    assert texts[380, 3] == "Unsupported Message Type"
    assert len(texts) == len(rows)
    assert {row.code for row in rows if row.tag == 373} <= {int(reason) for reason in RejectReason}
