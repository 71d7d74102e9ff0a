"""`squish serve` with the OpenAI client that people use, on a real model."""

import openai
import pytest


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.base}/v1", api_key=server.key, max_retries=0, timeout=120)


def test_health_and_models(server, client):
    health = server.get("/health", headers={"Authorization": None}).json
    assert health["status"] == "ok"
    assert health["model"] == server.model
    assert [model.id for model in client.models.list().data] == [server.model]


def test_a_chat_answer(server, client):
    answer = client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8, temperature=0
    )
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens <= 8
