/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin's kernels as the host would do their work, so that everything of the plugin and the
 * core but the kernels themselves runs without a GPU: which kernel is launched, with which
 * arguments, in which order.
 */
#include "scalar_kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../plugins/cuda/device_plan.h"
#include "tq/quantizer.h"

#define MAX_DIM 4096
#define SAVED 512
#define ADD offsetof(struct tqc_query_head, add)

struct scalar_kernels scalar_kernels;

/* Queries that were prepared; the prepared form holds their number, and what is added unless it is NaN */
static float saved[SAVED][MAX_DIM];
static uint64_t nsaved;

#define ARG(type, i) (*(type *)params[i])

static int is(const char *name, const char *start)
{
	return !strncmp(name, start, strlen(start));
}

/* The three that score any plan take other arguments than those that are made for some */
static int scores_any(const char *name)
{
	return !strcmp(name, "tqc_score") || !strcmp(name, "tqc_score_tcq") || !strcmp(name, "tqc_score_radix");
}

static void query(void **params)
{
	size_t stride = ARG(size_t, 2), n = ARG(size_t, 3), d = scalar_kernels.pipe->plan->dim, i;
	const float *x = ARG(const float *, 1);
	uint8_t *prepared = ARG(uint8_t *, 4);
	float none = NAN;

	for (i = 0; i < n; i++, nsaved++) {
		memcpy(saved[nsaved % SAVED], x + i * stride, d * sizeof(float));
		memcpy(prepared + i * scalar_kernels.query_bytes, &nsaved, sizeof(nsaved));
		memcpy(prepared + i * scalar_kernels.query_bytes + ADD, &none, sizeof(none));
	}
}

static void score(const uint8_t *prepared, size_t nq, const uint8_t *codes, size_t n, float *scores,
		  size_t ld)
{
	const struct tq_pipeline *pipe = scalar_kernels.pipe;
	const struct tq_served *op = &pipe->op[TQ_OP_SCORE];
	uint8_t *packed = aligned_alloc(64, pipe->query_bytes);
	uint64_t which;
	float add;
	size_t i;

	for (i = 0; i < nq; i++) {
		memcpy(&which, prepared + i * scalar_kernels.query_bytes, sizeof(which));
		memcpy(&add, prepared + i * scalar_kernels.query_bytes + ADD, sizeof(add));
		tq_pipeline_prepare_adds(pipe, saved[which % SAVED], pipe->plan->dim, 1,
					 isnan(add) ? NULL : &add, 1, packed);
		op->ops->score(pipe->plan, op->state, packed, 1, codes, n, scores + i * ld, n);
	}
	free(packed);
}

static void score_batch(unsigned gy, void **params)
{
	const struct tqc_batch *b = params[7];
	unsigned i;

	for (i = 0; i < gy; i++)
		score(ARG(const uint8_t *, 1) + i * b->query_stride, ARG(unsigned, 2),
		      ARG(const uint8_t *, 3) + i * b->code_stride, ARG(size_t, 4),
		      ARG(float *, 5) + i * b->score_stride, ARG(size_t, 6));
}

static void check(void **params)
{
	size_t stride = ARG(size_t, 3), n = ARG(size_t, 4), i, j;
	const float *x = ARG(const float *, 1);
	uint64_t *first = ARG(uint64_t *, 5);

	for (i = n; i-- > 0;)
		for (j = 0; j < scalar_kernels.pipe->plan->dim; j++)
			if ((tq_f32_bits(x[i * stride + j]) & 0x7f800000u) == 0x7f800000u &&
			    i < *first)
				*first = i;
}

/* ---- top-k; a struct tqc_best is a threshold and a count ---- */

struct best {
	uint64_t threshold;
	uint32_t count, pad;
};

static uint64_t key(float score, uint32_t row)
{
	uint32_t b = tq_f32_bits(score + 0.0f);

	b ^= b >> 31 ? 0xffffffffu : 0x80000000u;
	return (uint64_t)b << 32 | (uint32_t)~row;
}

static int descending(const void *a, const void *b)
{
	uint64_t u = *(const uint64_t *)a, v = *(const uint64_t *)b;

	return u < v ? 1 : u > v ? -1 : 0;
}

