/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split rows in a .tq file: the section split holds the first group's channels and the second's spec; all else is
 * where the rows of one codec have it. file_check.c has checked what is read here.
 */

#include "args.h"
#include "file.h"
#include "split.h"

int tq_split_file_create(struct tq_context *ctx, const char *path, const struct tq_split *s,
			 struct tq_file_writer **writer)
{
	const struct tq_quantizer *first, *rest;
	struct tq_file_prologue prologue;
	struct tq_file_split *split;
	char text[TQ_SPEC_STRING_MAX];
	size_t list, bytes;
	int ret;

	if (!ctx || !path || !s || !writer)
		return tq_fail(TQ_ERR_ARG, "tq_split_file_create: NULL argument");
	*writer = NULL;
	first = s->part[0].q;
	rest = s->part[1].q;
	ret = tq_spec_print(tq_quantizer_spec(rest), text, sizeof(text));
	if (ret)
		return ret;
	list = tq_dim(first) * sizeof(*split->channels);
	bytes = sizeof(*split) + list + strlen(text);
	split = tq_alloc(ctx, bytes);
	if (!split)
		return TQ_ERR_NOMEM;
	split->n = tq_dim(first);
	split->codebook_hash = tq_codebook_hash(rest);
	memcpy(split->channels, s->part[0].channels, list);
	memcpy((char *)split + sizeof(*split) + list, text, strlen(text));
	prologue = (struct tq_file_prologue){tq_quantizer_spec(first), s->centre, s->dim, (uint32_t)s->code_bytes,
					     tq_codebook_hash(first), split, bytes};
	ret = tq_file_begin(ctx, path, &prologue, writer);
	tq_free(ctx, split);
	return ret;
}

int tq_file_split(const struct tq_file *file, const struct tq_quantizer_options *options, struct tq_split **out)
{
	struct tq_quantizer_options own = {.struct_size = sizeof(own)};
	struct tq_spec spec[2];

	if (!file || !out)
		return tq_fail(TQ_ERR_ARG, "tq_file_split: NULL argument");
	*out = NULL;
	if (!file->split)
		return tq_fail(TQ_ERR_UNSUPPORTED, "%s: its rows are not split: tq_file_quantizer()", file->path);
	if (options && options->struct_size != sizeof(*options))
		return tq_fail(TQ_ERR_ARG, "tq_file_split: options has another size");
	if (options && options->centre)
		return tq_fail(TQ_ERR_ARG, "tq_file_split: the centre is the file's");
	own.driver = options ? options->driver : NULL;
	own.centre = tq_file_centre(file);
	spec[0] = file->spec;
	spec[1] = file->rest;
	return tq_split_create(file->ctx, spec, tq_file_dim(file), file->split->channels, file->split->n, &own, out);
}

const struct tq_spec *tq_file_split_spec(const struct tq_file *file, unsigned group)
{
	if (!file->split || group > 1)
		return NULL;
	return group ? &file->rest : &file->spec;
}
