/* SPDX-License-Identifier: Apache-2.0 */

/* What attention makes of keys and values that went through a cache, beside the originals. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "eval.h"
#include "kv.h"

/* One query's attention: logits, then weights; and the output */
struct side {
	const float *keys, *values;
	float *logit;
	double *weight, *out, lse;
};

/* Weights of @n keys that sum up to 1, and the logarithm of their sum before */
static void weigh(struct side *s, const float *q, size_t n, uint32_t dim, double scale)
{
	float top = -INFINITY;
	double most, sum = 0;

	eval_dot_f32(q, s->keys, n, dim, s->logit);
	for (size_t i = 0; i < n; i++)
		top = s->logit[i] > top ? s->logit[i] : top;
	most = (double)top * scale;
	for (size_t i = 0; i < n; i++)
		sum += s->weight[i] = exp((double)s->logit[i] * scale - most);
	for (size_t i = 0; i < n; i++)
		s->weight[i] /= sum;
	s->lse = most + log(sum);
}

static void mix(struct side *s, size_t n, uint32_t dim)
{
	memset(s->out, 0, dim * sizeof(*s->out));
	for (size_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < dim; j++)
			s->out[j] += s->weight[i] * (double)s->values[i * dim + j];
}

static double compare_query(const struct kv_dump *d, const float *q, size_t n, struct side *a, struct side *b,
			    struct kv_cell *cell)
{
	double scale = 1 / sqrt(d->key_dim), kl = 0, sum = 0, square = 0;

	weigh(a, q, n, d->key_dim, scale);
	weigh(b, q, n, d->key_dim, scale);
	for (size_t i = 0; i < n; i++) {
		double delta = ((double)a->logit[i] - (double)b->logit[i]) * scale;

		kl += a->weight[i] * delta;
		sum += delta;
		square += delta * delta;
	}
	kl = fmax(kl - (a->lse - b->lse), 0);
	mix(a, n, d->value_dim);
	mix(b, n, d->value_dim);
	for (uint32_t j = 0; j < d->value_dim; j++) {
		cell->error += (b->out[j] - a->out[j]) * (b->out[j] - a->out[j]);
		cell->norm += a->out[j] * a->out[j];
	}
	cell->logit += fmax(square - sum * sum / (double)n, 0);
	cell->nlogits += (double)n;
	cell->kl += kl;
	cell->n += 1;
	return kl;
}

static bool side_alloc(struct side *s, const struct kv_dump *d, const float *keys, const float *values, size_t head)
{
	s->keys = keys + head * d->tokens * d->key_dim;
	s->values = values + head * d->tokens * d->value_dim;
	s->logit = malloc(d->tokens * sizeof(*s->logit));
	s->weight = malloc(d->tokens * sizeof(*s->weight));
	s->out = malloc(d->value_dim * sizeof(*s->out));
	return s->logit && s->weight && s->out;
}

static void side_free(struct side *s)
{
	free(s->logit);
	free(s->weight);
	free(s->out);
}

int kv_compare(const struct kv_dump *d, uint32_t layer, uint32_t head, const float *keys, const float *values,
	       struct kv_cell *cell, float *kl)
{
	uint32_t group = d->query_heads / d->kv_heads;
	size_t at = (size_t)layer * d->kv_heads + head;
	struct side a = {0}, b = {0};
	bool room = side_alloc(&a, d, d->keys, d->values, at);

	room = side_alloc(&b, d, keys, values, at) && room;
	for (uint32_t i = 0; room && i < group * d->queries; i++) {
		size_t row = at * group * d->queries + i, seen = d->tokens - d->queries + i % d->queries + 1;
		double x = compare_query(d, d->query + row * d->key_dim, seen, &a, &b, cell);

		if (kl)
			kl[i] = (float)x;
	}
	side_free(&a);
	side_free(&b);
	return room ? 0 : cli_fail(CLI_UNMET, "out of memory");
}
