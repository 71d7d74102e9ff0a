#!/usr/bin/env python3
"""Reference logits of tiny networks, one JSON file an architecture, for src/model tests.

    python3 scripts/make_golden.py [NAME ...]      writes tests/golden/model/NAME.json

Needs numpy, transformers (its configuration classes resolve defaults; no torch), gguf (its name
tables give the GGUF names) and tokenizers. The forward pass below is float64 NumPy written from
the formulas; it shares nothing with the C++ program.

Weights are not stored. A weight is  offset + scale * (code - 64) / 64  with a 7-bit code that is
bits 57 to 63 of splitmix64(fnv1a64(name of the HF tensor) + index); with scales that are powers of
two every value is exact in f32, f16, bf16 and q8_0. tests read the recipe and build the files.
"""

import json
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import tokenizers
import transformers

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "model"
VOCABULARY = 300
PROMPT_LENGTH = 70  # crosses a KV page of 64 tokens
MASK64 = (1 << 64) - 1


# Weights


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK64
    return value


def splitmix64(x):
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def make_weight(tensor):
    count = math.prod(tensor["shape"])
    with np.errstate(over="ignore"):
        index = np.uint64(fnv1a64(tensor["name"])) + np.arange(count, dtype=np.uint64)
        codes = (splitmix64(index) >> np.uint64(57)).astype(np.int64)
    values = tensor["offset"] + tensor["scale"] * (codes - 64) / 64.0
    return values.reshape(tensor["shape"])


def tensor(name, *shape):
    """Matrices: about unit gain. Norms: around 1 (Gemma stores them less 1). Biases: small."""
    if name.endswith("norm.weight") or "layernorm" in name:
        return dict(name=name, shape=list(shape), scale=0.5, offset=1.0)
    if name.endswith(".bias"):
        return dict(name=name, shape=list(shape), scale=0.25, offset=0.0)
    if "embed_tokens" in name:
        return dict(name=name, shape=list(shape), scale=1.0, offset=0.0)
    scale = 2.0 ** round(math.log2(math.sqrt(3.0 / shape[-1])))
    return dict(name=name, shape=list(shape), scale=scale, offset=0.0)


def tensors_of(config):
    """Names and shapes as transformers saves them."""
    kind = config.model_type
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    kv_heads = config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    out = [tensor("model.embed_tokens.weight", config.vocab_size, hidden)]
    for i in range(config.num_hidden_layers):
        p = f"model.layers.{i}."
        a = p + "self_attn."
        out.append(tensor(p + "input_layernorm.weight", hidden))
        if kind == "phi3":
            out.append(tensor(a + "qkv_proj.weight", (heads + 2 * kv_heads) * head_dim, hidden))
        else:
            for n, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                out.append(tensor(f"{a}{n}_proj.weight", rows * head_dim, hidden))
                if kind in ("qwen2", "qwen2_moe") or getattr(config, "attention_bias", False):
                    out.append(tensor(f"{a}{n}_proj.bias", rows * head_dim))
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            out += [tensor(a + "q_norm.weight", head_dim), tensor(a + "k_norm.weight", head_dim)]
        out.append(tensor(a + "o_proj.weight", hidden, heads * head_dim))
        if getattr(config, "attention_bias", False):
            out.append(tensor(a + "o_proj.bias", hidden))
        out.append(tensor(p + "post_attention_layernorm.weight", hidden))
        if kind == "gemma3_text":
            out.append(tensor(p + "pre_feedforward_layernorm.weight", hidden))
            out.append(tensor(p + "post_feedforward_layernorm.weight", hidden))
        out += mlp_tensors(config, p)
    out.append(tensor("model.norm.weight", hidden))
    if not config.tie_word_embeddings:
        out.append(tensor("lm_head.weight", config.vocab_size, hidden))
    if kind == "gemma3_text":
        for entry in out:
            if entry["offset"] == 1.0:
                entry["offset"] = 0.0
    return out


