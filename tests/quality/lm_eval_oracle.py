"""lm-eval's own task files and scoring, fed with our log-likelihoods. Run by test_lm_eval.py with a Python that has lm-eval.

    lm_eval_oracle.py DATA DUMP --tasks a,b --limit N --fewshot N  > results.json

DATA holds the data files; DUMP is what `squish eval --dump-loglikelihood` wrote. A prompt of lm-eval that is not in DUMP, byte for byte,
is an error. No model and no network: the data sets are replaced by the files.
"""
import argparse
import gzip
import json
import pathlib
import sys

import datasets
from lm_eval import evaluator
from lm_eval.api.model import LM

# Data set of lm-eval: {split: file}. Without a training split the examples are drawn from the split that is asked, as in squish; for tasks
# with a test split lm-eval would then not leave out the question itself, so that these have a training file here.
FILES = {
    "ARC-Easy": {"test": "arc_easy_test", "validation": "ai2_arc_ARC-Easy.validation", "train": "ai2_arc_ARC-Easy.validation"},
    "ARC-Challenge": {"test": "arc_challenge_test", "validation": "arc_challenge_test", "train": "arc_challenge_train"},
    "Rowan/hellaswag": {"validation": "hellaswag.validation", "train": "hellaswag.validation"},
    "winogrande_xl": {"validation": "winogrande_winogrande_xl.validation", "train": "winogrande_winogrande_xl.validation"},
    "baber/piqa": {"validation": "piqa_plain_text.validation", "train": "piqa_plain_text.validation"},
    "main": {"test": "openbookqa_main.validation", "validation": "openbookqa_main.validation", "train": "openbookqa_main.train"},
}


def rows_of(data, name):
    if name.endswith("train") and not any(data.glob(name + ".*")):
        return rows_of(data, name.replace("_train", "_test").replace(".train", ".validation"))  # never read: no examples are asked for
    for path in (data / f"{name}.jsonl", data / f"{name}.jsonl.gz"):
        if path.exists():
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
                return [published(json.loads(line)) for line in file if line.strip()]
    sys.exit(f"lm_eval_oracle: {name} is not in {data}")


def published(row):
    """ARC's flattened form as the one that is published."""
    if "gold" in row:
        labels = "ABCDE"[: len(row["choices"])]
        return {"question": row["question"], "choices": {"text": row["choices"], "label": list(labels)}, "answerKey": labels[row["gold"]]}
    return row


def loader(data):
    def load_dataset(path, name=None, **_):
        if path == "cais/mmlu":
            splits = {"test": "mmlu.test", "dev": "mmlu.dev"}
            return datasets.DatasetDict(
                {split: datasets.Dataset.from_list([row for row in rows_of(data, file) if row["subject"] == name]) for split, file in splits.items()})
        files = FILES[name if name in FILES else path]
        return datasets.DatasetDict({split: datasets.Dataset.from_list(rows_of(data, file)) for split, file in files.items()})

    return load_dataset


class Scripted(LM):
    """Says what squish said."""

    def __init__(self, dump):
        super().__init__()
        self.known = {}
        with open(dump, encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                self.known[entry["context"], entry["continuation"]] = (entry["log_likelihood"], entry["is_greedy"])

    def loglikelihood(self, requests):
        out = []
        for request in requests:
            if request.args not in self.known:
                sys.exit(f"lm_eval_oracle: squish did not ask {request.args!r}")
            out.append(self.known[request.args])
        return out

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        raise NotImplementedError


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("dump", type=pathlib.Path)
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--fewshot", type=int, default=0)
    arguments = parser.parse_args()
    datasets.load_dataset = loader(arguments.data)
    found = evaluator.simple_evaluate(
        model=Scripted(arguments.dump), tasks=arguments.tasks.split(","), num_fewshot=arguments.fewshot, limit=arguments.limit,
        bootstrap_iters=0, log_samples=True, torch_random_seed=None)
    samples = {
        task: [{"context": entry["arguments"][0][0] if isinstance(entry["arguments"], list) else entry["arguments"]["gen_args_0"]["arg_0"],
                "continuation": entry["arguments"][0][1] if isinstance(entry["arguments"], list) else entry["arguments"]["gen_args_0"]["arg_1"],
                "acc": entry["acc"], "acc_norm": entry.get("acc_norm")} for entry in entries]
        for task, entries in found["samples"].items()}
    json.dump({"results": found["results"], "samples": samples}, sys.stdout)


if __name__ == "__main__":
    main()
