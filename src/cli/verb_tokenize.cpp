// squish tokenize
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "chat/loaded_model.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

/// "1,2 3": ids separated by commas or white space.
Result<std::vector<TokenId>> parse_ids(const std::string& text, size_t vocabulary_size) {
  std::vector<TokenId> ids;
  std::string spaced = text;
  for (char& c : spaced) {
    if (c == ',' || c == '[' || c == ']' || c == '\n' || c == '\t' || c == '\r') c = ' ';
  }
  for (const std::string_view word : split(spaced, ' ')) {
    if (word.empty()) continue;
    const auto id = parse_int(word);
    if (!id || *id < 0 || static_cast<uint64_t>(*id) >= vocabulary_size) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("tokenize: '{}' is no token id; the vocabulary has 0 to {}",
                               printable(word), vocabulary_size - 1)};
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

/// White space and quotes made visible: a JSON string.
std::string visible(const std::string& piece) {
  const auto text = to_json(json_text(piece));
  return text ? text.value() : std::string();
}

void print_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
               const Arguments& arguments) {
  if (arguments.has("--json")) {
    Value::List numbers;
    Value::List pieces;
    for (const TokenId id : ids) {
      numbers.push_back(id);
      pieces.push_back(json_text(tokenizer.piece(id)));
    }
    print_json_line(Value::dict({{"count", json_count(ids.size())},
                                 {"ids", Value::list(std::move(numbers))},
                                 {"pieces", Value::list(std::move(pieces))}}));
  } else if (arguments.has("--count")) {
    print(fmt::format("{}\n", ids.size()));
  } else if (arguments.has("--pieces")) {
    std::string out;
    for (const TokenId id : ids)
      out += fmt::format("{:>7}  {}\n", id, visible(tokenizer.piece(id)));
    print(out);
  } else {
    print(fmt::format("{}\n", fmt::join(ids, " ")));
  }
}

Result<int> run(Context& context, const Arguments& arguments) {
  const auto given = arguments.text("TEXT");
  const auto to_decode = arguments.text("--decode");
  if (given.has_value() == to_decode.has_value()) {
    return Error{ErrorCode::invalid_argument,
                 "tokenize: give a TEXT (- reads standard input), or ids with --decode"};
  }
  if (to_decode) {
    SQ_TRY_STATUS(arguments.refuse({"--pieces", "--count", "--plain"}, "is for a TEXT"));
  }
  SQ_TRY(const hub::LocalModel local, find_local_model(context, *arguments.text("MODEL")));
  SQ_TRY(ModelFiles files, open_model_files(local.path));
  SQ_TRY(const Tokenizer tokenizer, files.load_tokenizer());
  if (to_decode) {
    SQ_TRY(const std::vector<TokenId> ids, parse_ids(*to_decode, tokenizer.vocabulary_size()));
    const std::string text = tokenizer.decode(ids, !arguments.has("--special"));
    if (arguments.has("--json")) {
      print_json_line(Value::dict({{"text", json_text(text)}}));
    } else {
      print(text + "\n");
    }
    return 0;
  }
  std::string text = *given;
  if (text == "-") {
    SQ_TRY(text, read_stdin());
  }
  const Tokenizer::EncodeOptions options{.add_special = arguments.has("--special"),
                                         .parse_special = !arguments.has("--plain")};
  print_ids(tokenizer, tokenizer.encode(text, options), arguments);
  return 0;
}

}  // namespace

Verb make_tokenize_verb() {
  return {
      .name = "tokenize",
      .summary = "Turn text into token ids, or back",
      .details =
          "  squish tokenize smollm2:135m \"Hello there\"\n"
          "  squish tokenize smollm2:135m --pieces - < file.txt\n"
          "  squish tokenize smollm2:135m --decode \"19556 665\"",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a name or path"},
                    {.name = "TEXT", .help = "the text; - reads standard input"}},
      .options = {{.flag = "--pieces", .help = "one token a line, with its text"},
                  {.flag = "--count", .help = "only how many"},
                  {.flag = "--special",
                   .help = "add the tokens that the model wants at the start and end; with "
                           "--decode: show special tokens"},
                  {.flag = "--plain",
                   .help = "take text such as <|im_end|> literally, not as a special token"},
                  {.flag = "--decode",
                   .value = "IDS",
                   .help = "the text of these ids, separated by commas or spaces"},
                  {.flag = "--json", .help = "a JSON object with count, ids and pieces"}},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