def mlp_tensors(config, p):
    kind, hidden, inner = config.model_type, config.hidden_size, config.intermediate_size
    if kind == "phi3":
        return [
            tensor(p + "mlp.gate_up_proj.weight", 2 * inner, hidden),
            tensor(p + "mlp.down_proj.weight", hidden, inner),
        ]
    if kind == "mixtral":
        out = [tensor(p + "block_sparse_moe.gate.weight", config.num_local_experts, hidden)]
        for e in range(config.num_local_experts):
            x = f"{p}block_sparse_moe.experts.{e}."
            out.append(tensor(x + "w1.weight", inner, hidden))
            out.append(tensor(x + "w2.weight", hidden, inner))
            out.append(tensor(x + "w3.weight", inner, hidden))
        return out
    if kind in ("qwen2_moe", "qwen3_moe"):
        out = [tensor(p + "mlp.gate.weight", config.num_experts, hidden)]
        for e in range(config.num_experts):
            out += gated(f"{p}mlp.experts.{e}.", hidden, config.moe_intermediate_size)
        if kind == "qwen2_moe":
            size = config.shared_expert_intermediate_size
            out += gated(p + "mlp.shared_expert.", hidden, size)
            out.append(tensor(p + "mlp.shared_expert_gate.weight", 1, hidden))
        return out
    return gated(p + "mlp.", hidden, inner)


def gated(prefix, hidden, inner):
    return [
        tensor(prefix + "gate_proj.weight", inner, hidden),
        tensor(prefix + "up_proj.weight", inner, hidden),
        tensor(prefix + "down_proj.weight", hidden, inner),
    ]


# The forward pass


def rope_frequencies(config, parameters, head_dim, used_context):
    """Inverse frequencies and the factor of cos and sin."""
    dim = int(head_dim * parameters.get("partial_rotary_factor", 1.0))
    base = parameters["rope_theta"]
    f = base ** (-np.arange(0, dim, 2) / dim)
    kind = parameters.get("rope_type", "default")
    original = parameters.get("original_max_position_embeddings")
    if kind == "default":
        return f, 1.0
    if kind == "linear":
        return f / parameters["factor"], 1.0
    if kind == "llama3":
        wavelength = 2 * np.pi / f
        low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
        smooth = (original / wavelength - low) / (high - low)
        between = (1 - smooth) * f / parameters["factor"] + smooth * f
        out = np.where(wavelength > original / low, f / parameters["factor"], between)
        return np.where(wavelength < original / high, f, out), 1.0
    if kind == "yarn":

        def index(turns):
            return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        low = max(math.floor(index(parameters.get("beta_fast") or 32)), 0)
        high = min(math.ceil(index(parameters.get("beta_slow") or 1)), dim - 1)
        ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
        out = f / parameters["factor"] * ramp + f * (1 - ramp)
        return out, 0.1 * math.log(parameters["factor"]) + 1
    if kind == "longrope":
        original = original or config.original_max_position_embeddings
        factors = "long_factor" if used_context > original else "short_factor"
        scale = config.max_position_embeddings / original
        magnitude = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        return f / np.array(parameters[factors]), magnitude
    raise ValueError(kind)


def rms_norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + epsilon) * weight


