// The safetensors view: any bytes are tensors inside the buffer or an Error.
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "fuzz_target.h"

namespace {

// Reads every tensor that the header names; a sanitizer watches the bounds.
void read_all(const esr::SafeTensors &tensors, const esr::Json &header) {
  for (const esr::Json::Member &member : header.as_object("the header")) {
    if (member.first == "__metadata__") continue;
    require_law(tensors.contains(member.first), "every tensor of the header is there");
    std::vector<std::int64_t> shape;
    std::size_t count = 1;
    for (const esr::Json &side : member.second.at("shape").as_array("shape")) {
      shape.push_back(side.as_integer("a side", 1, std::int64_t{1} << 24));
      count *= static_cast<std::size_t>(shape.back());
    }
    if (member.second.at("dtype").as_string("dtype") == "I8") {
      require_law(tensors.bytes(member.first, shape).size() == count, "bytes fill the shape");
      continue;
    }
    try {
      require_law(tensors.floats(member.first, shape).size() == count, "floats fill the shape");
    } catch (const esr::Error &) {
      // Not finite.
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  try {
    const esr::SafeTensors tensors(data, size);
    std::size_t length = 0;
    for (std::size_t i = 0; i < 8; ++i) length |= std::size_t{data[i]} << (8 * i);
    const std::string_view text(reinterpret_cast<const char *>(data) + 8, length);
    read_all(tensors, esr::Json::parse(text));
  } catch (const esr::Error &error) {
    require_law(error.status() == esr::Status::kModelFormat, "refused as malformed");
  }
  return 0;
}
