// Planes to and from the samples of a graph: uint8, or float32 grey levels for all other planes.
#pragma once

#include "image/plane.h"
#include "threading/thread_pool.h"

namespace esr::tensorrt {

// Whether a plane takes the float twin of a graph.
inline bool needs_twin(SampleType type) { return type != SampleType::kUint8; }

// `graph` holds the rows without gaps. Samples of b bits are divided by 2^(b-8).
void to_graph(const ConstPlane &lr, void *graph, ThreadPool &pool);

// Multiplied back, rounded half to even and clamped; float32 planes are neither.
void from_graph(const void *graph, const Plane &sr, ThreadPool &pool);

}  // namespace esr::tensorrt
