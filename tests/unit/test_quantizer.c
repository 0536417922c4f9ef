/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The row codec as its users see it: what arguments are refused, which row an error names, and that
 * the several ways to ask for a thing agree. The bytes are the matter of test_golden.c.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tq/tq.h"

#define ROWS 23

static struct tq_context *ctx;

static void setup(void)
{
	ck_assert_int_eq(tq_context_create(NULL, &ctx), TQ_OK);
}

static void teardown(void)
{
	tq_context_destroy(ctx);
}

static struct tq_quantizer *make(const char *text, uint32_t dim, const float *centre)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .centre = centre};
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, text) == TQ_OK, "%s", tq_error_text());
	ck_assert_msg(tq_quantizer_create(ctx, &spec, dim, &o, &q) == TQ_OK, "%s d=%u: %s", text,
		      dim, tq_error_text());
	return q;
}

static void fill(float *x, size_t n, uint32_t seed)
{
	uint64_t s = seed * 2654435761u + 1;
	size_t i;

	for (i = 0; i < n; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		x[i] = (float)(int32_t)(s >> 32) / 1e9f + (float)(int32_t)(s >> 20) / 2e9f;
	}
}

static void *room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	return p;
}

static double square_error(const float *a, const float *b, size_t n, double *norm2)
{
	double e = 0.0;
	size_t i;

	for (i = 0, *norm2 = 0.0; i < n; i++) {
		e += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		*norm2 += (double)b[i] * b[i];
	}
	return e;
}

/* FORMAT.md section 3: one coordinate decodes exactly with ls, norm, unbiased; to the top level
 * with none. */
START_TEST(one_coordinate_decodes_exactly)
{
	static const char *const corrections[] = {"ls", "norm", "unbiased", "none"};
	static const float values[] = {1.0f, -3.25f, 1e-30f, -1e30f, 0.0f, 0.1f};
	float level[256], y[6], want;
	unsigned char codes[6 * 16];
	struct tq_quantizer *q;
	char text[64];
	unsigned c, bits, n, i;

	for (c = 0; c < 4; c++) {
		for (bits = 1; bits <= 8; bits++) {
			snprintf(text, sizeof(text), "bits=%u correction=%s", bits, corrections[c]);
			q = make(text, 1, NULL);
			n = tq_codebook_levels(q, level);
			ck_assert_uint_eq(n, 1u << bits);
			ck_assert_int_eq(tq_encode(q, values, 1, 6, codes), TQ_OK);
			ck_assert_int_eq(tq_decode(q, codes, 6, y, 1), TQ_OK);
			for (i = 0; i < 6; i++) {
				want = c == 3 ? values[i] * level[n - 1] : values[i];
				ck_assert_msg(fabsf(y[i] - want) <= 1e-6f * fabsf(want),
					      "%s: %g gives %g, not %g", text, values[i], y[i],
					      want);
			}
			tq_quantizer_destroy(q);
		}
	}
}
END_TEST

/* Two and three coordinates have the densities that FORMAT.md says: arcsine, and flat on [0, sqrt
 * 3]. */
