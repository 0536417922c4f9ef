/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trellis codes, a module of their own. Compile as kernels.cu. */
#include "kernel_list.h"
#include "tcq_list.h"
#include "tcq_encode.cuh"
#include "decode.cuh"
#include "tcq_score.cuh"

extern "C" __global__ void tqc_decode_tcq(tqc_plan p, const uint8_t *codes, size_t n, void *x, int dtype, size_t stride)
{
	decode_rows<trellis_levels>(p, codes, n, x, dtype, stride);
}

extern "C" __global__ void tqc_score_tcq(tqc_plan p, const uint8_t *prepared, unsigned nq, const uint8_t *codes,
					 const uint32_t *ids, size_t n, float *scores, size_t ld)
{
	score_rows<trellis_levels>(p, prepared, nq, codes, ids, n, scores, ld);
}

TQC_TCQ_ENCODE(TQC_TCQ_ENCODE_KERNEL)
TQC_TCQ_SCORE(TQC_SCORE_KERNEL)
