#pragma once
// Texts that calibrate and judge: built in, or the user's.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compress/calibrate.h"
#include "text/tokenizer.h"

namespace squish::compress {

/// Prose in several languages, code, tables, sums and dialogues of our own making: a written part,
/// then pieces grown from it by a fixed rule until there are `bytes` of it.
std::string calibration_text(size_t bytes);
/// Text that has no line in common with the calibration text.
std::string_view held_out_text();

/// The text of a file, or of all regular files of a directory in the order of their names, at most
/// 64 MiB. Errors: not_found, io; bad_file for what is empty or not UTF-8.
Result<std::string> read_text(const std::string& path);

/// Cuts `text` into sequences of `sequence_tokens` (with bos where the model puts one), at most
/// `tokens_max` in all; a last piece of fewer than 32 tokens is dropped unless it is the only one.
CalibrationText tokenize_text(const Tokenizer& tokenizer, std::string_view text,
                              size_t sequence_tokens, size_t tokens_max);

}  // namespace squish::compress
