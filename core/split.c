/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two groups of channels with a codec each: which channels, and a split's life. split_rows.c has what it does
 * to rows.
 */

#include <stdbool.h>
#include "args.h"
#include "context.h"
#include "split.h"

/* What passes through the work space at a time: 128 rows of the usual dimensions. */
#define TILE_ROWS 128
#define TILE_FLOATS 65536

/* What both calls are told of the groups. */
static int check_sizes(const struct tq_context *ctx, uint32_t dim, uint32_t n, const uint32_t *channels)
{
	TQ_CHECK_POINTER(ctx);
	TQ_CHECK_POINTER(channels);
	if (dim < 2 || dim > TQ_MAX_DIM)
		return tq_fail(TQ_ERR_ARG, "dim: %u is not in 2..%d", dim, TQ_MAX_DIM);
	if (n < 1 || n >= dim)
		return tq_fail(TQ_ERR_ARG, "n: %u of %u channels leave one group empty", n, dim);
	return TQ_OK;
}

/* ---- which channels ---- */

static int check_choice(struct tq_context *ctx, const float *x, size_t stride, size_t rows, uint32_t dim, uint32_t n,
			const uint32_t *channels)
{
	int ret = check_sizes(ctx, dim, n, channels);

	if (ret)
		return ret;
	TQ_CHECK_POINTER(x);
	if (rows == 0)
		return tq_fail(TQ_ERR_ARG, "rows: 0 rows choose nothing");
	return tq_check_rows(dim, "stride", stride, rows, sizeof(*x));
}

/* The n largest of @energy, which loses them; then in the order of the channels. */
static void take_largest(double *energy, uint32_t dim, uint32_t n, uint32_t *channels)
{
	uint32_t best, i, k;

	for (k = 0; k < n; k++) {
		for (best = 0, i = 1; i < dim; i++)
			if (energy[i] > energy[best])
				best = i;
		energy[best] = -1;
	}
	for (i = k = 0; i < dim; i++)
		if (energy[i] < 0)
			channels[k++] = i;
}

int tq_split_choose(struct tq_context *ctx, const float *x, size_t stride, size_t rows, uint32_t dim,
		    const float *centre, uint32_t n, uint32_t *channels)
{
	int ret = check_choice(ctx, x, stride, rows, dim, n, channels);
	double *energy, v;
	uint32_t i;
	size_t r;

	if (ret)
		return ret;
	r = tq_first_nonfinite(ctx, x, TQ_F32, dim, stride, rows, centre);
	if (r < rows)
		return tq_fail_row(TQ_ERR_NONFINITE, r, "x: row %zu holds NaN or infinity", r);
	energy = tq_alloc(ctx, dim * sizeof(*energy));
	if (!energy)
		return TQ_ERR_NOMEM;
	for (r = 0; r < rows; r++)
		for (i = 0; i < dim; i++) {
			v = (double)x[r * stride + i] - (centre ? (double)centre[i] : 0.0);
			energy[i] += v * v;
		}
	take_largest(energy, dim, n, channels);
	tq_free(ctx, energy);
	return TQ_OK;
}

/* ---- a split's life ---- */

static int check_args(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim, const uint32_t *channels,
		      uint32_t n, const struct tq_quantizer_options *options)
{
	int ret = check_sizes(ctx, dim, n, channels);

	if (ret)
		return ret;
	TQ_CHECK_POINTER(spec);
	if (options && options->struct_size < sizeof(*options))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u is not %zu", options->struct_size, sizeof(*options));
	if (options && options->centre && spec[0].center == TQ_CENTER_OFF && spec[1].center == TQ_CENTER_OFF)
		return tq_fail(TQ_ERR_ARG, "options.centre: both specs say center=off");
	return TQ_OK;
}

/* Both groups' channels in ascending order, from a table with a mark for each one of the first group. */
static int sort_channels(struct tq_split *s, const uint32_t *channels, uint32_t n, uint8_t *mark)
{
	uint32_t at[2] = { 0 }, i;

	for (i = 0; i < n; i++) {
		if (channels[i] >= s->dim)
			return tq_fail(TQ_ERR_ARG, "channels: number %u is %u, of %u channels", i, channels[i], s->dim);
		if (mark[channels[i]])
			return tq_fail(TQ_ERR_ARG, "channels: %u is there twice", channels[i]);
		mark[channels[i]] = 1;
	}
	for (i = 0; i < s->dim; i++) {
		struct tq_split_part *part = &s->part[!mark[i]];

		part->channels[at[!mark[i]]++] = i;
	}
	return TQ_OK;
}

