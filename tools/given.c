/* SPDX-License-Identifier: Apache-2.0 */

/* A rotation that somebody else made, from the .npy files of a directory. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "given.h"
#include "ids.h"
#include "vectors.h"

#define WORD "rotation=given"

/** struct floats - a file of rows; no rows where there is no such file */
struct floats {
	char path[4096];
	float *at;
	uint64_t rows;
	uint32_t columns;
};

/** name_file - its path; 1 if it is there, 0 if not, -1 with a line if the name is too long */
static int name_file(const char *dir, const char *name, char *path, size_t size)
{
	if ((size_t)snprintf(path, size, "%s/%s", dir, name) >= size) {
		cli_fail(CLI_USAGE, "--given: the name is too long");
		return -1;
	}
	return access(path, F_OK) == 0;
}

static int load_floats(const char *dir, const char *name, struct floats *f)
{
	struct vectors v;
	int there = name_file(dir, name, f->path, sizeof(f->path)), ret;

	if (there <= 0)
		return there ? CLI_USAGE : 0;
	ret = vectors_open(&v, f->path, 0, NULL);
	if (ret)
		return ret;
	f->rows = v.count;
	f->columns = v.dim;
	if (v.count < 1 || v.count > TQ_MAX_DENSE_DIM)
		ret = cli_fail(CLI_USAGE, "%s: %" PRIu64 " rows, not 1..%d", f->path, v.count, TQ_MAX_DENSE_DIM);
	if (!ret) {
		f->at = malloc(v.count * vectors_room_f32(&v));
		ret = f->at ? vectors_read_f32(&v, 0, v.count, f->at) : cli_fail(CLI_UNMET, "out of memory");
	}
	vectors_close(&v);
	return ret;
}

static int load_pairs(const char *dir, const struct floats *angles, uint32_t **pairs, struct tq_given *given)
{
	char path[4096];
	struct ids ids;
	int there = name_file(dir, "pairs.npy", path, sizeof(path)), ret;

	if (there < 0)
		return CLI_USAGE;
	if (there != !!angles->at)
		return cli_fail(CLI_USAGE, "--given: %s: pairs.npy and angles.npy, or neither", dir);
	if (!there)
		return 0;
	ret = ids_read(path, NULL, &ids);
	if (ret)
		return ret;
	if (ids.rows != angles->rows || ids.columns != 2 * (uint64_t)angles->columns)
		ret = cli_fail(CLI_USAGE, "%s: %" PRIu64 " rows of %" PRIu64 " numbers; the %" PRIu64 " rows of %u angles "
			       "need twice as many", path, ids.rows, ids.columns, angles->rows, angles->columns);
	if (!ret)
		ret = ids_coordinates(path, &ids, pairs);
	free(ids.ids);
	given->layers = (uint32_t)angles->rows;
	given->npairs = angles->columns;
	given->pairs = *pairs;
	given->angles = angles->at;
	return ret;
}

/** settle - what the files say together */
static int settle(const char *dir, uint32_t dim, const struct floats *matrix, const struct floats *scales,
		  struct tq_given *given)
{
	given->dim = matrix->at ? matrix->columns : scales->at ? scales->columns : dim;
	if (!matrix->at && !scales->at && !given->layers)
		return cli_fail(CLI_USAGE, "--given: %s: no matrix.npy, pairs.npy or scales.npy", dir);
	if (!given->dim)
		return cli_fail(CLI_USAGE, "--given: %s: pairs alone do not say the dimension; --dim does", dir);
	if (matrix->at && matrix->rows != matrix->columns)
		return cli_fail(CLI_USAGE, "%s: %" PRIu64 " x %u is not square", matrix->path, matrix->rows,
				matrix->columns);
	if (scales->at && (scales->rows != 1 || scales->columns != given->dim))
		return cli_fail(CLI_USAGE, "%s: %" PRIu64 " x %u, not 1 x %u", scales->path, scales->rows, scales->columns,
				given->dim);
	given->matrix = matrix->at;
	given->scales = scales->at;
	given->rotation = matrix->at || given->layers ? NULL : "rht:2";
	return 0;
}

int given_load(struct tq_context *ctx, const char *dir, uint32_t dim, uint32_t *sum)
{
	struct tq_given given = {.struct_size = sizeof(given)};
	struct floats matrix = {0}, scales = {0}, angles = {0};
	uint32_t *pairs = NULL;
	int ret = load_floats(dir, "matrix.npy", &matrix);

	if (!ret)
		ret = load_floats(dir, "scales.npy", &scales);
	if (!ret)
		ret = load_floats(dir, "angles.npy", &angles);
	if (!ret)
		ret = load_pairs(dir, &angles, &pairs, &given);
	if (!ret)
		ret = settle(dir, dim, &matrix, &scales, &given);
	if (!ret && tq_given_add(ctx, &given, sum) != TQ_OK)
		ret = cli_fail(CLI_USAGE, "%s: %s", dir, tq_error_text());
	free(matrix.at);
	free(scales.at);
	free(angles.at);
	free(pairs);
	return ret;
}

char *given_text(const char *text, uint32_t sum)
{
	const char *at = strstr(text, WORD);
	size_t room = strlen(text) + sizeof(":4294967295"), head;
	char *out = malloc(room);

	if (!out)
		return NULL;
	head = at ? (size_t)(at - text) + strlen(WORD) : strlen(text);
	snprintf(out, room, "%s", text);
	if (at && (!text[head] || strchr(" \t\r\n,", text[head])))
		snprintf(out + head, room - head, ":%u%s", sum, text + head);
	return out;
}
