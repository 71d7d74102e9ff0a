#pragma once
// squish compress --compare A B: what a smaller model weighs, loses and gains in speed.
#include <string>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"

namespace squish::cli {

/// Opens both models, reads held-out text with both (--compare-tokens of it), times a few decode
/// steps of each in turns, and prints sizes, perplexities, KL(reference || other), agreement and
/// speeds side by side, or with --json as one object. Errors: those of opening a model and of
/// compare_models(); cancelled.
Result<int> compare_two(Context& context, const Arguments& arguments, const std::string& reference,
                        const std::string& other);

}  // namespace squish::cli
