"""The protocols with known answers: a scripted model (scripted_model.py) says each form of a tool call, thoughts, and characters in pieces,
and every dialect must tell the same, streamed and not. No weights of anybody are needed."""

import json

import anthropic
import ollama
import openai
import pytest
from scripted_model import CONTEXT, write_scripted_model
from server_process import ServerProcess
from squish_program import Squish

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
NOW = {"type": "object", "properties": {}}
CALL = ("get_weather", {"city": "Zürich", "days": 2})
# What models write, and what it means: text and calls.
CALLS = {
    "qwen": ('I look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}\n</tool_call>', "I look.", [CALL]),
    "qwen-lines": ('<tool_call>\n{"name": "get_weather", "arguments": {\n  "city": "Zürich",\n  "days": 2\n}}\n</tool_call>', "", [CALL]),
    "qwen-two": (
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}\n</tool_call>',
        "", [("now", {}), CALL],
    ),
    "qwen-coder": (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>", "", [CALL],
    ),
    "llama": ('<|python_tag|>{"name": "get_weather", "parameters": {"city": "Zürich", "days": 2}}', "", [CALL]),
    "llama-function": ('<function=get_weather>{"city": "Zürich", "days": 2}</function>', "", [CALL]),
    "mistral": ('[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}, {"name": "now", "arguments": {}}]', "", [CALL, ("now", {})]),
    "mistral-new": ('Sure.[TOOL_CALLS]get_weather[ARGS]{"city": "Zürich", "days": 2}', "Sure.", [CALL]),
    "deepseek": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city":"Zürich","days":2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', "", [CALL],
    ),
    "kimi": (
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Zürich", "days": 2}'
        "<|tool_call_end|><|tool_calls_section_end|>", "", [CALL],
    ),
    "glm": (
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Zürich</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>", "", [CALL],
    ),
    "phi": ('<|tool_call|>[{"name":"get_weather","arguments":{"city":"Zürich","days":2}}]<|/tool_call|>', "", [CALL]),
    "fenced": ('```json\n{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}\n```', "", [CALL]),
    "alone": ('{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}', "", [CALL]),
    "not-declared": ('The object {"name": "launch", "arguments": {}} is no call.', 'The object {"name": "launch", "arguments": {}} is no call.', []),
    "data": ('{"city": "Zürich", "days": 2}', '{"city": "Zürich", "days": 2}', []),
}
TEXT = "Grüße aus 世界 🌍! One, two, STOP three. <b>not a tag</b> &amp; {\"a\": [1]}\r\nEnd\u2028of\u0085a\u2029line"
SCRIPTS = {name: said for name, (said, _, _) in CALLS.items()} | {
    "text": TEXT,
    "thought": "<think>\nThey want 世界.\n</think>\n\nHere it is: 🌍",
    "thought-call": '<think>\nuse it\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}\n</tool_call>',
    "endless": "tick 🌍 tock ",
    "done": "It snows.",
    "cut": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich", "days": 2',
}


@pytest.fixture(scope="module")
def scripted(program, tmp_path_factory):
    home = tmp_path_factory.mktemp("scripted-home")
    counts = write_scripted_model(home / "scripted.gguf", SCRIPTS)
    process = ServerProcess(Squish(program, home), home / "scripted.gguf", key="k")
    process.counts = counts
    yield process
    assert process.stop() == 0, process.log[-2000:]


@pytest.fixture(scope="module")
def clients(scripted):
    with openai.OpenAI(base_url=f"{scripted.base}/v1", api_key="k", max_retries=0, timeout=60) as one:
        with anthropic.Anthropic(base_url=scripted.base, api_key="k", max_retries=0, timeout=60) as two:
            yield one, two, ollama.Client(host=scripted.base, headers={"Authorization": "Bearer k"}, timeout=60)


def asked(script):
    return [{"role": "user", "content": script}]


TOOLS = [{"type": "function", "function": {"name": name, "description": "x", "parameters": form}} for name, form in (("get_weather", WEATHER), ("now", NOW))]


