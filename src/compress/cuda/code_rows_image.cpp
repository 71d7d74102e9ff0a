// The fatbin that nvcc made of code_rows.cu, as bytes of the program. SQUISH_CODE_ROWS_FATBIN is
// its path.
#include "compress/cuda/code_rows.h"

asm(R"(
  .section .rodata
  .balign 64
squish_code_rows_begin:
  .incbin ")" SQUISH_CODE_ROWS_FATBIN R"("
squish_code_rows_end:
  .byte 0
  .text
)");

extern "C" {
extern const std::byte squish_code_rows_begin[];  // NOLINT
extern const std::byte squish_code_rows_end[];    // NOLINT
}

namespace squish::compress {

std::span<const std::byte> code_rows_image() {
  return {squish_code_rows_begin,
          static_cast<size_t>(squish_code_rows_end - squish_code_rows_begin)};
}

}  // namespace squish::compress
