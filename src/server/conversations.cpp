// OpenAI's /v1/conversations: items that responses read and add to. They lie with the responses.
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/includes.h"
#include "server/item_pages.h"
#include "server/json_writer.h"
#include "server/random_id.h"
#include "server/response_items.h"
#include "server/responses.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr std::array kCreateFields = {
    Field{.name = "items",
          .type = FieldType::array,
          .help = "what stands at its beginning, as items of /v1/responses"},
    Field{.name = "metadata",
          .type = FieldType::object,
          .help = "up to 16 texts by name, kept and given back"},
};
constexpr std::array kUpdateFields = {
    Field{.name = "metadata",
          .type = FieldType::object,
          .required = true,
          .help = "up to 16 texts by name, instead of what was there"},
};
constexpr size_t kMetadataCountMax = 16;
constexpr size_t kMetadataKeyBytesMax = 64;
constexpr size_t kMetadataTextBytesMax = 512;
constexpr std::array kItemFields = {
    Field{.name = "items", .type = FieldType::array, .required = true, .help = "what is added"},
};

ApiError conversation_error(const Error& error, const std::string& id) {
  ApiError out = to_api_error(error);
  if (error.code != ErrorCode::not_found) return out;
  out.message = fmt::format("there is no conversation {}", printable(id, 100));
  out.code = "conversation_not_found";
  return out;
}

/// The items of the body as they are kept. Errors: 400 for what /v1/responses could not read; 404
/// for references to nothing.
Parsed<Value> read_items(ResponseStore& store, const Value& body, bool is_needed) {
  const Value* items = find_present(body, "items");
  if (items == nullptr && !is_needed) return Value::list();
  if (items == nullptr || !items->is_list())
    return bad_field("items", "items must be a list of items");
  if (items->size() > limits::kMessagesMax)
    return bad_field("items", fmt::format("items has {} entries, the limit is {}", items->size(),
                                          limits::kMessagesMax));
  auto resolved = resolve_items(store, *items, Value(), "items");
  if (!resolved) return resolved.error();
  ItemReader reader;
  for (size_t i = 0; i < resolved->size(); ++i) {
    auto checked = reader.add(resolved->items()[i], fmt::format("items[{}]", i));
    if (!checked) return checked.error();
  }
  return kept_items(*resolved);
}

/// The metadata of the body; absent and null are none. Errors: 400.
Parsed<Value> read_metadata(const Value& body) {
  const Value* metadata = find_present(body, "metadata");
  if (metadata == nullptr) return Value::dict();
  const auto wrong = [](std::string_view what) {
    return bad_field(
        "metadata",
        fmt::format("metadata {}; it must be an object of up to {} texts of {} bytes "
                    "with names of {}",
                    what, kMetadataCountMax, kMetadataTextBytesMax, kMetadataKeyBytesMax));
  };
  if (!metadata->is_dict()) return wrong("is no object");
  if (metadata->size() > kMetadataCountMax)
    return wrong(fmt::format("has {} entries", metadata->size()));
  for (const Value::Entry& entry : metadata->entries()) {
    const std::string& name = entry.key.as_string();
    if (name.size() > kMetadataKeyBytesMax) return wrong("has a name of more bytes");
    if (!entry.value.is_string()) return wrong(printable(name, 60) + " is no text");
    if (entry.value.as_string().size() > kMetadataTextBytesMax)
      return wrong(printable(name, 60) + " is longer");
  }
  return *metadata;
}

/// The items of a conversation. Errors: 404.
Parsed<Value> items_of(ResponseStore& store, const std::string& id) {
  const auto found = store.get(id);
  if (!found) return conversation_error(found.error(), id);
  auto items = parse_json(found->conversation);
  if (!items) return to_api_error(items.error());
  return std::move(*items);
}

ApiError no_item(const std::string& id) {
  return {.status = 404,
          .message = fmt::format("there is no item {} in the conversation", printable(id, 100)),
          .code = "item_not_found",
          .param = "item_id"};
}

/// Replies with what `work`, on a worker thread, says.
template <class Work>
asio::awaitable<void> reply_with(Exchange& exchange, Work work) {
  const Parsed<std::string> done = co_await exchange.offload(std::move(work));
  if (done) {
    co_await exchange.reply_json(*done);
  } else {
    co_await exchange.fail(done.error());
  }
}

}  // namespace

