/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two groups of channels: rows, decoded rows and scores against two quantizers that are given each group's channels
 * by themselves, errors against theory in float64, the choice of channels, every refusal.
 */

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"
#include "normal.h"
#include "../scale.h"

#define D 128
#define N 32
#define ROWS 150 /* a tile and a part of one */
#define NQ 131
#define STRIDE (D + 3)

static struct tq_context *ctx;
static float x[ROWS * STRIDE], queries[NQ * STRIDE], centre[D];
static uint32_t channels[D];

/* Channels 0, 4, 8, ... are the first group's, in no order. */
static void setup(void)
{
	uint32_t i;

	state = 11;
	for (i = 0; i < ROWS * STRIDE; i++)
		x[i] = (float)(normal() * (i % STRIDE % 4 ? 1 : 6));
	for (i = 0; i < NQ * STRIDE; i++)
		queries[i] = (float)normal();
	for (i = 0; i < D; i++)
		centre[i] = (float)(i % 5) * 0.25f;
	for (i = 0; i < N; i++)
		channels[i] = 4 * (i * 13 % N);
	ck_assert_int_eq(tq_context_create(NULL, &ctx), TQ_OK);
}

static void teardown(void)
{
	tq_context_destroy(ctx);
}

static void parse(const char *first, const char *rest, struct tq_spec *spec)
{
	tq_spec_init(&spec[0]);
	tq_spec_init(&spec[1]);
	ck_assert_msg(tq_spec_parse(&spec[0], first) == TQ_OK, "%s", tq_error_text());
	ck_assert_msg(tq_spec_parse(&spec[1], rest) == TQ_OK, "%s", tq_error_text());
}

static struct tq_split *make(const char *first, const char *rest, const char *driver)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = driver};
	struct tq_spec spec[2];
	struct tq_split *s;

	parse(first, rest, spec);
	o.centre = spec[0].center || spec[1].center ? centre : NULL;
	ck_assert_msg(tq_split_create(ctx, spec, D, channels, N, &o, &s) == TQ_OK, "%s", tq_error_text());
	return s;
}

static void *room(size_t bytes)
{
	void *at = aligned_alloc(64, (bytes + 127) / 64 * 64);

	ck_assert_ptr_nonnull(at);
	return at;
}

/* The channels of one group of packed rows, by the marks alone. */
static void pick(unsigned group, const float *from, size_t n, float *to)
{
	size_t i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < D; j++)
			if ((j % 4 != 0) == group)
				*to++ = from[i * STRIDE + j];
}

/* What a group gives alone: its quantizer made here, its rows packed. */
struct alone {
	struct tq_quantizer *q;
	uint32_t d;
	unsigned char *codes;
	float back[ROWS * D], scores[NQ * ROWS];
};

static void run_alone(struct alone *a, unsigned group, const char *text)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = "scalar"};
	static float rows[ROWS * D], m[STRIDE];
	struct tq_spec spec;
	void *prepared;

	a->d = group ? D - N : N;
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	memcpy(rows, centre, sizeof(centre));
	pick(group, rows, 1, m);
	o.centre = spec.center ? m : NULL;
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, a->d, &o, &a->q), TQ_OK);
	a->codes = room(ROWS * tq_code_size(a->q));
	prepared = room(NQ * tq_query_size(a->q));
	pick(group, x, ROWS, rows);
	ck_assert_int_eq(tq_encode(a->q, rows, a->d, ROWS, a->codes), TQ_OK);
	ck_assert_int_eq(tq_decode(a->q, a->codes, ROWS, a->back, a->d), TQ_OK);
	pick(group, queries, NQ, rows);
	ck_assert_int_eq(tq_query_prepare(a->q, rows, a->d, NQ, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(a->q, prepared, NQ, a->codes, ROWS, a->scores, ROWS), TQ_OK);
	free(prepared);
}

