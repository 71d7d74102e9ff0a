#pragma once
// Fields of request bodies: one table for what they may hold, shared by checks, /openapi.json and
// docs/api.md, and readers that answer a wrong value with its name and range.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampling_params.h"
#include "server/api_error.h"
#include "server/http_message.h"
#include "text/jinja_value.h"

namespace squish::server {

enum class FieldType : uint8_t {
  text,
  integer,
  number,
  boolean,
  object,
  array,
  text_or_array,
  any,
};

struct Field {
  std::string_view name;
  FieldType type = FieldType::any;
  bool required = false;
  std::string_view help = {};
  double minimum = 0;  // of numbers; both 0: no bounds
  double maximum = 0;
};

/// Largest answer that a request may ask for by number; -1 goes on until the context is full.
inline constexpr int64_t kAnswerTokensMax = 131'072;

/// The sampling parameters as `dialect` spells them, with the ranges that hold over HTTP.
std::vector<Field> sampling_fields(Dialect dialect);

/// The body as an object. Errors: 400 for what is not JSON, is not an object or nests too deep.
Parsed<Value> parse_object(std::string_view body);

// Readers. Absent and null are the same: nothing. Numbers may come as text ("0.7"), as some clients
// send them; booleans are never numbers.
Parsed<std::optional<int64_t>> read_integer(const Value& object, std::string_view name,
                                            int64_t minimum, int64_t maximum);
/// The same of a parameter of the query.
Parsed<std::optional<int64_t>> queried_integer(const HttpRequest& request, std::string_view name,
                                               int64_t minimum, int64_t maximum);
Parsed<std::optional<double>> read_number(const Value& object, std::string_view name,
                                          double minimum, double maximum);
Parsed<bool> read_boolean(const Value& object, std::string_view name, bool otherwise);
Parsed<std::optional<std::string>> read_text(const Value& object, std::string_view name);
/// Text or a list of texts; at most `count_max`.
Parsed<std::vector<std::string>> read_texts(const Value& object, std::string_view name,
                                            size_t count_max);
/// The texts that end an answer, or `otherwise` when `object` has none. Errors: 400 for too many.
Parsed<std::vector<std::string>> read_stops(const Value& object, std::string_view name,
                                            const std::vector<std::string>& otherwise);
/// The entry if it is there and not null, else nullptr.
const Value* find_present(const Value& object, std::string_view name);
/// The text of a field; "" where it is absent or no text.
std::string text_of(const Value& object, std::string_view name);

/// Sets what `object` has of the sampling table, under the names of `dialect` and a few that other
/// servers made common. `logprobs` and `top_logprobs`, whose types differ between routes, are left
/// alone.
Checked read_sampling(const Value& object, Dialect dialect, SamplingParams& out);
/// {"50256": -100}. Ids are checked by the engine.
Checked read_logit_bias(const Value& object, SamplingParams& out);

}  // namespace squish::server