START_TEST(small_dimensions_have_their_own_levels)
{
	float level[256];
	struct tq_quantizer *q = make("bits=1", 2, NULL);

	tq_codebook_levels(q, level);
	/* E|u| = sqrt(2) * 2/pi, less what the cells lose at the edge, where the density has no
	 * bound */
	ck_assert_msg(fabs(level[1] - 0.900316) < 2e-3, "%g", level[1]);
	tq_quantizer_destroy(q);
	q = make("bits=2", 3, NULL);
	tq_codebook_levels(q, level);
	/* four equal cells: sqrt(3)/4 and 3 sqrt(3)/4, moved by less than half a step of 1/127 */
	ck_assert_msg(fabs(level[2] - 0.433013) < 0.006 && fabs(level[3] - 1.299038) < 0.006,
		      "%g %g", level[2], level[3]);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(every_small_dimension_codes_and_scores)
{
	static const char *const rotations[] = {"rht:1", "rht:2",    "rht:3",
						"haar",	 "givens:2", "none"};
	float x[ROWS * 8], y[ROWS * 8], scores[ROWS];
	unsigned char codes[ROWS * 64];
	double e, norm2, truth, worst;
	struct tq_quantizer *q;
	uint32_t d, r, i, j;
	char text[96];
	void *prepared;

	for (d = 1; d < 8; d++) {
		for (r = 0; r < 6; r++) {
			snprintf(text, sizeof(text), "rotation=%s bits=8 correction=ls",
				 rotations[r]);
			q = make(text, d, NULL);
			fill(x, ROWS * d, d);
			ck_assert_int_eq(tq_encode(q, x, d, ROWS, codes), TQ_OK);
			ck_assert_int_eq(tq_decode(q, codes, ROWS, y, d), TQ_OK);
			e = square_error(y, x, ROWS * d, &norm2);
			ck_assert_msg(e < 4e-4 * norm2, "d=%u %s: error %g of %g", d, text, e,
				      norm2);
			prepared = room(tq_query_size(q));
			ck_assert_int_eq(tq_query_prepare(q, x, d, 1, prepared), TQ_OK);
			ck_assert_int_eq(tq_score(q, prepared, 1, codes, ROWS, scores, ROWS),
					 TQ_OK);
			for (i = 0, worst = 0.0; i < ROWS; i++) {
				for (j = 0, truth = 0.0; j < d; j++)
					truth += (double)x[j] * x[i * d + j];
				worst = fmax(worst, fabs(truth - scores[i]));
			}
			ck_assert_msg(worst < 0.05 * norm2 / ROWS, "d=%u %s: score off by %g", d,
				      text, worst);
			free(prepared);
			tq_quantizer_destroy(q);
		}
	}
}
END_TEST

START_TEST(the_row_that_is_not_finite_is_named)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	struct tq_quantizer *q = make("bits=4", 20, NULL);
	float x[ROWS * 25], before;
	unsigned char codes[ROWS * 64], untouched[ROWS * 64];
	void *prepared = room(ROWS * tq_query_size(q));
	size_t at;
	int k;

	memset(codes, 0x77, sizeof(codes));
	memcpy(untouched, codes, sizeof(codes));
	fill(x, ROWS * 25, 3);
	for (at = 0; at < ROWS * 25; at += 7) {
		for (k = 0; k < 3; k++) {
			before = x[at];
			x[at] = bad[k];
			if (at % 25 < 20) {
				ck_assert_int_eq(tq_encode(q, x, 25, ROWS, codes),
						 TQ_ERR_NONFINITE);
				ck_assert_uint_eq(tq_error_row(), at / 25);
				ck_assert_mem_eq(codes, untouched, sizeof(codes));
				ck_assert_int_eq(tq_query_prepare(q, x, 25, ROWS, prepared),
						 TQ_ERR_NONFINITE);
				ck_assert_uint_eq(tq_error_row(), at / 25);
			} else { /* between rows: nobody looks */
				ck_assert_int_eq(tq_encode(q, x, 25, ROWS, codes), TQ_OK);
				memcpy(codes, untouched, sizeof(codes));
			}
			x[at] = before;
		}
	}
	free(prepared);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(a_scale_that_f16_cannot_hold_names_its_row)
{
	struct tq_quantizer *q = make("bits=4 scale=f16", 16, NULL);
	unsigned char codes[ROWS * 64];
	float x[ROWS * 16];

	fill(x, ROWS * 16, 5);
	ck_assert_int_eq(tq_encode(q, x, 16, ROWS, codes), TQ_OK);
	x[17 * 16 + 3] = 1e9f;
	ck_assert_int_eq(tq_encode(q, x, 16, ROWS, codes), TQ_ERR_RANGE);
	ck_assert_uint_eq(tq_error_row(), 17);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(a_description_makes_the_same_codec_again)
{
	static const char *const texts[] = {"bits=4", "rotation=haar bits=3 correction=qjl:gauss seed=9 scale=bf16",
					    "center=both bits=2", "code=uniform bits=8 effort=2 center=data"};
	struct tq_quantizer_options o = {.struct_size = sizeof(o)};
	unsigned char codes[ROWS * 64], again[ROWS * 64], bytes[512];
	float x[ROWS * 16], centre[16];
	struct tq_quantizer *q, *copy;
	size_t size, i, j, need;

	fill(x, ROWS * 16, 5);
	fill(centre, 16, 6);
	for (i = 0; i < 4; i++) {
		q = make(texts[i], 16, strstr(texts[i], "center") ? centre : NULL);
		need = 0;
		ck_assert_int_eq(tq_describe(q, NULL, &need), TQ_OK);
		ck_assert_uint_lt(need, sizeof(bytes));
		size = need - 1;
		ck_assert_int_eq(tq_describe(q, bytes, &size), TQ_ERR_RANGE);
		ck_assert_uint_eq(size, need);
		ck_assert_int_eq(tq_describe(q, bytes, &size), TQ_OK);
		ck_assert_int_eq(tq_quantizer_from_description(ctx, bytes, size, NULL, &copy), TQ_OK);
		ck_assert_int_eq(tq_encode(q, x, 16, ROWS, codes), TQ_OK);
		ck_assert_int_eq(tq_encode(copy, x, 16, ROWS, again), TQ_OK);
		ck_assert_mem_eq(codes, again, ROWS * tq_code_size(q));
		tq_quantizer_destroy(copy);
		o.centre = centre;
		ck_assert_int_eq(tq_quantizer_from_description(ctx, bytes, size, &o, &copy), TQ_ERR_ARG);
		for (j = 0; j < size; j++) {
			bytes[j] ^= (unsigned char)(1u << j % 8);
			ck_assert_int_ne(tq_quantizer_from_description(ctx, bytes, size, NULL, &copy), TQ_OK);
			ck_assert_ptr_null(copy);
			bytes[j] ^= (unsigned char)(1u << j % 8);
			ck_assert_int_ne(tq_quantizer_from_description(ctx, bytes, j, NULL, &copy), TQ_OK);
		}
		ck_assert_int_ne(tq_quantizer_from_description(ctx, bytes, size + 1, NULL, &copy), TQ_OK);
		tq_quantizer_destroy(q);
	}
}
END_TEST

/* Never a score of infinity or NaN: the centre, a row or a query that would give one is refused. */
START_TEST(what_overflows_with_the_centre_names_its_row)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o)};
	static const char *const center[] = {"center=both", "center=data"};
	float x[ROWS * 16], centre[16];
	unsigned char codes[ROWS * 64];
	struct tq_quantizer *q;
	struct tq_spec spec;
	void *prepared;
	int i, both;

	o.centre = centre;
	for (i = 0; i < 2; i++) {
		both = i == 0;
		tq_spec_init(&spec);
		ck_assert_int_eq(tq_spec_parse(&spec, center[i]), TQ_OK);
		fill(centre, 16, 6);
		centre[3] = 2e19f;
		ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 16, &o, &q), both ? TQ_ERR_RANGE : TQ_OK);
		if (!both)
			tq_quantizer_destroy(q);
		centre[3] = 1e10f;
		ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 16, &o, &q), TQ_OK);
		prepared = room(ROWS * tq_query_size(q));
		fill(x, ROWS * 16, 5);
		ck_assert_int_eq(tq_encode(q, x, 16, ROWS, codes), TQ_OK);
		ck_assert_int_eq(tq_query_prepare(q, x, 16, ROWS, prepared), TQ_OK);
		x[17 * 16 + 3] = 1e30f;
		ck_assert_int_eq(tq_encode(q, x, 16, ROWS, codes), both ? TQ_ERR_RANGE : TQ_OK);
		if (both)
			ck_assert_uint_eq(tq_error_row(), 17);
		ck_assert_int_eq(tq_query_prepare(q, x + 16, 16, ROWS - 1, prepared), TQ_ERR_RANGE);
		ck_assert_uint_eq(tq_error_row(), 16);
		ck_assert_ptr_nonnull(strstr(tq_error_text(), "query 16 times the centre"));
		free(prepared);
		tq_quantizer_destroy(q);
	}
}
END_TEST

