/* SPDX-License-Identifier: Apache-2.0 */
/* Input that must not be encoded: a warp per row looks for NaN and infinity. */
#pragma once
#include "row.cuh"

/* the number of the first row with a value that is not finite, also less the centre, by atomicMin */
extern "C" __global__ void tqc_check(tqc_plan p, const void *x, int dtype, size_t stride, size_t n,
				     unsigned long long *first)
{
	size_t warps = (size_t)gridDim.x * (blockDim.x >> 5);

	for (size_t row = (size_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); row < n; row += warps) {
		const char *at = (const char *)x + row * stride * (dtype == F32 ? 4 : 2);
		bool bad = false;

		for (unsigned i = threadIdx.x & 31; i < p.dim; i += 32) {
			float v = load_element(at, dtype, i);

			if (p.center != CENTER_OFF)
				v = v - p.centre[i];
			bad |= (__float_as_uint(v) & 0x7f800000u) == 0x7f800000u;
		}
		if (bad)
			atomicMin(first, (unsigned long long)row);
	}
}
