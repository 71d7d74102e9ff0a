#pragma once
// The table of kernels that one instruction set provides, and the choice among them at run time.
//
// The isa_*.cpp files are compiled with flags of their own. They may include only <cstdint>,
// <cstddef>, intrinsics, this header and our .inl files, keep everything in an anonymous namespace
// and export one getter each: an inline function of the standard library compiled there could be
// picked by the linker for the whole program and fault on older machines.
#include <cstddef>
#include <cstdint>

namespace squish::cpu {

/// Activations rounded to int8 in groups of 32: x[i] ~ scale[i / 32] * code[i].
struct QuantRows {
  int8_t* codes;  // [count][code_stride], 64-byte aligned rows, zero padded to a multiple of 64
  float* scales;  // [count][group_stride]: one for 32 values
  float* sums16;  // [count][2 * group_stride]: scale * sum of 16 codes, for offsets of groups of 16
  float* sums32;  // [count][group_stride]: scale * sum of 32 codes
  // Minus the sums of 16 and 32 codes, for weights whose codes have a constant added. AVX-512's
  // alone.
  int32_t* minus16;     // [count][2 * group_stride]
  int32_t* minus32;     // [count][group_stride]
  size_t code_stride;   // bytes, a multiple of 64
  size_t group_stride;  // floats, a multiple of 16
  size_t count;
};

/// What that rounding left of the coarsest groups of each row, at 1 / 254 of their steps.
struct ExtraRows {
  QuantRows rows;    // group e of row t is group groups[t * groups_a_row + e] of the row; sums16,
                     // minus16 and minus32 are null; zeros after the last scale and sum
  uint32_t* groups;  // [count][groups_a_row], ascending in a row
  size_t groups_a_row;  // even
};

/// 256 columns of a prompt row whose groups' steps are 1 to kMultiplesMax times one of theirs, so
/// that sums with weights whose scales are integers, too, stay integers over all of them.
struct alignas(32) MultipleBlock {
  int8_t codes[256];
  uint32_t places[8];  // of 32 columns: 64 * (multiple - 1)
  int32_t starts[16];  // of 16: two words, -32 times the sum of codes 4 i and 4 i + 1, and that of
                       // the others
  int16_t half_sums[16];  // of 16: multiple times the sum of codes
  int16_t sums[8];        // of 32
  float step;             // of multiple 1
};

/// Prompt rows whose groups' steps differ by powers of two only, so that going from one group to
/// the next costs no multiplication. They stand beside QuantRows, whose codes and scales are made
/// so and whose sums are null: the step of group g of row t is factors[t] * 2^e, 0 <= e
/// <= 24.
struct PowerSteps {
  int32_t* begins;  // [count][group_stride]: the bits of 1.5 * 2^(23 + e). An integer sum of less
                    // than 2^22 that begins with them is, as a float, that much and 2^e times
                    // the sum: no conversion, and no multiplication by 2^e
  int32_t* biased[3];  // likewise: begins less 8, 16 and 128 times the sum of 32 codes
  float* sums32;       // [count][group_stride]: 2^e times that sum
  int16_t* rounded;    // [count][group_stride]: those in units of rounded_steps[t]: at most 2^18 is
                       // the sum of a row's, whatever their signs
  float* rounded_steps;  // [count]; both are AVX-512's alone
  float* sums128;        // [count][group_stride / 4]: of four groups together
  float* factors;        // [count]
};

/// PowerSteps::begins where e is 0.
constexpr int32_t kFirstBegin = 0x4B400000;

/// Where a product goes: out[t * stride + row] = product (+ bias[row]) (+ what was there).
struct Sink {
  float* out;
  size_t stride;
  const float* bias;  // of the first row given, or null
  bool accumulate;
};

/// Rows of a packed matrix: row r starts at data + r * row_bytes; `length` weights each.
struct PackedRows {
  const uint8_t* data;
  size_t row_bytes;
  size_t count;
  size_t length;
};

/// out[t][r] for all of x.count activation rows: weights are streamed once for up to kGemvRows of
/// them.
using GemvQuant = void (*)(const PackedRows& weights, const QuantRows& x, const Sink& sink);
/// Adds the products with the extra rows to what GemvQuant wrote. The sink's bias and `accumulate`
/// have been dealt with.
using GemvExtra = void (*)(const PackedRows& weights, const ExtraRows& x, const Sink& sink);
/// The same for f32, f16 and bf16 weights with f32 activations (row t at x + t * x_stride).
using GemvFloat = void (*)(const PackedRows& weights, const float* x, size_t x_stride,
                           size_t x_count, const Sink& sink);

/// Prompt rows in the form that the wide kernel of the instruction set wants.
///   kind bf16_pairs: [length / 32][row blocks of 16][16 pairs][16 rows][2] bf16: AMX's second
///   operand.
struct WideRows {
  const void* data;
  size_t count;  // rows, padded to row_block inside `data`
  size_t length;
  const QuantRows* quant;  // set when the wide kernel works on int8 activations
  const ExtraRows* extra;  // their second plane where the weights' type takes one, else null
  const PowerSteps* powers = nullptr;     // of `quant`, where gemm_takes_powers says so, else null
  const MultipleBlock* blocks = nullptr;  // [length / 256][count], where the table makes them
};
/// Decodes a strip of weight rows into `scratch` and multiplies all rows of x with it. Leaves
/// `extra` to GemvExtra unless the table says gemm_takes_extra.
using GemmWide = void (*)(unsigned dtype, const PackedRows& weights, const WideRows& x,
                          const Sink& sink, void* scratch);

constexpr size_t kFewForms = 7;  // of packed activations, see few_vnni_avx512.inl
/// Decode rows, several at a time: kernels that pay for a preparation of the activations. A row of
/// the result has the bits that GemvQuant gives it.
struct FewKernels {
  size_t (*rows_min)(unsigned dtype);  // fewer are left to GemvQuant
  /// How the activations are packed for a type, less than kFewForms: by the weights' groups and
  /// what is added to their codes.
  size_t (*form)(unsigned dtype);
  /// Bytes of what pack makes for all rows.
  size_t (*packed_bytes)(size_t length, size_t count, size_t form);
  /// Packs rows [block * rows_a_block, + rows_a_block) of x.
  size_t rows_a_block;
  void (*pack)(const QuantRows& x, size_t length, size_t form, size_t block, void* packed);
  /// As GemvQuant. `packed` is in the form of `dtype`. `extra` is null unless the type
  /// has it; its products are added with GemvExtra's bits.
  void (*multiply)(unsigned dtype, const PackedRows& weights, const QuantRows& x,
                   const ExtraRows* extra, const void* packed, const Sink& sink, void* scratch);
  size_t (*scratch_bytes)();
};

/// Geometry of a KV page for one head: K rows then V rows, f16.
struct AttentionJob {
  const float* q;  // [row_count][q_stride]: heads of one KV head are consecutive in a row
  size_t q_stride;
  size_t row_count;  // consecutive positions of one sequence
  int heads;         // query heads that share this KV head
  int head_dim;
  int position;  // of the first row
  int last_key;  // position that every row sees up to; -1: each row up to its own
  int window;    // 0 = all
  float scale;
  float softcap;  // 0 = none
  const int32_t* pages;
  const uint8_t* kv;  // base of the layer, already moved to this KV head
  size_t page_bytes;
  float* out;  // [row_count][out_stride]
  size_t out_stride;
  void* scratch;  // attention_scratch_bytes()
  // Of attention_decode, which has one row and ignores last_key:
  int page_begin;  // pages [page_begin, page_end) of those that the row sees
  int page_end;
  float* state;  // null: `out` is the result. Else [heads][2]: largest score and sum of weights,
                 // and `out` the sums of values times weights
};

/// Activations of a product with trellis codes (tensor/trellis.h): times su, rotated, rounded to
/// int8 in blocks of 128 columns: x[i] ~ scales[i / 128] * code[i].
struct TrellisRows {
  uint8_t*
      codes;  // [count][code_stride]: 32 bytes a tile column, arranged as the table's gemv likes
  float* scales;  // [count][block_stride]
  int32_t* sums;  // [count][block_stride]: of the codes of a block
  size_t code_stride;
  size_t block_stride;
  size_t count;
};

/// A row block of a payload: up to 16 tile rows whose dwords lie side by side.
struct TrellisBlock {
  const uint8_t* data;  // its first line; up to 60 bytes after its last one may be read
  uint16_t c0;          // the code's multipliers
  uint16_t c1;
  size_t tiles;  // side by side, 1 to 16
  size_t tile_columns;
};

/// Where the sums of a row block go: times sv, rotated back, then as Sink says.
struct TrellisSink {
  const uint16_t* sv;  // f16, of the block's first row
  float unit;          // of the code
  size_t rows;         // of the block that the matrix has: 1 to 16 * tiles
  Sink sink;           // of the block's first row
};

constexpr size_t kTrellisRows = 256;  // of a row block
constexpr size_t kTrellisCodes = 3;   // t2, t3, t4

/// Prompts on machines without tiles: weights are decoded to bytes once for many rows.
struct TrellisPanels {
  /// As TrellisKernels::gemv for up to rows_max rows, on what quantize gave. `scratch`: 64-byte
  /// aligned, scratch_bytes of the padded columns.
  void (*multiply[kTrellisCodes])(const TrellisBlock& block, const TrellisRows& x, size_t first,
                                  size_t count, float* sums, void* scratch);
  /// As TrellisKernels::quantize, 16 bytes a tile column.
  void (*quantize)(const float* rotated, size_t padded_length, const TrellisRows& out, size_t t);
  size_t (*scratch_bytes)(size_t padded_columns);
  size_t rows_max;
};

struct TrellisKernels {
  /// out[padded_length] = the rotation of x * su, where the columns of a tile come in the order 0,
  /// 8, 1, 9 ... 7, 15. padded_length is `length` rounded up to a multiple of 16.
  void (*rotate)(const float* x, const uint16_t* su, size_t length, size_t padded_length,
                 float* out);
  /// Rounds what rotate gave; fills codes, scales and sums of row t.
  void (*quantize)(const float* rotated, size_t padded_length, const TrellisRows& out, size_t t);
  /// sums[row - first][16 rows of a tile][16 tiles] of activation rows [first, first + count),
  /// count
  /// <= kGemvRows. Sums of tiles that the block does not have are undefined.
  void (*gemv[kTrellisCodes])(const TrellisBlock& block, const TrellisRows& x, size_t first,
                              size_t count, float* sums);
  /// The same for rows of prompts, and what finish does, on what pack_wide made of rotate's rows
  /// (length a multiple of 32, at least the tiles' columns, zeros after them). Null: prompts take
  /// panels or gemv.
  void (*wide[kTrellisCodes])(const TrellisBlock& block, const WideRows& x, const TrellisSink& sink,
                              void* scratch);
  size_t (*wide_scratch_bytes)();
  /// Row t of the result from one row's sums.
  void (*finish)(float* sums, const TrellisBlock& block, const TrellisSink& sink, size_t t);
  TrellisPanels panels;  // where `wide` is null; multiply is null where prompts take gemv
};

constexpr size_t kGemvRows = 8;
constexpr size_t kPromptRows = 1024;  // of a call of GemmWide, at most
constexpr size_t kDTypes = 19;        // as DType; dtype.h is not included here

// Prompts whose activations have PowerSteps. A finer step than the coarsest by more adds nothing to
// a sum.
constexpr int kPowersMax = 24;
constexpr float kFinestPower = 1.0F / (1 << kPowersMax);
// What AVX2 takes instead. The sum of 32 codes times 8 is at most 32 * 127 * 8 < 2^15.
constexpr int kMultiplesMax = 8;
// Weights of some types are rounded to 8 bits with one step for so many columns: the largest code
// of those, in the order of DType, 0 of the others.
constexpr size_t kSharedColumns = 128;
constexpr size_t kSharedGroups = kSharedColumns / 32;
constexpr int kLargestSharedCode[kDTypes] = {0, 0, 0, 0, 0, 0, 0, 0, 3, 7, 15, 31, 63, 0, 241, 7};

struct KernelTable {
  const char* name;               // "avx512"
  GemvQuant gemv[kDTypes];        // null for the float types
  GemvExtra gemv_extra[kDTypes];  // of types with blocks of 32, else null
  GemvFloat gemv_float[kDTypes];  // null for the quantised types
  GemvFloat gemm_float[kDTypes];  // the same for any number of prompt rows
  /// Rounds `length` values to nearest, ties to even; fills codes, scale and sums of row t.
  void (*quantize_row)(const float* x, size_t length, const QuantRows& out, size_t t);