START_TEST(arguments_are_refused)
{
	struct tq_quantizer *q = make("bits=4", 16, NULL), *none = (struct tq_quantizer *)&ctx;
	unsigned char codes[ROWS * 64];
	float x[ROWS * 16] = {0}, scores[ROWS];
	void *prepared = room(tq_query_size(q));
	uint32_t ids[2] = {0, 1};
	struct tq_spec spec;

	ck_assert_int_eq(tq_encode(q, x, 15, 1, codes), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "stride"));
	ck_assert_int_eq(tq_encode(q, x, SIZE_MAX / 2, 3, codes), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode(q, x, 16, SIZE_MAX / 8, codes), TQ_ERR_ARG);
	ck_assert_int_eq(tq_decode(q, codes, SIZE_MAX / 8, x, 16), TQ_ERR_ARG);
	ck_assert_int_eq(tq_decode(q, codes, 1, x, 15), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode(q, NULL, 16, 1, codes), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode(q, x, 16, 1, NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode(NULL, x, 16, 1, codes), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode_as(q, x, 9, 16, 1, codes), TQ_ERR_ARG);
	ck_assert_int_eq(tq_decode_as(q, codes, 1, x, -1, 16), TQ_ERR_ARG);
	ck_assert_int_eq(tq_encode(q, x, 16, 0, codes), TQ_OK);
	ck_assert_int_eq(tq_encode(q, x, 16, 3, codes), TQ_OK);
	ck_assert_int_eq(tq_query_prepare(q, x, 16, 1, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, prepared, 1, codes, 3, scores, 2), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "ld"));
	ck_assert_int_eq(tq_score(q, NULL, 1, codes, 3, scores, 3), TQ_ERR_ARG);
	ck_assert_int_eq(tq_score_list(q, prepared, codes, NULL, 2, scores), TQ_ERR_ARG);
	ck_assert_int_eq(tq_score_list(q, prepared, codes, ids, 2, NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_score_pairs(q, codes, 3, codes, 3, scores, 2), TQ_ERR_ARG);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 0, NULL, &none), TQ_ERR_ARG);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(tq_quantizer_create(ctx, NULL, 8, NULL, &none), TQ_ERR_ARG);
	spec.center = TQ_CENTER_DATA;
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 8, NULL, &none), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "centre"));
	free(prepared);
	tq_quantizer_destroy(q);
}
END_TEST

