"""Makes src/compress/data/calibration.txt: the built-in text from which `squish compress` learns what enters each matrix.

    scripts/make_calibration_text.py [--bytes 220000] [--check FILE ...]

Everything in it is our own: paragraphs written by hand (data/written.txt), pieces of this project's sources and documents as they were
when the text was made, and pieces grown from word lists and a seed: stories, talk, sums, tables, logs, markup and code. What was
written by hand comes first, then kinds and languages are dealt out in turns, so that any beginning of the text has all of them. --check refuses a text that shares 8 words in a row with a
file: what judges must not have taught.
"""
import argparse
import pathlib
import random
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "src" / "compress" / "data"

PEOPLE = ("Amara Jonas Lucía Tomasz Priya Henrik Yusuf Mei Nadia Oskar Farah Diego Ingrid Kwame Leila Marek Sofia Dmitri Aiko Rahul Beatriz Emil Zainab Viktor "
          "Chloé Anselm Noor Pavel Miriam Teodor Hana Luca Freya Samir Elif Gustav").split()
ROLES = ("the baker|the night nurse|a retired surveyor|the new apprentice|the harbour master|our neighbour|a young chemist|the district judge|the tram driver|"
         "the beekeeper|my grandmother|the project lead|an electrician|the museum guard|a visiting botanist|the referee|the village teacher|a stonemason|the editor|"
         "the ferry captain|a software tester|the youngest cousin|the accountant|a mountain guide").split("|")
PLACES = ("behind the old railway station|in the reading room|on the north bank of the river|at the edge of the airfield|under the lime trees|in a workshop full of clocks|"
          "two streets from the market|on the fourth floor|beside the frozen canal|in the greenhouse|at the border crossing|near the power plant|in the back of the theatre|"
          "on a bench by the lake|in a kitchen that smelled of cardamom|at the foot of the dam|in the archive").split("|")
TIMES = ("Early on Monday|Shortly after midnight|In the dry season|During the third rehearsal|Ten years later|Before the votes were counted|On the last day of the fair|"
         "As soon as the rain stopped|While the others slept|Towards the end of winter|Every second Thursday|Long before the bridge was built|At half past six|"
         "In the middle of the interview|That autumn|When the power failed").split("|")
DEEDS = ("repaired a radio that nobody had asked about|counted the crates twice and found one too many|wrote a letter and did not send it|taught the children to read a map|"
         "refused to sign the second page|measured the crack in the wall again|sold the last of the apples at half price|remembered where the key had been hidden|"
         "drew a plan on the back of a receipt|listened without saying a word|replaced the fuse and waited|carried the piano down by the narrow stairs|"
         "found an error in the third column|planted a row of walnut trees|explained why the ice had broken|turned the boat into the wind|asked for a larger scale|"
         "opened the window although it was snowing|lent the ladder to a stranger|translated the warning into four languages|won the argument and lost the afternoon|"
         "tuned the engine by ear|kept a record of every delay|let the dough rise for another hour").split("|")
REASONS = ("because the instructions contradicted each other|since no one else had the patience|although the forecast had promised sun|so that the work could begin at once|"
           "which surprised everyone, most of all the mayor|without knowing what it would cost|as had been agreed the week before|and nobody thought to ask why|"
           "in order to compare the two results|even though the deadline had passed|because a promise is a promise|until the noise from the street became too loud|"
           "just as the manual advises|despite the missing part|rather than wait for permission|which is harder than it sounds").split("|")
LINKS = "Afterwards|Meanwhile|Of course|To be fair|In the end|Nevertheless|As a result|Strangely enough|For once|Only then|By contrast|Little by little".split("|")
THINGS = ("valve pump ledger lantern sensor battery violin passport compass kettle telescope greenhouse bicycle turbine notebook ladder antenna carpet engine bridge "
          "filter mirror furnace satellite anchor keyboard orchard tunnel elevator statue").split()
