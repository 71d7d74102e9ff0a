"""Strings on which tokenizers are compared."""
import gzip
import json
import random

from shared_folder import SHARED

SEPARATOR = "\n__ggml_vocab_test__\n"

NASTY_ATOMS = [
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\xa0", "\u3000", "\u2028", "\u200b",
    "\u200d", "\ufeff", "\u180e", "\x00", "\x01", "\x7f", "a", "Z", "the", " the", "'s", "'S", "'ll", "'LL", "'re", "'Ve",
    "'\u017f", "'", "’s", "don't", "I'M", "0", "7", "12", "123", "1234", "0000000", "٣", "²", "½", "Ⅷ", "१२३", "①", ".", "...",
    "!", "?!", "/", "//", "\\", "_", "__", "-", "--", "(", ")", "[]", "{}", "<", ">", "=", "==", "+", "*", "#", "$", "€", "@",
    "é", "e\u0301", "E\u0301\u0323", "ﬁ", "Å", "\u212b", "ñ", "ß", "İ", "ı", "Ǆ", "ǅ", "ʰ", "日本", "語", "カタカナ", "ひらがな",
    "が", "か\u3099", "한국", "\u1112\u1161\u11ab", "ไทย", "ก็", "हिन्दी", "क्ष", "தமிழ்", "עברית", "שָׁלוֹם", "العربية", "ـ", "лес",
    "Ёж", "\u0435\u0308", "Ελλ", "ά", "🙂", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "\U0001f9d1\u200d\U0001f4bb", "\U00020000",
    "\U0002ebf0", "\U0001fadf", "\U000e0041", "\ue000", "\uffff", "\U0010ffff", "ↈ", "∑", "→", "▁", "▁▁", "<0x0A>", "Ġ", "Ċ",
    "http://", "www.", ".com", "foo_bar", "camelCase", "XMLHttp", "HTTPServer", "iPhone", "ABCdef", "\u0301", "\u0301\u0301",
    "`", "~", "^", "|", "%", "&", ";", ":", ",", "\"", "“", "”", "—", "…", "、", "。", "！", "\u1680", "ǆ", "ᾈ", "ª", "ⅰ",
]


def nasty(count, seed=20261124, specials=()):
    """Random concatenations of awkward pieces; some with special tokens inside."""
    rng = random.Random(seed)
    out = []
    for i in range(count):
        atoms = NASTY_ATOMS + list(specials) if i % 3 == 0 else NASTY_ATOMS
        pieces = [rng.choice(atoms) for _ in range(rng.choice((2, 3, 5, 8, 13, 30)))]
        if rng.random() < 0.2:
            pieces.append(rng.choice(pieces) * rng.choice((4, 17, 50)))
        out.append("".join(pieces))
    return out


def random_code_points(count, seed=7):
    """Text from the whole of Unicode: every script, unassigned and private code points."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        start = rng.randrange(1, 0x30000)
        points = [min(0x10FFFF, start + rng.randrange(64)) if rng.random() < 0.8 else rng.randrange(1, 0x110000)
                  for _ in range(rng.randrange(1, 40))]
        out.append("".join(chr(p) for p in points if not 0xD800 <= p <= 0xDFFF))
    return out


def fixed():
    """What must never break, by hand."""
    return [
        "", " ", "  ", "\n", "\t", "a", "\x00", "\x00\x00a\x00", " \n \n", "\n \n", " \r\n \r\n ", "   x", "x   ", "x   \n   y",
        "a" * 1000, "ab" * 700, "é" * 500, "日" * 500, " " * 1000, "\n" * 300, "\r\n" * 100, "\t" * 100, "1" * 1000,
        "🙂" * 200, "▁" * 50, "a▁b ▁ c▁▁d", "'" * 50, "'s" * 20, "'S't'RE'vE'M'Ll'D'ſ", "...!?!?..." * 20, "-" * 200,
        "0123456789" * 30, "3.14159 -2,718,281 1e-10 0xDEADBEEF 1_000", "x=1;y=22;z=333;w=4444;v=55555",
        "<|im_start|>user\nhi<|im_end|>\n", "<s>x</s>", "<bos>a<eos>", "<|endoftext|><|endoftext|>", "<|im_end", "|im_end|>",
        "<|begin_of_text|> x <|eot_id|>", "<｜begin▁of▁sentence｜>hi<｜end▁of▁sentence｜>", "<unused0><unused99>",
        "<start_of_turn>user\nx<end_of_turn>", "<think>\n\n</think>", "[INST] x [/INST]", "<pad><unk><mask>",
        "for (int i = 0; i < n; ++i) {\n\tif (a[i] != b[i]) return -1;\n}\n", "def f(x):\n    return x ** 2\n\n\n# end",
        "\u0628\u0650\u0633\u0652\u0645\u0650 \u0671\u0644\u0644\u0651\u064e\u0647\u0650", "e\u0301\u0323 \u0323\u0301", "\u1e9b\u0323", "\ufb01\ufb02\u2126\u212b",
        "Z\u0351\u036b\u0343\u036a\u0302A\u0334\u0335\u031cL\u0320\u0356G\u0321\u0353O\u0319!", "\u202eRTL\u202c \u2066x\u2069",
        "lorem" * 400, "A" * 20000,
    ]


def corpus():
    """(name, text) of the shared data; empty where it is absent."""
    out = []
    udhr = SHARED / "data/text/udhr_sample.jsonl.gz"
    if udhr.exists():
        with gzip.open(udhr, "rt", encoding="utf-8") as lines:
            out += [("udhr", json.loads(line)["text"]) for line in lines]
    wiki = SHARED / "data/text/wiki.valid.txt"
    if wiki.exists():
        text = wiki.read_text(encoding="utf-8")
        rng = random.Random(3)
        out += [("wiki", line) for line in text.split("\n")[:1200]]
        for _ in range(60):
            start = rng.randrange(len(text) - 8000)
            out.append(("wiki", text[start:start + rng.choice((50, 500, 2000, 8000))]))
    for path in sorted((SHARED / "data/tokenizers").glob("*.inp")):
        cases = path.read_bytes().decode("utf-8").split(SEPARATOR)
        out += [("inp", case) for case in cases]
    return out


def everything(specials=()):
    """All of the above for a tokenizer with these special texts, as (name, text)."""
    out = corpus()
    out += [("fixed", text) for text in fixed()]
    out += [("nasty", text) for text in nasty(1500, specials=specials)]
    out += [("unicode", text) for text in random_code_points(700)]
    return out
