/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of codes of a fraction of a bit, FORMAT.md section 8: attend.c, but a chunk is 32 words, and
 * each digit of them is a register of a row, at 4.5 bits two of them. Two digits are a unit, as 64 coordinates are
 * elsewhere; an odd one is a unit alone. Up to 3.5 bits a whole sum fits into 32 bits: 1024 * 16256 * 127 < 2^31. Compiled twice, as score.c is.
 */

#include "attend.h"
#include "score.h"
#include "radix_words.h"
#include "weights.h"

#define UNITS ((TQ_RADIX_DIGITS + 1) / 2)

/* Four rows of them are interleaved, all digits, before the next */
#define GROUPS 16

struct unit_tile {
	__m256i group[GROUPS][2 * REGISTERS];
};

/* Words @k and up of rows @first .. of @n, four at a time; rows past the end repeat the last, at no weight */
AVX2_INLINE void fill(const struct radix_tables *t, uint32_t digits, const uint8_t *codes, size_t k, size_t first, size_t n,
		      size_t groups, struct unit_tile *tile)
{
	__m256i digit[4][TQ_RADIX_DIGITS], rows[4];
	const struct tq_plan *plan = t->plan;
	size_t g, r, at;
	uint32_t j;

	for (g = 0; g < groups; g++) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			at = first + 4 * g + r < n ? first + 4 * g + r : n - 1;
			radix_digits(t, radix_words_at(plan, codes + at * plan->layout.row_bytes, k, plan->radix->words - k),
				     digits, digit[r]);
		}
		for (j = 0; j < digits; j++) {
			for (r = 0; r < 4; r++)
				rows[r] = digit[r][j];
			interleave(rows, tile[j / 2].group[g] + 4 * (j % 2));
		}
	}
}

/* Words of 4.5 bits likewise */
AVX2_INLINE void fill_wide(const struct radix_tables *t, const uint8_t *codes, size_t k, size_t first, size_t n,
			   size_t groups, struct unit_tile *tile)
{
	const struct tq_plan *plan = t->plan;
	__m256i value[4][2], rows[4];
	size_t g, r, at;
	uint32_t j;

	for (g = 0; g < groups; g++) {
		for (r = 0; r < 4; r++) {
			at = first + 4 * g + r < n ? first + 4 * g + r : n - 1;
			radix_wide_values(t, codes + at * plan->layout.row_bytes, k, plan->radix->words - k, value[r]);
		}
		for (j = 0; j < 2; j++) {
			for (r = 0; r < 4; r++)
				rows[r] = radix_look_up(t->hi[j], value[r][j]);
			interleave(rows, tile->group[g] + 4 * j);
			for (r = 0; r < 4; r++)
				rows[r] = radix_look_up(t->lo[j], value[r][j]);
			interleave(rows, tile->group[g] + REGISTERS + 4 * j);
		}
	}
}

/* f32(A) of register @j of a unit; @off: beta times the weights */
AVX2_INLINE __m256 whole_sum(const struct chunk_sums *sums, int w, int j, uint32_t planes, int64_t off)
{
	__m256i a;

	if (planes == 2)
		return combine_wide(sums, w, j, (double)off);
	a = _mm256_add_epi32(_mm256_slli_epi32(sums->at[0][w][0][j], 7), sums->at[0][w][1][j]);
	return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_add_epi32(a, a), _mm256_set1_epi32((int32_t)off)));
}

/* One digit of 32 words, the lower or upper half of a unit, to floats */
static void finish(const struct chunk_sums *sums, int w, int half, uint32_t planes, int64_t off, float step, float *out,
		   size_t n)
{
	_Alignas(32) float ordered[RADIX_WORDS];
	__m256 a;
	size_t c;
	int j;

	for (j = 0; j < 4; j++) {
		a = whole_sum(sums, w, 4 * half + j, planes, off);
		_mm_store_ps(ordered + 4 * j, _mm256_castps256_ps128(a));
		_mm_store_ps(ordered + 16 + 4 * j, _mm256_extractf128_ps(a, 1));
	}
	for (c = 0; c < n; c++)
		out[c] = out[c] + ordered[c] * step;
}

