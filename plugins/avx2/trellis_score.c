/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes: sum_tile() of score_tile.c, with a tile that is decoded here, and queries in the
 * order of coordinates. Compiled twice, as score.c is.
 */

#include "score.h"
#include "trellis.h"

AVX2_INLINE void decode_row(const struct trellis_tables *t, const uint8_t *row, size_t first, size_t chunks, size_t r,
			    unsigned window, struct tile *tile)
{
	uint8_t room[16] __attribute__((aligned(16)));
	const uint8_t *field = lanes_field(&t->lanes, row, room);
	__m256i grid[2];
	size_t c;

	for (c = 0; c < chunks; c++) {
		trellis_grid(t, field, TRELLIS_GROUP * (first + c), window, grid);
		_mm256_store_si256(&tile->hi[2 * c][r], grid[0]);
		_mm256_store_si256(&tile->hi[2 * c + 1][r], grid[1]);
	}
}

static void decode_8(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks, struct tile *tile)
{
	size_t r;

	for (r = 0; r < ROWS; r++)
		decode_row(s->trellis, row[r], first, chunks, r, 8, tile);
}

static void decode_9(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks, struct tile *tile)
{
	size_t r;

	for (r = 0; r < ROWS; r++)
		decode_row(s->trellis, row[r], first, chunks, r, 9, tile);
}

static void code_shape(const struct tq_plan *plan, const void *state, struct shape *s)
{
	s->decode = plan->window == 8 ? decode_8 : decode_9;
	s->trellis = state;
	s->bits = plan->index_bits;
	s->dim = plan->dim;
	s->alpha = 2.0;
	s->beta = 127.0;
}

static uint32_t unpacked_planes(const struct tq_plan *plan)
{
	(void)plan;
	return 1;
}

static size_t unpacked_bytes(const struct tq_plan *plan)
{
	return lanes_padded(plan);
}

/* A row as a query of one plane, lanes_padded() bytes; returns its sum */
static int64_t unpack(const struct tq_plan *plan, const void *t, const uint8_t *row, int8_t *to)
{
	__m256i sum = _mm256_setzero_si256(), odd;
	size_t padded = lanes_padded(plan), at;

	trellis_row(plan, t, row, (uint8_t *)to);
	for (at = 0; at < padded; at += 32, to += 32) {
		odd = _mm256_load_si256((const __m256i *)to);
		odd = _mm256_sub_epi8(_mm256_add_epi8(odd, odd), _mm256_set1_epi8(127));
		odd = _mm256_and_si256(odd, byte_mask(at < plan->dim ? plan->dim - at : 0));
		_mm256_store_si256((__m256i *)to, odd);
		sum = dot_add(sum, _mm256_set1_epi8(1), odd);
	}
	return sum_i64(_mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)),
					_mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1))));
}

#include "score_decoded.h"

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, trellis_score_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_trellis_create,
	.destroy = avx2_trellis_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
