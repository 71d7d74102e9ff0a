"""What is left and what is said when a command fails: JSON, closed streams, files that vanish, disks that are full."""

import json
import os
import signal
import subprocess
import time

import pytest

LONG = ("Tell me a story.", "--max-tokens", "2000", "--ignore-eos")


@pytest.mark.parametrize(
    "words, code, kind",
    [
        (["run", "no-such-model", "hello"], 1, "not_found"),
        (["run", "no-such-model", "hello", "--temperature", "hot"], 2, "invalid_argument"),
        (["run", "--no-such-flag", "m", "hello"], 2, "invalid_argument"),
        (["show", "no-such-model"], 1, "not_found"),
        (["tokenize", "no-such-model", "hello"], 1, "not_found"),
        (["embed", "no-such-model", "hello"], 1, "not_found"),
        (["bench", "no-such-model"], 1, "not_found"),
        (["benchmark", "--compare", "none.json"], 2, "invalid_argument"),
        (["eval", "no-such-model"], 1, "not_found"),
        (["check", "no-such-model"], 1, "not_found"),
        (["sbom", "show", "no-such-directory"], 1, "not_found"),
        (["merge", "--adapters", "a:b", "--adapters", "c:d", "--output-path", "o"], 1, "not_found"),
        (["sparsity-trim", "no-such-model"], 1, "not_found"),
        (["gen-masks", "no-such-model"], 1, "not_found"),
        (["catalog", "--tag", "no-such-tag"], 1, "not_found"),
        (["ps", "--port", "1"], 3, "unreachable"),
        (["quality", "--port", "1"], 3, "unreachable"),
        (["compress", "a", "--compare", "b"], 1, "not_found"),
    ],
)
def test_json_is_one_document_also_on_failure(squish, words, code, kind):
    result = squish(*words, "--json")
    assert result.returncode == code, result.stderr
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["exit_code"]) == (kind, code)
    assert result.stderr == f"✗ {error['message']}\n"


@pytest.mark.parametrize("words", [["pull", "no-such-model"], ["compress", "no-such-model"], ["export", "no-such-model"],
                                   ["publish", "no-such-model"]])
def test_the_last_of_the_events_says_what_failed(squish, words):
    result = squish(*words, "--json")
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["event"] == "error" and last["error"]["exit_code"] == result.returncode != 0
    assert f"✗ {last['error']['message']}\n" == result.stderr


def test_without_json_a_failure_says_nothing_on_standard_output(squish):
    assert squish("show", "no-such-model").stdout == ""
    assert squish("show", "--", "--json").stdout == ""


