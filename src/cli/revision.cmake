# Writes revision.cpp when it would differ: cmake -DSOURCE=... -DVERSION=... -DCOMPILER=... -DOUTPUT=... -P revision.cmake
execute_process(COMMAND git -C ${SOURCE} describe --always --exclude * --dirty=+ --abbrev=10
  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failure)
if(failure)
  set(revision "")
endif()
set(text "#include \"cli/revision.h\"\n\nnamespace squish::cli {\n\nconst char* const kVersion = \"${VERSION}\";
const char* const kRevision = \"${revision}\";\nconst char* const kCompiler = \"${COMPILER}\";\n\n}  // namespace squish::cli\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
