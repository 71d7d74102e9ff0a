#pragma once
// Tiles of 16 x 16 weights to trellis codes: the Viterbi search over all states, closed to a ring.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "quant/trellis_branches.h"
#include "quant/trellis_isa.h"
#include "tensor/trellis.h"

namespace squish::quant {

/// How the two ends of a tile's ring are made to meet (docs/adr/0016-trellis-format.md has dB and
/// time): `fast` chooses the meeting state by a short search around the seam; `full` by a longer
/// one, and searches 64 steps around the seam again afterwards.
enum class TrellisEffort : uint8_t { fast, full };
/// Steps on either side of the seam.
struct SeamSearch {
  int choose = 0;  // in the search for the meeting state
  int again = 0;   // in the search after the ring is closed; 0: none
};
SeamSearch seam_search(TrellisEffort effort);

/// The inner loops of this machine, or those that `isa` names. Errors: unsupported, naming them.
Result<const TrellisTable*> trellis_table(std::string_view isa = {});

/// What weights of deviation 1 must be multiplied by before they are coded, for the least error.
float trellis_gain(DType dtype);

/// Encodes tiles of one code. Const methods from any number of threads, each with its own Scratch.
/// The result does not depend on the instruction set. About 1 MB of tables.
class TileEncoder {
 public:
  /// `table` from trellis_table().
  TileEncoder(DType dtype, const TrellisTable& table);

  /// Memory of one search under way: 8.6 MB.
  class Scratch {
   public:
    explicit Scratch(const TileEncoder& encoder);

   private:
    friend class TileEncoder;
    struct Tile {
      std::vector<StepTarget> targets;   // [steps]
      AlignedBuffer<int32_t> survivors;  // t2: [steps + 1][2^R]; else [2][2^R]
      AlignedBuffer<uint8_t> decisions;  // t3, t4: [steps][2^R]
      std::vector<uint16_t> states;      // [steps]
    };
    std::vector<Tile> tiles_;  // [kTilesAtOnce]
  };

  /// Codes `count` (1 to kTilesAtOnce) tiles. weights: [count][256] row-major f32, finite, of about
  /// deviation trellis_gain(). decoded: [count][256], what the codes stand for; may be `weights`.
  /// dwords: [count][code.dwords()]. A tile's result does not depend on its neighbour. Cost: 0.9 us
  /// (t2) to 2.2 us (t3) a weight and core of a Zen 5 with AVX-512.
  void encode(const float* weights, size_t count, TrellisEffort effort, Scratch& scratch,
              float* decoded, uint32_t* dwords) const;

  [[nodiscard]] const TrellisCode& code() const { return *code_; }

 private:
  static constexpr int64_t kFree = -1;  // any state
  /// Searches steps first .. first + count - 1 of the ring, from the kept bits starts[tile].
  void forward(int first, int count, const int64_t* starts, Scratch& scratch) const;
  [[nodiscard]] uint32_t cheapest_end(const Scratch::Tile& tile, int count) const;
  /// Follows the decisions from the kept bits `end` after `count` steps back to after `stop` steps;
  /// returns the kept bits there and notes the states passed.
  uint32_t trace_back(Scratch::Tile& tile, int first, int count, uint32_t end, int stop) const;
  [[nodiscard]] uint32_t oldest_bits(const Scratch::Tile& tile, int step, int index,
                                     uint32_t kept) const;
  [[nodiscard]] size_t survivor_count() const { return size_t{1} << (16 - code_->step_bits()); }
  [[nodiscard]] bool keeps_costs() const { return code_->step_weights == 2; }

  const TrellisCode* code_;
  const TrellisTable* table_;
  size_t step_kernel_;  // index in TrellisTable::step
  Branches branches_;
  std::vector<uint16_t> kept_at_;    // the kept bits whose cost lies there
  AlignedBuffer<int32_t> low_bits_;  // what a cost has in its low bits, by place
};

}  // namespace squish::quant