static void compare_codes(const struct tq_split *s, const struct alone *a, const unsigned char *codes)
{
	size_t bytes[2] = {tq_code_size(a[0].q), tq_code_size(a[1].q)}, i;

	ck_assert_uint_eq(tq_split_code_size(s), bytes[0] + bytes[1]);
	for (i = 0; i < ROWS; i++) {
		ck_assert_mem_eq(codes, a[0].codes + i * bytes[0], bytes[0]);
		ck_assert_mem_eq(codes + bytes[0], a[1].codes + i * bytes[1], bytes[1]);
		codes += bytes[0] + bytes[1];
	}
}

static void compare_rows(const struct alone *a, const float *back)
{
	size_t at[2] = {0, 0}, i, j;

	for (i = 0; i < ROWS; i++) {
		for (j = 0; j < D; j++)
			ck_assert_float_eq(back[i * STRIDE + j], a[j % 4 != 0].back[at[j % 4 != 0]++]);
		for (; j < STRIDE; j++)
			ck_assert_float_eq(back[i * STRIDE + j], -7);
	}
}

static void compare_scores(const struct alone *a, const float *scores)
{
	size_t i, j;
	float sum;

	for (i = 0; i < NQ; i++)
		for (j = 0; j < ROWS; j++) {
			sum = a[0].scores[i * ROWS + j] + a[1].scores[i * ROWS + j];
			ck_assert_mem_eq(&scores[i * (ROWS + 5) + j], &sum, sizeof(sum));
		}
}

static const char *const cases[][2] = {
	{"bits=3", "bits=2"},
	{"bits=4 correction=unbiased", "bits=3 correction=none scale=f16"},
	{"bits=8 center=both", "bits=1 correction=norm center=data query=f32"},
	{"rotation=haar bits=2 correction=qjl:rht center=data", "code=tcq:8 bits=2"},
};

START_TEST(test_definition)
{
	const char *first = cases[_i / 2][0], *rest = cases[_i / 2][1];
	struct tq_split *s = make(first, rest, _i % 2 ? NULL : "scalar");
	unsigned char *codes = room(ROWS * tq_split_code_size(s));
	void *prepared = room(NQ * tq_split_query_size(s)), *scratch = room(tq_split_scratch_size(s));
	static float back[ROWS * STRIDE], scores[NQ * (ROWS + 5)];
	static struct alone a[2];
	size_t i;

	run_alone(&a[0], 0, first);
	run_alone(&a[1], 1, rest);
	ck_assert_int_eq(tq_split_encode(s, x, TQ_F32, STRIDE, ROWS, codes, scratch), TQ_OK);
	compare_codes(s, a, codes);
	for (i = 0; i < ROWS * STRIDE; i++)
		back[i] = -7;
	ck_assert_int_eq(tq_split_decode(s, codes, ROWS, back, TQ_F32, STRIDE, scratch), TQ_OK);
	compare_rows(a, back);
	ck_assert_int_eq(tq_split_query_prepare(s, queries, STRIDE, NQ, prepared, scratch), TQ_OK);
	ck_assert_int_eq(tq_split_score(s, prepared, NQ, codes, ROWS, scores, ROWS + 5, scratch), TQ_OK);
	compare_scores(a, scores);
	/* one query out of the middle is complete in itself */
	memset(back, 0, sizeof(back));
	ck_assert_int_eq(tq_split_score(s, (char *)prepared + 65 * tq_split_query_size(s), 1, codes, ROWS, back, ROWS, scratch),
			 TQ_OK);
	ck_assert_mem_eq(back, scores + 65 * (ROWS + 5), ROWS * sizeof(float));
	for (i = 0; i < 2; i++) {
		tq_quantizer_destroy(a[i].q);
		free(a[i].codes);
	}
	free(codes);
	free(prepared);
	free(scratch);
	tq_split_destroy(s);
}
END_TEST

