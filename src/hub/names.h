#pragma once
// Model names as people type them, and file names as strangers send them.
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish::hub {

/// Trimmed, lower case; without a ':' also a trailing quantisation suffix (int2 int3 int4 int8 q4
/// q8 bf16 fp16 fp32) is dropped and the '-' or '_' before a size at the end becomes ':'.
/// "Qwen3-8B-INT4" is "qwen3:8b", "qwen3-30b-a3b" is "qwen3:30b-a3b".
std::string normalize_name(std::string_view name);

/// The model id that a directory or file name stands for: lower case; the suffixes of
/// quantisations, of training
/// (-instruct, -chat, -it) and of containers (-gguf, -mlx, ...) are dropped; the size is put after
/// ':'; families are spelled as in the catalogue. "Llama-3.1-8B-Instruct-bf16" is "llama3.1:8b".
std::string id_of_directory(std::string_view directory);

/// The size token of a name, "135m" of "smollm2-135m-instruct"; empty when there is none.
std::string size_of_name(std::string_view name);
/// A size token as a count of parameters: "1.5b" is 1.5e9; 0 when it is none.
double parameter_count(std::string_view size);
/// qwen, llama, gemma, phi, mistral, ... by substring; empty when unknown.
std::string family_of_name(std::string_view name);

/// Whether `name` may become the name of one file in a directory of ours. Refused: empty, over 200
/// bytes, not UTF-8, a leading dot, '/', '\', ':', control characters and NUL, characters that
/// reverse or hide text, a dot or space at the end, and the device names of Windows. Errors:
/// unsafe, with the reason.
Status check_file_name(std::string_view name);
/// The same for each part of a relative path with '/'; at most 16 parts; "." and ".." are refused.
/// A leading dot is allowed here (".gitattributes" is an honest name), since such files are never
/// written.
Status check_relative_path(std::string_view path);
/// The last part of a path with '/'.
std::string_view base_name(std::string_view path);

}  // namespace squish::hub
