#!/usr/bin/env python3
"""Writes tests/golden/blocks.case: random packed blocks, decoded by the Python package gguf.

Usage: python scripts/make_golden_blocks.py [OUTPUT]      (needs: pip install numpy gguf)

Types of our own are decoded here, from the picture in src/tensor/block_formats.h.

The file has one record a type:
    type NAME WEIGHTS
    bytes HEX          packed blocks
    floats HEX         the decoded weights, little-endian f32
Scales are random finite f16 (normal, subnormal, zero, both signs); all other bytes are uniform.
"""
import sys
from importlib.metadata import version

import gguf
import numpy as np

# Type, blocks, byte positions of the f16 fields of a block.
TYPES = [
    ("F16", 64, []),
    ("BF16", 64, []),
    ("Q4_0", 4, [0]),
    ("Q4_1", 4, [0, 2]),
    ("Q5_0", 4, [0]),
    ("Q5_1", 4, [0, 2]),
    ("Q8_0", 4, [0]),
    ("Q2_K", 3, [80, 82]),
    ("Q3_K", 3, [108]),
    ("Q4_K", 3, [0, 2]),
    ("Q5_K", 3, [0, 2]),
    ("Q6_K", 3, [208]),
    ("IQ4_NL", 4, [0]),
    ("IQ4_XS", 3, [0]),
]


def decode_i3(packed: bytes) -> np.ndarray:
    """w = d * scale * (q - 3.5) + m * (shift - 8), in the order of operations of formats.cpp."""
    out = []
    for start in range(0, len(packed), 108):
        block = np.frombuffer(packed, dtype=np.uint8, count=108, offset=start)
        d, m = block[:4].view(np.float16).astype(np.float32)
        factors, high_mask, codes = block[4:12], block[12:44], block[44:108]
        for group in range(8):
            low = codes[32 * (group // 4) :][:32] >> (2 * (group % 4)) & 3
            q = (low | (high_mask >> group & 1) << 2).astype(np.float32)
            scale = d * np.float32(factors[group] & 15)
            offset = m * np.float32(int(factors[group] >> 4) - 8) - np.float32(3.5) * scale
            out.append(scale * q + offset)
    return np.concatenate(out)


# Our own types: name, blocks, bytes of a block, positions of its f16 fields, decoder.
OWN_TYPES = [
    ("I3", 3, 108, [0, 2], decode_i3),
]


def random_f16(random: np.random.Generator, block: int) -> bytes:
    """Block 0 gets a subnormal scale, block 1 a negative one, the others 2^-14 to 2^3."""
    if block == 0:
        value = np.float16(2.0**-20) * np.float16(random.integers(1, 15))
    else:
        value = np.float16(random.uniform(1, 2) * 2.0 ** random.integers(-14, 3))
        value = -value if block == 1 else value
    return np.float16(value).tobytes()


def make_blocks(random: np.random.Generator, name: str, count: int, places: list[int], block_bytes: int) -> bytes:
    if name == "F16":
        return random.normal(size=count).astype(np.float16).tobytes()
    if name == "BF16":
        bits = random.normal(size=count).astype(np.float32).view(np.uint32)
        return (bits >> 16).astype(np.uint16).tobytes()
    out = b""
    for block in range(count):
        data = bytearray(random.integers(0, 256, size=block_bytes, dtype=np.uint8).tobytes())
        for place in places:
            data[place : place + 2] = random_f16(random, block)
        out += bytes(data)
    return out


def main() -> None:
    output = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/blocks.case"
    random = np.random.default_rng(20260101)
    lines = [f"# Made by scripts/make_golden_blocks.py with gguf {version('gguf')}. Do not edit."]
    for name, count, places in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        packed = make_blocks(random, name, count, places, gguf.GGML_QUANT_SIZES[kind][1])
        decoded = gguf.quants.dequantize(np.frombuffer(packed, dtype=np.uint8), kind)
        weights = decoded.astype("<f4").reshape(-1)
        assert np.isfinite(weights).all(), name
        lines.append(f"type {name.lower()} {weights.size}")
        lines.append(f"bytes {packed.hex()}")
        lines.append(f"floats {weights.tobytes().hex()}")
    for name, count, block_bytes, places, decode in OWN_TYPES:
        packed = make_blocks(random, name, count, places, block_bytes)
        weights = decode(packed).astype("<f4")
        lines.append(f"type {name.lower()} {weights.size}")
        lines.append(f"bytes {packed.hex()}")
        lines.append(f"floats {weights.tobytes().hex()}")
    with open(output, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{output}: {len(TYPES) + len(OWN_TYPES)} types")


if __name__ == "__main__":
    main()