static void push(unsigned gy, void **params)
{
	size_t ld = ARG(size_t, 1), room = ARG(size_t, 6);
	const float *scores = ARG(const float *, 0);
	uint32_t first = ARG(uint32_t, 2), i;
	struct best *best = ARG(struct best *, 4);
	uint64_t *found = ARG(uint64_t *, 5);
	unsigned q;

	for (q = 0; q < gy; q++)
		for (i = 0; i < ARG(unsigned, 3); i++)
			if (key(scores[q * ld + i], first + i) > best[q].threshold)
				found[q * room + best[q].count++] =
					key(scores[q * ld + i], first + i);
}

static void merge(unsigned gx, void **params)
{
	unsigned k = ARG(unsigned, 4), q, i, n;
	struct best *best = ARG(struct best *, 0);
	const uint64_t *found = ARG(const uint64_t *, 1);
	size_t room = ARG(size_t, 2);
	uint64_t *kept = ARG(uint64_t *, 3), *all;
	int64_t *ids = ARG(int64_t *, 7);
	float *scores = ARG(float *, 8);
	uint32_t bits;

	for (q = 0; q < gx; q++, kept += k) {
		n = best[q].count;
		all = calloc(n + 2 * (size_t)k, sizeof(*all));
		memcpy(all, found + q * room, n * sizeof(*all));
		if (!ARG(int, 5))
			memcpy(all + n, kept, k * sizeof(*all));
		qsort(all, n + k, sizeof(*all), descending);
		memcpy(kept, all, k * sizeof(*all));
		for (i = 0; ARG(int, 6) && i < k; i++) {
			bits = (uint32_t)(kept[i] >> 32);
			bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
			ids[q * k + i] = kept[i] ? (int64_t)(uint32_t) ~(uint32_t)kept[i] : -1;
			scores[q * k + i] = kept[i] ? tq_bits_f32(bits) : -INFINITY;
		}
		best[q].threshold = kept[k - 1];
		best[q].count = 0;
		free(all);
	}
}

static void spoil(const char *name, void **params)
{
	if (is(name, "tqc_encode"))
		ARG(uint8_t *, 5)[0] ^= 1;
	else if (is(name, "tqc_decode"))
		ARG(uint8_t *, 3)[1] ^= 1;
	else if (scores_any(name))
		ARG(uint8_t *, 6)[0] ^= 1;
	else if (is(name, "tqc_score"))
		ARG(uint8_t *, 5)[0] ^= 1;
	else if (is(name, "tqc_select"))
		ARG(int64_t *, 7)[0] += 1;
	else if (is(name, "tqc_check"))
		*ARG(uint64_t *, 5) = 1;
	else if (is(name, "tqc_kv"))
		scalar_kv_spoil(name, params);
}

void scalar_kernel(const char *name, unsigned gx, unsigned gy, void **params)
{
	const struct tq_pipeline *pipe = scalar_kernels.pipe;

	if (is(name, "tqc_encode"))
		tq_pipeline_encode(pipe, ARG(const void *, 1), ARG(int, 2), ARG(size_t, 3),
				   ARG(size_t, 4), ARG(uint8_t *, 5));
	else if (is(name, "tqc_decode"))
		tq_pipeline_decode(pipe, ARG(const uint8_t *, 1), ARG(size_t, 2), ARG(void *, 3),
				   ARG(int, 4), ARG(size_t, 5));
	else if (is(name, "tqc_query"))
		query(params);
	else if (is(name, "tqc_check"))
		check(params);
	else if (scores_any(name))
		score(ARG(const uint8_t *, 1), ARG(unsigned, 2), ARG(const uint8_t *, 3),
		      ARG(size_t, 5), ARG(float *, 6), ARG(size_t, 7));
	else if (is(name, "tqc_score"))
		score_batch(gy, params);
	else if (is(name, "tqc_best_clear"))
		memset(ARG(void *, 0), 0, ARG(unsigned, 1) * sizeof(struct best));
	else if (is(name, "tqc_push"))
		push(gy, params);
	else if (is(name, "tqc_select"))
		merge(gx, params);
	else if (is(name, "tqc_kv"))
		scalar_kv_kernel(name, gx, params);
	else
		abort();
	if (*scalar_kernels.wrong && is(name, scalar_kernels.wrong))
		spoil(name, params);
}
