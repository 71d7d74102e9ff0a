# Codes of keys and values: scalar, the reference of quantised KV pages.
set(SQUISH_QUANT_KV_SOURCES kv_codec.cpp numpy_random.cpp)
set(SQUISH_QUANT_KV_TESTS kv_codec_test.cpp)
