/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimated inner products, FORMAT.md section 6. Integer sums are exact in 64 bits, so no order of
 * additions shows; float queries add in the 16 lanes of dot16. A chunk of a row is unpacked once for a
 * block of queries.
 *
 * A packed query:
 *
 *	struct tq_query		its pointers unused
 *	int16_t q[dim]		or float y[dim] for a float query; padded to 64 bytes
 *	int16_t z[dim]		likewise, the sketched query, if the plan has a sketch
 */

#include "scalar.h"

/* Queries, or rows of a table of pairs, that share an unpacked chunk. */
#define BLOCK 16

#define HEAD_BYTES ((sizeof(struct tq_query) + 63) / 64 * 64)

/* A sum in progress: exact, or 16 lanes of a float query. */
struct sum {
	int64_t whole;
	float lane[16];
};

static size_t part_bytes(const struct tq_plan *plan)
{
	size_t element = plan->query == TQ_QUERY_F32 ? sizeof(float) : sizeof(int16_t);

	return (plan->dim * element + 63) / 64 * 64;
}

static int has_sketch(const struct tq_plan *plan)
{
	return plan->layout.sketch_at != TQ_NO_FIELD;
}

size_t scalar_query_size(const struct tq_plan *plan, const void *state)
{
	return HEAD_BYTES + part_bytes(plan) * (has_sketch(plan) ? 2 : 1);
}

static void pack_part(const struct tq_plan *plan, const struct tq_query *q, const int8_t *hi,
		      const int8_t *lo, const float *y, void *part)
{
	int16_t *value = part;
	size_t i;

	if (q->planes == 0) {
		memcpy(part, y, plan->dim * sizeof(*y));
		return;
	}
	for (i = 0; i < plan->dim; i++)
		value[i] = (int16_t)(q->planes == 2 ? 128 * hi[i] + lo[i] : hi[i]);
}

void scalar_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		       void *packed)
{
	char *part = (char *)packed + HEAD_BYTES;

	memcpy(packed, q, sizeof(*q));
	pack_part(plan, q, q->hi, q->lo, q->y, part);
	if (has_sketch(plan))
		pack_part(plan, q, q->sketch_hi, q->sketch_lo, q->sketch_y, part + part_bytes(plan));
}

static void load_signs(const struct tq_plan *plan, const uint8_t *row, size_t at, size_t n,
		       int16_t *sign)
{
	const uint8_t *bits = row + plan->layout.sketch_at + at / 8;
	size_t i;

	for (i = 0; i < n; i++)
		sign[i] = bits[i / 8] >> i % 8 & 1 ? 1 : -1;
}

static void sum_whole(const int16_t *a, const int16_t *b, size_t n, struct sum *sum)
{
	size_t i;

	for (i = 0; i < n; i++)
		sum->whole += (int32_t)a[i] * b[i];
}

static void sum_lanes(const int16_t *a, const float *b, size_t n, struct sum *sum)
{
	size_t i;

	for (i = 0; i < n; i++)
		sum->lane[i & 15] = sum->lane[i & 15] + (float)a[i] * b[i];
}

static float sum_value(const struct tq_plan *plan, const struct sum *sum)
{
	return plan->query == TQ_QUERY_F32 ? tq_sum16(sum->lane) : (float)sum->whole;
}

/* The sums of one row with up to BLOCK queries: over the levels, or over the sketch bits. */
static void sum_row(const struct tq_plan *plan, const char *packed, size_t query_bytes, size_t nq,
		    const uint8_t *row, int sketch, float *value)
{
	size_t at, n, i, part = HEAD_BYTES + (sketch ? part_bytes(plan) : 0);
	struct sum sum[BLOCK] = { 0 };
	int16_t factor[SCALAR_CHUNK];
	const void *query;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
		if (sketch)
			load_signs(plan, row, at, n, factor);
		else
			scalar_load_levels(plan, row, at, n, factor);
		for (i = 0; i < nq; i++) {
			query = packed + i * query_bytes + part;
			if (plan->query == TQ_QUERY_F32)
				sum_lanes(factor, (const float *)query + at, n, &sum[i]);
			else
				sum_whole(factor, (const int16_t *)query + at, n, &sum[i]);
		}
	}
	for (i = 0; i < nq; i++)
		value[i] = sum_value(plan, &sum[i]);
}

static void score_row(const struct tq_plan *plan, const char *packed, size_t query_bytes, size_t nq,
		      const uint8_t *row, float *scores, size_t ld)
{
	float a[BLOCK] = { 0 }, b[BLOCK] = { 0 };
	size_t i, m;

	for (; nq > 0; nq -= m, packed += m * query_bytes, scores += m * ld) {
		m = nq < BLOCK ? nq : BLOCK;
		if (plan->index_bits)
			sum_row(plan, packed, query_bytes, m, row, 0, a);
		if (has_sketch(plan))
			sum_row(plan, packed, query_bytes, m, row, 1, b);
		for (i = 0; i < m; i++)
			scores[i * ld] = tq_score_finish(
				plan, (const struct tq_query *)(const void *)(packed + i * query_bytes),
				row, a[i], b[i]);
	}
}

void scalar_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	size_t query_bytes = scalar_query_size(plan, state), j;

	for (j = 0; j < n; j++)
		score_row(plan, packed, query_bytes, nq, codes + j * plan->layout.row_bytes,
			  scores + j, ld);
}

void scalar_score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	size_t j;

	for (j = 0; j < n; j++)
		score_row(plan, packed, 0, 1, codes + (size_t)ids[j] * plan->layout.row_bytes,
			  scores + j, 0);
}

/* Row a with up to BLOCK rows of b. */
static void score_pairs_row(const struct tq_plan *plan, const uint8_t *a, const uint8_t *b,
			    size_t nb, float *scores)
{
	size_t row_bytes = plan->layout.row_bytes, at, n, j;
	int16_t left[SCALAR_CHUNK], right[SCALAR_CHUNK];
	struct sum sum[BLOCK] = { 0 };

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
		scalar_load_levels(plan, a, at, n, left);
		for (j = 0; j < nb; j++) {
			scalar_load_levels(plan, b + j * row_bytes, at, n, right);
			sum_whole(left, right, n, &sum[j]);
		}
	}
	for (j = 0; j < nb; j++)
		scores[j] = tq_pair_finish(plan, a, b + j * row_bytes, (float)sum[j].whole);
}

void scalar_score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	size_t i, j, m;

	for (i = 0; i < na; i++) {
		for (j = 0; j < nb; j += m) {
			m = nb - j < BLOCK ? nb - j : BLOCK;
			score_pairs_row(plan, a + i * plan->layout.row_bytes,
					b + j * plan->layout.row_bytes, m, scores + i * ld + j);
		}
	}
}
