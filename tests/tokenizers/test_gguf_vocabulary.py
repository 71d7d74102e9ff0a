"""Tokenizers from GGUF arrays, against the tokenizer.json of the same family and against llama.cpp.

SQUISH_LLAMA_TOKENIZE   path of llama.cpp's llama-tokenize; without it that comparison skips
"""
import json
import os
import subprocess

import pytest

import cases
from test_tokenizer_parity import MODELS, PROGRAM, SHARED, around, family_path, oracle, ours, report, specials_of

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")
LLAMA = os.environ.get("SQUISH_LLAMA_TOKENIZE", "")
FILES = {"qwen2.5-coder-0.5b": "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf", "qwen2.5-coder-1.5b": "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
         "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m.Q4_K_M.gguf"}
FAMILY = {"qwen2.5-coder-0.5b": "qwen2_5", "qwen2.5-coder-1.5b": "qwen2_5", "gemma3": "gemma3"}
NAMES = {"model": "tokenizer.ggml.model", "pre": "tokenizer.ggml.pre", "tokens": "tokenizer.ggml.tokens", "scores": "tokenizer.ggml.scores",
         "kinds": "tokenizer.ggml.token_type", "merges": "tokenizer.ggml.merges", "bos": "tokenizer.ggml.bos_token_id",
         "eos": "tokenizer.ggml.eos_token_id", "unknown": "tokenizer.ggml.unknown_token_id", "padding": "tokenizer.ggml.padding_token_id",
         "add_bos": "tokenizer.ggml.add_bos_token", "add_eos": "tokenizer.ggml.add_eos_token",
         "add_space_prefix": "tokenizer.ggml.add_space_prefix"}


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """Path of the dumped arrays of a model; each is dumped once."""
    gguf = pytest.importorskip("gguf")
    dumped = {}

    def dump(name):
        path = MODELS / FILES[name]
        if not path.exists():
            pytest.skip(f"{path} is absent")
        if name not in dumped:
            fields = gguf.GGUFReader(path).fields
            found = {key: fields[long].contents() for key, long in NAMES.items() if long in fields}
            dumped[name] = tmp_path_factory.mktemp("arrays") / f"{name}.json"
            dumped[name].write_text(json.dumps(found), encoding="utf-8")
        return dumped[name]
    return dump


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_ids_equal_the_tokenizer_json_of_the_family(name, arrays):
    family = family_path(FAMILY[name])
    hf = oracle(family)
    dumped = arrays(name)
    # <image_soft_token> is in the tokenizer.json of Gemma 3's larger, seeing models only.
    items = cases.everything([text for text in specials_of(family) if text != "<image_soft_token>"])
    rows = ours("arrays", dumped, [text for _, text in items])
    differences = []
    for (kind, text), row in zip(items, rows):
        want = hf.encode(text, add_special_tokens=False).ids
        if want != row["ids"]:
            differences.append((kind, text, *around(want, row["ids"])))
        elif row["decoded"].decode("utf-8", "replace") != hf.decode(want, skip_special_tokens=False):
            differences.append((kind + " decode", text, hf.decode(want, skip_special_tokens=False)[:50], row["decoded"][:50]))
    print(f"{name}: {len(items)} strings, {len(differences)} differences")
    report(differences, len(items))


def llama_ids(model, text, folder):
    """What llama-tokenize prints for the text."""
    source = folder / "text"
    source.write_bytes(text.encode())
    done = subprocess.run([LLAMA, "-m", str(model), "-f", str(source), "--ids", "--no-bos", "--log-disable", "--no-escape"], capture_output=True,
                          text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stderr[-300:]
    line = [line for line in done.stdout.splitlines() if line.startswith("[")][-1]
    return json.loads(line)


@pytest.mark.skipif(not LLAMA, reason="SQUISH_LLAMA_TOKENIZE is not set")
@pytest.mark.parametrize("name", ["smollm2", "gemma3", "qwen2.5-coder-0.5b"])
def test_ids_equal_llama_cpp(name, arrays, tmp_path):
    import unicodedata
    dumped = arrays(name)
    model = MODELS / FILES[name]
    every = [text for _, text in cases.corpus()]
    texts = every[:85:6] + [text for text in every[-60:]] + cases.fixed()[10:40] + cases.nasty(60, specials=("<|im_start|>", "<|im_end|>"))
    # llama.cpp neither composes (NFC) nor knows Unicode 16, and cuts its file at NUL.
    # It also takes "</s>" for a control token in every vocabulary that spells it; `tokenizers` does not.
    texts = [t for t in dict.fromkeys(texts) if t and unicodedata.is_normalized("NFC", t) and "\0" not in t and "\U0001fadf" not in t
             and ("</s>" not in t or name == "gemma3")
             # Gemma's GGUF spells runs of "▁" as spaces; a literal "▁▁" is that token for `tokenizers` and us only.
             and ("▁" not in t or name != "gemma3")]
    rows = ours("arrays", dumped, texts)
    differences = []
    for text, row in zip(texts, rows):
        want = llama_ids(model, text, tmp_path)
        if want != row["ids"]:
            differences.append(("llama.cpp", text, *around(want, row["ids"])))
    print(f"{name}: {len(texts)} strings, {len(differences)} differences")
    report(differences, len(texts))


def missing_bytes(dumped):
    """Bytes that have no token of their own."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    letters = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    tokens = set(json.loads(dumped.read_text(encoding="utf-8"))["tokens"])
    return {byte for letter, byte in letters.items() if letter not in tokens}


def test_smollm2_text_comes_back(arrays):
    dumped = arrays("smollm2")
    missing = missing_bytes(dumped)  # they never occur in its training text
    texts = [text for _, text in cases.everything(("<|im_start|>", "<|im_end|>"))]
    rows = ours("arrays", dumped, texts)
    lost = []
    for text, row in zip(texts, rows):
        want = bytes(b for b in text.encode() if b not in missing)
        if row["decoded"] != want or row["stream"] != want.decode("utf-8", "replace"):
            lost.append(text)
    assert not lost, f"{len(lost)} of {len(texts)}: {lost[:3]!r}"
