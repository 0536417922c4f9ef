/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library against tests/data/golden.bin, bit for bit, through the public API. The file comes from
 * the numpy reference (make_golden.py describes its layout). One loop iteration is one dimension; every
 * case runs with scalar pinned and with the drivers that the library chooses by itself.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"

#define MAX_SETS 16

static unsigned char *blob;
static size_t blob_size;
static struct tq_context *ctx;

/** What the file holds for one dimension. */
struct set {
	uint32_t dim, rows, queries;
	const void *x[3];
	const float *centre, *q;
};

/** One spec with its expected results. */
struct expected {
	uint32_t set, dtype, rows, row_bytes, hash, pairs;
	char spec[TQ_SPEC_STRING_MAX];
	const unsigned char *codes;
	const uint32_t *decoded, *narrow;
	const float *scores, *pair;
};

struct reader {
	size_t at;
};

static const void *take(struct reader *r, size_t size)
{
	const void *p = blob + r->at;

	ck_assert_uint_le(size, blob_size - r->at);
	r->at += (size + 3) & ~(size_t)3;
	return p;
}

static uint32_t take_u32(struct reader *r)
{
	uint32_t v;

	memcpy(&v, take(r, 4), 4);
	return v;
}

static void read_set(struct reader *r, struct set *s)
{
	size_t n;
	int t;

	s->dim = take_u32(r);
	s->rows = take_u32(r);
	s->queries = take_u32(r);
	n = (size_t)s->dim * s->rows;
	for (t = 0; t < 3; t++)
		s->x[t] = take(r, n * tq_dtype_size(t));
	s->centre = take(r, 4 * s->dim);
	s->q = take(r, (size_t)4 * s->dim * s->queries);
}

static void read_case(struct reader *r, const struct set *sets, struct expected *c)
{
	uint32_t length;

	c->set = take_u32(r);
	c->dtype = take_u32(r);
	c->rows = take_u32(r);
	c->row_bytes = take_u32(r);
	c->hash = take_u32(r);
	c->pairs = take_u32(r);
	length = take_u32(r);
	ck_assert_uint_lt(length, sizeof(c->spec));
	memcpy(c->spec, take(r, length), length);
	c->spec[length] = 0;
	c->codes = take(r, (size_t)c->rows * c->row_bytes);
	c->decoded = take(r, (size_t)4 * c->rows);
	c->narrow = take(r, 8);
	c->scores = take(r, (size_t)4 * c->rows * sets[c->set].queries);
	c->pair = take(r, (size_t)4 * c->rows * c->pairs);
}

