#pragma once
// Lines from a person: editing and history by libedit on a terminal, plain lines otherwise.
#include <memory>
#include <string>

#include "cli/term.h"

namespace squish::cli {

struct InputLine {
  enum class Kind { text, end, interrupted_text, interrupted_empty };
  Kind kind = Kind::end;
  std::string text;  // without the line break
};

/// One at a time; owns the terminal's input mode while read() runs.
class LineEditor {
 public:
  /// `history_file` may be empty: then nothing is kept. A file that cannot be read or written is no
  /// error.
  LineEditor(const Terminal& terminal, std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// Waits for a line. Ctrl-C gives interrupted_text when something was typed (it is dropped), else
  /// interrupted_empty. Without a terminal `prompt` is not shown.
  InputLine read(const std::string& prompt);
  /// Adds an entry, several lines as one, and writes the file (mode 0600).
  void remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace squish::cli
