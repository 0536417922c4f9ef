/* SPDX-License-Identifier: Apache-2.0 */

/* One codec, or two for two groups of channels. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "coder.h"
#include "commands.h"
#include "ids.h"
#include "vectors.h"

#define ROWS_MAX 4096 /* that channels are chosen from */

int coder_take(struct coder_options *o, int letter, const char *text)
{
	uint64_t n = 0;
	int ret = 0;

	if (letter == CODER_CHANNELS)
		o->channels = text;
	else
		ret = cli_number("--split", text, 1, TQ_MAX_DIM, &n);
	if (letter == CODER_SPLIT)
		o->split = (uint32_t)n;
	if (!ret && o->split && o->channels)
		ret = cli_fail(CLI_USAGE, "--split and --split-channels exclude each other");
	return ret;
}

const char *coder_parts(const char *text, char *first)
{
	const char *slash = strstr(text, " / ");
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	memcpy(first, text, n);
	first[n] = 0;
	return slash ? slash + 3 : NULL;
}

static int parse(const char *text, struct tq_spec *spec)
{
	tq_spec_init(spec);
	return settings_parse(spec, text);
}

/** parse_both - one spec, or two; @two is set */
static int parse_both(const char *text, struct tq_spec spec[2], bool *two)
{
	char *first = malloc(strlen(text) + 1);
	const char *rest;
	int status;

	if (!first)
		return TQ_ERR_NOMEM;
	rest = coder_parts(text, first);
	*two = rest != NULL;
	status = parse(first, &spec[0]);
	if (status == TQ_OK && rest)
		status = parse(rest, &spec[1]);
	free(first);
	return status;
}

int coder_check(const char *text, uint32_t dim, const struct coder_options *o)
{
	struct tq_spec spec[2];
	bool two;
	int status = parse_both(text, spec, &two);

	if (status != TQ_OK)
		return status;
	/* of two groups without their numbers of channels, what does not depend on these */
	if (two && o->split >= dim)
		dim = 0;
	status = tq_spec_check(&spec[0], two && dim ? o->split : two ? 0 : dim);
	return status == TQ_OK && two ? tq_spec_check(&spec[1], dim && o->split ? dim - o->split : 0) : status;
}

/** read_channels - the list of a file */
static int read_channels(const char *path, uint32_t dim, uint32_t **channels, uint32_t *n)
{
	struct ids ids;
	int ret = ids_read(path, NULL, &ids);

	if (ret)
		return ret;
	*n = (uint32_t)(ids.rows * ids.columns);
	if (ids.rows * ids.columns < 1 || ids.rows * ids.columns >= dim)
		ret = cli_fail(CLI_USAGE, "%s: %" PRIu64 " channels of %u leave one group empty", path,
			       ids.rows * ids.columns, dim);
	if (!ret)
		ret = ids_coordinates(path, &ids, channels);
	free(ids.ids);
	return ret;
}

/** choose_channels - those of most energy, of rows spread evenly over the file */
static int choose_channels(struct tq_context *ctx, const struct vectors *in, const float *centre, uint32_t n,
			   uint32_t **channels)
{
	uint64_t rows = in->count < ROWS_MAX ? in->count : ROWS_MAX;
	float *x = malloc((rows + 1) * vectors_room_f32(in));
	int ret = 0, status;

	*channels = malloc(n * sizeof(**channels));
	if (!x || !*channels)
		ret = cli_fail(CLI_UNMET, "out of memory");
	else if (n >= in->dim)
		ret = cli_fail(CLI_USAGE, "--split: %u of %u channels leave one group empty", n, in->dim);
	for (uint64_t i = 0; i < rows && !ret; i++)
		ret = vectors_read_f32(in, i * in->count / rows, 1, x + i * in->dim);
	status = ret ? TQ_OK : tq_split_choose(ctx, x, in->dim, rows, in->dim, centre, n, *channels);
	free(x);
	if (status == TQ_ERR_NONFINITE && tq_error_row() != TQ_NO_ROW)
		return vectors_nonfinite(in->path, tq_error_row() * in->count / rows);
	return status == TQ_OK ? ret : cli_fail_status(status, in->path);
}

static int make_split(struct tq_context *ctx, const struct tq_spec spec[2], const struct coder_options *o,
		      const struct vectors *in, const float *centre, struct coder *c)
{
	struct tq_quantizer_options options = {.struct_size = sizeof(options), .centre = centre};
	uint32_t *channels = NULL, n = o->split;
	int ret, status;

	ret = o->channels ? read_channels(o->channels, in->dim, &channels, &n) :
			    choose_channels(ctx, in, centre, n, &channels);
	if (!ret) {
		status = tq_split_create(ctx, spec, in->dim, channels, n, &options, &c->split);
		if (status != TQ_OK)
			ret = cli_fail_status(status, NULL);
	}
	free(channels);
	return ret;
}

static int make_quantizer(struct tq_context *ctx, const struct tq_spec *spec, const struct vectors *in,
			  const float *centre, struct coder *c)
{
	struct tq_quantizer_options options = {.struct_size = sizeof(options), .centre = centre};
	int status = tq_quantizer_create(ctx, spec, in->dim, &options, &c->q);

	return status == TQ_OK ? 0 : cli_fail_status(status, NULL);
}