/* Bit by bit from the polynomial: shares nothing with the library's table. */
static uint32_t crc32c(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint32_t crc = 0xffffffffu;
	int i;

	while (size--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void check_codes(struct tq_quantizer *q, const struct set *s, const struct expected *c,
			unsigned char *codes)
{
	size_t i, j;

	ck_assert_msg(tq_encode_as(q, s->x[c->dtype], (int)c->dtype, s->dim, c->rows, codes) == 0,
		      "%s d=%u: %s", c->spec, s->dim, tq_error_text());
	for (i = 0; i < c->rows; i++)
		for (j = 0; j < c->row_bytes; j++)
			ck_assert_msg(codes[i * c->row_bytes + j] == c->codes[i * c->row_bytes + j],
				      "%s d=%u: row %zu byte %zu of %u is %02x, not %02x", c->spec,
				      s->dim, i, j, c->row_bytes, codes[i * c->row_bytes + j],
				      c->codes[i * c->row_bytes + j]);
}

static void check_decoded(struct tq_quantizer *q, const struct set *s, const struct expected *c,
			  void *x)
{
	size_t i, n = (size_t)c->rows * s->dim;
	int t;

	ck_assert_int_eq(tq_decode(q, c->codes, c->rows, x, s->dim), TQ_OK);
	for (i = 0; i < c->rows; i++)
		ck_assert_msg(crc32c((float *)x + i * s->dim, 4 * s->dim) == c->decoded[i],
			      "%s d=%u: decoded row %zu differs (first value %a)", c->spec, s->dim,
			      i, (double)((float *)x)[i * s->dim]);
	for (t = TQ_F16; t <= TQ_BF16; t++) {
		ck_assert_int_eq(tq_decode_as(q, c->codes, c->rows, x, t, s->dim), TQ_OK);
		if (n & 1)
			memset((char *)x + 2 * n, 0, 2);
		ck_assert_msg(crc32c(x, (2 * n + 3) & ~(size_t)3) == c->narrow[t - 1],
			      "%s d=%u: rows decoded to 16-bit type %d differ", c->spec, s->dim, t);
	}
}

static void check_floats(const struct set *s, const struct expected *c, const char *what,
			 const float *got, const float *want, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		ck_assert_msg(memcmp(got + i, want + i, 4) == 0,
			      "%s d=%u: %s %zu of row %zu is %a, not %a", c->spec, s->dim, what,
			      i / c->rows, i % c->rows, (double)got[i], (double)want[i]);
}

static void check_scores(struct tq_quantizer *q, const struct set *s, const struct expected *c,
			 float *out)
{
	uint32_t ids[64], i;
	void *prepared;

	prepared = aligned_alloc(64, (s->queries * tq_query_size(q) + 63) & ~(size_t)63);
	ck_assert_ptr_nonnull(prepared);
	ck_assert_int_eq(tq_query_prepare(q, s->q, s->dim, s->queries, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, prepared, s->queries, c->codes, c->rows, out, c->rows), TQ_OK);
	check_floats(s, c, "score of query", out, c->scores, (size_t)s->queries * c->rows);
	for (i = 0; i < c->rows; i++)
		ids[i] = i;
	ck_assert_int_eq(tq_score_list(q, prepared, c->codes, ids, c->rows, out), TQ_OK);
	check_floats(s, c, "listed score of query", out, c->scores, c->rows);
	free(prepared);
	if (c->pairs == 0)
		return;
	ck_assert_int_eq(tq_score_pairs(q, c->codes, c->pairs, c->codes, c->rows, out, c->rows),
			 TQ_OK);
	check_floats(s, c, "pair score of row", out, c->pair, (size_t)c->pairs * c->rows);
}

static void check_case(const struct set *s, const struct expected *c, const char *driver)
{
	struct tq_quantizer_options opt = { .struct_size = sizeof(opt), .driver = driver };
	struct tq_quantizer *q;
	struct tq_spec spec;
	unsigned char *codes;
	float *out;

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, c->spec) == 0, "%s", tq_error_text());
	if (spec.center != TQ_CENTER_OFF)
		opt.centre = s->centre;
	ck_assert_msg(tq_quantizer_create(ctx, &spec, s->dim, &opt, &q) == 0, "%s d=%u: %s",
		      c->spec, s->dim, tq_error_text());
	ck_assert_msg(tq_codebook_hash(q) == c->hash, "%s d=%u: other levels", c->spec, s->dim);
	ck_assert_msg(tq_code_size(q) == c->row_bytes, "%s d=%u: %zu bytes per row, not %u",
		      c->spec, s->dim, tq_code_size(q), c->row_bytes);
	codes = malloc((size_t)c->rows * c->row_bytes);
	out = malloc(((size_t)c->rows * s->dim + 64 * (size_t)c->rows) * sizeof(float));
	ck_assert(codes && out);
	check_codes(q, s, c, codes);
	check_decoded(q, s, c, out);
	check_scores(q, s, c, out);
	free(out);
	free(codes);
	tq_quantizer_destroy(q);
}

static void check_dimension(int index, const char *driver)
{
	struct reader r = { .at = 8 };
	struct set sets[MAX_SETS];
	struct expected c;
	uint32_t i, nsets, ncases, done = 0;

	ck_assert_int_eq(memcmp(blob, "TQGOLD1", 8), 0);
	nsets = take_u32(&r);
	ncases = take_u32(&r);
	ck_assert_uint_le(nsets, MAX_SETS);
	for (i = 0; i < nsets; i++)
		read_set(&r, &sets[i]);
	for (i = 0; i < ncases; i++) {
		read_case(&r, sets, &c);
		if (c.set != (uint32_t)index)
			continue;
		check_case(&sets[index], &c, driver);
		done++;
	}
	ck_assert_uint_eq(r.at, blob_size);
	ck_assert_uint_gt(done, 0);
}

START_TEST(scalar_gives_the_bytes_of_the_reference)
{
	check_dimension(_i, "scalar");
}
END_TEST

START_TEST(chosen_drivers_give_the_bytes_of_the_reference)
{
	check_dimension(_i, NULL);
}
END_TEST

static int load_golden(void)
{
	const char *root = getenv("TQ_TEST_SOURCE_ROOT");
	char path[4096];
	long size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/data/golden.bin", root ? root : ".");
	f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	blob_size = size > 16 ? (size_t)size : 0;
	blob = malloc(blob_size + 1);
	if (!blob || blob_size == 0 || fread(blob, 1, blob_size, f) != blob_size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		fclose(f);
		return -1;
	}
	fclose(f);
	return 0;
}

int main(void)
{
	Suite *suite = suite_create("golden");
	TCase *tc = tcase_create("vectors");
	SRunner *runner;
	uint32_t nsets;
	int failed;

	if (load_golden())
		return EXIT_FAILURE;
	memcpy(&nsets, blob + 8, 4);
	if (tq_context_create(NULL, &ctx)) {
		fprintf(stderr, "%s\n", tq_error_text());
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, scalar_gives_the_bytes_of_the_reference, 0, (int)nsets);
	tcase_add_loop_test(tc, chosen_drivers_give_the_bytes_of_the_reference, 0, (int)nsets);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	tq_context_destroy(ctx);
	free(blob);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
