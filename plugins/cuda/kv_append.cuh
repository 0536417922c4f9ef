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

/* Where a row of slot @slot is: its tile, its side's codes and scales there, its token of the tile */
struct append_place {
	uint8_t *tile, *codes, *scales;
	unsigned token;

	__device__ __forceinline__ append_place(const tqc_append &a, bool value, unsigned head, int64_t slot)
	{
		const uint64_t page = (uint64_t)slot / a.page_tokens;
		const unsigned in_page = (unsigned)((uint64_t)slot % a.page_tokens);

		token = in_page % TQC_TILE_TOKENS;
		tile = a.pages + page * a.page_bytes +
		       (head * (size_t)(a.page_tokens / TQC_TILE_TOKENS) + in_page / TQC_TILE_TOKENS) * a.tile_bytes;
		codes = tile + (value ? a.value_at : 0);
		scales = tile + (value ? a.value_scale_at : a.key_scale_at);
	}

	/* the scale that a coded @row begins with */
	__device__ __forceinline__ void put_scale(const tqc_plan &p, const uint8_t *row) const
	{
		const unsigned place = 4 * (token & 7) + (token >> 3);

		if (p.scale == F32)
			((uint32_t *)scales)[place] = row[0] | row[1] << 8 | row[2] << 16 | (uint32_t)row[3] << 24;
		else
			((uint16_t *)scales)[place] = (uint16_t)(row[0] | row[1] << 8);
	}
};

/* The row to be coded to @y, less its centre if it has one, turned; its exponent and squared norm */
static __device__ __forceinline__ void load_turned(const tqc_plan &p, const tqc_append &a, const uint8_t *x, bool value, unsigned head,
						   float *y, float *spare, int *e, float *norm2, encode_box *box)
{
	const float *centre = value || !a.centre ? NULL : a.centre + head * (size_t)p.dim;
	float cross;

	for (unsigned i = threadIdx.x; centre && i < p.dim; i += blockDim.x)
		y[i] = load_element(x, a.dtype, i) - centre[i];
	load_row(p, centre ? (const void *)y : x, centre ? (int)F32 : a.dtype, y, CENTER_OFF, box, e, norm2, &cross);
	rotate(p.rot, y, spare);
	__syncthreads();
}

static __device__ void append_row(const tqc_plan &p, const tqc_append &a, const uint8_t *x, bool value, unsigned head,
				  int64_t slot, float *shared, encode_box *box)
{
	float *y = shared, *spare = y + p.dim, *bound = spare + p.dim;
	uint8_t *row = (uint8_t *)(bound + (p.effort ? 17 * 256 : 256));
	const append_place to(a, value, head, slot);
	unsigned padded = TQC_KV_PADDED(p.dim);
	float norm2;
	int e;

	load_turned(p, a, x, value, head, y, spare, &e, &norm2, box);
	quantize_row(p, y, spare, bound, row, e, norm2, 0.0f, box);
	__syncthreads();
	for (unsigned i = threadIdx.x; i < p.dim; i += blockDim.x)
		put_code(to.codes, padded, p.index_bits, value ? value_place(to.token, i) : key_place(padded, to.token, i),
			 code_of(p, row, i));
	if (!value && a.raw_dim)
		raw_append(a, x, p.dim, to.tile, to.token);
	if (threadIdx.x == 0)
		to.put_scale(p, row);
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

/* The row of head @head of token @token */
static __device__ __forceinline__ const uint8_t *append_source(const tqc_plan &p, const tqc_append &a, bool value, unsigned head,
							       size_t token)
{
	return (value ? a.values : a.keys) + (token * (value ? a.value_stride : a.key_stride) +
					      head * (size_t)(p.dim + (value ? 0 : a.raw_dim))) *
						     (a.dtype == F32 ? 4 : 2);
}

/* grid: sides x heads x tokens; a token of a negative slot is left out */
extern "C" __global__ void tqc_kv_append(const __grid_constant__ tqc_plan keys, const __grid_constant__ tqc_plan values,
					 tqc_append a)
{
	extern __shared__ float shared[];
	__shared__ encode_box box;
	const bool value = a.first_side + blockIdx.x % a.sides;
	const tqc_plan &p = value ? values : keys;
	unsigned head = blockIdx.x / a.sides % a.kv_heads;
	size_t token = blockIdx.x / a.sides / a.kv_heads;
	const uint8_t *x = append_source(p, a, value, head, token);
	int64_t slot = a.slots[token];

	if (a.raw_slots && a.raw_slots[token] >= 0)
		keep_row(a, x, p.dim, value, head, (uint64_t)a.raw_slots[token]);
	if (slot >= 0)
		append_row(p, a, x, value, head, slot, shared, &box);
}
