/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted sums of coded rows, FORMAT.md section 8. Compiled twice, as score.c is.
 *
 * A weight is 128 hi + lo, both s8; levels are bytes. The level bytes of four rows are interleaved, so that
 * a 32-bit lane holds one coordinate of four rows, and one dot product adds the four. A tile of rows is
 * interleaved once for all weights; two registers of it and two weights are in work at a time. Sums over a
 * call stay in int32: with 1024 rows at most, |sum of hi * level| < 1024 * 127 * 127, and with one plane of
 * levels the whole sum A fits too and is put together modulo 2^32. With two planes it is put together in
 * double, which is exact.
 */

#include "attend.h"
#include "levels.h"
#include "query.h"
#include "weights.h"

/* The rows of a call, chunk by chunk of 64 coordinates */
struct source {
	const struct tq_plan *plan;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	struct level_tables tables;
};

AVX2_INLINE uint32_t planes_of(uint32_t bits)
{
	return bits > 4 ? 2 : 1;
}

/* The bytes of a row's chunk in each field; of the last one only those that the row has */
AVX2_INLINE void chunk_of(const struct source *s, size_t t, size_t rest, uint32_t bits, const uint8_t **p,
			  uint8_t (*staged)[64])
{
	const struct tq_section *section = s->plan->layout.section;
	const uint8_t *row = s->codes + t * s->plan->layout.row_bytes;
	uint32_t n = bits == 7 ? 3 : bits == 3 || bits == 5 || bits == 6 ? 2 : 1, k;
	size_t bytes;

	for (k = 0; k < n; k++) {
		p[k] = row + section[k].at + s->chunk * 8 * section[k].width;
		if (!rest)
			continue;
		bytes = (rest * section[k].width + 7) / 8;
		_mm256_store_si256((__m256i *)staged[k], part32(p[k], bytes < 32 ? bytes : 32));
		if (bits == 8)
			_mm256_store_si256((__m256i *)(staged[k] + 32),
					   part32(p[k] + 32, bytes > 32 ? bytes - 32 : 0));
		p[k] = staged[k];
	}
}

/* Rows @t .. of what lies behind those of the call: wanted next if it is another head's keys */
AVX2_INLINE void fetch_behind(const struct source *s, size_t t)
{
	size_t row = s->plan->layout.row_bytes;
	const char *at = (const char *)s->codes + (s->n + t) * row, *end = at + 4 * row;

	for (; at < end; at += 64)
		_mm_prefetch(at, _MM_HINT_T1);
}

/* 4 bits: four registers of interleaved codes to eight of levels */
AVX2_INLINE void decode_nibbles(const struct level_tables *t, const __m256i *code, __m256i *to)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i low, high;
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		low = _mm256_and_si256(code[i], mask);
		high = _mm256_and_si256(_mm256_srli_epi16(code[i], 4), mask);
		_mm256_store_si256(to + i, _mm256_shuffle_epi8(t->grid, low));
		_mm256_store_si256(to + 4 + i, _mm256_shuffle_epi8(t->grid, high));
	}
}

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last */
AVX2_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, size_t rest, uint32_t bits,
			   __m256i (*tile)[2 * REGISTERS])
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	const uint8_t *p[3] = {NULL};
	struct levels lev[4];
	__m256i rows[4], code[4];
	size_t g, t;
	int r, v;

	for (g = 0; g < groups; g++, tile++) {
		if (!s->chunk)
			fetch_behind(s, first + 4 * g);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + (size_t)r < s->n ? first + 4 * g + (size_t)r : s->n - 1;
			chunk_of(s, t, rest, bits, p, staged);
			if (bits == 4)
				rows[r] = _mm256_loadu_si256((const __m256i *)p[0]);
			else
				levels_decode(&s->tables, p, bits, &lev[r]);
		}
		if (bits == 4) {
			interleave(rows, code);
			decode_nibbles(&s->tables, code, *tile);
			continue;
		}
		for (v = 0; v < 2; v++) {
			for (r = 0; r < 4; r++)
				rows[r] = lev[r].hi[v];
			interleave(rows, *tile + 4 * v);
			for (r = 0; bits > 4 && r < 4; r++)
				rows[r] = lev[r].lo[v];
			if (bits > 4)
				interleave(rows, *tile + REGISTERS + 4 * v);
		}
	}
}

AVX2_INLINE void sum_chunk(const struct source *s, const struct weights *w, int nw, uint32_t bits,
			   struct chunk_sums *sums)
{
	size_t left = s->plan->dim - s->chunk * QUERY_CHUNK, rest = left < QUERY_CHUNK ? left : 0, first, groups;
	__m256i tile[TILE_GROUPS][2 * REGISTERS];
	uint32_t p;