  /// The wide kernel for prompts. gemm handles every quantised type and, when wide_takes_float,
  /// bf16 too.
  GemmWide gemm;
  bool gemm_uses_bf16;  // WideRows.data filled by pack_wide; else WideRows.quant
  bool gemm_takes_extra;
  /// Whether gemm wants PowerSteps, or the blocks that quantize_multiples makes where it is set,
  /// for weights of a type; null: for none.
  bool (*gemm_takes_powers)(unsigned dtype);
  void (*quantize_power_row)(const float* x, size_t length, const QuantRows& out,
                             const PowerSteps& steps, size_t t);
  /// Fills the blocks of one row, which lie `stride` apart. `length` is a multiple of 256.
  void (*quantize_multiples)(const float* x, size_t length, MultipleBlock* out, size_t stride);
  size_t gemm_strip;  // weight rows a call is best given (a multiple of 16)
  size_t (*gemm_scratch_bytes)(size_t length);
  /// Packs rows [first, first + 16) of x into `packed` (see WideRows); rows at or past `count`
  /// become zero.
  void (*pack_wide)(const float* x, size_t x_stride, size_t count, size_t length, size_t first,
                    void* packed);

  FewKernels few;  // multiply is null where GemvQuant takes any number of rows

  TrellisKernels trellis;

