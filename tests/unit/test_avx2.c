/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The avx2 plugin against scalar through the public API: the same bytes, the same decoded floats,
 * the same scores. One loop iteration is one dimension; for each, every number of bits with every
 * correction meets a rotation, code, effort, centre, query and element type drawn from a fixed
 * seed. Skipped where the plugin or the CPU's features are missing.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"

/* Rows of small dimensions; large ones have LARGE_ROWS */
#define ROWS 21
#define LARGE_ROWS 9
#define LARGE_DIM 600
#define QUERIES 3
#define SKIPPED 77

static const uint32_t dims[] = {1,   2,	  3,   7,   8,	  16,	33,   64,   80,	  96,	100, 128,
				200, 256, 576, 768, 1000, 1023, 1536, 3072, 4096, 5000, 8192};
static const char *const corrections[] = {"none",      "norm",	    "ls",     "unbiased",
					  "qjl:gauss", "qjl:ortho", "qjl:rht"};
static const char *const rotations[] = {"rht:2", "rht:1",    "rht:3", "rht:2",
					"none",	 "givens:2", "haar"};
static const char *const codes[] = {"lm", "lm", "uniform", "sign"};
static const char *const centers[] = {"off", "data", "both"};
static const char *const scales[] = {"f32", "bf16", "f16"};
static const char *const queries[] = {"auto", "s8", "s16", "f32"};

static uint64_t rng_state;

static uint32_t rng(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((rng_state >> 33) * below) >> 31);
}

/* Roughly normal, with outliers, zeros and wide magnitudes by row */
static void fill(float *x, size_t rows, size_t dim)
{
	static const float magnitude[] = {1.0f, 1.0f, 1e-3f, 100.0f, 1.0f};
	size_t i, j;
	float m;

	for (i = 0; i < rows; i++) {
		m = magnitude[i % 5];
		for (j = 0; j < dim; j++)
			x[i * dim + j] =
				m * ((float)rng(2001) + (float)rng(2001) - 2000.0f) / 500.0f;
		if (i % 4 == 1)
			x[i * dim + rng((uint32_t)dim)] = m * 40.0f;
		if (i % 7 == 3)
			for (j = 0; j < dim; j++)
				x[i * dim + j] = 0.0f;
		if (i % 7 == 5)
			for (j = 0; j < dim; j++)
				x[i * dim + j] = (float)((int)(j % 5) - 2);
	}
}

struct side {
	struct tq_context *ctx;
	struct tq_quantizer *q;
	unsigned char *codes;
	float *decoded, *scores, *list, *pairs;
	uint16_t *narrow;
	void *prepared;
};

static void *room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	memset(p, 0xa5, bytes);
	return p;
}

static void side_open(struct side *s, const char *driver)
{
	struct tq_options o = {.struct_size = sizeof(o), .driver = driver};

	memset(s, 0, sizeof(*s));
	ck_assert_msg(tq_context_create(&o, &s->ctx) == TQ_OK, "%s", tq_error_text());
}

