// Where kernels of this program compute, and where libtorch's operators do.
#pragma once

#include <ATen/core/Tensor.h>

// Whether kernels of this program compute on the device that holds a tensor: on the CPU.
bool has_kernels(const at::Tensor& value);

// Switches these kernels off: from here on the CPU computes as a GPU would, by libtorch's operators. For tests, on
// machines without one.
void only_operators();
