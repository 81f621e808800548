"""CRC-32C of frames: the published check value, every single bit, and the seal of a range."""

import numpy as np
import pytest

from market.crc import count_sound, frame_crc, seal_frames
from market.records import frames


def _castagnoli(data: bytes) -> int:
    """Bit by bit, from the polynomial: the oracle."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_oracle_gives_the_published_check_value():
    assert _castagnoli(b"123456789") == 0xE3069283


def _random(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, 128)).astype(np.uint8)


def test_a_sealed_frame_is_sound_and_an_unsealed_one_is_not():
    raw = _random(3)
    assert count_sound(raw, 3) == 0
    seal_frames(raw, 0, 3)
    assert count_sound(raw, 3) == 3


def test_a_seal_touches_its_range_alone():
    raw = _random(4)
    before = raw.copy()
    seal_frames(raw, 1, 2)
    assert np.array_equal(raw[[0, 3]], before[[0, 3]])
    assert np.array_equal(np.delete(raw, range(4, 8), axis=1), np.delete(before, range(4, 8), axis=1))


@pytest.mark.parametrize("byte", [0, 1, *range(8, 128, 7), 127])
def test_any_flipped_bit_breaks_the_seal(byte):
    raw = _random(1)
    seal_frames(raw, 0, 1)
    for bit in range(8):
        raw[0, byte] ^= 1 << bit
        assert count_sound(raw, 1) == 0
        raw[0, byte] ^= 1 << bit


def test_the_value_is_that_of_bytes_8_on_seeded_with_the_kind():
    """CRC is linear: the kind enters as if xored onto the first bytes covered."""
    raw = _random(1)
    seeded = bytearray(raw[0, 8:].tobytes())
    seeded[0] ^= raw[0, 0]
    seeded[1] ^= raw[0, 1]
    assert frame_crc(raw, 0) == _castagnoli(bytes(seeded))


def test_an_untouched_frame_is_not_sound():
    assert count_sound(frames(1), 1) == 0