ADJECTIVES = "heavy|narrow|reliable|forgotten|temporary|expensive|transparent|unusual|stable|damp|precise|fragile|efficient|familiar|enormous|bitter|silent|recent".split("|")
NOUNS = ("count total index buffer width height offset rate user order price cache node edge path token line record message weight score limit step state queue value "
         "delay sample region version").split()

OTHER = {
    "de": (["Am nächsten Morgen", "Nach der Sitzung", "Im letzten Wagen", "Kurz vor Ladenschluss", "Seit dem Umbau", "An der Grenze"],
           ["stellte die Ingenieurin fest", "erzählte der Gärtner", "bemerkte eine ältere Dame", "schrieb der Lehrling ins Heft", "vermutete der Hausmeister", "erklärte die Richterin"],
           ["dass die Leitung noch unter Druck stand", "dass niemand die Rechnung bezahlt hatte", "warum die Vögel früher zurückkehren", "dass der Vertrag erst im Mai endet",
            "wie man ein Seil ohne Knoten verbindet", "dass zwei Seiten fehlten", "weshalb der Versuch wiederholt werden muss"],
           ["Alle schwiegen einen Augenblick.", "Das änderte den Plan vollständig.", "Draußen begann es zu regnen.", "Man einigte sich auf einen zweiten Termin.", "Die Antwort kam erst nach drei Wochen."]),
    "fr": (["Le lendemain", "À la sortie du tunnel", "Avant la récolte", "Au troisième étage", "Pendant la panne", "Depuis le pont"],
           ["la bibliothécaire expliqua", "le mécanicien remarqua", "une élève demanda", "le notaire écrivit", "la cheffe d'équipe savait", "mon oncle répétait"],
           ["que la machine n'avait jamais été réglée", "pourquoi les prix augmentent en hiver", "que la clef se trouvait sous la pierre", "comment on mesure la profondeur d'un puits",
            "que le train ne s'arrêterait pas", "qu'il manquait une signature", "que deux et deux ne suffisaient pas"],
           ["Personne n'osa le contredire.", "La discussion reprit aussitôt.", "On entendait la pluie sur les tuiles.", "Le rapport fut publié en juin.", "Cela prit presque toute la journée."]),
    "es": (["Al amanecer", "Después del almuerzo", "En la última fila", "Durante el ensayo", "Cerca del faro", "Según el informe"],
           ["la capitana ordenó", "el carpintero descubrió", "una vecina contó", "el profesor preguntó", "la niña sabía", "el guía aseguró"],
           ["que el motor necesitaba otra pieza", "por qué el río cambia de color", "que la carta había llegado tarde", "cómo se calcula el área de un círculo",
            "que nadie había cerrado la ventana", "que el mapa estaba al revés", "dónde guardaban las herramientas"],
           ["Nadie volvió a hablar del asunto.", "El viento cambió de pronto.", "Todos aplaudieron al final.", "La reunión terminó a las siete.", "Hubo que empezar de nuevo."]),
    "it": (["Prima dell'alba", "Dopo il concerto", "Sul treno per il mare", "In fondo al cortile"], ["il fornaio disse", "la dottoressa scoprì", "un turista chiese", "il nonno ricordava"],
           ["che la strada era chiusa da mesi", "perché le campane suonano due volte", "che il conto non tornava", "dove si trovava l'archivio", "che bastava un filo di rame"],
           ["Nessuno rispose.", "La neve arrivò in anticipo.", "Il giorno dopo cambiò tutto.", "Fu una lunga estate."]),
    "pt": (["De manhã cedo", "Na segunda tentativa", "Ao lado da ponte", "Depois da tempestade"], ["a engenheira explicou", "o pescador percebeu", "um aluno perguntou", "a diretora escreveu"],
           ["que a bomba estava entupida", "por que o céu fica vermelho", "que faltavam três páginas", "como se guarda a semente", "que o prazo tinha acabado"],
           ["Ninguém discordou.", "A resposta veio em dezembro.", "O barco partiu sem eles.", "Foi preciso medir outra vez."]),
    "ru": (["Утром", "После совещания", "На последней станции", "Зимой", "Перед самым отъездом"], ["инженер заметил", "соседка рассказала", "учительница спросила", "старый механик знал", "доктор написал"],
           ["что насос давно не работает", "почему лёд тоньше у берега", "что письмо пришло слишком поздно", "как измерить высоту башни", "что в отчёте не хватает страницы"],
           ["Никто не возразил.", "Через час пошёл снег.", "Пришлось начать сначала.", "Ответа ждали до весны."]),
}
ZH = (["第二天早上，", "会议结束以后，", "在火车站旁边，", "下雪之前，", "根据报告，"], ["工程师发现", "老师解释说", "邻居告诉我们", "年轻的医生认为", "船长决定"],
      ["水泵需要更换零件", "价格比去年低了百分之十", "那封信晚到了三天", "这条路明年才能通车", "实验必须重新做一次", "两张地图并不一致"], ["大家都没有说话。", "外面开始下雨。", "于是计划又改了。", "答案要等到春天。"])
