#include "compress/quality.h"

#include <fmt/format.h>

namespace squish::compress {

std::string loss_sentence(const Comparison& comparison, std::string_view format) {
  const double more = 100 * (comparison.perplexity_b / comparison.perplexity_a - 1);
  const double same = 100 * comparison.top1_agreement;
  if (comparison.kl_mean < 1e-6) {
    return fmt::format(
        "{} lost nothing that can be seen: on held-out text the model says what the "
        "source says.",
        format);
  }
  return fmt::format(
      "On held-out text {} makes the same next choice as the source {:.1f} times in "
      "100, and its perplexity is {:.2f} instead of {:.2f} ({:+.1f} %).",
      format, same, comparison.perplexity_b, comparison.perplexity_a, more);
}

}  // namespace squish::compress
