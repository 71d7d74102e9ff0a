"""What each format of one model weighs and loses: a Markdown table and a chart. Needs a built squish and the data beside the project.

    scripts/quality_formats.py MODEL ... [--formats int8,int4,mixed@2.5,mixed=sq2] [--peer-types Q4_K_M,Q3_K_M,Q2_K,IQ2_M] [--no-peers]
                               [--peer-dir DIR] [--tokens 10240] [--questions 500] [--work DIR] [--chart DIR] [--write docs/quality.md]

Ours: `squish compress --format F`, then `squish eval --baseline MODEL` (wikitext2 and arc_easy). mixed@B is --target-bits B, mixed=F
--target-size of format F's file: the router against a recipe at the same size. llama.cpp's: llama-quantize from the same
source (--allow-requantize; its importance matrix from 40 chunks of WikiText-2's validation text), then the same `squish eval` where squish
opens the type. IQ2 types it does not open: their KL is llama-perplexity's, of llama.cpp's own logits on the same chunks, and they have no
ARC column. llama.cpp is built by scripts/peers.py where --peer-dir does not name it.

Everything that is done stays in --work, and what was cut off leaves nothing that looks done: the same command goes on where it stopped (an
encoding goes on from its last tensor) and measures only what is new. --write puts the tables between the marks of a document.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import peers  # noqa: E402
from shared_folder import SHARED  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = SHARED / "data"
SQUISH = pathlib.Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release")) / "squish"
CHUNK = 512


def run(command, **options):
    print("$ " + " ".join(str(word) for word in command), file=sys.stderr, flush=True)
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"quality_formats: {pathlib.Path(command[0]).name} failed ({result.returncode}): {(result.stderr or result.stdout)[-1500:]}")
    return result.stdout


def weight_bytes(path):
    """Of the weights' file or files: the tokenizer and reports beside them are no part of a format."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.glob("*.safetensors"))


