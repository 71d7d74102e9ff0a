#include "grammar/mask_log.h"

#include <stdexcept>

namespace squish {
namespace {

thread_local MaskWarnings* listener = nullptr;

}  // namespace

MaskWarnings::MaskWarnings() { listener = this; }
MaskWarnings::~MaskWarnings() { listener = nullptr; }

void note_mask_warning(const std::string& message) {
  if (listener != nullptr && listener->first_.empty()) listener->first_ = message;
}

}  // namespace squish

// The functions that xgrammar calls when it is built with XGRAMMAR_LOG_CUSTOMIZE.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int line, const std::string& message);
void LogMessageImpl(const std::string& file, int line, int level, const std::string& message);

// Its own callers expect an exception, which ends in mask_engine.cpp.
void LogFatalImpl(const std::string& /*file*/, int /*line*/, const std::string& message) {
  struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  std::rethrow_exception(std::make_exception_ptr(Failure(message)));
}

void LogMessageImpl(const std::string& /*file*/, int /*line*/, int level,
                    const std::string& message) {
  constexpr int kWarning = 2;
  if (level == kWarning) squish::note_mask_warning(message);
}

}  // namespace xgrammar
