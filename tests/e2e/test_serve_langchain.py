"""`squish serve` with langchain-openai, on a real model: chat, completions, vectors and responses, at once and streamed."""

import asyncio

import pytest

langchain_openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed; ./dev setup test installs it")
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402

QUESTION = "Name the capital of France."
COLOR = {
    "title": "color",
    "type": "object",
    "properties": {"color": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["color", "count"],
    "additionalProperties": False,
}


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It snows in {city}."


@pytest.fixture(scope="module")
def make(server):
    """One of the package's classes with our address; the settings of a short greedy answer unless said otherwise."""

    def made(kind, **settings):
        return kind(**{"model": server.model, "base_url": f"{server.base}/v1", "api_key": server.key, "max_retries": 0} | settings)

    return made


@pytest.fixture(scope="module")
def chat(make):
    return make(langchain_openai.ChatOpenAI, temperature=0, max_tokens=10)


def test_an_answer_has_text_usage_and_a_reason(chat, server):
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)])
    assert "Paris" in answer.content
    assert answer.usage_metadata["total_tokens"] == answer.usage_metadata["input_tokens"] + answer.usage_metadata["output_tokens"]
    assert answer.response_metadata["model_name"] == server.model
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


def test_a_stream_says_what_the_whole_answer_says(chat):
    whole = chat.invoke(QUESTION)
    chunks = list(chat.stream(QUESTION, stream_usage=True))
    added = chunks[0]
    for chunk in chunks[1:]:
        added += chunk
    assert added.content == whole.content
    assert added.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


def test_batches_and_coroutines_get_the_answers_given_alone(chat):
    questions = [f"Name {count} animals." for count in (2, 3, 4)]
    alone = [chat.invoke(question).content for question in questions]
    assert [answer.content for answer in chat.batch(questions)] == alone

    async def together():
        whole = await asyncio.gather(*(chat.ainvoke(question) for question in questions))
        streamed = [chunk.content async for chunk in chat.astream(questions[0])]
        return [answer.content for answer in whole], "".join(streamed)

    assert asyncio.run(together()) == (alone, alone[0])


def test_stop_and_log_probabilities(chat, make):
    assert "Paris" not in chat.invoke(QUESTION, stop=["Paris"]).content
    told = make(langchain_openai.ChatOpenAI, temperature=0, max_tokens=3, logprobs=True, top_logprobs=2).invoke(QUESTION)
    assert len(told.response_metadata["logprobs"]["content"]) == 3


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_fits_its_schema(chat, method):
    model = chat.with_structured_output(COLOR, method=method, **({"strict": True} if method == "json_schema" else {}))
    value = model.invoke("Choose a color.", max_tokens=60)
    assert value["color"] in ("red", "green") and 1 <= value["count"] <= 9


def test_a_bound_tool_is_called_and_its_result_taken(chat):
    bound = chat.bind_tools([weather], tool_choice="weather", parallel_tool_calls=False)
    question = HumanMessage("How is the weather in Rome?")
    called = bound.invoke([question], max_tokens=60)
    [call] = called.tool_calls
    assert call["name"] == "weather" and isinstance(call["args"]["city"], str)
    streamed = None
    for chunk in bound.stream([question], max_tokens=60):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == call["args"]
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    assert chat.bind_tools([weather], tool_choice="none").invoke([question, called, result]).content


def test_a_conversation_goes_on(chat):
    talk = [HumanMessage("My name is Zoe."), AIMessage("Hello, Zoe!"), HumanMessage("What is my name?")]
    assert chat.invoke(talk).usage_metadata["input_tokens"] > chat.invoke(talk[2:]).usage_metadata["input_tokens"]


def test_completions_at_once_and_streamed(make):
    model = make(langchain_openai.OpenAI, temperature=0, max_tokens=4)
    whole = model.invoke("Once upon a time")
    assert whole and "".join(model.stream("Once upon a time")) == whole
    two = model.generate(["Once upon a time", "One, two,"])
    assert [len(texts) for texts in two.generations] == [1, 1] and two.generations[0][0].text == whole


def test_vectors_of_texts(make, server):
    # check_embedding_ctx_length makes the client cut texts by OpenAI's own vocabulary, which it would have to download.
    model = make(langchain_openai.OpenAIEmbeddings, check_embedding_ctx_length=False)
    texts = ["a quick fox", "a fast fox"]
    vectors = model.embed_documents(texts)
    assert len(vectors) == 2 and model.embed_query(texts[0]) == pytest.approx(vectors[0], abs=1e-6)


def test_the_responses_api_at_once_streamed_and_going_on(make):
    model = make(langchain_openai.ChatOpenAI, temperature=0, max_tokens=8, use_responses_api=True)
    whole = model.invoke(QUESTION)
    streamed = None
    for chunk in model.stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.text == whole.text != ""
    after = model.invoke("And of Spain?", previous_response_id=whole.response_metadata["id"])
    assert after.usage_metadata["input_tokens"] > whole.usage_metadata["input_tokens"]


def test_a_model_that_is_not_here_is_said(make):
    with pytest.raises(Exception, match="nowhere") as caught:
        make(langchain_openai.ChatOpenAI, model="nowhere").invoke(QUESTION)
    assert caught.value.status_code == 404
