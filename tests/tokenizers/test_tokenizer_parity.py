"""Our tokenizers against the `tokenizers` package, llama.cpp's expected ids and `sentencepiece`: no difference.

SQUISH_BUILD_DIR     where tests/tokenizers/tokenize_lines is (default build/release)
SQUISH_TEST_MODELS   where tokenizers/NAME/tokenizer.json and *.gguf are (default ~/.cache/squish-test-models);
                     missing tokenizers are fetched by ../shared/tools/weights.sh where that exists
"""
import json
import os
import pathlib
import subprocess
import tempfile

import pytest

import cases
from shared_folder import ROOT, SHARED

BUILD = ROOT / os.environ.get("SQUISH_BUILD_DIR", "build/release")
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", "~/.cache/squish-test-models")).expanduser()
PROGRAM = BUILD / "tests/tokenizers/tokenize_lines"
FAMILIES = ["qwen2_5", "qwen3", "llama3", "llama3_1", "llama3_2", "gemma2", "gemma3", "mistral_nemo", "gpt2", "gpt4o",
            "gptoss", "deepseek_v3", "command_r_plus", "minilm"]
LOSSLESS = [name for name in FAMILIES if name != "minilm"]  # WordPiece lowers, strips and drops what it does not know
# llama.cpp's expected ids, for the vocabularies that a tokenizer.json here has.
EXPECTED = {"qwen2": "qwen2_5", "llama-bpe": "llama3", "gpt-2": "gpt2"}

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def ours(kind, path, texts, config="", **options):
    """One dictionary a text: ids, decoded, skipped, pieces (bytes), stream (text)."""
    lines = []
    for text in texts:
        request = {"hex": text.hex()} if isinstance(text, bytes) else {"text": text}
        lines.append(json.dumps(request | options))
    done = subprocess.run([str(PROGRAM), kind, str(path), str(config)], input="\n".join(lines) + "\n", text=True,
                          encoding="utf-8", capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(rows) == len(texts)
    for row in rows:
        for key in ("decoded", "skipped", "pieces"):
            row[key] = bytes.fromhex(row.pop(key + "_hex"))
    return rows


def family_path(name):
    path = MODELS / "tokenizers" / name
    if name == "minilm":  # a whole model, which lies beside the others
        path = MODELS / name
    fetch = SHARED / "tools/weights.sh"
    if not (path / "tokenizer.json").exists() and fetch.exists():
        subprocess.run(["bash", str(fetch), str(MODELS), f"tokenizer:{name}"], capture_output=True, timeout=300)
    if not (path / "tokenizer.json").exists():
        pytest.skip(f"{path}/tokenizer.json is absent and could not be fetched")
    return path


def oracle(path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def specials_of(path):
    added = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    return [token["content"] for token in added[:40] + added[-10:]]


def report(differences, count):
    """Fails with the first few differences."""
    shown = "\n".join(f"{name} {text[:80]!r}\n  want {want}\n  got  {got}" for name, text, want, got in differences[:5])
    assert not differences, f"{len(differences)} of {count} differ:\n{shown}"


def around(want, got):
    """The part of two lists where they part."""
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return want[max(0, at - 2):at + 6], got[max(0, at - 2):at + 6]


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_and_text_equal_the_tokenizers_package(name):
    path = family_path(name)
    hf = oracle(path)
    items = cases.everything(specials_of(path))
    rows = ours("json", path / "tokenizer.json", [text for _, text in items], path / "tokenizer_config.json")
    differences = []
    for (kind, text), row in zip(items, rows):
        want = hf.encode(text, add_special_tokens=False).ids
        if want != row["ids"]:
            differences.append((kind, text, *around(want, row["ids"])))
            continue
        for skip, key in ((False, "decoded"), (True, "skipped")):
            decoded = hf.decode(want, skip_special_tokens=skip)
            if decoded != row[key].decode("utf-8", "replace"):
                differences.append((kind + " decode", text, decoded[:60], row[key][:60]))
        if row["stream"] != row["decoded"].decode("utf-8", "replace"):
            differences.append((kind + " stream", text, row["decoded"][:60], row["stream"][:60]))
    print(f"{name}: {len(items)} strings, {len(differences)} differences")
    report(differences, len(items))


@pytest.mark.parametrize("name", FAMILIES)
def test_special_text_is_plain_text_when_asked(name):
    path = family_path(name)
    hf = oracle(path)
    hf.encode_special_tokens = True
    texts = [text for text in cases.fixed() + cases.nasty(300, seed=5, specials=specials_of(path))]
    rows = ours("json", path / "tokenizer.json", texts, parse_special=False)
    differences = []
    for text, row in zip(texts, rows):
        want = hf.encode(text, add_special_tokens=False).ids
        if want != row["ids"]:
            differences.append(("plain", text, *around(want, row["ids"])))
    report(differences, len(texts))


@pytest.mark.parametrize("name", LOSSLESS)
def test_bytes_come_back_as_they_went_in(name):
    path = family_path(name)
    normalizer = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))["normalizer"]
    hf = oracle(path)
    texts = [text for _, text in cases.everything() if "▁" not in text]
    if normalizer:
        texts = [text for text in texts if hf.normalizer.normalize_str(text).replace("▁", " ") == text]
    rows = ours("json", path / "tokenizer.json", texts)
    lost = [text for text, row in zip(texts, rows) if row["decoded"] != text.encode() or row["pieces"] != text.encode()]
    assert not lost, f"{len(lost)} of {len(texts)}: {lost[:3]!r}"


