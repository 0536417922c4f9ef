/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of polar codes: the way back and scores. A block of 16 coordinates is one register: its radius, times
 * for each level, from the last to the first, the cosine or sine that the level's cell has for the lane. Cells
 * come out of one word by a shift of its own for each lane, factors out of a register by a permutation. The sine
 * of cell k is the cosine of 3 - k, which is k with both bits turned.
 *
 * A packed query is struct tq_query, its pointers unused, in HEAD bytes, then dim integers of 16 bits, in blocks.
 */

#include <immintrin.h>
#include "tq/plugin.h"
#include "tq/polar.h"

#define BLOCK TQ_POLAR_BLOCK
#define DIM_MAX 4096
#define HEAD ((sizeof(struct tq_query) + 63) / 64 * 64)

extern const struct tq_quantizer_ops avx512_polar_ops;
extern const struct tq_quantizer_ops avx512_polar_score_ops;

/* Factors of level 1 for the first of a pair and the second, by cell; cosines of levels 2, 3, 4, four each */
struct factors {
	__m512 first, second, others;
};

static inline struct factors load_factors(const struct tq_plan *plan)
{
	const float (*c)[4] = plan->polar->cosine;
	float first[16], second[16], others[16] = { 0 };
	unsigned k, u, v;

	for (k = 0; k < 16; k++) {
		u = k & 3;
		v = 3 - u;
		first[k] = k < 4 ? c[0][u] : k < 8 ? -c[0][v] : k < 12 ? -c[0][u] : c[0][v];
		second[k] = k < 4 ? c[0][v] : k < 8 ? c[0][u] : k < 12 ? -c[0][v] : -c[0][u];
		if (k < 12)
			others[k] = c[1 + k / 4][u];
	}
	return (struct factors){ _mm512_loadu_ps(first), _mm512_loadu_ps(second), _mm512_loadu_ps(others) };
}

/* Cell in two bits of @word from bit @shift of each lane on, turned where @turn says; table from @base on */
static inline __m512 factor(const struct factors *f, __m512i word, __m512i shift, __m512i turn, int base)
{
	__m512i k = _mm512_and_si512(_mm512_srlv_epi32(word, shift), _mm512_set1_epi32(3));

	k = _mm512_or_si512(_mm512_xor_si512(k, turn), _mm512_set1_epi32(base));
	return _mm512_permutexvar_ps(k, f->others);
}

static inline __m512i decode_block(const struct tq_plan *plan, const struct factors *f, const uint8_t *row,
				   size_t blocks, size_t b)
{
	const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m512i three = _mm512_set1_epi32(3), zero = _mm512_setzero_si512();
	const uint8_t *angles = row + plan->layout.section[0].at;
	unsigned rest = tq_polar_get(row + plan->layout.section[1].at, b, 6);
	__m512i one, two = _mm512_set1_epi32(angles[4 * blocks + b]), last = _mm512_set1_epi32((int)rest), k;
	__m512 g = _mm512_set1_ps(tq_polar_radius(plan, row, b));
	int32_t word;

	memcpy(&word, angles + 4 * b, sizeof(word));
	one = _mm512_set1_epi32(word);
	g = _mm512_mul_ps(g, factor(f, last, _mm512_set1_epi32(4), _mm512_mask_mov_epi32(zero, 0xff00, three), 8));
	g = _mm512_mul_ps(g, factor(f, last, _mm512_slli_epi32(_mm512_srli_epi32(lane, 3), 1),
				    _mm512_mask_mov_epi32(zero, 0xf0f0, three), 4));
	g = _mm512_mul_ps(g, factor(f, two, _mm512_slli_epi32(_mm512_srli_epi32(lane, 2), 1),
				    _mm512_mask_mov_epi32(zero, 0xcccc, three), 0));
	k = _mm512_srlv_epi32(one, _mm512_slli_epi32(_mm512_srli_epi32(lane, 1), 2));
	k = _mm512_and_si512(k, _mm512_set1_epi32(15));
	k = _mm512_or_si512(k, _mm512_mask_mov_epi32(zero, 0xaaaa, _mm512_set1_epi32(16)));
	g = _mm512_mul_ps(g, _mm512_permutex2var_ps(f->first, k, f->second));
	return _mm512_cvt_roundps_epi32(g, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, float *y,
		       int32_t *exponent)
{
	size_t blocks = tq_polar_blocks(plan->dim), i, b, left;
	const struct factors f = load_factors(plan);
	__m512 t, v;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += plan->dim) {
		t = _mm512_set1_ps(tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
				   plan->codebook.half_step);
		for (b = 0; b < blocks; b++) {
			left = plan->dim - b * BLOCK;
			v = _mm512_mul_ps(_mm512_cvtepi32_ps(decode_block(plan, &f, codes, blocks, b)), t);
			_mm512_mask_storeu_ps(y + b * BLOCK,
					      left < BLOCK ? (__mmask16)((1u << left) - 1u) : (__mmask16)0xffff, v);
		}
	}
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return HEAD + (tq_polar_blocks(plan->dim) * BLOCK * sizeof(int16_t) + 63) / 64 * 64;
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	int16_t *value = (int16_t *)(void *)((char *)packed + HEAD);
	size_t i;

	memset(packed, 0, query_size(plan, state));
	memcpy(packed, q, sizeof(*q));
	for (i = 0; i < plan->dim; i++)
		value[i] = q->hi[i];
}

/* @levels of a row, in blocks, with one query: a lane's sum stays below 2^31 up to DIM_MAX */
static float score_one(const struct tq_plan *plan, const char *packed, const int16_t *levels, size_t blocks,
		       const uint8_t *row)
{
	const int16_t *q = (const int16_t *)(const void *)(packed + HEAD);
	__m256i sum = _mm256_setzero_si256();
	__m512i wide;
	size_t b;

	for (b = 0; b < blocks; b++)
		sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_load_si256((const __m256i *)(const void *)(levels + b * BLOCK)),
							      _mm256_loadu_si256((const __m256i *)(const void *)(q + b * BLOCK))));
	wide = _mm512_cvtepi32_epi64(sum);
	return tq_score_finish(plan, (const struct tq_query *)(const void *)packed, row,
			       (float)_mm512_reduce_add_epi64(wide), 0.0f);
}

static void score_row(const struct tq_plan *plan, const struct factors *f, const char *packed, size_t query_bytes,
		      size_t nq, const uint8_t *row, float *scores, size_t ld)
{
	size_t blocks = tq_polar_blocks(plan->dim), b, i;
	_Alignas(64) int16_t levels[DIM_MAX];

	for (b = 0; b < blocks; b++)
		_mm256_store_si256((__m256i *)(void *)(levels + b * BLOCK),
				   _mm512_cvtepi32_epi16(decode_block(plan, f, row, blocks, b)));
	for (i = 0; i < nq; i++)
		scores[i * ld] = score_one(plan, packed + i * query_bytes, levels, blocks, row);
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	const struct factors f = load_factors(plan);
	size_t j;

	for (j = 0; j < n; j++)
		score_row(plan, &f, packed, query_size(plan, state), nq, codes + j * plan->layout.row_bytes, scores + j,
			  ld);
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed, const uint8_t *codes,
		       const uint32_t *ids, size_t n, float *scores)
{
	const struct factors f = load_factors(plan);
	size_t j;

	for (j = 0; j < n; j++)
		score_row(plan, &f, packed, 0, 1, codes + (size_t)ids[j] * plan->layout.row_bytes, scores + j, 0);
}

const struct tq_quantizer_ops avx512_polar_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.dequantize = dequantize,
};

const struct tq_quantizer_ops avx512_polar_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
};
