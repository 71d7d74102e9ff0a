#pragma once
// The terminal: what it can show, its colours, and writing to it.
#include <string>
#include <string_view>

#include "hub/environment.h"

namespace squish::cli {

/// What a piece of text is; the palette decides how that looks.
enum class Role { strong, accent, name, good, warning, bad, faint };
enum class ColorMode { none, ansi16, truecolor };

/// stdout carries data, stderr carries talk; each is judged on its own.
class Terminal {
 public:
  /// `no_color` is the flag --no-color. NO_COLOR (not empty) and TERM=dumb mean none; FORCE_COLOR
  /// (not empty, not 0) replaces the question whether the stream is a terminal. 24-bit colours need
  /// a terminal that is known to have them and a known background (SQUISH_DARK_BG or COLORFGBG):
  /// else the 16 colours, which the terminal's theme decides.
  static Terminal detect(const hub::Environment& environment, bool no_color);

  [[nodiscard]] bool input_is_terminal() const { return input_is_terminal_; }
  [[nodiscard]] bool output_is_terminal() const { return output_is_terminal_; }
  [[nodiscard]] bool talk_is_terminal() const { return talk_is_terminal_; }
  [[nodiscard]] ColorMode output_colors() const { return output_colors_; }
  [[nodiscard]] ColorMode talk_colors() const { return talk_colors_; }
  /// Columns of the terminal, asked anew on each call; COLUMNS or 80 where there is none.
  [[nodiscard]] int width() const;

  /// `text` in the colour of `role` for stdout, or unchanged when that has none.
  [[nodiscard]] std::string paint(Role role, std::string_view text) const;
  /// The same for stderr.
  [[nodiscard]] std::string paint_talk(Role role, std::string_view text) const;
  /// `text` in a run of colours from left to right on stdout: the logo.
  [[nodiscard]] std::string gradient(std::string_view text) const;

 private:
  bool input_is_terminal_ = false;
  bool output_is_terminal_ = false;
  bool talk_is_terminal_ = false;
  bool dark_ = true;
  int columns_ = 80;
  ColorMode output_colors_ = ColorMode::none;
  ColorMode talk_colors_ = ColorMode::none;
};

/// Writes all of `text` to stdout at once. A reader that has gone (`| head -1`) ends the program
/// silently with 141, the status that the shell gives a program killed by SIGPIPE; any other
/// failure ends it with 1 and one line. After finish_without_readers() it does not end the program.
void print(std::string_view text);
/// For verbs that write files: from now on the work goes on when nobody reads what is said of it
/// (`squish export ... --json | head -1`), on stdout and stderr. Ending in the middle would leave
/// half a file and its lock.
void finish_without_readers();
/// `code`, or 1 for 0 when stdout took less than it got for another reason than a reader that left.
int exit_code_of_work(int code);
/// Writes to stderr; a failure is ignored.
void talk(std::string_view text);
/// One line "✗ message" on stderr.
void print_error(const Terminal& terminal, std::string_view message);

/// Columns that `text` takes: UTF-8 characters, wide ones as 2, without escape sequences.
int display_width(std::string_view text);
/// `text` cut to `columns` with "…" at the end, or filled with spaces.
std::string fit(std::string_view text, int columns);

}  // namespace squish::cli
