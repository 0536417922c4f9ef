/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations: orthogonal to float precision, good on every class of outlier vectors, and the unbiased
 * estimator's mean over the seeds. One round of the Hadamard rotation must fail where two pass.
 */

#include <check.h>
#include <stdio.h>
#include <string.h>
#include "sample.h"
#include "tq/tq.h"
#include "rotation.h"
#include "select.h"

static struct tq_context *ctx;

/** A rotation with the driver that the library chooses for it. */
struct map {
	struct tq_rotation rot;
	struct tq_choice choice;
	void *state;
};

static void map_open(struct map *m, const char *name, uint32_t arg, uint32_t d, uint64_t seed)
{
	const struct tq_rotation_ops *ops;

	ck_assert_int_eq(tq_rotation_create(ctx, name, arg, d, seed, &m->rot), TQ_OK);
	ck_assert_int_eq(tq_select_rotation(ctx, &m->rot, NULL, NULL, &m->choice, NULL), TQ_OK);
	ops = m->choice.driver->rotation_ops;
	m->state = NULL;
	if (ops->create)
		ck_assert_int_eq(ops->create(m->choice.host, &m->rot, &m->state), 0);
}

static void map_close(struct map *m)
{
	const struct tq_rotation_ops *ops = m->choice.driver->rotation_ops;

	if (ops->destroy)
		ops->destroy(m->choice.host, m->state);
	tq_rotation_destroy(ctx, &m->rot);
}

static void rotate(struct map *m, const float *x, float *y, size_t n, float *scratch)
{
	m->choice.driver->rotation_ops->rotate(&m->rot, m->state, x, y, n, scratch);
}

static void unrotate(struct map *m, const float *x, float *y, size_t n, float *scratch)
{
	m->choice.driver->rotation_ops->unrotate(&m->rot, m->state, x, y, n, scratch);
}

