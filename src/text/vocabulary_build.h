#pragma once
// From a specification to the flat tables.
#include <cstddef>

#include "base/buffer.h"
#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

/// The block of vocabulary.h for `spec`, without checksums (see stamp_checksums), trimmed to its
/// size in the header. Errors: bad_file, naming the token or merge: no tokens, too many, a token or
/// merge that does not fit the rest. Memory: the block (about 60 bytes a token and merge) and
/// nothing of that size beside it.
Result<AlignedBuffer<std::byte>> build_vocabulary(const TokenizerSpec& spec);

/// What build_vocabulary() relies on: counts within the limits, lists of equal length, ids inside
/// the vocabulary.
Status check_spec(const TokenizerSpec& spec);

/// Fills in the two checksums of a block.
void stamp_checksums(std::span<std::byte> blob);

}  // namespace squish::text
