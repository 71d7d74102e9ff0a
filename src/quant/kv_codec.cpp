#include "quant/kv_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "tensor/half.h"

namespace squish::quant {
namespace {

constexpr std::array kTable = {
    KvCodeInfo{KvCode::fp16, "fp16", 16, 0, 1}, KvCodeInfo{KvCode::int8, "int8", 8, 4, 1},
    KvCodeInfo{KvCode::int4, "int4", 4, 4, 2},  KvCodeInfo{KvCode::int2, "int2", 2, 4, 4},
    KvCodeInfo{KvCode::lm4, "lm4", 4, 2, 2},    KvCodeInfo{KvCode::lm3, "lm3", 3, 2, 8},
    KvCodeInfo{KvCode::lm2, "lm2", 2, 2, 4},
};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].code) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

// Upper halves of the Lloyd-Max levels for N(0, 1); the lower ones are their negatives.
constexpr std::array kLevels2 = {0.4528F, 1.5104F};
constexpr std::array kLevels3 = {0.2451F, 0.7560F, 1.3439F, 2.1519F};
constexpr std::array kLevels4 = {0.1284F, 0.3880F, 0.6568F, 0.9423F,
                                 1.2562F, 1.6180F, 2.0690F, 2.7326F};
constexpr int kFitRounds = 3;

std::span<const float> upper_levels(KvCode code) {
  if (code == KvCode::lm2) return kLevels2;
  return code == KvCode::lm3 ? std::span<const float>(kLevels3) : std::span<const float>(kLevels4);
}

bool is_lloyd_max(KvCode code) { return code >= KvCode::lm4; }

/// Code c of n: negative levels first, in rising order.
float level(std::span<const float> upper, uint32_t code) {
  const auto half = static_cast<uint32_t>(upper.size());
  return code >= half ? upper[code - half] : -upper[half - 1 - code];
}

uint32_t nearest_level(std::span<const float> upper, float value) {
  const float magnitude = std::fabs(value);
  uint32_t index = 0;
  while (index + 1 < upper.size() && magnitude > 0.5F * (upper[index] + upper[index + 1])) ++index;
  const auto half = static_cast<uint32_t>(upper.size());
  return value >= 0 ? half + index : half - 1 - index;
}

float largest_magnitude(const float* vector, size_t count) {
  float out = 0;
  for (size_t i = 0; i < count; ++i) out = std::max(out, std::fabs(vector[i]));
  return out;
}

/// Writes codes of `bits` bits, low bits first, into zeroed bytes.
class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : out_(out) {}
  void put(uint32_t code, int bits) {
    buffer_ |= code << filled_;
    for (filled_ += bits; filled_ >= 8; filled_ -= 8, buffer_ >>= 8) {
      *out_++ = static_cast<std::byte>(buffer_ & 0xffU);
    }
  }

 private:
  std::byte* out_;
  uint32_t buffer_ = 0;
  int filled_ = 0;
};

class BitReader {
 public:
  explicit BitReader(const std::byte* in) : in_(in) {}
  uint32_t get(int bits) {
    while (filled_ < bits) {
      buffer_ |= static_cast<uint32_t>(*in_++) << filled_;
      filled_ += 8;
    }
    const uint32_t out = buffer_ & ((1U << bits) - 1);
    buffer_ >>= bits;
    filled_ -= bits;
    return out;
  }

 private:
  const std::byte* in_;
  uint32_t buffer_ = 0;
  int filled_ = 0;
};

void encode_int8(const float* vector, size_t count, std::byte* out) {
  const float scale = std::max(largest_magnitude(vector, count), 1e-8F);
  for (size_t i = 0; i < count; ++i) {
    const auto code = static_cast<int8_t>(std::nearbyint(127.0F * vector[i] / scale));
    std::memcpy(out + i, &code, 1);
  }
  std::memcpy(out + count, &scale, sizeof(scale));
}

void encode_uniform(const float* vector, size_t count, int bits, std::byte* out) {
  const float middle = static_cast<float>((1 << bits) - 1) / 2;
  const float scale = largest_magnitude(vector, count) / middle;
  BitWriter writer(out);
  for (size_t i = 0; i < count; ++i) {
    const float place = scale > 0 ? std::nearbyint(vector[i] / scale + middle) : 0;
    writer.put(static_cast<uint32_t>(std::clamp(place, 0.0F, 2 * middle)), bits);
  }
  std::memcpy(out + count * static_cast<size_t>(bits) / 8, &scale, sizeof(scale));
}

