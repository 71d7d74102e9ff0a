"""BERT in numpy float32, read straight from its safetensors file: an independent second opinion for tests."""
import json
import math
import pathlib

import numpy
from safetensors.numpy import load_file

erf = numpy.vectorize(math.erf)


class Bert:
    """`states(ids)` gives the last hidden states [tokens, hidden] of one text; ids with their special tokens."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.config = json.loads((directory / "config.json").read_text())
        self.tensors = {}
        for path in sorted(directory.glob("*.safetensors")):
            for name, value in load_file(path).items():
                if value.dtype.kind == "f":
                    self.tensors[name.removeprefix("bert.")] = value.astype(numpy.float32)

    def linear(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / numpy.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def attention(self, name, x):
        heads = self.config["num_attention_heads"]
        q, k, v = (
            self.linear(f"{name}.self.{part}", x).reshape(len(x), heads, -1).transpose(1, 0, 2) for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / numpy.sqrt(numpy.float32(q.shape[-1]))
        weights = numpy.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = (weights @ v).transpose(1, 0, 2).reshape(len(x), -1)
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", mixed))

    def states(self, ids):
        ids = numpy.asarray(ids)
        x = self.tensors["embeddings.word_embeddings.weight"][ids]
        x = x + self.tensors["embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm("embeddings.LayerNorm", x + self.tensors["embeddings.token_type_embeddings.weight"][0])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.attention(f"{name}.attention", x)
            inner = self.linear(f"{name}.intermediate.dense", x)
            inner = inner * (1 + erf(inner / math.sqrt(2)).astype(numpy.float32)) / 2
            x = self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", inner))
        return x

    def embedding(self, ids):
        """The mean of the states, of length 1."""
        mean = self.states(ids).mean(0)
        return mean / numpy.linalg.norm(mean)
