"""What the tests of `squish eval` share: the program, a tiny model that is always there, real ones where they are, real data."""
import gzip
import json
import subprocess

import pytest
from shared_folder import SHARED
from squish_program import BUILD, Squish, built

DATA = SHARED / "data"


@pytest.fixture
def squish(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Squish(built(BUILD / "squish"), home, timeout=600)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([built(BUILD / "tests" / "quality" / "write_tiny_model"), "qwen2", path], check=True)
    return path


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory):
    """Other weights, the same vocabulary."""
    path = tmp_path_factory.mktemp("model") / "other.gguf"
    subprocess.run([built(BUILD / "tests" / "quality" / "write_tiny_model"), "llama", path], check=True)
    return path


@pytest.fixture(scope="session")
def data():
    if not (DATA / "eval").exists():
        pytest.skip(f"{DATA / 'eval'} is absent: it holds the benchmarks' questions")
    return DATA


@pytest.fixture(scope="session")
def data_with_examples(data, tmp_path_factory):
    """The benchmarks, and files to draw examples from that do not hold the first questions."""
    directory = tmp_path_factory.mktemp("data")
    for path in (data / "eval").iterdir():
        (directory / path.name).symlink_to(path)
    subjects = {}
    with gzip.open(data / "eval" / "mmlu.test.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            subjects.setdefault(json.loads(line)["subject"], []).append(line)
    (directory / "mmlu.dev.jsonl").write_text("".join("".join(lines[-5:]) for lines in subjects.values()), encoding="utf-8")
    (directory / "arc_challenge_train.jsonl").write_text("".join((data / "eval" / "arc_challenge_test.jsonl").open(encoding="utf-8").readlines()[-300:]),
                                                         encoding="utf-8")
    with gzip.open(data / "eval" / "openbookqa_main.validation.jsonl.gz", "rt", encoding="utf-8") as file:
        (directory / "openbookqa_main.train.jsonl").write_text("".join(file.readlines()[-200:]), encoding="utf-8")
    return directory
