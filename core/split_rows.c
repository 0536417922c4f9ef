/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a split. A tile of them at a time goes through the caller's work space, where each group's channels,
 * codes and prepared queries lie together as its quantizer wants them.
 *
 * The work space: a tile of rows of the larger group; a tile of codes of the larger group; a tile of prepared
 * queries, the first group's and then the rest's; a tile of scores.
 */

#include <stdbool.h>
#include "args.h"
#include "split.h"

struct scratch {
	char *rows;
	uint8_t *codes;
	uint8_t *queries;
	float *scores;
	size_t bytes;
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Where everything lies; of NULL, how much it is. */
static struct scratch layout(const struct tq_split *s, void *at)
{
	const struct tq_quantizer *a = s->part[0].q, *b = s->part[1].q;
	size_t rows = tq_round_up(s->tile * sizeof(float) * larger(tq_dim(a), tq_dim(b)), 64);
	size_t codes = tq_round_up(s->tile * larger(tq_code_size(a), tq_code_size(b)), 64);
	size_t queries = s->tile * s->query_bytes;
	size_t scores = tq_round_up(s->tile * s->tile * sizeof(float), 64);
	uint8_t *base = at;

	if (!at)
		return (struct scratch){.bytes = rows + codes + queries + scores};
	return (struct scratch){at, base + rows, base + rows + codes, (float *)(void *)(base + rows + codes + queries),
				rows + codes + queries + scores};
}

size_t tq_split_scratch_size(const struct tq_split *s)
{
	return layout(s, NULL).bytes;
}

static int check_scratch(const void *scratch)
{
	TQ_CHECK_POINTER(scratch);
	if ((uintptr_t)scratch % 64)
		return tq_fail(TQ_ERR_ARG, "scratch: not aligned to 64 bytes");
	return TQ_OK;
}

/* @codes: rows, or prepared queries */
static int check_rows(const struct tq_split *s, const void *x, int dtype, size_t stride, size_t n, const void *codes,
		      const void *scratch)
{
	int ret;

	TQ_CHECK_POINTER(x);
	TQ_CHECK_POINTER(codes);
	if (!tq_dtype_size(dtype))
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	ret = check_scratch(scratch);
	if (!ret)
		ret = tq_check_rows(s->dim, "stride", stride, n, tq_dtype_size(dtype));
	return ret ? ret : tq_check_codes(s->code_bytes, "codes", n);
}

/* All rows before the first is coded. */
static int check_finite(const struct tq_split *s, const void *x, int dtype, size_t stride, size_t n)
{
	size_t row = tq_first_nonfinite(s->ctx, x, dtype, s->dim, stride, n, s->centre);

	return row < n ? tq_fail_row(TQ_ERR_NONFINITE, row, "x: row %zu holds NaN or infinity", row) : TQ_OK;
}

/* A group's failure names the row of its tile; the caller wants that of the call. */
static int fail_tile(int ret, size_t first, unsigned group, const char *what)
{
	if (tq_error_row() == TQ_NO_ROW)
		return ret;
	first += tq_error_row();
	return tq_fail_row(ret, first, "x: %s %zu, group %u: %s", what, first, group, tq_status_text(ret));
}

/* Channels out of rows, or back into them, at any address; inline for an element and a direction. */
static inline __attribute__((always_inline)) void move_elements(const uint32_t *channels, size_t d, char *x,
								size_t element, size_t row, size_t n, char *packed,
								bool back)
{
	char *whole, *own = packed;
	size_t i, j;

	for (i = 0; i < n; i++, x += row)
		for (j = 0; j < d; j++, own += element) {
			whole = x + channels[j] * element;
			memcpy(back ? whole : own, back ? own : whole, element);
		}
}

static void move_channels(const struct tq_split *s, unsigned group, char *x, size_t element, size_t stride, size_t n,
			  char *packed, bool back)
{
	const uint32_t *channels = s->part[group].channels;
	size_t d = tq_dim(s->part[group].q);

	if (element == 4 && back)
		move_elements(channels, d, x, 4, 4 * stride, n, packed, true);
	else if (element == 4)
		move_elements(channels, d, x, 4, 4 * stride, n, packed, false);
	else if (back)
		move_elements(channels, d, x, 2, 2 * stride, n, packed, true);
	else
		move_elements(channels, d, x, 2, 2 * stride, n, packed, false);
}

/* @n pieces of @bytes, from every @from bytes to every @to. */
static void copy_pieces(void *out, size_t to, const void *in, size_t from, size_t bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		memcpy((char *)out + i * to, (const char *)in + i * from, bytes);
}

int tq_split_encode(const struct tq_split *s, const void *x, int dtype, size_t stride, size_t n, void *codes,
		    void *scratch)
{
	size_t element = tq_dtype_size(dtype), i, rows;
	const struct tq_split_part *part;
	struct scratch w;
	unsigned g;
	int ret;

	TQ_CHECK_POINTER(s);
	if (n == 0)
		return TQ_OK;
	ret = check_rows(s, x, dtype, stride, n, codes, scratch);
	if (!ret)
		ret = check_finite(s, x, dtype, stride, n);
	if (ret)
		return ret;
	w = layout(s, scratch);
	for (i = 0; i < n; i += rows) {
		rows = least(n - i, s->tile);
		for (g = 0; g < 2; g++) {
			part = &s->part[g];
			move_channels(s, g, (char *)(uintptr_t)x + i * stride * element, element, stride, rows, w.rows, false);
			ret = tq_encode_as(part->q, w.rows, dtype, tq_dim(part->q), rows, w.codes);
			if (ret)
				return fail_tile(ret, i, g, "row");
			copy_pieces((uint8_t *)codes + i * s->code_bytes + part->code_at, s->code_bytes, w.codes,
				    tq_code_size(part->q), tq_code_size(part->q), rows);
		}
	}
	return TQ_OK;
}

/* A group's codes of a tile, together. */
static void take_codes(const struct tq_split *s, unsigned group, const void *codes, size_t first, size_t n, uint8_t *out)
{
	const struct tq_split_part *part = &s->part[group];
	size_t bytes = tq_code_size(part->q);

	copy_pieces(out, bytes, (const uint8_t *)codes + first * s->code_bytes + part->code_at, s->code_bytes, bytes, n);
}

int tq_split_decode(const struct tq_split *s, const void *codes, size_t n, void *x, int dtype, size_t stride,
		    void *scratch)
{
	size_t element = tq_dtype_size(dtype), i, rows;
	struct scratch w;
	unsigned g;
	int ret;

	TQ_CHECK_POINTER(s);
	if (n == 0)
		return TQ_OK;
	ret = check_rows(s, x, dtype, stride, n, codes, scratch);
	if (ret)
		return ret;
	w = layout(s, scratch);
	for (i = 0; i < n; i += rows) {
		rows = least(n - i, s->tile);
		for (g = 0; g < 2; g++) {
			take_codes(s, g, codes, i, rows, w.codes);
			ret = tq_decode_as(s->part[g].q, w.codes, rows, w.rows, dtype, tq_dim(s->part[g].q));
			if (ret)
				return ret;
			move_channels(s, g, (char *)x + i * stride * element, element, stride, rows, w.rows, true);
		}
	}
	return TQ_OK;
}

/* Where a group's prepared queries of a tile of @nq lie in the work space. */
static uint8_t *queries_of(const struct tq_split *s, const struct scratch *w, unsigned group, size_t nq)
{
	return w->queries + s->part[group].query_at * nq;
}

int tq_split_query_prepare(const struct tq_split *s, const float *x, size_t stride, size_t nq, void *prepared,
			   void *scratch)
{
	const struct tq_split_part *part;
	struct scratch w;
	size_t i, n;
	unsigned g;
	int ret;

	TQ_CHECK_POINTER(s);
	if (nq == 0)
		return TQ_OK;
	ret = tq_check_prepared(prepared);
	if (!ret)
		ret = check_rows(s, x, TQ_F32, stride, nq, prepared, scratch);
	if (ret)
		return ret;
	w = layout(s, scratch);
	for (i = 0; i < nq; i += n) {
		n = least(nq - i, s->tile);
		for (g = 0; g < 2; g++) {
			part = &s->part[g];
			move_channels(s, g, (char *)(uintptr_t)(x + i * stride), sizeof(*x), stride, n, w.rows, false);
			ret = tq_query_prepare(part->q, (float *)(void *)w.rows, tq_dim(part->q), n, w.queries);
			if (ret)
				return fail_tile(ret, i, g, "query");
			copy_pieces((uint8_t *)prepared + i * s->query_bytes + part->query_at, s->query_bytes, w.queries,
				    tq_query_size(part->q), tq_query_size(part->q), n);
		}
	}
	return TQ_OK;
}

/* Scores of a tile of queries, which lie in the work space, and a tile of rows. */
static int score_tile(const struct tq_split *s, const struct scratch *w, size_t nq, const void *codes, size_t first,
		      size_t n, float *scores, size_t ld)
{
	size_t i, j;
	int ret;

	take_codes(s, 0, codes, first, n, w->codes);
	ret = tq_score(s->part[0].q, queries_of(s, w, 0, nq), nq, w->codes, n, scores, ld);
	if (ret)
		return ret;
	take_codes(s, 1, codes, first, n, w->codes);
	ret = tq_score(s->part[1].q, queries_of(s, w, 1, nq), nq, w->codes, n, w->scores, n);
	if (ret)
		return ret;
	for (i = 0; i < nq; i++)
		for (j = 0; j < n; j++)
			scores[i * ld + j] += w->scores[i * n + j];
	return TQ_OK;
}

int tq_split_score(const struct tq_split *s, const void *prepared, size_t nq, const void *codes, size_t n,
		   float *scores, size_t ld, void *scratch)
{
	size_t i, j, queries, bytes;
	struct scratch w;
	unsigned g;
	int ret;

	TQ_CHECK_POINTER(s);
	if (nq == 0 || n == 0)
		return TQ_OK;
	ret = tq_check_scoring(prepared, codes, s->code_bytes, n, scores, ld);
	if (!ret)
		ret = check_scratch(scratch);
	w = layout(s, scratch);
	for (i = 0; i < nq && !ret; i += queries) {
		queries = least(nq - i, s->tile);
		for (g = 0; g < 2; g++) {
			bytes = tq_query_size(s->part[g].q);
			copy_pieces(queries_of(s, &w, g, queries), bytes,
				    (const uint8_t *)prepared + i * s->query_bytes + s->part[g].query_at, s->query_bytes, bytes,
				    queries);
		}
		for (j = 0; j < n && !ret; j += s->tile)
			ret = score_tile(s, &w, queries, codes, j, least(n - j, s->tile), scores + i * ld + j, ld);
	}
	return ret;
}
