#pragma once
// The functions that every template can call: range, dict, namespace, cycler, joiner,
// raise_exception, strftime_now.
#include <chrono>
#include <string_view>

#include "text/jinja_arguments.h"

namespace squish::jinja {

/// A callable of C++.
struct FunctionObject : Object {
  FunctionObject() : Object(Kind::function) {}
  Result<Value> invoke(Runtime& runtime, std::string_view method,
                       const CallArguments& arguments) override;
  Result<Value> (*run)(Runtime& runtime, const FunctionObject& self,
                       const CallArguments& arguments) = nullptr;
  std::chrono::system_clock::time_point now;  // what strftime_now tells
};

/// The global function `name`; undefined if there is none.
Result<Value> global_function(Runtime& runtime, std::string_view name,
                              std::chrono::system_clock::time_point now);

}  // namespace squish::jinja
