#include "server/api_error.h"

#include "server/json_writer.h"

namespace squish::server {
namespace {

std::string_view openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

void write_text_or_null(JsonWriter& json, std::string_view name, std::string_view value) {
  if (value.empty()) {
    json.null_field(name);
  } else {
    json.field(name, value);
  }
}

void write_openai_error(JsonWriter& json, const ApiError& error) {
  json.object_field("error")
      .field("message", error.message)
      .field("type", openai_type(error.status));
  write_text_or_null(json, "param", error.param);
  write_text_or_null(json, "code", error.code);
  json.end_object();
}

void write_anthropic_error(JsonWriter& json, const ApiError& error, std::string_view request_id) {
  json.field("type", "error")
      .object_field("error")
      .field("type", anthropic_type(error.status))
      .field("message", error.message)
      .end_object()
      .field("request_id", request_id);
}

std::string write(Dialect dialect, const ApiError& error, std::string_view request_id,
                  bool in_stream) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  switch (dialect) {
    case Dialect::plain:
    case Dialect::openai:
      write_openai_error(json, error);
      // Clients of the first Squish read this one.
      if (!in_stream) json.field("detail", error.message);
      break;
    case Dialect::ollama:
      json.field("error", error.message);
      break;
    case Dialect::anthropic:
      write_anthropic_error(json, error, request_id);
      break;
  }
  json.end_object();
  return out;
}

}  // namespace

ApiError to_api_error(const Error& error) {
  ApiError out{.status = error_row(error.code).http_status, .message = error.message};
  switch (error.code) {
    case ErrorCode::refused:
      out.status = 400;
      out.code = "context_length_exceeded";
      break;
    case ErrorCode::busy:
      out.status = 429;
      out.code = "server_busy";
      out.retry_after_s = 5;
      break;
    case ErrorCode::unsupported:
    case ErrorCode::unsafe:
      out.status = 400;
      break;
    case ErrorCode::cancelled:
    case ErrorCode::out_of_memory:
      out.status = 503;
      out.retry_after_s = 5;
      break;
    case ErrorCode::not_found:
      out.code = "model_not_found";
      break;
    case ErrorCode::invalid_argument:
    case ErrorCode::bad_file:
    case ErrorCode::io:
    case ErrorCode::unreachable:
    case ErrorCode::unauthorized:
    case ErrorCode::internal:
      break;
  }
  return out;
}

ApiError in_dialect(Dialect dialect, ApiError error) {
  if (dialect == Dialect::ollama && error.status == 429) {
    error.status = 503;
    error.message = "server busy, please try again. maximum pending requests exceeded";
  }
  return error;
}

std::string error_body(Dialect dialect, const ApiError& error, std::string_view request_id) {
  return write(dialect, error, request_id, false);
}

std::string stream_error(Dialect dialect, const ApiError& error, std::string_view request_id) {
  return write(dialect, error, request_id, true);
}

}  // namespace squish::server
