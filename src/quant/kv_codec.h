#pragma once
// Codes of keys and values: one vector of a head at a time, with one scale. The reference of what
// quantised KV pages hold; docs/kv-codecs.md gives formulas, sizes and measured decibels.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace squish::quant {

enum class KvCode : uint8_t { fp16, int8, int4, int2, lm4, lm3, lm2 };

/// One row of the table of codes.
struct KvCodeInfo {
  KvCode code;
  std::string_view name;
  int bits;         // a value
  int scale_bytes;  // a vector
  size_t multiple;  // head_dim must be a multiple of it
};
/// In the order of KvCode.
std::span<const KvCodeInfo> kv_codes();
const KvCodeInfo& info_of(KvCode code);
std::optional<KvCode> kv_code_from_name(std::string_view name);

/// Bytes of one vector: codes, then the scale. head_dim a multiple of info_of(code).multiple.
size_t kv_vector_bytes(KvCode code, size_t head_dim);

/// vector [head_dim] f32, finite (fp16: within its range) · out: kv_vector_bytes() bytes, no alias.
///   int8: s = max(max|v|, 1e-8) as f32, q = rint(127 v / s)
///   int4: s = max|v| / 7.5, q = clip(rint(v / s + 7.5), 0, 15), low nibble the even column
///   int2: s = max|v| / 1.5, q = clip(rint(v / s + 1.5), 0, 3), four a byte, low bits first
///   lm4, lm3, lm2: nearest of the Lloyd-Max levels of a normal variable times s, s as f16 fitted
///   by three rounds of least squares; lm3 packs eight codes into three bytes, low bits first
/// A vector of zeros decodes to zeros. Cost: scalar, 2 to 20 ns a value.
void encode_kv(KvCode code, const float* vector, size_t head_dim, std::byte* out);
void decode_kv(KvCode code, const std::byte* bytes, size_t head_dim, float* out);

/// vector := vector H, H the Sylvester matrix / sqrt(head_dim) with column c negated where
/// signs[c] < 0; head_dim a power of two. Orthonormal. unrotate_kv() is its inverse.
void rotate_kv(float* vector, const float* signs, size_t head_dim);
void unrotate_kv(float* vector, const float* signs, size_t head_dim);

/// The code for a context of that many tokens: int8 up to 8192, int4 up to 16384, then int2.
/// `medium` must not exceed `large`; callers check it.
KvCode recommended_kv_code(uint64_t context_tokens, uint64_t medium = 8192, uint64_t large = 16384);

}  // namespace squish::quant
