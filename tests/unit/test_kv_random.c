/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on many sequences of one cache: append, fork, trim, rewind, drop, save, restore, a pool that gets
 * full. Each sequence is compared with its model, and forks and restored copies with their origin bit for bit.
 *
 *	TQ_KV_SECONDS	how long, shared out among the shapes of caches; 2 unless given
 *	TQ_KV_SEED	another walk; printed where one fails
 *
 * With threads: each works on forks of its own, which share pages with a sequence that all of them read.
 */

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kv_model.h"

enum { SEQUENCES = 6, STEPS_LEAST = 30, THREADS = 3, CHECK_EVERY = 6 };

/*
 * struct walk - one random walk
 * @limited: the cache has a byte limit: appends may be refused
 * @count:   of operations
 */
struct walk {
	struct tq_kv *kv;
	const struct tq_kv_options *o;
	bool limited;
	struct model m[SEQUENCES];
	unsigned refused;
	unsigned count[8];
};

enum { APPEND, REWIND, TRIM, FORK, SAVE, DROP, REFUSED, CHECK };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double setting(const char *name, double otherwise)
{
	const char *text = getenv(name);

	return text ? atof(text) : otherwise;
}

static void walk_append(struct walk *w, struct model *a)
{
	uint32_t n = 1 + rng(rng(3) ? 40 : 4);
	int ret;

	if (a->tokens + n >= MOST)
		return;
	ret = append(a, w->o, n);
	w->count[ret == TQ_OK ? APPEND : REFUSED]++;
	if (ret == TQ_OK)
		return;
	ck_assert_msg(w->limited && ret == TQ_ERR_FULL, "append: %s", tq_error_text());
	/* of several layers the first may have the tokens already */
	ck_assert_int_eq(tq_kv_seq_rewind(a->seq, a->tokens), TQ_OK);
}

static void walk_rewind(struct walk *w, struct model *a)
{
	uint32_t to = rng(4) ? (uint32_t)a->tokens - rng(a->tokens < 20 ? (uint32_t)a->tokens + 1 : 20) :
			       rng((uint32_t)a->tokens + 1);

	w->count[REWIND]++;
	if (tq_kv_seq_rewind(a->seq, to) == TQ_OK)
		a->tokens = to;
	else
		ck_assert_msg(to > w->o->sinks && to <= a->trimmed, "rewind: %s", tq_error_text());
	if (a->trimmed > a->tokens)
		a->trimmed = a->tokens > w->o->sinks ? a->trimmed : 0;
}

static void walk_trim(struct walk *w, struct model *a)
{
	uint32_t to = rng((uint32_t)a->tokens + 1);

	w->count[TRIM]++;
	ck_assert_int_eq(tq_kv_seq_trim(a->seq, to), TQ_OK);
	if (to > a->trimmed && to > w->o->sinks)
		a->trimmed = to;
}

/* A copy of a sequence by fork or through a file answers with the same bits */
static void walk_copy(struct walk *w, struct model *a, struct model *b, bool file)
{
	if (a == b)
		return;
	model_close(b);
	if (file && w->limited && tq_kv_used(w->kv) > w->o->byte_limit / 2)
		return;
	w->count[file ? SAVE : FORK]++;
	if (file) {
		save_and_restore(a, w->kv, w->o, b);
	} else {
		ck_assert_int_eq(tq_kv_seq_fork(a->seq, &b->seq), TQ_OK);
		model_copy(a, b, w->o);
	}
	if (rng(4) == 0)
		check_sequence(a, w->o, b);
}

static void walk_step(struct walk *w)
{
	struct model *a = &w->m[rng(SEQUENCES)], *b = &w->m[rng(SEQUENCES)];
	uint32_t what = rng(16);

	if (!a->seq)
		model_open(a, w->kv, w->o);
	if (what == 0)
		walk_trim(w, a);
	else if (what < 3)
		walk_rewind(w, a);
	else if (what < 5)
		walk_copy(w, a, b, false);
	else if (what == 5)
		walk_copy(w, a, b, true);
	else if (what == 6 && ++w->count[DROP])
		model_close(a);
	else
		walk_append(w, a);
	if (w->limited)
		ck_assert_uint_le(tq_kv_used(w->kv), w->o->byte_limit);
	if (a->seq && rng(CHECK_EVERY) == 0 && ++w->count[CHECK])
		check_sequence(a, w->o, NULL);
}

static void walk_close(struct walk *w)
{
	for (unsigned i = 0; i < SEQUENCES; i++)
		model_close(&w->m[i]);
}

