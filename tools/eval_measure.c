/* SPDX-License-Identifier: Apache-2.0 */

/* One spec measured: distortion, inner products, recall, rates. All sums in f64. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "commands.h"
#include "eval.h"

/** Everything allocated for one measurement, and what the clocked functions need. */
struct bench {
	const struct eval_data *data;
	const struct coder *c;
	unsigned char *codes;
	unsigned char *prepared;
	float *decoded;
	float *scores;
	double *base_centre;  /* <row, centre> */
	double *base_norm2;   /* |row - centre|^2 */
	double *query_centre; /* <query, centre> */
	double *query_norm2;  /* of what is scored: the centre is taken off for center=both */
	double centre_norm2;
	int status;
};

static double inner(const float *a, const float *b, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

static int allocate(struct bench *b)
{
	size_t n = b->data->n, nq = b->data->nq, dim = b->data->dim;

	b->codes = malloc(n * coder_code_size(b->c) + 64);
	b->prepared = aligned_alloc(64, (nq * coder_query_size(b->c) + 127) / 64 * 64);
	b->decoded = malloc(n * dim * sizeof(float) + 64);
	b->scores = malloc(n * sizeof(float) + 64);
	b->base_centre = calloc(n, sizeof(double));
	b->base_norm2 = calloc(n, sizeof(double));
	b->query_centre = calloc(nq, sizeof(double));
	b->query_norm2 = calloc(nq, sizeof(double));
	if (!b->codes || !b->prepared || !b->decoded || !b->scores || !b->base_centre ||
	    !b->base_norm2 || !b->query_centre || !b->query_norm2)
		return cli_fail(CLI_UNMET, "out of memory");
	return 0;
}

static void release(struct bench *b)
{
	free(b->codes);
	free(b->prepared);
	free(b->decoded);
	free(b->scores);
	free(b->base_centre);
	free(b->base_norm2);
	free(b->query_centre);
	free(b->query_norm2);
}

static void compute_norms(struct bench *b)
{
	const struct eval_data *data = b->data;
	const float *centre = coder_centre(b->c);
	bool both = tq_quantizer_spec(coder_group(b->c, 0))->center == TQ_CENTER_BOTH;
	uint32_t dim = data->dim;

	b->centre_norm2 = centre ? inner(centre, centre, dim) : 0;
	for (size_t j = 0; j < data->n; j++) {
		const float *row = data->base + j * dim;

		if (centre)
			b->base_centre[j] = inner(row, centre, dim);
		b->base_norm2[j] = inner(row, row, dim) - 2 * b->base_centre[j] + b->centre_norm2;
	}
	for (size_t i = 0; i < data->nq; i++) {
		const float *query = data->queries + i * dim;

		if (centre)
			b->query_centre[i] = inner(query, centre, dim);
		b->query_norm2[i] = inner(query, query, dim);
		if (both)
			b->query_norm2[i] += b->centre_norm2 - 2 * b->query_centre[i];
	}
}

static int measure_distortion(struct bench *b, struct eval_result *r)
{
	const struct eval_data *data = b->data;
	double coded = 0, full = 0;
	size_t rows = 0;
	int status = coder_encode(b->c, data->base, TQ_F32, data->n, b->codes);

	if (status == TQ_OK)
		status = coder_decode(b->c, b->codes, data->n, b->decoded, TQ_F32);
	if (status != TQ_OK)
		return cli_fail_status(status, NULL);
	for (size_t j = 0; j < data->n; j++) {
		const float *x = data->base + j * data->dim, *y = b->decoded + j * data->dim;
		double error = 0, norm2 = inner(x, x, data->dim);

		for (uint32_t i = 0; i < data->dim; i++)
			error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
		if (!(norm2 > 0) || !(b->base_norm2[j] > 0))
			continue;
		coded += error / b->base_norm2[j];
		full += error / norm2;
		rows++;
	}
	r->measured.vnmse = coded / (double)rows;
	r->vnmse_full = full / (double)rows;
	return 0;
}

/**
 * measure_products - slope, variance and recall from the scores that the library gives
 *
 * What the centre adds exactly is taken off estimates and truth alike. The residual of the
 * regression is divided by the part of |q|^2 |x|^2 that is orthogonal, so that real, correlated
 * pairs give the figure that theory has for an orthogonal query; on a line there is none.
 */
static int measure_products(struct bench *b, struct eval_result *r)
{
	const struct eval_data *data = b->data;
	bool both = tq_quantizer_spec(coder_group(b->c, 0))->center == TQ_CENTER_BOTH;
	double et = 0, tt = 0, ee = 0, room = 0, first = 0, ten = 0;
	int status = coder_prepare(b->c, data->queries, data->nq, b->prepared);

	for (size_t i = 0; i < data->nq && status == TQ_OK; i++) {
		uint32_t found[EVAL_NEAREST];
		const uint32_t *best = data->best + i * EVAL_NEAREST;

		status = coder_score(b->c, b->prepared + i * coder_query_size(b->c), 1, b->codes, data->n, b->scores);
		for (size_t j = 0; j < data->n; j++) {
			double add = b->query_centre[i];
			double t, e;

			if (both)
				add += b->base_centre[j] - b->centre_norm2;
			t = data->truth[i * data->n + j] - add;
			e = (double)b->scores[j] - add;
			et += e * t;
			tt += t * t;
			ee += e * e;
			room += b->query_norm2[i] * b->base_norm2[j] - t * t;
		}
		eval_best(b->scores, data->n, data->nearest, found);
		first += found[0] == best[0];
		for (size_t k = 0; k < data->nearest; k++)
			for (size_t l = 0; l < data->nearest; l++)
				ten += found[k] == best[l];
	}
	if (status != TQ_OK)
		return cli_fail_status(status, NULL);
	r->measured.slope = et / tt;
	r->measured.variance = data->dim > 1 ? data->dim * (ee - et * et / tt) / room : NAN;
	r->recall1 = first / (double)data->nq;
	r->recall10 = ten / (double)(data->nq * data->nearest);
	return 0;
}

static void run_encode(void *arg)
{
	struct bench *b = arg;
	int status = coder_encode(b->c, b->data->base, TQ_F32, b->data->n, b->codes);

	if (status != TQ_OK)
		b->status = status;
}

static void run_copy(void *arg)
{
	struct bench *b = arg;

	memcpy(b->decoded, b->data->base, b->data->n * b->data->dim * sizeof(float));
	__asm__ volatile("" : : "r"(b->decoded) : "memory");
}

static void run_score(void *arg)
{
	struct bench *b = arg;
	int status = coder_score(b->c, b->prepared, 1, b->codes, b->data->n, b->scores);

	if (status != TQ_OK)
		b->status = status;
}

static void run_dot(void *arg)
{
	struct bench *b = arg;

	eval_dot_f32(b->data->queries, b->data->base, b->data->n, b->data->dim, b->scores);
	__asm__ volatile("" : : "r"(b->scores) : "memory");
}

static int measure_speed(struct bench *b, struct eval_result *r)
{
	double encode = eval_median_time(run_encode, b), score = eval_median_time(run_score, b);

	if (b->status != TQ_OK)
		return cli_fail_status(b->status, NULL);
	r->encode = (double)b->data->n / encode;
	r->encode_ratio = eval_median_time(run_copy, b) / encode;
	r->score = (double)b->data->n / score;
	r->score_ratio = eval_median_time(run_dot, b) / score;
	return 0;
}

/* What a group has of the energy that is coded, mean over rows. */
static double share(const struct bench *b, unsigned group)
{
	const struct eval_data *data = b->data;
	const uint32_t *channels = tq_split_channels(b->c->split, group);
	const float *centre = coder_centre(b->c);
	uint32_t n = tq_dim(coder_group(b->c, group));
	double sum = 0, rows = 0, part;

	for (size_t j = 0; j < data->n; j++) {
		if (!(b->base_norm2[j] > 0))
			continue;
		part = 0;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t at = channels[i];
			double x = (double)data->base[j * data->dim + at] - (centre ? (double)centre[at] : 0);

			part += x * x;
		}
		sum += part / b->base_norm2[j];
		rows++;
	}
	return sum / rows;
}