def by_chat(clients, script, stream, **more):
    """(thought, text, calls, why it ended) over /v1/chat/completions."""
    made = clients[0].chat.completions.create(model="default", messages=asked(script), stream=stream, temperature=0, **more)
    if not stream:
        message = made.choices[0].message
        called = [call.function for call in message.tool_calls or []] + ([message.function_call] if message.function_call else [])
        calls = [(call.name, json.loads(call.arguments)) for call in called]
        return getattr(message, "reasoning_content", None) or "", message.content or "", calls, made.choices[0].finish_reason
    thought, text, calls, reason = "", "", {}, None
    for chunk in made:
        for choice in chunk.choices:
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for piece in choice.delta.tool_calls or []:
                name, said = calls.get(piece.index, ("", ""))
                calls[piece.index] = (name + (piece.function.name or ""), said + (piece.function.arguments or ""))
            if choice.delta.function_call:
                name, said = calls.get("function_call", ("", ""))
                calls["function_call"] = (name + (choice.delta.function_call.name or ""), said + (choice.delta.function_call.arguments or ""))
    return thought, text, [(name, json.loads(said)) for name, said in calls.values()], reason


def by_messages(clients, script, stream, tools=None, **more):
    """The same over Anthropic's /v1/messages."""
    more = {"max_tokens": 500, "extra_body": {"temperature": 0}} | more
    if tools:
        more["tools"] = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in tools]
    if stream:
        with clients[1].messages.stream(model="default", messages=asked(script), **more) as made:
            message = made.get_final_message()
    else:
        message = clients[1].messages.create(model="default", messages=asked(script), **more)
    thought = "".join(block.thinking for block in message.content if block.type == "thinking")
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    return thought, text, calls, {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "stop_sequence": "stop"}[message.stop_reason]


def by_responses(clients, script, stream, tools=None, **more):
    if "max_tokens" in more:
        more["max_output_tokens"] = more.pop("max_tokens")
    if tools:
        more["tools"] = [{"type": "function"} | tool["function"] for tool in tools]
    made = clients[0].responses.create(model="default", input=script, stream=stream, temperature=0, store=False, **more)
    if stream:
        made = [event for event in made][-1].response
    thought = "".join(part.text for item in made.output if item.type == "reasoning" for part in (item.content or item.summary))
    calls = [(item.name, json.loads(item.arguments)) for item in made.output if item.type == "function_call"]
    reason = "length" if made.status == "incomplete" else "tool_calls" if calls else "stop"
    return thought, made.output_text, calls, reason


def by_ollama(clients, script, stream, max_tokens=-1, **more):
    made = clients[2].chat("default", asked(script), stream=stream, options={"temperature": 0, "num_predict": max_tokens}, **more)
    thought, text, calls, reason = "", "", [], None
    for part in made if stream else [made]:
        thought += part.message.thinking or ""
        text += part.message.content or ""
        calls += [(call.function.name, dict(call.function.arguments)) for call in part.message.tool_calls or []]
        reason = part.done_reason or reason
    return thought, text, calls, "tool_calls" if calls and reason == "stop" else reason


DIALECTS = {"chat": by_chat, "messages": by_messages, "responses": by_responses, "ollama": by_ollama}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.mark.parametrize("script", CALLS)
@whole_and_streamed
@each_dialect
def test_every_form_of_a_call_is_the_same_in_every_dialect(clients, dialect, stream, script):
    _, text, calls = CALLS[script]
    assert DIALECTS[dialect](clients, script, stream, tools=TOOLS) == ("", text, calls, "tool_calls" if calls else "stop")


@whole_and_streamed
@each_dialect
def test_a_form_of_a_call_is_text_where_no_tools_are_given(clients, dialect, stream):
    assert DIALECTS[dialect](clients, "qwen", stream) == ("", CALLS["qwen"][0], [], "stop")


