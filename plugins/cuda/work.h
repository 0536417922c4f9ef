/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_WORK_H
#define TQ_CUDA_WORK_H

/* Which kernel does a piece of work on device memory, and how it is launched. The context is
 * current. */

#include "state.h"

/** tqc_resident - how many blocks of a launch a processor holds at once */
unsigned tqc_resident(const struct tqc_device *dev, const struct tqc_launch *l);

CUresult tqc_work_encode(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x, int dtype,
			 size_t stride, size_t n, CUdeviceptr codes);
CUresult tqc_work_decode(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr codes,
			 size_t n, CUdeviceptr x, int dtype, size_t stride);
/** tqc_work_query - @adds: a float for each query in the place of what the centre adds, or 0 */
CUresult tqc_work_query(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x,
			size_t stride, size_t nq, CUdeviceptr adds, CUdeviceptr prepared);
CUresult tqc_work_check(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x, int dtype,
			size_t stride, size_t n, CUdeviceptr first);

/** tqc_work_score - @count problems, their arrays as far apart as @batch says */
CUresult tqc_work_score(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr prepared,
			size_t nq, CUdeviceptr codes, size_t n, CUdeviceptr scores, size_t ld,
			size_t count, const struct tqc_batch *batch);

/** tqc_topk_scratch - bytes of device memory that tqc_work_topk() needs */
size_t tqc_topk_scratch(size_t nq, size_t n, size_t k);
CUresult tqc_work_topk(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr prepared,
		       size_t nq, CUdeviceptr codes, size_t n, size_t k, CUdeviceptr ids,
		       CUdeviceptr scores, CUdeviceptr scratch);

#endif