static float *floats(size_t n)
{
	void *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void check_orthogonal(const char *name, uint32_t arg, uint32_t d)
{
	float *x = floats((size_t)d * d), *y = floats((size_t)d * d), *scratch = floats(d);
	double dot, worst = 0, back = 0;
	struct map m;
	uint32_t i, j, k;

	memset(x, 0, (size_t)d * d * sizeof(*x));
	for (i = 0; i < d; i++)
		x[i * d + i] = 1;
	map_open(&m, name, arg, d, 11);
	rotate(&m, x, y, d, scratch);
	for (i = 0; i < d; i++)
		for (j = 0; j <= i; j++) {
			for (dot = 0, k = 0; k < d; k++)
				dot += (double)y[i * d + k] * y[j * d + k];
			dot = fabs(dot - (i == j));
			worst = dot > worst ? dot : worst;
		}
	unrotate(&m, y, x, d, scratch);
	for (i = 0; i < d; i++)
		for (j = 0; j < d; j++)
			back = fmax(back, fabs((double)x[i * d + j] - (i == j)));
	map_close(&m);
	ck_assert_msg(worst < 1e-5 * sqrt(d), "%s:%u d=%u: R^T R - I is %g", name, arg, d, worst);
	ck_assert_msg(back < 1e-6, "%s:%u d=%u: inverse(forward) - I is %g", name, arg, d, back);
	free(scratch);
	free(y);
	free(x);
}

START_TEST(every_rotation_is_orthogonal)
{
	static const uint32_t dims[] = { 1, 2, 3, 7, 33, 64, 80, 96, 100, 128, 200, 256 };
	uint32_t d = dims[_i], r;

	for (r = 1; r <= 3; r++)
		check_orthogonal("rht", r, d);
	check_orthogonal("haar", 0, d);
	check_orthogonal("givens", 16, d);
	check_orthogonal("none", 0, d);
	for (r = 1; r <= 4; r++)
		check_orthogonal("blocks", r, d);
}
END_TEST

enum { CLASSES = 7 };
static const char *const class_name[CLASSES] = { "gauss",    "lognormal",  "one-hot", "two-hot",
						 "4-sparse", "2 channels", "constant" };

static void class_vector(struct sample *s, int kind, float *x, uint32_t d)
{
	uint32_t i, at = (uint32_t)(sample_uniform(s) * d), step = 1 + (uint32_t)(sample_uniform(s) * (d - 1));

	sample_vector(s, kind == 1 ? SAMPLE_LOGNORMAL : SAMPLE_GAUSS, x, d);
	if (kind >= 2 && kind <= 4)
		memset(x, 0, d * sizeof(*x));
	if (kind == 2 || kind == 3)
		x[at] = 2;
	if (kind == 3)
		x[(at + step) % d] = 1;
	for (i = 0; kind == 4 && i < 4; i++)
		x[(at + i * (d / 5)) % d] = (float)sample_normal(s);
	if (kind == 5) {
		x[at] = 100;
		x[(at + step) % d] = -70;
	}
	for (i = 0; kind == 6 && i < d; i++)
		x[i] = 1;
}

/* Mean vNMSE of one class at two bits with the norm as scale. */
static double class_error(const char *text, int kind, uint32_t d)
{
	enum { SEEDS = 64, ROWS = 64 };
	struct sample s = { .state = 12345 };
	float *x = floats((size_t)ROWS * d), *z = floats((size_t)ROWS * d);
	unsigned char *codes = malloc((size_t)ROWS * (d + 16));
	double sum = 0, err, norm;
	struct tq_quantizer *q;
	struct tq_spec spec;
	uint32_t seed, i, j;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	for (seed = 0; seed < SEEDS; seed++) {
		spec.seed = 500 + seed;
		ck_assert_int_eq(tq_quantizer_create(ctx, &spec, d, NULL, &q), TQ_OK);
		for (i = 0; i < ROWS; i++)
			class_vector(&s, kind, x + i * d, d);
		ck_assert_int_eq(tq_encode(q, x, d, ROWS, codes), TQ_OK);
		ck_assert_int_eq(tq_decode(q, codes, ROWS, z, d), TQ_OK);
		for (i = 0; i < ROWS; i++) {
			for (err = norm = 0, j = 0; j < d; j++) {
				err += ((double)z[i * d + j] - x[i * d + j]) * ((double)z[i * d + j] - x[i * d + j]);
				norm += (double)x[i * d + j] * x[i * d + j];
			}
			sum += err / norm;
		}
		tq_quantizer_destroy(q);
	}
	free(codes);
	free(z);
	free(x);
	return sum / (SEEDS * ROWS);
}

START_TEST(outliers_cost_no_more_than_the_bound)
{
	static const uint32_t dims[] = { 64, 96, 100, 128, 200, 250, 500, 1000, 1023 };
	uint32_t d = dims[_i];
	double two, three;
	int kind;

	for (kind = 0; kind < CLASSES; kind++) {
		two = class_error("rotation=rht:2 bits=2 correction=none", kind, d);
		three = class_error("rotation=rht:3 bits=2 correction=none", kind, d);
		printf("%s d=%u: rht:2 %.4f, rht:3 %.4f\n", class_name[kind], d, two, three);
		ck_assert_msg(two <= .135, "%s d=%u: rht:2 gives %f", class_name[kind], d, two);
		ck_assert_msg(three <= .125, "%s d=%u: rht:3 gives %f", class_name[kind], d, three);
	}
}
END_TEST

/* One round leaves a one-hot vector two-valued: all at +-1, where the levels are .453 and 1.510. */
START_TEST(one_round_fails_on_one_hot_vectors)
{
	double got = class_error("rotation=rht:1 bits=2 correction=none", 2, 128);

	ck_assert_msg(got > .25 && got < .31, "%f", got);
}
END_TEST

/* The mean over the seeds of the worst class, at two bits. */
static double worst_class(const char *text, uint32_t d)
{
	double worst = 0;
	int kind;

	for (kind = 0; kind < CLASSES; kind++)
		worst = fmax(worst, class_error(text, kind, d));
	printf("%s d=%u: worst class %.4f\n", text, d, worst);
	return worst;
}

/* A layer of plane rotations alone leaves outliers where they are; sixteen are not enough, twenty are. */
START_TEST(givens_needs_more_than_sixteen_layers)
{
	double one = worst_class("rotation=givens:1 bits=2 correction=none", 128);
	double sixteen = worst_class("rotation=givens:16 bits=2 correction=none", 128);
	double twenty = worst_class("rotation=givens:20 bits=2 correction=none", 128);

	ck_assert_double_gt(one, 7 * .1160);
	ck_assert_double_gt(sixteen, .135);
	ck_assert_double_lt(sixteen, .16);
	ck_assert_double_le(twenty, .135);
}
END_TEST

/* Blocks of 2, 3 or 4 coordinates, from a plugin's file: what rht:2 is for. On Gaussian vectors any rotation will do. */
START_TEST(blocks_leave_outliers_where_they_are)
{
	static const struct {
		int size;
		const char *rest;
		double least, most;
	} cases[] = {
		{ 4, "bits=2 correction=none", 6.5, 7.5 }, { 2, "bits=3 correction=none", 16, 20 },
		{ 3, "bits=3 correction=none", 15, 18 },   { 4, "bits=3 correction=none", 14, 17 },
		{ 4, "bits=4 correction=ls", 20, 26 },
	};
	char spec[64], same[64];
	double gauss, good, got;

	snprintf(spec, sizeof(spec), "rotation=blocks:%d %s", cases[_i].size, cases[_i].rest);
	snprintf(same, sizeof(same), "rotation=rht:2 %s", cases[_i].rest);
	good = worst_class(same, 128);
	gauss = class_error(spec, 0, 128) / class_error(same, 0, 128);
	got = worst_class(spec, 128) / good;
	printf("%s: %.1f times the error of rht:2, on Gaussian vectors %.3f\n", spec, got, gauss);
	ck_assert_msg(got >= cases[_i].least && got <= cases[_i].most, "%f", got);
	ck_assert_msg(fabs(gauss - 1) < .02, "%f", gauss);
}
END_TEST

/* What the plugin says to an argument is the text of the error, and the driver serves others after it. */
START_TEST(blocks_of_a_wrong_size_are_refused)
{
	struct tq_quantizer *q = NULL;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "rotation=blocks:5"), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 128, NULL, &q), TQ_ERR_SPEC);
	ck_assert_ptr_null(q);
	ck_assert_msg(strstr(tq_error_text(), "blocks:5: blocks have 1..4 coordinates"), "%s", tq_error_text());
	spec.rotation_arg = 2;
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 128, NULL, &q), TQ_OK);
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "blocks");
	tq_quantizer_destroy(q);
	spec.rotation_arg = 5;
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 128, NULL, &q), TQ_ERR_SPEC);
	ck_assert_msg(strstr(tq_error_text(), "blocks:5: blocks have 1..4 coordinates"), "%s", tq_error_text());
}
END_TEST