@whole_and_streamed
@each_dialect
def test_texts_come_as_they_are_whatever_the_borders_of_tokens(clients, dialect, stream):
    assert DIALECTS[dialect](clients, "text", stream) == ("", TEXT, [], "stop")


@whole_and_streamed
@each_dialect
def test_a_thought_is_told_apart(clients, dialect, stream):
    thought, text, calls, reason = DIALECTS[dialect](clients, "thought", stream)
    assert (thought.strip(), text.strip(), calls, reason) == ("They want 世界.", "Here it is: 🌍", [], "stop")


@whole_and_streamed
@each_dialect
def test_an_answer_that_is_cut_has_no_half_characters(clients, dialect, stream):
    told = []
    for count in range(1, 9):
        thought, text, calls, reason = DIALECTS[dialect](clients, "endless", stream, max_tokens=count)
        assert (thought, calls, reason) == ("", [], "length")
        assert ("tick 🌍 tock " * 4).startswith(text.rstrip("\ufffd"))
        told.append(len(text))
    assert told == sorted(told)


@whole_and_streamed
def test_stop_texts_that_lie_across_tokens(clients, stream):
    for stop in ("STOP", "wo, ST", "界", "🌍! "):
        _, text, _, reason = by_chat(clients, "text", stream, stop=[stop, "never said"])
        assert (text, reason) == (TEXT[: TEXT.index(stop)], "stop")
        _, text, _, _ = by_messages(clients, "text", stream, stop_sequences=[stop])
        assert text == TEXT[: TEXT.index(stop)]


def test_tokens_are_counted_exactly(scripted, clients):
    for script in ("text", "done", "data"):
        made = clients[0].chat.completions.create(model="default", messages=asked(script), temperature=0)
        assert made.usage.completion_tokens == scripted.counts[script]
        usage = clients[1].messages.create(model="default", messages=asked(script), max_tokens=500).usage
        assert usage.output_tokens == scripted.counts[script]
        counted = clients[1].messages.count_tokens(model="default", messages=asked(script)).input_tokens
        assert usage.input_tokens + usage.cache_read_input_tokens == counted


