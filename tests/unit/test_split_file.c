/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split rows in .tq files: what is written is read; a section split that is not exactly so is refused. Hostile files
 * are made from a good one, with every checksum made right again.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core.h"
#include "file.h"
#include "tq/tq.h"

#define DIM 21
#define N 5
#define ROWS 9

static struct tq_context *ctx;
static char path[64];
static unsigned char codes[ROWS * DIM * 4], scratch[1 << 20] __attribute__((aligned(64)));
static float x[ROWS * DIM], centre[DIM];

static void setup(void)
{
	struct tq_options options = {.struct_size = sizeof(options), .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	int i;

	for (i = 0; i < ROWS * DIM; i++)
		x[i] = (float)(i * 37 % 101) - 50.0f;
	for (i = 0; i < DIM; i++)
		centre[i] = (float)i;
	ck_assert_int_eq(tq_context_create(&options, &ctx), TQ_OK);
	snprintf(path, sizeof(path), "/tmp/tq-split-%d.tq", (int)getpid());
}

static void teardown(void)
{
	tq_context_destroy(ctx);
	unlink(path);
}

static struct tq_split *make(const char *first, const char *rest)
{
	static const uint32_t channels[N] = {20, 3, 7, 0, 11};
	struct tq_quantizer_options o = {.struct_size = sizeof(o)};
	struct tq_spec spec[2];
	struct tq_split *s;

	tq_spec_init(&spec[0]);
	tq_spec_init(&spec[1]);
	ck_assert_int_eq(tq_spec_parse(&spec[0], first), TQ_OK);
	ck_assert_int_eq(tq_spec_parse(&spec[1], rest), TQ_OK);
	o.centre = spec[0].center || spec[1].center ? centre : NULL;
	ck_assert_msg(tq_split_create(ctx, spec, DIM, channels, N, &o, &s) == TQ_OK, "%s", tq_error_text());
	ck_assert_uint_le(tq_split_scratch_size(s), sizeof(scratch));
	ck_assert_int_eq(tq_split_encode(s, x, TQ_F32, DIM, ROWS, codes, scratch), TQ_OK);
	return s;
}

static void write_file(const struct tq_split *s)
{
	struct tq_file_writer *w;

	ck_assert_msg(tq_split_file_create(ctx, path, s, &w) == TQ_OK, "%s", tq_error_text());
	ck_assert_int_eq(tq_file_append(w, codes, 4), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, codes + 4 * tq_split_code_size(s), ROWS - 4), TQ_OK);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_SPLIT, 0), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_PRIVATE, 0), TQ_OK);
	ck_assert_int_eq(tq_file_commit(w), TQ_OK);
}

static const char *const pairs[][2] = {
	{"bits=3", "bits=2"},
	{"bits=4 center=both scale=f16 seed=5", "bits=1 seed=6"},
	{"bits=2 correction=qjl:rht", "bits=3 code=uniform center=data"},
};

START_TEST(what_is_written_is_read)
{
	struct tq_split *s = make(pairs[_i][0], pairs[_i][1]), *again;
	unsigned char same[sizeof(codes)];
	struct tq_quantizer *q;
	struct tq_file *f;
	uint32_t g;

	write_file(s);
	ck_assert_msg(tq_file_open(ctx, path, 0, &f) == TQ_OK, "%s", tq_error_text());
	ck_assert_uint_eq(tq_file_dim(f), DIM);
	ck_assert_uint_eq(tq_file_count(f), ROWS);
	ck_assert_uint_eq(tq_file_code_size(f), tq_split_code_size(s));
	ck_assert_mem_eq(tq_file_codes(f), codes, ROWS * tq_split_code_size(s));
	for (g = 0; g < 2; g++)
		ck_assert_mem_eq(tq_file_split_spec(f, g), tq_quantizer_spec(tq_split_group(s, g)), sizeof(struct tq_spec));
	ck_assert_ptr_null(tq_file_split_spec(f, 2));
	ck_assert_int_eq(tq_file_quantizer(f, NULL, &q), TQ_ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "tq_file_split"));
	ck_assert_msg(tq_file_split(f, NULL, &again) == TQ_OK, "%s", tq_error_text());
	tq_file_close(f);
	ck_assert_mem_eq(tq_split_channels(again, 0), tq_split_channels(s, 0), N * sizeof(uint32_t));
	ck_assert_int_eq(tq_split_encode(again, x, TQ_F32, DIM, ROWS, same, scratch), TQ_OK);
	ck_assert_mem_eq(same, codes, ROWS * tq_split_code_size(s));
	tq_split_destroy(again);
	tq_split_destroy(s);
}
END_TEST

START_TEST(rows_of_one_codec_are_no_split)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .centre = centre};
	struct tq_file_writer *w;
	struct tq_quantizer *q;
	struct tq_split *s;
	struct tq_spec spec;
	struct tq_file *f;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, DIM, NULL, &q), TQ_OK);
	ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
	ck_assert_int_eq(tq_file_commit(w), TQ_OK);
	tq_quantizer_destroy(q);
	ck_assert_int_eq(tq_file_open(ctx, path, 0, &f), TQ_OK);
	ck_assert_ptr_null(tq_file_split_spec(f, 0));
	ck_assert_int_eq(tq_file_split(f, NULL, &s), TQ_ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), path));
	ck_assert_int_eq(tq_file_split(NULL, NULL, &s), TQ_ERR_ARG);
	tq_file_close(f);
	s = make("bits=3", "bits=2 center=data");
	write_file(s);
	tq_split_destroy(s);
	ck_assert_int_eq(tq_split_file_create(ctx, path, NULL, &w), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_open(ctx, path, 0, &f), TQ_OK);
	ck_assert_int_eq(tq_file_split(f, &o, &s), TQ_ERR_ARG);
	o.centre = NULL;
	o.driver = "no-such";
	ck_assert_int_eq(tq_file_split(f, &o, &s), TQ_ERR_NO_DRIVER);
	tq_file_close(f);
}
END_TEST

