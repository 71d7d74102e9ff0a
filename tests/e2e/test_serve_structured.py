"""Structured output of a running server with a small real model: every complete answer parses and validates, however it is sampled."""

import concurrent.futures
import json
import re

import jsonschema
import pytest
from openai import BadRequestError, OpenAI

SCHEMAS = {
    "person": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120}}, "required": ["name", "age"]},
    "enum": {"type": "object", "properties": {"color": {"enum": ["red", "green", "blue"]}}, "required": ["color"], "additionalProperties": False},
    "const": {"type": "object", "properties": {"kind": {"const": "fixed"}, "n": {"const": 7}}, "required": ["kind", "n"]},
    "array": {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 5}, "minItems": 1, "maxItems": 4},
    "tuple": {"type": "array", "prefixItems": [{"type": "string", "maxLength": 8}, {"type": "boolean"}], "items": False, "minItems": 2},
    "nested": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}}, "required": ["b"]}}, "required": ["a"]},
    "nullable": {"type": "object", "properties": {"x": {"type": ["integer", "null"]}}, "required": ["x"]},
    "anyOf": {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"t": {"type": "null"}}, "required": ["t"]}]},
    "oneOf": {"oneOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}]},
    "allOf": {"allOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
    "ref": {"$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}}, "type": "object", "properties": {"p": {"$ref": "#/$defs/point"}}, "required": ["p"]},
    "pattern": {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"}}, "required": ["code"]},
    "date": {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]},
    "uuid": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]},
    "number": {"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}}, "required": ["p"]},
    "multiple": {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 5}}, "required": ["n"]},
    "optional": {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}, "c": {"type": "boolean"}}},
    "length": {"type": "string", "minLength": 3, "maxLength": 6},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "draft4": {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 3, "exclusiveMinimum": True, "maximum": 8},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
    "not": {"type": "object", "properties": {"word": {"type": "string", "maxLength": 8, "not": {"pattern": "^[a-m]"}}}, "required": ["word"]},
    "either": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "if": {
        "type": "object", "properties": {"k": {"enum": ["x", "y"]}, "n": {"type": "integer"}}, "required": ["k"],
        "if": {"properties": {"k": {"const": "x"}}}, "then": {"required": ["n"]}, "else": {"not": {"required": ["n"]}},
    },
    "contains": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "contains": {"const": "green"}, "maxContains": 1, "maxItems": 3},
    "half": {"type": "object", "properties": {"n": {"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 20}}, "required": ["n"]},
    "unique": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "uniqueItems": True, "minItems": 2},
}


@pytest.fixture(scope="module")
def client(server):
    return OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=300)


def ask(client, server, schema, **options):
    defaults = {"temperature": 1.5, "max_completion_tokens": 160}
    return client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Give me an example as JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "example", "schema": schema, "strict": True}},
        **(defaults | options),
    )


def check(schema, choice):
    """False for an answer that the token limit cut."""
    if choice.finish_reason == "length":
        return False
    assert choice.finish_reason == "stop"
    value = json.loads(choice.message.content)
    jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema).validate(value)
    return True


@pytest.mark.parametrize("name", SCHEMAS)
def test_complete_answers_validate_at_a_high_temperature(client, server, name):
    schema = SCHEMAS[name]
    answers = ask(client, server, schema, n=4, seed=11).choices
    assert len(answers) == 4
    complete = [check(schema, choice) for choice in answers]
    if name not in {"map", "person"}:  # texts and names of any length may run into the limit
        assert any(complete)


def test_streamed_pieces_are_the_same_valid_answer(client, server):
    schema = SCHEMAS["nested"]
    whole = ask(client, server, schema, seed=5).choices[0].message.content
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(client, server, schema, seed=5, stream=True) if chunk.choices]
    assert "".join(pieces) == whole
    jsonschema.validate(json.loads(whole), schema)


def test_different_schemas_share_a_batch_without_mixing(client, server):
    names = ["enum", "array", "pattern", "allOf", "boolean", "draft4"]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: ask(client, server, SCHEMAS[name], seed=3).choices[0], names))
    for name, answer in zip(names, answers):
        assert check(SCHEMAS[name], answer)


def test_json_object_regex_grammar_and_choice(client, server):
    def answer(**extra):
        response_format = extra.pop("response_format", None)
        options = {"response_format": response_format} if response_format else {}
        return client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": "Hello"}], temperature=1.2, seed=2, max_completion_tokens=200, extra_body=extra, **options
        ).choices[0]

    thing = answer(response_format={"type": "json_object"})
    if thing.finish_reason == "stop":
        assert isinstance(json.loads(thing.message.content), dict)
    assert re.fullmatch("[a-c]{3}[0-9]", answer(regex="[a-c]{3}[0-9]").message.content)
    assert re.fullmatch("[a-c]{3}[0-9]", answer(guided_regex="[a-c]{3}[0-9]").message.content)
    assert answer(grammar='root ::= "yes" | "no" " way"').message.content in {"yes", "no way"}
    assert answer(guided_choice=["up", "down"]).message.content in {"up", "down"}
    assert answer(structured_outputs={"choice": ["left"]}).message.content == "left"
    assert isinstance(json.loads(answer(guided_json={"type": "boolean"}).message.content), bool)


def test_completions_take_a_constraint_too(client, server):
    answer = client.completions.create(model=server.model, prompt="The answer is ", max_tokens=20, temperature=1, extra_body={"regex": "(yes|no)!"})
    assert answer.choices[0].text in {"yes!", "no!"}


def test_a_required_tool_is_called_with_valid_arguments(client, server):
    parameters = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["city", "days"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        answer = client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": "Weather?"}], tools=tools, tool_choice=choice, parallel_tool_calls=False, temperature=1, seed=4, max_completion_tokens=120
        ).choices[0]
        if answer.message.tool_calls:
            call = answer.message.tool_calls[0].function
            name, arguments = call.name, json.loads(call.arguments)
        else:
            text = answer.message.content
            call = json.loads(text[text.index("{") : text.rindex("}") + 1])
            name, arguments = call["name"], call["arguments"]
        assert name == "weather"
        jsonschema.validate(arguments, parameters)


@pytest.mark.parametrize(
    "schema, keyword",
    [
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "number", "not": {"type": "integer"}}, "keyword not is not supported here"),
        ({"type": "array", "$dynamicRef": "#item"}, "keyword .dynamicRef is not supported"),
        ({"type": "number", "multipleOf": 0.00012347}, "multipleOf 0.00012347 is not supported here"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "a", "minLength": 3}}}, "pattern"),
        ({"type": "string", "minlength": 3}, "minlength"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "no value can be valid"),
    ],
)
def test_what_a_mask_cannot_hold_to_is_named(client, server, schema, keyword):
    with pytest.raises(BadRequestError, match=keyword):
        ask(client, server, schema)


@pytest.mark.parametrize("regex", ["((((a{99}){99}){99}){99})", "(" * 500 + "a" + ")" * 500, "a(", "(?=x)y"])
def test_a_regular_expression_that_explodes_or_is_none_is_refused(client, server, regex):
    with pytest.raises(BadRequestError, match="regular expression|grammar"):
        client.chat.completions.create(model=server.model, messages=[{"role": "user", "content": "x"}], extra_body={"regex": regex})
