/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "checkasm.h"
#include "plan.h"
#include "tq/radix.h"

#define ROWS 512
#define REPEATS 15

/* One operation made ready to be called again and again on data in cache. */
struct timed {
	const struct tq_driver *drv;
	int op;
	const struct tq_plan *plan;
	void *state;
	size_t n;
	const float *x;
	float *y, *scratch;
	struct tq_row_stat *stat;
	uint8_t *codes, *blocks;
	int32_t *exponent;
	uint32_t *ids;
	void *packed;
	size_t nq;
};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void call(struct timed *b)
{
	const struct tq_rotation_ops *r = b->drv->rotation_ops;
	const struct tq_quantizer_ops *q = b->drv->ops;

	switch (b->op) {
	case OP_ROTATE:
		r->rotate(&b->plan->rotation, b->state, b->x, b->y, b->n, b->scratch);
		break;
	case OP_UNROTATE:
		r->unrotate(&b->plan->rotation, b->state, b->x, b->y, b->n, b->scratch);
		break;
	case OP_QUANTIZE:
		q->quantize(b->plan, b->state, b->x, b->stat, b->n, b->codes);
		break;
	case OP_DEQUANTIZE:
		q->dequantize(b->plan, b->state, b->codes, b->n, b->y, b->exponent);
		break;
	case OP_SCORE:
		q->score(b->plan, b->state, b->packed, b->nq, b->codes, b->n, b->y, b->n);
		break;
	case OP_SCORE_LIST:
		q->score_list(b->plan, b->state, b->packed, b->codes, b->ids, b->n, b->y);
		break;
	case OP_SCORE_BLOCKS:
		if (q->score_blocks)
			q->score_blocks(b->plan, b->state, b->packed, b->nq, b->blocks, b->n, b->y, b->n);
		else
			q->score(b->plan, b->state, b->packed, b->nq, b->codes, b->n, b->y, b->n);
		break;
	case OP_SCORE_PAIRS:
		q->score_pairs(b->plan, b->state, b->codes, 8, b->codes, b->n / 8, b->y, b->n / 8);
		break;
	case OP_LOGITS:
		q->logits(b->y, b->n, 0.5f, 0.125f);
		break;
	case OP_WEIGH:
		q->weigh(b->x, b->n, 4.0f, b->y);
		break;
	case OP_MIX:
		q->mix(b->plan, b->state, b->x, b->n, b->nq, b->codes, b->n, b->y, b->plan->dim);
		break;
	case OP_RAW_SCORE:
		q->raw_score(TQ_F16, b->x, b->plan->dim, b->nq, (const uint16_t *)(const void *)b->x,
			     b->plan->dim, b->n, b->plan->dim, b->y, b->n);
		break;
	case OP_RAW_MIX:
		q->raw_mix(TQ_F16, b->x, b->n, b->nq, (const uint16_t *)(const void *)b->x,
			   b->plan->dim, b->n, b->plan->dim, b->y, b->plan->dim);
		break;
	case OP_ENCODE:
		q->encode(b->plan, b->state, b->x, TQ_F32, b->plan->dim, b->n, b->codes);
		break;
	default:
		q->decode(b->plan, b->state, b->codes, b->n, b->y, TQ_F32, b->plan->dim);
	}
}

