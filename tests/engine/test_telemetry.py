"""Telemetry: what leaves the step reaches an onlooker, in order, and never stops the step."""

import msgspec
import numpy as np
import pytest

from config.schema import AxiomConfig, EngineConfig
from engine.telemetry import open_telemetry
from market.enums import FrameKind
from market.errors import RingError, TransportError
from market.rings import VOID_NS
from market.transport.aeron import backend
from market.transport.choose import open_subscriber


def configured(tmp_path, telemetry: str) -> AxiomConfig:
    engine = EngineConfig(state_dir=str(tmp_path / "run"), runtime_dir=str(tmp_path / "rings"), telemetry=telemetry)
    return AxiomConfig(engine=engine)


def outputs(first: int, count: int) -> np.ndarray:
    cells = np.zeros((count, 16), np.int64)
    cells[:, 0] = FrameKind.ORDER
    cells[:, 15] = np.arange(first, first + count)
    return cells


def test_none_is_the_default_and_costs_nothing(tmp_path):
    assert open_telemetry(AxiomConfig()) is None and open_telemetry(configured(tmp_path, "none")) is None


def test_an_onlooker_of_the_ring_sees_every_frame_and_the_end(tmp_path):
    telemetry = open_telemetry(configured(tmp_path, "ring:telemetry.ring"))
    onlooker = open_subscriber("ring:telemetry.ring", base=tmp_path / "rings")
    telemetry.send(outputs(0, 300), 300)
    telemetry.send(outputs(300, 100), 50)
    out = np.zeros((512, 16), np.int64)
    assert onlooker.poll(out) == 350 and list(out[:350, 15]) == list(range(350))
    assert (telemetry.sent, telemetry.lost) == (350, 0)
    telemetry.beat()
    assert onlooker.heartbeat_ns > 0
    telemetry.close()
    assert onlooker.ended and not (tmp_path / "rings" / "telemetry.ring").exists()
    onlooker.close()


def test_a_slow_onlooker_loses_frames_and_is_told(tmp_path):
    telemetry = open_telemetry(configured(tmp_path, "ring:t"))
    onlooker = open_subscriber("ring:t", base=tmp_path / "rings")
    for first in range(0, 40_000, 1000):
        telemetry.send(outputs(first, 1000), 1000)
    out = np.zeros((64, 16), np.int64)
    assert onlooker.poll(out) == 1 and (out[0, 0], out[0, 5]) == (FrameKind.TIMER, VOID_NS)
    telemetry.send(outputs(7, 1), 1)
    assert onlooker.poll(out) == 1 and out[0, 15] == 7
    telemetry.close()
    onlooker.close()


def test_a_second_daemon_on_the_same_ring_is_refused(tmp_path, monkeypatch):
    config = configured(tmp_path, "ring:t")
    telemetry = open_telemetry(config)
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(RingError, match="is published to by process"):
        open_telemetry(config)
    monkeypatch.undo()
    telemetry.close()


@pytest.mark.parametrize("address", ["ring:", "aeron:ipc", "aeron:udp?endpoint=h:1;stream=x", "udp:1"])
def test_a_wrong_address_is_refused_by_the_schema_or_by_name(tmp_path, address):
    from config.load import load_text

    with pytest.raises(Exception, match="telemetry"):
        load_text(f'[engine]\ntelemetry = "{address}"\n', environ={})


@pytest.mark.skipif(bool(backend()), reason=f"{backend()} is installed")
def test_aeron_that_is_not_installed_is_said_before_anything_trades(tmp_path):
    config = configured(tmp_path, "aeron:udp?endpoint=127.0.0.1:40123")
    assert msgspec.json.encode(config)
    with pytest.raises(TransportError, match="pip install"):
        open_telemetry(config)
