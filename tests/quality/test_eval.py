"""`squish eval` and `squish check` from the outside: reports, refusals, interruption, charts."""
import gzip
import json
import math
import signal
import subprocess
import time

import pytest

from squish_program import model_or_skip

WORDS = ["river", "lantern", "engine", "orchard", "signal", "harbour", "ledger", "window"]


@pytest.fixture(scope="session")
def questions(tmp_path_factory):
    """A small benchmark of our own and a text, so that nothing else is needed."""
    directory = tmp_path_factory.mktemp("bench")
    rows = [{"question": f"Which of {i} is it?", "choices": [f"{WORDS[(i + k) % 8]} {k}" for k in range(3 + i % 3)], "gold": i % 3} for i in range(40)]
    (directory / "arc_easy_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    goals = [{"goal": f"use the {WORDS[i % 8]}", "sol1": f"with a {WORDS[(i + 1) % 8]}", "sol2": "not at all", "label": i % 2} for i in range(30)]
    with gzip.open(directory / "piqa.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in goals))
    (directory / "wiki.test.raw").write_text("".join(f"The {WORDS[i % 8]} near the {WORDS[i * 5 % 8]} was seen {i * 7 % 31} times .\n" for i in range(60)))
    return directory


def error_of(result, code):
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("✗ "), result.stderr
    assert result.stdout == ""
    return lines[0]


def test_a_report_has_shares_intervals_and_perplexity(squish, tiny_model, questions):
    report = squish.json("eval", tiny_model, "--tasks", "arc_easy,piqa,wikitext2", "--data", questions, "--context", 64)
    assert report["complete"] is True and report["limit"] is None and report["fewshot"] == 0
    assert report["model_path"] == str(tiny_model) and report["bytes"] == tiny_model.stat().st_size
    for task, count in (("arc_easy", 40), ("piqa", 30)):
        found = report["raw_results"][task]
        assert found["questions"] == count
        for metric in ("acc", "acc_norm", "acc_bytes"):
            low, high = found[f"{metric}_interval"]
            assert 0 <= low <= found[metric] <= high <= 1
            assert found[f"{metric}_stderr"] == pytest.approx(math.sqrt(found[metric] * (1 - found[metric]) / (count - 1)), abs=1e-5)
        assert report["scores"][task] == pytest.approx(100 * found["acc_norm"], abs=1e-3)
    text = report["raw_results"]["wikitext2"]
    assert text["context"] == 64 and text["scored_tokens"] == text["chunks"] * 31
    assert text["interval"][0] < text["perplexity"] < text["interval"][1]


def test_the_same_call_gives_the_same_figures_with_any_number_of_threads(squish, tiny_model, other_tiny_model, questions, tmp_path):
    reports = []
    for threads in (1, 2):
        dump = tmp_path / f"dump{threads}"
        report = squish.json("eval", tiny_model, "--tasks", "arc_easy,wikitext2", "--data", questions, "--context", 64, "--fewshot", 2,
                             "--baseline", other_tiny_model, "--threads", threads, "--dump-loglikelihood", dump)
        reports.append((report["raw_results"]["wikitext2"]["paired"], report["scores"], dump.read_bytes()))
    assert reports[0] == reports[1]


def test_a_model_beside_itself_differs_by_nothing(squish, tiny_model, questions):
    report = squish.json("eval", tiny_model, "--baseline", tiny_model, "--tasks", "arc_easy,wikitext2", "--data", questions, "--context", 64)
    pair = report["raw_results"]["wikitext2"]["paired"]
    assert pair["kl_mean"] == 0 and pair["kl_max"] == 0 and pair["top1_agreement"] == 1 and pair["log_ratio"] == 0
    paired = report["raw_results"]["arc_easy"]["paired"]["acc"]
    assert paired["difference"] == 0 and paired["mcnemar_p"] == 1


def test_paired_figures_are_those_of_the_single_runs(squish, tiny_model, other_tiny_model, questions):
    words = ("--tasks", "arc_easy,wikitext2", "--data", questions, "--context", 64)
    pair = squish.json("eval", tiny_model, "--baseline", other_tiny_model, *words)["raw_results"]
    one = squish.json("eval", tiny_model, *words)["raw_results"]
    other = squish.json("eval", other_tiny_model, *words)["raw_results"]
    assert pair["wikitext2"]["perplexity"] == pytest.approx(one["wikitext2"]["perplexity"], rel=1e-6)
    assert pair["wikitext2"]["stderr"] == pytest.approx(one["wikitext2"]["stderr"], rel=1e-5)
    assert pair["wikitext2"]["baseline"]["perplexity"] == pytest.approx(other["wikitext2"]["perplexity"], rel=1e-6)
    assert pair["wikitext2"]["paired"]["kl_mean"] > 0
    assert math.exp(pair["wikitext2"]["paired"]["log_ratio"]) == pytest.approx(one["wikitext2"]["perplexity"] / other["wikitext2"]["perplexity"], rel=1e-4)
    assert pair["arc_easy"]["acc"] == one["arc_easy"]["acc"]
    assert pair["arc_easy"]["baseline"]["acc"] == other["arc_easy"]["acc"]
    assert pair["arc_easy"]["paired"]["acc"]["difference"] == pytest.approx(one["arc_easy"]["acc"] - other["arc_easy"]["acc"], abs=1e-6)


def test_people_get_a_table(squish, tiny_model, other_tiny_model, questions):
    result = squish("eval", tiny_model, "--baseline", other_tiny_model, "--tasks", "arc_easy,wikitext2", "--limit", 10, "--data", questions,
                    "--context", 64)
    assert result.returncode == 0, result.stderr
    for text in ("arc_easy", "acc_norm", "McNemar", "perplexity", "KL divergence", "same token"):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_reports_are_kept_and_drawn(squish, tiny_model, other_tiny_model, questions, tmp_path):
    chart = tmp_path / "chart.svg"
    words = ("--tasks", "wikitext2", "--data", questions, "--context", 64, "--baseline", tiny_model, "--output-dir", tmp_path / "out", "--chart", chart)
    assert squish("eval", tiny_model, *words).returncode == 0
    assert chart.read_text().count("<circle") == 1
    (tmp_path / "out" / "lmeval_broken_x.json").write_text("{")
    result = squish("eval", other_tiny_model, *words)
    assert result.returncode == 0, result.stderr
    svg = chart.read_text()
    assert svg.startswith("<svg") and svg.count("<circle") == 2
    assert "KL, nats" in result.stdout and "KL 0.00000" in result.stdout
    again = squish("eval", "--chart", tmp_path / "again.svg", "--output-dir", tmp_path / "out")
    assert again.returncode == 0 and (tmp_path / "again.svg").read_text() == svg
    assert "no report" in error_of(squish("eval", "--chart", tmp_path / "x.svg", "--output-dir", tmp_path), 1)
    kept = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("lmeval_*.json") if "broken" not in path.name]
    assert len(kept) == 2 and all(report["baseline"]["model_path"] == str(tiny_model) for report in kept)


@pytest.mark.parametrize("words, code, says", [
    (["--tasks", "arc"], 2, "there is no task 'arc'; there are wikitext2, arc_easy"),
    (["--tasks", ""], 2, "--tasks is empty"),
    (["--tasks", ","], 2, "there is no task ''"),
    (["--tasks", "wikitext2", "--limit", "5"], 2, "--limit is for tasks with questions"),
    (["--tasks", "arc_easy", "--tokens", "500"], 2, "--tokens is for the text of the task wikitext2"),
    (["--tasks", "hellaswag"], 1, "hellaswag.validation"),
    (["--tasks", "wikitext2", "--text", "/nonexistent/text"], 1, "/nonexistent/text"),
    (["--tasks", "arc_easy", "--text", "x"], 2, "not among the --tasks"),
    (["--tasks", "arc_easy", "--limit", "0"], 2, "--limit"),
    (["--tasks", "arc_easy", "--limit", "many"], 2, "--limit"),
    (["--tasks", "arc_easy", "--fewshot", "40"], 2, "--fewshot 40 needs 41 rows, there are 40"),
    (["--tasks", "arc_easy", "--max-length", "8"], 2, "the longest context is 8"),
    (["--tasks", "wikitext2", "--context", "3"], 2, "--context"),
    (["--tasks", "wikitext2", "--context", "100000"], 2, "give a longer text"),
    (["--tasks", "wikitext2", "--context", "400"], 2, "more than the 256 that the model was trained for"),
    (["--tasks", "arc_easy", "--baseline", "no-such-model"], 1, "no-such-model"),
    (["--tasks", "arc_easy", "--chart", "x.svg"], 2, "--chart"),
    (["--tasks", "arc_easy", "--threads", "-1"], 2, "--threads"),
    (["--tasks", "arc_easy", "--backend", "gpu"], 2, "gpu"),
])
def test_wrong_use_is_one_line(squish, tiny_model, questions, words, code, says):
    assert says in error_of(squish("eval", tiny_model, "--data", questions, *words), code)


@pytest.mark.parametrize("text, says", [
    ('{"question": "q"}\n', "arc_easy_test.jsonl:1: field 'choices' is missing"),
    ('\n{"question": "q", "choices": ["a", "b"], "gold": 5}\n', "arc_easy_test.jsonl:2: field 'gold' is 5, there are 2 choices"),
    ("{", "arc_easy_test.jsonl:1: "),
    ("\x1f\x8bnot gzip", "arc_easy_test.jsonl: damaged gzip data"),
    ("[" * 100000, "arc_easy_test.jsonl:1: "),
    ("\xff\xfe", "arc_easy_test.jsonl:1: "),
    ("", "has no question in it"),
])
def test_a_bad_data_file_is_one_line_with_its_place(squish, tiny_model, tmp_path, text, says):
    (tmp_path / "arc_easy_test.jsonl").write_bytes(text.encode("latin-1"))
    assert says in error_of(squish("eval", tiny_model, "--tasks", "arc_easy", "--data", tmp_path), 1)


def test_results_that_cannot_be_written_are_said(squish, tiny_model, questions, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = squish("eval", tiny_model, "--tasks", "arc_easy", "--limit", 2, "--data", questions, "--output-dir", blocked / "below")
    assert result.returncode == 1 and "file" in result.stderr


def test_ctrl_c_reports_what_was_done(squish, data, tmp_path):
    model = model_or_skip("SmolLM2-135M-Instruct.Q4_1.gguf")
    process = squish.start("eval", model, "--tasks", "arc_easy", "--data", data, "--json", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted: these figures are of what was done by then" in errors
    report = json.loads(out)
    assert report["complete"] is False
    found = report["raw_results"]["arc_easy"]
    assert 0 < found["questions"] < 2376 and found["complete"] is False


def test_check_counts_bits_and_reads_every_weight(squish, tiny_model):
    report = squish.json("check", tiny_model)
    assert report["damaged"] is False and report["values_read"] is True and report["not_finite"] == 0
    assert sum(one["bytes"] for one in report["classes"]) == report["weight_bytes"]
    down = next(one for one in report["classes"] if one["class"] == "down")
    assert down["types"] == {"q8_0": 2} and down["bits_per_weight"] == 8.5
    assert any("below 1 B" in line for line in report["warnings"]) is False
    assert "q8_0" in squish("check", tiny_model, "--quick").stdout


def test_check_finds_a_weight_that_is_no_number(squish, tiny_model, tmp_path):
    """The scale of one block set to NaN in the file."""
    gguf = pytest.importorskip("gguf")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny_model.read_bytes())
    tensor = next(one for one in gguf.GGUFReader(tiny_model).tensors if one.name == "blk.1.ffn_down.weight")
    with damaged.open("r+b") as file:
        file.seek(int(tensor.data_offset) + 34)
        file.write(b"\x00\x7e")
    result = squish("check", damaged)
    assert result.returncode == 1 and "32 weights are no numbers, the first in blk.1.ffn_down.weight" in result.stderr
    assert squish("check", damaged, "--quick").returncode == 0