def test_an_interrupted_answer_in_json_says_so(squish, chat_model):
    process = squish.start("run", chat_model, *LONG, "--json", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(output)["error"]["code"] == "cancelled"


@pytest.mark.parametrize("words", [["check"], ["check", "--json"]])
def test_ctrl_c_ends_a_verb_that_only_reads_at_once(squish, base_model, words):
    """It was looked at only at the end: 5 s for a file of 1.1 GB, and the exit code was 0."""
    process = squish.start(*words, base_model, "--threads", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in errors.decode()
    assert (json.loads(output)["error"]["code"] == "cancelled") if "--json" in words else output == b""


def test_closed_streams_never_let_talk_into_a_file(squish, chat_model, tmp_path):
    """Where descriptor 2 is free, the file that is opened next gets it, and all that is said for people."""
    out = tmp_path / "out.gguf"
    words = f"'{squish.program}' export '{chat_model}' --gguf '{out}' --type q4_0"
    for closed in ("2>&-", "<&- >&- 2>&-"):
        subprocess.run(f"{words} --force {closed}", shell=True, env=squish.environment, timeout=120, check=False)
        assert squish("check", out).returncode == 0
    fresh = tmp_path / "fresh.gguf"
    assert squish("export", chat_model, "--gguf", fresh, "--type", "q4_0").returncode == 0
    assert fresh.read_bytes() == out.read_bytes()


def test_closed_input_is_an_empty_one(squish, chat_model):
    command = f"'{squish.program}' run '{chat_model}' hello --max-tokens 2 <&-"
    result = subprocess.run(command, shell=True, env=squish.environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout, result.stderr


def test_closed_output_is_an_error(squish):
    command = f"'{squish.program}' catalog >&-"
    result = subprocess.run(command, shell=True, env=squish.environment, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1 and "standard output" in result.stderr


def test_a_model_that_is_cut_short_while_it_answers_is_a_message_and_no_crash(squish, chat_model, tmp_path):
    model = tmp_path / "model.gguf"
    model.write_bytes(chat_model.read_bytes())
    process = squish.start("run", model, *LONG, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    os.truncate(model, 1_000_000)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, process.returncode
    assert "became shorter while it was in use" in errors.decode()


@pytest.mark.parametrize("words", [["export", "MODEL", "--gguf", "out"], ["pull", "MODEL"], ["compress", "MODEL", "-o", "out"]])
def test_the_limit_on_the_size_of_files_is_an_error_and_no_signal(squish, chat_model, tmp_path, words):
    words = " ".join(f"'{chat_model if word == 'MODEL' else word}'" for word in words)
    result = subprocess.run(f"ulimit -f 20000; '{squish.program}' {words}", shell=True, executable="/bin/bash", cwd=tmp_path,
                            env=squish.environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1, result
    assert "File too large" in result.stderr


def test_a_full_output_is_never_a_success(squish, chat_model, tmp_path):
    with open("/dev/full", "w") as full:
        process = squish.start("export", chat_model, "--gguf", tmp_path / "out.gguf", stdout=full, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and "No space left" in errors


@pytest.mark.parametrize(
    "words, made",
    [
        (["export", "MODEL", "--gguf", "out.gguf", "--json"], "out.gguf"),
        (["export", "MODEL", "--gguf", "out.gguf"], "out.gguf"),
        (["export", "MODEL", "--npy", "out", "--type", "fp16", "--json"], "out"),
        (["compress", "MODEL", "--format", "int8", "-o", "out", "--compare-tokens", "0", "--json"], "out"),
        (["sparsity-trim", "MODEL", "-o", "out", "--json"], "out"),
        (["gen-masks", "MODEL", "-o", "out.npz", "--samples", "1"], "out.npz"),
        (["pull", "MODEL", "--json"], None),
    ],
)
def test_what_writes_files_finishes_them_when_nobody_reads_its_output(squish, chat_model, tmp_path, words, made):
    """`... --json | head -1` ended by SIGPIPE in the middle of the file: it and its lock stayed."""
    below = tmp_path / "below"
    below.mkdir()
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [chat_model if word == "MODEL" else word for word in words]
    process = squish.start(*words, cwd=below, stdout=write_end, stderr=write_end, stdin=subprocess.DEVNULL)
    os.close(write_end)
    assert process.wait(timeout=120) == 0
    assert [path.name for path in below.iterdir()] == ([made] if made else [])
    models = squish.home / "squish/models"
    assert made or [path.name for path in models.iterdir() if not path.name.startswith(".")] == [chat_model.name[:-5]]


def test_a_full_disk_behind_the_events_ends_no_work_in_the_middle_and_is_no_success(squish, chat_model, tmp_path):
    with open("/dev/full", "w") as full:
        words = ("export", chat_model, "--gguf", tmp_path / "out.gguf", "--type", "q8_0", "--json")
        process = squish.start(*words, stdout=full, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and errors.count("No space left") == 1
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".partial", ".lock")]
    assert squish("check", tmp_path / "out.gguf").returncode == 0


def test_a_target_that_no_types_reach_is_refused_before_it_is_measured(squish, chat_model):
    result = squish("compress", chat_model, "--target-bits", "0.5", "--dry-run", timeout=20)
    assert result.returncode == 2 and "the smallest that the types of this model allow" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_model_made_of_a_named_one_is_a_model_of_its_own(squish, local_model):
    """It lay within the directory of its source, where `models` does not list it and `rm` deletes it."""
    for words, name in ((["sparsity-trim", local_model], "trimmed"),
                        (["compress", local_model, "--format", "int8", "--compare-tokens", "0"], "int8")):
        result = squish(*words)
        assert result.returncode == 0, result.stderr
        assert (squish.home / "squish/models" / f"smollm2-135m-{name}" / "config.json").exists()


def test_figures_go_to_a_pipe_and_a_device_stays_one(squish, tmp_path):
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    words = ("benchmark", "--ctx", "16", "--modes", "int8", "--save")
    assert squish(*words, link).returncode == 0
    assert link.is_symlink() and link.is_char_device()
    full = squish(*words, "/dev/full")
    assert full.returncode == 1 and "No space left" in full.stderr
    assert json.loads(squish(*words, "/dev/stderr").stderr)["version"] == 1


def test_settings_of_programs_that_run_at_a_time_are_all_kept(squish):
    running = [squish.start("config", "set", f"key{i}", str(i + 100), stderr=subprocess.DEVNULL) for i in range(12)]
    assert all(process.wait(timeout=30) == 0 for process in running)
    settings = json.loads(squish("config").stdout)
    assert [settings.get(f"key{i}") for i in range(12)] == list(range(100, 112))


@pytest.mark.parametrize(
    "words, says",
    [
        (["--int4", "--int8"], "--int4 and --int8 are two answers"),
        (["--format", "sq2", "--int4"], "--int4 and --format sq2 are two answers"),
        (["--zstd-level", "3"], "--zstd-level is for --format sqint2"),
        (["--no-awq", "--calibration", "text.txt"], "--calibration names what is read"),
        (["--passthrough", ""], "--passthrough is empty"),
        (["--passthrough", "no.such.tensor"], "'no.such.tensor' is in no tensor's name"),
        (["--output", ""], "--output is empty"),
    ],
)
def test_flags_of_compress_that_would_do_nothing_are_refused(squish, chat_model, words, says):
    result = squish("compress", chat_model, "--dry-run", *words)
    assert result.returncode == 2 and says in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1 and result.stdout == ""


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_is_called_one(squish, path):
    for words in (["run", path, "hello"], ["pull", path]):
        result = squish(*words)
        assert result.returncode == 1 and "is a device" in result.stderr, result.stderr


def test_a_compressed_model_that_is_pulled_by_its_path_runs(squish, chat_model, tmp_path):
    """Its vocabulary is in gguf_metadata.bin, which was left behind: `pull` said ✓ and every verb failed."""
    small = tmp_path / "small"
    assert squish("compress", chat_model, "--format", "int8", "-o", small, "--compare-tokens", "0").returncode == 0
    pulled = squish("pull", small)
    assert pulled.returncode == 0, pulled.stderr
    question = ("Name the capital of France.", "--temperature", "0", "--max-tokens", "8")
    answers = [squish("run", model, *question) for model in (small, "small")]
    assert answers[1].returncode == 0, answers[1].stderr
    assert answers[0].stdout == answers[1].stdout


def test_a_models_directory_that_cannot_be_looked_into_is_not_called_empty(squish, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for directory, code in ((file, 2), (file / "below", 1)):
        result = squish("models", env={"SQUISH_MODELS_DIR": str(directory)})
        assert result.returncode == code and str(directory) in result.stderr, result.stderr


@pytest.mark.parametrize("port", ["abc", "0", "65536"])
def test_a_bad_port_of_the_environment_stops_no_other_server(squish, port):
    for verb in ("stop", "ps"):
        result = squish(verb, env={"SQUISH_PORT": port})
        assert result.returncode == 2 and f"the port is '{port}'" in result.stderr


def test_clients_ask_where_the_settings_let_serve_listen(squish):
    assert squish("config", "set", "port", "8123").returncode == 0
    for verb in ("stop", "ps"):
        result = squish(verb)
        assert result.returncode == 3 and "8123" in result.stderr, result.stderr
