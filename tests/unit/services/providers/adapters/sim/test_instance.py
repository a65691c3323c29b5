from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, Field, RootModel, TypeAdapter

from services.providers.adapters.sim.instance import Impossible, instance


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=20)
    number: int = Field(ge=7, le=9)
    zip: str = Field(max_length=3)


class Person(BaseModel):
    name: str
    colour: Colour
    kind: Literal["person"]
    addresses: list[Address] = Field(min_length=2, max_length=3)
    home: Address | None
    height: float = Field(gt=1.5, lt=1.6)
    even: int = Field(multiple_of=2, gt=10, lt=14)
    below: int = Field(lt=-3)
    tags: set[Annotated[str, Field(min_length=1)]] = Field(min_length=3)
    pair: tuple[int, str]
    anything: Any
    nothing: None
    flag: bool
    counts: dict[str, int]
    id: uuid.UUID
    site: AnyUrl
    born: date
    seen: datetime
    at: time
    lasted: timedelta
    four: IPv4Address
    six: IPv6Address
    price: Decimal
    nickname: str = "none"


class Tree(BaseModel):
    value: int
    left: Tree | None
    right: Tree | None
    children: list[Tree]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=0, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pets(RootModel[list[Annotated[Cat | Dog, Field(discriminator="kind")]]]):
    pass


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("model", [Person, Tree, Pets, Address])
def test_an_instance_of_a_model_s_schema_is_accepted_by_the_model(model: type[BaseModel], seed: int) -> None:
    made = instance(model.model_json_schema(), Random(seed))
    TypeAdapter(model).validate_python(made, strict=False)


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"const": 5}, 5),
        ({"enum": ["a"]}, "a"),
        ({"type": ["null", "boolean"], "enum": [True]}, True),
        ({"type": "object"}, {}),
        ({"type": "array", "maxItems": 0}, []),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 3}]}, 3),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"const": 1}}}, 1),
        ({"oneOf": [False, {"const": 2}]}, 2),
        ({"minimum": 0.3, "maximum": 0.4}, 0.35),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, 1.5),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3}, 2),
        ({"type": "string", "maxLength": 0}, ""),
        ({"properties": {"a": {"const": 1}, "b": False}}, {"a": 1}),
        ({"required": ["a"], "additionalProperties": {"const": 1}}, {"a": 1}),
        ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}, {"b": 2}),
        ({"prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2}, [1, 2]),
        ({"type": "array", "uniqueItems": True, "minItems": 2, "items": {"enum": [1, 1]}, "anyOf": [{}]}, None),
        ({"type": "array", "items": {"$ref": "#"}}, [[[]]]),
        ({"properties": {"a/b": {"const": 1}, "c": {"$ref": "#/properties/a~1b"}}}, {"a/b": 1, "c": 1}),
    ],
)
def test_an_instance_is_what_its_schema_allows(schema: Any, made: Any) -> None:
    if made is None:
        with pytest.raises(Impossible):
            instance(schema, Random(1))
    else:
        assert instance(schema, Random(1)) == made


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "colour"},
        {"type": 5},
        {"anyOf": []},
        {"properties": [1]},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/allOf/0"}]},
        {"required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "number", "minimum": 3, "maximum": 2},
        {"type": "array", "minItems": 9999, "items": {"const": 1}},
        {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"const": 1}},
    ],
)
def test_a_schema_that_nothing_satisfies_is_found_out(schema: Any) -> None:
    with pytest.raises(Impossible):
        instance(schema, Random(1))


def test_a_wide_recursive_schema_costs_no_more_than_it_should() -> None:
    schema = {"properties": {str(i): {"$ref": "#"} for i in range(12)}}
    assert instance(schema, Random(1))
