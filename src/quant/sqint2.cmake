# SQINT2 and the groups of the npy directory format. Products are never fused with additions, so that an x86 and an
# ARM processor write the same codes.
set(SQUISH_QUANT_SQINT2_SOURCES linear_algebra.cpp rotation.cpp group_affine.cpp sqint2.cpp)
set_source_files_properties(linear_algebra.cpp rotation.cpp group_affine.cpp sqint2.cpp PROPERTIES
  COMPILE_OPTIONS "-O3;-ffp-contract=off")
set(SQUISH_QUANT_SQINT2_TESTS numpy_random_test.cpp linear_algebra_test.cpp sqint2_test.cpp)
