// edge_sr._native: FsrcnnStep for Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "fsrcnn_step.h"

namespace nb = nanobind;
using esr::training::FsrcnnStep;
using esr::training::Network;
using esr::training::ParameterLayout;

namespace {

using Input = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

// Sizes are checked here, since nothing behind this looks at them again.
template <class Array>
void require(const Array &array, const char *name, std::int64_t floats) {
  if (static_cast<std::int64_t>(array.size()) != floats) {
    PyErr_Format(PyExc_ValueError, "%s holds %zd floats, not %zd", name,
                 static_cast<Py_ssize_t>(array.size()), static_cast<Py_ssize_t>(floats));
    throw nb::python_error();
  }
}

class PythonStep {
 public:
  PythonStep(int d, int s, int m, int phases, int first_tap, int last_tap, int height, int width,
             int threads)
      : net_{d, s, m, phases, first_tap, last_tap},
        pixels_(static_cast<std::int64_t>(height) * width),
        step_(esr::training::make_fsrcnn_step(net_, height, width, threads)),
        layout_(net_) {}

  std::int64_t parameters() const { return layout_.parameters; }
  int scales() const { return layout_.scales; }
  std::int64_t saved_floats() const { return step_->saved_floats(); }
  const char *isa() const { return step_->isa(); }

  void forward(const Input &parameters, const Input &scales, const Input &lr, const Output &saved,
               const Output &phases, const std::optional<Output> &features) {
    const std::int64_t count = count_of(lr, "lr", pixels_);
    require_state(parameters, scales, saved, count);
    require(phases, "phases", count * net_.phases * pixels_);
    if (features) require(*features, "features", count * net_.d * pixels_);
    run([&] {
      step_->forward(static_cast<int>(count), parameters.data(), scales.data(), lr.data(),
                     saved.data(), phases.data(), features ? features->data() : nullptr);
    });
  }

  void backward(const Input &parameters, const Input &scales, const Output &saved,
                const Input &phases_gradient, const std::optional<Input> &features_gradient,
                const Output &gradients) {
    const std::int64_t count = count_of(phases_gradient, "phases_gradient", net_.phases * pixels_);
    require_state(parameters, scales, saved, count);
    if (features_gradient) {
      require(*features_gradient, "features_gradient", count * net_.d * pixels_);
    }
    require(gradients, "gradients", count * (layout_.parameters + layout_.scales));
    run([&] {
      step_->backward(static_cast<int>(count), parameters.data(), scales.data(), saved.data(),
                      phases_gradient.data(),
                      features_gradient ? features_gradient->data() : nullptr, gradients.data());
    });
  }

 private:
  static std::int64_t count_of(const Input &array, const char *name, std::int64_t floats) {
    const std::int64_t count = static_cast<std::int64_t>(array.size()) / floats;
    require(array, name, count * floats);
    return count;
  }

  void require_state(const Input &parameters, const Input &scales, const Output &saved,
                     std::int64_t count) const {
    require(parameters, "parameters", layout_.parameters);
    require(scales, "scales", layout_.scales);
    require(saved, "saved", count * step_->saved_floats());
  }

  // Without Python's lock; calls of one step take turns, since they share its memory.
  template <class Call>
  void run(const Call &call) {
    const nb::gil_scoped_release unlocked;
    const std::lock_guard<std::mutex> turn(mutex_);
    call();
  }

  Network net_;
  std::int64_t pixels_;
  std::unique_ptr<FsrcnnStep> step_;
  ParameterLayout layout_;
  std::mutex mutex_;
};

}  // namespace

NB_MODULE(_native, module) {
  nb::set_leak_warnings(false);
  module.doc() =
      "The training step of an FSRCNN on a CPU; "
      "edge_sr.models.native_step wraps it.";
  nb::register_exception_translator([](const std::exception_ptr &thrown, void *) {
    try {
      std::rethrow_exception(thrown);
    } catch (const esr::Error &error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    }
  });
  module.def("has_fsrcnn_step", &esr::training::has_fsrcnn_step,
             "Whether this CPU runs the step; others train faster by PyTorch.");
  nb::class_<PythonStep>(module, "FsrcnnStep", "All layers forward and backward, in float32.")
      .def(nb::init<int, int, int, int, int, int, int, int, int>(), nb::arg("d"), nb::arg("s"),
           nb::arg("m"), nb::arg("phases"), nb::arg("first_tap"), nb::arg("last_tap"),
           nb::arg("height"), nb::arg("width"), nb::arg("threads"),
           "For LR patches of height x width, a multiple of 16; ValueError "
           "otherwise.")
      .def_prop_ro("parameters", &PythonStep::parameters)
      .def_prop_ro("scales", &PythonStep::scales)
      .def_prop_ro("saved_floats", &PythonStep::saved_floats)
      .def_prop_ro("isa", &PythonStep::isa)
      .def("forward", &PythonStep::forward, nb::arg("parameters"), nb::arg("scales"), nb::arg("lr"),
           nb::arg("saved"), nb::arg("phases"), nb::arg("features").none(),
           "[N, 1, h, w] to `phases` [N, phases, h, w] and the expanding "
           "layer's `features`.")
      .def("backward", &PythonStep::backward, nb::arg("parameters"), nb::arg("scales"),
           nb::arg("saved"), nb::arg("phases_gradient"), nb::arg("features_gradient").none(),
           nb::arg("gradients"), "Gradients of each sample, [N, parameters + scales].");
}
