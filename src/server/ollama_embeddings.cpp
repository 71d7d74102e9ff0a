// Ollama's /api/embed and its older /api/embeddings.
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "server/embeddings.h"
#include "server/json_writer.h"
#include "server/ollama_call.h"
#include "server/ollama_lease.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr Field kModel = {.name = "model",
                          .type = FieldType::text,
                          .required = true,
                          .help = "a model of this machine, with or without :latest"};
constexpr Field kOptions = {.name = "options",
                            .type = FieldType::object,
                            .help = "checked as those of an answer; none of them changes a vector"};
constexpr Field kKeepAlive = {
    .name = "keep_alive",
    .type = FieldType::any,
    .help =
        "how long the model stays: seconds or a time such as \"5m\"; 0 unloads it afterwards, "
        "less than 0 keeps it"};
constexpr Field kTruncate = {
    .name = "truncate",
    .type = FieldType::boolean,
    .help =
        "cut texts that are longer than the model takes (default true) instead of refusing "
        "them"};

constexpr std::array kEmbedFields = {
    kModel,
    Field{.name = "input",
          .type = FieldType::text_or_array,
          .help = "a text, or a list of texts; absent or empty: the model is loaded"},
    kTruncate,
    Field{.name = "dimensions",
          .type = FieldType::integer,
          .help = "the first so many numbers of each vector, of length 1 again; at most the "
                  "model's own",
          .minimum = 0,
          .maximum = static_cast<double>(limits::kDimensionMax)},
    kOptions,
    kKeepAlive,
};

constexpr std::array kOldFields = {
    kModel,
    Field{.name = "prompt", .type = FieldType::text, .help = "a text; empty: the model is loaded"},
    kTruncate,
    kOptions,
    kKeepAlive,
};

struct EmbedCall {
  std::string model;
  std::vector<EmbeddingText> texts;  // none: the model is to be loaded
  LongText long_text = LongText::cut;
  size_t dimensions = 0;
  std::optional<KeepAlive> keep_alive;
};

Checked read_inputs(const Value& body, std::string_view name, EmbedCall& out) {
  const Value* given = find_present(body, name);
  const bool is_empty = given == nullptr || (given->is_string() && given->as_string().empty()) ||
                        (given->is_list() && given->size() == 0);
  if (is_empty) return Nothing{};
  auto texts = read_embedding_texts(body, name);
  if (!texts) return texts.error();
  for (const EmbeddingText& text : *texts) {
    if (!std::holds_alternative<std::string>(text))
      return bad_field(name, fmt::format("{} must be a text or a list of texts", name));
  }
  out.texts = std::move(texts).value();
  return Nothing{};
}

/// `is_old`: of /api/embeddings, which has one prompt.
Parsed<EmbedCall> parse_embed(const Value& body, bool is_old) {
  EmbedCall out;
  auto model = read_model_name(body);
  if (!model) return model.error();
  out.model = std::move(model).value();
  if (auto read = read_inputs(body, is_old ? "prompt" : "input", out); !read) return read.error();
  if (is_old && out.texts.size() > 1) return bad_field("prompt", "prompt must be a text");
  const auto truncate = read_boolean(body, "truncate", true);
  if (!truncate) return truncate.error();
  out.long_text = *truncate ? LongText::cut : LongText::refuse;
  if (!is_old) {
    const auto dimensions =
        read_integer(body, "dimensions", 0, static_cast<int64_t>(limits::kDimensionMax));
    if (!dimensions) return dimensions.error();
    out.dimensions = static_cast<size_t>(dimensions->value_or(0));
  }
  if (const Value* options = find_present(body, "options"); options != nullptr) {
    if (!options->is_dict()) return bad_field("options", "options must be an object");
    if (const auto read = read_ollama_options({}, options); !read) return read.error();
  }
  const auto keep_alive = read_keep_alive(body, "keep_alive");
  if (!keep_alive) return keep_alive.error();
  out.keep_alive = *keep_alive;
  return out;
}

/// Worker thread: 2,048 vectors of 1,536 numbers take 0.3 s to write.
std::string embed_json(const EmbedCall& call, const EmbeddingResult& result, int64_t total_ns,
                       int64_t load_ns) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("model", call.model).array_field("embeddings");
  for (const std::vector<float>& vector : result.vectors)
    json.raw(fmt::format("[{}]", fmt::join(vector, ",")));
  json.end_array()
      .field("total_duration", total_ns)
      .field("load_duration", load_ns)
      .field("prompt_eval_count", result.token_count)
      .end_object();
  return out;
}

std::string old_json(const EmbeddingResult& result) {
  static const std::vector<float> kNone;
  const std::vector<float>& vector = result.vectors.empty() ? kNone : result.vectors.front();
  return fmt::format(R"({{"embedding":[{}]}})", fmt::join(vector, ","));
}

int64_t nanoseconds_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
}

asio::awaitable<void> answer_embed(Exchange& exchange, Parsed<EmbedCall> call, bool is_old) {
  if (!call) {
    co_await exchange.fail(call.error());
    co_return;
  }
  const auto begin = Clock::now();
  auto lease = co_await lease_ollama_model(exchange, call->model);
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  const int64_t load_ns = nanoseconds_since(begin);
  if (call->keep_alive) model->set_keep_alive(*call->keep_alive);
  EmbeddingResult result;
  if (!call->texts.empty()) {
    auto made =
        co_await embed(exchange, model, std::move(call->texts), call->long_text, call->dimensions);
    if (!made) {
      co_await exchange.fail(made.error());
      co_return;
    }
    result = std::move(made).value();
  }
  const std::string out = co_await exchange.offload([&] {
    return is_old ? old_json(result)
                  : embed_json(*call, result, nanoseconds_since(exchange.started()), load_ns);
  });
  co_await exchange.reply_json(out);
}

}  // namespace

std::span<const Field> ollama_embed_fields() { return kEmbedFields; }
std::span<const Field> ollama_embeddings_fields() { return kOldFields; }

asio::awaitable<void> handle_ollama_embed(Exchange& exchange, const Value& body) {
  return answer_embed(exchange, parse_embed(body, false), false);
}

asio::awaitable<void> handle_ollama_embeddings(Exchange& exchange, const Value& body) {
  return answer_embed(exchange, parse_embed(body, true), true);
}

}  // namespace squish::server
