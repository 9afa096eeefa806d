#include "kernels.h"

#include <atomic>

namespace {

std::atomic<bool> operators{false};

}  // namespace

bool has_kernels(const at::Tensor& value) { return value.is_cpu() && !operators; }

void only_operators() { operators = true; }
