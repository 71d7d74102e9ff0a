#include "text/tokenizer_pre.h"

#include <algorithm>
#include <array>

namespace squish::text {
namespace {

enum class Style : uint8_t {
  gpt2,
  gpt2_nfc,
  digits_gpt2,
  digits_gpt2_nfc,
  llama3,
  llama3_merges,
  qwen2,
  qwen2_nfc,
  qwen35,
  tekken,
  gpt4o,
  deepseek_v3,
  deepseek_llm,
  deepseek_coder,
  falcon,
  bloom,
  viking,
  jais2,
  minicpm5,
  seed_coder,
  bailing,
  exaone_moe,
  spark,
  laguna,
  youtu,
  tiny_aya,
  ufakzeka,
  general,
};

struct Row {
  std::string_view name;
  Style style;
};

// One row a name that converters write. The expressions are those of the models' own tokenizer.json
// files.
constexpr std::array kRows = {
    Row{"", Style::general},
    Row{"default", Style::general},
    Row{"gpt-2", Style::gpt2},
    Row{"phi-2", Style::gpt2},
    Row{"jina-es", Style::gpt2},
    Row{"jina-de", Style::gpt2},
    Row{"jina-v2-es", Style::gpt2},
    Row{"jina-v2-de", Style::gpt2},
    Row{"jina-v1-en", Style::gpt2},
    Row{"jina-v2-code", Style::gpt2},
    Row{"roberta-bpe", Style::gpt2},
    Row{"gigachat", Style::gpt2},
    Row{"a.x-4.0", Style::gpt2},
    Row{"mellum", Style::gpt2},
    Row{"modern-bert", Style::gpt2_nfc},
    Row{"exaone4", Style::gpt2},
    Row{"jais", Style::gpt2},
    Row{"trillion", Style::gpt2},
    Row{"granite-docling", Style::gpt2},
    Row{"mpt", Style::gpt2_nfc},
    Row{"olmo", Style::gpt2_nfc},
    Row{"smollm", Style::digits_gpt2},
    Row{"starcoder", Style::digits_gpt2},
    Row{"refact", Style::digits_gpt2},
    Row{"codeshell", Style::digits_gpt2},
    Row{"exaone", Style::digits_gpt2},
    Row{"minerva-7b", Style::digits_gpt2},
    Row{"mellum2", Style::digits_gpt2},
    Row{"command-r", Style::digits_gpt2_nfc},
    Row{"llama3", Style::llama3},
    Row{"llama-v3", Style::llama3},
    Row{"llama-bpe", Style::llama3},
    Row{"falcon3", Style::llama3},
    Row{"falcon-h1", Style::llama3},
    Row{"pixtral", Style::llama3},
    Row{"midm-2.0", Style::llama3},
    Row{"lfm2", Style::llama3},
    Row{"jina-v5-nano", Style::llama3},
    Row{"dbrx", Style::llama3_merges},
    Row{"smaug-bpe", Style::llama3_merges},
    Row{"chatglm-bpe", Style::llama3_merges},
    Row{"glm4", Style::llama3_merges},
    Row{"glm5", Style::llama3_merges},
    Row{"qwen2", Style::qwen2_nfc},
    Row{"f2llmv2", Style::qwen2_nfc},
    Row{"deepseek-r1-qwen", Style::qwen2},
    Row{"kormo", Style::qwen2},
    Row{"megrez", Style::qwen2},
    Row{"stablelm2", Style::qwen2},
    Row{"hunyuan", Style::qwen2},
    Row{"solar-open", Style::qwen2},
    Row{"grok-2", Style::qwen2},
    Row{"qwen35", Style::qwen35},
    Row{"tekken", Style::tekken},
    Row{"gpt-4o", Style::gpt4o},
    Row{"llama4", Style::gpt4o},
    Row{"kanana2", Style::gpt4o},
    Row{"talkie", Style::gpt4o},
    Row{"minimax-m2", Style::gpt4o},
    Row{"granite-embed-multi-97m", Style::gpt4o},
    Row{"deepseek-v3", Style::deepseek_v3},
    Row{"hunyuan-dense", Style::deepseek_v3},
    Row{"hy_v4", Style::deepseek_v3},
    Row{"joyai-llm", Style::deepseek_v3},
    Row{"deepseek-llm", Style::deepseek_llm},
    Row{"deepseek-coder", Style::deepseek_coder},
    Row{"falcon", Style::falcon},
    Row{"bloom", Style::bloom},
    Row{"poro-chat", Style::bloom},
    Row{"gpt3-finnish", Style::bloom},
    Row{"viking", Style::viking},
    Row{"jais-2", Style::jais2},
    Row{"minicpm5", Style::minicpm5},
    Row{"seed-coder", Style::seed_coder},
    Row{"bailingmoe", Style::bailing},
    Row{"bailingmoe2", Style::bailing},
    Row{"llada-moe", Style::bailing},
    Row{"exaone-moe", Style::exaone_moe},
    Row{"spark2_5", Style::spark},
    Row{"laguna", Style::laguna},
    Row{"youtu", Style::youtu},
    Row{"tiny_aya", Style::tiny_aya},
    Row{"cohere2moe", Style::tiny_aya},
    Row{"ufakzeka", Style::ufakzeka},
};

constexpr std::string_view kCjk = R"([一-龥ࠀ-一가-\x{D7FF}]+)";
constexpr std::string_view kDeepseekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-)"
    R"(ᵷᵹ-ᶚḀ-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-)"
    R"(\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-)"
    R"(\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-)"
    R"(\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}ℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ)"
    R"(\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-)"
    R"(𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kContraction = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
constexpr std::string_view kHead = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr std::string_view kSymbols = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)";
constexpr std::string_view kEnd = R"(|\s+(?!\S)|\s+)";

