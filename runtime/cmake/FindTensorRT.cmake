# TensorRT with its ONNX parser: from the system, or from an unpacked SDK at TENSORRT_ROOT, a CMake
# or an environment variable. Gives TensorRT::TensorRT.
set(places ${TENSORRT_ROOT} $ENV{TENSORRT_ROOT})
set(folders lib lib64 targets/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu/lib)
find_path(TensorRT_INCLUDE_DIR NvInfer.h HINTS ${places} PATH_SUFFIXES include)
find_path(TensorRT_PARSER_INCLUDE_DIR NvOnnxParser.h HINTS ${places} PATH_SUFFIXES include)
find_library(TensorRT_LIBRARY nvinfer HINTS ${places} PATH_SUFFIXES ${folders})
find_library(TensorRT_PARSER_LIBRARY nvonnxparser HINTS ${places} PATH_SUFFIXES ${folders})
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_PARSER_INCLUDE_DIR
  TensorRT_LIBRARY TensorRT_PARSER_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRT REQUIRED_VARS
  TensorRT_INCLUDE_DIR TensorRT_PARSER_INCLUDE_DIR TensorRT_LIBRARY TensorRT_PARSER_LIBRARY)

if(TensorRT_FOUND AND NOT TARGET TensorRT::TensorRT)
  add_library(TensorRT::TensorRT INTERFACE IMPORTED)
  target_include_directories(TensorRT::TensorRT SYSTEM INTERFACE
    ${TensorRT_INCLUDE_DIR} ${TensorRT_PARSER_INCLUDE_DIR})
  target_link_libraries(TensorRT::TensorRT INTERFACE
    ${TensorRT_LIBRARY} ${TensorRT_PARSER_LIBRARY})
endif()