/* Bytes of rows in 16 bits, at an odd address, are those of the same numbers in 32. */
START_TEST(test_dtypes)
{
	struct tq_split *s = make("bits=3", "bits=2", NULL);
	unsigned char *codes = room(2 * ROWS * tq_split_code_size(s)), *half = room(2 * ROWS * STRIDE + 1);
	void *scratch = room(tq_split_scratch_size(s));
	static float wide[ROWS * STRIDE], back[ROWS * D];
	size_t bytes = ROWS * tq_split_code_size(s), i, j;
	uint32_t bits;
	uint16_t top;

	for (i = 0; i < ROWS * STRIDE; i++) {
		memcpy(&bits, &x[i], 4);
		top = (uint16_t)(bits >> 16); /* bf16, towards zero */
		bits &= 0xffff0000u;
		memcpy(&wide[i], &bits, 4);
		memcpy(half + 1 + 2 * i, &top, 2);
	}
	ck_assert_int_eq(tq_split_encode(s, wide, TQ_F32, STRIDE, ROWS, codes, scratch), TQ_OK);
	ck_assert_int_eq(tq_split_encode(s, half + 1, TQ_BF16, STRIDE, ROWS, codes + bytes, scratch), TQ_OK);
	ck_assert_mem_eq(codes, codes + bytes, bytes);
	ck_assert_int_eq(tq_split_decode(s, codes, ROWS, back, TQ_F32, D, scratch), TQ_OK);
	ck_assert_int_eq(tq_split_decode(s, codes, ROWS, half + 1, TQ_BF16, STRIDE, scratch), TQ_OK);
	for (i = 0; i < ROWS; i++)
		for (j = 0; j < D; j++) {
			memcpy(&top, half + 1 + 2 * (i * STRIDE + j), 2);
			bits = (uint32_t)top << 16;
			memcpy(&wide[0], &bits, 4);
			ck_assert_float_le(fabsf(wide[0] - back[i * D + j]), fabsf(back[i * D + j]) * 0x1p-8f);
		}
	free(codes);
	free(half);
	free(scratch);
	tq_split_destroy(s);
}
END_TEST

/* ---- errors against theory ---- */

/* What the test's number of rows lets an error be off by: a few times its deviation. */
static double tolerance(void)
{
	return test_scale() < 1 ? .08 : .02;
}

/*
 * Mean of |x^ - x|^2 of a first group of 64 channels, which are @gain times the others, of the rest of 96 and of
 * both, each over its own energy.
 */
static void errors(const char *first, const char *rest, double gain, double *error)
{
	enum { A = 64, B = 96, ALL = A + B, M = 50 };
	double e[2] = {0}, n[2] = {0}, d;
	static float rows[M * ALL], back[M * ALL];
	int batches = test_scale() < 1 ? 6 : 50, b, i;
	uint32_t list[A], c;
	struct tq_spec spec[2];
	struct tq_split *s;
	void *codes, *scratch;

	parse(first, rest, spec);
	for (c = 0; c < A; c++)
		list[c] = 2 * c;
	ck_assert_msg(tq_split_create(ctx, spec, ALL, list, A, NULL, &s) == TQ_OK, "%s", tq_error_text());
	codes = room(M * tq_split_code_size(s));
	scratch = room(tq_split_scratch_size(s));
	for (b = 0; b < batches; b++) {
		for (i = 0; i < M * ALL; i++) {
			c = (uint32_t)i % ALL;
			rows[i] = (float)(normal() * (c % 2 == 0 && c < 2 * A ? gain : 1));
		}
		ck_assert_int_eq(tq_split_encode(s, rows, TQ_F32, ALL, M, codes, scratch), TQ_OK);
		ck_assert_int_eq(tq_split_decode(s, codes, M, back, TQ_F32, ALL, scratch), TQ_OK);
		for (i = 0; i < M * ALL; i++) {
			c = (uint32_t)i % ALL;
			d = (double)rows[i] - (double)back[i];
			e[!(c % 2 == 0 && c < 2 * A)] += d * d;
			n[!(c % 2 == 0 && c < 2 * A)] += (double)rows[i] * (double)rows[i];
		}
	}
	error[0] = e[0] / n[0];
	error[1] = e[1] / n[1];
	error[2] = (e[0] + e[1]) / (n[0] + n[1]);
	free(codes);
	free(scratch);
	tq_split_destroy(s);
}