/* Of two groups: the distortion is the groups', by their energy. What products have depends on the queries too. */
static struct eval_figures theory(const struct bench *b)
{
	struct eval_figures all = {0, NAN, NAN}, one = all;
	const struct tq_quantizer *q;
	float levels[256];
	unsigned count;

	for (unsigned g = 0; (q = coder_group(b->c, g)); g++) {
		count = tq_codebook_levels(q, levels);
		one = eval_theory(tq_quantizer_spec(q), tq_dim(q), levels, count);
		if (b->c->split)
			all.vnmse += share(b, g) * one.vnmse;
	}
	return b->c->split ? all : one;
}

int eval_measure(const struct eval_data *data, const struct coder *c, struct eval_result *result)
{
	struct bench b = {.data = data, .c = c};
	int ret = allocate(&b);

	if (ret)
		goto err_release;
	coder_spec(c, result->spec, sizeof(result->spec));
	coder_drivers(c, result->drivers, sizeof(result->drivers));
	result->bytes = coder_code_size(c);
	result->bits = bits_per_coordinate(result->bytes, data->dim);
	compute_norms(&b);
	result->theory = theory(&b);
	ret = measure_distortion(&b, result);
	if (!ret)
		ret = measure_products(&b, result);
	if (!ret)
		ret = measure_speed(&b, result);

err_release:
	release(&b);
	return ret;
}
