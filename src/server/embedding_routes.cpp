// /v1/embeddings as OpenAI has it, and reranking as Jina, Cohere and LocalAI have it.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "server/embeddings.h"
#include "server/json_writer.h"
#include "server/ollama_call.h"
#include "server/prepared_call.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr std::array kEmbeddingFields = {
    Field{.name = "input",
          .type = FieldType::any,
          .required = true,
          .help = "a text, a list of texts, tokens, or a list of token lists"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "encoding_format",
          .type = FieldType::text,
          .help = "float, or base64 of little-endian 32-bit floats (default float)"},
    Field{.name = "dimensions",
          .type = FieldType::integer,
          .help = "the first so many numbers of each vector, of length 1 again; at most the "
                  "model's own",
          .minimum = 1,
          .maximum = static_cast<double>(limits::kDimensionMax)},
    Field{.name = "truncate",
          .type = FieldType::boolean,
          .help = "cut texts that are longer than the model takes instead of refusing them "
                  "(default false)"},
    Field{.name = "user", .type = FieldType::text, .help = "accepted and not used"},
};

constexpr std::array kRerankFields = {
    Field{.name = "query", .type = FieldType::text, .required = true, .help = "what is looked for"},
    Field{.name = "documents",
          .type = FieldType::array,
          .required = true,
          .help = "texts, or objects with a text"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "top_n",
          .type = FieldType::integer,
          .help = "how many of the best are returned (default all)",
          .minimum = 1,
          .maximum = static_cast<double>(kEmbeddingInputsMax)},
    Field{.name = "return_documents",
          .type = FieldType::boolean,
          .help = "each result has its document, too (default false)"},
    Field{.name = "truncate",
          .type = FieldType::boolean,
          .help = "cut documents that are longer than the model takes instead of refusing them "
                  "(default false)"},
};

struct EmbeddingCall {
  std::string model;
  std::vector<EmbeddingText> texts;
  size_t dimensions = 0;
  bool is_base64 = false;
  LongText long_text = LongText::refuse;
};

Parsed<LongText> read_long_text(const Value& body) {
  const auto truncate = read_boolean(body, "truncate", false);
  if (!truncate) return truncate.error();
  return *truncate ? LongText::cut : LongText::refuse;
}

Parsed<EmbeddingCall> parse_embedding_call(const Value& body) {
  EmbeddingCall out;
  auto texts = read_embedding_texts(body, "input");
  if (!texts) return texts.error();
  out.texts = std::move(texts).value();
  const auto model = read_text(body, "model");
  if (!model) return model.error();
  out.model = model->value_or("");
  const auto dimensions = read_dimensions(body);
  if (!dimensions) return dimensions.error();
  out.dimensions = *dimensions;
  const auto format = read_text(body, "encoding_format");
  if (!format) return format.error();
  out.is_base64 = *format == "base64";
  if (!out.is_base64 && format->value_or("float") != "float")
    return bad_field("encoding_format", "encoding_format must be float or base64");
  const auto long_text = read_long_text(body);
  if (!long_text) return long_text.error();
  out.long_text = *long_text;
  return out;
}

/// Worker thread: 2,048 vectors of 1,536 numbers take 0.3 s to write as text.
std::string embeddings_json(const EmbeddingResult& result, const std::string& model,
                            bool is_base64) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("object", "list").array_field("data");
  for (size_t i = 0; i < result.vectors.size(); ++i) {
    json.begin_object().field("object", "embedding").field("index", i).key("embedding");
    if (is_base64) {
      json.text(base64_of(result.vectors[i]));
    } else {
      // As float: the shortest text that is this number again.
      json.raw(fmt::format("[{}]", fmt::join(result.vectors[i], ",")));
    }
    json.end_object();
  }
  json.end_array()
      .field("model", model)
      .object_field("usage")
      .field("prompt_tokens", result.token_count)
      .field("total_tokens", result.token_count)
      .end_object()
      .end_object();
  return out;
}

struct RerankRequest {
  std::string model;
  RerankCall call;
  size_t top_count = 0;
  bool wants_documents = false;
};