START_TEST(random_operations_keep_the_model)
{
	struct tq_kv_options o = shapes[_i / 2].o;
	struct walk w = { .o = &o, .limited = _i % 2 };
	double seconds = setting("TQ_KV_SECONDS", 2) / (2 * SHAPES), start = now();
	uint64_t seed = (uint64_t)setting("TQ_KV_SEED", 77) + (uint64_t)_i;
	struct tq_kv_bytes bytes;
	unsigned step;

	rng_state = seed;
	if (w.limited) {
		ck_assert_int_eq(tq_kv_size(kv_ctx, &o, MOST / 2, 2, &bytes), TQ_OK);
		o.byte_limit = bytes.total;
	}
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &w.kv), TQ_OK);
	printf("%s%s, seed %llu:", shapes[_i / 2].name, w.limited ? ", limited" : "",
	       (unsigned long long)(seed - (uint64_t)_i));
	fflush(stdout);
	for (step = 0; step < STEPS_LEAST || now() - start < seconds; step++)
		walk_step(&w);
	printf(" %u steps: %u appends, %u refused, %u rewinds, %u trims, %u forks, %u files, %u drops, %u checks\n", step,
	       w.count[APPEND], w.count[REFUSED], w.count[REWIND], w.count[TRIM], w.count[FORK], w.count[SAVE],
	       w.count[DROP], w.count[CHECK]);
	walk_close(&w);
	ck_assert_uint_eq(tq_kv_used(w.kv), 0);
	tq_kv_destroy(w.kv);
}
END_TEST

/* ---- threads ---- */

/* What a thread works on: its walk starts with forks of @shared, which it reads but never changes. */
struct worker {
	struct walk w;
	const struct model *shared;
	const float *query, *want;
	size_t outs;
	unsigned number;
	double seconds;
	bool bad;
};

static void ask_shared(const struct model *m, const struct tq_kv_options *o, const float *query, float *out)
{
	size_t dim = o->value_dim ? o->value_dim : o->key_dim;
	struct tq_kv_call call = { .struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32, .query = query,
				   .query_stride = (size_t)o->query_heads * (o->key_dim + o->key_raw_dim), .out = out,
				   .out_stride = o->query_heads * dim };

	call.scratch_bytes = tq_kv_attend_scratch(m->seq, 0);
	call.scratch = room(call.scratch_bytes);
	ck_assert_int_eq(tq_kv_attend(m->seq, 0, &call), TQ_OK);
	free(call.scratch);
}

static void *work(void *arg)
{
	struct worker *k = arg;
	float *out = room(k->outs * sizeof(*out));
	double start = now();
	unsigned step;

	rng_state = 1000 + k->number;
	for (step = 0; step < STEPS_LEAST || now() - start < k->seconds; step++) {
		walk_step(&k->w);
		ask_shared(k->shared, k->w.o, k->query, out);
		k->bad |= memcmp(out, k->want, k->outs * sizeof(*out)) != 0;
	}
	free(out);
	walk_close(&k->w);
	return NULL;
}

START_TEST(threads_on_forks_leave_what_all_read_alone)
{
	const struct tq_kv_options *o = &shapes[_i].o;
	size_t width = o->query_heads * (size_t)(o->key_dim + o->key_raw_dim), i;
	size_t outs = o->query_heads * (size_t)(o->value_dim ? o->value_dim : o->key_dim);
	float *query = room(width * sizeof(*query)), *want = room(outs * sizeof(*want));
	struct worker k[THREADS] = { 0 };
	pthread_t thread[THREADS];
	struct model shared;
	struct tq_kv *kv;
	unsigned n, s;

	rng_state = 5;
	ck_assert_int_eq(tq_kv_create(kv_ctx, o, &kv), TQ_OK);
	model_open(&shared, kv, o);
	ck_assert_int_eq(append(&shared, o, 200), TQ_OK);
	for (i = 0; i < width; i++)
		query[i] = (float)rng(1000) / 500.0f - 1.0f;
	ask_shared(&shared, o, query, want);
	for (n = 0; n < THREADS; n++) {
		k[n] = (struct worker){ .w = { .kv = kv, .o = o }, .shared = &shared, .query = query, .want = want,
					.outs = outs, .number = n,
					.seconds = setting("TQ_KV_SECONDS", 2) / (2 * SHAPES) };
		for (s = 0; s < 2; s++) {
			ck_assert_int_eq(tq_kv_seq_fork(shared.seq, &k[n].w.m[s].seq), TQ_OK);
			model_copy(&shared, &k[n].w.m[s], o);
		}
	}
	for (n = 0; n < THREADS; n++)
		ck_assert_int_eq(pthread_create(&thread[n], NULL, work, &k[n]), 0);
	for (n = 0; n < THREADS; n++) {
		pthread_join(thread[n], NULL);
		ck_assert_msg(!k[n].bad, "thread %u saw other answers", n);
	}
	check_sequence(&shared, o, NULL);
	model_close(&shared);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
	free(query);
	free(want);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("cache");

	tcase_set_timeout(tc, 3600);
	tcase_add_loop_test(tc, random_operations_keep_the_model, 0, 2 * SHAPES);
	tcase_add_loop_test(tc, threads_on_forks_leave_what_all_read_alone, 0, SHAPES);
	return run_cases("kv_random", tc);
}
