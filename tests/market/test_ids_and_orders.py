"""Identifiers pack and unpack to the bit; the table of order states is whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.enums import OrdStatus
from market.ids import from_wire, make_cl_ord_id, run_of, sequence_of, slot_of, to_wire
from market.orders import TRANSITIONS, allowed, is_open, is_terminal

END = {OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED}


@given(st.integers(1, 65_535), st.integers(0, 2**32 - 1), st.integers(0, 65_535))
def test_an_id_holds_run_sequence_and_slot(run, sequence, slot):
    identifier = np.uint64(make_cl_ord_id(run, sequence, slot))
    assert int(identifier) == run << 48 | sequence << 16 | slot
    assert (run_of(identifier), sequence_of(identifier), slot_of(identifier)) == (run, sequence, slot)


@given(st.integers(0, 2**64 - 1))
def test_the_wire_form_is_sixteen_digits_and_back(identifier):
    text = to_wire(identifier)
    assert len(text) == 16 and text == text.upper() and from_wire(text) == identifier


def test_later_requests_of_a_slot_have_larger_ids_also_in_later_runs():
    ids = [int(make_cl_ord_id(r, s, 7)) for r, s in ((1, 5), (1, 6), (1, 2**32 - 1), (2, 0), (65_535, 1))]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("text", "digest"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)]
)
def test_a_foreign_id_is_its_fnv_1a_hash(text, digest):
    assert from_wire(text) == digest


@pytest.mark.parametrize("text", ["000000000000000a", "00000000000000AG", "0000000000000AB", "00000000000000ABC"])
def test_lower_case_and_other_lengths_are_foreign(text):
    assert to_wire(from_wire(text)) != text.upper()


@pytest.mark.parametrize("start", OrdStatus)
@pytest.mark.parametrize("end", OrdStatus)
def test_the_kernel_says_what_the_table_says(start, end):
    assert bool(allowed(start, end)) == (end in TRANSITIONS[start])


def test_every_state_is_in_the_table_and_either_open_or_over():
    assert set(TRANSITIONS) == set(OrdStatus)
    for status in OrdStatus:
        assert bool(is_terminal(status)) == (status in END) == (not is_open(status))


def test_nothing_leaves_the_end_and_every_open_state_reaches_it():
    for status in END:
        assert TRANSITIONS[status] == ()
    for status in set(OrdStatus) - END:
        assert END <= set(TRANSITIONS[status])
        assert OrdStatus.UNKNOWN in TRANSITIONS[status], "the line may break in any state"


def test_an_unknown_order_counts_as_open():
    assert is_open(OrdStatus.UNKNOWN) and not is_terminal(OrdStatus.UNKNOWN)


def test_a_partial_fill_is_never_taken_back_to_new():
    assert not allowed(OrdStatus.PARTIALLY_FILLED, OrdStatus.NEW)
