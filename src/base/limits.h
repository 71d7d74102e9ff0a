#pragma once
// Every bound of the program on one page. Each is enforced where bytes enter and named in the
// error.
#include <cstddef>
#include <cstdint>

namespace squish::limits {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

// Model files.
constexpr uint64_t kTensorRankMax = 4;
constexpr uint64_t kTensorCountMax = 262'144;   // DeepSeek-V3 has 91,991; at 96 B each 24 MiB
constexpr uint64_t kMetadataCountMax = 65'536;  // GGUF key/value pairs; real files have under 100
constexpr uint64_t kMetadataArrayCountMax =
    4'000'000;  // elements of one array; 16 B each when handed out
constexpr uint64_t kMetadataStringsMax =
    1 << 24;  // strings in all arrays of a GGUF; Gemma has 0.8 million
constexpr uint64_t kMetadataKeyBytesMax = 64 * kKiB;  // GGUF: 65,535
constexpr uint64_t kTensorNameBytesMax = 1024;
constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;  // the format's own bound
constexpr uint64_t kSplitFilesMax = 4096;
constexpr uint64_t kNpyHeaderBytesMax = 64 * kKiB;   // numpy's own take 128 bytes
constexpr uint64_t kNpyUnpackedBytesMax = 8 * kGiB;  // of one array in a .npy.zst
constexpr uint64_t kManifestBytesMax = 16 * kMiB;    // manifest.json of an npy directory
constexpr uint64_t kConfigBytesMax = 16 * kMiB;      // config.json and its like
constexpr uint64_t kTokenizerBytesMax = 256 * kMiB;  // Gemma's tokenizer.json is 33 MB
constexpr uint64_t kVocabularySizeMax = 4'000'000;   // largest known 262,208
constexpr uint64_t kTokenBytesMax = 64 * kKiB;
constexpr uint64_t kLayerCountMax = 4096;
constexpr uint64_t kDimensionMax = 1 << 24;
constexpr uint64_t kExpertCountMax = 4096;
constexpr int kJsonDepthMax = 64;
constexpr uint64_t kJsonTokensMax =
    1 << 19;  // of a config or index: 4 a tensor; parsing takes 32 B each
constexpr uint64_t kSafetensorsTokensMax =
    1 << 22;  // of a header: 32 a tensor, 4 B each while it is parsed

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
constexpr size_t kStopStringBytesMax = 4096;
constexpr int kThreadsMax = 1024;

// Grammars of answers (src/grammar).
constexpr size_t kSchemaBytesMax = 256 * kKiB;  // as JSON
constexpr size_t kSchemaNodesMax =
    20'000;  // places, once references and combinations are written out
constexpr size_t kSchemaAlternativesMax = 512;  // of one place
constexpr size_t kRegexBytesMax = 16 * kKiB;
constexpr size_t kGrammarBytesMax = 256 * kKiB;
constexpr int kGrammarDepthMax = 64;
constexpr size_t kGrammarPartsMax = 20'000;

// HTTP (src/server).
constexpr size_t kHttpTargetBytesMax = 8 * kKiB;   // 414
constexpr size_t kHttpHeaderBytesMax = 32 * kKiB;  // 431; browsers with many cookies send 8 KiB
constexpr size_t kHttpHeaderCountMax = 100;        // 431
constexpr size_t kHttpBodyBytesMax = 32 * kMiB;    // 413
constexpr size_t kRequestIdBytesMax = 128;
constexpr int kAnswersMax = 64;  // n times the prompts of one request
constexpr size_t kMessagesMax = 16'384;
constexpr size_t kLogitBiasMax = 4096;  // entries

}  // namespace squish::limits