  void (*rms_norm)(const float* x, const float* weight, float weight_offset, float epsilon,
                   size_t length, float* out);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon,
                     size_t length, float* out);
  void (*rope)(float* heads, int head_count, int head_dim, int pair_count, bool halves,
               const float* cos_sin);
  void (*silu_mul)(const float* gate, const float* up, size_t length, float* out);
  void (*gelu_mul)(const float* gate, const float* up, size_t length, float* out);
  void (*gelu_erf_mul)(const float* gate, const float* up, size_t length, float* out);
  void (*silu)(float* x, size_t length);
  void (*gelu)(float* x, size_t length);
  void (*gelu_erf)(float* x, size_t length);
  void (*add)(float* x, const float* y, size_t length);
  void (*softcap)(float* x, float c, size_t length);
  void (*to_f16)(const float* x, size_t length, uint16_t* out);
  void (*attention_decode)(const AttentionJob& job);   // one decode row
  void (*attention_prefill)(const AttentionJob& job);  // any row_count
  size_t (*attention_scratch_bytes)(int heads, int head_dim);
  void (*thread_begin)();  // called by each thread before wide work (AMX tile state), may be null
  void (*thread_end)();
};

/// Each returns its table, or null where the build's target architecture differs.
const KernelTable* scalar_table();
const KernelTable* avx2_table();
const KernelTable* avxvnni_table();
const KernelTable* avx512_table();
/// Only the entries of the wide kernel; isa_select.cpp puts them into a copy of AVX-512's table.
const KernelTable* amx_wide_table();
const KernelTable* neon_table();
const KernelTable* i8mm_table();

}  // namespace squish::cpu
