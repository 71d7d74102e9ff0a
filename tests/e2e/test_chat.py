"""The conversation on a terminal."""

import json
import os

import pytest

FLAGS = ["--temperature", "0", "--max-tokens", "24"]
PROMPT = "❯"


@pytest.fixture
def chat(squish, chat_model):
    started = []

    def start(*words, env=None):
        terminal = squish.terminal("chat", chat_model, *words, env={"NO_COLOR": "1"} | (env or {}))
        started.append(terminal)
        terminal.wait_for(PROMPT)
        return terminal

    yield start
    for terminal in started:
        terminal.kill()


def test_a_question_is_answered_and_the_next_one_knows_it(chat):
    # The system message fills a page of the cache (64 tokens), so that the second prompt can find one.
    terminal = chat(*FLAGS, "--system", "You are a geographer. Answer briefly and exactly. " * 8)
    terminal.send("Name the capital of France.\n")
    assert "Paris" in terminal.wait_for(PROMPT)
    terminal.send("/stats\n")
    first = terminal.wait_for(PROMPT)
    terminal.send("What is its population?\n")
    terminal.wait_for(PROMPT)
    terminal.send("/stats\n")
    second = terminal.wait_for(PROMPT)

    def prompt_tokens(text):
        line = next(line for line in text.splitlines() if line.startswith("prompt "))
        return int(line.split()[1]), int(line.split()[3])

    assert prompt_tokens(second)[0] > prompt_tokens(first)[0] + 20
    assert prompt_tokens(second)[1] > 0, "the turns before come from the prefix cache"
    terminal.send("/quit\n")
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize("word", ["/quit", "/exit", "quit", "exit", "\x04"])
def test_ways_to_leave(chat, word):
    terminal = chat()
    terminal.send(word + ("" if word == "\x04" else "\n"))
    assert terminal.wait_for_end() == 0


def test_commands(chat, tmp_path):
    terminal = chat(*FLAGS, "--system", "Be brief.")
    terminal.send("/help\n")
    text = terminal.wait_for(PROMPT)
    for word in ("/clear", "/system", "/save", "/stats", "/quit", "Ctrl-C"):
        assert word in text
    terminal.send("/system\n")
    assert "Be brief." in terminal.wait_for(PROMPT)
    terminal.send("/system Be long.\n")
    terminal.wait_for(PROMPT)
    terminal.send("/stats\n")
    assert "no answers yet" in terminal.wait_for(PROMPT)
    terminal.send("/sav x\n")
    assert "did you mean /save" in terminal.wait_for(PROMPT)
    terminal.send("Say hello.\n")
    terminal.wait_for(PROMPT)
    terminal.send(f"/save {tmp_path}/talk.json\n")
    assert "2 messages" in terminal.wait_for(PROMPT)
    messages = json.loads((tmp_path / "talk.json").read_text())
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[0]["content"] == "Be long." and messages[1]["content"] == "Say hello."
    terminal.send(f"/save {tmp_path}/talk.json\n")
    assert "exists" in terminal.wait_for(PROMPT)
    terminal.send("/clear\n")
    terminal.wait_for(PROMPT)
    terminal.send(f"/save {tmp_path}/talk.md\n")
    terminal.wait_for(PROMPT)
    assert (tmp_path / "talk.md").read_text() == "## system\n\nBe long.\n\n"


def test_several_lines_make_one_message(chat, tmp_path):
    terminal = chat(*FLAGS)
    terminal.send("one\\\n")
    terminal.wait_for("…")
    terminal.send("two\n")
    terminal.wait_for(PROMPT)
    terminal.send('"""\n')
    terminal.wait_for("…")
    terminal.send("three\n")
    terminal.wait_for("…")
    terminal.send('four"""\n')
    terminal.wait_for(PROMPT)
    terminal.send(f"/save {tmp_path}/talk.json\n")
    terminal.wait_for(PROMPT)
    messages = json.loads((tmp_path / "talk.json").read_text())
    assert [m["content"] for m in messages if m["role"] == "user"] == ["one\ntwo", "three\nfour"]


def test_ctrl_c_stops_the_answer_and_not_the_program(chat):
    terminal = chat("--temperature", "0", "--ignore-eos", "--max-tokens", "4000")
    terminal.send("Tell me a very long story.\n")
    terminal.wait_for("story.\r\n")
    terminal.wait_for(" ")
    terminal.interrupt()
    assert "stopped" in terminal.wait_for(PROMPT, timeout=20)
    terminal.send("/stats\n")
    assert "cancelled" in terminal.wait_for(PROMPT)
    terminal.send("/quit\n")
    assert terminal.wait_for_end() == 0


def test_ctrl_c_drops_a_line_and_leaves_at_an_empty_one(chat):
    terminal = chat()
    terminal.send("half a question")
    terminal.wait_for("question")
    terminal.interrupt()
    terminal.wait_for(PROMPT)
    terminal.interrupt()
    assert terminal.wait_for_end() == 0
    assert "goodbye" in terminal.output


def test_history_is_kept_for_the_next_time_and_private(squish, chat):
    terminal = chat(*FLAGS)
    terminal.send("/system a line to remember\n")
    terminal.wait_for(PROMPT)
    terminal.send("/quit\n")
    assert terminal.wait_for_end() == 0
    file = squish.home / "squish" / "chat_history"
    assert os.stat(file).st_mode & 0o777 == 0o600
    terminal = chat(*FLAGS)
    terminal.send("\x1b[A\x1b[A")
    terminal.wait_for("a line to remember")


def test_turns_that_do_not_fit_are_dropped_with_a_word(chat):
    terminal = chat("--context", "256", "--temperature", "0", "--max-tokens", "60", "--ignore-eos")
    text = ""
    for _ in range(5):
        terminal.send("Tell me more about the sea and the ships on it, please.\n")
        text += terminal.wait_for(PROMPT)
    assert "forgot the oldest" in text and "256" in text
    terminal.send("word " * 300 + "\n")
    refused = terminal.wait_for("✗") + terminal.wait_for(PROMPT)
    assert "256" in refused and "--context" in refused


def test_max_history_limits_what_is_sent(chat):
    terminal = chat(*FLAGS, "--max-history", "1")
    terminal.send("My name is Ada.\n")
    terminal.wait_for(PROMPT)
    terminal.send("What is my name?\n")
    assert "--max-history" in terminal.wait_for(PROMPT)


def test_lines_from_a_pipe_are_answered_one_by_one(squish, chat_model):
    result = squish("chat", chat_model, *FLAGS, stdin="Name the capital of France.\n/stats\n")
    assert result.returncode == 0, result.stderr
    assert "Paris" in result.stdout and "prefill" in result.stdout
    assert PROMPT not in result.stdout


def test_a_base_model_cannot_chat_and_says_what_it_can(squish, base_model):
    result = squish("chat", base_model, stdin="hello\n")
    assert result.returncode == 1
    assert "--no-template" in result.stderr


def test_run_without_a_prompt_chats_on_a_terminal(squish, chat_model):
    terminal = squish.terminal("run", chat_model, *FLAGS, env={"NO_COLOR": "1"})
    try:
        terminal.wait_for(PROMPT)
        terminal.send("Name the capital of France.\n")
        assert "Paris" in terminal.wait_for(PROMPT)
        terminal.send("/quit\n")
        assert terminal.wait_for_end() == 0
    finally:
        terminal.kill()
