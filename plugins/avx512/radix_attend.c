/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of codes of a fraction of a bit, FORMAT.md section 8. 64 words of a tile of rows become
 * units of levels, one for each digit (radix_words.h), for all weights (units.h). A whole sum over levels + 128 fits into
 * 32 bits once 128 times the weights are off: 1024 * 16256 * 127 < 2^31.
 *
 * Levels of 4.5 bits have two planes of bytes, 128 hi + lo = level + 16384; sums of all four products are put
 * together in double, which is exact.
 */

#include "attend.h"
#include "radix_words.h"
#include "weights.h"
#include "units.h"

#define TILE_ROWS 64
#define MOST_UNITS TQ_RADIX_DIGITS

struct tile {
	__m512i unit[MOST_UNITS][TILE_ROWS / 4][4];
};

struct chunk_sums {
	struct unit_sums unit[MOST_UNITS];
};

/* Row @at of a call; past the end the last, whose weights are 0 there */
static inline const uint8_t *row_at(const struct tq_plan *plan, const uint8_t *codes, size_t at, size_t n)
{
	return codes + (at < n ? at : n - 1) * plan->layout.row_bytes;
}

/* Chunk @c of rows @first .. of @n; returns the groups */
AVX512_INLINE size_t fill(const struct tq_plan *plan, const struct radix_tables *t, uint32_t digits, uint32_t width,
			  const uint8_t *codes, size_t c, size_t first, size_t n, struct tile *tile)
{
	size_t most = n - first < TILE_ROWS ? n - first : TILE_ROWS, groups = (most + 3) / 4, g, r, j;
	__m512i level[4][TQ_RADIX_DIGITS], rows[4];
	int small = radix_is_small(plan);
	uint8_t room[RADIX_ROOM];
	struct radix_reader l;
	const uint8_t *row;

	radix_reader_load(t, digits, width, &l);
	for (g = 0; g < groups; g++) {
		if (!c)
			fetch_behind(plan->layout.row_bytes, codes, n, first + 4 * g);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			row = radix_row(plan, small, row_at(plan, codes, first + 4 * g + r, n), room);
			radix_read(plan, &l, row, c, digits, width, level[r]);
		}
#pragma GCC unroll 5
		for (j = 0; j < digits; j++) {
#pragma GCC unroll 4
			for (r = 0; r < 4; r++)
				rows[r] = level[r][j];
			interleave(rows, tile->unit[j][g]);
		}
	}
	return groups;
}

/* 32 words of 4.5 bits from word @k on: the upper bytes of their levels, then the lower ones */
AVX512_INLINE size_t fill_wide(const struct tq_plan *plan, const struct radix_tables *t, const uint8_t *codes, size_t k,
			       size_t first, size_t n, struct tile *tile)
{
	size_t most = n - first < TILE_ROWS ? n - first : TILE_ROWS, groups = (most + 3) / 4, g, r;
	__m512i hi = _mm512_load_si512(t->hi), lo = _mm512_load_si512(t->lo), digits, row[2][4];

	for (g = 0; g < groups; g++) {
		if (!k)
			fetch_behind(plan->layout.row_bytes, codes, n, first + 4 * g);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			digits = radix_wide_digits(radix_wide_words(
				plan, row_at(plan, codes, first + 4 * g + r, n), k, plan->radix->words - k));
			row[0][r] = _mm512_permutexvar_epi8(digits, hi);
			row[1][r] = _mm512_permutexvar_epi8(digits, lo);
		}
		interleave(row[0], tile->unit[0][g]);
		interleave(row[1], tile->unit[1][g]);
	}
	return groups;
}

/* Sums of bytes 16 t + m, which are words 4 m + t, to the order of words */
AVX512_INLINE void order_words(float *x)
{
	__m512 four[4] = { _mm512_load_ps(x), _mm512_load_ps(x + 16), _mm512_load_ps(x + 32), _mm512_load_ps(x + 48) };

	turn_quarters(four);
	store_quarters(four, x, x + 16, x + 32, x + 48);
}

AVX512_INLINE void finish(const struct unit_sums *sum, size_t w, int32_t weights, uint32_t width, __m512 step,
			  float *sums, size_t n)
{
	__m512i off = _mm512_set1_epi32(128 * weights);
	_Alignas(64) float by_byte[UNIT];
	__m512 x[4];
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		x[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(unit_whole(sum, w, i), off));
	store_quarters(x, by_byte, by_byte + 16, by_byte + 32, by_byte + 48);
	if (width < 8)
		order_words(by_byte);
	add_ordered(by_byte, step, sums, n);
}

/* Up to MOST_WEIGHTS weights */
AVX512_INLINE void mix_digits(const struct tq_plan *plan, const struct radix_tables *t, uint32_t digits, uint32_t width,
			      const struct weights *q, size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	size_t c, first, groups, w, j, m, at;
	struct chunk_sums sum;
	struct tile tile;

	for (c = 0; c < radix_chunks(plan); c++) {
		memset(&sum, 0, digits * sizeof(sum.unit[0]));
		for (first = 0; first < n; first += TILE_ROWS) {
			groups = fill(plan, t, digits, width, codes, c, first, n, &tile);
			for (j = 0; j < digits; j++)
				multiply_unit(tile.unit[j], groups, q, nw, first, &sum.unit[j]);
		}
		for (j = 0; j < digits; j++) {
			m = radix_unit(plan, j, c, &at);
			for (w = 0; m && w < nw; w++)
				if (q->unit[w] != 0.0f)
					finish(&sum.unit[j], w, (int32_t)q->sum[w], width,
					       _mm512_set1_ps(q->unit[w] * plan->codebook.half_step),
					       sums + w * ld + at, m);
		}
	}
}

