#include "cli/line_editor.h"

#include <cstdio>
#include <cstring>

#include <histedit.h>
#include <sys/stat.h>

#include "cli/context.h"
#include "cli/input.h"

namespace squish::cli {
namespace {

constexpr int kHistoryEntriesMax = 1000;
constexpr char kInvisible = '\1';  // around escape sequences of the prompt

}  // namespace

struct LineEditor::State {
  std::string history_file;
  EditLine* editor = nullptr;  // null: not on a terminal
  History* history = nullptr;
  std::string prompt;

  ~State() {
    if (editor != nullptr) el_end(editor);
    if (history != nullptr) history_end(history);
  }

  static char* current_prompt(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<State*>(data)->prompt.data();
  }
};

LineEditor::LineEditor(const Terminal& terminal, std::string history_file)
    : state_(std::make_unique<State>()) {
  state_->history_file = std::move(history_file);
  if (!terminal.input_is_terminal() || !terminal.output_is_terminal()) return;
  state_->editor = el_init("squish", stdin, stdout, stderr);
  if (state_->editor == nullptr) return;
  el_set(state_->editor, EL_CLIENTDATA, state_.get());
  el_set(state_->editor, EL_PROMPT_ESC, &State::current_prompt, kInvisible);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_SIGNAL, 0);
  el_set(state_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // The user's ~/.editrc, as in every program with libedit.
  el_source(state_->editor, nullptr);
  state_->history = history_init();
  if (state_->history == nullptr) return;
  HistEvent event{};
  history(state_->history, &event, H_SETSIZE, kHistoryEntriesMax);
  history(state_->history, &event, H_SETUNIQUE, 1);
  el_set(state_->editor, EL_HIST, history, state_->history);
  if (!state_->history_file.empty())
    history(state_->history, &event, H_LOAD, state_->history_file.c_str());
}

LineEditor::~LineEditor() = default;

InputLine LineEditor::read(const std::string& prompt) {
  if (state_->editor == nullptr) {
    const auto line = read_line();
    if (!line && interrupted().exchange(false)) return {InputLine::Kind::interrupted_empty, {}};
    if (!line) return {InputLine::Kind::end, {}};
    return {InputLine::Kind::text, *line};
  }
  state_->prompt = prompt;
  // libedit shows the prompt before it changes the mode: keys that come in between would get lost
  // or appear twice.
  el_set(state_->editor, EL_PREP_TERM, 1);
  int length = 0;
  const char* text = el_gets(state_->editor, &length);
  if (interrupted().exchange(false)) {
    const LineInfo* line = el_line(state_->editor);
    const bool has_text = line != nullptr && line->lastchar > line->buffer;
    el_reset(state_->editor);
    print("^C\n");
    return {has_text ? InputLine::Kind::interrupted_text : InputLine::Kind::interrupted_empty, {}};
  }
  if (text == nullptr || length <= 0) return {InputLine::Kind::end, {}};
  std::string line(text, static_cast<size_t>(length));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  return {InputLine::Kind::text, line};
}

void LineEditor::remember(const std::string& entry) {
  if (state_->history == nullptr || entry.empty()) return;
  HistEvent event{};
  history(state_->history, &event, H_ENTER, entry.c_str());
  if (state_->history_file.empty()) return;
  // Created here with the right mode: what people ask is theirs alone.
  const mode_t before = umask(0077);
  history(state_->history, &event, H_SAVE, state_->history_file.c_str());
  umask(before);
}

}  // namespace squish::cli