def keep(path, text):
    """All of the text or no file."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.rename(path)


class Table:
    def __init__(self, arguments, model):
        self.model = model
        self.tokens = arguments.tokens // CHUNK * CHUNK
        self.questions = arguments.questions
        self.work = arguments.work / model.stem
        self.work.mkdir(parents=True, exist_ok=True)
        self.peer = None
        self.rows = []

    def kept(self, label):
        """Where the measurement of `label` is. One made elsewhere (on a machine with a GPU) is taken as it is, without the encoded files."""
        name = re.sub(r"[^\w.-]", "-", label)
        return self.work / f"eval-{name}-{self.tokens}-{self.questions}.json"

    def evaluate(self, label, path):
        """`squish eval` of `path` beside the model; kept in the work directory."""
        kept = self.kept(label)
        if not kept.exists():
            words = [SQUISH, "eval", path, "--tasks", "wikitext2,arc_easy" if self.questions else "wikitext2", "--tokens", self.tokens,
                     "--data", DATA, "--json"]
            words += ["--limit", self.questions] if self.questions else []
            words += ["--baseline", self.model] if path != self.model else []
            keep(kept, run(words))
        report = json.loads(kept.read_text())
        text, choice = report["raw_results"]["wikitext2"], report["raw_results"].get("arc_easy")
        row = {"label": label, "bytes": report["bytes"], "bits": report["bits_per_weight"], "perplexity": text["perplexity"]}
        if choice:
            row["acc"], row["acc_interval"] = choice["acc"], choice["acc_interval"]
        if "paired" in text:
            row |= {"kl": text["paired"]["kl_mean"], "kl_interval": text["paired"]["kl_interval"], "kl_p99": text["paired"]["kl_p99"],
                    "top1": text["paired"]["top1_agreement"]}
            if choice:
                row["difference"] = choice["paired"]["acc"]
        self.rows.append(row)
        print(f"measured {label}", file=sys.stderr)

    def ours(self, name):
        path = self.work / name
        label = f"squish {name.replace('=', ' at the size of ').replace('@', ' at ')}"
        if not path.exists() and not self.kept(label).exists():
            run([SQUISH, "compress", self.model, *self.format_words(name), "--output", path, "--compare-tokens", 0])
        self.evaluate(label, path)

    def format_words(self, name):
        if name.startswith("mixed@"):
            return ["--target-bits", name.removeprefix("mixed@")]
        if name.startswith("mixed="):
            other = name.removeprefix("mixed=")
            size = next((row["bytes"] for row in self.rows if row["label"] == f"squish {other}"), None)
            if size is None:
                sys.exit(f"quality_formats: {name} needs {other} before it in --formats")
            return ["--target-size", size]
        return ["--format", name]

    def peer_file(self, kind):
        path = self.work / f"{kind}.gguf"
        if path.exists():
            return path
        matrix = self.work / "imatrix.gguf"
        if not matrix.exists():
            part = self.work / "imatrix.part.gguf"
            run([self.peer / "llama-imatrix", "-m", self.model, "-f", DATA / "text" / "wiki.valid.txt", "--chunks", 40, "-c", CHUNK, "-o", part])
            part.rename(matrix)
        part = path.with_suffix(".part")
        run([self.peer / "llama-quantize", "--allow-requantize", "--imatrix", matrix, self.model, part, kind])
        part.rename(path)
        return path

    def theirs(self, kind):
        path = self.peer_file(kind)
        if subprocess.run([SQUISH, "check", path, "--quick"], capture_output=True).returncode == 0:
            self.evaluate(f"llama.cpp {kind}", path)
        else:
            self.peer_only(kind, path)

    def peer_only(self, kind, path):
        """KL by llama.cpp alone, between its own logits."""
        kept = self.work / f"peer-{kind}-{self.tokens}.txt"
        if not kept.exists():
            base = self.work / f"logits-{self.tokens}.bin"
            words = [self.peer / "llama-perplexity", "-f", DATA / "text" / "wiki.test.raw", "-c", CHUNK, "--chunks", self.tokens // CHUNK]
            if not base.exists():
                part = base.with_suffix(".part")
                run([*words, "-m", self.model, "--kl-divergence-base", part])
                part.rename(base)
            keep(kept, run([*words, "-m", path, "--kl-divergence-base", base, "--kl-divergence"]))
        text = kept.read_text()

        def figure(pattern):
            found = re.search(pattern, text)
            if not found:
                sys.exit(f"quality_formats: llama-perplexity said nothing like {pattern!r}; see {kept}")
            return [float(group) for group in found.groups()]

        perplexity, = figure(r"Mean PPL\(Q\)\s*:\s*([\d.]+)")
        kl, error = figure(r"Mean\s+KLD:\s*([\d.]+) ±\s*([\d.]+)")
        p99, = figure(r"99\.0%\s+KLD:\s*([\d.]+)")
        top1, = figure(r"Same top p:\s*([\d.]+)")
        parameters = weight_bytes(self.model) * 8 / self.rows[0]["bits"]
        self.rows.append({"label": f"llama.cpp {kind} (†)", "bytes": weight_bytes(path), "bits": weight_bytes(path) * 8 / parameters,
                          "perplexity": perplexity, "kl": kl, "kl_interval": [kl - 1.96 * error, kl + 1.96 * error], "kl_p99": p99, "top1": top1 / 100})

    def markdown(self):
        lines = ["| format | MB | bits a weight | perplexity | KL, nats (95 %) | 99 % of tokens below | same first choice | ARC-Easy acc (95 %) | paired difference (95 %), p |",
                 "|---|---|---|---|---|---|---|---|---|"]
        for row in self.rows:
            cells = [row["label"], f"{row['bytes'] / 1e6:.1f}", f"{row['bits']:.2f}", f"{row['perplexity']:.3f}"]
            if "kl" in row:
                low, high = row["kl_interval"]
                cells += [f"{row['kl']:.5f} ({max(low, 0):.5f} to {high:.5f})", f"{row['kl_p99']:.3f}", f"{100 * row['top1']:.1f} %"]
            else:
                cells += ["0, the source", "", ""]
            if "acc" in row:
                low, high = row["acc_interval"]
                cells.append(f"{100 * row['acc']:.1f} ({100 * low:.1f} to {100 * high:.1f})")
            else:
                cells.append("–")
            if "difference" in row:
                pair = row["difference"]
                low, high = pair["interval"]
                cells.append(f"{100 * pair['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}), p {pair['mcnemar_p']:.3f}")
            else:
                cells.append("–")
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def chart(self, file):
        """`squish eval --chart` without a model draws the reports it finds: the measured rows, written as such."""
        reports = self.work / "chart"
        reports.mkdir(exist_ok=True)
        for old in reports.glob("lmeval_*.json"):
            old.unlink()
        for i, row in enumerate(row for row in self.rows if "kl" in row):
            (reports / f"lmeval_{i:03}.json").write_text(json.dumps(
                {"model": row["label"], "bytes": row["bytes"], "baseline": {"model": self.model.stem, "model_path": str(self.model)},
                 "raw_results": {"wikitext2": {"paired": {"kl_mean": row["kl"]}}}}))
        print(run([SQUISH, "eval", "--chart", file, "--output-dir", reports]))


def peer_directory(arguments):
    """Where llama-quantize, llama-imatrix and llama-perplexity are; built when nobody says."""
    if arguments.no_peers:
        return None
    if arguments.peer_dir:
        return arguments.peer_dir
    return peers.build(arguments.models[0])


def section(arguments, model, peer):
    """The whole table of one model as Markdown."""
    table = Table(arguments, model)
    table.peer = peer
    table.evaluate("source", model)
    for name in filter(None, arguments.formats.split(",")):
        table.ours(name)
    for kind in filter(None, arguments.peer_types.split(",")) if peer else []:
        table.theirs(kind)
    command = f"scripts/quality_formats.py {model.name} --tokens {arguments.tokens} --questions {arguments.questions} --formats {arguments.formats}"
    command += f" --peer-types {arguments.peer_types}" if peer else " --no-peers"
    text = f"### {model.stem}\n\n`{command}`\n\n{table.markdown()}\n"
    if any("†" in row["label"] for row in table.rows):
        text += "\n† Measured by llama-perplexity between llama.cpp's own logits: squish does not open this type.\n"
    if arguments.chart:
        arguments.chart.mkdir(parents=True, exist_ok=True)
        table.chart(arguments.chart / f"{model.stem}.svg")
    return text


def write_between_marks(path, text):
    begin, end = "<!-- formats: begin -->", "<!-- formats: end -->"
    before, mark, rest = path.read_text().partition(begin)
    if not mark or end not in rest:
        sys.exit(f"quality_formats: {path} has no lines '{begin}' and '{end}'")
    keep(path, f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--formats", default="int8,int4,int4x,int3,sq4,sq3,sq2,mixed=sq2,sq2-xs,mixed=sq2-xs,mixed@4,mixed@3")
    parser.add_argument("--peer-types", default="Q4_K_M,Q3_K_M,Q2_K,IQ2_M,IQ2_XS,IQ2_XXS")
    parser.add_argument("--peer-dir", type=pathlib.Path, help="llama.cpp's programs (default: built by scripts/peers.py)")
    parser.add_argument("--no-peers", action="store_true", help="only our formats")
    parser.add_argument("--tokens", type=int, default=20 * CHUNK, help="of WikiText-2's test text")
    parser.add_argument("--questions", type=int, default=500, help="of ARC-Easy; 0 leaves it out")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "quality")
    parser.add_argument("--chart", type=pathlib.Path, help="a directory: an SVG for each model")
    parser.add_argument("--write", type=pathlib.Path, help="the document whose tables these are")
    arguments = parser.parse_args()
    if not SQUISH.exists():
        sys.exit(f"quality_formats: {SQUISH} is not built")
    peer = peer_directory(arguments)
    text = "\n".join(section(arguments, model, peer) for model in arguments.models)
    print(text)
    if arguments.write:
        write_between_marks(arguments.write, text)


if __name__ == "__main__":
    main()
