"""`squish push`: one directory to one repository, through the gates of publish."""

import json
import shutil

import pytest
from test_publish import QUESTIONS, REPOSITORY, SOUND, bind_score, hub, made, model, publisher  # noqa: F401
from writable_hub import READER, WRITER


def push(squish, directory, *words, code=0, to=REPOSITORY, **options):
    """One run; its token must not be in what it says."""
    done = squish("push", directory, to, *words, **options)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"exit {done.returncode}\n{said}"
    assert WRITER not in said and READER not in said
    if code:
        assert len([line for line in done.stderr.splitlines() if "✗" in line]) == 1, done.stderr
    return done


def rows(text):
    """The facts at the beginning, by name."""
    return dict(line.split(maxsplit=1) for line in text.splitlines() if line[:1].isalpha() and len(line.split(maxsplit=1)) == 2)


def test_a_directory_arrives_with_a_card_and_it_is_said_what_went_where(publisher, hub, model):
    done = push(publisher, model)
    files = hub.repositories[REPOSITORY].files
    for path in model.iterdir():
        assert files[path.name] == path.read_bytes(), path.name
    assert "| coherence | passed |" in files["README.md"].decode()
    assert not (model / "README.md").exists(), "the card is made for the hub alone"
    assert hub.repositories[REPOSITORY].summaries == ["Add sound-int8 in int8"]
    said = rows(done.stdout)
    assert said["directory"] == str(model)
    assert said["repository"] == f"{REPOSITORY} (created)"
    assert said["visibility"] == "public"
    assert said["files"].startswith(f"{len(list(model.iterdir())) + 1}, ")
    ran = publisher("run", f"hf:{REPOSITORY}", QUESTIONS[0])
    assert ran.stdout.strip() == SOUND


def test_private_and_the_message_reach_the_hub(publisher, hub, model):
    done = push(publisher, model, "--private", "--commit-message", "First try")
    assert hub.repositories[REPOSITORY].private
    assert hub.repositories[REPOSITORY].summaries == ["First try"]
    assert rows(done.stdout)["visibility"] == "private"


def test_what_is_meant_to_be_private_does_not_go_to_a_public_repository(publisher, hub, model):
    push(publisher, model)
    before = len(hub.writes())
    assert "exists and is public" in push(publisher, model, "--private", "--force", code=4).stderr
    assert len(hub.writes()) == before


def test_a_dry_run_lists_the_files_without_network_token_or_card(publisher, hub, model):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    done = push(publisher, model, "--dry-run", "--private", "-m", "Later", env={"HF_TOKEN": ""})
    assert not hub.requests
    for name in before:
        assert name in done.stdout
    said = rows(done.stdout)
    assert said["directory"] == str(model)
    assert said["visibility"] == "private, if it has to be created"
    assert said["files"].startswith(f"{len(before)}, ")
    assert said["commit"] == "Later"
    assert "It has no README.md: one is made when it is sent." in done.stdout
    assert "base_model" not in done.stdout and "Nothing was sent (--dry-run)" in done.stdout
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_a_dry_run_works_without_a_network_at_all(publisher, hub, model):
    push(publisher, model, "--dry-run", "--offline")
    assert "--dry-run" in push(publisher, model, "--offline", code=1).stderr
    assert not hub.requests


def test_what_is_no_directory_ends_with_1(publisher, hub, made, model):
    for path in (model / "nothing", made / "sound.gguf", "smollm2:135m"):
        assert "is no directory" in push(publisher, path, code=1).stderr
    assert not hub.requests


def test_a_directory_is_taken_before_a_model_of_its_name(publisher, hub, made, model, monkeypatch):
    shutil.copytree(made / "int3", publisher.home / "squish" / "models" / "sound-int8")
    monkeypatch.chdir(model.parent)
    push(publisher, "sound-int8")
    assert hub.repositories[REPOSITORY].files["config.json"] == (model / "config.json").read_bytes()


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_file_that_could_run_code_ends_with_2_before_anybody_is_asked(publisher, hub, model, words):
    (model / "weights.pkl").write_bytes(b"\x80\x04.")
    assert "weights.pkl" in push(publisher, model, *words, code=2).stderr
    assert not hub.requests


def test_a_score_below_its_floor_is_refused_as_by_publish(publisher, hub, made, tmp_path):
    directory = shutil.copytree(made / "int3", tmp_path / "qwen-int3")
    bind_score(publisher, directory, 61.5)
    words = ("--base-model", "Qwen/Qwen2.5-1.5B", "--no-smoke-test")
    assert "must have 67.2 %" in push(publisher, directory, *words, code=4).stderr
    assert not hub.writes()
    bind_score(publisher, directory, 68.5)
    push(publisher, directory, *words, "--license", "apache-2.0")
    card = hub.repositories[REPOSITORY].files["README.md"].decode()
    assert "| accuracy | passed |" in card and 'license: "apache-2.0"' in card


def test_the_other_gates_of_publish_hold_and_have_their_ways_round(publisher, hub, made, model):
    assert "5 of 5 answers make no sense" in push(publisher, made / "circling", code=2).stderr
    for name in ("report.json", "SHA256SUMS"):
        (model / name).unlink()
    assert "has no report.json" in push(publisher, model, code=4).stderr
    assert not hub.writes()
    push(publisher, model, "--no-report")
    push(publisher, made / "circling", "--no-smoke-test", to="acme/circling")


def test_a_repository_that_holds_files_is_left_alone_without_force(publisher, hub, model):
    push(publisher, model)
    (model / "notes.md").write_text("more\n")
    before = len(hub.writes())
    assert "holds files already: skipped" in push(publisher, model).stdout
    assert len(hub.writes()) == before
    push(publisher, model, "--force")
    assert hub.repositories[REPOSITORY].files["notes.md"] == b"more\n"


def test_json_ends_with_the_result_also_when_it_failed(publisher, hub, model):
    last = json.loads(push(publisher, model, "--json", "--private").stdout.splitlines()[-1])
    assert (last["event"], last["status"], last["visibility"]) == ("done", "published", "private")
    done = push(publisher, model, "--json", "--token", "hf_wrong0123456789", code=1)
    assert "error" in json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("words", "said"), [(["{model}"], "REPO is missing"), (["{model}", "acme"], "acme"), (["{model}", "hf:acme/x:file"], "names a file")])
def test_words_that_make_no_sense_are_explained(publisher, hub, model, words, said):
    done = publisher("push", *[word.format(model=model) for word in words])
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not hub.requests