static const char *const scored[] = {
	"bits=1 correction=unbiased",
	"bits=2 correction=ls scale=bf16",
	"bits=3 correction=qjl:rht",
	"bits=4 correction=unbiased",
	"bits=5 correction=ls",
	"bits=8 correction=none",
	"bits=4 query=s16",
	"bits=4 query=f32",
	"bits=4 center=both",
	"bits=1 correction=qjl:ortho",
	"bits=3 center=data scale=f16",
};

/* A row alone, the batch, the gather list and several queries at once: the same floats. */
START_TEST(one_blob_batch_and_list_agree)
{
	uint32_t d = _i % 2 ? 100 : 33, i, ids[ROWS];
	float *x = room(ROWS * d * 4), batch[2 * (ROWS + 5)], one, list[ROWS];
	struct tq_quantizer *q;
	unsigned char *codes;
	char *prepared;

	fill(x, ROWS * d, (uint32_t)_i);
	q = make(scored[_i], d, strstr(scored[_i], "center") ? x : NULL);
	codes = room(ROWS * tq_code_size(q));
	prepared = room(2 * tq_query_size(q));
	ck_assert_int_eq(tq_encode(q, x, d, ROWS, codes), TQ_OK);
	ck_assert_int_eq(tq_query_prepare(q, x + d, d, 2, prepared), TQ_OK);
	for (i = 0; i < 2 * (ROWS + 5); i++)
		batch[i] = 12345.0f;
	ck_assert_int_eq(tq_score(q, prepared, 2, codes, ROWS, batch, ROWS + 5), TQ_OK);
	for (i = 0; i < ROWS; i++)
		ids[i] = i * 7 % ROWS;
	ck_assert_int_eq(tq_score_list(q, prepared, codes, ids, ROWS, list), TQ_OK);
	for (i = 0; i < ROWS; i++) {
		ck_assert_mem_eq(&list[i], &batch[ids[i]], 4);
		ck_assert_int_eq(tq_score(q, prepared + tq_query_size(q), 1,
					  codes + i * tq_code_size(q), 1, &one, 1),
				 TQ_OK);
		ck_assert_mem_eq(&one, &batch[ROWS + 5 + i], 4);
	}
	for (i = ROWS; i < ROWS + 5; i++)
		ck_assert(batch[i] == 12345.0f);
	free(prepared);
	free(codes);
	free(x);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(pairs_are_symmetric)
{
	uint32_t d = _i % 2 ? 100 : 33, i, j;
	float *x = room(ROWS * d * 4), ab[ROWS * ROWS], ba[ROWS * ROWS];
	struct tq_quantizer *q;
	unsigned char *codes;
	int ret;

	fill(x, ROWS * d, (uint32_t)_i + 50);
	q = make(scored[_i], d, strstr(scored[_i], "center") ? x : NULL);
	codes = room(ROWS * tq_code_size(q));
	ck_assert_int_eq(tq_encode(q, x, d, ROWS, codes), TQ_OK);
	ret = tq_score_pairs(q, codes, 10, codes + 10 * tq_code_size(q), 13, ab, ROWS);
	if (strstr(scored[_i], "bits=1 correction=qjl") || strstr(scored[_i], "center=data"))
		ck_assert_int_eq(ret, TQ_ERR_UNSUPPORTED);
	else {
		ck_assert_msg(ret == TQ_OK, "%s: %s", scored[_i], tq_error_text());
		ck_assert_int_eq(
			tq_score_pairs(q, codes + 10 * tq_code_size(q), 13, codes, 10, ba, ROWS),
			TQ_OK);
		for (i = 0; i < 10; i++)
			for (j = 0; j < 13; j++)
				ck_assert_mem_eq(&ab[i * ROWS + j], &ba[j * ROWS + i], 4);
	}
	free(codes);
	free(x);
	tq_quantizer_destroy(q);
}
END_TEST

/* Output in 16 bits is the f32 output rounded; input in 16 bits is that input widened. */
START_TEST(element_types_agree)
{
	struct tq_quantizer *q = make("bits=5 correction=ls", 33, NULL);
	float x[ROWS * 33], y[ROWS * 33];
	unsigned char codes[ROWS * 64], again[ROWS * 64];
	uint16_t narrow[ROWS * 33], b;
	uint32_t u;
	size_t i;

	fill(x, ROWS * 33, 9);
	for (i = 0; i < ROWS * 33; i++) {
		memcpy(&u, &x[i], 4);
		narrow[i] = (uint16_t)(u >> 16);
		u &= 0xffff0000u;
		memcpy(&x[i], &u, 4);
	}
	ck_assert_int_eq(tq_encode(q, x, 33, ROWS, codes), TQ_OK);
	ck_assert_int_eq(tq_encode_as(q, narrow, TQ_BF16, 33, ROWS, again), TQ_OK);
	ck_assert_mem_eq(codes, again, ROWS * tq_code_size(q));
	ck_assert_int_eq(tq_decode(q, codes, ROWS, y, 33), TQ_OK);
	ck_assert_int_eq(tq_decode_as(q, codes, ROWS, narrow, TQ_BF16, 33), TQ_OK);
	for (i = 0; i < ROWS * 33; i++) {
		memcpy(&u, &y[i], 4);
		u += 0x7fffu + (u >> 16 & 1);
		b = (uint16_t)(u >> 16);
		ck_assert_uint_eq(narrow[i], b);
	}
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(memory_limit_is_obeyed)
{
	char path[] = "limit-XXXXXX";
	const char text[] = "memory_limit = \"1M\";\n";
	struct tq_options o = {.struct_size = sizeof(o), .config_file = path};
	struct tq_context *limited;
	struct tq_quantizer *q;
	struct tq_spec spec;
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_msg(tq_context_create(&o, &limited) == TQ_OK, "%s", tq_error_text());
	unlink(path);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "rotation=haar"), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(limited, &spec, 362, NULL, &q), TQ_OK);
	tq_quantizer_destroy(q);
	ck_assert_int_eq(tq_quantizer_create(limited, &spec, 363, NULL, &q), TQ_ERR_FULL);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "memory_limit"));
	ck_assert_ptr_null(q);
	tq_context_destroy(limited);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quantizer");
	TCase *tc = tcase_create("row codec");
	SRunner *runner;
	int failed, n = sizeof(scored) / sizeof(scored[0]);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_coordinate_decodes_exactly);
	tcase_add_test(tc, small_dimensions_have_their_own_levels);
	tcase_add_test(tc, every_small_dimension_codes_and_scores);
	tcase_add_test(tc, the_row_that_is_not_finite_is_named);
	tcase_add_test(tc, a_scale_that_f16_cannot_hold_names_its_row);
	tcase_add_test(tc, a_description_makes_the_same_codec_again);
	tcase_add_test(tc, what_overflows_with_the_centre_names_its_row);
	tcase_add_test(tc, arguments_are_refused);
	tcase_add_loop_test(tc, one_blob_batch_and_list_agree, 0, n);
	tcase_add_loop_test(tc, pairs_are_symmetric, 0, n);
	tcase_add_test(tc, element_types_agree);
	tcase_add_test(tc, memory_limit_is_obeyed);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
