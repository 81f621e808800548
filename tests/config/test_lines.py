"""Line numbers of keys, over everything TOML allows between them."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.lines import Lines

TEXT = '''\
# a comment with = and [brackets]
top = 1

[a]
x = "# no comment [ here"
y = [
  1, # one ]
  2,
]
z = """
[not.a.table]
k = 1
"""
w = 2
[a.b]
"quoted key" = 1
c.d = 3
[[list]]
n = 1
[[list]]
n = 2
  [list.sub]
  m = 1
  [[list.deep]]
  q = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), 4),
        (("a", "x"), 5),
        (("a", "y"), 6),
        (("a", "z"), 10),
        (("a", "w"), 14),
        (("a", "b"), 15),
        (("a", "b", "quoted key"), 16),
        (("a", "b", "c", "d"), 17),
        (("list", 0), 18),
        (("list", 0, "n"), 19),
        (("list", 1, "n"), 21),
        (("list", 1, "sub", "m"), 23),
        (("list", 1, "deep", 0, "q"), 25),
    ],
)
def test_line_of_each_key(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(TEXT)
    assert Lines(TEXT).of(path) == line


def test_absent_key_has_the_line_of_its_table() -> None:
    assert Lines(TEXT).of(("a", "b", "absent")) == 15
    assert Lines(TEXT).of(("absent",)) == 1


@given(st.text(alphabet="ab=[]{}\"'#.\n\\ 1,", max_size=60))
def test_scanner_survives_any_text(text: str) -> None:
    Lines(text).of(("a",))
