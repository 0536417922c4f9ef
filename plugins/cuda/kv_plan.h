/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_KV_PLAN_H
#define TQ_CUDA_KV_PLAN_H

/* What the kernels of kv.cu are told by kv_ops.c; plain data, passed by value, as in device_plan.h. */

#include <stdint.h>

/*
 * Rows that stay in 16 bits: areas of @sinks + @ring places, an area per sequence; a place has the keys of all
 * heads, then the values. Positions below @sinks have the place of their number, others
 * sinks + (position - sinks) % ring; the last @recent of a sequence are attended.
 */
struct tqc_raw {
	uint8_t *rows;
	uint32_t sinks, recent, ring, type;
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
	uint32_t first_side, sides; /* of keys, 0, and values, 1, those that a launch codes: from the first on, so many */
	uint32_t raw_dim, raw_at; /* further coordinates of a key, in 16 bits: kv_mla.cuh; 0 for none */
	int32_t raw_type;
	uint32_t raw_row; /* coordinates of a head's key and value, of rows in 16 bits */
	const float *centre; /* taken off keys: kv_heads x dim, or NULL */
	const int64_t *raw_slots;
	struct tqc_raw raw;
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
	const float *sink_logits, *centre;
	uint32_t key_levels[4], value_levels[4];
	/* of kernels for any bits, kv_wide.cuh; levels of trellis codes are those of all states, of so many bits: kv_trellis.cuh */
	const int16_t *key_odd, *value_odd;
	uint32_t key_bits, value_bits, key_window, value_window;
	uint32_t value_table, tables; /* in shared memory: where that of values is, 0 for the same as keys have; bytes of both */
	const void *query;
	void *out;
	uint64_t query_stride, out_stride;
	float *lse;
	uint8_t *queries; /* scratch: prepared queries, sums of splits, their tops and totals */
	float *sums, *tops;
	uint32_t key_dim, dim, keep_sinks, reserved; /* @dim: of values */
	/* 16-bit rows: areas of sequences; scratch as of splits, @raw_chunks of TQC_RAW_CHUNK tokens a unit, and weights */
	struct tqc_raw raw;
	const uint32_t *areas;
	uint32_t raw_chunks, page_tokens;
	float *raw_sums, *raw_tops, *raw_weights;
	/* attention mass of pages, or NULL; scratch: of each unit, tile and row (top, sum), and (top, total) of rows */
	float *page_mass, *tile_mass, *totals;
	uint32_t mass_tiles, mass_pages, sequences;
	uint32_t flush_tiles; /* TQC_FLUSH_TILES, or 0 to look after every tile */
};

#endif
