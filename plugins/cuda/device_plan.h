/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_DEVICE_PLAN_H
#define TQ_CUDA_DEVICE_PLAN_H

/*
 * What a kernel knows of a plan: struct tq_plan (tq/plugin.h) flattened, its tables in device
 * memory. Shared by the host code (C) and the kernels (CUDA C); plain data, passed by value.
 */

#include <stdint.h>

enum {
	TQC_ROT_NONE,
	TQC_ROT_RHT,
	TQC_ROT_DENSE,
	TQC_ROT_GIVENS,
};

struct tqc_rotation {
	uint32_t kind, dim, window, rounds, roll, reserved;
	const float *signs;
	const float *rows;
	const float *columns;
	const uint32_t *order;
	const float *cosines;
	const float *sines;
};

struct tqc_section {
	uint32_t width, shift, at, bytes;
};

/*
 * Where a rotated coordinate lies among the thresholds, by look-up. A row's coordinates are at most sqrt(d) times
 * their root mean square r; y * bucket_unit / r + half of the buckets * 8 + 4, rounded down to a multiple of 8, is the
 * place of its bucket, of which none has more than one threshold.
 * @bound: that, infinity for none
 * @below: the index below it
 */
#define TQC_BUCKETS 256

struct tqc_bucket {
	float bound, below;
};

struct tqc_plan {
	uint32_t dim, index_bits, correction, effort;
	uint32_t center, scale, query, row_bytes;
	uint32_t cross_at, rnorm_at, nsections, sketch_at;
	struct tqc_section section[3];
	uint32_t count, planes;
	float half_step, coef, centre_norm2, bucket_unit;
	uint32_t query_bytes, has_sketch;
	const float *centre;
	const int16_t *odd;
	const float *bounds;
	const struct tqc_bucket *buckets;
	struct tqc_rotation rot, sketch;
};

/*
 * A prepared query in device memory: this head, then planes of stride `padded` bytes (integers) or
 * 4 * padded bytes (float query), the sketch's after the query's. padded = dim rounded up to 64.
 */
struct tqc_query_head {
	float scale, sketch_scale, add;
	uint32_t pad;
	int64_t sum, sketch_sum;
	uint8_t reserved[32];
};

/* Problems of one shape in one launch, grid.y of them: how far apart their arrays are */
struct tqc_batch {
	uint64_t query_stride, code_stride, score_stride;
};

#endif
