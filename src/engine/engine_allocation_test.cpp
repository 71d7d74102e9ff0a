// A program of its own, since it replaces operator new: a step in the steady state allocates
// nothing.
#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace {

std::atomic<int> allocation_count = 0;

void* allocate(size_t size) {
  ++allocation_count;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace squish {
namespace {

TEST(EngineAllocation, a_hundred_steps_of_five_sequences_allocate_nothing) {
  testing::FakeModel model;
  const auto engine = std::move(Engine::create(model, {})).value();
  std::vector<RequestHandle> handles;
  for (int i = 0; i < 5; ++i) {
    Request request;
    for (int j = 0; j < 50 + 20 * i; ++j) request.tokens.push_back((i * 7 + j * j) % 61);
    request.sampling.temperature = i % 2 == 0 ? 0.0F : 0.9F;
    request.sampling.repetition_penalty = 1.1F;
    request.sampling.frequency_penalty = 0.1F;
    request.sampling.top_k = i == 3 ? 20 : 0;
    request.sampling.max_tokens = 1000;
    request.sampling.seed = i;
    handles.push_back(engine->submit(std::move(request)).value());
  }
  size_t tokens = 0;
  const auto run = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      engine->step();
      for (RequestHandle& handle : handles)
        tokens += handle.try_next().has_value() ? size_t{1} : size_t{0};
    }
  };
  run(150);  // scratch memory grows to what is needed
  tokens = 0;
  const int before = allocation_count;
  run(100);  // each sequence fills one or two pages meanwhile
  EXPECT_EQ(allocation_count - before, 0);
  EXPECT_EQ(tokens, 500U);
}

}  // namespace
}  // namespace squish
