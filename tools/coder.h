/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_CODER_H
#define TOOLS_CODER_H

/*
 * What codes rows: a quantizer, or a split (tq/split.h) where a spec reads "A / B". Calls that fail have printed
 * their line, but those that return the library's status.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tq/tq.h"

struct vectors;

/** struct coder - either @q, or @split with its @scratch */
struct coder {
	struct tq_quantizer *q;
	struct tq_split *split;
	void *scratch;
};

/**
 * struct coder_options - @split: so many channels of most energy, 0 if not given; @channels: a file of them, or NULL;
 * @some: specs that have no centre do without the one that is given
 */
struct coder_options {
	bool some;
	const char *centre;
	const char *channels;
	uint32_t split;
};

/** The options of tq encode and tq eval about groups of channels, for getopt_long(). */
enum { CODER_SPLIT = 'P', CODER_CHANNELS = 'C' };
#define CODER_OPTIONS                                                                                                  \
	{"split", required_argument, NULL, CODER_SPLIT}, { "split-channels", required_argument, NULL, CODER_CHANNELS }

/** coder_take - one of these; 0, or CLI_USAGE with a line */
int coder_take(struct coder_options *o, int letter, const char *text);

/** coder_parts - the first spec of @text, room for strlen(text) + 1 bytes, and where the second begins, or NULL */
const char *coder_parts(const char *text, char *first);

/** coder_check - does the text name specs that @dim channels can have, of one center; a TQ_ERR_*, or TQ_OK */
int coder_check(const char *text, uint32_t dim, const struct coder_options *o);

/** coder_make - the coder of a text; NULL: the configured profile. @in: for a centre and channels */
int coder_make(struct tq_context *ctx, const char *text, const struct coder_options *o, const struct vectors *in,
	       struct coder *c);

/** coder_of_file - whose rows the file holds */
int coder_of_file(const struct tq_file *f, const char *path, struct coder *c);

/** coder_close - a zeroed one is allowed */
void coder_close(struct coder *c);

/** coder_group - the quantizer of group 0 or 1; NULL past the last */
const struct tq_quantizer *coder_group(const struct coder *c, unsigned group);

uint32_t coder_dim(const struct coder *c);
size_t coder_code_size(const struct coder *c);
size_t coder_query_size(const struct coder *c);
const float *coder_centre(const struct coder *c);

/** coder_spec, coder_drivers - what there is to print; CODER_TEXT is room enough */
void coder_spec(const struct coder *c, char *buf, size_t size);
void coder_drivers(const struct coder *c, char *buf, size_t size);
#define CODER_TEXT (2 * TQ_SPEC_STRING_MAX + 4)

/** The library's calls; they return its status. */
int coder_create_file(struct tq_context *ctx, const char *path, const struct coder *c, struct tq_file_writer **writer);
int coder_encode(const struct coder *c, const void *x, int dtype, size_t n, void *codes);
int coder_decode(const struct coder *c, const void *codes, size_t n, void *x, int dtype);
int coder_prepare(const struct coder *c, const float *x, size_t nq, void *prepared);
int coder_score(const struct coder *c, const void *prepared, size_t nq, const void *codes, size_t n, float *scores);

#endif
