// Upscales a colour picture of any format that OpenCV reads: upscale_colour BUNDLE IN OUT
//
// Luminance goes through the network, chroma is resized bicubically.
#include <edge_sr/edge_sr.h>

#include <iostream>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(esr_status status) {
  if (status != ESR_OK) throw std::runtime_error(esr_last_error());
}

struct Close {
  void operator()(esr_upscaler *upscaler) const { esr_upscaler_close(&upscaler); }
};
using Upscaler = std::unique_ptr<esr_upscaler, Close>;

Upscaler open(const std::string &bundle) {
  esr_upscaler *upscaler = nullptr;
  check(esr_upscaler_open(bundle.c_str(), nullptr, &upscaler));
  return Upscaler(upscaler);
}

int scale_of(const Upscaler &upscaler) {
  esr_info info;
  esr_info_init(&info);
  check(esr_upscaler_get_info(upscaler.get(), &info));
  return info.scale;
}

esr_plane plane_of(const cv::Mat &picture) {
  esr_plane plane;
  esr_plane_init(&plane);
  plane.data = picture.data;
  plane.width = picture.cols;
  plane.height = picture.rows;
  plane.stride_bytes = static_cast<ptrdiff_t>(picture.step);
  return plane;
}

cv::Mat upscale(const Upscaler &upscaler, const cv::Mat &bgr) {
  const int scale = scale_of(upscaler);
  cv::Mat ycrcb;
  cv::cvtColor(bgr, ycrcb, cv::COLOR_BGR2YCrCb);
  std::vector<cv::Mat> planes;
  cv::split(ycrcb, planes);
  cv::Mat luma(bgr.rows * scale, bgr.cols * scale, CV_8UC1);
  const esr_plane lr = plane_of(planes[0]);
  const esr_plane sr = plane_of(luma);
  check(esr_upscale_plane(upscaler.get(), &lr, &sr));
  for (int c = 1; c < 3; ++c) {
    cv::Mat chroma;
    cv::resize(planes[static_cast<size_t>(c)], chroma, luma.size(), 0, 0, cv::INTER_CUBIC);
    planes[static_cast<size_t>(c)] = chroma;
  }
  planes[0] = luma;
  cv::merge(planes, ycrcb);
  cv::Mat result;
  cv::cvtColor(ycrcb, result, cv::COLOR_YCrCb2BGR);
  return result;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 4) {
    std::cerr << "usage: upscale_colour BUNDLE IN OUT\n";
    return 2;
  }
  try {
    const Upscaler upscaler = open(argv[1]);
    const cv::Mat picture = cv::imread(argv[2], cv::IMREAD_COLOR);
    if (picture.empty()) throw std::runtime_error(std::string(argv[2]) + " is no picture");
    if (!cv::imwrite(argv[3], upscale(upscaler, picture))) {
      throw std::runtime_error(std::string(argv[3]) + " cannot be written");
    }
  } catch (const std::exception &error) {
    std::cerr << "upscale_colour: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