JA = (["翌朝、", "会議のあとで、", "駅の裏では、", "雪が降る前に、"], ["技師は", "先生は", "隣の人は", "若い医者は"], ["ポンプの部品を交換した", "手紙が遅れた理由を説明した", "もう一度長さを測ることにした", "古い地図が間違っていると言った"],
      ["。誰も反対しなかった。", "。外では雨が降り始めた。", "。答えは春まで分からない。", "。計画はまた変わった。"])


def sentence(r):
    who = r.choice([r.choice(PEOPLE), r.choice(ROLES)])
    form = r.randrange(6)
    if form == 0:
        return f"{r.choice(TIMES)}, {who} {r.choice(DEEDS)}, {r.choice(REASONS)}."
    if form == 1:
        return f"{who[0].upper() + who[1:]} {r.choice(DEEDS)} {r.choice(PLACES)}."
    if form == 2:
        return f"{r.choice(LINKS)}, {who} {r.choice(DEEDS)}."
    if form == 3:
        return f"The {r.choice(ADJECTIVES)} {r.choice(THINGS)} {r.choice(PLACES)} was {r.choice(ADJECTIVES)}, {r.choice(REASONS)}."
    if form == 4:
        return f"“{r.choice(['Have you seen', 'Who needs', 'Nobody mentioned', 'I would rather keep', 'What happened to'])} the {r.choice(THINGS)}?” asked {r.choice(PEOPLE)}, who {r.choice(DEEDS)}."
    return f"There were {r.randint(2, 900)} {r.choice(THINGS)}s {r.choice(PLACES)}, of which {r.choice(PEOPLE)} had {r.choice(['seen', 'paid for', 'repaired', 'described', 'lost'])} {r.randint(1, 90)}."


def story(r):
    return " ".join(sentence(r) for _ in range(r.randint(4, 8)))


def foreign(r):
    language = r.choice(["de", "de", "fr", "fr", "es", "es", "it", "pt", "ru", "ru", "zh", "zh", "ja"])
    if language == "zh":
        return "".join("".join(r.choice(part) for part in ZH[:3]) + "。" + r.choice(ZH[3]) for _ in range(r.randint(3, 6)))
    if language == "ja":
        return "".join("".join(r.choice(part) for part in JA) for _ in range(r.randint(3, 6)))
    times, says, that, ends = OTHER[language]
    return " ".join(f"{r.choice(times)} {r.choice(says)}, {r.choice(that)}. {r.choice(ends)}" for _ in range(r.randint(3, 5)))


