/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of trellis codes, FORMAT.md section 8: attend.c, but the bytes of a tile come from
 * windows, in the order of coordinates. A whole sum fits into 32 bits: 1024 * 16256 * 127 < 2^31. Compiled
 * twice, as score.c is.
 */

#include "attend.h"
#include "score.h"
#include "trellis.h"
#include "weights.h"

/* The rows of a call, chunk by chunk of 64 coordinates */
struct source {
	const struct tq_plan *plan;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	const struct trellis_tables *tables;
};

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last */
AVX2_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, unsigned window,
			   __m256i (*tile)[2 * REGISTERS])
{
	uint8_t room[16] __attribute__((aligned(16)));
	__m256i grid[4][2], rows[4];
	const uint8_t *field;
	size_t g, r, t;
	int v;

	for (g = 0; g < groups; g++, tile++) {
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + r < s->n ? first + 4 * g + r : s->n - 1;
			field = lanes_field(&s->tables->lanes, s->codes + t * s->plan->layout.row_bytes, room);
			trellis_grid(s->tables, field, TRELLIS_GROUP * s->chunk, window, grid[r]);
		}
		for (v = 0; v < 2; v++) {
			for (r = 0; r < 4; r++)
				rows[r] = grid[r][v];
			interleave(rows, *tile + 4 * v);
		}
	}
}

AVX2_INLINE void sum_chunk(const struct source *s, const struct weights *w, int nw, unsigned window,
			   struct chunk_sums *sums)
{
	__m256i tile[TILE_GROUPS][2 * REGISTERS];
	size_t first, groups;

	memset(sums->at[0], 0, (size_t)nw * sizeof(sums->at[0][0]));
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		fill_tile(s, first, groups, window, tile);
		add_tile(tile, 1, groups, w, nw, first, sums);
	}
}

/* f32(A) of the coordinates of register @j */
AVX2_INLINE __m256 coordinates(const struct chunk_sums *sums, int w, int j, int64_t sum)
{
	__m256i a = _mm256_add_epi32(_mm256_slli_epi32(sums->at[0][w][0][j], 7), sums->at[0][w][1][j]);

	return _mm256_cvtepi32_ps(
		_mm256_sub_epi32(_mm256_add_epi32(a, a), _mm256_set1_epi32((int32_t)(127 * sum))));
}

AVX2_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i, unsigned window,
				const struct chunk_sums *sums, float *out)
{
	size_t left = s->plan->dim - s->chunk * QUERY_CHUNK, c;
	float step = w->unit[i] * s->plan->codebook.half_step;
	_Alignas(32) float ordered[QUERY_CHUNK];
	float *to;
	__m256 a;
	int j;

	(void)window;
	for (j = 0; j < REGISTERS; j++) {
		a = coordinates(sums, i, j, w->sum[i]);
		to = ordered + j / 4 * 32 + j % 4 * 4;
		_mm_store_ps(to, _mm256_castps256_ps128(a));
		_mm_store_ps(to + 16, _mm256_extractf128_ps(a, 1));
	}
	for (c = 0; c < QUERY_CHUNK && c < left; c++)
		out[c] = out[c] + ordered[c] * step;
}

AVX2_INLINE void source_open(struct source *s, const void *state, unsigned window)
{
	(void)window;
	s->tables = state;
}

AVX2_INLINE size_t chunk_dim(unsigned window)
{
	(void)window;
	return QUERY_CHUNK;
}

#define MIX_WINDOWS
#include "../simd/mix.h"

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, trellis_attend_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_trellis_create,
	.destroy = avx2_trellis_destroy,
	.mix = mix,
	.logits = avx2_logits,
	.weigh = avx2_weigh,
	.raw_score = avx2_raw_score,
	.raw_mix = avx2_raw_mix,
};