std::string cat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out.append(part);
  return out;
}

using Steps = std::vector<TextStep>;

Steps deepseek_llm() {
  return {pattern_step("[\r\n]"),
          pattern_step(kDeepseekLetters),
          pattern_step(R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)"),
          pattern_step(R"(\s+$)"),
          pattern_step(kCjk),
          scan_step(ScanRule::rust_digit, SplitBehavior::contiguous)};
}

Steps deepseek_coder() {
  return {pattern_step("[\r\n]"), pattern_step(R"(\s?\p{L}+)"), pattern_step(R"(\s?\p{P}+)"),
          pattern_step(kCjk), scan_step(ScanRule::rust_digit)};
}

/// Falcon counts digits after the bytes have become letters of the byte alphabet, so ² and ¼ (bytes
/// B2, BC) count.
Steps falcon() {
  TextStep map;
  map.kind = static_cast<uint8_t>(PretokenizeKind::byte_level);
  map.number = 2;
  return {scan_step(ScanRule::punctuation, SplitBehavior::contiguous), scan_step(ScanRule::gpt2),
          map, scan_step(ScanRule::rust_digit, SplitBehavior::contiguous),
          pattern_step("[0-9][0-9][0-9]")};
}

Steps youtu() {
  // How wide these letters are, clang-format asks the locale.
  // clang-format off
  constexpr std::string_view kOneScript =
      "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+";
  // clang-format on
  return {pattern_step(kOneScript),
          pattern_step(cat(
              {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)",
               kContraction,
               R"(?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)",
               kContraction, R"(?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+)", kEnd}))};
}

std::string jais2() {
  return cat({kHead, R"(\p{N}{1,3})", kSymbols,
              R"(|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S))",
              R"(|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"});
}

