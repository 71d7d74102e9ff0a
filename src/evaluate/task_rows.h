#pragma once
// How each benchmark's rows are read: the fields of the published sets, and of the flattened
// {question, choices, gold} form of ARC.
#include "evaluate/task.h"

namespace squish {

// Errors: bad_file with the file, the line and the field.
Result<TaskDocument> read_arc(const DataRow& row);
Result<TaskDocument> read_hellaswag(const DataRow& row);
Result<TaskDocument> read_winogrande(const DataRow& row);
Result<TaskDocument> read_piqa(const DataRow& row);
Result<TaskDocument> read_openbookqa(const DataRow& row);
Result<TaskDocument> read_mmlu(const DataRow& row);

/// HellaSwag's cleaning: outer white space, " [title]", other brackets on one line, one pass over
/// double spaces.
std::string clean_hellaswag(std::string_view text);

}  // namespace squish
