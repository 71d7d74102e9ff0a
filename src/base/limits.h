#pragma once
// Every bound of the program on one page. Each is enforced where bytes enter and named in the error.
#include <cstddef>
#include <cstdint>

namespace squish::limits {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

// Model files.
constexpr uint64_t kTensorRankMax = 4;
constexpr uint64_t kTensorCountMax = 1'000'000;          // DeepSeek-V3 has 91,991
constexpr uint64_t kMetadataCountMax = 1'000'000;        // GGUF key/value pairs
constexpr uint64_t kMetadataKeyBytesMax = 64 * kKiB;     // GGUF: 65,535
constexpr uint64_t kTensorNameBytesMax = 1024;
constexpr uint64_t kSafetensorsHeaderBytesMax = 100 * kMiB;  // the format's own bound
constexpr uint64_t kSplitFilesMax = 4096;
constexpr uint64_t kConfigBytesMax = 16 * kMiB;          // config.json and its like
constexpr uint64_t kTokenizerBytesMax = 256 * kMiB;      // Gemma's tokenizer.json is 33 MB
constexpr uint64_t kVocabularySizeMax = 4'000'000;       // largest known 262,208
constexpr uint64_t kTokenBytesMax = 64 * kKiB;
constexpr uint64_t kLayerCountMax = 4096;
constexpr uint64_t kDimensionMax = 1 << 24;
constexpr uint64_t kExpertCountMax = 4096;
constexpr int kJsonDepthMax = 64;

// Chat templates (text/jinja*).
constexpr uint64_t kTemplateBytesMax = 1 * kMiB;
constexpr uint64_t kTemplateOutputBytesMax = 64 * kMiB;
constexpr uint64_t kTemplateStepsMax = 20'000'000;
constexpr int kTemplateDepthMax = 200;
constexpr uint64_t kTemplateMemoryBytesMax = 256 * kMiB;

// Requests.
constexpr uint64_t kPromptBytesMax = 64 * kMiB;
constexpr size_t kInboxCapacity = 64;
constexpr int kStopStringsMax = 64;
constexpr int kThreadsMax = 1024;

}  // namespace squish::limits