Parsed<std::vector<std::string>> read_documents(const Value& body) {
  const Value* list = find_present(body, "documents");
  if (list == nullptr || !list->is_list() || list->size() == 0 ||
      list->size() > kEmbeddingInputsMax) {
    return bad_field("documents",
                     fmt::format("documents must be a list of 1 to {} texts", kEmbeddingInputsMax));
  }
  std::vector<std::string> out;
  for (const Value& item : list->items()) {
    const Value* text = item.is_dict() ? find_present(item, "text") : &item;
    if (text == nullptr || !text->is_string() || text->as_string().empty()) {
      return bad_field("documents",
                       fmt::format("documents[{}] must be a text that is not empty, or an object "
                                   "with such a text",
                                   out.size()));
    }
    out.push_back(text->as_string());
  }
  return out;
}

Parsed<RerankRequest> parse_rerank(const Value& body) {
  RerankRequest out;
  const auto query = read_text(body, "query");
  if (!query) return query.error();
  if (query->value_or("").empty())
    return bad_field("query", "query must be a text that is not empty");
  out.call.query = **query;
  auto documents = read_documents(body);
  if (!documents) return documents.error();
  out.call.documents = std::move(documents).value();
  const auto model = read_text(body, "model");
  if (!model) return model.error();
  out.model = model->value_or("");
  const auto top = read_integer(body, "top_n", 1, INT32_MAX);
  if (!top) return top.error();
  const auto count = static_cast<int64_t>(out.call.documents.size());
  out.top_count = static_cast<size_t>(std::min(top->value_or(count), count));
  const auto wants = read_boolean(body, "return_documents", false);
  if (!wants) return wants.error();
  out.wants_documents = *wants;
  const auto long_text = read_long_text(body);
  if (!long_text) return long_text.error();
  out.call.long_text = *long_text;
  return out;
}

std::string rerank_json(const RerankResult& result, const std::string& id, const std::string& model,
                        size_t top_count, std::span<const std::string> documents) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("id", id).field("object", "list").field("model", model);
  json.array_field("results");
  for (size_t i = 0; i < top_count; ++i) {
    const RerankScore& one = result.scores[i];
    json.begin_object().field("index", one.index).field("relevance_score", one.score);
    if (!documents.empty())
      json.object_field("document").field("text", documents[one.index]).end_object();
    json.end_object();
  }
  json.end_array()
      .object_field("usage")
      .field("prompt_tokens", result.token_count)
      .field("total_tokens", result.token_count)
      .end_object()
      .object_field("meta")  // where Cohere's clients look
      .object_field("api_version")
      .field("version", "2")
      .end_object()
      .object_field("tokens")
      .field("input_tokens", result.token_count)
      .end_object()
      .end_object()
      .end_object();
  return out;
}

}  // namespace

std::span<const Field> embedding_fields() { return kEmbeddingFields; }
std::span<const Field> rerank_fields() { return kRerankFields; }

/// `ttl`: how long the model is to stay.
asio::awaitable<void> answer_embeddings(Exchange& exchange, Parsed<EmbeddingCall> call,
                                        Parsed<std::optional<KeepAlive>> ttl) {
  if (!call || !ttl) {
    co_await exchange.fail(!call ? call.error() : ttl.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = co_await lease_or_fail(exchange, call->model);
  if (model == nullptr) co_return;
  if (*ttl) model->set_keep_alive(**ttl);
  const auto result =
      co_await embed(exchange, model, std::move(call->texts), call->long_text, call->dimensions);
  if (!result) {
    co_await exchange.fail(result.error());
    co_return;
  }
  const std::string out = co_await exchange.offload(
      [&] { return embeddings_json(*result, model->local().id, call->is_base64); });
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_embeddings(Exchange& exchange, const Value& body) {
  return answer_embeddings(exchange, parse_embedding_call(body), std::optional<KeepAlive>());
}

asio::awaitable<void> handle_lmstudio_embeddings(Exchange& exchange, const Value& body) {
  return answer_embeddings(exchange, parse_embedding_call(body), read_keep_alive(body, "ttl"));
}

asio::awaitable<void> handle_rerank(Exchange& exchange, const Value& body) {
  auto request = parse_rerank(body);
  if (!request) {
    co_await exchange.fail(request.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = co_await lease_or_fail(exchange, request->model);
  if (model == nullptr) co_return;
  std::vector<std::string> documents;
  if (request->wants_documents) documents = request->call.documents;
  const auto result = co_await rerank(exchange, model, std::move(request->call));
  if (!result) {
    co_await exchange.fail(result.error());
    co_return;
  }
  const std::string out =
      rerank_json(*result, exchange.id(), model->local().id, request->top_count, documents);
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