/* ---- hostile files ---- */

static unsigned char *load(size_t *size)
{
	FILE *in = fopen(path, "rb");
	unsigned char *data = aligned_alloc(64, 8192);

	*size = fread(data, 1, 8192, in);
	fclose(in);
	return data;
}

static struct tq_file_entry *entry(unsigned char *data, size_t size, uint32_t type)
{
	struct tq_file_header *h = (void *)data;
	struct tq_file_entry *e = (void *)(data + size - h->nsections * sizeof(*e));

	while (e->type != type)
		e++;
	return e;
}

/* All checksums made right; what tq_file_open() says. */
static int open_sealed(unsigned char *data, size_t size)
{
	struct tq_file_header *h = (void *)data;
	struct tq_file_entry *e = (void *)(data + size - h->nsections * sizeof(*e));
	struct tq_file *f;
	uint32_t i;
	int ret;

	for (i = 0; i < h->nsections; i++)
		if (e[i].at + e[i].bytes <= size)
			e[i].crc = tq_crc32c(0, data + e[i].at, e[i].bytes);
	h->table_crc = tq_crc32c(0, e, h->nsections * sizeof(*e));
	h->header_crc = tq_crc32c(0, h, offsetof(struct tq_file_header, header_crc));
	ret = tq_file_open_memory(ctx, data, size, 0, &f);
	tq_file_close(f);
	return ret;
}

/* One byte of a good file's section split, or one word of its entry, and what is said of it. */
START_TEST(wrong_splits_are_refused)
{
	static const struct {
		uint32_t at;
		uint32_t value;
		const char *text;
	} cases[] = {
		{0, 0, "no list of 1 to 20 channels"},
		{0, DIM, "no list of 1 to 20 channels"},
		{0, 4, ": "}, /* the last channel as text */
		{0, 20, "do not ascend"}, /* text again */
		{4, 1, "another level table"},
		{8, 3, "do not ascend"},
		{12, 0, "do not ascend"},
		{24, DIM, "do not ascend below 21"},
		{28, 0, "the spec holds a zero byte"},
		{28, 'X', "Xotation"},
	};
	struct tq_split *s = make("bits=3", "bits=2");
	unsigned char *data;
	uint32_t *word;
	size_t size;

	write_file(s);
	tq_split_destroy(s);
	data = load(&size);
	ck_assert_msg(open_sealed(data, size) == TQ_OK, "%s", tq_error_text());
	word = (void *)(data + entry(data, size, TQ_SECTION_SPLIT)->at + cases[_i].at);
	if (cases[_i].at == 28)
		*(unsigned char *)word = (unsigned char)cases[_i].value;
	else
		*word = cases[_i].value;
	ck_assert_int_ne(open_sealed(data, size), TQ_OK);
	ck_assert_msg(strstr(tq_error_text(), cases[_i].text) != NULL, "%s lacks %s", tq_error_text(), cases[_i].text);
	free(data);
}
END_TEST

START_TEST(wrong_sections_are_refused)
{
	struct tq_split *s = make("bits=3", "bits=2");
	struct tq_file_entry *e;
	unsigned char *data;
	size_t size;

	write_file(s);
	tq_split_destroy(s);
	data = load(&size);
	e = entry(data, size, TQ_SECTION_PRIVATE);
	e->type = TQ_SECTION_INDEX;
	ck_assert_int_eq(open_sealed(data, size), TQ_ERR_FORMAT);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "index of split rows"));
	e->type = TQ_SECTION_SPLIT;
	ck_assert_int_eq(open_sealed(data, size), TQ_ERR_FORMAT);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "a second one of type split"));
	e->type = TQ_SECTION_PRIVATE;
	ck_assert_int_eq(open_sealed(data, size), TQ_OK);
	/* who takes the split for something of his own finds rows of another size */
	e = entry(data, size, TQ_SECTION_SPLIT);
	e->type = TQ_SECTION_PRIVATE + 1;
	ck_assert_int_eq(open_sealed(data, size), TQ_ERR_FORMAT);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "at byte 44"));
	e->type = TQ_SECTION_SPLIT;
	e->bytes = 4; /* the bytes behind have to be zero */
	memset(data + e->at + 4, 0, 60);
	ck_assert_int_eq(open_sealed(data, size), TQ_ERR_FORMAT);
	free(data);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("split file");
	SRunner *runner = srunner_create(suite);
	TCase *c = tcase_create("split file");
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, what_is_written_is_read, 0, 3);
	tcase_add_test(c, rows_of_one_codec_are_no_split);
	tcase_add_loop_test(c, wrong_splits_are_refused, 0, 10);
	tcase_add_test(c, wrong_sections_are_refused);
	suite_add_tcase(suite, c);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
