// Compiles what each line of its input asks for and draws texts from the masks:
//   constrain_lines MODEL < {"id", "schema" | "regex" | "grammar", "strict", "outputs", "seed",
//   "tests": [text]}
// One line of JSON for each: {"id", "error"} or {"id", "compile_ms", "outputs": [text or null when
// it did not end], "accepted": [bool]}. Then a line with the times of all masks.
#include <algorithm>
#include <bit>
#include <chrono>
#include <ctime>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/constraint.h"
#include "grammar/sources.h"
#include "model/model_files.h"

namespace squish {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTokensMax = 1500;  // of a text
constexpr std::string_view kClosers = "\"}],:0";
constexpr int kTokensFree = 60;  // from here on tokens that end something are preferred

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// Of this thread, so that what else the machine does counts for nothing.
double processor_microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

class Drawer {
 public:
  explicit Drawer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    for (size_t i = 0; i < tokenizer.vocabulary_size(); ++i)
      pieces_.push_back(tokenizer.piece(static_cast<TokenId>(i)));
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i].size() == 1 && kClosers.find(pieces_[i][0]) != std::string_view::npos)
        closers_.push_back(static_cast<TokenId>(i));
    }
  }

  /// A text that the grammar allows; nothing when it has not ended in time.
  Value draw(const Grammar& grammar, uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto state = grammar.start(Grammar::Thought::none);
    std::string out;
    for (int step = 0; step < kTokensMax; ++step) {
      const auto mask = timed_mask(*state);
      if (state->must_end()) return out;
      const TokenId token = choose(mask, step, random);
      if (token < 0 || tokenizer_.is_end(token)) return token < 0 ? Value::none() : Value(out);
      if (!state->accept(token)) return Value("(a token of the mask was refused)");
      out += pieces_[static_cast<size_t>(token)];
    }
    return Value::none();
  }

  /// Is `text` allowed as a whole?
  bool accepts(const Grammar& grammar, const std::string& text) {
    const auto state = grammar.start(Grammar::Thought::none);
    for (const TokenId token :
         tokenizer_.encode(text, {.add_special = false, .parse_special = false})) {
      const auto mask = timed_mask(*state);
      const bool is_allowed = bit(mask, token);
      if (is_allowed != state->accept(token)) return false;
      if (!is_allowed) return false;
    }
    const auto mask = timed_mask(*state);
    return std::ranges::any_of(tokenizer_.end_tokens(), [&](TokenId t) { return bit(mask, t); });
  }

  std::vector<double> mask_us;

 private:
  static bool bit(std::span<const uint32_t> mask, TokenId token) {
    return (mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1U) != 0;
  }

  std::span<const uint32_t> timed_mask(Constraint& state) {
    const double begin = processor_microseconds();
    const auto mask = state.allowed();
    mask_us.push_back(processor_microseconds() - begin);
    return mask;
  }

  /// Counts bits instead of listing tokens: 150,000 of them, for each token of a text, were most of
  /// the time of a run.
  TokenId choose(std::span<const uint32_t> mask, int step, std::mt19937_64& random) {
    TokenId end = -1;
    size_t count = 0;
    for (const uint32_t word : mask) count += static_cast<size_t>(std::popcount(word));
    for (const TokenId token : tokenizer_.end_tokens()) {
      if (!bit(mask, token)) continue;
      if (step >= kTokensFree || random() % 4 == 0) return token;
      end = token;
      --count;
    }
    if (count == 0) return end;
    closing_.clear();
    std::ranges::copy_if(closers_, std::back_inserter(closing_),
                         [&](TokenId token) { return bit(mask, token); });
    const bool closes = !closing_.empty() && (step >= kTokensFree || random() % 3 == 0);
    if (closes && step >= kTokensFree && random() % 4 != 0) return best_closing();
    if (closes) return closing_[random() % closing_.size()];
    return nth_allowed(mask, random() % count);
  }

  /// The token of the `n`-th bit that is set, those of end tokens not counted.
  [[nodiscard]] TokenId nth_allowed(std::span<const uint32_t> mask, size_t n) const {
    for (size_t i = 0; i < mask.size(); ++i) {
      uint32_t word = mask[i];
      for (const TokenId token : tokenizer_.end_tokens()) {
        if (static_cast<size_t>(token) / 32 == i) word &= ~(1U << (token % 32));
      }
      const auto here = static_cast<size_t>(std::popcount(word));
      if (n >= here) {
        n -= here;
        continue;
      }
      for (; n > 0; --n) word &= word - 1;
      return static_cast<TokenId>(i * 32 + static_cast<size_t>(std::countr_zero(word)));
    }
    return -1;
  }

  [[nodiscard]] TokenId best_closing() const {
    return *std::ranges::min_element(closing_, {}, [this](TokenId token) {
      return std::string_view("}]\":0,").find(pieces_[static_cast<size_t>(token)][0]);
    });
  }

  const Tokenizer& tokenizer_;
  std::vector<std::string> pieces_;
  std::vector<TokenId> closers_, closing_;
};

