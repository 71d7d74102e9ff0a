#pragma once
// Which build this is. Only revision.cpp, made by the build, changes with a commit: nothing else is
// compiled again.

namespace squish::cli {

extern const char* const kVersion;  // "0.1.0"
extern const char* const
    kRevision;  // "328635e", "328635e+" with changes that are not committed, or "" when unknown
extern const char* const kCompiler;  // "g++ 12.2.0"

}  // namespace squish::cli