/* Each group has the distortion of its own dimension, whatever the other's size: the norms are apart. */
START_TEST(test_groups_have_their_own_distortion)
{
	static const double gains[] = {1, 30, 1e-4};
	double e[3], few = tolerance();

	errors("bits=3 correction=none", "bits=2 correction=none", gains[_i], e);
	ck_assert_msg(fabs(e[0] / .033391 - 1) < few, "64 channels at 3 bits: %g", e[0]);
	ck_assert_msg(fabs(e[1] / .115508 - 1) < few, "96 channels at 2 bits: %g", e[1]);
}
END_TEST

/*
 * 64 channels at 4 bits and 96 at 2 (2.8 a channel) against 3 bits everywhere: twice the error where all channels are
 * alike, less than half of it where the first group's are ten times the others. Both as theory says.
 */
START_TEST(test_split_is_for_outliers)
{
	double split[3], plain[3], share;

	errors("bits=4 correction=none", "bits=2 correction=none", 1, split);
	errors("bits=3 correction=none", "bits=3 correction=none", 1, plain);
	ck_assert_msg(split[2] > 1.9 * plain[2], "alike: %g against %g", split[2], plain[2]);
	ck_assert_double_eq_tol(split[2] / (.009132 * .4 + .115508 * .6), 1, tolerance());
	errors("bits=4 correction=none", "bits=2 correction=none", 10, split);
	errors("bits=3 correction=none", "bits=3 correction=none", 10, plain);
	share = 96 / (96 + 64 * 100.0);
	ck_assert_msg(split[2] < .4 * plain[2], "outliers: %g against %g", split[2], plain[2]);
	ck_assert_double_eq_tol(split[2] / (.009132 * (1 - share) + .115508 * share), 1, tolerance());
}
END_TEST

/* ---- which channels ---- */

START_TEST(test_choice)
{
	double energy[D] = {0};
	uint32_t got[D], i, j, r, better;

	for (r = 0; r < ROWS; r++)
		for (i = 0; i < D; i++) {
			double v = (double)x[r * STRIDE + i] - (_i ? (double)centre[i] : 0);

			energy[i] += v * v;
		}
	ck_assert_int_eq(tq_split_choose(ctx, x, STRIDE, ROWS, D, _i ? centre : NULL, 40, got), TQ_OK);
	for (i = 0; i < 40; i++) {
		ck_assert(i == 0 || got[i] > got[i - 1]);
		for (better = j = 0; j < D; j++)
			better += energy[j] > energy[got[i]];
		ck_assert_uint_lt(better, 40);
	}
}
END_TEST

START_TEST(test_choice_of_equals)
{
	float rows[2 * 6] = {1, -2, 2, 0, 2, 2, 1, 2, -2, 0, 2, 2};
	uint32_t got[3];

	ck_assert_int_eq(tq_split_choose(ctx, rows, 6, 2, 6, NULL, 3, got), TQ_OK);
	ck_assert(got[0] == 1 && got[1] == 2 && got[2] == 4);
	memset(rows, 0, sizeof(rows));
	ck_assert_int_eq(tq_split_choose(ctx, rows, 6, 2, 6, NULL, 3, got), TQ_OK);
	ck_assert(got[0] == 0 && got[1] == 1 && got[2] == 2);
}
END_TEST

