// squish embed
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "chat/embedding.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

/// The texts as they were given; "-" alone is standard input, one text.
Result<std::vector<std::string>> read_texts(const Arguments& arguments) {
  std::vector<std::string> texts = arguments.all("TEXT");
  if (texts.size() == 1 && texts.front() == "-") {
    SQ_TRY(texts.front(), read_stdin());
  }
  return texts;
}

/// As a number of JSON: as many digits as a 32-bit float has.
Value::List numbers_of(const std::vector<float>& vector) {
  Value::List out;
  out.reserve(vector.size());
  for (const float value : vector) out.push_back(std::stod(fmt::format("{}", value)));
  return out;
}

void print_vectors(const LoadedModel& model, EmbeddingJob& job, const Arguments& arguments) {
  if (!arguments.has("--json")) {
    for (const std::vector<float>& vector : job.vectors())
      print(fmt::format("{}\n", fmt::join(vector, " ")));
    return;
  }
  Value::List vectors;
  for (const std::vector<float>& vector : job.vectors())
    vectors.push_back(Value::list(numbers_of(vector)));
  print_json_line(Value::dict({{"model", json_text(model.config().name)},
                               {"pooling", std::string(to_string(*model.pooling()))},
                               {"dimensions", json_count(job.vectors().front().size())},
                               {"tokens", json_count(static_cast<uint64_t>(job.token_count()))},
                               {"embeddings", Value::list(std::move(vectors))}}));
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const std::vector<std::string> texts, read_texts(arguments));
  interrupt_ends_at_once(true);
  SQ_TRY(const hub::LocalModel local, find_local_model(context, *arguments.text("MODEL")));
  SQ_TRY(const LoadOptions options, load_options(context, arguments));
  SQ_TRY(const std::unique_ptr<LoadedModel> model, LoadedModel::open(local.path, options));
  const EmbeddingEncoder encoder(*model);
  const LongText long_text = arguments.has("--truncate") ? LongText::cut : LongText::refuse;
  std::vector<EmbeddingInput> inputs;
  for (const std::string& text : texts) {
    SQ_TRY(EmbeddingInput input, encoder.text(text, long_text));
    inputs.push_back(std::move(input));
  }
  EmbeddingJob job(*model, std::move(inputs), {});
  SQ_TRY_STATUS(job.wait());
  print_vectors(*model, job, arguments);
  return 0;
}

}  // namespace

Verb make_embed_verb() {
  return {
      .name = "embed",
      .summary = "Turn texts into vectors that lie close when the texts mean alike",
      .details =
          "  squish embed minilm \"a quick fox\" \"a fast fox\"\n"
          "  squish embed minilm --json - < file.txt",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a name or path; models for embeddings do it best, any model can"},
                    {.name = "TEXT",
                     .required = true,
                     .many = true,
                     .help = "one or more texts; - reads standard input"}},
      .options = {{.flag = "--truncate", .help = "cut texts that are longer than the model takes"},
                  {.flag = "--json",
                   .help = "a JSON object with model, pooling, dimensions, tokens and embeddings"}},
      .groups = {OptionGroup::load},
      .run = run,
  };
}

}  // namespace squish::cli
