/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of fractions of a bit, a module of their own. Compile as kernels.cu. */
#include "radix.cuh"
#include "score.cuh"

extern "C" __global__ void tqc_encode_radix(tqc_plan p, const void *x, int dtype, size_t stride, size_t n, uint8_t *codes)
{
	__shared__ encode_box box;

	encode_radix(p, x, dtype, stride, n, codes, &box);
}

extern "C" __global__ void tqc_decode_radix(tqc_plan p, const uint8_t *codes, size_t n, void *x, int dtype, size_t stride)
{
	decode_rows<radix_levels>(p, codes, n, x, dtype, stride);
}

extern "C" __global__ void tqc_score_radix(tqc_plan p, const uint8_t *prepared, unsigned nq, const uint8_t *codes,
					   const uint32_t *ids, size_t n, float *scores, size_t ld)
{
	score_rows<radix_levels>(p, prepared, nq, codes, ids, n, scores, ld);
}
