#pragma once
// Cuts normalized text into the words that the merge algorithm sees one by one.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

/// Receives the words in order. Views stay valid only during the call.
class WordSink {
 public:
  virtual void word(std::string_view bytes) = 0;

 protected:
  ~WordSink() = default;
};

/// A compiled chain of stages, each cutting the pieces of the one before. Immutable; threads may
/// share it.
class Pretokenizer {
 public:
  /// Errors: bad_file for an unknown stage, unsupported for an expression that PCRE2 refuses.
  static Result<Pretokenizer> create(std::vector<TextStep> steps);
  Pretokenizer();
  Pretokenizer(Pretokenizer&&) noexcept;
  Pretokenizer& operator=(Pretokenizer&&) noexcept;
  ~Pretokenizer();

  /// `at_start`: `text` is the beginning of the whole input. Cost: linear in the text for the known
  /// expressions.
  void split(std::string_view text, bool at_start, WordSink& sink) const;

 private:
  struct Stage;
  struct Splitter;
  std::vector<Stage> stages_;
  bool unmap_ = false;  // words arrive in the byte alphabet and are mapped back
};

/// The printable character that the byte-level alphabet uses for `byte`, as UTF-8.
std::string_view byte_alphabet(unsigned char byte);
/// `spelled` with each character of the byte-level alphabet mapped to its byte. False, and `out`
/// unspecified, when a character is not of the alphabet.
bool map_to_bytes(std::string_view spelled, std::string& out);
/// The reverse of map_to_bytes.
std::string map_from_bytes(std::string_view bytes);

}  // namespace squish::text
