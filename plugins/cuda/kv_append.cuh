/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New tokens into tiles: a block per row (token, head, key or value) encodes it in shared memory as
 * encode.cuh does, and puts its codes where kv_tile.cuh wants them.
 */
#pragma once
#include "encode.cuh"
#include "kv_tile.cuh"

static __device__ __forceinline__ unsigned code_of(const tqc_plan &p, const uint8_t *row, unsigned i)
{
	unsigned code = 0;

	for (unsigned f = 0; f < p.nsections; f++) {
		unsigned w = p.section[f].width, bit = i * w;

		code |= (row[p.section[f].at + bit / 8] >> (bit & 7) & ((1u << w) - 1)) << p.section[f].shift;
	}
	return code;
}

static __device__ void raw_append(const tqc_append &a, const uint8_t *x, size_t at, uint8_t *tile, unsigned token);

static __device__ void append_row(const tqc_plan &p, const tqc_append &a, const uint8_t *x, bool value, unsigned head,
				  int64_t slot, float *shared, encode_box *box)
{
	float *y = shared, *spare = y + p.dim, *bound = spare + p.dim;
	uint8_t *row = (uint8_t *)(bound + (p.effort ? 17 * 256 : 256));
	uint64_t page = (uint64_t)slot / a.page_tokens;
	unsigned in_page = (unsigned)((uint64_t)slot % a.page_tokens), token = in_page % TQC_TILE_TOKENS;
	uint8_t *tile = a.pages + page * a.page_bytes +
			(head * (size_t)(a.page_tokens / TQC_TILE_TOKENS) + in_page / TQC_TILE_TOKENS) * a.tile_bytes;
	uint8_t *codes = tile + (value ? a.value_at : 0), *scale = tile + (value ? a.value_scale_at : a.key_scale_at);
	unsigned place = 4 * (token & 7) + (token >> 3), padded = TQC_KV_PADDED(p.dim);
	float norm2, cross;
	int e;

	const float *centre = value || !a.centre ? NULL : a.centre + head * (size_t)p.dim;

	for (unsigned i = threadIdx.x; centre && i < p.dim; i += blockDim.x)
		y[i] = load_element(x, a.dtype, i) - centre[i];
	load_row(p, centre ? (const void *)y : x, centre ? (int)F32 : a.dtype, y, CENTER_OFF, box, &e, &norm2, &cross);
	rotate(p.rot, y, spare);
	__syncthreads();
	quantize_row(p, y, spare, bound, row, e, norm2, cross, box);
	__syncthreads();
	for (unsigned i = threadIdx.x; i < p.dim; i += blockDim.x)
		put_code(codes, padded, p.index_bits, value ? value_place(token, i) : key_place(padded, token, i), code_of(p, row, i));
	if (!value && a.raw_dim)
		raw_append(a, x, p.dim, tile, token);
	if (threadIdx.x)
		return;
	if (p.scale == F32)
		((uint32_t *)scale)[place] = row[0] | row[1] << 8 | row[2] << 16 | (uint32_t)row[3] << 24;
	else
		((uint16_t *)scale)[place] = (uint16_t)(row[0] | row[1] << 8);
}

/* The row @x to its place among those in 16 bits */
static __device__ __forceinline__ void keep_row(const tqc_append &a, const uint8_t *x, unsigned dim, bool value, unsigned head,
						uint64_t place)
{
	uint16_t *to = (uint16_t *)a.raw.rows + (size_t)a.kv_heads * (place * a.raw_row + (value ? a.raw_row - dim : 0)) + head * (size_t)dim;

	for (unsigned i = threadIdx.x; i < dim; i += blockDim.x)
		if (a.dtype == (int)a.raw.type)
			to[i] = ((const uint16_t *)x)[i];
		else
			store_element(to, (int)a.raw.type, i, load_element(x, a.dtype, i));
}

/* grid: sides x heads x tokens; a token of a negative slot is left out */
extern "C" __global__ void tqc_kv_append(const __grid_constant__ tqc_plan keys, const __grid_constant__ tqc_plan values,
					 tqc_append a)
{
	extern __shared__ float shared[];
	__shared__ encode_box box;
	const bool value = blockIdx.x % a.sides;
	const tqc_plan &p = value ? values : keys;
	unsigned head = blockIdx.x / a.sides % a.kv_heads;
	size_t token = blockIdx.x / a.sides / a.kv_heads;
	const uint8_t *x = (value ? a.values : a.keys) + (token * (value ? a.value_stride : a.key_stride) +
							  head * (size_t)(p.dim + (value ? 0 : a.raw_dim))) *
								 (a.dtype == F32 ? 4 : 2);
	int64_t slot = a.slots[token];

	if (a.raw_slots && a.raw_slots[token] >= 0)
		keep_row(a, x, p.dim, value, head, (uint64_t)a.raw_slots[token]);
	if (slot >= 0)
		append_row(p, a, x, value, head, slot, shared, &box);
}
