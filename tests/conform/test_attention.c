/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the corrections are worth under a softmax: mean Kullback-Leibler divergence of the weights from
 * scores against those from exact inner products, in double. Least squares is never worse than the norm as
 * scale, unbiasedness buys next to nothing, and a sketch costs a multiple.
 */

#include <check.h>
#include <stdio.h>
#include <string.h>
#include "sample.h"
#include "tq/tq.h"

enum { D = 128, KEYS = 512, QUERIES = 64, GROUP = KEYS / QUERIES, SEEDS = 4 };

static struct tq_context *ctx;

/* Keys and queries of one kind of attention; the scale 1 / sqrt(D) is in the queries. */
struct rows {
	float key[KEYS * D], query[QUERIES * D];
};

/* @tau is the deviation of the logits. */
static struct rows *independent(double tau)
{
	struct rows *r = malloc(sizeof(*r));
	struct sample s = { .state = 321 };
	uint32_t i;

	ck_assert_ptr_nonnull(r);
	sample_vector(&s, SAMPLE_GAUSS, r->key, KEYS * D);
	for (i = 0; i < QUERIES * D; i++)
		r->query[i] = (float)(tau / sqrt(D) * sample_normal(&s));
	return r;
}

/* Peaky: eight keys of each query share its direction and take nearly all of its weight. */
static struct rows *peaky(double beta)
{
	struct rows *r = independent(1);
	double norm;
	uint32_t i, j, k;

	for (i = 0; i < QUERIES; i++) {
		for (norm = 0, k = 0; k < D; k++)
			norm += (double)r->query[i * D + k] * (double)r->query[i * D + k];
		for (k = 0; k < D; k++)
			r->query[i * D + k] = (float)((double)r->query[i * D + k] / sqrt(norm));
		for (j = GROUP * i; j < GROUP * (i + 1); j++)
			for (k = 0; k < D; k++)
				r->key[j * D + k] += (float)(sqrt(D) * (double)r->query[i * D + k]);
		for (k = 0; k < D; k++)
			r->query[i * D + k] *= (float)(beta / sqrt(D));
	}
	return r;
}

/* log of the sum of e^x */
static double log_sum(const double *x)
{
	double top = x[0], sum = 0;
	uint32_t j;

	for (j = 0; j < KEYS; j++)
		top = fmax(top, x[j]);
	for (j = 0; j < KEYS; j++)
		sum += exp(x[j] - top);
	return top + log(sum);
}

static double divergence(const float *query, const float *key, const float *score)
{
	double exact[KEYS], got[KEYS], a, b, kl = 0;
	uint32_t j, k;

	for (j = 0; j < KEYS; j++) {
		for (exact[j] = 0, k = 0; k < D; k++)
			exact[j] += (double)query[k] * (double)key[j * D + k];
		got[j] = (double)score[j];
	}
	a = log_sum(exact);
	b = log_sum(got);
	for (j = 0; j < KEYS; j++)
		kl += exp(exact[j] - a) * ((exact[j] - a) - (got[j] - b));
	return kl;
}

static double mean_divergence(const struct rows *r, const char *correction, unsigned bits)
{
	unsigned char *codes = malloc((size_t)KEYS * (2 * D + 16));
	float *scores = malloc(sizeof(float) * QUERIES * KEYS);
	struct tq_quantizer *q;
	struct tq_spec spec;
	char text[96];
	double sum = 0;
	void *prepared;
	uint32_t seed, i;

	for (seed = 1; seed <= SEEDS; seed++) {
		snprintf(text, sizeof(text), "bits=%u correction=%s query=s16 seed=%u", bits, correction, seed);
		tq_spec_init(&spec);
		ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
		ck_assert_int_eq(tq_quantizer_create(ctx, &spec, D, NULL, &q), TQ_OK);
		prepared = aligned_alloc(64, QUERIES * tq_query_size(q));
		ck_assert_int_eq(tq_encode(q, r->key, D, KEYS, codes), TQ_OK);
		ck_assert_int_eq(tq_query_prepare(q, r->query, D, QUERIES, prepared), TQ_OK);
		ck_assert_int_eq(tq_score(q, prepared, QUERIES, codes, KEYS, scores, KEYS), TQ_OK);
		for (i = 0; i < QUERIES; i++)
			sum += divergence(r->query + i * D, r->key, scores + i * KEYS);
		free(prepared);
		tq_quantizer_destroy(q);
	}
	free(scores);
	free(codes);
	return sum / (SEEDS * QUERIES);
}

START_TEST(least_squares_is_the_correction_for_attention)
{
	static const struct {
		const char *name;
		struct rows *(*make)(double);
		double size;
	} kinds[] = { { "flat", independent, 1 }, { "steep", independent, 3 }, { "peaky", peaky, 14 } };
	struct rows *r = kinds[_i].make(kinds[_i].size);
	double none, ls, unbiased, gauss, ortho;
	unsigned b;

	for (b = 2; b <= 4; b++) {
		none = mean_divergence(r, "none", b);
		ls = mean_divergence(r, "ls", b);
		unbiased = mean_divergence(r, "unbiased", b);
		gauss = mean_divergence(r, "qjl:gauss", b);
		ortho = mean_divergence(r, "qjl:ortho", b);
		printf("%s b=%u: none %.5f ls %.5f unbiased %.5f qjl:gauss %.5f qjl:ortho %.5f\n",
		       kinds[_i].name, b, none, ls, unbiased, gauss, ortho);
		ck_assert_msg(ls <= none, "b=%u: ls %g, none %g", b, ls, none);
		ck_assert_msg(unbiased > .8 * ls, "b=%u: ls %g, unbiased %g", b, ls, unbiased);
		ck_assert_msg(gauss > 3 * ls && gauss < 15 * ls, "b=%u: ls %g, qjl:gauss %g", b, ls, gauss);
		ck_assert_msg(ortho > 1.5 * ls && ortho < 6 * ls, "b=%u: ls %g, qjl:ortho %g", b, ls, ortho);
		if (b == 4 && kinds[_i].make == peaky)
			ck_assert_msg(ls < none * 2 / 3, "ls %g, none %g", ls, none);
	}
	free(r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attention");
	TCase *tc = tcase_create("softmax");
	SRunner *runner;
	int failed;

	if (tq_context_create(NULL, &ctx)) {
		fprintf(stderr, "%s\n", tq_error_text());
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, least_squares_is_the_correction_for_attention, 0, 3);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	tq_context_destroy(ctx);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
