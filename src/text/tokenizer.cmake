# Tokenizers: the list of their files and what they link.
find_package(PkgConfig REQUIRED)
find_package(simdjson REQUIRED)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
set(SQUISH_TEXT_TOKENIZER_SOURCES
  bpe.cpp pretokenize.cpp pretokenize_regex.cpp pretokenize_scan.cpp sentencepiece.cpp tokenizer.cpp
  tokenizer_added.cpp tokenizer_decode.cpp tokenizer_gguf.cpp tokenizer_json.cpp tokenizer_json_parts.cpp
  tokenizer_pre.cpp tokenizer_program.cpp unicode.cpp unicode_charsmap.cpp unicode_normalize.cpp unigram.cpp
  vocabulary.cpp vocabulary_build.cpp vocabulary_check.cpp word_piece.cpp)
set(SQUISH_TEXT_TOKENIZER_TESTS
  pretokenize_test.cpp sentencepiece_test.cpp tokenizer_json_test.cpp tokenizer_test.cpp unicode_normalize_test.cpp
  vocabulary_test.cpp word_piece_test.cpp)
set(SQUISH_TEXT_TOKENIZER_LIBRARIES simdjson::simdjson PkgConfig::UTF8PROC PkgConfig::PCRE2)
