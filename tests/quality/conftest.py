"""What the tests of `squish eval` share: the program, a tiny model that is always there, real ones where they are, real data."""
import gzip
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release"))
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))
DATA = ROOT.parent / "shared" / "data"


class Squish:
    def __init__(self, program, home):
        self.program = program
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SQUISH_") and k not in ("NO_COLOR", "FORCE_COLOR")}
        self.environment |= {"SQUISH_HOME": str(home), "SQUISH_OFFLINE": "1", "LC_ALL": "C.UTF-8"}

    def __call__(self, *words, timeout=600, env=None):
        return subprocess.run([self.program, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                              env=self.environment | (env or {}))

    def start(self, *words, **options):
        return subprocess.Popen([self.program, *map(str, words)], stdin=subprocess.DEVNULL, env=self.environment, text=True, **options)

    def json(self, *words, **options):
        result = self(*words, "--json", **options)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


def built(path):
    if not path.exists():
        pytest.skip(f"{path} is not built; SQUISH_BUILD_DIR names another build directory")
    return path


@pytest.fixture
def squish(tmp_path):
    return Squish(built(BUILD / "squish"), tmp_path / "home")


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


def real_model(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{path} is absent; SQUISH_TEST_MODELS names a directory with the test models")
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
