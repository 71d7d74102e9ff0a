#pragma once
// The operations of a forward pass. `ref` is the specification: plain loops, double accumulators.
// Every other backend must equal it within the bound stated at each operation; backend_test.cpp
// asserts that over odd shapes.
//
// Conventions: rows are tokens, row-major, float32. All pointers of one call are distinct buffers
// unless the comment says otherwise. Calls come from one thread at a time (the engine's); a backend
// uses its pool inside a call and returns when the result is complete. No operation allocates after
// the first call with the largest shape.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/tensor.h"

namespace squish {

/// Borrowed rows: row i starts at data + i * stride (in floats).
struct ConstRows {
  const float* data = nullptr;
  size_t count = 0;
  size_t length = 0;
  size_t stride = 0;
  [[nodiscard]] const float* row(size_t i) const { return data + i * stride; }
};
struct Rows {
  float* data = nullptr;
  size_t count = 0;
  size_t length = 0;
  size_t stride = 0;
  [[nodiscard]] float* row(size_t i) const { return data + i * stride; }
  operator ConstRows() const { return {data, count, length, stride}; }  // NOLINT
};

/// One weight matrix of a matmul: out[t, o] = sum_i x[t, i] * weight[o, i] (+ bias[o]) (+ out[t, o]
/// when accumulating).
struct MatmulTarget {
  TensorView weight;            // [out_length, in_length], any DType
  const float* bias = nullptr;  // [out_length] or null
  Rows out;                     // [x.count, out_length]
  bool accumulate = false;      // adds to what `out` holds: the residual stream
};

/// KV pages: kPageTokens tokens of one layer. A page holds, for each KV head, K then V:
///   [kv_head][ K: kPageTokens x head_dim | V: kPageTokens x head_dim ] in f16 (mode kv16).
/// Up to 64 bytes behind the last page may be read (and count for nothing).
/// Quantised modes will replace the two code arrays and append scales; only KvLayout knows the
/// sizes.
constexpr int kPageTokens = 64;

/// A prompt may be computed in several batches that end at multiples of kChunkTokens, the rows of
/// an AMX tile. Its rows do not see each other in any kernel, so that the cut changes no value.
constexpr int kChunkTokens = 16;
static_assert(kPageTokens % kChunkTokens == 0);

struct KvLayout {
  int kv_head_count = 0;
  int head_dim = 0;
  [[nodiscard]] size_t head_bytes() const {
    return size_t{2} * 2 * kPageTokens * static_cast<size_t>(head_dim);
  }
  [[nodiscard]] size_t page_bytes() const {
    return head_bytes() * static_cast<size_t>(kv_head_count);
  }
};

/// All pages of one layer: page p starts at data + p * layout.page_bytes(). 64-byte aligned.
struct KvLayer {
  std::byte* data = nullptr;
  KvLayout layout;
};

/// One sequence's rows of the batch in an attention or KV write.
struct SequenceRows {
  const int32_t* pages = nullptr;  // page table: token at position p lies in pages[p / kPageTokens]
  int32_t position = 0;            // of its first row; row r has position + r
  size_t row_begin = 0;            // in the batch
  size_t row_count = 0;
};

struct AttentionArguments {
  ConstRows q;  // [rows, head_count * head_dim], rotated
  KvLayer kv;   // holds K and V of all positions up to each row's own
  std::span<const SequenceRows> sequences;
  int head_count = 0;  // a multiple of kv_head_count
  float scale = 1;     // of q.k
  int window = 0;      // 0: all; w: position p sees p - w + 1 .. p
  float softcap = 0;   // c > 0: score = c * tanh(score / c)
  bool causal = true;  // false: every row sees all rows of its sequence up to the last one given
  size_t prefill_row_count = 0;  // rows of prompts, as in matmul; the rest are single decode steps
  Rows out;                      // [rows, head_count * head_dim]
};

/// Which pairs rotate together: halves (i, i + n/2: Qwen, Gemma, Phi, HF Llama) or neighbours (2i,
/// 2i + 1: Llama in GGUF).
enum class RopeStyle : uint8_t { halves, neighbours };
enum class Activation : uint8_t { silu, gelu_tanh, gelu_erf };

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;  // "ref", "cpu"
  /// What runs, for `version` and `bench`: "cpu (avx512+vnni+amx, 2 threads)".
  [[nodiscard]] virtual std::string description() const = 0;
  [[nodiscard]] virtual int thread_count() const = 0;

