"""The official tests of JSON Schema: what a mask allows is never one of their invalid instances, and texts drawn from it validate."""
import collections
import json
import subprocess
import tarfile

import pytest
from exact_validator import exact_validator
from scripted_model import write_scripted_model
from shared_folder import SHARED
from squish_program import BUILD

SUITE = SHARED / "data" / "json" / "json_schema_test_suite.tar.gz"
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#", "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#", "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def groups():
    """(name, schema, tests) of all files of all drafts, without the optional ones."""
    out = []
    with tarfile.open(SUITE) as archive:
        for member in archive:
            *folders, draft, file = ["", "", *member.name.split("/")]
            if folders[-1] != "tests" or draft not in DRAFTS or not file.endswith(".json"):
                continue
            for group in json.load(archive.extractfile(member)):
                schema = group["schema"]
                if isinstance(schema, dict) and "$schema" not in schema:
                    schema = {"$schema": DRAFTS[draft], **schema}
                if not isinstance(schema, dict) or schema["$schema"] == DRAFTS[draft]:
                    out.append((f"{draft}/{file}: {group['description']}", schema, group["tests"]))
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "scripted.gguf"
    write_scripted_model(path, {"hello": "Hello."})
    return path


def test_no_invalid_instance_of_the_official_suite_is_allowed(model):
    if not SUITE.exists():
        pytest.skip(f"{SUITE} is absent")
    rows = groups()
    lines = [
        json.dumps({"id": i, "schema": schema, "outputs": 2, "seed": i, "tests": [json.dumps(test["data"], ensure_ascii=False) for test in tests]})
        for i, (_, schema, tests) in enumerate(rows)
    ]
    run = subprocess.run([BUILD / "tests" / "grammar" / "constrain_lines", model], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()][:-1]
    allowed, invalid, compiled = [], [], collections.Counter()
    for (name, schema, tests), answer in zip(rows, answers, strict=True):
        if "error" in answer:
            continue
        compiled[name.partition(":")[0]] += 1
        allowed += [(name, test["data"]) for test, accepted in zip(tests, answer["accepted"]) if accepted and not test["valid"]]
        texts = [text for text in answer["outputs"] if text is not None]
        if texts and isinstance(schema, dict):
            validator = exact_validator(schema)
            invalid += [(name, text) for text in texts if not validator.is_valid(json.loads(text))]
    assert allowed == []
    assert invalid == []
    assert compiled["draft2020-12/ref.json"] >= 33 and compiled["draft2020-12/anchor.json"] >= 4
    assert compiled["draft2020-12/unevaluatedProperties.json"] >= 30 and compiled["draft2020-12/unevaluatedItems.json"] >= 20
    assert compiled.total() >= 530, f"of {len(rows)}"
