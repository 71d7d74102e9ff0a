"""SentencePiece .model files against the `sentencepiece` package, and small tokenizer.json files with components that
the big families do not use against `tokenizers`."""
import json
import random

import pytest

import cases
from test_tokenizer_parity import PROGRAM, SHARED, around, ours, report

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")
LLAMA2 = SHARED / "data/weights/llama2_tokenizer.model"


def training_text():
    texts = [text for _, text in cases.corpus()][:400]
    if not texts:
        pytest.skip("the shared text is absent")
    return texts


def compare(model_path, count=None):
    spm = pytest.importorskip("sentencepiece").SentencePieceProcessor(model_file=str(model_path))
    # sentencepiece stops at a NUL; its decoder writes " ⁇ " for unknown characters, ours nothing.
    items = [(kind, text) for kind, text in cases.everything()[:count] if "\0" not in text]
    rows = ours("spm", model_path, [text for _, text in items], parse_special=False)
    differences = []
    for (kind, text), row in zip(items, rows):
        want = spm.encode(text)
        if want != row["ids"]:
            differences.append((kind, text, *around(want, row["ids"])))
        elif spm.unk_id() not in want and spm.decode(want) != row["skipped"].decode("utf-8", "replace"):
            differences.append((kind + " decode", text, spm.decode(want)[:60], row["skipped"][:60]))
    print(f"{model_path}: {len(items)} strings, {len(differences)} differences")
    report(differences, len(items))


@pytest.mark.skipif(not LLAMA2.exists(), reason=f"{LLAMA2} is absent")
def test_llama2_equals_sentencepiece():
    compare(LLAMA2)


@pytest.mark.skipif(not LLAMA2.exists(), reason=f"{LLAMA2} is absent")
@pytest.mark.parametrize("name", ["llama-spm", "phi-3"])
def test_llama2_ids_equal_those_llama_cpp_expects(name):
    source = SHARED / f"data/tokenizers/ggml-vocab-{name}.gguf.inp"
    texts = source.read_bytes().decode().split(cases.SEPARATOR)
    expected = [[int(i) for i in line.split()] for line in source.with_suffix(".out").read_text().splitlines()]
    rows = ours("spm", LLAMA2, texts, parse_special=False)
    assert [row["ids"] for row in rows[:len(expected)]] == expected


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc", "nfkc_cf"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_trained_model_equals_sentencepiece(kind, rule, tmp_path):
    spm = pytest.importorskip("sentencepiece")
    lines = [line for text in training_text() for line in text.split("\n") if line.strip()]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "m"), vocab_size=2500, model_type=kind,
        normalization_rule_name=rule, byte_fallback=rule != "identity", character_coverage=0.98, num_threads=1,
        user_defined_symbols=["<sep>", "foo"] if rule == "identity" else [], minloglevel=2)
    compare(tmp_path / "m.model", 2500)


def small_bpe(tokenizers, model=None, **parts):
    """A little trained tokenizer with the given components."""
    from tokenizers import models, trainers
    tokenizer = tokenizers.Tokenizer(model or models.BPE(unk_token="<unk>", fuse_unk=True))
    for key, value in parts.items():
        setattr(tokenizer, key, value)
    special = {"special_tokens": ["<unk>", "<s>"], "show_progress": False, "vocab_size": 1500}
    trainer = trainers.UnigramTrainer(unk_token="<unk>", **special) if isinstance(tokenizer.model, models.Unigram) \
        else trainers.BpeTrainer(**special)
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def component_cases():
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import AddedToken, Regex, decoders, models, normalizers as n, pre_tokenizers as p
    meta = decoders.Metaspace()
    byte = {"decoder": decoders.ByteLevel()}
    yield "unigram metaspace", dict(model=models.Unigram(), pre_tokenizer=p.Metaspace(), decoder=meta), []
    yield "unigram first", dict(model=models.Unigram(), normalizer=n.NFKC(), pre_tokenizer=p.Metaspace(prepend_scheme="first", split=False), decoder=meta), []
    yield "whitespace", dict(normalizer=n.Lowercase(), pre_tokenizer=p.Whitespace(), decoder=meta), []
    yield "whitespace split", dict(normalizer=n.Sequence([n.NFKD(), n.StripAccents()]), pre_tokenizer=p.WhitespaceSplit(), decoder=meta), []
    yield "bert", dict(normalizer=n.BertNormalizer(), pre_tokenizer=p.BertPreTokenizer(), decoder=meta), []
    yield "bert cased", dict(normalizer=n.BertNormalizer(lowercase=False, clean_text=False), pre_tokenizer=p.BertPreTokenizer(), decoder=meta), []
    yield "strip", dict(normalizer=n.Sequence([n.Strip(), n.Replace(Regex(r"\d+"), "#"), n.Prepend("x")]), pre_tokenizer=p.Punctuation(), decoder=meta), []
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"split {behavior} {invert}", dict(normalizer=n.NFD(), pre_tokenizer=p.Split(Regex(r"[aeiou ]|\d+"), behavior, invert), decoder=meta), []
        yield f"literal {behavior}", dict(pre_tokenizer=p.Sequence([p.Split(" ", behavior), p.Digits(True)]), decoder=meta), []
        yield f"punctuation {behavior}", dict(pre_tokenizer=p.Sequence([p.Punctuation(behavior), p.Digits(False)]), decoder=meta), []
    yield "falcon", dict(model=models.BPE(), pre_tokenizer=p.Sequence([p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False), p.Digits(), p.Split(Regex("[0-9][0-9][0-9]"), "isolated")]), **byte), []
    yield "byte prefix", dict(model=models.BPE(), pre_tokenizer=p.ByteLevel(add_prefix_space=True), **byte), []
    yield "regex bloom", dict(model=models.BPE(), pre_tokenizer=p.Sequence([p.Split(Regex(r" ?[^(\s|.,!?…。，、।۔،)]+"), "isolated"), p.ByteLevel(add_prefix_space=False, use_regex=False)]), **byte), []
    added = [AddedToken("<a>", lstrip=True), AddedToken("<b>", rstrip=True, normalized=False), AddedToken("the", single_word=True),
             AddedToken("Ab", normalized=True), AddedToken("<c>", special=True, lstrip=True, rstrip=True), AddedToken("<a><b>")]
    yield "added", dict(normalizer=n.Lowercase(), pre_tokenizer=p.Whitespace(), decoder=meta), added
    yield "added bytes", dict(model=models.BPE(), pre_tokenizer=p.ByteLevel(add_prefix_space=True), **byte), added


@pytest.mark.parametrize("name,parts,added", list(component_cases()), ids=lambda value: value if isinstance(value, str) else "")
def test_components_equal_the_tokenizers_package(name, parts, added, tmp_path):
    import tokenizers
    tokenizer = small_bpe(tokenizers, **parts)
    tokenizer.add_tokens([token for token in added if not token.special])
    tokenizer.add_special_tokens([token for token in added if token.special])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    rng = random.Random(1)
    texts = [text for _, text in cases.corpus()[:85]] + cases.fixed() + cases.random_code_points(150)
    texts += cases.nasty(300, specials=[token.content for token in added] + [" ", "  ", "other", "AB"])
    rows = ours("json", path, texts)
    differences = []
    for text, row in zip(texts, rows):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        if encoded.ids != row["ids"]:
            differences.append((name, text, *around(encoded.ids, row["ids"])))
        elif "byte" in name and tokenizer.decode(encoded.ids) != row["skipped"].decode("utf-8", "replace"):
            differences.append((name + " decode", text, tokenizer.decode(encoded.ids)[:60], row["skipped"][:60]))
    report(differences, len(texts))