START_TEST(test_channels)
{
	struct tq_split *s = make("bits=3", "bits=2", NULL);
	uint32_t i;

	ck_assert_uint_eq(tq_split_dim(s), D);
	ck_assert_uint_eq(tq_dim(tq_split_group(s, 0)), N);
	ck_assert_uint_eq(tq_dim(tq_split_group(s, 1)), D - N);
	for (i = 0; i < D; i++)
		ck_assert_uint_eq(tq_split_channels(s, i % 4 != 0)[i % 4 ? i / 4 * 3 + i % 4 - 1 : i / 4], i);
	ck_assert_ptr_null(tq_split_group(s, 2));
	ck_assert_ptr_null(tq_split_channels(s, 2));
	ck_assert_ptr_null(tq_split_centre(s));
	ck_assert_uint_eq(tq_split_query_size(s) % 64, 0);
	tq_split_destroy(s);
	tq_split_destroy(NULL);
	s = make("bits=3", "bits=2 center=data", NULL);
	for (i = 0; i < D; i++)
		ck_assert_float_eq(tq_split_centre(s)[i], i % 4 ? centre[i] : 0);
	tq_split_destroy(s);
}
END_TEST

/* ---- refusals ---- */

static void refused(int ret, int want, const char *text)
{
	ck_assert_msg(ret == want, "%s: %d: %s", text, ret, tq_error_text());
	ck_assert_msg(strstr(tq_error_text(), text) != NULL, "'%s' lacks '%s'", tq_error_text(), text);
}

START_TEST(test_refused_choices)
{
	uint32_t got[D];

	refused(tq_split_choose(NULL, x, D, 2, D, NULL, N, got), TQ_ERR_ARG, "ctx is NULL");
	refused(tq_split_choose(ctx, NULL, D, 2, D, NULL, N, got), TQ_ERR_ARG, "x is NULL");
	refused(tq_split_choose(ctx, x, D, 2, D, NULL, N, NULL), TQ_ERR_ARG, "channels is NULL");
	refused(tq_split_choose(ctx, x, D, 2, 1, NULL, 1, got), TQ_ERR_ARG, "dim: 1");
	refused(tq_split_choose(ctx, x, D, 2, TQ_MAX_DIM + 1, NULL, 1, got), TQ_ERR_ARG, "dim: 65537");
	refused(tq_split_choose(ctx, x, D, 2, D, NULL, 0, got), TQ_ERR_ARG, "n: 0 of 128");
	refused(tq_split_choose(ctx, x, D, 2, D, NULL, D, got), TQ_ERR_ARG, "n: 128 of 128");
	refused(tq_split_choose(ctx, x, D, 0, D, NULL, N, got), TQ_ERR_ARG, "rows: 0");
	refused(tq_split_choose(ctx, x, D - 1, 2, D, NULL, N, got), TQ_ERR_ARG, "stride");
	x[3 * D + 5] = INFINITY;
	refused(tq_split_choose(ctx, x, D, 9, D, NULL, N, got), TQ_ERR_NONFINITE, "row 3");
	ck_assert_uint_eq(tq_error_row(), 3);
}
END_TEST

