"""The real lm-eval, its local-completions against a running server. Run by test_lm_eval_server.py with a Python that has lm-eval.

    lm_eval_client.py BASE DUMP  > results.json

DUMP is what `squish eval --dump-loglikelihood` wrote. Prints for each of its entries what lm-eval makes of the server's answers. The
tokenizer is the server's own, so that nothing has to be fetched.
"""
import json
import sys

import requests
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI


class ServedTokenizer(LocalCompletionsAPI):
    def tok_encode(self, string, *_, **__):
        if isinstance(string, list):
            return [self.tok_encode(one) for one in string]
        base = self.base_url.removesuffix("/completions")
        return requests.post(f"{base}/tokenize", json={"text": string, "add_special": False}, timeout=60).json()["token_ids"]


def main():
    base, dump = sys.argv[1:]
    model = ServedTokenizer(base_url=f"{base}/v1/completions", model="squish", tokenizer_backend=None, tokenized_requests=True, max_length=2048, batch_size=1, eos_string="<|im_end|>")
    model.tokenizer_backend = "huggingface"  # it has one: tok_encode above
    model.tokenizer = model
    model.tokenized_requests = True
    entries = [json.loads(line) for line in open(dump, encoding="utf-8")]
    asked = [Instance("loglikelihood", {}, (entry["context"], entry["continuation"]), i) for i, entry in enumerate(entries)]
    print(json.dumps(model.loglikelihood(asked, disable_tqdm=True)))


main()
