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

struct tqc_plan {
	uint32_t dim, index_bits, correction, effort;
	uint32_t center, scale, query, row_bytes;
	uint32_t cross_at, rnorm_at, nsections, sketch_at;
	struct tqc_section section[3];
	uint32_t count, planes;
	float half_step, coef, centre_norm2;
	uint32_t query_bytes, has_sketch;
	const float *centre;
	const int16_t *odd;
	const float *bounds;
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

/* New tokens for the tiles of a KV cache: kv_append.cuh; offsets are in a tile */
struct tqc_append {
	const uint8_t *keys, *values;
	uint64_t key_stride, value_stride;
	const int64_t *slots;
	uint8_t *pages;
	uint64_t page_bytes;
	uint32_t page_tokens, tile_bytes, value_at, key_scale_at, value_scale_at, kv_heads;
	int32_t dtype;
	uint32_t sides; /* 1: keys are the values too */
	uint32_t raw_dim, raw_at; /* further coordinates of a key, in 16 bits: kv_mla.cuh; 0 for none */
	int32_t raw_type;
	uint32_t reserved;
};

/* One attention call: kv_attend.cuh */
struct tqc_attend {
	const uint8_t *pages;
	const uint32_t *table, *lengths;
	uint64_t table_stride, page_bytes;
	uint32_t tile_shift, tile_bytes, key_scale_at, value_scale_at; /* 2^tile_shift tiles of a head in a page */
	int32_t key_scale, value_scale, dtype;
	uint32_t tokens, kv_heads, group, passes, splits, window;
	uint32_t raw_dim, raw_at; /* as in struct tqc_append */
	int32_t raw_type;
	float scale; /* of logits, in powers of two */
	float cap;   /* likewise; 0 for none */
	const float *sink_logits;
	uint32_t key_levels[4], value_levels[4];
	const void *query;
	void *out;
	uint64_t query_stride, out_stride;
	float *lse;
	uint8_t *queries; /* scratch: prepared queries, sums of splits, their tops and totals */
	float *sums, *tops;
};

/* Problems of one shape in one launch, grid.y of them: how far apart their arrays are */
struct tqc_batch {
	uint64_t query_stride, code_stride, score_stride;
};

#endif
