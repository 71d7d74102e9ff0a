"""A Llama forward pass in NumPy, float64, written from the formulas: the independent opinion about full-precision models."""
import json
import pathlib

import numpy as np
import sentencepiece
from safetensors.numpy import load_file

PROMPTS = [
    "Once upon a time", "Lily and Tom went to the park", "The little dog was very", "One day, a boy named Max found a",
    "\"Mom, can I have", "The sun was shining and", "There was a big red", "Sara had a doll. She", "The cat saw a bird and",
    "In the forest there lived a", "Ben wanted to build", "It was raining, so", "The old man smiled and said", "Anna likes to draw. She draws",
    "They ran to the", "A frog jumped into", "The birthday cake was", "Tim was sad because", "At night the moon", "Every morning the farmer",
]


class Reference:
    def __init__(self, directory, generate):
        directory = pathlib.Path(directory)
        self.config = json.loads((directory / "config.json").read_text())
        weights = load_file(directory / "model.safetensors")
        self.weights = {name.removeprefix("model."): tensor.astype(np.float64) for name, tensor in weights.items()}
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
        self.generate = generate

    def tokenize(self, text):
        return [self.tokenizer.bos_id(), *self.tokenizer.encode(text)]

    def complete(self, tokens):
        """Greedy continuation: [(token, its natural log-probability)]."""
        self.keys = [None] * self.config["num_hidden_layers"]
        self.values = [None] * self.config["num_hidden_layers"]
        out, new, start = [], list(tokens), 0
        for _ in range(min(self.generate, self.config["max_position_embeddings"] - len(tokens))):
            logits = self.logits(new, start)
            start += len(new)
            log_sum = np.log(np.exp(logits - logits.max()).sum()) + logits.max()
            best = int(logits.argmax())
            out.append((best, float(logits[best] - log_sum)))
            new = [best]
            if best == self.tokenizer.eos_id():
                break
        return out

    def logits(self, tokens, start):
        """Of the last of `tokens`, which stand at positions start, start + 1, ...; keys and values of earlier ones are kept."""
        c, w = self.config, self.weights
        heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        dim = c["hidden_size"] // heads
        position = np.arange(start, start + len(tokens))
        angle = position[:, None] * c.get("rope_theta", 10000.0) ** (-np.arange(0, dim, 2) / dim)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]

        def norm(x, weight):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + c["rms_norm_eps"]) * weight

        def rotate(x):
            a, b = x[..., : dim // 2], x[..., dim // 2 :]
            return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)

        x = w["embed_tokens.weight"][tokens]
        mask = np.where(np.arange(start + len(tokens)) > position[:, None], -np.inf, 0.0)
        for layer in range(c["num_hidden_layers"]):
            p = f"layers.{layer}."
            h = norm(x, w[p + "input_layernorm.weight"])
            q = rotate((h @ w[p + "self_attn.q_proj.weight"].T).reshape(-1, heads, dim))
            k = rotate((h @ w[p + "self_attn.k_proj.weight"].T).reshape(-1, kv_heads, dim))
            v = (h @ w[p + "self_attn.v_proj.weight"].T).reshape(-1, kv_heads, dim)
            if start:
                k, v = np.concatenate([self.keys[layer], k]), np.concatenate([self.values[layer], v])
            self.keys[layer], self.values[layer] = k, v
            k, v = (np.repeat(t, heads // kv_heads, 1) for t in (k, v))
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim) + mask
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            attended = np.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v).reshape(len(tokens), -1)
            x = x + attended @ w[p + "self_attn.o_proj.weight"].T
            h = norm(x, w[p + "post_attention_layernorm.weight"])
            gate = h @ w[p + "mlp.gate_proj.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
        head = w.get("lm_head.weight", w["embed_tokens.weight"])
        return head @ norm(x[-1], w["norm.weight"])
