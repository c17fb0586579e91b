// runtime._core: the C API for Python. Includes nothing else of the library.
#include <edge_sr/edge_sr.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace nb = nanobind;

namespace {

using ConstArray = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using Array = nb::ndarray<nb::ndim<2>, nb::device::cpu>;

[[noreturn]] void raise(PyObject *type, const std::string &message) {
  PyErr_SetString(type, message.c_str());
  throw nb::python_error();
}

// Classes of runtime.errors carry what Python has no own class for.
[[noreturn]] void raise_ours(const char *type, const std::string &message) {
  raise(nb::module_::import_("runtime.errors").attr(type).ptr(), message);
}

void check(esr_status status) {
  if (status == ESR_OK) return;
  const std::string message = esr_last_error();
  switch (status) {
    case ESR_ERR_INVALID_ARGUMENT:
      raise(PyExc_ValueError, message);
    case ESR_ERR_IO:
      raise(PyExc_OSError, message);
    case ESR_ERR_OUT_OF_MEMORY:
      raise(PyExc_MemoryError, message);
    case ESR_ERR_MODEL_FORMAT:
      raise_ours("ModelFormatError", message);
    case ESR_ERR_UNSUPPORTED:
      raise_ours("UnsupportedError", message);
    case ESR_ERR_BACKEND:
      raise_ours("BackendError", message);
    default:
      raise(PyExc_AssertionError, message);
  }
}

template <class AnyArray>
esr_sample_type sample_type_of(const AnyArray &array) {
  if (array.dtype() == nb::dtype<std::uint8_t>()) return ESR_SAMPLE_UINT8;
  if (array.dtype() == nb::dtype<std::uint16_t>()) return ESR_SAMPLE_UINT16;
  if (array.dtype() == nb::dtype<float>()) return ESR_SAMPLE_FLOAT32;
  raise(PyExc_ValueError, "samples are not uint8, uint16 or float32");
}

// Rows may lie anywhere; the samples of a row must be neighbours.
template <class AnyArray>
esr_plane plane_of(const AnyArray &array, int bit_depth) {
  if (array.shape(1) > 1 && array.stride(1) != 1) {
    raise(PyExc_ValueError, "samples of a row are not contiguous");
  }
  if (array.shape(0) > INT32_MAX || array.shape(1) > INT32_MAX) {
    raise(PyExc_ValueError, "a plane is too large");
  }
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = const_cast<void *>(static_cast<const void *>(array.data()));
  plane.width = static_cast<std::int32_t>(array.shape(1));
  plane.height = static_cast<std::int32_t>(array.shape(0));
  const auto bytes = static_cast<std::ptrdiff_t>(array.itemsize());
  // The stride of a single row has no meaning, and numpy may set it to anything.
  plane.stride_bytes =
      (plane.height > 1 ? static_cast<std::ptrdiff_t>(array.stride(0)) : plane.width) * bytes;
  plane.sample_type = sample_type_of(array);
  plane.bit_depth = plane.sample_type == ESR_SAMPLE_UINT16 ? bit_depth : 8;
  return plane;
}

class Upscaler {
 public:
  Upscaler(const nb::bytes &model, const std::string &precision, int threads) {
    esr_options options;
    esr_options_init(&options);
    options.precision = precision.c_str();
    options.num_threads = threads;
    check(esr_upscaler_open_buffer(model.data(), model.size(), &options, &handle_));
  }
  ~Upscaler() { esr_upscaler_close(&handle_); }
  Upscaler(const Upscaler &) = delete;
  Upscaler &operator=(const Upscaler &) = delete;

  void upscale(const ConstArray &lr, const Array &sr, int bit_depth) {
    const esr_plane from = plane_of(lr, bit_depth);
    const esr_plane to = plane_of(sr, bit_depth);
    esr_status status = ESR_OK;
    {
      const nb::gil_scoped_release unlocked;
      status = esr_upscale_plane(handle_, &from, &to);
    }
    check(status);
  }

  esr_info info() const {
    esr_info info;
    esr_info_init(&info);
    check(esr_upscaler_get_info(handle_, &info));
    return info;
  }

 private:
  esr_upscaler *handle_ = nullptr;
};

}  // namespace

NB_MODULE(_core, module) {
  module.doc() = "The native engine.";
  module.def("version", &esr_version, "Release of the native library.");
  nb::class_<Upscaler>(module, "Upscaler",
                       "An open model; one call at a time, from any thread.")
      .def(nb::init<const nb::bytes &, const std::string &, int>(), nb::arg("model"),
           nb::arg("precision"), nb::arg("threads") = 0,
           "Open the content of model.native in fp32, bf16 or int8 on `threads` threads, 0 for one "
           "per physical core.")
      .def("upscale", &Upscaler::upscale, nb::arg("lr"), nb::arg("sr"), nb::arg("bit_depth") = 8,
           "Upscale HxW uint8, uint16 of `bit_depth` bits or float32 grey levels into `sr`.")
      .def_prop_ro("scale", [](const Upscaler &self) { return self.info().scale; })
      .def_prop_ro("radius",
                   [](const Upscaler &self) { return self.info().receptive_field_radius; })
      .def_prop_ro("threads", [](const Upscaler &self) { return self.info().num_threads; })
      .def_prop_ro("precision",
                   [](const Upscaler &self) { return std::string(self.info().precision); })
      .def_prop_ro("isa", [](const Upscaler &self) { return std::string(self.info().isa); });
}
