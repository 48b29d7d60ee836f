"""Faults in words."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from nuguide.faults import first_fault


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 8


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    batch: int = 4
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()


def fault(values: dict[str, Any], model: type[BaseModel] | None = Outer) -> str:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate_json(json.dumps(values))
    return first_fault(error.value, "files", model=model)


def test_a_key_that_may_have_been_meant_is_named() -> None:
    assert fault({"batch_size": 2}) == "batch_size is unknown; expected batch"
    assert fault({"inner": {"widht": 2}}) == "inner.widht is unknown; expected width"


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({"colour": 1}, Outer),
        ({"batch_size": 1}, None),
        ({"inner": {"batch_size": 1}}, Outer),
        ({"several": [{"widht": 1}]}, Outer),
    ],
)
def test_what_is_like_no_key_there_is_told_without(
    values: dict[str, Any], model: type[BaseModel] | None
) -> None:
    assert fault(values, model).endswith("is unknown; expected a key that files have")


def test_a_value_is_shown_and_further_faults_counted() -> None:
    told = fault({"batch": "many", "nonsense": 1})
    assert told.startswith("batch: ")
    assert told.endswith("(got 'many'), and 1 more faults")
