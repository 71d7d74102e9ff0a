"""Usage, help, colours, completions, settings: everything that needs no model."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# docs/cli.md is made from the table of verbs, which a test below holds it to.
VERBS = [line.split()[-1] for line in (ROOT / "docs/cli.md").read_text().splitlines() if line.startswith("## squish ")]


def error_of(result):
    """The one line of an expected failure."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("✗ "), result.stderr
    return lines[0]


def test_no_verb_greets_and_counts_the_models(squish):
    result = squish()
    assert result.returncode == 0
    assert "No model is on this machine yet" in result.stdout
    assert "squish run" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_flag(squish, flag):
    result = squish(flag)
    assert result.returncode == 0
    assert result.stdout.startswith("squish ")


def test_version_verb_as_json(squish):
    facts = json.loads(squish("version", "--json").stdout)
    assert squish("--version").stdout == f"squish {facts['version']}\n"
    assert facts["isa"] in facts["isas"]
    assert facts["backend"].startswith("cpu")
    assert 1 <= facts["compute_threads"] <= facts["usable_cpus"]


def test_overview_lists_every_verb(squish):
    text = squish("--help").stdout
    assert text == squish("help").stdout == squish("-h").stdout
    for verb in VERBS:
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(squish, verb):
    result = squish(verb, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    assert f"squish {verb}" in result.stdout
    assert result.stdout == squish("help", verb).stdout == squish("--help", verb).stdout
    assert "--log-level" in result.stdout


def test_help_has_a_flag_for_every_sampling_parameter(squish):
    text = squish("run", "--help").stdout
    table = (ROOT / "src/engine/sampling_params.def").read_text()
    import re

    flags = set(re.findall(r'"(--[a-z-]+)"', table))
    assert {"--temperature", "--top-p", "--seed", "--max-tokens"} <= flags
    for flag in flags:
        assert f" {flag}" in text, flag


def test_documentation_is_what_the_program_says(squish):
    document = ROOT / "docs/cli.md"
    assert document.read_text() == squish("help", "--markdown").stdout, "run: squish help --markdown > docs/cli.md"


@pytest.mark.parametrize(
    "words, says",
    [
        (["rum"], "did you mean run"),
        (["modles"], "did you mean models"),
        (["server"], "did you mean serve"),
        (["--no-colour"], "did you mean --no-color"),
        (["run", "--temprature", "0"], "did you mean --temperature"),
        (["run", "--port", "80"], "`squish serve` starts the server"),
        (["run", "--host=0.0.0.0", "x"], "`squish serve` starts the server"),
        (["run", "--temperature"], "--temperature needs a value"),
        (["run", "--temperature", "hot", "m", "hello"], "temperature"),
        (["run", "--temperature", "9", "m", "hello"], "--temperature is 9; it must be a number from 0 to 2"),
        (["run", "--top-p", "1.5", "m", "hello"], "--top-p is 1.5; it must be a number from 0 to 1"),
        (["chat", "m", "--max-tokens", "x"], "--max-tokens is x; it must be a whole number"),
        (["chat", "m", *["--stop", "x"] * 65], "--stop: stop has 65 strings"),
        (["run", "--logit-bias", "1=500", "m", "hello"], "--logit-bias of token 1 is 500"),
        (["run", "--logit-bias", "x=1", "m", "hello"], "--logit-bias"),
        (["run", "--think", "--no-template", "m"], "prompt"),
        (["run", "m"], "no prompt"),
        (["models", "extra"], "one word too many"),
        (["show", "--json=maybe", "m"], "--json"),
        (["pull"], "SOURCE is missing"),
        (["tokenize", "m"], "TEXT"),
        (["completions", "tcsh"], "bash, zsh or fish"),
        (["config", "set", "x"], "KEY and a VALUE"),
        (["config", "drop"], "show, get and set"),
        (["help", "rum"], "did you mean run"),
        (["--log-level", "loud", "models"], "loud"),
        (["--log-level"], "needs a value"),
        (["bench", "--repeat", "0", "m"], "--repeat"),
        (["bench", "--prompt", "0", "--generate", "0", "m"], "nothing to measure"),
        (["bench", "--format", "int4", "--prompt", "5"], "--prompt is for a MODEL"),
        (["run", "m", "hello", "--threads", ""], "--threads is empty; give N, or leave it out"),
        (["run", "m", "hello", "--threads", "-1"], "--threads is '-1'"),
        (["run", "m", "hello", "--think", "--no-think"], "exclude each other"),
        (["chat", "m", "--temperature", "hot"], "--temperature is hot"),
        (["chat", "m", "--max-history", "0"], "--max-history"),
        (["chat", "m", "--context", "-1"], "--context"),
        (["serve", "--api-key="], "--api-key needs a value"),
        (["serve", "--api-key", ""], "--api-key is empty"),
        (["--log-level", "", "models"], "needs a value"),
        (["models", "--log-level", ""], "--log-level is empty"),
        (["models", "--json", "--ids"], "--ids and --json exclude each other"),
        (["catalog", "--json", "--ids"], "--ids and --json exclude each other"),
        (["tokenize", "m", "--decode", "1", "--pieces"], "--pieces is for a TEXT"),
        (["trace", "reset", "--chrome", "t.json"], "--chrome is for trace view"),
        (["stop", "m", "--now"], "--now is for the end of a server"),
        (["sbom", "verify", ".", "--result", "r.json"], "--result is for sbom bind"),
        (["benchmark", "--threshold", "0.1"], "--threshold is for --compare"),
        (["compress", "m", "--compare", "n", "--format", "int4"], "--format is about a new model"),
        (["merge", "--method", "ties", "--drop", "0.5", "--output-path", "x"], "--drop is for dare"),
        (["logs", "--log-file", "/"], "is a directory"),
        (["config", "set", "threads", "many"], "whole number from 0 (automatic) to 1024"),
        (["config", "set", "backend", "gpu"], "'gpu' does not exist; use cpu or ref"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(squish, words, says):
    result = squish(*words)
    assert result.returncode == 2, result.stderr
    assert says in error_of(result)
    assert (json.loads(result.stdout)["error"]["code"] == "invalid_argument") if "--json" in words else result.stdout == ""


@pytest.mark.parametrize(
    "words, says",
    [
        (["show", "nothing-of-this-name"], "nothing-of-this-name"),
        (["run", "nothing-of-this-name", "hello"], "nothing-of-this-name"),
        (["rm", "nothing-of-this-name", "--yes"], "nothing-of-this-name"),
        (["config", "get", "default_model"], "not set"),
        (["catalog", "--tag", "no-such-tag"], "no-such-tag"),
    ],
)
def test_an_expected_failure_is_one_line_and_code_1(squish, words, says):
    result = squish(*words)
    assert result.returncode == 1, result.stderr
    assert says in error_of(result)


def test_offline_forbids_the_automatic_pull_and_says_so(squish):
    for words in (["run", "smollm2:135m", "hello"], ["pull", "smollm2:135m"], ["run", "", "hello"]):
        result = squish(*words)
        assert result.returncode == 1
        assert "SQUISH_OFFLINE" in error_of(result) and "smollm2:135m" in result.stderr
    flag = squish("--offline", "pull", "smollm2:135m", env={"SQUISH_OFFLINE": ""})
    assert flag.returncode == 1 and "SQUISH_OFFLINE" in error_of(flag)


def test_colours_only_where_they_are_wanted(squish):
    assert "\x1b" not in squish("--help").stdout
    assert "\x1b[" in squish("--help", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in squish("--help", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert "\x1b" not in squish("--no-color", "--help", env={"FORCE_COLOR": "1"}).stdout
    assert "38;2;" in squish("--help", env={"FORCE_COLOR": "1", "SQUISH_DARK_BG": "1"}).stdout
    assert "38;2;" not in squish("--help", env={"FORCE_COLOR": "1"}).stdout, "the background is not known"


def test_a_terminal_gets_colours_and_a_dumb_one_none(squish):
    terminal = squish.terminal("--help")
    assert terminal.wait_for_end() == 0
    assert "\x1b[" in terminal.output
    terminal = squish.terminal("--help", env={"TERM": "dumb"})
    assert terminal.wait_for_end() == 0
    assert "\x1b" not in terminal.output


@pytest.mark.parametrize("shell, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])])
def test_completion_scripts_parse(squish, tmp_path, shell, check):
    result = squish("completions", shell)
    assert result.returncode == 0
    for verb in VERBS:
        assert verb in result.stdout
    if shutil.which(check[0]) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(result.stdout)
    parsed = subprocess.run([*check, script], capture_output=True, text=True)
    assert parsed.returncode == 0 and parsed.stderr == "", parsed.stderr


@pytest.mark.parametrize(
    "words, expected",
    [
        (["squish", "to"], {"tokenize"}),
        (["squish", "run", "--temp"], {"--temperature"}),
        (["squish", "--offline", "completions", "z"], {"zsh"}),
        (["squish", "bench", "--backend", ""], {"cpu", "ref"}),
        (["squish", "pull", "smollm2"], None),
    ],
)
def test_bash_completes(squish, words, expected):
    line = " ".join(f"'{word}'" for word in words)
    script = (
        f'{squish("completions", "bash").stdout}\nPATH={squish.program.parent}:$PATH\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _squish; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    result = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, env=squish.environment,
                            cwd=squish.home)
    offered = set(result.stdout.split())
    if expected is None:
        assert any(word.startswith("smollm2:") for word in offered), result
    else:
        assert offered == expected, result


def test_settings_are_kept(squish):
    assert squish("config", "set", "default_model", "smollm2:135m").returncode == 0
    assert squish("config", "get", "default_model").stdout == "smollm2:135m\n"
    assert json.loads(squish("config").stdout)["default_model"] == "smollm2:135m"
    assert squish("config", "set", "threads", "1").returncode == 0
    assert json.loads(squish("config", "show").stdout)["threads"] is not True, "1 thread is a number"
    assert squish("config", "get", "threads").stdout == "1\n"


def test_a_corrupt_settings_file_is_a_warning(squish):
    directory = squish.home / "squish"
    directory.mkdir()
    (directory / "config.json").write_text("{ not json")
    result = squish("config", "get", "port")
    assert result.returncode == 0 and result.stdout == "11435\n"
    assert "config.json" in result.stderr


def test_catalogue_and_search(squish):
    entries = json.loads(squish("catalog", "--json").stdout)
    assert any(entry["id"] == "smollm2:135m" and entry["sources"] for entry in entries)
    found = json.loads(squish("search", "smollm2", "--json").stdout)
    assert found and all("smollm2" in entry["id"] for entry in found)
    nothing = squish("search", "no-such-model-at-all")
    assert nothing.returncode == 0 and nothing.stdout == ""


def test_no_models_is_no_failure(squish):
    result = squish("models")
    assert result.returncode == 0 and result.stdout == ""
    assert "squish pull" in result.stderr
    assert json.loads(squish("models", "--json").stdout) == []


def test_a_reader_that_leaves_ends_the_program_silently(squish):
    for verb in (["catalog", "--ids"], ["help", "--markdown"]):
        process = squish.start(*verb, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        _, errors = b"", process.stderr.read()
        code = process.wait(timeout=20)
        assert errors == b""
        assert code in (-13, 141, 0), code
    shell = subprocess.run(f"{squish.program} catalog --ids | head -1", shell=True, capture_output=True, text=True,
                           env=squish.environment)
    assert shell.returncode == 0 and shell.stderr == "" and len(shell.stdout.splitlines()) == 1


def test_a_full_disk_is_reported(squish):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        process = squish.start("--help", stdout=full, stderr=subprocess.PIPE)
        errors = process.stderr.read().decode()
        assert process.wait(timeout=20) == 1
    assert errors.startswith("✗ ") and len(errors.splitlines()) == 1


def test_help_is_quick(squish, record_property):
    times = []
    for _ in range(9):
        begin = time.monotonic()
        squish("--help")
        times.append(time.monotonic() - begin)
    milliseconds = 1000 * sorted(times)[len(times) // 2]
    record_property("help_ms", round(milliseconds, 1))
    print(f"squish --help: {milliseconds:.1f} ms (median of 9; the aim is 30)")
    assert milliseconds < 1000, "something slow runs before --help"