START_TEST(test_refused_splits)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .centre = centre};
	struct tq_split *s = (struct tq_split *)&o;
	struct tq_spec spec[2];

	parse("bits=3", "bits=2", spec);
	refused(tq_split_create(NULL, spec, D, channels, N, NULL, &s), TQ_ERR_ARG, "ctx is NULL");
	ck_assert_ptr_null(s);
	refused(tq_split_create(ctx, NULL, D, channels, N, NULL, &s), TQ_ERR_ARG, "spec is NULL");
	refused(tq_split_create(ctx, spec, D, NULL, N, NULL, &s), TQ_ERR_ARG, "channels is NULL");
	refused(tq_split_create(ctx, spec, D, channels, N, NULL, NULL), TQ_ERR_ARG, "out is NULL");
	refused(tq_split_create(ctx, spec, 1, channels, 1, NULL, &s), TQ_ERR_ARG, "dim: 1");
	refused(tq_split_create(ctx, spec, D, channels, 0, NULL, &s), TQ_ERR_ARG, "n: 0");
	refused(tq_split_create(ctx, spec, N, channels, N, NULL, &s), TQ_ERR_ARG, "n: 32 of 32");
	refused(tq_split_create(ctx, spec, D - 4, channels, N, NULL, &s), TQ_ERR_ARG, "is 124, of 124 channels");
	channels[7] = channels[2];
	refused(tq_split_create(ctx, spec, D, channels, N, NULL, &s), TQ_ERR_ARG, "is there twice");
	channels[7]++;
	refused(tq_split_create(ctx, spec, D, channels, N, &o, &s), TQ_ERR_ARG, "both specs say center=off");
	o.centre = NULL;
	o.driver = "no-such";
	refused(tq_split_create(ctx, spec, D, channels, N, &o, &s), TQ_ERR_NO_DRIVER, "no-such");
	o.struct_size = 4;
	refused(tq_split_create(ctx, spec, D, channels, N, &o, &s), TQ_ERR_ARG, "struct_size");
	spec[1].center = TQ_CENTER_DATA;
	refused(tq_split_create(ctx, spec, D, channels, N, NULL, &s), TQ_ERR_ARG, "group 1 (96 channels): options.centre");
	spec[0].bits = 9;
	refused(tq_split_create(ctx, spec, D, channels, N, NULL, &s), TQ_ERR_SPEC, "group 0 (32 channels): bits");
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(test_refused_calls)
{
	struct tq_split *s = make("bits=3 scale=f16", "bits=2 scale=f16", NULL);
	unsigned char *codes = room(ROWS * tq_split_code_size(s)), *want = room(ROWS * tq_split_code_size(s));
	char *prepared = room(NQ * tq_split_query_size(s)), *scratch = room(tq_split_scratch_size(s));
	size_t bytes = ROWS * tq_split_code_size(s);
	float out[ROWS];

	ck_assert_int_eq(tq_split_encode(s, NULL, TQ_F32, 0, 0, NULL, NULL), TQ_OK);
	ck_assert_int_eq(tq_split_decode(s, NULL, 0, NULL, TQ_F32, 0, NULL), TQ_OK);
	ck_assert_int_eq(tq_split_query_prepare(s, NULL, 0, 0, NULL, NULL), TQ_OK);
	ck_assert_int_eq(tq_split_score(s, NULL, 0, NULL, 0, NULL, 0, NULL), TQ_OK);
	refused(tq_split_encode(NULL, x, TQ_F32, D, 1, codes, scratch), TQ_ERR_ARG, "s is NULL");
	refused(tq_split_encode(s, NULL, TQ_F32, D, 1, codes, scratch), TQ_ERR_ARG, "x is NULL");
	refused(tq_split_encode(s, x, TQ_F32, D, 1, NULL, scratch), TQ_ERR_ARG, "codes is NULL");
	refused(tq_split_encode(s, x, TQ_F32, D, 1, codes, NULL), TQ_ERR_ARG, "scratch is NULL");
	refused(tq_split_encode(s, x, TQ_F32, D, 1, codes, scratch + 8), TQ_ERR_ARG, "scratch: not aligned");
	refused(tq_split_encode(s, x, 7, D, 1, codes, scratch), TQ_ERR_ARG, "dtype: 7");
	refused(tq_split_encode(s, x, TQ_F32, D - 1, 1, codes, scratch), TQ_ERR_ARG, "stride");
	refused(tq_split_encode(s, x, TQ_F32, D, SIZE_MAX / 8, codes, scratch), TQ_ERR_ARG, "exceed memory");
	refused(tq_split_decode(s, codes, 1, x, TQ_F32, D - 1, scratch), TQ_ERR_ARG, "stride");
	refused(tq_split_decode(s, codes, 1, x, TQ_F32, D, NULL), TQ_ERR_ARG, "scratch is NULL");
	refused(tq_split_decode(s, NULL, 1, x, TQ_F32, D, scratch), TQ_ERR_ARG, "codes is NULL");
	refused(tq_split_query_prepare(s, queries, D, 1, prepared + 8, scratch), TQ_ERR_ARG, "prepared: not aligned");
	refused(tq_split_query_prepare(s, queries, 5, 1, prepared, scratch), TQ_ERR_ARG, "stride");
	refused(tq_split_score(s, prepared, 1, codes, 5, out, 4, scratch), TQ_ERR_ARG, "ld: 4");
	refused(tq_split_score(s, prepared, 1, codes, 5, NULL, 5, scratch), TQ_ERR_ARG, "scores is NULL");
	refused(tq_split_score(s, prepared + 8, 1, codes, 5, out, 5, scratch), TQ_ERR_ARG, "prepared: not aligned");
	refused(tq_split_score(s, prepared, 1, codes, 5, out, 5, scratch + 8), TQ_ERR_ARG, "scratch: not aligned");
	/* a row of the second tile: none is written */
	memset(codes, 0x5a, bytes);
	memset(want, 0x5a, bytes);
	x[140 * STRIDE + 1] = NAN;
	refused(tq_split_encode(s, x, TQ_F32, STRIDE, ROWS, codes, scratch), TQ_ERR_NONFINITE, "row 140");
	ck_assert_uint_eq(tq_error_row(), 140);
	ck_assert_mem_eq(codes, want, bytes);
	x[140 * STRIDE + 1] = 1e9f;
	refused(tq_split_encode(s, x, TQ_F32, STRIDE, ROWS, codes, scratch), TQ_ERR_RANGE, "row 140, group 1");
	ck_assert_uint_eq(tq_error_row(), 140);
	queries[130 * STRIDE] = NAN;
	refused(tq_split_query_prepare(s, queries, STRIDE, NQ, prepared, scratch), TQ_ERR_NONFINITE, "query 130, group 0");
	ck_assert_uint_eq(tq_error_row(), 130);
	free(codes);
	free(want);
	free(prepared);
	free(scratch);
	tq_split_destroy(s);
}
END_TEST

