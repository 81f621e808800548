"""A configuration written back is the same configuration."""

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import config
from config import AxiomConfig, load, load_text
from config.dump import to_toml
from config.schema import EngineConfig, RiskConfig

DEMO = Path(config.__file__).parent / "profiles" / "demo.toml"


def test_demo_profile_survives_the_round_trip() -> None:
    profile = load(DEMO, environ={})
    assert load_text(to_toml(profile), environ={}) == profile


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_path_survives_the_round_trip(path: str) -> None:
    profile = AxiomConfig(engine=EngineConfig(runtime_dir=path))
    assert load_text(to_toml(profile), environ={}) == profile


@given(
    st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), st.floats(allow_nan=False, allow_infinity=False))
)
def test_any_limit_survives_the_round_trip(limits: dict[str, float]) -> None:
    profile = AxiomConfig(risk=RiskConfig(limits=limits))
    assert load_text(to_toml(profile), environ={}) == profile


def test_every_key_is_written() -> None:
    text = to_toml(AxiomConfig())
    for section in ("engine", "quoting", "hedging", "theo"):
        for key, value in msgspec.to_builtins(getattr(AxiomConfig(), section)).items():
            assert (f"\n[{section}.{key}]" if isinstance(value, dict) else f"\n{key} = ") in text