def rotate(x, frequencies, magnitude):
    """x [tokens, heads, head_dim]: pairs (i, i + n/2) of the first n values turn together."""
    angle = np.arange(len(x))[:, None, None] * frequencies
    cos, sin = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    n = 2 * len(frequencies)
    a, b, rest = x[..., : n // 2], x[..., n // 2 : n], x[..., n:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)


def activation(name, x):
    if name == "silu":
        return x / (1 + np.exp(-x))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    def __init__(self, config, weights, used_context):
        self.config, self.weights = config, weights
        self.is_gemma = config.model_type == "gemma3_text"
        self.head_dim = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        types = getattr(config, "layer_types", None)
        window = getattr(config, "sliding_window", None)
        self.layer_types = types or [
            "sliding_attention" if window else "full_attention"
        ] * config.num_hidden_layers
        self.rope = {}
        for kind in set(self.layer_types):
            parameters = config.rope_parameters
            parameters = parameters.get(kind, parameters)
            self.rope[kind] = rope_frequencies(config, parameters, self.head_dim, used_context)

    def w(self, name):
        return self.weights[name]

    def norm(self, name, x):
        weight = self.w(name + ".weight") + (1.0 if self.is_gemma else 0.0)
        return rms_norm(x, weight, self.config.rms_norm_eps)

    def linear(self, name, x):
        return x @ self.w(name + ".weight").T + self.weights.get(name + ".bias", 0.0)

    def attention(self, i, x):
        config, p = self.config, f"model.layers.{i}.self_attn."
        heads, kv_heads, head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            self.head_dim,
        )
        if config.model_type == "phi3":
            qkv = self.linear(p + "qkv_proj", x)
            q, k, v = np.split(qkv, [heads * head_dim, (heads + kv_heads) * head_dim], -1)
        else:
            q, k, v = (self.linear(f"{p}{n}_proj", x) for n in "qkv")
        q, k, v = (m.reshape(len(x), -1, head_dim) for m in (q, k, v))
        if p + "q_norm.weight" in self.weights:
            q, k = self.norm(p + "q_norm", q), self.norm(p + "k_norm", k)
        kind = self.layer_types[i]
        q, k = rotate(q, *self.rope[kind]), rotate(k, *self.rope[kind])
        # The cache keeps keys and values as f16: part of the definition, not an error to allow for.
        k, v = (m.astype(np.float16).astype(np.float64) for m in (k, v))
        k, v = (np.repeat(m, heads // kv_heads, axis=1) for m in (k, v))
        scalar = config.query_pre_attn_scalar if self.is_gemma else head_dim
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(scalar)
        query, key = np.arange(len(x))[:, None], np.arange(len(x))[None, :]
        seen = key <= query
        if kind == "sliding_attention":
            seen &= key > query - config.sliding_window
        mixed = np.einsum("hqk,khd->qhd", softmax(np.where(seen, scores, -np.inf)), v)
        return self.linear(p + "o_proj", mixed.reshape(len(x), -1))

    def gated(self, prefix, x, names=("gate_proj", "up_proj", "down_proj")):
        name = getattr(self.config, "hidden_activation", None) or self.config.hidden_act
        gate = activation(name, self.linear(prefix + names[0], x))
        return self.linear(prefix + names[2], gate * self.linear(prefix + names[1], x))

    def routed(self, router, experts, names, x, normalize):
        """Sum over the best experts of each token."""
        p = softmax(self.linear(router, x))
        used = self.config.num_experts_per_tok
        best = np.argsort(-p, axis=-1, kind="stable")[:, :used]
        out = np.zeros_like(x)
        for t in range(len(x)):
            chosen = p[t, best[t]]
            if normalize:
                chosen = chosen / chosen.sum()
            for weight, e in zip(chosen, best[t]):
                out[t] += weight * self.gated(f"{experts}.{e}.", x[t : t + 1], names)[0]
        return out

    def mlp(self, i, x):
        kind, p = self.config.model_type, f"model.layers.{i}."
        usual = ("gate_proj", "up_proj", "down_proj")
        if kind == "phi3":
            gate, up = np.split(self.linear(p + "mlp.gate_up_proj", x), 2, -1)
            return self.linear(p + "mlp.down_proj", activation("silu", gate) * up)
        if kind == "mixtral":
            b = p + "block_sparse_moe."
            return self.routed(b + "gate", b + "experts", ("w1", "w3", "w2"), x, True)
        if kind in ("qwen2_moe", "qwen3_moe"):
            normalize = self.config.norm_topk_prob
            out = self.routed(p + "mlp.gate", p + "mlp.experts", usual, x, normalize)
            if kind == "qwen2_moe":
                gate = self.linear(p + "mlp.shared_expert_gate", x)
                out += self.gated(p + "mlp.shared_expert.", x) / (1 + np.exp(-gate))
            return out
        return self.gated(p + "mlp.", x)

    def logits(self, ids):
        x = self.w("model.embed_tokens.weight")[ids]
        if self.is_gemma:
            x = x * math.sqrt(self.config.hidden_size)
        for i in range(self.config.num_hidden_layers):
            p = f"model.layers.{i}."
            y = self.attention(i, self.norm(p + "input_layernorm", x))
            if self.is_gemma:
                x = x + self.norm(p + "post_attention_layernorm", y)
                y = self.mlp(i, self.norm(p + "pre_feedforward_layernorm", x))
                x = x + self.norm(p + "post_feedforward_layernorm", y)
            else:
                x = x + y
                x = x + self.mlp(i, self.norm(p + "post_attention_layernorm", x))
        x = self.norm("model.norm", x)
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return x @ self.w(head + ".weight").T


# GGUF: which metadata and which tensors, from which HF tensors


def gguf_metadata(config, rope, head_dim, used_context):
    kind = config.model_type
    name = {"mixtral": "llama", "mistral": "llama", "gemma3_text": "gemma3"}.get(
        kind, kind.replace("_", "")
    )
    data = {
        "general.architecture": name,
        f"{name}.block_count": config.num_hidden_layers,
        f"{name}.context_length": config.max_position_embeddings,
        f"{name}.embedding_length": config.hidden_size,
        f"{name}.feed_forward_length": config.intermediate_size,
        f"{name}.attention.head_count": config.num_attention_heads,
        f"{name}.attention.head_count_kv": config.num_key_value_heads,
        f"{name}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{name}.rope.freq_base": float(rope["rope_theta"]),
    }
    if head_dim != config.hidden_size // config.num_attention_heads or kind == "gemma3_text":
        data[f"{name}.attention.key_length"] = head_dim
        data[f"{name}.attention.value_length"] = head_dim
    if kind in ("llama", "mixtral", "phi3"):
        rotated = int(head_dim * rope.get("partial_rotary_factor", 1.0))
        data[f"{name}.rope.dimension_count"] = rotated
    if kind in ("mixtral", "qwen2_moe", "qwen3_moe"):
        experts = getattr(config, "num_experts", None) or config.num_local_experts
        data[f"{name}.expert_count"] = experts
        data[f"{name}.expert_used_count"] = config.num_experts_per_tok
    if kind in ("qwen2_moe", "qwen3_moe"):
        data[f"{name}.expert_feed_forward_length"] = config.moe_intermediate_size
    if kind == "qwen2_moe":
        size = config.shared_expert_intermediate_size
        data[f"{name}.expert_shared_feed_forward_length"] = size
    if kind == "gemma3_text":
        data[f"{name}.attention.sliding_window"] = config.sliding_window
    if rope.get("rope_type") in ("linear", "yarn"):
        data[f"{name}.rope.scaling.type"] = rope["rope_type"]
        data[f"{name}.rope.scaling.factor"] = float(rope["factor"])
    if rope.get("rope_type") == "yarn":
        original = rope["original_max_position_embeddings"]
        data[f"{name}.rope.scaling.original_context_length"] = original
    if rope.get("rope_type") == "longrope":
        original = config.original_max_position_embeddings
        data[f"{name}.rope.scaling.original_context_length"] = original
        magnitude = rope_frequencies(config, rope, head_dim, used_context)[1]
        data[f"{name}.rope.scaling.attn_factor"] = magnitude
    return name, data


def gguf_tensors(config, name, tensors, rope, head_dim):
    """A list of {name, from: [HF names], rotate: heads or 0, add: number} and literal tensors."""
    architecture = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == name)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    out, stacks = [], {}
    for entry in tensors:
        source = entry["name"]
        parts = source.split(".")
        if "experts" in parts:  # one tensor an expert: stacked in GGUF
            at = parts.index("experts") + 1
            stacked = ".".join(parts[:at] + parts[at + 1 :])
            stacks.setdefault(stacked, []).append(source)
            continue
        out.append(dict(name=gguf_name(names, source), sources=[source]))
        if name == "llama" and ("q_proj" in source or "k_proj" in source):
            is_q = "q_proj" in source
            heads = config.num_attention_heads if is_q else config.num_key_value_heads
            out[-1]["neighbours"] = heads
        if config.model_type == "gemma3_text" and "norm" in source:
            out[-1]["add"] = 1.0
    for stacked, sources in stacks.items():
        out.append(dict(name=gguf_name(names, stacked), sources=sources))
    plain = rope["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim)
    if rope.get("rope_type") == "llama3":
        f, _ = rope_frequencies(config, rope, head_dim, 0)
        out.append(dict(name="rope_freqs.weight", values=(plain / f).tolist()))
    if rope.get("rope_type") == "longrope":
        out.append(dict(name="rope_factors_long.weight", values=rope["long_factor"]))
        out.append(dict(name="rope_factors_short.weight", values=rope["short_factor"]))
    return out


def gguf_name(names, source):
    stem, suffix = source.rsplit(".", 1)
    name = names.get_name(stem)
    if name is None:
        raise KeyError(source)
    return f"{name}.{suffix}"


# The cases


def base(kind, architecture, **more):
    out = dict(
        architectures=[architecture],
        model_type=kind,
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=False,
        bos_token_id=256,
        eos_token_id=258,
    )
    out.update(more)
    return out


LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LONGROPE = dict(
    type="longrope",
    short_factor=[1.0, 1.0, 1.125, 1.25, 1.5, 2.0],
    long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
)
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
PHI3 = base(
    "phi3",
    "Phi3ForCausalLM",
    rope_scaling=LONGROPE,
    partial_rotary_factor=0.75,
    original_max_position_embeddings=64,
    pad_token_id=0,
)
# name: (config.json, context length of the run or 0, whether there is a GGUF form)
CASES = {
    "llama": (base("llama", "LlamaForCausalLM", rope_scaling=LLAMA3), 0, True),
    "llama_bias": (
        base("llama", "LlamaForCausalLM", attention_bias=True, tie_word_embeddings=True),
        0,
        False,
    ),
    "mistral": (base("mistral", "MistralForCausalLM", sliding_window=16, head_dim=32), 0, False),
    "mixtral": (
        base("mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
        0,
        True,
    ),
    "qwen2": (base("qwen2", "Qwen2ForCausalLM", tie_word_embeddings=True), 0, True),
    "qwen2_yarn": (base("qwen2", "Qwen2ForCausalLM", rope_scaling=YARN), 0, True),
    "qwen2_window": (
        base(
            "qwen2",
            "Qwen2ForCausalLM",
            use_sliding_window=True,
            sliding_window=16,
            max_window_layers=1,
        ),
        0,
        False,
    ),
    "qwen2moe": (
        base("qwen2_moe", "Qwen2MoeForCausalLM", shared_expert_intermediate_size=64, **MOE),
        0,
        True,
    ),
    "qwen3": (base("qwen3", "Qwen3ForCausalLM", head_dim=32), 0, True),
    "qwen3moe": (
        base("qwen3_moe", "Qwen3MoeForCausalLM", head_dim=32, norm_topk_prob=True, **MOE),
        0,
        True,
    ),
    "gemma3": (
        base(
            "gemma3_text",
            "Gemma3ForCausalLM",
            num_hidden_layers=6,
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=16,
            hidden_activation="gelu_pytorch_tanh",
            rope_theta=1000000.0,
            rope_local_base_freq=10000.0,
            rope_scaling=dict(rope_type="linear", factor=8.0),
            tie_word_embeddings=True,
        ),
        0,
        True,
    ),
    "phi3": (PHI3, 0, True),
    "phi3_short": (PHI3, 64, True),
}


def make_case(name):
    config_json, context, has_gguf = CASES[name]
    values = {k: v for k, v in config_json.items() if k != "architectures"}
    config = transformers.AutoConfig.for_model(**json.loads(json.dumps(values)))
    tensors = tensors_of(config)
    weights = {entry["name"]: make_weight(entry) for entry in tensors}
    used_context = context or config.max_position_embeddings
    reference = Reference(config, weights, used_context)
    length = min(PROMPT_LENGTH, used_context - 4)
    ids = [(7 + 31 * t + t * t) % VOCABULARY for t in range(length)]
    logits = reference.logits(np.array(ids))

    rows = sorted({0, 1, 17, length - 6, length - 1})
    case = dict(
        made_by=f"scripts/make_golden.py, numpy {np.__version__}, "
        f"transformers {transformers.__version__}, gguf name tables",
        config=json.dumps(config_json),
        context_length=context,
        tensors=tensors,
        prompt=ids,
        rows=rows,
        logits=[[float(f"{v:.7g}") for v in logits[r]] for r in rows],
    )
    if has_gguf:
        rope = config.rope_parameters
        rope = rope.get("full_attention", rope)
        architecture, metadata = gguf_metadata(config, rope, reference.head_dim, used_context)
        case["gguf_integers"] = {k: v for k, v in metadata.items() if isinstance(v, int)}
        case["gguf_numbers"] = {k: v for k, v in metadata.items() if isinstance(v, float)}
        case["gguf_texts"] = {k: v for k, v in metadata.items() if isinstance(v, str)}
        case["gguf_tensors"] = gguf_tensors(
            config, architecture, tensors, rope, reference.head_dim
        )
    return case


def dump(path, case):
    """One line a tensor and a row, so that differences read well."""
    lines = []
    for key, value in case.items():
        if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            items = ",\n  ".join(json.dumps(v) for v in value)
            lines.append(f'"{key}": [\n  {items}\n ]')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    path.write_text("{\n " + ",\n ".join(lines) + "\n}\n")


# The tokenizer that goes with the tiny networks: 256 bytes, a few merges, ChatML tokens


def make_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pairs = "t h|th e|i n|o n|e r|a n|Ġ the|Ġ a|Ġ t|Ġ in|in g|an d|Ġ and|o u|r e|o r|e n|h e|l l"
    merges = [tuple(pair.split(" ")) for pair in pairs.split("|")]
    tokens = alphabet + ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens += [a + b for a, b in merges]
    vocabulary = {}
    for text in tokens:
        vocabulary.setdefault(text, len(vocabulary))
    fillers = [f"<|filler_{i}|>" for i in range(VOCABULARY - len(vocabulary))]
    for text in fillers:
        vocabulary[text] = len(vocabulary)
    tokenizer.model = tokenizers.models.BPE(vocab=vocabulary, merges=merges)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + fillers
    tokenizer.add_special_tokens(special)
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    settings = dict(bos_token=None, eos_token="<|im_end|>", chat_template=template)
    (OUT / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n")
    (OUT / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")
    order = sorted(vocabulary, key=vocabulary.get)
    data = dict(
        tokens=order,
        merges=[f"{a} {b}" for a, b in merges],
        kinds=[3 if t in special else 1 for t in order],
        eos=vocabulary["<|im_end|>"],
        chat_template=template,
    )
    (OUT / "vocabulary.json").write_text(json.dumps(data, ensure_ascii=False) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    make_tokenizer()
    for name in sys.argv[1:] or CASES:
        dump(OUT / f"{name}.json", make_case(name))
        print(f"tests/golden/model/{name}.json")


if __name__ == "__main__":
    main()