/* Rows are scored by several queries. */
static int by_query(int op)
{
	return op == OP_SCORE || op == OP_SCORE_BLOCKS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* Median nanoseconds per row (per row and query, per pair). */
static double measure(struct timed *b)
{
	double t[REPEATS], start, items = (double)b->n * (by_query(b->op) ? (double)b->nq : 1.0);
	int i, loops = 0, k;

	start = now_ns();
	do {
		call(b);
		loops++;
	} while (now_ns() - start < 1e6);
	for (i = 0; i < REPEATS; i++) {
		start = now_ns();
		for (k = 0; k < loops; k++)
			call(b);
		t[i] = (now_ns() - start) / (loops * items);
	}
	qsort(t, REPEATS, sizeof(t[0]), by_value);
	return t[REPEATS / 2];
}

static void make_query(struct timed *b, struct trial *t)
{
	size_t room = (b->plan->dim + 63) / 64 * 64, i, size;
	int8_t *hi = aligned_alloc(64, room), *lo = aligned_alloc(64, room);
	float *y = aligned_alloc(64, room * sizeof(float));
	struct tq_query q = {.struct_size = sizeof(q), .planes = 1, .scale = 1.0f};

	memset(hi, 0, room);
	memset(lo, 0, room);
	memset(y, 0, room * sizeof(float));
	for (i = 0; i < b->plan->dim; i++) {
		hi[i] = (int8_t)((int)rng_below(&t->rng, 255) - 127);
		lo[i] = (int8_t)((int)rng_below(&t->rng, 128) - 64);
		q.sum += hi[i];
	}
	if (b->plan->query == TQ_QUERY_S16) {
		q.planes = 2;
		q.sum = 0;
		for (i = 0; i < b->plan->dim; i++)
			q.sum += 128 * hi[i] + lo[i];
	} else if (b->plan->query == TQ_QUERY_F32) {
		q.planes = 0;
	}
	q.hi = hi;
	q.lo = lo;
	q.y = y;
	size = b->drv->ops->query_size(b->plan, b->state);
	b->packed = aligned_alloc(64, (b->nq * size + 63) / 64 * 64);
	for (i = 0; i < b->nq; i++)
		b->drv->ops->query_pack(b->plan, b->state, &q, (char *)b->packed + i * size);
	free(hi);
	free(lo);
	free(y);
}

static double bench_one(struct trial *t, const struct tq_driver *drv, size_t nq)
{
	size_t dim = t->plan->dim, floats = ROWS * (dim > 2 * nq ? dim : 2 * nq), i;
	struct timed b = {.drv = drv, .op = t->op, .plan = t->plan, .n = ROWS, .nq = nq};
	float *x = aligned_alloc(64, floats * sizeof(float));
	double ns;

	if (t->plan->window && t->op == OP_QUANTIZE) /* scalar searches a row for milliseconds */
		b.n = ROWS / 16;
	b.x = x;
	b.y = aligned_alloc(64, floats * sizeof(float));
	b.scratch = aligned_alloc(64, (dim + 16) / 16 * 64);
	b.stat = calloc(ROWS, sizeof(*b.stat));
	b.exponent = calloc(ROWS, sizeof(*b.exponent));
	b.codes = malloc(ROWS * (size_t)t->plan->layout.row_bytes);
	b.ids = malloc(ROWS * sizeof(*b.ids));
	for (i = 0; i < ROWS * dim; i++)
		x[i] = rng_normal(&t->rng);
	for (i = 0; i < ROWS; i++) {
		b.ids[i] = rng_below(&t->rng, ROWS);
		b.stat[i].norm2 = (float)dim;
	}
	trial_codes(t, b.codes, ROWS);
	for (i = 0; i < ROWS && t->plan->index_bits; i++) /* no denormal scores */
		tq_store_scale(t->plan, b.codes + i * t->plan->layout.row_bytes, 1.0f);
	if (drv->rotation_ops
		    ? drv->rotation_ops->create &&
			      drv->rotation_ops->create(check_host(), &t->plan->rotation, &b.state)
		    : drv->ops->create && drv->ops->create(check_host(), t->plan, &b.state))
		return 0.0;
	if (t->op == OP_SCORE_BLOCKS) {
		b.blocks = aligned_alloc(64, ROWS / 16 * tq_block_bytes(t->plan));
		for (i = 0; i < ROWS; i++)
			tq_block_put(t->plan, b.blocks + i / 16 * tq_block_bytes(t->plan), i % 16,
				     b.codes + i * t->plan->layout.row_bytes);
	}
	if (by_query(t->op) || t->op == OP_SCORE_LIST)
		make_query(&b, t);
	ns = measure(&b);
	if (drv->rotation_ops && drv->rotation_ops->destroy)
		drv->rotation_ops->destroy(check_host(), b.state);
	if (drv->ops && drv->ops->destroy)
		drv->ops->destroy(check_host(), b.state);
	free(b.packed);
	free(b.ids);
	free(b.blocks);
	free(b.codes);
	free(b.exponent);
	free(b.stat);
	free(b.scratch);
	free(b.y);
	free(x);
	return ns;
}

static int make_plan(struct trial *t, uint32_t dim, uint32_t bits)
{
	const char *name = strchr(t->drv->name, '(') + 1;
	int grid = !strncmp(name, "grid", 4), trellis = !strncmp(name, "tcq", 3), dense = !strncmp(name, "dense", 5);
	static const uint32_t radix_bits[] = { 2, 3, 3, 4, 5 };
	int polar = !strncmp(name, "polar", 5), radix = strstr(name, "radix)") != NULL;

	tq_spec_init(&t->spec);
	t->spec.bits = bits;
	t->spec.correction = TQ_CORR_LS;
	if (trellis) {
		t->spec.code = TQ_CODE_TCQ9;
		t->spec.effort = 0;
	}
	if (polar)
		t->spec.code = TQ_CODE_POLAR4;
	if (radix) {
		bits = bits > 4 ? 5 : bits;
		t->spec.code = TQ_CODE_LM1_6 + bits - 1;
		t->spec.bits = radix_bits[bits - 1];
	}
	if (!grid && !trellis && !polar && strncmp(name, "radix", 5)) {
		snprintf(t->spec.rotation, sizeof(t->spec.rotation), "%.*s",
			 dense ? 4 : (int)strcspn(name, ",)"), dense ? "haar" : name);
		t->spec.rotation_arg = strcmp(t->spec.rotation, "rht") ? 0 : 2;
	}
	if (!strncmp(name, "givens", 6))
		t->spec.rotation_arg = 8;
	return tq_spec_check(&t->spec, dim) ||
	       tq_plan_create(t->ctx, &t->spec, dim, NULL, &t->plan);
}

static void bench_row(struct trial *t, const char *plugin, size_t nq)
{
	const struct tq_driver *ref = check_reference(t->drv->name, t->op);
	int op = t->op, blocks = op == OP_SCORE_BLOCKS, i;
	const struct tq_radix *radix = t->plan->radix;
	uint64_t rng = t->rng;
	double mine = bench_one(t, t->drv, nq), theirs = 0.0;

	t->rng = rng;
	if (blocks) {
		/* against its own rows, in turn: the best of each */
		theirs = mine * 1e9;
		for (i = 0; i < 5; i++) {
			t->op = OP_SCORE;
			theirs = least(theirs, bench_one(t, t->drv, nq));
			t->op = op;
			mine = least(mine, bench_one(t, t->drv, nq));
		}
	} else if (ref) {
		theirs = bench_one(t, ref, nq);
	}
	printf("   %-12s d=%-5u bits=%.3g", check_op_name[t->op], t->plan->dim,
	       radix ? (double)radix->width / radix->digits : t->plan->index_bits);
	if (by_query(t->op))
		printf(" queries=%-2zu", nq);
	else if (op == OP_MIX)
		printf(" weights=%-2zu", nq);
	printf(" %10.2f ns", mine);
	if (ref)
		printf("  %s %10.2f ns  ratio %6.2f", blocks ? "rows" : "scalar", theirs, theirs / mine);
	printf("\n");
}

void bench_driver(struct tq_context *ctx, const char *plugin, const struct tq_driver *drv, int only)
{
	static const uint32_t dims[] = {128, 96, 1024, 768};
	static const uint32_t bits[] = {4, 2, 1, 3, 8};
	size_t i, k, nbits;
	struct trial t;
	int op;

	for (op = 0; op < OP_COUNT; op++) {
		if ((only >= 0 && only != op) || !check_has_op(drv, op))
			continue;
		nbits = drv->rotation_ops ? 1 : 5;
		for (i = 0; i < 4; i++)
			for (k = 0; k < nbits; k++) {
				memset(&t, 0, sizeof(t));
				t.ctx = ctx;
				t.drv = drv;
				t.op = op;
				t.rng = 7;
				if (make_plan(&t, dims[i], bits[k]))
					continue;
				if (op == OP_SCORE_BLOCKS && !tq_block_bytes(t.plan)) {
					trial_free(&t);
					continue;
				}
				if (!drv->supports || drv->supports(t.plan, t.why, sizeof(t.why))) {
					bench_row(&t, plugin, 1);
					if (by_query(op))
						bench_row(&t, plugin, 8);
					else if (op == OP_MIX)
						bench_row(&t, plugin, 4);
				}
				trial_free(&t);
			}
	}
}
