# The pipeline of `squish compress`. Its texts are part of the program.
set(data ${CMAKE_CURRENT_SOURCE_DIR}/data)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${data}/calibration.txt ${data}/held_out.txt)
file(READ ${data}/calibration.txt SQUISH_CALIBRATION_TEXT)
file(READ ${data}/held_out.txt SQUISH_HELD_OUT_TEXT)
configure_file(text_data.cpp.in ${CMAKE_CURRENT_BINARY_DIR}/text_data.cpp @ONLY)

set(SQUISH_COMPRESS_PIPELINE_SOURCES
  formats.cpp roles.cpp plan.cpp layout.cpp source.cpp describe.cpp encode.cpp journal.cpp output.cpp sequence_walk.cpp calibrate.cpp
  inputs.cpp encode_trellis.cpp export_gguf.cpp awq.cpp quality.cpp texts.cpp ${CMAKE_CURRENT_BINARY_DIR}/text_data.cpp report.cpp memory.cpp room.cpp worker.cpp budget.cpp router.cpp sensitivity.cpp target.cpp
  packings.cpp unpacked.cpp import_packed.cpp import_npy.cpp npy_route.cpp export_npy.cpp trim.cpp masks.cpp merge.cpp sbom.cpp compress.cpp)
set(SQUISH_COMPRESS_PIPELINE_LIBRARIES)
set(SQUISH_COMPRESS_PIPELINE_TESTS plan_test.cpp budget_test.cpp room_test.cpp router_test.cpp npy_route_test.cpp npy_model_test.cpp model_edit_test.cpp journal_test.cpp export_gguf_test.cpp awq_test.cpp compress_test.cpp)
