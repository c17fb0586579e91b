// The part of TensorRT's ONNX parser that the plugin uses: it knows the ready bundle's graphs.
#pragma once

#include <NvInfer.h>

namespace nvonnxparser {

class IParserError {
 public:
  const char *desc() const { return "not a graph of the ready bundle"; }
  const char *nodeName() const { return "/first/Conv"; }
};

// Holds the network's weights: without it there is nothing to build.
class IParser {
 public:
  ~IParser() { network->graph.clear(); }
  bool parse(const void *graph, std::size_t size);
  int getNbErrors() const { return 1; }
  const IParserError *getError(int) const { return &error; }

  nvinfer1::INetworkDefinition *network = nullptr;
  IParserError error;
};

IParser *createParser(nvinfer1::INetworkDefinition &network, nvinfer1::ILogger &logger);

}  // namespace nvonnxparser