  /// Each target's product with the same x. Rows [0, prefill_row_count) belong to prompts and may
  /// take the wide kernels; the rest are single decode steps. The result of a row depends on its
  /// own values and on which of the two it is, never on the other rows of the batch. x [rows, in];
  /// in must be a multiple of the weight's block. Accuracy of cpu: activations are rounded to int8
  /// in groups of 32 (against blocks of 32 the coarsest ninth of the groups to 16 bits, see
  /// cpu/extra_rows.h) or to bf16 (prefill with AMX): |error| <= sum_i |w_i| * step_i / 2 +
  /// 2^-20 * sum |w_i x_i|. Prefill with AVX-512 or AVX-VNNI doubles the steps at most (Q8_0 keeps
  /// them) and rounds super-blocks of 256 to 1/255 of what 128 weights can reach, off by that at
  /// most. Prefill of K-quants with AVX2 alone adds to a step, at most, an eighth of the coarsest
  /// of its 256 columns. Cost: streams each weight once for decode; once per kPrefillRows rows for
  /// prompts.
  virtual void matmul(ConstRows x, std::span<const MatmulTarget> targets,
                      size_t prefill_row_count) = 0;

  /// out = activation(gate x) * (up x): what matmul() and activation_mul() give, to the bit. gate
  /// and up [out.length, in]. Of prompts cpu keeps a strip of up's product at a time (but for
  /// trellis codes), others all of it.
  virtual void gated(ConstRows x, const TensorView& gate, const TensorView& up,
                     Activation activation, Rows out, size_t prefill_row_count);

  /// Says whose product comes after the next one, in the order of its targets, for single decode
  /// steps: threads that wait meanwhile may fetch it. Changes no result. Empty: not known.
  virtual void expect(std::span<const TensorView> /*weights*/) {}

  /// out[t] = table[ids[t]] * scale. table [vocabulary, dim], any DType. Exact up to one f32
  /// rounding.
  virtual void embed(const TensorView& table, std::span<const int32_t> ids, float scale,
                     Rows out) = 0;

  /// out = x / sqrt(mean(x^2) + epsilon) * (weight + weight_offset). weight [length] f32; `out` may
  /// be x. |error| <= (4 + length / 2^20) * 2^-23 * |out|.
  virtual void rms_norm(ConstRows x, const float* weight, float weight_offset, float epsilon,
                        Rows out) = 0;

  /// out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias. weight and bias [length]
  /// f32; `out` may be x. |error| <= 2^-20 * ((1 + largest |x| / deviation) * |weight| + |bias|).
  virtual void layer_norm(ConstRows x, const float* weight, const float* bias, float epsilon,
                          Rows out) = 0;

  /// Fills cos_sin [positions.size(), 2 * pair_count]: cos then sin of positions[t] *
  /// inverse_frequency[j], times `magnitude`. Angles in double.
  virtual void rope_table(std::span<const int32_t> positions,
                          std::span<const float> inverse_frequency, float magnitude,
                          float* cos_sin) = 0;

  /// Rotates the first 2 * pair_count values of each head in place. x [rows, head_count *
  /// head_dim]; row t uses cos_sin row t. |error| <= 2^-22 * (|a| + |b|) of the pair.
  virtual void rope(Rows x, int head_count, int pair_count, RopeStyle style,
                    const float* cos_sin) = 0;

  /// out = activation(gate) * up. `out` may be gate or up. |error| <= 2^-20 * |out| + 2^-24 (vector
  /// exp); of gelu_erf 2^-20 * |gate * up| + 2^-24.
  virtual void activation_mul(Activation activation, ConstRows gate, ConstRows up, Rows out) = 0;

  /// x = activation(x). |error| <= 2^-20 * |x| + 2^-24.
  virtual void activation(Activation activation, Rows x) = 0;

  /// x += y.
  virtual void add(Rows x, ConstRows y) = 0;

  /// x = c * tanh(x / c).
  virtual void softcap(Rows x, float c) = 0;

  /// Stores k and v rows ([rows, kv_head_count * head_dim]) at the positions of their sequences,
  /// rounded to f16.
  virtual void kv_write(const KvLayer& kv, std::span<const SequenceRows> sequences, ConstRows k,
                        ConstRows v) = 0;

  /// softmax(scale * q K^T + mask) V per head, online over pages.
  /// |error| <= 2^-9 * max|V| with bf16 tiles (prefill with AMX), 2^-16 * max|V| otherwise.
  /// Decode rows (sequences of one row) and those of prompts may take different kernels; a row's
  /// result depends neither on other rows nor on the number of threads.
  virtual void attention(const AttentionArguments& arguments) = 0;

 private:
  AlignedBuffer<float> up_;  // of gated()
};

/// The specification. Slow; one thread.
std::unique_ptr<Backend> make_ref_backend();
/// The best instruction set this machine has, or the one that `isa` names ("" = best; "scalar",
/// "avx2", "avxvnni", "avx512", "amx", "neon", "i8mm"). `pool` must outlive the backend. Errors:
/// unsupported, naming what is available.
Result<std::unique_ptr<Backend>> make_cpu_backend(ThreadPool& pool, std::string_view isa = {});
/// "ref" or "cpu" ("" = cpu), for --backend and SQUISH_BACKEND; the ISA from SQUISH_ISA. Errors
/// name the choices.
Result<std::unique_ptr<Backend>> make_backend(std::string_view name, ThreadPool& pool);
/// Names accepted by make_cpu_backend on this machine, best first.
std::span<const std::string_view> available_isas();

}  // namespace squish