@pytest.mark.parametrize("name", LOSSLESS)
def test_invalid_utf8_comes_back_as_it_went_in(name):
    path = family_path(name)
    texts = [b"\xff", b"a\xc3", b"\xe2\x82", b"x\xf0\x9f\x98 y", b"\x80\x81\x82", b"\xed\xa0\x80", b"\xc0\xaf", bytes(range(128, 256)),
             b"ok \xe2\x28\xa1 ok", b"\xf8\x88\x80\x80\x80", b"'\xff's \xff 1\xff2"]
    rows = ours("json", path / "tokenizer.json", texts)
    for text, row in zip(texts, rows):
        assert row["pieces"] == text
        assert row["stream"] == text.decode("utf-8", "replace")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prepared_form_gives_the_same_ids(name, tmp_path):
    path = family_path(name)
    saved = tmp_path / "prepared"
    subprocess.run([str(PROGRAM), "json", str(path / "tokenizer.json"), str(path / "tokenizer_config.json"), "--save", str(saved)],
                   check=True, timeout=120)
    texts = cases.fixed() + cases.nasty(200, specials=specials_of(path))
    for add in (False, True):
        assert ours("prepared", saved, texts, add_special=add) == \
            ours("json", path / "tokenizer.json", texts, path / "tokenizer_config.json", add_special=add)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_ids_equal_those_llama_cpp_expects(name):
    path = family_path(EXPECTED[name])
    source = SHARED / f"data/tokenizers/ggml-vocab-{name}.gguf.inp"
    if not source.exists():
        pytest.skip(f"{source} is absent")
    texts = source.read_bytes().decode().split(cases.SEPARATOR)
    expected = [[int(i) for i in line.split()] for line in source.with_suffix(".out").read_text().splitlines()]
    rows = ours("json", path / "tokenizer.json", texts, parse_special=False)
    assert len(expected) <= len(rows) <= len(expected) + 1  # the file ends with a separator
    assert [row["ids"] for row in rows[:len(expected)]] == expected


# transformers 5 ignores add_bos_token and add_eos_token of these two; versions up to 4 and we follow them.
BY_CONFIG = {"deepseek_v3": ([0], []), "command_r_plus": ([5], [])}


@pytest.mark.parametrize("name", FAMILIES)
def test_special_ids_are_added_as_transformers_does(name):
    transformers = pytest.importorskip("transformers")
    path = family_path(name)
    texts = ["hello", "Hello  wörld 123 'LL\n\n x", " "]
    rows = ours("json", path / "tokenizer.json", texts, path / "tokenizer_config.json", add_special=True)
    if name in BY_CONFIG:
        before, behind = BY_CONFIG[name]
        hf = oracle(path)
        wanted = [before + hf.encode(text, add_special_tokens=False).ids + behind for text in texts]
    else:
        hf = transformers.AutoTokenizer.from_pretrained(str(path))
        wanted = [hf(text)["input_ids"] for text in texts]
    assert [row["ids"] for row in rows] == wanted
