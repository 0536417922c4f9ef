/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best k rows: stretches of rows, each scored into scratch memory, its scores pushed through
 * the threshold that the rows before left, and the survivors merged (topk.cuh). The first stretch
 * is short and each next one up to 32 times as long, so that about 32 k keys survive each. Nothing
 * can overflow: there is room for every row of a stretch.
 *
 * Scratch: struct tqc_best and k keys per query, then scores and keys of a stretch.
 */
#include "work.h"

#define FIRST_ROWS 4096
#define GROWTH 32
#define STRETCH_SCORES ((size_t)16 << 20)

struct tqc_best {
	unsigned long long threshold;
	unsigned count, pad;
};

struct room {
	CUdeviceptr best, kept, scores, found;
	size_t rows; /* of the longest stretch */
	size_t bytes;
};

static size_t up(size_t n)
{
	return (n + 255) & ~(size_t)255;
}

static struct room lay_out(size_t nq, size_t n, size_t k, CUdeviceptr scratch)
{
	struct room r = {.rows = nq ? STRETCH_SCORES / nq : 0};

	if (r.rows < FIRST_ROWS)
		r.rows = FIRST_ROWS;
	if (r.rows > n)
		r.rows = n;
	r.rows = (r.rows + 15) & ~(size_t)15;
	r.best = scratch;
	r.kept = r.best + up(nq * sizeof(struct tqc_best));
	r.scores = r.kept + up(nq * k * sizeof(unsigned long long));
	r.found = r.scores + up(nq * r.rows * sizeof(float));
	r.bytes = r.found + up(nq * r.rows * sizeof(unsigned long long)) - scratch;
	return r;
}

size_t tqc_topk_scratch(size_t nq, size_t n, size_t k)
{
	return lay_out(nq, n, k, 0).bytes;
}

static CUresult clear(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr best, size_t nq)
{
	struct tqc_launch l = {
		id_tqc_best_clear, "topk", (unsigned)((nq + 255) / 256), 1, 256, 0, stream};
	unsigned queries = (unsigned)nq;
	void *params[] = {&best, &queries};

	return tqc_launch(s->dev, &l, params);
}

static CUresult push(const struct tqc_plan_state *s, CUstream stream, struct room *r, size_t nq,
		     size_t at, size_t rows)
{
	struct tqc_launch l = {id_tqc_push, "topk", 0, (unsigned)nq, 256, 0, stream};
	unsigned some = (unsigned)rows;
	uint32_t first = (uint32_t)at;
	size_t most = (size_t)s->dev->processors * 8 / nq + 1;
	void *params[] = {&r->scores, &r->rows, &first, &some, &r->best, &r->found, &r->rows};

	l.gx = (unsigned)((rows + 255) / 256 < most ? (rows + 255) / 256 : most);
	return tqc_launch(s->dev, &l, params);
}

static CUresult merge(const struct tqc_plan_state *s, CUstream stream, struct room *r, size_t nq,
		      size_t k, int first, int last, CUdeviceptr ids, CUdeviceptr scores)
{
	struct tqc_launch l = {id_tqc_select, "topk", (unsigned)nq, 1, 512, 0, stream};
	unsigned best = (unsigned)k;
	void *params[] = {&r->best, &r->found, &r->rows, &r->kept, &best,
			  &first,   &last,     &ids,	 &scores};

	return tqc_launch(s->dev, &l, params);
}

CUresult tqc_work_topk(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr prepared,
		       size_t nq, CUdeviceptr codes, size_t n, size_t k, CUdeviceptr ids,
		       CUdeviceptr scores, CUdeviceptr scratch)
{
	struct room r = lay_out(nq, n, k, scratch);
	static const struct tqc_batch none;
	size_t at = 0, rows = FIRST_ROWS;
	CUresult err;

	if (!nq)
		return CU_SUCCESS;
	err = clear(s, stream, r.best, nq);
	do {
		if (rows > r.rows)
			rows = r.rows;
		if (rows > n - at)
			rows = n - at;
		if (!err)
			err = tqc_work_score(s, stream, prepared, nq,
					     codes + at * s->plan.row_bytes, rows, r.scores, r.rows,
					     1, &none);
		if (!err && rows)
			err = push(s, stream, &r, nq, at, rows);
		if (!err)
			err = merge(s, stream, &r, nq, k, at == 0, at + rows == n, ids, scores);
		at += rows;
		rows *= GROWTH;
	} while (!err && at < n);
	return err;
}