static void side_run(struct side *s, const struct tq_spec *spec, uint32_t dim, const float *centre,
		     const void *x, int dtype, const float *y, const uint32_t *ids, size_t n)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o)};
	size_t stride = dim + 3, i;

	o.centre = spec->center ? centre : NULL;
	ck_assert_msg(tq_quantizer_create(s->ctx, spec, dim, &o, &s->q) == TQ_OK, "%s",
		      tq_error_text());
	s->codes = room(n * tq_code_size(s->q));
	s->decoded = room(n * stride * 4);
	s->narrow = room(2 * n * stride * 2);
	s->scores = room(QUERIES * (n + 2) * 4);
	s->list = room(n * 4);
	s->pairs = room(n * n * 4);
	s->prepared = room(QUERIES * tq_query_size(s->q));
	ck_assert_msg(tq_encode_as(s->q, x, dtype, dim, n, s->codes) == TQ_OK, "%s",
		      tq_error_text());
	ck_assert_int_eq(tq_decode(s->q, s->codes, n, s->decoded, stride), TQ_OK);
	ck_assert_int_eq(tq_decode_as(s->q, s->codes, n, s->narrow, TQ_F16, stride), TQ_OK);
	ck_assert_int_eq(tq_decode_as(s->q, s->codes, n, s->narrow + n * stride, TQ_BF16, stride),
			 TQ_OK);
	ck_assert_int_eq(tq_query_prepare(s->q, y, dim, QUERIES, s->prepared), TQ_OK);
	ck_assert_int_eq(tq_score(s->q, s->prepared, QUERIES, s->codes, n, s->scores, n + 2),
			 TQ_OK);
	ck_assert_int_eq(tq_score_list(s->q, s->prepared, s->codes, ids, n, s->list), TQ_OK);
	if (tq_score_pairs(s->q, s->codes, n, s->codes, n, s->pairs, n) != TQ_OK)
		for (i = 0; i < n * n; i++)
			s->pairs[i] = 0.0f;
}

static void side_clear(struct side *s)
{
	free(s->codes);
	free(s->decoded);
	free(s->narrow);
	free(s->scores);
	free(s->list);
	free(s->pairs);
	free(s->prepared);
	tq_quantizer_destroy(s->q);
}

static void same(const char *what, const void *a, const void *b, size_t n, const char *spec,
		 uint32_t dim, int dtype)
{
	const unsigned char *p = a, *q = b;
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != q[i])
			ck_abort_msg("%s: byte %zu of %zu is %02x, not %02x: d=%u dtype=%d %s",
				     what, i, n, q[i], p[i], dim, dtype, spec);
}

static void compare(struct side *scalar, struct side *avx2, const char *text, uint32_t dim)
{
	float *x = room((size_t)ROWS * dim * 4), *y = room((size_t)QUERIES * dim * 4), *centre;
	void *as = room((size_t)ROWS * dim * 4);
	uint32_t ids[ROWS], b;
	struct tq_spec spec;
	size_t rows = dim > LARGE_DIM ? LARGE_ROWS : ROWS, i, n = rows * dim;
	int dtype = (int)rng(3);

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, text) == TQ_OK, "%s", tq_error_text());
	fill(x, rows, dim);
	fill(y, QUERIES, dim);
	centre = y + dim;
	for (i = 0; i < n; i++) {
		memcpy(&b, x + i, 4);
		if (dtype == TQ_F32)
			memcpy((char *)as + 4 * i, &b, 4);
		else /* the upper half of a float is a bf16; as an f16 it is some number too, if
			finite */
			((uint16_t *)as)[i] =
				(uint16_t)(dtype == TQ_BF16 ? b >> 16 : (b >> 16) & 0xbbffu);
	}
	for (i = 0; i < rows; i++)
		ids[i] = rng((uint32_t)rows);
	side_run(scalar, &spec, dim, centre, as, dtype, y, ids, rows);
	side_run(avx2, &spec, dim, centre, as, dtype, y, ids, rows);
	ck_assert_str_ne(tq_quantizer_driver(avx2->q, TQ_STAGE_SCORE), "score-scalar");
	same("codes", scalar->codes, avx2->codes, rows * tq_code_size(scalar->q), text, dim, dtype);
	same("decoded", scalar->decoded, avx2->decoded, rows * (size_t)(dim + 3) * 4, text, dim,
	     dtype);
	same("decoded to 16 bits", scalar->narrow, avx2->narrow, 2 * rows * (size_t)(dim + 3) * 2,
	     text, dim, dtype);
	same("scores", scalar->scores, avx2->scores, QUERIES * (rows + 2) * 4, text, dim, dtype);
	same("list", scalar->list, avx2->list, rows * 4, text, dim, dtype);
	same("pairs", scalar->pairs, avx2->pairs, rows * rows * 4, text, dim, dtype);
	side_clear(scalar);
	side_clear(avx2);
	free(x);
	free(y);
	free(as);
}

