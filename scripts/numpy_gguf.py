"""A forward pass in NumPy over the decoded weights of a GGUF file: the independent opinion about quantised models.

Written from the published formulas of Llama, Qwen2 and Gemma 3; the blocks are decoded by the `gguf` package. Products are float32,
sums over attention and norms float64. Nothing is rounded to 8 bits anywhere, so it says what the file's weights mean.
"""
import gguf
import numpy as np

GEMMA_LOCAL_BASE = 10000.0
GEMMA_PATTERN = 6  # every sixth layer sees everything


def field(reader, name, default=None):
    found = reader.fields.get(name)
    return found.contents() if found is not None else default


class Reference:
    """A model; `logits` scores a whole sequence at once, without a cache: quadratic, meant for up to a few thousand tokens."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.architecture = field(reader, "general.architecture")
        if self.architecture not in ("llama", "qwen2", "gemma3"):
            raise SystemExit(f"{path}: no reference for architecture {self.architecture}")
        get = lambda name, default=None: field(reader, f"{self.architecture}.{name}", default)
        self.layers, self.heads, self.width = get("block_count"), get("attention.head_count"), get("embedding_length")
        self.kv_heads = get("attention.head_count_kv", self.heads)
        self.head_dim = get("attention.key_length", self.width // self.heads)
        self.epsilon = get("attention.layer_norm_rms_epsilon")
        self.base = get("rope.freq_base", 10000.0)
        self.window = get("attention.sliding_window", 0) if self.architecture == "gemma3" else 0
        self.weights = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
        factors = self.weights.get("rope_freqs.weight")
        self.factors = np.ones(self.head_dim // 2) if factors is None else factors.astype(np.float64)

    def norm(self, x, name):
        exact = x.astype(np.float64)
        exact /= np.sqrt((exact * exact).mean(-1, keepdims=True) + self.epsilon)
        return (exact * self.weights[name]).astype(np.float32)

    def linear(self, x, name):
        out = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return out if bias is None else out + bias

    def rotate(self, x, base):
        """Pairs are neighbours in Llama's files and halves apart in the others."""
        half = self.head_dim // 2
        angle = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half) / self.factors
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        adjacent = self.architecture == "llama"
        a, b = (x[..., 0::2], x[..., 1::2]) if adjacent else (x[..., :half], x[..., half:])
        pair = np.stack([a * cos - b * sin, a * sin + b * cos], -1 if adjacent else -2)
        return pair.reshape(x.shape).astype(np.float32)

    def attention(self, h, block, is_global):
        count = len(h)
        q = self.linear(h, block + "attn_q").reshape(count, self.heads, self.head_dim)
        k = self.linear(h, block + "attn_k").reshape(count, self.kv_heads, self.head_dim)
        v = self.linear(h, block + "attn_v").reshape(count, self.kv_heads, self.head_dim)
        if self.architecture == "gemma3":
            q, k = self.norm(q, block + "attn_q_norm.weight"), self.norm(k, block + "attn_k_norm.weight")
        base = self.base if self.architecture != "gemma3" or is_global else GEMMA_LOCAL_BASE
        q, k = self.rotate(q, base), self.rotate(k, base)
        behind = np.arange(count)[:, None] - np.arange(count)
        hidden = behind < 0
        if self.window and not is_global:
            hidden |= behind >= self.window
        out = np.empty_like(q)
        for head in range(self.heads):
            group = head * self.kv_heads // self.heads
            scores = (q[:, head] @ k[:, group].T).astype(np.float64) / np.sqrt(self.head_dim)
            scores[hidden] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = (scores / scores.sum(-1, keepdims=True)).astype(np.float32) @ v[:, group]
        return self.linear(out.reshape(count, -1), block + "attn_output")

    def feed_forward(self, h, block):
        gate = self.linear(h, block + "ffn_gate").astype(np.float64)
        if self.architecture == "gemma3":
            gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        else:
            gate = gate / (1 + np.exp(-gate))
        return self.linear((gate * self.linear(h, block + "ffn_up")).astype(np.float32), block + "ffn_down")

    def hidden(self, tokens):
        """The normalised last states [tokens, width]."""
        gemma = self.architecture == "gemma3"
        x = self.weights["token_embd.weight"][tokens]
        if gemma:
            x = x * np.float32(np.sqrt(self.width))
        for layer in range(self.layers):
            block = f"blk.{layer}."
            y = self.attention(self.norm(x, block + "attn_norm.weight"), block, (layer + 1) % GEMMA_PATTERN == 0)
            x = x + (self.norm(y, block + "post_attention_norm.weight") if gemma else y)
            y = self.feed_forward(self.norm(x, block + "ffn_norm.weight"), block)
            x = x + (self.norm(y, block + "post_ffw_norm.weight") if gemma else y)
        return self.norm(x, "output_norm.weight")

    def logprobs(self, tokens, first):
        """Natural log-probabilities [len(tokens) - first, vocabulary] of what may stand at positions first and later, float64."""
        states = self.hidden(np.asarray(tokens))[first - 1:len(tokens) - 1]
        logits = (states @ self.weights.get("output.weight", self.weights["token_embd.weight"]).T).astype(np.float64)
        peak = logits.max(-1, keepdims=True)
        return logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))
