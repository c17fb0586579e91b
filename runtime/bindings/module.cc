// runtime._core: the C API for Python. Includes nothing else of the library.
#include <edge_sr/edge_sr.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

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
  if (array.size() > 0 && array.shape(1) > 1 && array.stride(1) != 1) {
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

struct Format {
  const char *name;
  esr_pixel_format value;
  int sub_x;  // luma samples per chroma sample
  int sub_y;
};

constexpr Format kFormats[] = {
    {"grey", ESR_FORMAT_GREY, 1, 1},
    {"yuv420p", ESR_FORMAT_YUV420P, 2, 2},
    {"yuv422p", ESR_FORMAT_YUV422P, 2, 1},
    {"yuv444p", ESR_FORMAT_YUV444P, 1, 1},
};

const Format &format_named(const std::string &name) {
  for (const Format &format : kFormats) {
    if (name == format.name) return format;
  }
  raise(PyExc_ValueError, "format " + name + " is not grey, yuv420p, yuv422p or yuv444p");
}

esr_chroma_location location_named(const std::string &name) {
  if (name == "left") return ESR_CHROMA_LEFT;
  if (name == "center") return ESR_CHROMA_CENTER;
  if (name == "top_left") return ESR_CHROMA_TOP_LEFT;
  if (name == "top") return ESR_CHROMA_TOP;
  raise(PyExc_ValueError, "chroma location " + name + " is not left, center, top_left or top");
}

// The C frame has one size and one sample type for all its planes.
void check_frame_plane(const esr_plane &plane, std::size_t index, const Format &format,
                       const esr_frame &frame) {
  const int sub_x = index == 0 ? 1 : format.sub_x;
  const int sub_y = index == 0 ? 1 : format.sub_y;
  const std::string name = "plane " + std::to_string(index);
  if (plane.width != (frame.width + sub_x - 1) / sub_x ||
      plane.height != (frame.height + sub_y - 1) / sub_y) {
    raise(PyExc_ValueError, name + " does not have the size that " + format.name + " asks");
  }
  if (plane.sample_type != (frame.bit_depth == 8 ? ESR_SAMPLE_UINT8 : ESR_SAMPLE_UINT16)) {
    raise(PyExc_ValueError,
          name + " does not hold samples of " + std::to_string(frame.bit_depth) + " bits");
  }
}

template <class AnyArray>
esr_frame frame_of(const std::vector<AnyArray> &arrays, const Format &format,
                   esr_chroma_location location, int bit_depth) {
  const std::size_t wanted = format.value == ESR_FORMAT_GREY ? 1 : 3;
  if (arrays.size() != wanted) {
    const std::string count = std::to_string(arrays.size());
    raise(PyExc_ValueError, count + " planes are no frame of format " + format.name);
  }
  esr_frame frame;
  esr_frame_init(&frame);
  frame.format = format.value;
  frame.bit_depth = bit_depth;
  frame.chroma_location = location;
  for (std::size_t i = 0; i < wanted; ++i) {
    const esr_plane plane = plane_of(arrays[i], bit_depth);
    if (i == 0) {
      frame.width = plane.width;
      frame.height = plane.height;
    }
    check_frame_plane(plane, i, format, frame);
    frame.data[i] = plane.data;
    frame.stride_bytes[i] = plane.stride_bytes;
  }
  return frame;
}

class Upscaler {
 public:
  Upscaler(const nb::bytes &model, const std::string &precision, int threads, int tile_size,
           const std::string &device) {
    esr_options options;
    esr_options_init(&options);
    options.precision = precision.c_str();
    options.num_threads = threads;
    options.tile_size = tile_size;
    options.device = device.c_str();
    check(esr_upscaler_open_buffer(model.data(), model.size(), &options, &handle_));
  }
  ~Upscaler() { esr_upscaler_close(&handle_); }
  Upscaler(const Upscaler &) = delete;
  Upscaler &operator=(const Upscaler &) = delete;

  void upscale(const ConstArray &lr, const Array &sr, int bit_depth) {
    const esr_plane from = plane_of(lr, bit_depth);
    const esr_plane to = plane_of(sr, bit_depth);
    run([&] { return esr_upscale_plane(handle_, &from, &to); });
  }

  void upscale_frame(const std::vector<ConstArray> &lr, const std::vector<Array> &sr,
                     const std::string &format, const std::string &location, int bit_depth) {
    const Format &layout = format_named(format);
    const esr_chroma_location where = location_named(location);
    const esr_frame from = frame_of(lr, layout, where, bit_depth);
    const esr_frame to = frame_of(sr, layout, where, bit_depth);
    run([&] { return esr_upscale_frame(handle_, &from, &to); });
  }

  esr_info info() const {
    esr_info info;
    esr_info_init(&info);
    check(esr_upscaler_get_info(handle_, &info));
    return info;
  }

 private:
  // Without Python's lock, so that other threads go on; calls of this upscaler take turns.
  template <class Call>
  void run(const Call &call) {
    esr_status status = ESR_OK;
    {
      const nb::gil_scoped_release unlocked;
      const std::lock_guard<std::mutex> turn(mutex_);
      status = call();
    }
    check(status);
  }

  esr_upscaler *handle_ = nullptr;
  std::mutex mutex_;
};

}  // namespace

NB_MODULE(_core, module) {
  nb::set_leak_warnings(false);  // an interpreter that ends with open models is no error
  module.doc() = "The native engine.";
  module.def("version", &esr_version, "Release of the native library.");
  nb::class_<Upscaler>(module, "Upscaler", "An open model; calls from several threads take turns.")
      .def(nb::init<const nb::bytes &, const std::string &, int, int, const std::string &>(),
           nb::arg("model"), nb::arg("precision"), nb::arg("threads") = 0, nb::arg("tile_size") = 0,
           nb::arg("device") = "cpu",
           "Open the content of model.native: on device cpu in fp32, bf16 or int8 on `threads` "
           "threads, 0 for one per physical core, with tiles of `tile_size` LR pixels, 0 for what "
           "suits the cache; on device cuda in fp16.")
      .def("upscale", &Upscaler::upscale, nb::arg("lr"), nb::arg("sr"), nb::arg("bit_depth") = 8,
           "Upscale HxW uint8, uint16 of `bit_depth` bits or float32 grey levels into `sr`.")
      .def("upscale_frame", &Upscaler::upscale_frame, nb::arg("lr"), nb::arg("sr"),
           nb::arg("format"), nb::arg("location"), nb::arg("bit_depth") = 8,
           "Upscale the planes of a frame into those of `sr`: luma by the network, chroma, which "
           "lies left, center, top_left or top, bicubically.")
      .def_prop_ro("scale", [](const Upscaler &self) { return self.info().scale; })
      .def_prop_ro("radius",
                   [](const Upscaler &self) { return self.info().receptive_field_radius; })
      .def_prop_ro("threads", [](const Upscaler &self) { return self.info().num_threads; })
      .def_prop_ro("precision",
                   [](const Upscaler &self) { return std::string(self.info().precision); })
      .def_prop_ro("device", [](const Upscaler &self) { return std::string(self.info().device); })
      .def_prop_ro("isa", [](const Upscaler &self) { return std::string(self.info().isa); });
}
