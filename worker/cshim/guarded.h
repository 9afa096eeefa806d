// Pointers and failures on their way through the C interface.
#pragma once

#include "shim.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <optional>

inline const at::Tensor& in(tensor pointer) { return *static_cast<at::Tensor*>(pointer); }

inline std::optional<at::Tensor> maybe(tensor pointer) {
  return pointer == nullptr ? std::nullopt : std::optional<at::Tensor>(in(pointer));
}

inline tensor out(at::Tensor value) { return new at::Tensor(std::move(value)); }

// Null, or what went wrong.
template <typename Body>
char* guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
