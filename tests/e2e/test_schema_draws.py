"""Random schemas of the words that take something away: what their masks allow validates with Python's jsonschema, under every draft."""
import json
import random
import subprocess

import jsonschema
import pytest
from exact_validator import exact_validator
from scripted_model import write_scripted_model
from squish_program import BUILD

NAMES = ["a", "b", "c", "ab"]
DRAFTS = [
    "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema",
]
LEAVES = [
    {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"const": "x"}, {"const": 1}, {"enum": ["x", "y", 1, 2.5, None]},
    {"type": "string", "enum": ["x", "y", "z"]}, {}, {"type": "integer", "minimum": 1}, {"type": "number", "exclusiveMaximum": 2, "exclusiveMinimum": -9},
    {"type": "string", "minLength": 1}, {"maxLength": 2}, {"pattern": "^x"}, {"pattern": "^[xy]+$"}, {"pattern": "x|^y"}, {"pattern": "^(?!x)[xyz]+$"}, {"pattern": "^(?=.*y)(?!yy)[xy]+$"}, {"type": ["string", "null"]},
    {"maximum": 2.5}, {"type": "array", "maxItems": 2}, {"enum": [{"a": 1}, {"b": "x"}, [1], []]}, {"$ref": "#/definitions/d"},
]


def random_schema(chance, depth):
    if depth == 0 or chance.random() < 0.2:
        return chance.choice(LEAVES)
    inner = lambda: random_schema(chance, depth - 1)
    out = {"type": "object"} if chance.random() < 0.8 else {}
    words = {
        "properties": lambda: {name: inner() for name in chance.sample(NAMES, 2)},
        "required": lambda: chance.sample(NAMES, 1),
        "additionalProperties": lambda: chance.choice([False, chance.choice(LEAVES)]),
        "patternProperties": lambda: {pattern: inner() for pattern in chance.sample(["^a", "b", "^.$"], chance.randint(1, 2))},
        "propertyNames": lambda: chance.choice([{"enum": ["a", "b"]}, {"pattern": "^a"}, {"not": {"enum": ["c"]}}]),
        "maxProperties": lambda: 1,
        "dependencies": lambda: {chance.choice(NAMES): chance.choice([[chance.choice(NAMES)], inner()])},
        "not": inner,
        "oneOf": lambda: [inner() for _ in range(chance.randint(1, 3))],
        "anyOf": lambda: [inner(), inner()],
        "allOf": lambda: [inner(), inner()],
        "if": inner,
        "then": inner,
        "else": inner,
    }
    chances = {"properties": 0.8, "required": 0.4, "oneOf": 0.3, "not": 0.2, "if": 0.2, "then": 0.3}
    out |= {word: make() for word, make in words.items() if chance.random() < chances.get(word, 0.1)}
    if chance.random() < 0.15:
        return {"type": "array", "items": inner(), "uniqueItems": chance.random() < 0.3, "not": inner()}
    return out


def checked(schemas, count, validator_of):
    """The first `count` that their own draft calls schemas, each with its validator."""
    out = []
    for schema in schemas:
        validator = validator_of(schema)
        try:
            validator.check_schema(schema)
        except jsonschema.SchemaError:
            continue
        out.append((schema, validator))
        if len(out) == count:
            return out
    raise AssertionError(f"only {len(out)} schemas")


def definitions():
    return {"d": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}


def valid_schemas(count):
    chance = random.Random(20)

    def drawn():
        while True:
            yield {"$schema": chance.choice(DRAFTS), **random_schema(chance, chance.randint(1, 3)), "definitions": definitions()}

    return checked(drawn(), count, lambda schema: jsonschema.validators.validator_for(schema)(schema))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("draws") / "scripted.gguf"
    write_scripted_model(path, {"hello": "Hello."})
    return path


def random_list(chance):
    """Arrays that ask how many of their items are what, and numbers that are multiples."""
    number = lambda: {"type": chance.choice(["number", "integer"])} | {
        word: value for word, value in (
            ("multipleOf", chance.choice([0.01, 0.1, 0.5, 0.25, 2.5, 0.3, 1, 2, 7, 10])),
            ("minimum", chance.choice([-3, 0, 0.5, 2.25, 100])),
            ("maximum", chance.choice([-1, 3, 9.99, 250])),
            ("exclusiveMinimum", chance.choice([-7, 0, 1.5])),
            ("exclusiveMaximum", chance.choice([0.1, 20])),
        ) if chance.random() < (0.9 if word == "multipleOf" else 0.25)
    }
    if chance.random() < 0.3:
        return number()
    few = lambda: chance.choice([{"enum": ["x", "y", 1, 0.3, None]}, {"type": "boolean"}, {"enum": [1, 2, 3, 4]}])
    item = lambda: chance.choice([few, number, lambda: chance.choice(LEAVES)])()
    out = {"type": "array", "contains": item()}
    words = {
        "items": item,
        "minContains": lambda: chance.randint(0, 3),
        "maxContains": lambda: chance.randint(0, 3),
        "minItems": lambda: chance.randint(0, 4),
        "maxItems": lambda: chance.randint(1, 5),
        "allOf": lambda: [{"contains": item()}],
        "prefixItems": lambda: [item(), item()],
        "not": lambda: {"contains": item()},
        "uniqueItems": lambda: True,
    }
    out |= {word: make() for word, make in words.items() if chance.random() < (0.6 if word == "items" else 0.2)}
    if out.get("uniqueItems"):
        out["items"] = few()
    return out