void encode_lloyd_max(KvCode code, const float* vector, size_t count, std::byte* out) {
  const std::span<const float> upper = upper_levels(code);
  double energy = 0;
  for (size_t i = 0; i < count; ++i) {
    energy += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
  }
  float scale = static_cast<float>(std::sqrt(energy / static_cast<double>(count)));
  for (int round = 0; round < kFitRounds && scale > 0; ++round) {
    double product = 0;
    double square = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(level(upper, nearest_level(upper, vector[i] / scale)));
      product += value * static_cast<double>(vector[i]);
      square += value * value;
    }
    scale = static_cast<float>(product / square);
  }
  const uint16_t half = f16_from_float(scale);
  const float stored = float_from_f16(half);
  const int bits = info_of(code).bits;
  BitWriter writer(out);
  for (size_t i = 0; i < count; ++i) {
    writer.put(stored > 0 ? nearest_level(upper, vector[i] / stored) : 0, bits);
  }
  std::memcpy(out + count * static_cast<size_t>(bits) / 8, &half, sizeof(half));
}

}  // namespace

std::span<const KvCodeInfo> kv_codes() { return kTable; }

const KvCodeInfo& info_of(KvCode code) { return kTable[static_cast<size_t>(code)]; }

std::optional<KvCode> kv_code_from_name(std::string_view name) {
  for (const KvCodeInfo& info : kTable) {
    if (info.name == name) return info.code;
  }
  return std::nullopt;
}

size_t kv_vector_bytes(KvCode code, size_t head_dim) {
  const KvCodeInfo& info = info_of(code);
  return head_dim * static_cast<size_t>(info.bits) / 8 + static_cast<size_t>(info.scale_bytes);
}

void encode_kv(KvCode code, const float* vector, size_t head_dim, std::byte* out) {
  SQ_DCHECK(head_dim % info_of(code).multiple == 0);
  if (code == KvCode::fp16) {
    for (size_t i = 0; i < head_dim; ++i) {
      const uint16_t half = f16_from_float(vector[i]);
      std::memcpy(out + 2 * i, &half, sizeof(half));
    }
  } else if (code == KvCode::int8) {
    encode_int8(vector, head_dim, out);
  } else if (is_lloyd_max(code)) {
    encode_lloyd_max(code, vector, head_dim, out);
  } else {
    encode_uniform(vector, head_dim, info_of(code).bits, out);
  }
}

void decode_kv(KvCode code, const std::byte* bytes, size_t head_dim, float* out) {
  const int bits = info_of(code).bits;
  const std::byte* scale_at = bytes + head_dim * static_cast<size_t>(bits) / 8;
  if (code == KvCode::fp16) {
    for (size_t i = 0; i < head_dim; ++i) {
      uint16_t half = 0;
      std::memcpy(&half, bytes + 2 * i, sizeof(half));
      out[i] = float_from_f16(half);
    }
    return;
  }
  if (is_lloyd_max(code)) {
    uint16_t half = 0;
    std::memcpy(&half, scale_at, sizeof(half));
    const float scale = float_from_f16(half);
    const std::span<const float> upper = upper_levels(code);
    BitReader reader(bytes);
    for (size_t i = 0; i < head_dim; ++i) out[i] = scale * level(upper, reader.get(bits));
    return;
  }
  float scale = 0;
  std::memcpy(&scale, scale_at, sizeof(scale));
  if (code == KvCode::int8) {
    for (size_t i = 0; i < head_dim; ++i) {
      out[i] = static_cast<float>(static_cast<int8_t>(bytes[i])) * scale / 127.0F;
    }
    return;
  }
  const float middle = static_cast<float>((1 << bits) - 1) / 2;
  BitReader reader(bytes);
  for (size_t i = 0; i < head_dim; ++i) {
    out[i] = (static_cast<float>(reader.get(bits)) - middle) * scale;
  }
}

namespace {

/// In place, without the 1 / sqrt(n).
void sylvester(float* vector, size_t count) {
  for (size_t half = 1; half < count; half *= 2) {
    for (size_t i = 0; i < count; i += 2 * half) {
      for (size_t j = i; j < i + half; ++j) {
        const float a = vector[j];
        const float b = vector[j + half];
        vector[j] = a + b;
        vector[j + half] = a - b;
      }
    }
  }
}

}  // namespace

void rotate_kv(float* vector, const float* signs, size_t head_dim) {
  SQ_DCHECK((head_dim & (head_dim - 1)) == 0);
  sylvester(vector, head_dim);
  const float norm = 1.0F / std::sqrt(static_cast<float>(head_dim));
  for (size_t i = 0; i < head_dim; ++i) vector[i] *= norm * signs[i];
}

void unrotate_kv(float* vector, const float* signs, size_t head_dim) {
  SQ_DCHECK((head_dim & (head_dim - 1)) == 0);
  const float norm = 1.0F / std::sqrt(static_cast<float>(head_dim));
  for (size_t i = 0; i < head_dim; ++i) vector[i] *= norm * signs[i];
  sylvester(vector, head_dim);
}

KvCode recommended_kv_code(uint64_t context_tokens, uint64_t medium, uint64_t large) {
  if (context_tokens <= medium) return KvCode::int8;
  return context_tokens <= large ? KvCode::int4 : KvCode::int2;
}

}  // namespace squish::quant