def sums(r):
    kind = r.randrange(6)
    a, b, c = r.randint(2, 99), r.randint(2, 99), r.randint(2, 12)
    name, thing = r.choice(PEOPLE), r.choice(THINGS)
    if kind == 0:
        return f"Question: {name} has {a} {thing}s and buys {b} more. Each costs {c} euros. How much was paid, and how many are there now?\nAnswer: {b} times {c} is {b * c}, so {b * c} euros were paid. There are {a} + {b} = {a + b} {thing}s."
    if kind == 1:
        return f"Solve for x: {c}x + {a} = {c * b + a}.\nSubtract {a} from both sides: {c}x = {c * b}. Divide by {c}: x = {b}."
    if kind == 2:
        return "\n".join(f"{i} x {a} = {i * a}" for i in range(1, r.randint(5, 12)))
    if kind == 3:
        return f"A rectangle is {a} cm long and {b} cm wide. Its area is {a} · {b} = {a * b} cm², its perimeter 2 · ({a} + {b}) = {2 * (a + b)} cm, and its diagonal about {(a * a + b * b) ** 0.5:.2f} cm."
    if kind == 4:
        values = [r.randint(1, 400) for _ in range(7)]
        return f"The values {', '.join(map(str, values))} sorted: {', '.join(map(str, sorted(values)))}. The median is {sorted(values)[3]}, the sum {sum(values)}, the mean {sum(values) / 7:.2f}."
    return f"In binary {a} is {a:b}, in hexadecimal {a:#x}. {a} modulo {c} is {a % c}, because {c} · {a // c} = {c * (a // c)} and {a} − {c * (a // c)} = {a % c}."


