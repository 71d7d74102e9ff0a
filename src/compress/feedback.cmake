# Error feedback on the Hessian of the inputs, for the trellis codes.
set(SQUISH_COMPRESS_FEEDBACK_SOURCES ldl.cpp input_frame.cpp trellis_stripe.cpp trellis_feedback.cpp)
set(SQUISH_COMPRESS_FEEDBACK_LIBRARIES)
set(SQUISH_COMPRESS_FEEDBACK_TESTS ldl_test.cpp trellis_feedback_test.cpp)
