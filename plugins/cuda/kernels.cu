/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the row codec, a module. Compile with -fmad=false: docs/FORMAT.md has no fma. */
#include "kernel_list.h"
#include "check.cuh"
#include "encode.cuh"
#include "decode.cuh"
#include "query.cuh"
#include "score.cuh"
#include "score_mma.cuh"
#include "topk.cuh"
#include "encode_rht.cuh"
#include "decode_rht.cuh"

extern "C" __global__ void tqc_decode(tqc_plan p, const uint8_t *codes, size_t n, void *x, int dtype,
				      size_t stride)
{
	decode_rows<grid_levels>(p, codes, n, x, dtype, stride);
}

extern "C" __global__ void tqc_score(tqc_plan p, const uint8_t *prepared, unsigned nq, const uint8_t *codes,
				     const uint32_t *ids, size_t n, float *scores, size_t ld)
{
	score_rows<grid_levels>(p, prepared, nq, codes, ids, n, scores, ld);
}

TQC_ENCODE_KERNELS(TQC_ENCODE_KERNEL)
TQC_DECODE_KERNELS(TQC_DECODE_KERNEL)
TQC_SCORE_KERNELS(TQC_SCORE_KERNEL)
