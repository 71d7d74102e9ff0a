#include "cli/term.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/strings.h"

namespace squish::cli {
namespace {

constexpr int kColumnsDefault = 80;
constexpr int kColumnsMin = 20;
constexpr int kColumnsMax = 1000;
constexpr int kExitBrokenPipe = 141;  // 128 + SIGPIPE

struct Color {
  int red = 0;
  int green = 0;
  int blue = 0;
};

/// One row of the palette. `ansi` are the parameters of the SGR sequence for 16 colours.
struct PaletteRow {
  Role role;
  const char* ansi;
  Color on_dark;
  Color on_light;
  bool bold;
};

constexpr std::array kPalette = {
    PaletteRow{Role::strong, "1", {244, 241, 250}, {32, 24, 48}, true},
    PaletteRow{Role::accent, "36", {94, 214, 200}, {0, 120, 112}, false},
    PaletteRow{Role::name, "35", {199, 160, 255}, {112, 48, 176}, false},
    PaletteRow{Role::good, "32", {134, 230, 160}, {16, 124, 56}, false},
    PaletteRow{Role::warning, "33", {246, 200, 96}, {150, 92, 0}, false},
    PaletteRow{Role::bad, "31", {255, 128, 140}, {190, 24, 48}, true},
    PaletteRow{Role::faint, "2", {150, 146, 164}, {112, 108, 124}, false},
};

constexpr bool palette_is_in_order() {
  for (size_t i = 0; i < kPalette.size(); ++i) {
    if (static_cast<size_t>(kPalette[i].role) != i) return false;
  }
  return true;
}
static_assert(palette_is_in_order());

/// Left to right: violet, lilac, pink, silver, mint, teal.
constexpr std::array<Color, 6> kGradient = {{{138, 92, 246},
                                             {184, 140, 252},
                                             {240, 150, 208},
                                             {206, 206, 220},
                                             {150, 236, 190},
                                             {60, 196, 190}}};

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> choices) {
  return std::ranges::find(choices, text) != choices.end();
}

bool has_truecolor(const hub::Environment& environment) {
  if (is_one_of(environment.get("COLORTERM").value_or(""), {"truecolor", "24bit"})) return true;
  if (is_one_of(environment.get("TERM_PROGRAM").value_or(""),
                {"iTerm.app", "WezTerm", "Ghostty", "ghostty", "Hyper", "vscode", "warp",
                 "WarpTerminal", "Apple_Terminal"})) {
    return true;
  }
  const std::string term = environment.get("TERM").value_or("");
  return term.find("kitty") != std::string::npos || term.find("direct") != std::string::npos ||
         environment.get("WT_SESSION").has_value() || environment.flag("FORCE_COLOR");
}

struct Background {
  bool dark = true;
  bool known = false;
};

Background find_background(const hub::Environment& environment) {
  const std::string said = to_lower(environment.get("SQUISH_DARK_BG").value_or(""));
  if (is_one_of(said, {"1", "true", "yes"})) return {.dark = true, .known = true};
  if (is_one_of(said, {"0", "false", "no"})) return {.dark = false, .known = true};
  const std::string fields = environment.get("COLORFGBG").value_or("");
  if (!fields.empty()) {
    if (const auto last = parse_int(split(fields, ';').back()))
      return {.dark = *last < 7, .known = true};
  }
  return {};
}

std::string truecolor(const Color& color, bool bold, std::string_view text) {
  return fmt::format("\x1b[{}38;2;{};{};{}m{}\x1b[0m", bold ? "1;" : "", color.red, color.green,
                     color.blue, text);
}

std::string paint_as(ColorMode mode, bool dark, Role role, std::string_view text) {
  const PaletteRow& row = kPalette[static_cast<size_t>(role)];
  if (mode == ColorMode::none || text.empty()) return std::string(text);
  if (mode == ColorMode::ansi16) return fmt::format("\x1b[{}m{}\x1b[0m", row.ansi, text);
  return truecolor(dark ? row.on_dark : row.on_light, row.bold, text);
}

int columns_of(int descriptor) {
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

std::atomic<bool> finishes_without_readers{false};
std::atomic<bool> output_is_over{false};     // a print failed: the rest is dropped
std::atomic<bool> output_has_failed{false};  // and not because its reader left

/// False when the stream cannot take it; errno says why.
bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

Terminal Terminal::detect(const hub::Environment& environment, bool no_color) {
  Terminal terminal;
  terminal.input_is_terminal_ = isatty(STDIN_FILENO) == 1;
  terminal.output_is_terminal_ = isatty(STDOUT_FILENO) == 1;
  terminal.talk_is_terminal_ = isatty(STDERR_FILENO) == 1;
  const auto columns = parse_int(environment.get("COLUMNS").value_or(""));
  if (columns && *columns >= kColumnsMin && *columns <= kColumnsMax)
    terminal.columns_ = static_cast<int>(*columns);
  const bool is_dumb = environment.get("TERM").value_or("") == "dumb";
  const bool is_forced = environment.flag("FORCE_COLOR");
  if (no_color || environment.get("NO_COLOR").has_value() || (is_dumb && !is_forced))
    return terminal;
  const Background background = find_background(environment);
  terminal.dark_ = background.dark;
  const ColorMode mode =
      has_truecolor(environment) && background.known ? ColorMode::truecolor : ColorMode::ansi16;
  const bool is_refused = environment.get("FORCE_COLOR").has_value() && !is_forced;
  if (is_refused) return terminal;
  if (terminal.output_is_terminal_ || is_forced) terminal.output_colors_ = mode;
  if (terminal.talk_is_terminal_ || is_forced) terminal.talk_colors_ = mode;
  return terminal;
}

int Terminal::width() const {
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    if (const int columns = columns_of(descriptor); columns > 0)
      return std::clamp(columns, kColumnsMin, kColumnsMax);
  }
  return columns_ > 0 ? columns_ : kColumnsDefault;
}

std::string Terminal::paint(Role role, std::string_view text) const {
  return paint_as(output_colors_, dark_, role, text);
}

std::string Terminal::paint_talk(Role role, std::string_view text) const {
  return paint_as(talk_colors_, dark_, role, text);
}

std::string Terminal::gradient(std::string_view text) const {
  if (output_colors_ != ColorMode::truecolor) return paint(Role::name, text);
  const auto length = static_cast<double>(std::max(1, display_width(text) - 1));
  std::string out;
  double column = 0;
  for (size_t i = 0; i < text.size();) {
    const auto bytes = static_cast<size_t>(decode_utf8(text.substr(i)).bytes);
    const double place = std::min(1.0, column / length) * (kGradient.size() - 1);
    const size_t stop = std::min(static_cast<size_t>(place), kGradient.size() - 2);
    const double share = place - static_cast<double>(stop);
    const auto mix = [share](int a, int b) { return static_cast<int>(a + share * (b - a)); };
    const Color& left = kGradient[stop];
    const Color& right = kGradient[stop + 1];
    const Color color{mix(left.red, right.red), mix(left.green, right.green),
                      mix(left.blue, right.blue)};
    out += truecolor(color, true, text.substr(i, bytes));
    i += bytes;
    column += 1;
  }
  return out;
}

void print(std::string_view text) {
  if (output_is_over || write_all(STDOUT_FILENO, text)) return;
  const int number = errno;
  output_is_over = true;
  if (number == EPIPE && finishes_without_readers) return;
  if (number == EPIPE) _exit(kExitBrokenPipe);
  write_all(STDERR_FILENO,
            fmt::format("✗ cannot write to standard output: {}\n", std::strerror(number)));
  output_has_failed = true;
  if (!finishes_without_readers) _exit(1);
}

void finish_without_readers() {
  finishes_without_readers = true;
  std::signal(SIGPIPE, SIG_IGN);
}

int exit_code_of_work(int code) { return code == 0 && output_has_failed ? 1 : code; }

void talk(std::string_view text) { write_all(STDERR_FILENO, text); }

void print_error(const Terminal& terminal, std::string_view message) {
  talk(fmt::format("{} {}\n", terminal.paint_talk(Role::bad, "✗"), message));
}

int display_width(std::string_view text) {
  int columns = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b' && i + 1 < text.size() && text[i + 1] == '[') {
      i += 2;
      while (i < text.size() && (text[i] < '@' || text[i] > '~')) ++i;
      ++i;
      continue;
    }
    const DecodedCodePoint point = decode_utf8(text.substr(i));
    columns += std::max(0, wcwidth(static_cast<wchar_t>(point.code_point)));
    i += static_cast<size_t>(point.bytes);
  }
  return columns;
}

std::string fit(std::string_view text, int columns) {
  const int width = display_width(text);
  if (width <= columns)
    return std::string(text) + std::string(static_cast<size_t>(columns - width), ' ');
  std::string out;
  int used = 0;
  for (size_t i = 0; i < text.size();) {
    const auto bytes = static_cast<size_t>(decode_utf8(text.substr(i)).bytes);
    const int step = display_width(text.substr(i, bytes));
    if (used + step > columns - 1) break;
    out += text.substr(i, bytes);
    used += step;
    i += bytes;
  }
  return out + "…" + std::string(static_cast<size_t>(std::max(0, columns - 1 - used)), ' ');
}

}  // namespace squish::cli