/* The sums of digit @j of the words from @k on, of all weights */
static void finish_digit(const struct radix_tables *t, uint32_t j, size_t k, const struct weights *w, size_t nw,
			 const struct chunk_sums *sums, float *out, size_t ld)
{
	size_t words = t->plan->radix->words, at = j * words + k, n = words - k < RADIX_WORDS ? words - k : RADIX_WORDS, i;

	if (at >= t->plan->dim)
		return;
	n = t->plan->dim - at < n ? t->plan->dim - at : n;
	for (i = 0; i < nw; i++)
		if (w->unit[i] > 0.0f)
			finish(sums, (int)i, (int)(j % 2), t->planes, t->beta[j > 0] * w->sum[i],
			       w->unit[i] * t->plan->codebook.half_step, out + i * ld + at, n);
}

AVX2_INLINE void mix_digits(const struct radix_tables *t, uint32_t digits, uint32_t planes, const struct weights *w,
			    size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	struct chunk_sums part[UNITS];
	struct unit_tile tile[UNITS];
	size_t k, first, groups, u;
	uint32_t j;

	for (k = 0; k < t->plan->radix->words; k += RADIX_WORDS) {
		for (u = 0; u < (digits + 1) / 2; u++)
			for (j = 0; j < planes; j++)
				memset(part[u].at[j], 0, nw * sizeof(part[u].at[j][0]));
		for (first = 0; first < n; first += 4 * GROUPS) {
			groups = (n - first + 3) / 4 < GROUPS ? (n - first + 3) / 4 : GROUPS;
			if (planes == 2)
				fill_wide(t, codes, k, first, n, groups, tile);
			else
				fill(t, digits, codes, k, first, n, groups, tile);
			for (u = 0; u < (digits + 1) / 2; u++)
				add_registers(tile[u].group, 2 * u + 1 < digits ? planes * REGISTERS : REGISTERS / 2, groups, w,
					      (int)nw, first, &part[u]);
		}
		for (j = 0; j < digits; j++)
			finish_digit(t, j, k, w, nw, &part[j / 2], sums, ld);
	}
}

static void mix_some(const struct radix_tables *t, const struct weights *w, size_t nw, const uint8_t *codes, size_t n,
		     float *sums, size_t ld)
{
	switch (t->plan->radix->digits) {
	case 2:
		if (t->planes == 2)
			mix_digits(t, 2, 2, w, nw, codes, n, sums, ld);
		else
			mix_digits(t, 2, 1, w, nw, codes, n, sums, ld);
		break;
	case 3:
		mix_digits(t, 3, 1, w, nw, codes, n, sums, ld);
		break;
	default:
		mix_digits(t, 5, 1, w, nw, codes, n, sums, ld);
		break;
	}
}

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	float scale[TQ_MIX_ROWS];
	struct weights w;
	size_t i, m;

	if (!n)
		return;
	for (i = 0; i < n; i++)
		scale[i] = tq_load_scale(plan, codes + i * plan->layout.row_bytes + plan->layout.scale_at);
	for (; nw; nw -= m, weights += m * ldw, sums += m * ld) {
		m = nw < MOST_WEIGHTS ? nw : MOST_WEIGHTS;
		for (i = 0; i < m; i++)
			w.unit[i] = quantize(weights + i * ldw, scale, n, &w, (int)i);
		mix_some(state, &w, m, codes, n, sums, ld);
	}
}

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, radix_attend_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_radix_create,
	.destroy = avx2_radix_destroy,
	.mix = mix,
	.logits = avx2_logits,
	.weigh = avx2_weigh,
	.raw_score = avx2_raw_score,
	.raw_mix = avx2_raw_mix,
};