/* Dense maps take O(dim^3) to make */
static int too_dense(const char *rotation, const char *correction, uint32_t dim)
{
	int dense = !strcmp(rotation, "haar") || !strcmp(correction, "qjl:gauss") ||
		    !strcmp(correction, "qjl:ortho");

	return dense && dim > 128;
}

static void run_dim(uint32_t dim, const char *driver)
{
	struct side scalar, avx2;
	char text[TQ_SPEC_STRING_MAX];
	unsigned bits, c;

	rng_state = dim * 1000003u + 17;
	side_open(&scalar, "scalar");
	side_open(&avx2, driver);
	for (bits = 1; bits <= 8; bits++) {
		for (c = 0; c < 7; c++) {
			const char *rotation = rotations[rng(7)],
				   *code = codes[rng(bits == 1 ? 4 : 3)];
			const char *correction = corrections[c];

			if (too_dense(rotation, "", dim))
				rotation = "rht:2";
			if (too_dense("", correction, dim))
				correction = "qjl:rht";
			if (c >= 4 && bits == 1)
				code = "lm";
			if (c >= 4 && bits == 2 && !strcmp(code, "sign"))
				code = "lm";
			snprintf(text, sizeof(text),
				 "rotation=%s code=%s bits=%u correction=%s effort=%u seed=%u "
				 "center=%s "
				 "scale=%s query=%s",
				 rotation, code, bits, correction, rng(3), rng(1000),
				 centers[rng(3)], scales[rng(3)], queries[rng(4)]);
			compare(&scalar, &avx2, text, dim);
		}
	}
	tq_context_destroy(scalar.ctx);
	tq_context_destroy(avx2.ctx);
}

START_TEST(plugin_gives_the_bytes_and_scores_of_scalar)
{
	run_dim(dims[_i], "avx2");
}
END_TEST

START_TEST(scores_without_vnni_are_those_of_scalar)
{
	if (dims[_i] <= LARGE_DIM)
		run_dim(dims[_i], "score-avx2");
}
END_TEST

/* Dense maps of a dimension that no vector width divides */
START_TEST(dense_maps_of_1000_give_the_bytes_of_scalar)
{
	struct side scalar, avx2;

	rng_state = 7;
	side_open(&scalar, "scalar");
	side_open(&avx2, "avx2");
	compare(&scalar, &avx2, "rotation=haar bits=3 correction=ls", 1000);
	compare(&scalar, &avx2, "rotation=rht:2 bits=5 correction=qjl:gauss", 1000);
	tq_context_destroy(scalar.ctx);
	tq_context_destroy(avx2.ctx);
}
END_TEST

/* Is there a selectable driver of the plugin? */
static int available(void)
{
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	struct tq_context *ctx;
	int found = 0;
	size_t i;

	if (tq_context_create(NULL, &ctx))
		return 0;
	for (i = 0; tq_context_driver(ctx, i, &info) == TQ_OK; i++)
		found |= !strcmp(info.driver_name, "encode-avx2") &&
			 info.state >= TQ_STATE_CAPABLE && info.state <= TQ_STATE_SELECTABLE;
	tq_context_destroy(ctx);
	return found;
}

int main(void)
{
	int ndims = sizeof(dims) / sizeof(dims[0]), failed;
	Suite *suite = suite_create("avx2");
	TCase *tc = tcase_create("same as scalar");
	SRunner *runner;

	if (!available()) {
		puts("avx2: no plugin, or not for this CPU");
		return SKIPPED;
	}
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, plugin_gives_the_bytes_and_scores_of_scalar, 0, ndims);
	tcase_add_loop_test(tc, scores_without_vnni_are_those_of_scalar, 0, ndims);
	tcase_add_test(tc, dense_maps_of_1000_give_the_bytes_of_scalar);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