/* ---- threads ---- */

static void *encode_often(void *arg)
{
	const struct tq_split *s = arg;
	unsigned char *codes = room(ROWS * tq_split_code_size(s));
	void *scratch = room(tq_split_scratch_size(s));
	int i;

	for (i = 0; i < 20; i++)
		if (tq_split_encode(s, x, TQ_F32, STRIDE, ROWS, codes, scratch))
			break;
	free(scratch);
	if (i == 20)
		return codes;
	free(codes);
	return NULL;
}

START_TEST(test_threads)
{
	struct tq_split *s = make("bits=3", "bits=2", NULL);
	pthread_t thread[3];
	void *codes[3];
	int i;

	for (i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, encode_often, s), 0);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], &codes[i]);
	for (i = 0; i < 3; i++) {
		ck_assert_ptr_nonnull(codes[i]);
		ck_assert_mem_eq(codes[i], codes[0], ROWS * tq_split_code_size(s));
	}
	for (i = 0; i < 3; i++)
		free(codes[i]);
	tq_split_destroy(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("split");
	SRunner *runner = srunner_create(suite);
	TCase *c = tcase_create("split");
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, test_definition, 0, 2 * (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(c, test_dtypes);
	tcase_add_loop_test(c, test_groups_have_their_own_distortion, 0, 3);
	tcase_add_test(c, test_split_is_for_outliers);
	tcase_add_loop_test(c, test_choice, 0, 2);
	tcase_add_test(c, test_choice_of_equals);
	tcase_add_test(c, test_channels);
	tcase_add_test(c, test_refused_choices);
	tcase_add_test(c, test_refused_splits);
	tcase_add_test(c, test_refused_calls);
	tcase_add_test(c, test_threads);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
