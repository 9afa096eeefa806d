#include "shim.h"

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <malloc.h>

#include <atomic>
#include <cstdlib>

namespace {

// Bytes of the blocks that are held now.
std::atomic<size_t> held{0};

// What libtorch's kernels expect of every tensor.
constexpr size_t kAlignment = 64;
// Room for the start of the block before the tensor, wherever malloc lets it begin.
constexpr size_t kAround = kAlignment + sizeof(void*);

void release(void* data) {
  if (data == nullptr) return;
  void* block = static_cast<void**>(data)[-1];
  held.fetch_sub(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

// Plain malloc, aligned here. libtorch's own takes posix_memalign, and glibc (2.36) asks itself for
// alignment and size together there and cannot use the hole that such a block leaves for the next
// one of that size: the memory of a step grows by two thirds.
struct PlainAllocator final : public c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = nullptr;
    if (bytes != 0) {
      auto padded = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAround;
      void* block = padded > bytes ? std::malloc(padded) : nullptr;
      // These words are how running out of memory is known.
      TORCH_CHECK(block != nullptr, "can't allocate memory: ", bytes, " bytes for a tensor");
      held.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
      auto after = reinterpret_cast<uintptr_t>(block) + kAround;
      data = reinterpret_cast<void*>(after / kAlignment * kAlignment);
      static_cast<void**>(data)[-1] = block;
    }
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

extern "C" size_t shim_held_bytes() { return held.load(std::memory_order_relaxed); }

extern "C" char* shim_device_peak(tensor value, size_t* in_use, size_t* reserved) {
  return guarded([&] {
    auto device = static_cast<const at::Tensor*>(value)->device();
    auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *in_use = stats.allocated_bytes[all].peak;
    *reserved = stats.reserved_bytes[all].peak;
  });
}

extern "C" void shim_use_plain_allocator() {
  static PlainAllocator allocator;
  static const bool once = (c10::SetCPUAllocator(&allocator, /*priority=*/1), true);
  (void)once;
}
