#include "chat/startup_trace.h"

#include <fmt/format.h>

namespace squish {
namespace {

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

void StartupTrace::mark(std::string_view name) {
  const auto now = std::chrono::steady_clock::now();
  phases_.push_back({name, milliseconds(now - last_)});
  last_ = now;
}

double StartupTrace::total_ms() const { return milliseconds(last_ - begin_); }

std::string StartupTrace::report() const {
  std::string out;
  for (const Phase& phase : phases_)
    out += fmt::format("startup  {:<14} {:9.3f} ms\n", phase.name, phase.ms);
  return out + fmt::format("startup  {:<14} {:9.3f} ms\n", "total", total_ms());
}

}  // namespace squish