/* f32(A) of eight lanes: both planes of levels, [plane of weights] each */
AVX512_INLINE __m256 combine_half(__m256i hh, __m256i hl, __m256i lh, __m256i ll, double off)
{
	__m512d v = _mm512_mul_pd(_mm512_cvtepi32_pd(hh), _mm512_set1_pd(128.0));

	v = _mm512_add_pd(v, _mm512_add_pd(_mm512_cvtepi32_pd(hl), _mm512_cvtepi32_pd(lh)));
	v = _mm512_add_pd(_mm512_mul_pd(v, _mm512_set1_pd(128.0)), _mm512_cvtepi32_pd(ll));
	return _mm512_cvtpd_ps(_mm512_sub_pd(v, _mm512_set1_pd(off)));
}

/* The 64 coordinates of 32 words: bytes 2 i and 2 i + 1 are the digits of word i */
static void finish_wide(const struct tq_plan *plan, const struct chunk_sums *s, size_t w, int64_t weights, __m512 step,
			size_t k, float *sums)
{
	const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
	size_t words = plan->radix->words, left = words - k, h;
	_Alignas(64) float by_byte[UNIT], by_digit[2][UNIT];
	double off = 16384.0 * (double)weights;
	const __m512i *a, *b;
	__m512 x[4];
	__m256 low;
	size_t i;

	for (i = 0; i < 4; i++) {
		a = &s->unit[0].at[w][0][i];
		b = &s->unit[1].at[w][0][i];
#define LOW(v) _mm512_castsi512_si256(v)
#define HIGH(v) _mm512_extracti64x4_epi64(v, 1)
		low = combine_half(LOW(a[0]), LOW(a[4]), LOW(b[0]), LOW(b[4]), off);
		x[i] = _mm512_insertf32x8(_mm512_castps256_ps512(low),
					  combine_half(HIGH(a[0]), HIGH(a[4]), HIGH(b[0]), HIGH(b[4]), off), 1);
#undef LOW
#undef HIGH
	}
	store_quarters(x, by_byte, by_byte + 16, by_byte + 32, by_byte + 48);
	for (h = 0; h < 2; h++) {
		x[0] = _mm512_load_ps(by_byte + 32 * h);
		x[1] = _mm512_load_ps(by_byte + 32 * h + 16);
		_mm512_store_ps(by_digit[0] + 16 * h, _mm512_permutex2var_ps(x[0], even, x[1]));
		_mm512_store_ps(by_digit[1] + 16 * h, _mm512_permutex2var_ps(x[0], odd, x[1]));
	}
	left = left < RADIX_WIDE_UNIT ? left : RADIX_WIDE_UNIT;
	add_ordered(by_digit[0], step, sums + k, left);
	if (words + k < plan->dim)
		add_ordered(by_digit[1], step, sums + words + k,
			    plan->dim - words - k < left ? plan->dim - words - k : left);
}

static void mix_wide(const struct tq_plan *plan, const struct radix_tables *t, const struct weights *q, size_t nw,
		     const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	size_t k, first, groups, w;
	struct chunk_sums sum;
	struct tile tile;

	for (k = 0; k < plan->radix->words; k += RADIX_WIDE_UNIT) {
		memset(&sum, 0, 2 * sizeof(sum.unit[0]));
		for (first = 0; first < n; first += TILE_ROWS) {
			groups = fill_wide(plan, t, codes, k, first, n, &tile);
			multiply_unit(tile.unit[0], groups, q, nw, first, &sum.unit[0]);
			multiply_unit(tile.unit[1], groups, q, nw, first, &sum.unit[1]);
		}
		for (w = 0; w < nw; w++)
			if (q->unit[w] != 0.0f)
				finish_wide(plan, &sum, w, q->sum[w],
					    _mm512_set1_ps(q->unit[w] * plan->codebook.half_step), k, sums + w * ld);
	}
}

static void mix_some(const struct tq_plan *plan, const struct radix_tables *t, const struct weights *q, size_t nw,
		     const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	const struct tq_radix *x = plan->radix;

#define MIX(digits, width) mix_digits(plan, t, digits, width, q, nw, codes, n, sums, ld)
	if (x->width == 9)
		mix_wide(plan, t, q, nw, codes, n, sums, ld);
	else
		RADIX_EACH_WIDTH(x, MIX);
#undef MIX
}

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	struct mix_call call;

	for (mix_open(plan, codes, n, &call); nw; nw -= call.nw, weights += call.nw * ldw, sums += call.nw * ld) {
		mix_weights(&call, weights, ldw, nw);
		mix_some(plan, state, &call.weights, call.nw, codes, n, sums, ld);
	}
}

const struct tq_quantizer_ops avx512_radix_attend_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.mix = mix,
	.logits = avx512_logits,
	.weigh = avx512_weigh,
	.raw_score = avx512_raw_score,
	.raw_mix = avx512_raw_mix,
};