	for (p = 0; p < planes_of(bits); p++)
		memset(sums->at[p], 0, (size_t)nw * sizeof(sums->at[p][0]));
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		if (rest)
			fill_tile(s, first, groups, rest, bits, tile);
		else
			fill_tile(s, first, groups, 0, bits, tile);
		add_tile(tile, planes_of(bits), groups, w, nw, first, sums);
	}
}

/* f32(A) of the coordinates of register @j */
AVX2_INLINE __m256 combine(const struct source *s, const struct chunk_sums *sums, int w, int j, int64_t sum,
			   uint32_t bits)
{
	int32_t odd = bits == 1 ? s->plan->codebook.odd[1] : 1, beta = bits == 1 ? odd : 127;
	__m256i a;

	if (bits > 4)
		return combine_wide(sums, w, j, 16383.0 * (double)sum);
	a = _mm256_add_epi32(_mm256_slli_epi32(sums->at[0][w][0][j], 7), sums->at[0][w][1][j]);
	if (bits == 1)
		a = _mm256_mullo_epi32(a, _mm256_set1_epi32(odd));
	a = _mm256_sub_epi32(_mm256_add_epi32(a, a), _mm256_set1_epi32((int32_t)(beta * sum)));
	return _mm256_cvtepi32_ps(a);
}

/* @n floats at @even and @n at @odd by turns */
AVX2_INLINE void zip(const float *even, const float *odd, int n, float *to)
{
	__m256 a, b, low, high;
	int i;

	for (i = 0; i < n; i += 8) {
		a = _mm256_load_ps(even + i);
		b = _mm256_load_ps(odd + i);
		low = _mm256_unpacklo_ps(a, b);
		high = _mm256_unpackhi_ps(a, b);
		_mm256_store_ps(to + 2 * i, _mm256_permute2f128_ps(low, high, 0x20));
		_mm256_store_ps(to + 2 * i + 8, _mm256_permute2f128_ps(low, high, 0x31));
	}
}

/* Byte order to that of coordinates (levels.h): of single bits eight lie apart, of 2 and 3 four, of 4 to 7 two */
AVX2_INLINE void order(uint32_t bits, float (*byte)[32], float *to)
{
	_Alignas(32) float half[2][32], quarter[2][16];
	int v;

	for (v = 0; bits == 1 && v < 2; v++) {
		zip(byte[v], byte[v] + 16, 8, quarter[0]);
		zip(byte[v] + 8, byte[v] + 24, 8, quarter[1]);
		zip(quarter[0], quarter[1], 16, half[v]);
	}
	for (v = 0; (bits == 2 || bits == 3) && v < 2; v++)
		zip(byte[v], byte[v] + 16, 16, half[v]);
	if (bits == 8)
		memcpy(to, byte, 2 * sizeof(*byte));
	else if (bits >= 4)
		zip(byte[0], byte[1], 32, to);
	else
		zip(half[0], half[1], 32, to);
}

AVX2_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i, uint32_t bits,
				const struct chunk_sums *sums, float *out)
{
	_Alignas(32) float byte[2][32], ordered[QUERY_CHUNK];
	size_t left = s->plan->dim - s->chunk * QUERY_CHUNK, n = left < QUERY_CHUNK ? left : QUERY_CHUNK, c;
	float step = w->unit[i] * s->plan->codebook.half_step;
	__m256 a;
	int j;

	for (j = 0; j < REGISTERS; j++) {
		a = combine(s, sums, i, j, w->sum[i], bits);
		_mm_store_ps(byte[j / 4] + j % 4 * 4, _mm256_castps256_ps128(a));
		_mm_store_ps(byte[j / 4] + 16 + j % 4 * 4, _mm256_extractf128_ps(a, 1));
	}
	order(bits, byte, ordered);
	for (c = 0; c + 8 <= n; c += 8) {
		a = _mm256_mul_ps(_mm256_load_ps(ordered + c), _mm256_set1_ps(step));
		_mm256_storeu_ps(out + c, _mm256_add_ps(_mm256_loadu_ps(out + c), a));
	}
	for (; c < n; c++)
		out[c] = out[c] + ordered[c] * step;
}

AVX2_INLINE void source_open(struct source *s, const void *state, uint32_t bits)
{
	level_tables_load(&s->tables, state, bits);
}

AVX2_INLINE size_t chunk_dim(uint32_t bits)
{
	return QUERY_CHUNK;
}

#include "../simd/mix.h"

const struct tq_quantizer_ops ATTEND_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.mix = mix,
	.logits = avx2_logits,
	.weigh = avx2_weigh,
	.raw_score = avx2_raw_score,
	.raw_mix = avx2_raw_mix,
};
