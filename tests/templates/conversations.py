"""The conversations that every chat template is rendered with: named (messages, tools) pairs."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a place.\nKnows \"most\" cities & towns <of the world>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "the city, e.g. Zürich"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "nullable": True},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
        "strict": True,
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search 🔎 the web",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": ["string", "null"], "description": "what to look for"},
                "options": {
                    "type": "object",
                    "description": "details",
                    "properties": {
                        "limit": {"type": "number", "default": 1.5},
                        "site": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                        "nested": {"type": "object", "properties": {"deep": {"type": "boolean", "default": False}}},
                    },
                    "required": ["limit"],
                    "additionalProperties": False,
                },
                "rows": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
                "mode": {"oneOf": [{"const": "fast"}, {"const": "slow"}], "title": "Mode"},
            },
            "required": ["query", "options"],
        },
        "return": {"type": "string", "description": "hits"},
    },
}
NO_PARAMETERS = {
    "type": "function",
    "function": {"name": "now", "description": "the time", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = [WEATHER, SEARCH, NO_PARAMETERS]

NASTY = ("Grüße 你好 مرحبا 👩‍👩‍👧 \"quoted\" 'single' \\back\\ <b>&amp;</b> {{ x }} {% y %}\n\ttabbed\r\n  trailing  \n"
         "</think> <|im_end|> [INST] \u2028 \u00a0 \x07")


def call(name, arguments, identity="call_abc123"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_turn(arguments, content="", identity="call_abc123", result='{"temperature": 21.5, "sky": "klar"}', **more):
    return [
        {"role": "user", "content": "How is the weather in Zürich?"},
        {"role": "assistant", "content": content, "tool_calls": [call("get_weather", arguments, identity)], **more},
        {"role": "tool", "name": "get_weather", "tool_call_id": identity, "content": result},
    ]


def system(content="You are helpful."):
    return {"role": "system", "content": content}


def user(content="Hello!"):
    return {"role": "user", "content": content}


def assistant(content="Hi there.", **more):
    return {"role": "assistant", "content": content, **more}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


DICT = {"city": "Zürich", "days": 3, "tags": ["a", "b"], "exact": True, "none": None, "f": 1.0, "o": {"k": "v"}}
TEXT = '{"city": "Zürich", "days": 3, "tags": ["a", "b"]}'

CONVERSATIONS = {
    "user": [user()],
    "system and user": [system(), user()],
    "developer and user": [{"role": "developer", "content": "Be brief."}, user()],
    "two systems": [system("one"), system("two"), user()],
    "late system": [user(), assistant(), system("late"), user("more")],
    "system alone": [system()],
    "multi turn": [system(), user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    "multi turn without system": [user("a"), assistant("b"), user("c")],
    "ends with assistant": [user("a"), assistant("b")],
    "two users": [user("a"), user("b")],
    "two assistants": [user("a"), assistant("b"), assistant("c"), user("d")],
    "assistant first": [assistant("b"), user("a")],
    "empty contents": [system(""), user(""), assistant(""), user("")],
    "only white space": [system("  \n"), user(" \n "), assistant("\n\n"), user("\t")],
    "no content": [user("a"), {"role": "assistant"}, user("b")],
    "content none": [user("a"), assistant(None), user("b")],
    "nasty text": [system(NASTY), user(NASTY), assistant(NASTY), user(NASTY)],
    "unknown role": [user("a"), {"role": "critic", "content": "hm"}],
    "parts": [system(parts("You are", " helpful.")), user(parts("Hello", " there\n")), assistant(parts("Hi")),
              user(parts("one", NASTY))],
    "image part": [user([{"type": "text", "text": "see"}, {"type": "image"}, {"type": "text", "text": "this"}])],
    "image url part": [user([{"type": "image_url", "image_url": {"url": "file:a.png"}}, {"type": "text", "text": "t"}])],
    "strange part": [user([{"type": "audio", "audio": "x"}, {"type": "video"}, "plain"])],
    "think in content": [user("a"), assistant("<think>\nhmm, so\n</think>\n\nanswer"), user("b")],
    "open think": [user("a"), assistant("<think>half"), user("b")],
    "close think twice": [user("a"), assistant("x</think>y</think>z"), user("b"), assistant("</think>"), user("c")],
    "reasoning content": [user("a"), assistant("answer", reasoning_content="because\nof that"), user("b"),
                          assistant("more", reasoning_content="  padded \n")],
    "thinking field": [user("a"), assistant("answer", thinking="because"), user("b")],
    "reasoning field": [user("a"), assistant("answer", reasoning="because"), user("b")],
    "empty reasoning": [user("a"), assistant("answer", reasoning_content=""), user("b")],
    "reasoning none": [user("a"), assistant("answer", reasoning_content=None), user("b")],
    "tool turn, dict": tool_turn(DICT),
    "tool turn, text": tool_turn(TEXT),
    "tool turn, empty dict": tool_turn({}),
    "tool turn, empty text": tool_turn(""),
    "tool turn, bad text": tool_turn("{not json"),
    "tool turn, content": tool_turn(DICT, content="Let me look."),
    "tool turn, content none": tool_turn(DICT, content=None),
    "tool turn, reasoning": tool_turn(DICT, reasoning_content="I need the weather"),
    "tool turn, nine letters": tool_turn(DICT, identity="abcdefghi"),
    "tool turn, kimi id": tool_turn(TEXT, identity="functions.get_weather:0"),
    "tool turn, plain result": tool_turn(DICT, result="sunny"),
    "tool turn, parts result": tool_turn(DICT, result=parts("sunny", "warm")),
    "tool turn, number result": tool_turn(DICT, result="21.5"),
    "tool turn, dict result": tool_turn(DICT, result={"temperature": 21}),
    "tool turn and answer": [system(), *tool_turn(DICT), assistant("It is 21.5 degrees."), user("thanks")],
    "tool turn and answer, text": [*tool_turn(TEXT, identity="abcdefghi"), assistant("It is 21.5 degrees."), user("thanks")],
    "parallel calls": [user("both?"),
                       assistant("", tool_calls=[call("get_weather", DICT, "abcdefgh1"),
                                                 call("search", {"query": "x < y & \"z\"", "options": {"limit": 2}}, "abcdefgh2")]),
                       {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": "rain"},
                       {"role": "tool", "tool_call_id": "abcdefgh2", "name": "search", "content": NASTY}],
    "parallel calls, then user": [user("both?"),
                                  assistant(None, tool_calls=[call("get_weather", TEXT, "abcdefgh1"), call("now", "{}", "abcdefgh2")]),
                                  {"role": "tool", "tool_call_id": "abcdefgh1", "content": "rain"},
                                  {"role": "tool", "tool_call_id": "abcdefgh2", "content": "noon"},
                                  user("and?")],
    "two rounds of calls": [*tool_turn(DICT, identity="abcdefgh1"),
                            assistant("", tool_calls=[call("search", {"query": "q"}, "abcdefgh2")], reasoning_content="next"),
                            {"role": "tool", "tool_call_id": "abcdefgh2", "name": "search", "content": "found"},
                            assistant("done"), user("ok"), *tool_turn(DICT, identity="abcdefgh3")],
    "call without result": tool_turn(DICT)[:2],
    "result without call": [user("a"), {"role": "tool", "name": "get_weather", "tool_call_id": "x", "content": "rain"}],
    "flat call": [user("a"), assistant("", tool_calls=[{"name": "get_weather", "arguments": DICT}]),
                  {"role": "tool", "content": "rain"}],
    "call without id": [user("a"), assistant("", tool_calls=[{"type": "function", "function": {"name": "now", "arguments": {}}}]),
                        {"role": "tool", "content": "noon"}],
    "empty calls": [user("a"), assistant("b", tool_calls=[]), user("c")],
    "unknown tool": [user("a"), assistant("", tool_calls=[call("nope", {"a": [1, {"b": None}]})]),
                     {"role": "tool", "name": "nope", "tool_call_id": "call_abc123", "content": "err"}],
    "named user": [{"role": "user", "name": "Ada", "content": "Hello"}, assistant("hi"), user("x")],
    "ipython result": [user("a"), assistant("code"), {"role": "ipython", "content": "42"}],
    "function role": [user("a"), {"role": "function", "name": "now", "content": "noon"}],
    "numbers as content": [user(42), assistant(1.0), user(True)],
    "system parts with tools": [system(parts("sys")), *tool_turn(DICT)],
    "long": [m for i in range(20) for m in (user(f"question {i}"), assistant(f"answer {i}", reasoning_content=f"r{i}"))] + [user("end")],
}

EXTRAS = {
    "none": {},
    "thinking on": {"enable_thinking": True},
    "thinking off": {"enable_thinking": False},
    "thinking, other name": {"thinking": True},
    "reasoning effort": {"reasoning_effort": "high"},
    "date": {"date_string": "01 Jan 2026", "tools_in_user_message": False, "builtin_tools": ["brave_search", "code_interpreter"]},
    "documents": {"documents": [{"title": "T \"q\"", "text": "body\ntext"}, {"title": "U", "text": "ü", "doc_id": 3}], "controls": {"length": "long"}},
    "clear history": {"clear_thinking": False, "keep_past_thinking": True, "preserve_thinking": True, "truncate_history_thinking": False},
}
