/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows to tiles of levels. Sixteen rows' registers are transposed by dwords: pieces of 16 bytes go
 * four rows to a register, each 128 bits of four registers are transposed, and the dwords of
 * sixteen rows lie in order. Codes of one field are bytes that stand for themselves, so they are
 * transposed first and decoded then, which saves the more, the fewer bits there are.
 *
 * Rows that fill half or a quarter of their registers (fold 2, 4) put as many registers into one
 * tile, one below the other.
 *
 * Rows in blocks are in that order already.
 */

#include "amx.h"
#include "block.h"
#include "score.h"

#define PIECE 16

/* What the levels of sixteen rows pass through, of codes with several fields */
struct decoded {
	uint8_t hi[LEVEL_VECTORS][TILE_ROWS][64];
	uint8_t lo[LEVEL_VECTORS][TILE_ROWS][64];
};

LEVELS_INLINE __m128i load_piece(const uint8_t *p, __mmask16 mask, int masked)
{
	if (masked)
		return _mm_maskz_loadu_epi8(mask, p);
	return _mm_loadu_si128((const __m128i *)p);
}

/* 16 bytes at @off of rows 0, 4, 8 and 12 */
LEVELS_INLINE __m512i four_rows(const uint8_t *const *row, size_t off, __mmask16 mask, int masked)
{
	__m512i x = _mm512_castsi128_si512(load_piece(row[0] + off, mask, masked));

	x = _mm512_inserti32x4(x, load_piece(row[4] + off, mask, masked), 1);
	x = _mm512_inserti32x4(x, load_piece(row[8] + off, mask, masked), 2);
	return _mm512_inserti32x4(x, load_piece(row[12] + off, mask, masked), 3);
}