std::span<const Field> conversation_fields() { return kCreateFields; }
std::span<const Field> conversation_update_fields() { return kUpdateFields; }
std::span<const Field> conversation_item_fields() { return kItemFields; }

asio::awaitable<void> handle_conversations(Exchange& exchange, const Value& body) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    auto items = read_items(exchange.services().responses, body, false);
    if (!items) return items.error();
    const auto metadata = read_metadata(body);
    if (!metadata) return metadata.error();
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    StoredResponse made;
    made.id = "conv_" + random_hex(32);
    JsonWriter(made.body)
        .begin_object()
        .field("id", made.id)
        .field("object", "conversation")
        .field("created_at", std::chrono::duration_cast<std::chrono::seconds>(now).count())
        .key("metadata")
        .raw(object_json(*metadata))
        .end_object();
    made.input = "[]";
    made.conversation = list_json(*items);
    made.item_ids = ids_of(*items);
    if (const Status put = exchange.services().responses.put(made); !put)
      return to_api_error(put.error());
    return made.body;
  });
}

asio::awaitable<void> handle_get_conversation(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    auto found = exchange.services().responses.get(id);
    if (!found) return conversation_error(found.error(), id);
    return std::move(found->body);
  });
}

asio::awaitable<void> handle_update_conversation(Exchange& exchange, const Value& body) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    const auto metadata = read_metadata(body);
    if (!metadata) return metadata.error();
    std::string out;
    const auto change = [&](StoredResponse& conversation) -> Status {
      SQ_TRY(Value changed, parse_json(conversation.body));
      changed.set("metadata", *metadata);
      SQ_TRY(out, to_json(changed));
      conversation.body = out;
      return {};
    };
    const Status kept = exchange.services().responses.update(id, change);
    if (!kept) return conversation_error(kept.error(), id);
    return out;
  });
}

asio::awaitable<void> handle_conversation_items(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const auto items = items_of(exchange.services().responses, exchange.path_argument());
    if (!items) return items.error();
    return page_json(exchange.request(), *items);
  });
}

asio::awaitable<void> handle_conversation_item(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const Parsed<Included> included = queried_includes(exchange.request());
    if (!included) return included.error();
    const auto items = items_of(exchange.services().responses, exchange.path_argument());
    if (!items) return items.error();
    const Value* item = find_item(*items, exchange.path_argument(1));
    if (item == nullptr) return no_item(exchange.path_argument(1));
    return object_json(with_included(Value::list({*item}), *included).items().front());
  });
}

asio::awaitable<void> handle_delete_conversation_item(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    std::string out;
    bool was_there = false;
    const auto change = [&](StoredResponse& conversation) -> Status {
      SQ_TRY(const Value items, parse_json(conversation.conversation));
      const Value* gone = find_item(items, exchange.path_argument(1));
      was_there = gone != nullptr;
      Value rest = Value::list();
      for (const Value& item : items.items()) {
        if (&item != gone) rest.push_back(item);
      }
      conversation.conversation = list_json(rest);
      out = conversation.body;
      return {};
    };
    const Status kept = exchange.services().responses.update(id, change);
    if (!kept) return conversation_error(kept.error(), id);
    if (!was_there) return no_item(exchange.path_argument(1));
    return out;
  });
}

asio::awaitable<void> handle_add_to_conversation(Exchange& exchange, const Value& body) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    ResponseStore& store = exchange.services().responses;
    // Before anything is kept.
    if (const auto included = queried_includes(exchange.request()); !included)
      return included.error();
    auto items = read_items(store, body, true);
    if (!items) return items.error();
    const Status kept = store.update(id, [&](StoredResponse& conversation) -> Status {
      conversation.conversation =
          joined_lists(std::move(conversation.conversation), list_json(*items));
      conversation.item_ids = ids_of(*items);
      return {};
    });
    if (!kept) return conversation_error(kept.error(), id);
    return whole_page_json(exchange.request(), *items);
  });
}

asio::awaitable<void> handle_delete_conversation(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    if (const Status gone = exchange.services().responses.remove(id); !gone)
      return conversation_error(gone.error(), id);
    return fmt::format(R"({{"id":"{}","object":"conversation.deleted","deleted":true}})", id);
  });
}

}  // namespace squish::server
