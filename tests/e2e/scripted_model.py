"""A model that says what it is told, as a GGUF file that the program loads and runs like any other.

One layer whose attention and feed-forward add nothing, one-hot embeddings, and an output matrix that is the table of successors: the next
token is a function of the last one. A script is a chain of tokens of its own, begun by a control token that the chat template puts at the
end of the prompt: the last message's text names the script. So real scheduling, sampling, parsing and streaming run, with known answers
and without anybody's weights.
"""

import random

import gguf
import numpy

CONTEXT = 2048
TEMPLATE = """{% if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<|plain|>{% endif %}<|say {{ messages[-1].content | trim }}|>{% endif %}"""


def characters_of_bytes():
    """GPT-2's printable character for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table, extra = {byte: chr(byte) for byte in plain}, 0
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def pieces_of(text, seed):
    """The bytes of a text in pieces of 1 to 7: borders lie inside of characters, marks and stop texts, too."""
    chance, data, out = random.Random(seed), text.encode(), []
    while data:
        size = chance.randint(1, 7)
        out.append(data[:size])
        data = data[size:]
    return out


def write_scripted_model(path, scripts):
    """Writes `path`. `scripts`: name to text; a name that begins with "endless" starts again at its end. What no script tells ends at once.
    Returns how many tokens each answer has, without its end."""
    characters = characters_of_bytes()
    names = [characters[byte] for byte in range(256)]
    kinds = [gguf.TokenType.NORMAL] * 256

    def add(name, kind):
        names.append(name)
        kinds.append(kind)
        return len(names) - 1

    end = add("<|im_end|>", gguf.TokenType.CONTROL)
    add("<|im_start|>", gguf.TokenType.CONTROL)
    add("<|plain|>", gguf.TokenType.CONTROL)
    successors, counts = {}, {}
    for seed, (name, text) in enumerate(scripts.items()):
        chain = [add(f"<|say {name}|>", gguf.TokenType.CONTROL)]
        chain += [add("".join(characters[byte] for byte in piece), gguf.TokenType.NORMAL) for piece in pieces_of(text, seed)]
        chain.append(chain[1] if name.startswith("endless") else end)
        successors |= dict(zip(chain, chain[1:]))
        counts[name] = len(chain) - 2
    size = -(-len(names) // 256) * 256  # one number of the hidden state for each token
    while len(names) < size:
        add(f"<|unused {len(names)}|>", gguf.TokenType.UNUSED)
    embedding = numpy.eye(size, dtype=numpy.float32)
    output = numpy.zeros((size, size), dtype=numpy.float32)
    for token in range(size):
        output[successors.get(token, end), token] = 1
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("scripted")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(size)
    writer.add_feed_forward_length(256)
    writer.add_head_count(size // 64)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([])
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    shapes = {"attn_q": (size, size), "attn_k": (64, size), "attn_v": (64, size), "attn_output": (size, size), "ffn_gate": (256, size),
              "ffn_up": (256, size), "ffn_down": (size, 256)}
    tensors = {"token_embd": embedding, "output": output, "output_norm": numpy.ones(size, dtype=numpy.float32)}
    tensors |= {f"blk.0.{name}": numpy.zeros(shape, dtype=numpy.float16) for name, shape in shapes.items()}
    tensors |= {f"blk.0.{name}": numpy.ones(size, dtype=numpy.float32) for name in ("attn_norm", "ffn_norm")}
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return counts