/* 16 bytes at @off of each row to four dwords of sixteen rows */
LEVELS_INLINE void transpose_piece(const uint8_t *const *row, size_t off, __mmask16 mask,
				   int masked, __m512i *dword)
{
	__m512i r0 = four_rows(row, off, mask, masked), r1 = four_rows(row + 1, off, mask, masked);
	__m512i r2 = four_rows(row + 2, off, mask, masked);
	__m512i r3 = four_rows(row + 3, off, mask, masked);
	__m512i low01 = _mm512_unpacklo_epi32(r0, r1), high01 = _mm512_unpackhi_epi32(r0, r1);
	__m512i low23 = _mm512_unpacklo_epi32(r2, r3), high23 = _mm512_unpackhi_epi32(r2, r3);

	dword[0] = _mm512_unpacklo_epi64(low01, low23);
	dword[1] = _mm512_unpackhi_epi64(low01, low23);
	dword[2] = _mm512_unpacklo_epi64(high01, high23);
	dword[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* Where dword @k of register @v belongs */
LEVELS_INLINE uint8_t *place(struct level_tile *tile, uint32_t v, uint32_t k, uint32_t fold)
{
	return tile[2 * (v / fold)].dword[v % fold * (16 / fold) + k];
}

/* Piece @i of a chunk at @off: transpose, then decode */
LEVELS_INLINE void fill_piece(const struct level_tables *t, const uint8_t *const *row, size_t off,
			      uint32_t i, __mmask16 mask, int masked, struct level_tile *tile,
			      uint32_t bits, uint32_t fold)
{
	__m512i dword[4], hi[LEVEL_VECTORS];
	uint32_t k, v;

	transpose_piece(row, off + PIECE * i, mask, masked, dword);
#pragma GCC unroll 4
	for (k = 0; k < 4; k++) {
		levels_of_fields(t, dword + k, bits, hi, hi);
#pragma GCC unroll 8
		for (v = 0; v < levels_vectors(bits); v++)
			_mm512_store_si512(place(tile, v, 4 * i + k, fold), hi[v]);
	}
}

/* The query is zero where a row has nothing */
LEVELS_INLINE void clear_piece(uint32_t i, struct level_tile *tile, uint32_t bits, uint32_t fold)
{
	uint32_t k, v;

	for (v = 0; v < levels_vectors(bits); v++)
		for (k = 0; k < 4; k++)
			_mm512_store_si512(place(tile, v, 4 * i + k, fold),
					   _mm512_setzero_si512());
}

/* A chunk of one field. @tail: which of its bytes exist */
LEVELS_INLINE void fill_field(const struct level_tables *t, const uint8_t *const *row, size_t off,
			      uint64_t tail, int whole, struct level_tile *tile, uint32_t bits,
			      uint32_t fold)
{
	__mmask16 mask;
	uint32_t i;

	for (i = 0; i < 4 / fold; i++) {
		mask = (__mmask16)(tail >> PIECE * i);
		if (!mask)
			clear_piece(i, tile, bits, fold);
		else if (whole || mask == 0xffff)
			fill_piece(t, row, off, i, 0, 0, tile, bits, fold);
		else
			fill_piece(t, row, off, i, mask, 1, tile, bits, fold);
	}
}

/* Register @v of sixteen rows */
LEVELS_INLINE void transpose_decoded(const uint8_t (*from)[64], struct level_tile *tile, uint32_t v,
				     uint32_t fold)
{
	const uint8_t *row[TILE_ROWS];
	__m512i dword[4];
	uint32_t i, k;

	for (k = 0; k < TILE_ROWS; k++)
		row[k] = from[k];
	for (i = 0; i < 4 / fold; i++) {
		transpose_piece(row, PIECE * i, 0, 0, dword);
		for (k = 0; k < 4; k++)
			_mm512_store_si512(place(tile, v, 4 * i + k, fold), dword[k]);
	}
}

/* A chunk of several fields, at @off in each of them: decode, then transpose */
LEVELS_INLINE void fill_fields(const struct level_tables *t, const uint8_t *const *row,
			       const size_t *off, const uint64_t *tail, struct level_tile *tile,
			       size_t between, uint32_t bits, uint32_t fold)
{
	struct decoded decoded __attribute__((aligned(64)));
	__m512i hi[LEVEL_VECTORS], lo[LEVEL_VECTORS];
	const uint8_t *p[3];
	uint32_t r, v;

	for (r = 0; r < TILE_ROWS; r++) {
		p[0] = row[r] + off[0];
		p[1] = row[r] + off[1];
		p[2] = row[r] + off[2];
		levels_decode(t, p, tail, bits, hi, lo);
		for (v = 0; v < levels_vectors(bits); v++) {
			_mm512_store_si512(decoded.hi[v][r], hi[v]);
			if (bits > 4)
				_mm512_store_si512(decoded.lo[v][r], lo[v]);
		}
	}
	for (v = 0; v < levels_vectors(bits); v++) {
		transpose_decoded((const uint8_t(*)[64])decoded.hi[v], tile, v, fold);
		if (bits > 4)
			transpose_decoded((const uint8_t(*)[64])decoded.lo[v],
					  tile + between, v, fold);
	}
}

LEVELS_INLINE void fetch_rows(const uint8_t *const *row, size_t at)
{
	uint32_t r;

	for (r = 0; r < TILE_ROWS; r++)
		_mm_prefetch((const char *)row[r] + at, _MM_HINT_T0);
}

LEVELS_INLINE void fill(const struct shape *s, const uint8_t *const *row, size_t ahead, int whole,
			size_t first, size_t n, struct level_tile *tile, size_t lo, uint32_t bits,
			uint32_t fold)
{
	uint32_t fields = levels_fields(bits), k;
	struct level_tables t;
	size_t off[3], c;
	int rest;

	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (c = first; c < first + n; c++, tile += 2 * levels_vectors(bits)) {
		for (k = 0; k < 3; k++)
			off[k] = s->at[k] + (k < fields ? c * levels_step(bits, k) : 0);
		fetch_rows(row, off[fields - 1] + ahead);
		rest = c >= s->chunks;
		if (fields == 1 && bits < 8)
			fill_field(&t, row, off[0], rest ? s->tail[0] : ~0ull, whole, tile, bits,
				   fold);
		else
			fill_fields(&t, row, off, rest ? s->tail : NULL, tile, lo, bits, fold);
	}
}

#define FILL(bits, fold)                                                                           \
	static void fill_##bits##_##fold(const struct shape *s, const uint8_t *const *row,         \
					 size_t ahead, int whole, size_t first, size_t n,          \
					 struct level_tile *tile, size_t lo)                       \
	{                                                                                          \
		fill(s, row, ahead, whole, first, n, tile, lo, bits, fold);                        \
	}

FILL(1, 1)
FILL(1, 2)
FILL(1, 4)
FILL(2, 1)
FILL(2, 2)
FILL(2, 4)
FILL(3, 1)
FILL(3, 2)
FILL(3, 4)
FILL(4, 1)
FILL(4, 2)
FILL(5, 1)
FILL(6, 1)
FILL(7, 1)
FILL(8, 1)

void avx512_amx_fill(const struct shape *shape, uint32_t fold, const uint8_t *const *row,
		     size_t ahead, int whole, size_t first, size_t n, struct level_tile *tile,
		     size_t lo)
{
	static void (*const fills[][3])(const struct shape *s, const uint8_t *const *row,
					size_t ahead, int whole, size_t first, size_t n,
					struct level_tile *tile, size_t lo) = {
		{NULL},
		{fill_1_1, fill_1_2, fill_1_4},
		{fill_2_1, fill_2_2, fill_2_4},
		{fill_3_1, fill_3_2, fill_3_4},
		{fill_4_1, fill_4_2},
		{fill_5_1},
		{fill_6_1},
		{fill_7_1},
		{fill_8_1},
	};

	fills[shape->bits][fold / 2](shape, row, ahead, whole, first, n, tile, lo);
}

/* One chunk of a block of one or two fields */
LEVELS_INLINE void fill_chunk(const struct level_tables *t, const uint8_t *wide, const uint8_t *narrow,
			      uint32_t dwords, struct level_tile *tile, uint32_t bits, uint32_t fold)
{
	__m512i level[LEVEL_VECTORS], other = _mm512_setzero_si512();
	uint32_t v, k;

	for (k = 0; k < 16 / fold; k++, wide += 64) {
		if (k >= dwords) {
			for (v = 0; v < levels_vectors(bits); v++)
				_mm512_store_si512(place(tile, v, k, fold), _mm512_setzero_si512());
			continue;
		}
		if (bits == 3)
			other = _mm512_load_si512(narrow + k / 2 * 64);
		if (bits == 3 && k % 2)
			block_levels(t, keep(_mm512_load_si512(wide)), other, 1, bits, level);
		else
			block_levels(t, keep(_mm512_load_si512(wide)), other, 0, bits, level);
		for (v = 0; v < levels_vectors(bits); v++)
			_mm512_store_si512(place(tile, v, k, fold), level[v]);
	}
}

LEVELS_INLINE void fill_blocks(const struct tq_plan *plan, const struct shape *s, uint32_t fold,
			       const uint8_t *block, size_t first, size_t n, struct level_tile *tile,
			       uint32_t bits)
{
	const uint8_t *wide = block + tq_block_field_at(plan, plan->layout.nsections - 1) + first * 1024;
	const uint8_t *narrow = block + tq_block_field_at(plan, 0) + first * 512;
	size_t dwords = block_dwords(plan) - 16 * first, c;
	struct level_tables t;
	uint32_t left;

	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (c = 0; c < n; c++, tile += 2 * levels_vectors(bits), wide += 1024, narrow += 512) {
		left = dwords - 16 * c < 16 ? (uint32_t)(dwords - 16 * c) : 16;
		if (fold == 1)
			fill_chunk(&t, wide, narrow, left, tile, bits, 1);
		else if (fold == 2)
			fill_chunk(&t, wide, narrow, left, tile, bits, 2);
		else
			fill_chunk(&t, wide, narrow, left, tile, bits, 4);
	}
}

void avx512_amx_fill_blocks(const struct tq_plan *plan, const struct shape *shape, uint32_t fold,
			    const uint8_t *block, size_t first, size_t n, struct level_tile *tile)
{
	switch (shape->bits) {
	case 1:
		fill_blocks(plan, shape, fold, block, first, n, tile, 1);
		break;
	case 2:
		fill_blocks(plan, shape, fold, block, first, n, tile, 2);
		break;
	case 3:
		fill_blocks(plan, shape, fold, block, first, n, tile, 3);
		break;
	default:
		fill_blocks(plan, shape, fold, block, first, n, tile, 4);
	}
}