Result<GrammarSource> source_of(const Value& line) {
  const Value* strict = line.find("strict");
  if (const Value* schema = line.find("schema"))
    return json_schema_source(*schema, strict != nullptr && strict->as_bool());
  if (const Value* regex = line.find("regex")) return regex_source(regex->as_string());
  if (const Value* grammar = line.find("grammar")) return ebnf_source(grammar->as_string());
  return json_object_source();
}

Value answer(const Value& line, GrammarCompiler& compiler, Drawer& drawer) {
  Value out = Value::dict({{"id", *line.find("id")}});
  auto source = source_of(line);
  if (!source) {
    out.set("error", source.error().message);
    return out;
  }
  const auto begin = Clock::now();
  const auto grammar = compiler.compile(*source);
  if (!grammar) {
    out.set("error", grammar.error().message);
    return out;
  }
  out.set("compile_ms", milliseconds_since(begin));
  Value::List outputs;
  Value::List accepted;
  const int64_t count = line.contains("outputs") ? line.find("outputs")->as_integer() : 0;
  const int64_t seed = line.contains("seed") ? line.find("seed")->as_integer() : 0;
  for (int64_t i = 0; i < count; ++i)
    outputs.push_back(drawer.draw(**grammar, static_cast<uint64_t>(seed * 1000 + i)));
  if (const Value* tests = line.find("tests")) {
    for (const Value& test : tests->items())
      accepted.push_back(drawer.accepts(**grammar, test.as_string()));
  }
  out.set("outputs", Value::list(std::move(outputs)));
  out.set("accepted", Value::list(std::move(accepted)));
  return out;
}

void print(const Value& value) {
  const auto text = to_json(value, {.ensure_ascii = true});
  std::cout << (text ? *text : "{\"error\": \"" + text.error().message + "\"}") << '\n'
            << std::flush;
}

int run(const std::string& path) {
  auto files = ModelFiles::open(path);
  if (!files) {
    std::cerr << files.error().message << '\n';
    return 2;
  }
  const auto tokenizer = files->load_tokenizer();
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << '\n';
    return 2;
  }
  // More time than a server gives: how long the slow ones take is a result, too.
  GrammarCompiler compiler(*tokenizer, tokenizer->vocabulary_size(),
                           {.compile_time = std::chrono::seconds(20), .compiling_max = 1000});
  Drawer drawer(*tokenizer);
  for (std::string text; std::getline(std::cin, text);) {
    const auto line = parse_json(text);
    if (!line || !line->is_dict() || !line->contains("id")) {
      print(
          Value::dict({{"id", Value::none()}, {"error", "the line is not a JSON object with id"}}));
      continue;
    }
    print(answer(*line, compiler, drawer));
  }
  std::vector<double>& times = drawer.mask_us;
  std::ranges::sort(times);
  const auto at = [&](double share) {
    return times.empty()
               ? 0.0
               : times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  print(Value::dict({{"vocabulary", static_cast<int64_t>(tokenizer->vocabulary_size())},
                     {"masks", static_cast<int64_t>(times.size())},
                     {"p50_us", at(0.5)},
                     {"p99_us", at(0.99)},
                     {"max_us", at(1)}}));
  return 0;
}

}  // namespace
}  // namespace squish

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "constrain_lines MODEL < lines of JSON\n";
    return 2;
  }
  return squish::run(argv[1]);
}