Steps steps_of(Style style) {
  switch (style) {
    case Style::gpt2:
    case Style::gpt2_nfc:
      return {scan_step(ScanRule::gpt2)};
    case Style::digits_gpt2:
    case Style::digits_gpt2_nfc:
      return {scan_step(ScanRule::rust_digit), scan_step(ScanRule::gpt2)};
    case Style::llama3:
    case Style::llama3_merges:
      return {scan_step(ScanRule::llama3)};
    case Style::qwen2:
    case Style::qwen2_nfc:
      return {scan_step(ScanRule::qwen2)};
    case Style::qwen35:
      return {scan_step(ScanRule::qwen35)};
    case Style::tekken:
      return {scan_step(ScanRule::tekken)};
    case Style::gpt4o:
      return {scan_step(ScanRule::o200k)};
    case Style::deepseek_v3:
      return {scan_step(ScanRule::number_run_3), scan_step(ScanRule::cjk_run),
              scan_step(ScanRule::deepseek_v3)};
    case Style::deepseek_llm:
      return deepseek_llm();
    case Style::deepseek_coder:
      return deepseek_coder();
    case Style::falcon:
      return falcon();
    case Style::bloom:
      return {pattern_step(kBloom)};
    case Style::viking:
      return {pattern_step(kBloom), scan_step(ScanRule::number)};
    case Style::jais2:
      return {pattern_step(jais2())};
    case Style::minicpm5:
      return {scan_step(ScanRule::number_run_3),
              pattern_step(cat({kHead, R"(\p{N}+)", kSymbols, kEnd}))};
    case Style::seed_coder:
      return {pattern_step(cat({kHead, R"(\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+)", kEnd}))};
    case Style::bailing:
      return {pattern_step(
          cat({R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++)",
               R"([\r\n]*|\s*[\r\n])", kEnd}))};
    case Style::exaone_moe:
      return {pattern_step(
          cat({kContraction, R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})",
               R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n])", kEnd}))};
    case Style::spark:
      return {scan_step(ScanRule::number_run_3), scan_step(ScanRule::cjk_run),
              pattern_step(
                  cat({R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?)",
                       R"([\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n])", kEnd})),
              scan_step(ScanRule::number)};
    case Style::laguna:
      return {pattern_step(R"([^\n]+|[\n]+)"), scan_step(ScanRule::qwen2)};
    case Style::youtu:
      return youtu();
    case Style::tiny_aya:
      return {pattern_step(R"(\d{1,3}(?=(?:\d{3})*\b))"), scan_step(ScanRule::o200k)};
    case Style::ufakzeka:
      return {pattern_step(cat({R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N})", kSymbols, kEnd}))};
    case Style::general:
      return {pattern_step(R"([\p{P}\$\+<=>\^~\|]+)"), scan_step(ScanRule::gpt2),
              pattern_step(R"(\p{N}+)"), pattern_step("[0-9][0-9][0-9]")};
  }
  return {};
}

}  // namespace

TextStep scan_step(ScanRule rule, SplitBehavior behavior) {
  TextStep step;
  step.kind = static_cast<uint8_t>(PretokenizeKind::scan);
  step.number = static_cast<uint32_t>(rule);
  step.behavior = behavior;
  return step;
}

TextStep pattern_step(std::string_view pattern, SplitBehavior behavior, bool invert) {
  TextStep step;
  if (const auto rule = rule_for_pattern(pattern)) {
    step = scan_step(*rule, behavior);
  } else {
    step.kind = static_cast<uint8_t>(PretokenizeKind::regex);
    step.text = pattern;
    step.behavior = behavior;
  }
  step.invert = invert;
  return step;
}

TextStep normalize_step(NormalizeKind kind, std::string text, std::string other, uint32_t number) {
  TextStep step;
  step.kind = static_cast<uint8_t>(kind);
  step.text = std::move(text);
  step.other = std::move(other);
  step.number = number;
  return step;
}

std::optional<PreRule> rule_for_pre(std::string_view name) {
  const auto row =
      std::find_if(kRows.begin(), kRows.end(), [name](const Row& r) { return r.name == name; });
  if (row == kRows.end()) return std::nullopt;
  PreRule rule;
  rule.pretokenizer = steps_of(row->style);
  const Style style = row->style;
  if (style == Style::qwen2_nfc || style == Style::qwen35 || style == Style::digits_gpt2_nfc ||
      style == Style::gpt2_nfc) {
    rule.normalizer.push_back(normalize_step(NormalizeKind::nfc));
  }
  const bool glm = name.starts_with("glm");
  rule.ignore_merges = style == Style::llama3 || style == Style::tekken ||
                       style == Style::minicpm5 || style == Style::youtu ||
                       name == "granite-embed-multi-97m" || glm;
  rule.add_bos = style == Style::llama3 || style == Style::tekken;
  return rule;
}

void add_word_split(TokenizerSpec& spec) {
  constexpr std::string_view symbol = "\xE2\x96\x81";  // ▁
  bool has_symbol = false;
  TextStep step;
  step.kind = static_cast<uint8_t>(PretokenizeKind::symbol_words);
  for (const std::string_view token : spec.tokens) {
    has_symbol = has_symbol || token == symbol;
    for (size_t at = 0; (at = token.find(symbol, at)) != std::string_view::npos;
         at += symbol.size()) {
      if (at == 0 || token.substr(0, at).ends_with(symbol)) continue;
      if (step.text.find(token[at - 1]) == std::string::npos) step.text.push_back(token[at - 1]);
    }
  }
  if (has_symbol) spec.pretokenizer.push_back(std::move(step));
}

}  // namespace squish::text
