// Speed of each matmul kernel: bytes of weights a second for decode, multiply-adds a second for
// prompts.
//   bench_kernels [ISA] [THREADS] [OUT] [IN] [PROMPT_ROWS]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/testing/random_tensor.h"

namespace {

using namespace squish;

double median_seconds(int repeats, const auto& function) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<size_t>(repeats) / 2];
}

/// What plain reading of 512 MB reaches on `threads` threads.
double read_bandwidth(ThreadPool& pool) {
  const size_t count = size_t{64} << 20;
  std::vector<uint64_t> memory(count, 1);
  std::vector<uint64_t> sums(static_cast<size_t>(pool.thread_count()) * 8);
  const double seconds = median_seconds(5, [&] {
    pool.parallel_for(count, 1 << 16, [&](size_t begin, size_t end, int thread) {
      uint64_t sum = 0;
      for (size_t i = begin; i < end; ++i) sum += memory[i];
      sums[static_cast<size_t>(thread) * 8] += sum;
    });
  });
  return static_cast<double>(count) * 8 / seconds / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string isa = argc > 1 ? argv[1] : "";
  const int threads = argc > 2 ? std::atoi(argv[2]) : usable_cpu_count();
  const size_t out_length = argc > 3 ? static_cast<size_t>(std::atol(argv[3])) : 8960 * 16;
  const size_t in_length = argc > 4 ? static_cast<size_t>(std::atol(argv[4])) : 1536;
  const size_t prompt = argc > 5 ? static_cast<size_t>(std::atol(argv[5])) : 512;
  ThreadPool pool(threads);
  auto made = make_cpu_backend(pool, isa);
  if (!made) {
    fmt::print(stderr, "{}\n", made.error().message);
    return 1;
  }
  Backend& backend = **made;
  fmt::print("{} [{} x {}], memory read {:.1f} GB/s\n", backend.description(), out_length,
             in_length, read_bandwidth(pool));
  fmt::print("{:8} {:>9} {:>9} {:>9} | {:>9}\n", "type", "1 row", "4 rows", "8 rows", "prompt");
  fmt::print("{:8} {:>9} {:>9} {:>9} | {:>9}\n", "", "GB/s", "GB/s", "GB/s", "GMAC/s");
  for (const DType dtype : {DType::q4_k, DType::q6_k, DType::q5_k, DType::q4_0, DType::q4_1,
                            DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
                            DType::iq4_nl, DType::iq4_xs, DType::i3, DType::bf16, DType::f16, DType::f32}) {
    const testing::RandomMatrix weight(dtype, out_length, in_length, 1);
    const std::vector<float> x = testing::random_floats(prompt * in_length, 2);
    std::vector<float> out(prompt * out_length);
    double figures[4] = {};
    int column = 0;
    for (const size_t rows : {size_t{1}, size_t{4}, size_t{8}, prompt}) {
      const bool is_prompt = column == 3;
      TensorView view = weight.view();
      if (is_prompt) view.shape.dims[0] = std::min<size_t>(out_length, 8960);
      const MatmulTarget target = {
          view, nullptr, {out.data(), rows, view.row_count(), view.row_count()}, false};
      const double seconds = median_seconds(7, [&] {
        backend.matmul({x.data(), rows, in_length, in_length}, std::span(&target, 1),
                       is_prompt ? rows : 0);
      });
      figures[column++] =
          is_prompt ? static_cast<double>(rows * view.row_count() * in_length) / seconds / 1e9
                    : static_cast<double>(view.bytes()) / seconds / 1e9;
    }
    fmt::print("{:8} {:9.1f} {:9.1f} {:9.1f} | {:9.0f}\n", type_info(dtype).name, figures[0],
               figures[1], figures[2], figures[3]);
  }
  return 0;
}
