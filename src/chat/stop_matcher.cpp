#include "chat/stop_matcher.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"

namespace squish {

Result<StopMatcher> StopMatcher::create(const std::vector<std::string>& stops) {
  if (stops.size() > static_cast<size_t>(limits::kStopStringsMax)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("stop has {} strings; at most {} are possible", stops.size(),
                             limits::kStopStringsMax)};
  }
  StopMatcher matcher;
  for (size_t i = 0; i < stops.size(); ++i) {
    const std::string& text = stops[i];
    if (text.empty() || text.size() > limits::kStopStringBytesMax) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("stop string {} has {} bytes; it must have 1 to {}", i + 1,
                               text.size(), limits::kStopStringBytesMax)};
    }
    Pattern pattern{.text = text, .fallback = std::vector<size_t>(text.size(), 0), .length = 0};
    for (size_t end = 1; end < text.size(); ++end) {
      size_t length = pattern.fallback[end - 1];
      while (length > 0 && text[length] != text[end]) length = pattern.fallback[length - 1];
      pattern.fallback[end] = length + (text[length] == text[end] ? 1 : 0);
    }
    matcher.patterns_.push_back(std::move(pattern));
  }
  return matcher;
}

void StopMatcher::advance(Pattern& pattern, char byte) {
  while (pattern.length > 0 && pattern.text[pattern.length] != byte) {
    pattern.length = pattern.fallback[pattern.length - 1];
  }
  if (pattern.text[pattern.length] == byte) ++pattern.length;
}

std::string StopMatcher::push(std::string_view piece) {
  if (matched_.has_value()) return {};
  if (patterns_.empty()) return std::string(piece);
  for (const char byte : piece) {
    held_.push_back(byte);
    size_t stop_bytes = 0;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      Pattern& pattern = patterns_[i];
      advance(pattern, byte);
      if (pattern.length < pattern.text.size()) continue;
      if (pattern.length > stop_bytes) matched_ = i;
      stop_bytes = std::max(stop_bytes, pattern.length);
      pattern.length = 0;
    }
    if (!matched_.has_value()) continue;
    held_.resize(held_.size() - stop_bytes);
    return std::exchange(held_, {});
  }
  size_t hold = 0;
  for (const Pattern& pattern : patterns_) hold = std::max(hold, pattern.length);
  std::string out = held_.substr(0, held_.size() - hold);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::flush() {
  for (Pattern& pattern : patterns_) pattern.length = 0;
  return std::exchange(held_, {});
}

}  // namespace squish
