#include "region.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace {

// Elements of a block: what a core's own cache holds beside what is made of them.
constexpr int64_t kElements = 1 << 17;

using Region = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

Region region() {
  static const auto found = reinterpret_cast<Region>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}

struct Work {
  const std::function<void()>& body;
  std::mutex mutex{};
  std::exception_ptr error{};

  void one() noexcept {
    try {
      TORCH_CHECK(at::in_parallel_region(), "OpenMP gives one thread only");
      body();
    } catch (...) {
      std::lock_guard<std::mutex> guard(mutex);
      error = std::current_exception();
    }
  }
};

std::atomic<int64_t> wanted{0};

// A team of one would be no region. A team of always the same size keeps its threads.
void run(const std::function<void()>& body) {
  TORCH_CHECK(region() != nullptr, "libtorch's OpenMP has no GOMP_parallel");
  Work work{body};
  const auto team = static_cast<unsigned>(std::max<int64_t>(threads(), 2));
  region()([](void* data) { static_cast<Work*>(data)->one(); }, &work, team, 0);
  if (work.error) std::rethrow_exception(work.error);
}

// Once, on this thread, as the one that works of a region: what libtorch does in it is done by this thread alone.
void alone(const std::function<void()>& body) {
  if (at::in_parallel_region()) return body();
  const auto caller = std::this_thread::get_id();
  run([&] {
    if (std::this_thread::get_id() == caller) body();
  });
}

}  // namespace

void set_threads(int64_t threads) {
  static const int64_t all = at::get_num_threads();
  wanted = threads > 0 ? threads : all;
  at::set_num_threads(1);
}

int64_t threads() { return wanted > 0 ? wanted.load() : at::get_num_threads(); }

void on_threads(const std::function<void()>& body) {
  if (threads() <= 1 || at::in_parallel_region()) return alone(body);
  run(body);
}

void share(int64_t count, int64_t block, const std::function<void(int64_t, int64_t)>& body) {
  std::atomic<int64_t> next{0};
  on_threads([&] {
    for (auto from = next.fetch_add(block); from < count; from = next.fetch_add(block)) {
      body(from, std::min(from + block, count));
    }
  });
}

void in_blocks(int64_t count, int64_t block, const std::function<void(int64_t, int64_t)>& body) {
  share(count, block, [&](int64_t from, int64_t to) {
    at::AutoDispatchBelowADInplaceOrView no_gradients;
    body(from, to);
  });
}

int64_t rows_in_block(int64_t elements) {
  return std::max<int64_t>(1, kElements / std::max<int64_t>(1, elements));
}