/* Squared norm of the unbiased one-bit estimator's mean error over many seeds, relative to x. */
static double bias(uint32_t rounds, int kind, uint32_t d, uint32_t seeds)
{
	struct sample s = { .state = 99 };
	float *x = floats(d), *y = floats(d), *z = floats(d), *scratch = floats(d);
	double *mean = calloc(d, sizeof(*mean)), norm = 0, yc, sum = 0;
	struct map m;
	uint32_t seed, i;

	class_vector(&s, kind, x, d);
	for (i = 0; i < d; i++)
		norm += (double)x[i] * x[i];
	for (seed = 0; seed < seeds; seed++) {
		map_open(&m, "rht", rounds, d, seed);
		rotate(&m, x, y, 1, scratch);
		for (yc = 0, i = 0; i < d; i++) {
			yc += fabs((double)y[i]);
			y[i] = y[i] >= 0 ? 1 : -1;
		}
		unrotate(&m, y, z, 1, scratch);
		for (i = 0; i < d; i++)
			mean[i] += norm / yc * (double)z[i] / seeds;
		map_close(&m);
	}
	for (i = 0; i < d; i++)
		sum += (mean[i] - (double)x[i]) * (mean[i] - (double)x[i]);
	free(mean);
	free(scratch);
	free(z);
	free(y);
	free(x);
	return sum / norm;
}

/* At d = 2^odd a two-hot vector has exact ties y = 0: the factors of the rounds must not break them to one side. */
START_TEST(two_rounds_are_unbiased_and_one_is_not)
{
	static const uint32_t dims[] = { 128, 256, 100, 512 };
	uint32_t seeds = (uint32_t)(20000 * test_scale()), d = dims[_i];
	double floor = 0.571 / seeds, got;
	int kind;

	for (kind = 0; kind < CLASSES; kind++) {
		got = bias(2, kind, d, seeds);
		printf("%s d=%u: bias %.3g over %u seeds, floor %.3g\n", class_name[kind], d, got, seeds,
		       floor);
		ck_assert_msg(got < 2 * floor,
			      "%s d=%u: bias %g, floor %g", class_name[kind], d, got, floor);
	}
	got = bias(1, 3, d, seeds);
	printf("two-hot d=%u: one round's bias %.4f\n", d, got);
	if (d & (d - 1))
		ck_assert_double_gt(got, 0.05);
	else /* only the larger element decides every sign: (2, 1) is taken for (2.5, 0) */
		ck_assert_double_lt(fabs(got - 0.25), 0.002);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rotations");
	TCase *tc = tcase_create("classes");
	SRunner *runner;
	int failed;

	if (tq_context_create(NULL, &ctx)) {
		fprintf(stderr, "%s\n", tq_error_text());
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, every_rotation_is_orthogonal, 0, 12);
	tcase_add_loop_test(tc, outliers_cost_no_more_than_the_bound, 0, 9);
	tcase_add_test(tc, one_round_fails_on_one_hot_vectors);
	tcase_add_test(tc, givens_needs_more_than_sixteen_layers);
	tcase_add_loop_test(tc, blocks_leave_outliers_where_they_are, 0, 5);
	tcase_add_test(tc, blocks_of_a_wrong_size_are_refused);
	tcase_add_loop_test(tc, two_rounds_are_unbiased_and_one_is_not, 0, 4);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	tq_context_destroy(ctx);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
