"""One-shot answers of a real model."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

GREEDY = ["--temperature", "0", "--max-tokens", "12"]
QUESTION = "Name the capital of France."


def test_an_answer_goes_to_stdout_and_its_figures_to_stderr(squish, chat_model):
    result = squish("run", chat_model, QUESTION, *GREEDY)
    assert result.returncode == 0, result.stderr
    assert "Paris" in result.stdout
    assert result.stdout.endswith("\n")
    last = result.stderr.splitlines()[-1]
    assert "tokens, " in last and " tok/s, time to first token " in last
    assert "\x1b" not in result.stdout + result.stderr


def test_piped_text_is_the_prompt_or_follows_it(squish, chat_model):
    piped = squish("run", chat_model, "--json", *GREEDY, stdin=QUESTION + "\n")
    typed = squish("run", chat_model, "--json", *GREEDY, QUESTION)
    assert json.loads(piped.stdout)["token_hash"] == json.loads(typed.stdout)["token_hash"]
    both = squish("run", chat_model, "--json", *GREEDY, "What is the capital", stdin="of France?")
    one = squish("run", chat_model, "--json", *GREEDY, "What is the capital\nof France?")
    assert json.loads(both.stdout)["usage"] == json.loads(one.stdout)["usage"]
    assert json.loads(both.stdout)["text"] == json.loads(one.stdout)["text"]


def test_words_of_a_prompt_need_no_quotes_and_flags_may_stand_between(squish, chat_model):
    loose = squish("run", chat_model, "--json", "Name", "the", *GREEDY, "capital", "of", "France.")
    assert json.loads(loose.stdout)["text"] == json.loads(squish("run", chat_model, "--json", *GREEDY, QUESTION).stdout)["text"]
    dashed = squish("run", chat_model, "--json", "--no-template", *GREEDY, "--", "--port", "[a,b]")
    assert dashed.returncode == 0, dashed.stderr
    plain = squish("tokenize", chat_model, "--count", "--", "--port [a,b]")
    assert json.loads(dashed.stdout)["usage"]["prompt_tokens"] == int(plain.stdout)


def test_json_has_text_usage_and_timings(squish, chat_model):
    answer = json.loads(squish("run", chat_model, "--json", *GREEDY, QUESTION).stdout)
    assert answer["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 1 <= usage["completion_tokens"] <= 12
    assert answer["timings"]["time_to_first_token_ms"] > 0
    assert answer["reasoning"] is None and answer["stop"] is None


def test_a_seed_repeats_an_answer_and_another_one_does_not(squish, chat_model):
    def ask(seed, *more):
        words = ["run", chat_model, "--json", "--temperature", "1.5", "--top-p", "1", "--max-tokens", "24", "--seed", seed, *more, "Tell me a story."]
        return json.loads(squish(*words).stdout)["token_hash"]

    assert ask(7) == ask(7) == ask(7, "--threads", "1")
    assert ask(7) != ask(8)


def test_a_stop_string_ends_the_answer_before_it(squish, chat_model):
    whole = json.loads(squish("run", chat_model, "--json", *GREEDY, QUESTION).stdout)["text"]
    assert "Paris" in whole
    answer = json.loads(squish("run", chat_model, "--json", *GREEDY, "--stop", "nowhere", "--stop", "Paris", QUESTION).stdout)
    assert answer["text"] == whole[: whole.index("Paris")]
    assert answer["finish_reason"] == "stop" and answer["stop"] == "Paris"


def test_max_tokens_cuts_and_says_so(squish, chat_model):
    result = squish("run", chat_model, "--temperature", "0", "--max-tokens", "3", "Tell me a long story.")
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1].startswith("3 tokens")
    assert "cut by --max-tokens" in result.stderr


def test_logit_bias_bans_a_token(squish, chat_model):
    words = ["run", chat_model, "--temperature", "0", "--max-tokens", "1", "--json", QUESTION]
    first = json.loads(squish(*words).stdout)["text"]
    token = squish("tokenize", chat_model, "--", first).stdout.strip()
    assert token.isdigit(), first
    assert json.loads(squish(*words, "--logit-bias", f"{token}=-100").stdout)["text"] != first


def test_a_system_message_changes_the_prompt(squish, chat_model):
    counts = [
        json.loads(squish("run", chat_model, "--json", *GREEDY, *more, QUESTION).stdout)["usage"]["prompt_tokens"]
        for more in ([], ["--system", "Answer like a pirate who has not slept for three days."])
    ]
    assert counts[0] != counts[1]


def test_a_prompt_over_the_context_is_refused_with_both_numbers(squish, chat_model):
    prompt = "one two three four " * 200
    result = squish("run", chat_model, "--context", "256", *GREEDY, prompt)
    assert result.returncode == 4, result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("✗ ") and "256" in line and "--context" in line
    tokens = [int(word) for word in line.replace(",", " ").split() if word.isdigit()]
    assert any(count > 256 for count in tokens)
    assert result.stdout == ""


def test_a_full_context_ends_the_answer_and_says_so(squish, chat_model):
    result = squish("run", chat_model, "--context", "64", "--temperature", "0", "--ignore-eos", "--max-tokens", "-1", QUESTION)
    assert result.returncode == 0, result.stderr
    assert "the context of 64 tokens is full" in result.stderr


def test_a_base_model_continues_text(squish, base_model):
    noted = squish("run", base_model, "--json", *GREEDY, "The capital of France is")
    assert noted.returncode == 0, noted.stderr
    assert "no chat template" in noted.stderr
    told = squish("run", base_model, "--json", *GREEDY, "--no-template", "The capital of France is")
    assert "no chat template" not in told.stderr
    assert json.loads(noted.stdout)["text"] == json.loads(told.stdout)["text"]
    refused = squish("run", base_model, *GREEDY, "--system", "Be brief.", "Hello")
    assert refused.returncode == 2 and "--system" in refused.stderr


def test_no_switch_for_thinking_is_an_error(squish, chat_model):
    result = squish("run", chat_model, "--no-think", *GREEDY, QUESTION)
    assert result.returncode == 2
    assert "no switch for thinking" in result.stderr


def test_verbose_tells_where_the_time_went(squish, chat_model):
    result = squish("run", chat_model, "--verbose", *GREEDY, QUESTION)
    for word in ("prefill", "decode", "backend", "load"):
        assert word in result.stderr


def test_startup_phases_are_printed_on_request(squish, chat_model):
    result = squish("run", chat_model, *GREEDY, QUESTION, env={"SQUISH_TRACE_STARTUP": "1"})
    for phase in ("open files", "weights", "vocabulary", "engine", "total"):
        assert f"startup  {phase}" in result.stderr


@pytest.mark.parametrize(
    "words, environment, says",
    [
        (["--threads", "100000"], {}, "--threads"),
        (["--backend", "quantum"], {}, "quantum"),
        (["--isa", "z80"], {}, "z80"),
        ([], {"SQUISH_ISA": "z80"}, "SQUISH_ISA"),
        (["--isa", "scalar", "--backend", "ref"], {}, "--isa"),
        (["--context", "1e3"], {}, "--context"),
        ([], {"SQUISH_THREADS": "many"}, "SQUISH_THREADS"),
        ([], {"SQUISH_BACKEND": "quantum"}, "quantum"),
    ],
)
def test_a_wrong_way_to_load_is_one_line(squish, chat_model, words, environment, says):
    result = squish("run", chat_model, *words, "hello", env=environment)
    assert result.returncode in (1, 2), result.stderr
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


def test_flag_beats_environment_beats_settings(squish, chat_model):
    def threads(*words, **env):
        result = squish("run", chat_model, "--verbose", "--max-tokens", "1", *words, "hi", env=env)
        line = next(line for line in result.stderr.splitlines() if line.startswith("backend"))
        return int(line[line.index("threads") - 2])  # "... 2 threads"

    assert squish("config", "set", "threads", "3").returncode == 0
    assert threads() == 3
    assert threads(SQUISH_THREADS="2") == 2
    assert threads("--threads", "4", SQUISH_THREADS="2") == 4


def test_without_a_name_the_only_model_is_meant(squish, local_model):
    result = squish("run", "", *GREEDY, "--json", stdin=QUESTION)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["model"] == local_model
    named = squish("run", "x", *GREEDY, "--json", QUESTION, env={"SQUISH_MODEL": local_model})
    assert named.returncode == 1, "a name that is given wins over SQUISH_MODEL"
    listed = json.loads(squish("models", "--json").stdout)
    assert [model["id"] for model in listed] == [local_model]
    assert squish("models", "--ids").stdout == local_model + "\n"


def test_removing_asks_for_the_word_yes(squish, local_model):
    assert squish("rm", local_model).returncode == 2, "there is no terminal to ask on"
    dry = squish("rm", local_model, "--dry-run")
    assert dry.returncode == 0 and "would delete" in dry.stdout
    terminal = squish.terminal("rm", local_model)
    terminal.wait_for("Type yes")
    terminal.send("y\n")
    assert terminal.wait_for_end() == 1
    assert squish("models", "--ids").stdout == local_model + "\n"
    terminal = squish.terminal("rm", local_model)
    terminal.wait_for("Type yes")
    terminal.send("yes\n")
    assert terminal.wait_for_end() == 0
    assert squish("models", "--ids").stdout == ""


def test_ctrl_c_ends_a_run_with_130(squish, chat_model):
    process = squish.start("run", chat_model, "--ignore-eos", "--max-tokens", "100000", "Count to a million.", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.decode().strip().endswith("interrupted")
    assert time.monotonic() - begin < 5


def test_ctrl_c_while_standard_input_is_read(squish, chat_model):
    process = squish.start("run", chat_model, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert process.returncode == 130
    assert b"reading standard input" in process.stderr.read()


def test_a_reader_that_leaves_ends_the_answer(squish, chat_model):
    process = squish.start("run", chat_model, "--ignore-eos", "--max-tokens", "100000", "Count.", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(timeout=20) in (-signal.SIGPIPE, 141)
    assert process.stderr.read() == b""


def test_tokens_there_and_back(squish, chat_model):
    text = "Grüße, 世界! <|im_end|>\n"
    ids = squish("tokenize", chat_model, "-", stdin=text).stdout.split()
    assert squish("tokenize", chat_model, "--special", "--decode", " ".join(ids)).stdout == text + "\n"
    facts = json.loads(squish("tokenize", chat_model, "--json", "-", stdin=text).stdout)
    assert facts["count"] == len(ids) and [str(i) for i in facts["ids"]] == ids and "".join(facts["pieces"]).endswith("<|im_end|>\n")
    assert int(squish("tokenize", chat_model, "--count", "-", stdin=text).stdout) == len(ids)
    plain = squish("tokenize", chat_model, "--plain", "--count", "-", stdin=text).stdout
    assert int(plain) > len(ids)
    wrong = squish("tokenize", chat_model, "--decode", "99999999")
    assert wrong.returncode == 2 and "99999999" in wrong.stderr


def test_show_tells_the_facts(squish, chat_model, base_model):
    facts = json.loads(squish("show", chat_model, "--json", "--tensors").stdout)
    assert facts["architecture"] == "llama" and facts["runnable"] is True
    assert facts["layers"] == 30 and facts["hidden"] == 576 and facts["context"] == 8192
    assert 134_000_000 < facts["parameters"] < 136_000_000
    assert facts["template"]["system"] is True
    assert sum(tensor["bytes"] for tensor in facts["tensors"]) < facts["bytes"]
    assert json.loads(squish("show", base_model, "--json").stdout)["template"] is None
    assert "llama" in squish("show", chat_model).stdout


def test_bench_measures(squish, chat_model):
    result = squish("bench", chat_model, "--prompt", "32", "--generate", "8", "--repeat", "2", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert len(facts["prompt"]["runs"]) == len(facts["generate"]["runs"]) == 2
    assert facts["generate"]["lowest"] <= facts["generate"]["tokens_per_second"] <= facts["generate"]["highest"]
    assert facts["memory_bytes_per_second"] > 1e8
    share = facts["generate"]["tokens_per_second"] * facts["bytes_per_token"] / facts["memory_bytes_per_second"]
    assert facts["memory_share"] == pytest.approx(share, abs=0.002)
    assert facts["peak_memory_bytes"] > 50e6
    table = squish("bench", chat_model, "-p", "0", "-g", "8", "-r", "1").stdout
    assert "generate 8" in table and "prompt" not in table
