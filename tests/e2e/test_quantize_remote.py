"""`squish quantize-remote`: from a repository of a hub to a compressed model, and to another repository."""

import hashlib
import json
import math
import re
import subprocess

import pytest
from scripted_model import write_scripted_model
from test_compress import HIDDEN, tiny_tensors, write_tiny
from test_publish import QUESTIONS, ROUND_AND_ROUND, SOUND, hub, publisher  # noqa: F401
from writable_hub import WRITER, Repository

SOURCE = "acme/Tiny-1B"
TARGET = "acme/tiny-int4"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The files of a Hugging Face directory by name."""
    directory = write_tiny(tmp_path_factory.mktemp("tiny") / "model")
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def put(hub, files, name=SOURCE):
    repository = hub.repositories[name] = Repository(False)
    repository.files |= files
    repository.large |= {path for path in files if path.endswith((".safetensors", ".gguf"))}
    return repository


@pytest.fixture
def source(hub, tiny):
    """The hub holds it in two files, with what nobody needs beside them."""
    data = tiny["model.safetensors"]
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    shards = {"model-00001-of-00002.safetensors": list(header)[:20], "model-00002-of-00002.safetensors": list(header)[20:]}
    files = {name: content for name, content in tiny.items() if name != "model.safetensors"}
    for name, tensors in shards.items():
        begin = header[tensors[0]]["data_offsets"][0]
        end = header[tensors[-1]]["data_offsets"][1]
        moved = {t: header[t] | {"data_offsets": [at - begin for at in header[t]["data_offsets"]]} for t in tensors}
        text = json.dumps(moved).encode()
        text += b" " * (-len(text) % 8)
        files[name] = len(text).to_bytes(8, "little") + text + data[size + begin : size + end]
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    files |= {"README.md": b"# tiny\n", "model-Q4_K_M.gguf": b"GGUF"}
    return put(hub, files)


def quantize(squish, *words, code=0, source=SOURCE, **options):
    done = squish("quantize-remote", source, *words, **options)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"exit {done.returncode}\n{said}"
    assert WRITER not in said
    if code:
        assert len([line for line in done.stderr.splitlines() if "✗" in line]) == 1, done.stderr
    return done


def report_of(directory):
    return json.loads((directory / "report.json").read_text())


def models(squish):
    return squish.home / "squish" / "models"


def fetched(hub):
    return {request.path.rsplit("/", 1)[1] for request in hub.requests if "/resolve/" in request.path}


# -- the whole way --------------------------------------------------------------------------------------------------


def test_a_sharded_repository_becomes_int4_in_the_models_directory(publisher, hub, source):
    done = quantize(publisher)
    assert re.search(r"acme/Tiny-1B: .* of weights in 2 files, calibrated as a whole: 2 x .* \+ 2 GB = .* of memory, and this machine has", done.stderr)
    report = report_of(models(publisher) / "Tiny-1B-int4")
    assert (report["format"], report["source"]) == ("int4", "Tiny-1B")
    assert report["calibration"] == "awq, 10240 tokens of built-in text"
    assert not fetched(hub) & {"README.md", "model-Q4_K_M.gguf"}
    assert f"The source stays in {models(publisher) / 'Tiny-1B'}" in done.stdout
    assert publisher("run", models(publisher) / "Tiny-1B-int4", "hello", "--max-tokens", "2").returncode == 0
    assert not hub.writes()


def test_the_result_has_the_bytes_that_pull_and_compress_give(publisher, hub, source):
    quantize(publisher, "--awq-samples", "2")
    done = publisher("compress", models(publisher) / "Tiny-1B", "-o", publisher.home / "by-hand", "--calibration-tokens", "1024")
    assert done.returncode == 0, done.stderr
    for path in (publisher.home / "by-hand").iterdir():
        assert path.read_bytes() == (models(publisher) / "Tiny-1B-int4" / path.name).read_bytes(), path.name


def test_each_flag_of_the_coding_acts(publisher, hub, source):
    eight = report_of_run(publisher, "--int8")
    assert eight["format"] == "int8" and "calibration" not in eight
    plain = report_of_run(publisher, "--no-awq", "--output", publisher.home / "plain", output=publisher.home / "plain")
    assert plain["format"] == "int4" and "calibration" not in plain
    few = report_of_run(publisher, "--awq-samples", "3", "-o", publisher.home / "few", output=publisher.home / "few")
    assert few["calibration"] == "awq, 1536 tokens of built-in text"


def report_of_run(squish, *words, output=None):
    quantize(squish, *words)
    return report_of(output or models(squish) / "Tiny-1B-int8")


def test_models_dir_takes_source_and_result(publisher, hub, source, tmp_path):
    quantize(publisher, "--models-dir", tmp_path / "elsewhere", "--awq-samples", "1")
    assert {path.name for path in (tmp_path / "elsewhere").iterdir() if not path.name.startswith(".")} == {"Tiny-1B", "Tiny-1B-int4"}
    assert not models(publisher).exists()


def test_verbose_lists_files_disks_and_tensors(publisher, hub, source, tmp_path):
    done = quantize(publisher, "--verbose", "--awq-samples", "1")
    for name in ("model-00002-of-00002.safetensors", "tokenizer.json"):
        assert name in done.stderr
    assert f"to fetch into {models(publisher)}" in done.stderr
    assert "model.layers.0.mlp.down_proj.weight" in done.stdout
    quiet = quantize(publisher, "--awq-samples", "1", "-o", tmp_path / "quiet")
    assert "tokenizer.json" not in quiet.stderr and "down_proj" not in quiet.stdout


def test_the_token_opens_a_private_repository(publisher, hub, source):
    source.private = True
    quantize(publisher, code=1, env={"HF_TOKEN": ""})
    quantize(publisher, "--awq-samples", "1", "--token", WRITER, env={"HF_TOKEN": ""})


def test_a_revision_and_a_web_address_name_the_same(publisher, hub, source):
    quantize(publisher, "--int8", source=f"hf:{SOURCE}@{source.commits[-1]}")
    assert (models(publisher) / "Tiny-1B-int8").is_dir()
    quantize(publisher, "--int8", source=f"https://huggingface.co/{SOURCE}", code=0)


# -- before any weight ----------------------------------------------------------------------------------------------


def listed(hub, monkeypatch, sizes, **more):
    """The hub claims these sizes."""
    answer = hub._listing

    def listing(name, repository):
        out = answer(name, repository) | more
        for item in out["siblings"]:
            if item["rfilename"] in sizes:
                item["size"] = sizes[item["rfilename"]]
                item.get("lfs", {})["size"] = item["size"]
        return out

    monkeypatch.setattr(hub, "_listing", listing)


def test_what_does_not_fit_into_memory_goes_layer_by_layer_and_a_full_disk_is_told_first(publisher, hub, source, monkeypatch):
    listed(hub, monkeypatch, {"model-00001-of-00002.safetensors": 1 << 58})
    done = quantize(publisher, code=1)
    assert "of weights in 2 files, calibrated layer by layer from the disk: 2 x 288230 TB + 2 GB" in done.stderr
    assert "source and result take" in done.stderr and "--models-dir" in done.stderr
    assert fetched(hub) == {"model.safetensors.index.json"}
    assert "coded without calibration layer by layer" in quantize(publisher, "--no-awq", code=1).stderr


def test_packed_weights_need_room_for_what_they_are_unpacked_to(publisher, hub, source, monkeypatch):
    listed(hub, monkeypatch, {"model-00001-of-00002.safetensors": 1 << 58}, config={"quantization_config": {"quant_method": "awq", "bits": 4}})
    assert "2 x 1152922 TB" in quantize(publisher, code=1).stderr


def test_an_unsafe_repository_ends_with_2_and_only_its_listing_is_read(publisher, hub, source):
    source.files["weights.pkl"] = b"\x80\x04."
    assert "acme/Tiny-1B is unsafe" in quantize(publisher, code=2).stderr
    assert len(hub.requests) == 1


def test_gguf_files_alone_must_be_named(publisher, hub, tmp_path):
    write_scripted_model(tmp_path / "m-F16.gguf", {"hello": SOUND})
    put(hub, {"m-F16.gguf": (tmp_path / "m-F16.gguf").read_bytes()}, "acme/gguf")
    assert "name the one to start from, such as hf:acme/gguf:F16" in quantize(publisher, source="acme/gguf", code=1).stderr
    quantize(publisher, "--int8", source="acme/gguf:F16")
    assert report_of(models(publisher) / "gguf-int8")["source"] == "m-F16.gguf"


def test_a_gguf_file_that_was_pulled_is_not_taken_for_the_source(publisher, hub, source, tmp_path):
    write_scripted_model(tmp_path / "model-Q4_K_M.gguf", {"hello": SOUND})
    source.files["model-Q4_K_M.gguf"] = (tmp_path / "model-Q4_K_M.gguf").read_bytes()
    assert publisher("pull", f"hf:{SOURCE}").returncode == 0
    quantize(publisher, "--awq-samples", "1")
    assert report_of(models(publisher) / "Tiny-1B-int4")["source"] == "Tiny-1B"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--int8", "--no-awq"], "--no-awq is about calibration"),
        (["--int8", "--awq-samples", "4"], "--awq-samples is about calibration"),
        (["--no-awq", "--awq-samples", "4"], "--no-awq reads nothing"),
        (["--awq-samples", "0"], "--awq-samples"),
        (["--private"], "--private is for --push"),
        (["--commit-message", "x"], "--commit-message is for --push"),
        (["--push", "acme"], "acme"),
    ],
)
def test_words_that_would_do_nothing_are_refused(publisher, hub, source, words, said):
    assert said in quantize(publisher, *words, code=2).stderr
    assert not hub.requests


def test_offline_it_asks_nobody(publisher, hub, source):
    assert "SQUISH_OFFLINE" in quantize(publisher, "--offline", code=1).stderr
    assert "SQUISH_OFFLINE" in quantize(publisher, "--offline", "--push", TARGET, code=1).stderr
    assert not hub.requests


# -- a second time --------------------------------------------------------------------------------------------------


def test_what_was_fetched_and_made_is_not_made_again(publisher, hub, source):
    quantize(publisher, "--awq-samples", "1")
    before = hashlib.sha256((models(publisher) / "Tiny-1B-int4" / "model.safetensors").read_bytes()).digest()
    count = len(hub.requests)
    assert "is already there" in quantize(publisher, "--awq-samples", "1").stdout
    assert len(hub.requests) == count
    assert before == hashlib.sha256((models(publisher) / "Tiny-1B-int4" / "model.safetensors").read_bytes()).digest()
    again = quantize(publisher, "--int8")
    assert "is already here" in again.stderr and "in 2 files, coded without calibration as a whole" in again.stderr
    assert len(hub.requests) == count


def test_another_result_at_the_same_place_stays(publisher, hub, source):
    quantize(publisher, "--awq-samples", "1")
    for words in (["--no-awq"], ["--awq-samples", "2"]):
        assert "is not what these words make" in quantize(publisher, *words, code=2).stderr
    (publisher.home / "mine").mkdir()
    (publisher.home / "mine" / "letter.txt").write_text("dear")
    assert "name another --output" in quantize(publisher, "-o", publisher.home / "mine", code=2).stderr


def test_a_run_that_was_killed_goes_on_with_what_had_come(publisher, hub, source):
    hub.hold("GET", "/model-00002-of-00002.safetensors")
    process = publisher.start("quantize-remote", SOURCE, "--awq-samples", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert hub.held.wait(30)
    process.kill()
    process.communicate(timeout=10)
    hub.release.set()
    before = len(hub.requests)
    done = quantize(publisher, "--awq-samples", "1", "--verbose")
    assert not [request for request in hub.requests[before:] if "model-00001" in request.path]
    size = len(source.files["model-00002-of-00002.safetensors"])
    assert f"{size / 1e6:.2f} MB to fetch into" in done.stderr


def test_a_calibration_that_memory_has_no_room_for_names_the_flags_of_this_verb(publisher, hub):
    """The weights are holes in a file: it is their shapes that count."""
    hidden, directory = 1 << 15, models(publisher) / "wide"
    directory.parent.mkdir(parents=True)
    write_tiny(directory, layers=1)
    shapes = {name: [hidden if n == HIDDEN else n for n in shape] for name, shape in tiny_tensors(1)}
    for name in shapes:
        if "k_proj" in name or "v_proj" in name:
            shapes[name][0] = 128
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(directory / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    config = json.loads((directory / "config.json").read_text())
    config |= {"hidden_size": hidden, "num_attention_heads": 256, "num_key_value_heads": 1}
    (directory / "config.json").write_text(json.dumps(config))
    files = [{"name": path.name, "bytes": path.stat().st_size} for path in directory.iterdir()]
    record = {"id": "wide", "source": "hf:acme/wide", "pulled_at": "2026-11-24T10:00:00Z", "files": files}
    (directory / ".squish.json").write_text(json.dumps(record))
    done = quantize(publisher, "--awq-samples", "2048", source="acme/wide", code=4)
    assert "use fewer --awq-samples, or --no-awq" in done.stderr


# -- and to another repository --------------------------------------------------------------------------------------


@pytest.fixture
def talking(hub, tmp_path):
    """A model that gives the answers of the coherence gate, on the hub as one GGUF file."""

    def put_one(answer):
        write_scripted_model(tmp_path / "talk-F32.gguf", {question: answer for question in QUESTIONS})
        put(hub, {"talk-F32.gguf": (tmp_path / "talk-F32.gguf").read_bytes()}, "acme/talk")
        return "acme/talk:talk-F32.gguf"

    return put_one


def test_push_sends_the_result_with_a_card_that_names_its_source(publisher, hub, talking):
    done = quantize(publisher, "--int8", "--push", TARGET, "--private", "--commit-message", "From afar", source=talking(SOUND))
    repository = hub.repositories[TARGET]
    assert repository.private and repository.summaries == ["From afar"]
    result = models(publisher) / "talk-int8"
    assert repository.files["model.safetensors"] == (result / "model.safetensors").read_bytes()
    card = repository.files["README.md"].decode()
    assert 'base_model: "acme/talk"' in card and "| coherence | passed |" in card
    assert re.search(rf"directory +{result}\nrepository +{TARGET} \(created\)\nvisibility +private\n", done.stdout), done.stdout


def test_a_result_that_fails_a_gate_stays_here_and_goes_after_it_is_mended(publisher, hub, talking):
    done = quantize(publisher, "--int8", "--push", TARGET, source=talking(ROUND_AND_ROUND), code=2)
    assert "answers make no sense" in done.stderr and "squish push sends it" in done.stderr
    assert not hub.writes()
    assert publisher("push", models(publisher) / "talk-int8", TARGET, "--no-smoke-test").returncode == 0
    assert TARGET in hub.repositories


def test_an_upload_that_broke_off_is_all_that_a_second_call_does(publisher, hub, talking):
    words = ("--int8", "--push", TARGET)
    hub.fail("POST", "/commit/", 403)
    source = talking(SOUND)
    quantize(publisher, *words, source=source, code=1)
    reads = fetched(hub)
    stored = hub.stored_bytes()
    assert "is already there" in quantize(publisher, *words, source=source).stdout
    assert "model.safetensors" in hub.repositories[TARGET].files
    assert fetched(hub) == reads and hub.stored_bytes() == stored


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        ([], {"HF_TOKEN": ""}, 1, "there is no token"),
        ([], {"HF_TOKEN": "hf_wrong0123456789"}, 1, "does not take the token"),
        (["--private"], {}, 4, "exists and is public"),
        ([], {}, 4, "holds files already"),
    ],
)
def test_a_push_that_cannot_work_is_told_before_anything_is_fetched(publisher, hub, source, words, environment, code, said):
    put(hub, {"README.md": b"theirs\n"}, TARGET)
    assert said in quantize(publisher, "--push", TARGET, *words, env=environment, code=code).stderr
    assert not fetched(hub) and not hub.writes()
    assert not models(publisher).exists()
