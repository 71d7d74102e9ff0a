#pragma once
// What xgrammar says while it compiles.
#include <string>

namespace squish {

/// Collects the warnings of this thread while it lives; those of other threads go nowhere.
class MaskWarnings {
 public:
  MaskWarnings();
  ~MaskWarnings();
  MaskWarnings(const MaskWarnings&) = delete;
  MaskWarnings& operator=(const MaskWarnings&) = delete;
  /// The first one; empty: none.
  [[nodiscard]] const std::string& first() const { return first_; }

 private:
  friend void note_mask_warning(const std::string& message);
  std::string first_;
};

void note_mask_warning(const std::string& message);

}  // namespace squish