def test_a_talk_with_a_call_and_its_result_goes_on(clients):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(CALL[1])}}
    talk = [*asked("qwen"), {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
    answer = clients[0].chat.completions.create(model="default", messages=talk, tools=TOOLS, temperature=0)
    assert answer.choices[0].message.content == "It snows."


def test_one_call_is_enough_when_only_one_is_wanted(clients):
    for stream in (False, True):
        assert by_chat(clients, "qwen-two", stream, tools=TOOLS, parallel_tool_calls=False)[2] == [("now", {})]


def test_an_answer_fills_the_context_and_says_so(clients):
    made = clients[0].chat.completions.create(model="default", messages=asked("endless"), temperature=0)
    assert made.choices[0].finish_reason == "length"
    assert made.usage.total_tokens == CONTEXT + 1, "nothing is computed from the last token"


def test_both_numbers_that_mean_until_the_context_is_full_are_taken(clients):
    for dialect in (by_chat, by_ollama):
        for most in (-1, -2):
            assert dialect(clients, "done", False, max_tokens=most) == ("", "It snows.", [], "stop")


def test_a_schema_is_held_to_whatever_the_model_would_say(clients):
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": WEATHER | {"additionalProperties": False}}}
    said = clients[0].chat.completions.create(model="default", messages=asked("data"), temperature=0, response_format=form).choices[0]
    assert json.loads(said.message.content) == CALL[1] and said.finish_reason == "stop"


@pytest.mark.parametrize("dialect", ["chat", "ollama"])
def test_a_call_that_a_stop_text_ends_is_not_completed(clients, dialect):
    more = {"options": {"stop": ["rich"]}} if dialect == "ollama" else {"extra_body": {"stop": ["rich"]}}
    if dialect == "ollama":
        made = clients[2].chat("default", asked("alone"), tools=TOOLS, **more)
        assert not made.message.tool_calls
        return
    _, _, calls, reason = by_chat(clients, "alone", False, tools=TOOLS, **more)
    assert (calls, reason) == ([], "stop")


def test_what_a_call_is_made_of_is_no_thought(scripted, clients):
    usage = clients[0].chat.completions.create(model="default", messages=asked("thought-call"), tools=TOOLS, temperature=0).usage
    thought = clients[0].chat.completions.create(model="default", messages=asked("thought"), temperature=0).usage
    assert usage.completion_tokens == scripted.counts["thought-call"]
    for count, most in ((usage, 14), (thought, thought.completion_tokens - 4)):
        assert 0 < count.completion_tokens_details.reasoning_tokens <= most, "only what stands between the marks"
    cut = [
        clients[0].chat.completions.create(model="default", messages=asked("thought-call"), tools=TOOLS, temperature=0, max_tokens=n).usage
        for n in range(usage.completion_tokens - 8, usage.completion_tokens)
    ]
    assert {c.completion_tokens_details.reasoning_tokens for c in cut} == {usage.completion_tokens_details.reasoning_tokens}


@whole_and_streamed
def test_functions_have_a_choice_of_their_own_and_one_call_in_its_older_form(clients, stream):
    functions = [tool["function"] for tool in TOOLS]
    for choice, calls in (("none", []), ("auto", [CALL]), (None, [CALL])):
        extra = {"functions": functions} | ({"function_call": choice} if choice else {})
        _, _, called, reason = by_chat(clients, "alone", stream, extra_body=extra)
        assert (called, reason) == (calls, "function_call" if calls else "stop")
    for chosen, reason in (
        ({"functions": functions, "function_call": {"name": "now"}}, "function_call"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "now"}}}, "tool_calls"),
    ):
        assert by_chat(clients, "qwen-two", stream, max_tokens=60, extra_body=chosen) == ("", "", [("now", {})], reason)
    assert by_chat(clients, "qwen-two", stream, extra_body={"functions": functions})[2] == [("now", {})]
    message = clients[0].chat.completions.create(model="default", messages=asked("alone"), temperature=0, extra_body={"functions": functions}).choices[0].message
    assert message.tool_calls is None and message.function_call.name == CALL[0]


def test_a_call_that_was_cut_and_could_be_closed_says_so(clients):
    made = clients[0].chat.completions.create(model="default", messages=asked("cut"), tools=TOOLS, temperature=0)
    (call,) = made.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == CALL
    assert call.repaired is True
    (whole,) = clients[0].chat.completions.create(model="default", messages=asked("qwen"), tools=TOOLS, temperature=0).choices[0].message.tool_calls
    assert not hasattr(whole, "repaired")
    pieces = [
        piece
        for chunk in clients[0].chat.completions.create(model="default", messages=asked("cut"), tools=TOOLS, temperature=0, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or []
    ]
    assert [getattr(piece, "repaired", False) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert json.loads("".join(piece.function.arguments for piece in pieces)) == CALL[1]


@whole_and_streamed
def test_tools_and_a_form_of_the_answer_stand_together(clients, stream):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": WEATHER | {"additionalProperties": False}}}
    for script, expected in (("qwen-lines", ("", "", [CALL], "tool_calls")), ("data", ("", CALLS["data"][0], [], "stop"))):
        assert by_chat(clients, script, stream, tools=TOOLS, response_format=form) == expected
    assert by_chat(clients, "data", stream, tools=TOOLS, response_format=form, tool_choice="none")[1:] == (CALLS["data"][0], [], "stop")
    must = by_chat(clients, "qwen-lines", stream, tools=TOOLS, response_format=form, tool_choice="required")
    assert must[2] == [CALL]
    free = by_chat(clients, "data", stream, tools=TOOLS, response_format={"type": "json_object"})
    assert json.loads(free[1]) == CALL[1]
    by_rule = by_chat(clients, "done", stream, tools=TOOLS, extra_body={"regex": "It (snows|rains)[.]"})
    assert by_rule == ("", "It snows.", [], "stop")