/** make_scratch - what a split needs besides */
static int make_scratch(struct coder *c)
{
	if (!c->split)
		return 0;
	c->scratch = aligned_alloc(64, (tq_split_scratch_size(c->split) + 63) / 64 * 64);
	return c->scratch ? 0 : cli_fail(CLI_UNMET, "out of memory");
}

int coder_make(struct tq_context *ctx, const char *text, const struct coder_options *o, const struct vectors *in,
	       struct coder *c)
{
	struct tq_spec spec[2];
	float *centre = NULL;
	bool two = false;
	int ret, status;

	*c = (struct coder){0};
	ret = text ? 0 : settings_spec(ctx, NULL, &spec[0]);
	status = text ? parse_both(text, spec, &two) : TQ_OK;
	if (ret || status != TQ_OK)
		return ret ? ret : cli_fail_status(status, "--spec");
	if (two && !o->split && !o->channels)
		return cli_fail(CLI_USAGE, "--spec '%s' is for two groups of channels: --split or --split-channels", text);
	if (two && spec[0].center != spec[1].center)
		return cli_fail(CLI_USAGE, "--spec '%s': both groups have the same center", text);
	ret = load_centre(spec[0].center, o->some && spec[0].center == TQ_CENTER_OFF ? NULL : o->centre, in, &centre);
	if (!ret)
		ret = two ? make_split(ctx, spec, o, in, centre, c) : make_quantizer(ctx, &spec[0], in, centre, c);
	free(centre);
	return ret ? ret : make_scratch(c);
}

int coder_of_file(const struct tq_file *f, const char *path, struct coder *c)
{
	int status;

	*c = (struct coder){0};
	status = tq_file_split_spec(f, 0) ? tq_file_split(f, NULL, &c->split) : tq_file_quantizer(f, NULL, &c->q);
	return status == TQ_OK ? make_scratch(c) : cli_fail_status(status, path);
}

void coder_close(struct coder *c)
{
	tq_quantizer_destroy(c->q);
	tq_split_destroy(c->split);
	free(c->scratch);
	*c = (struct coder){0};
}

const struct tq_quantizer *coder_group(const struct coder *c, unsigned group)
{
	return c->split ? tq_split_group(c->split, group) : group ? NULL : c->q;
}

uint32_t coder_dim(const struct coder *c)
{
	return c->split ? tq_split_dim(c->split) : tq_dim(c->q);
}

size_t coder_code_size(const struct coder *c)
{
	return c->split ? tq_split_code_size(c->split) : tq_code_size(c->q);
}

size_t coder_query_size(const struct coder *c)
{
	return c->split ? tq_split_query_size(c->split) : tq_query_size(c->q);
}

const float *coder_centre(const struct coder *c)
{
	return c->split ? tq_split_centre(c->split) : tq_quantizer_centre(c->q);
}

void coder_spec(const struct coder *c, char *buf, size_t size)
{
	char spec[2][TQ_SPEC_STRING_MAX] = {"", ""};

	for (unsigned g = 0; g < 2 && coder_group(c, g); g++)
		tq_spec_print(tq_quantizer_spec(coder_group(c, g)), spec[g], sizeof(spec[g]));
	snprintf(buf, size, "%s%s%s", spec[0], c->split ? " / " : "", spec[1]);
}

void coder_drivers(const struct coder *c, char *buf, size_t size)
{
	char drivers[2][256] = {"", ""};

	for (unsigned g = 0; g < 2 && coder_group(c, g); g++)
		driver_names(coder_group(c, g), drivers[g], sizeof(drivers[g]));
	if (c->split && strcmp(drivers[0], drivers[1]))
		snprintf(buf, size, "%s / %s", drivers[0], drivers[1]);
	else
		snprintf(buf, size, "%s", drivers[0]);
}

int coder_create_file(struct tq_context *ctx, const char *path, const struct coder *c, struct tq_file_writer **writer)
{
	return c->split ? tq_split_file_create(ctx, path, c->split, writer) : tq_file_create(ctx, path, c->q, writer);
}

int coder_encode(const struct coder *c, const void *x, int dtype, size_t n, void *codes)
{
	return c->split ? tq_split_encode(c->split, x, dtype, coder_dim(c), n, codes, c->scratch) :
			  tq_encode_as(c->q, x, dtype, coder_dim(c), n, codes);
}

int coder_decode(const struct coder *c, const void *codes, size_t n, void *x, int dtype)
{
	return c->split ? tq_split_decode(c->split, codes, n, x, dtype, coder_dim(c), c->scratch) :
			  tq_decode_as(c->q, codes, n, x, dtype, coder_dim(c));
}

int coder_prepare(const struct coder *c, const float *x, size_t nq, void *prepared)
{
	return c->split ? tq_split_query_prepare(c->split, x, coder_dim(c), nq, prepared, c->scratch) :
			  tq_query_prepare(c->q, x, coder_dim(c), nq, prepared);
}

int coder_score(const struct coder *c, const void *prepared, size_t nq, const void *codes, size_t n, float *scores)
{
	return c->split ? tq_split_score(c->split, prepared, nq, codes, n, scores, n, c->scratch) :
			  tq_score(c->q, prepared, nq, codes, n, scores, n);
}