static int make_channels(struct tq_split *s, const uint32_t *channels, uint32_t n)
{
	uint8_t *mark;
	int ret;

	s->part[0].channels = tq_alloc(s->ctx, n * sizeof(*channels));
	s->part[1].channels = tq_alloc(s->ctx, (s->dim - n) * sizeof(*channels));
	mark = tq_alloc(s->ctx, s->dim);
	ret = s->part[0].channels && s->part[1].channels && mark ? sort_channels(s, channels, n, mark) : TQ_ERR_NOMEM;
	tq_free(s->ctx, mark);
	return ret;
}

/* The quantizer of a group; @centre is room for its part of the centre. */
static int make_part(struct tq_split *s, unsigned group, const struct tq_spec *spec, uint32_t n,
		     const struct tq_quantizer_options *options, float *centre)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = options ? options->driver : NULL};
	struct tq_split_part *part = &s->part[group];
	char why[256];
	uint32_t i;
	int ret;

	if (options && options->centre && spec->center != TQ_CENTER_OFF) {
		for (i = 0; i < n; i++)
			centre[i] = s->centre[part->channels[i]] = options->centre[part->channels[i]];
		o.centre = centre;
	}
	ret = tq_quantizer_create(s->ctx, spec, n, &o, &part->q);
	if (ret) {
		snprintf(why, sizeof(why), "%s", tq_error_text());
		return tq_fail(ret, "group %u (%u channels): %s", group, n, why);
	}
	part->code_at = s->code_bytes;
	part->query_at = s->query_bytes;
	s->code_bytes += tq_code_size(part->q);
	s->query_bytes += tq_query_size(part->q);
	return TQ_OK;
}

static int make_parts(struct tq_split *s, const struct tq_spec *spec, const uint32_t *channels, uint32_t n,
		      const struct tq_quantizer_options *options)
{
	float *centre = tq_alloc(s->ctx, s->dim * sizeof(*centre));
	int ret = centre ? make_channels(s, channels, n) : TQ_ERR_NOMEM;

	if (!ret && options && options->centre) {
		s->centre = tq_alloc(s->ctx, s->dim * sizeof(*s->centre));
		ret = s->centre ? TQ_OK : TQ_ERR_NOMEM;
	}
	if (!ret)
		ret = make_part(s, 0, &spec[0], n, options, centre);
	if (!ret)
		ret = make_part(s, 1, &spec[1], s->dim - n, options, centre);
	tq_free(s->ctx, centre);
	return ret;
}

int tq_split_create(struct tq_context *ctx, const struct tq_spec spec[2], uint32_t dim, const uint32_t *channels,
		    uint32_t n, const struct tq_quantizer_options *options, struct tq_split **out)
{
	struct tq_split *s;
	int ret;

	TQ_CHECK_POINTER(out);
	*out = NULL;
	ret = check_args(ctx, spec, dim, channels, n, options);
	if (ret)
		return ret;
	s = tq_alloc(ctx, sizeof(*s));
	if (!s)
		return TQ_ERR_NOMEM;
	s->ctx = ctx;
	s->dim = dim;
	s->tile = dim < TILE_FLOATS / TILE_ROWS ? TILE_ROWS : TILE_FLOATS / dim;
	ret = make_parts(s, spec, channels, n, options);
	if (ret)
		tq_split_destroy(s);
	else
		*out = s;
	return ret;
}

void tq_split_destroy(struct tq_split *s)
{
	unsigned g;

	if (!s)
		return;
	for (g = 0; g < 2; g++) {
		tq_quantizer_destroy(s->part[g].q);
		tq_free(s->ctx, s->part[g].channels);
	}
	tq_free(s->ctx, s->centre);
	tq_free(s->ctx, s);
}

uint32_t tq_split_dim(const struct tq_split *s)
{
	return s->dim;
}

const struct tq_quantizer *tq_split_group(const struct tq_split *s, unsigned group)
{
	return group < 2 ? s->part[group].q : NULL;
}

const uint32_t *tq_split_channels(const struct tq_split *s, unsigned group)
{
	return group < 2 ? s->part[group].channels : NULL;
}

const float *tq_split_centre(const struct tq_split *s)
{
	return s->centre;
}

size_t tq_split_code_size(const struct tq_split *s)
{
	return s->code_bytes;
}

size_t tq_split_query_size(const struct tq_split *s)
{
	return s->query_bytes;
}