def random_unevaluated(chance, depth):
    """A schema that says what the names or items may be that the schemas in it do not speak of."""
    inner = lambda: random_unevaluated(chance, depth - 1) if depth > 0 and chance.random() < 0.5 else random_schema(chance, 1)
    rest = lambda: chance.choice([False, False, {"type": "integer"}, {"enum": ["x"]}])
    if chance.random() < 0.3:
        item = lambda: chance.choice(LEAVES)
        words = {
            "prefixItems": lambda: [item(), item()],
            "contains": item,
            "minItems": lambda: chance.randint(0, 3),
            "allOf": lambda: [{"prefixItems": [item()]}, {"contains": item()}],
            "anyOf": lambda: [{"prefixItems": [item(), item(), item()]}, {"items": item()}],
            "if": lambda: {"prefixItems": [item()]},
            "then": lambda: {"prefixItems": [item(), item()]},
            "not": lambda: {"prefixItems": [item()]},
        }
        out = {"type": "array", "unevaluatedItems": rest()}
    else:
        words = {
            "properties": lambda: {name: random_schema(chance, 1) for name in chance.sample(NAMES, chance.randint(1, 2))},
            "required": lambda: chance.sample(NAMES, 1),
            "patternProperties": lambda: {chance.choice(["^a", "b"]): random_schema(chance, 0)},
            "allOf": lambda: [inner(), {"$ref": "#/definitions/d"}],
            "anyOf": lambda: [inner(), inner()],
            "oneOf": lambda: [inner(), inner()],
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentSchemas": lambda: {chance.choice(NAMES): inner()},
            "$ref": lambda: "#/definitions/d",
        }
        out = {"type": "object"} | ({"unevaluatedProperties": rest()} if chance.random() < 0.8 else {})
    chances = {"properties": 0.6, "required": 0.4}
    return out | {word: make() for word, make in words.items() if chance.random() < chances.get(word, 0.25)}


def is_misread(schema):
    """For 2019-09 jsonschema takes the keywords of such a schema for the names that it speaks of."""
    if isinstance(schema, list):
        return any(map(is_misread, schema))
    words = ("additionalProperties", "unevaluatedProperties")
    return isinstance(schema, dict) and (any(isinstance(schema.get(word), dict) for word in words) or any(map(is_misread, schema.values())))


def valid_schemas_of_unevaluated(count, seed=11):
    chance = random.Random(seed)

    def drawn():
        while True:
            schema = {"$schema": chance.choice(DRAFTS[3:]), **random_unevaluated(chance, chance.randint(0, 2))}
            if schema["$schema"] != DRAFTS[3] or not is_misread(schema):
                yield schema | {"definitions": definitions()}

    return checked(drawn(), count, exact_validator)


def test_texts_of_the_masks_of_schemas_with_unevaluated_names_and_items_validate(model):
    """unevaluatedProperties and unevaluatedItems were refused."""
    compiled = draw_and_validate(model, valid_schemas_of_unevaluated(800))
    assert sum("unevaluatedProperties" in schema for schema in compiled) > 120
    assert sum("unevaluatedItems" in schema for schema in compiled) > 50


def valid_schemas_of_lists(count):
    chance = random.Random(7)

    def drawn():
        while True:
            yield {"$schema": chance.choice(DRAFTS), **random_list(chance), "definitions": {"d": {"type": "object"}}}

    return checked(drawn(), count, exact_validator)


def test_texts_of_the_masks_of_random_lists_and_multiples_validate(model):
    """contains and fractions as multipleOf were refused."""
    compiled = draw_and_validate(model, valid_schemas_of_lists(600))
    assert sum("contains" in schema for schema in compiled) > 150
    assert sum(isinstance(schema.get("multipleOf"), float) for schema in compiled) > 50


def test_texts_of_the_masks_of_random_schemas_validate(model):
    assert len(draw_and_validate(model, valid_schemas(600))) > 300


def draw_and_validate(model, schemas):
    """Those that compile; every text of theirs must be valid."""
    lines = [json.dumps({"id": i, "schema": schema, "outputs": 3, "seed": i}) for i, (schema, _) in enumerate(schemas)]
    run = subprocess.run([BUILD / "tests" / "grammar" / "constrain_lines", model], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()][:-1]
    assert len(answers) == len(schemas)
    drawn = 0
    for (schema, validator), answer in zip(schemas, answers):
        for text in answer.get("outputs", []):
            if text is None:
                continue
            drawn += 1
            assert validator.is_valid(json.loads(text)), (json.dumps(schema), text)
    assert drawn > 600
    return [schema for (schema, _), answer in zip(schemas, answers) if "error" not in answer]
