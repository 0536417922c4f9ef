/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of codes of a fraction of a bit: score_decoded.h, where the sum of a query has each coordinate beta times
 * (radix.h). Compiled twice, as score.c is.
 */

#include "score.h"
#include "radix.h"

static void decode(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks, struct tile *tile)
{
	struct radix_levels levels;
	size_t r, v, at = QUERY_CHUNK * first;

	for (r = 0; r < ROWS; r++) {
		avx2_radix_row(s->trellis, row[r], &levels);
		for (v = 0; v < 2 * chunks; v++)
			_mm256_store_si256(&tile->hi[v][r], _mm256_load_si256((const __m256i *)(const void *)(levels.hi + at + 32 * v)));
		for (v = 0; s->bits > 4 && v < 2 * chunks; v++)
			_mm256_store_si256(&tile->lo[v][r], _mm256_load_si256((const __m256i *)(const void *)(levels.lo + at + 32 * v)));
	}
}

static void code_shape(const struct tq_plan *plan, const void *state, struct shape *s)
{
	s->decode = decode;
	s->trellis = state;
	s->bits = plan->codebook.planes == 2 ? 5 : 4;
	s->dim = plan->dim;
	s->alpha = 2.0;
	s->beta = 1.0;
}

static uint32_t unpacked_planes(const struct tq_plan *plan)
{
	return plan->codebook.planes;
}

static size_t unpacked_bytes(const struct tq_plan *plan)
{
	return query_chunks(plan->dim) * QUERY_CHUNK * unpacked_planes(plan);
}

/* A level of two planes is 128 times its upper one and its lower one, both of its sign */
static int64_t unpack(const struct tq_plan *plan, const void *state, const uint8_t *row, int8_t *to)
{
	uint32_t planes = unpacked_planes(plan);
	const struct radix_tables *t = state;
	struct radix_levels levels;
	int64_t sum = 0;
	size_t i, at;
	int odd;

	avx2_radix_row(t, row, &levels);
	memset(to, 0, unpacked_bytes(plan));
	for (i = 0; i < plan->dim; i++) {
		odd = radix_level(t, &levels, i);
		at = i / QUERY_CHUNK * QUERY_CHUNK * planes + i % QUERY_CHUNK;
		to[at] = (int8_t)(planes == 2 ? odd / 128 : odd);
		if (planes == 2)
			to[at + QUERY_CHUNK] = (int8_t)(odd % 128);
		sum += t->beta[i >= plan->radix->words] * odd;
	}
	return sum;
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed);

#define SCORE_OWN_QUERY
#include "score_decoded.h"

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	const struct radix_tables *t = state;
	struct query_head *head = packed;
	int64_t sum = t->beta[0] * q->sum;
	size_t i;

	query_pack_all(plan, q, packed);
	for (i = plan->radix->words; i < plan->dim && t->beta[1] != t->beta[0]; i++)
		sum += (t->beta[1] - t->beta[0]) * (q->planes == 2 ? 128 * q->hi[i] + q->lo[i] : q->hi[i]);
	head->sum = sum;
}

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, radix_score_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_radix_create,
	.destroy = avx2_radix_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