def talk(r):
    name, thing, other = r.choice(PEOPLE), r.choice(THINGS), r.choice(THINGS)
    asks = [f"How do I clean a {r.choice(ADJECTIVES)} {thing} without damaging it?", f"Write two sentences about {name}, who {r.choice(DEEDS)}.",
            f"What is the difference between a {thing} and a {other}?", f"Summarize: {sentence(r)} {sentence(r)}", f"Give me three names for a shop that sells {thing}s.",
            f"Why would somebody keep a {thing} {r.choice(PLACES)}?", f"Translate into plain English: the {thing} is {r.choice(ADJECTIVES)}, {r.choice(REASONS)}."]
    answers = [f"First, switch it off and let it dry. Then wipe the {thing} with a soft cloth, {r.choice(REASONS)}. If it is still {r.choice(ADJECTIVES)}, ask {r.choice(ROLES)}.",
               f"{sentence(r)} {sentence(r)}", f"A {thing} is usually {r.choice(ADJECTIVES)}; a {other} need not be. In practice the choice depends on three things:\n1. how {r.choice(ADJECTIVES)} it has to be,\n2. where it stands, for example {r.choice(PLACES)},\n3. what it costs.",
               f"Sure! Here are some ideas:\n- The {r.choice(ADJECTIVES).title()} {thing.title()}\n- {name} & Daughters\n- {r.choice(ADJECTIVES).title()} Goods"]
    marks = r.choice([("User: ", "Assistant: "), ("Q: ", "A: "), ("### Instruction\n", "### Response\n"), ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")])
    return f"{marks[0]}{r.choice(asks)}\n{marks[1]}{r.choice(answers)}"


def markup(r):
    keys = r.sample(NOUNS, 4)
    kind = r.randrange(7)
    if kind == 0:
        return "{\n" + ",\n".join(f'  "{key}": {r.choice([r.randint(0, 5000), round(r.random(), 3), "true", "null"])}' for key in keys[:3]) + f',\n  "{keys[3]}": ["{r.choice(THINGS)}", "{r.choice(THINGS)}"],\n  "owner": {{"name": "{r.choice(PEOPLE)}", "id": {r.randint(1, 9999)}}}\n}}'
    if kind == 1:
        return ",".join(keys) + "\n" + "\n".join(f"{r.choice(THINGS)},{r.randint(1, 999)},{r.random() * 100:.2f},{r.choice(PEOPLE)}" for _ in range(6))
    if kind == 2:
        return "\n".join(f"2025-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}Z {r.choice(['INFO', 'WARN', 'DEBUG', 'ERROR'])} {r.choice(NOUNS)}-{r.randint(1, 40)}: {r.choice(NOUNS)} {r.choice(['exceeded', 'reset', 'loaded', 'missing', 'closed'])} after {r.randint(1, 3000)} ms" for _ in range(6))
    if kind == 3:
        a, b, c, d = keys
        return f"SELECT {a}.{b}, COUNT(*) AS total, AVG({a}.{c}) AS mean_{c}\nFROM {a}s AS {a}\nJOIN {d}s ON {d}s.{a}_id = {a}.id\nWHERE {a}.{c} > {r.randint(1, 500)}\nGROUP BY {a}.{b}\nORDER BY total DESC\nLIMIT {r.randint(5, 50)};"
    if kind == 4:
        return f"## {r.choice(ADJECTIVES).title()} {r.choice(THINGS)}s\n\n| {keys[0]} | {keys[1]} |\n|---|---|\n" + "\n".join(f"| {r.choice(THINGS)} | {r.randint(1, 999)} |" for _ in range(4)) + f"\n\nSee *{r.choice(PEOPLE)}* for the `{keys[2]}_{keys[3]}` option."
    if kind == 5:
        return f"Subject: {r.choice(ADJECTIVES)} {r.choice(THINGS)}\n\nDear {r.choice(PEOPLE)},\n\n{sentence(r)} {sentence(r)} Could you let me know by {r.randint(1, 28)} {r.choice(['March', 'June', 'October'])}?\n\nKind regards,\n{r.choice(PEOPLE)}"
    return f"<section id=\"{keys[0]}\">\n  <h2>{r.choice(THINGS).title()}</h2>\n  <p class=\"{keys[1]}\">{sentence(r)}</p>\n  <a href=\"/{keys[2]}/{r.randint(1, 99)}\">{keys[3]}</a>\n</section>"


def code(r):
    a, b, c, d = r.sample(NOUNS, 4)
    n, m = r.randint(2, 64), r.randint(2, 9)
    kind = r.randrange(8)
    if kind == 0:
        return f'def {a}_of_{b}({c}s, {d}={n}):\n    """Return the {a} of each {c} that is below {d}."""\n    {b} = {{}}\n    for i, {c} in enumerate({c}s):\n        if {c} % {m} == 0 and {c} < {d}:\n            {b}[{c}] = {b}.get({c}, 0) + i\n    return sorted({b}.items(), key=lambda pair: pair[1])'
    if kind == 1:
        return f"class {a.title()}{b.title()}:\n    def __init__(self, {c}, {d}=None):\n        self.{c} = {c}\n        self._{d} = {d} or []\n\n    def add_{b}(self, {b}):\n        if len(self._{d}) >= {n}:\n            raise ValueError(f\"too many: {{len(self._{d})}} of {n}\")\n        self._{d}.append({b})\n        return self"
    if kind == 2:
        return f"int {a}_{b}(const int *{c}, int {d}) {{\n    int {a} = {m};\n    for (int i = 0; i < {d}; i++) {{\n        if ({c}[i] > {a}) {a} = {c}[i] - {n};\n    }}\n    return {a};\n}}"
    if kind == 3:
        return f"export function {a}{b.title()}({c}, {d} = {n}) {{\n  const {b} = {c}.filter((x) => x.{a} > {m}).map(({{ {a}, {d}: y }}) => ({{ {a}, y }}));\n  return {b}.length === 0 ? null : {b}.reduce((sum, x) => sum + x.{a}, 0) / {d};\n}}"
    if kind == 4:
        return f"fn {a}_{b}({c}: &[u32], {d}: usize) -> Option<u32> {{\n    let mut {a} = None;\n    for (i, &x) in {c}.iter().enumerate().take({d}) {{\n        if x as usize > i * {m} {{\n            {a} = Some(x.saturating_sub({n}));\n        }}\n    }}\n    {a}\n}}"
    if kind == 5:
        return f"func {a.title()}{b.title()}({c} map[string]int, {d} int) ([]string, error) {{\n\tvar out []string\n\tfor key, value := range {c} {{\n\t\tif value >= {d}*{m} {{\n\t\t\tout = append(out, key)\n\t\t}}\n\t}}\n\tif len(out) == 0 {{\n\t\treturn nil, fmt.Errorf(\"no {a} above %d\", {n})\n\t}}\n\treturn out, nil\n}}"
    if kind == 6:
        return f"$ ls -l {a}s | head -n {m}\n-rw-r--r-- 1 {r.choice(PEOPLE).lower()} staff {r.randint(100, 99999)} Mar {r.randint(1, 28)} 14:02 {b}_{n}.txt\n$ grep -rn \"{c}\" {a}s/ | wc -l\n{r.randint(1, 400)}\n$ ./{d} --{b} {n} > {c}.log 2>&1 || echo failed"
    return f"@pytest.mark.parametrize(\"{a}, expected\", [({m}, {m * n}), (0, 0), (-{m}, -{m * n})])\ndef test_{b}_scales_{a}({a}, expected):\n    assert {b}({a}, {d}={n}) == expected\n    with pytest.raises(TypeError):\n        {b}(\"{c}\")"


def own_pieces(r, patterns):
    """Paragraphs of this project's files, of 200 to 900 characters, in a shuffled order."""
    pieces = []
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        if path.name in {"cli.md", "api.md", "make_calibration_text.py"} or "unicode" in path.name:
            continue
        for piece in re.split(r"\n\s*\n", path.read_text(errors="ignore")):
            if 200 <= len(piece) <= 900 and piece.count("|") < 12 and "#include" not in piece:
                pieces.append(piece.strip("\n"))
    r.shuffle(pieces)
    return pieces


def make(size):
    r = random.Random(20261127)
    out = [piece.strip("\n") for piece in re.split(r"\n\s*\n", (DATA / "written.txt").read_text())]
    prose = own_pieces(r, ["*.md", "docs/**/*.md"])
    sources = own_pieces(r, ["src/**/*.h", "src/**/*.cpp", "scripts/*.py", "tests/e2e/*.py"])
    grown = [story, foreign, talk, story, sums, code, story, markup, foreign, talk]
    length = sum(len(piece.encode()) + 2 for piece in out)
    turn = 0
    while length < size:
        kind = turn % 5
        own = prose if kind in (1, 3) and prose else sources
        piece = own.pop() if kind in (1, 3, 4) and own and (kind != 4 or turn % 2) else grown[turn % len(grown)](r)
        turn += 1
        out.append(piece)
        length += len(piece.encode()) + 2
    return "\n\n".join(out) + "\n"


def shared_words(text, path, count=8):
    """The first `count` words in a row that both have, or None."""
    words = lambda t: re.findall(r"\w+", t.lower())
    ours = words(text)
    seen = {tuple(ours[i:i + count]) for i in range(len(ours) - count + 1)}
    theirs = words(pathlib.Path(path).read_text())
    return next((" ".join(theirs[i:i + count]) for i in range(len(theirs) - count + 1) if tuple(theirs[i:i + count]) in seen), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=220_000)
    parser.add_argument("--check", nargs="*", default=[])
    arguments = parser.parse_args()
    text = make(arguments.bytes)
    for path in [DATA / "held_out.txt", *arguments.check]:
        found = shared_words(text, path)
        if found:
            sys.exit(f"make_calibration_text: {path} holds '{found}' too")
    if ")squish-data" in text:
        sys.exit("make_calibration_text: the text ends the literal that holds it")
    (DATA / "calibration.txt").write_text(text)
    print(f"{len(text.encode())} bytes")


if __name__ == "__main__":
    main()
