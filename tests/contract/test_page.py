"""docs/contract.md: its example is taken as it stands, and it says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from flowrt.contract import Contract, MeasurementSpec
from flowrt.contract.spec import FieldSpec
from flowrt.message import Event, Message

PAGE = (Path(__file__).resolve().parents[2] / "docs/contract.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.fixture
def noise() -> type[Message]:
    names: dict[str, Any] = {}
    exec(compile(block("python"), "contract.md", "exec", dont_inherit=True), names)
    made = names["Noise"]
    assert issubclass(made, Event)
    return made  # type: ignore[no-any-return]


def test_the_example_is_proved(noise: type[Message], tmp_path: Path) -> None:
    schema = json.loads(block("json"))
    (tmp_path / "noise.schema.json").write_text(json.dumps(schema))
    contract = Contract.load(extra=[tmp_path])
    assert contract.incompatibilities(noise, "topics") == []
    message = noise(time_s=1777888800.25, id="n1", level_db=91.5)  # type: ignore[call-arg]
    assert contract.payload(message, "main-and-5th") == schema["examples"][0]
    assert list(Draft202012Validator(schema).iter_errors(schema["examples"][0])) == []


def test_every_key_is_explained() -> None:
    of_fields = {field.encode_name for field in msgspec.structs.fields(FieldSpec)} - {"type"}
    of_spec = {field.encode_name for field in msgspec.structs.fields(MeasurementSpec)} - {"schema", "file"}
    table = PAGE[PAGE.index("| key | meaning |") :]
    assert [name for name in sorted(of_fields | of_spec) if f"`{name}`" not in table and f'"{name}"' not in table] == []
