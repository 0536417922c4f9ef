/* SPDX-License-Identifier: Apache-2.0 */

/*
 * .tq files: what is written is read; what is not exactly what the library writes is refused.
 * Hostile files are made from a good one, with every checksum made right again, so that the check
 * under test is the one that refuses.
 */

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core.h"
#include "file.h"
#include "tq/tq.h"

#define DIM 21
#define ROWS 9

static struct tq_context *ctx;
static char dir[64];
static char path[128];

static void setup(void)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};

	ck_assert_int_eq(tq_context_create(&options, &ctx), TQ_OK);
	strcpy(dir, "/tmp/tq-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.tq", dir);
}

static unsigned entries(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void teardown(void)
{
	tq_context_destroy(ctx);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct tq_quantizer *quantizer(const char *text)
{
	struct tq_quantizer_options options = {.struct_size = sizeof(options)};
	struct tq_quantizer *q;
	struct tq_spec spec;
	float centre[DIM];

	for (int i = 0; i < DIM; i++)
		centre[i] = 0.25f * (float)i;
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	options.centre = spec.center == TQ_CENTER_OFF ? NULL : centre;
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, DIM, &options, &q), TQ_OK);
	return q;
}

static unsigned char *encode(const struct tq_quantizer *q)
{
	unsigned char *codes = malloc(ROWS * tq_code_size(q));
	float x[ROWS * DIM];

	for (int i = 0; i < ROWS * DIM; i++)
		x[i] = (float)(i * 37 % 101) - 50.0f;
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
	return codes;
}

/** write_good - a file with a centre, an ids section and an application's own */
static void write_good(const char *text)
{
	static const uint64_t ids[ROWS] = {4, 5, 6};
	struct tq_quantizer *q = quantizer(text);
	struct tq_file_writer *w;
	unsigned char *codes = encode(q);

	ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, codes, 4), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, codes + 4 * tq_code_size(q), ROWS - 4), TQ_OK);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_IDS, 0), TQ_OK);
	ck_assert_int_eq(tq_file_section_write(w, ids, sizeof(ids)), TQ_OK);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_PRIVATE + 7, 0), TQ_OK);
	ck_assert_int_eq(tq_file_section_write(w, "hello", 5), TQ_OK);
	ck_assert_int_eq(tq_file_commit(w), TQ_OK);
	tq_quantizer_destroy(q);
	free(codes);
}

static unsigned char *load(size_t *size)
{
	unsigned char *data;
	struct stat st;
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	data = aligned_alloc(64, (*size + 127) / 64 * 64);
	ck_assert_int_eq(read(fd, data, *size), (ssize_t)*size);
	close(fd);
	return data;
}

/** open_bytes - what tq_file_open() says to these bytes */
static int open_bytes(const void *data, size_t size, uint32_t flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct tq_file *f = NULL;
	int ret;

	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	close(fd);
	ret = tq_file_open(ctx, path, flags, &f);
	if (ret == TQ_OK)
		tq_file_close(f);
	else
		ck_assert_ptr_nonnull(strstr(tq_error_text(), path));
	return ret;
}

/** seal - make the checksums of table and header right */
static void seal(unsigned char *data, size_t size)
{
	struct tq_file_header *h = (void *)data;
	size_t table = h->nsections * sizeof(struct tq_file_entry);

	if (table < size)
		h->table_crc = tq_crc32c(0, data + size - table, table);
	h->header_crc = tq_crc32c(0, h, offsetof(struct tq_file_header, header_crc));
}

static const char *const specs[] = {
	"bits=1",
	"bits=3 center=both scale=f16",
	"bits=8 center=data",
	"bits=4 correction=qjl:rht",
	"bits=1 correction=qjl:gauss",
	"code=sign bits=1 rotation=haar",
	"bits=5 code=uniform seed=18446744073709551615",
};

START_TEST(what_is_written_is_read)
{
	struct tq_file_section section = {.struct_size = sizeof(section)};
	struct tq_quantizer *q = quantizer(specs[_i]), *again;
	unsigned char *codes = encode(q);
	struct tq_file *f;
	size_t n = 0;

	write_good(specs[_i]);
	ck_assert_uint_eq(entries(), 1);
	ck_assert_int_eq(tq_file_open(ctx, path, 0, &f), TQ_OK);
	ck_assert_uint_eq(tq_file_count(f), ROWS);
	ck_assert_uint_eq(tq_file_dim(f), DIM);
	ck_assert_uint_eq(tq_file_code_size(f), tq_code_size(q));
	ck_assert_uint_eq(tq_file_codebook_hash(f), tq_codebook_hash(q));
	ck_assert_uint_eq((uintptr_t)tq_file_codes(f) % 64, 0);
	ck_assert_mem_eq(tq_file_codes(f), codes, ROWS * tq_code_size(q));
	ck_assert_mem_eq(tq_file_spec(f), tq_quantizer_spec(q), sizeof(struct tq_spec));
	ck_assert_int_eq(!tq_file_centre(f), !tq_quantizer_centre(q));
	while (tq_file_section_at(f, n, &section) == TQ_OK)
		n++;
	ck_assert_uint_eq(section.type, TQ_SECTION_PRIVATE + 7);
	ck_assert_mem_eq(section.data, "hello", 5);
	ck_assert_int_eq(tq_file_quantizer(f, NULL, &again), TQ_OK);
	tq_file_close(f);
	free(codes);
	codes = encode(q);
	tq_quantizer_destroy(q);
	q = again;
	again = NULL;
	unsigned char *same = encode(q);

	ck_assert_mem_eq(codes, same, ROWS * tq_code_size(q));
	free(same);
	free(codes);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
	unsigned char *data;
	size_t size;

	write_good("bits=3 center=both");
	data = load(&size);
	for (size_t i = 0; i < size; i++)
		for (unsigned bit = 0; bit < 8; bit += 1 + i % 3) {
			data[i] ^= (unsigned char)(1u << bit);
			ck_assert_msg(open_bytes(data, size, 0) != TQ_OK, "byte %zu bit %u", i,
				      bit);
			data[i] ^= (unsigned char)(1u << bit);
		}
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_OK);
	free(data);
}
END_TEST

START_TEST(every_shorter_and_longer_file_is_refused)
{
	unsigned char *data;
	size_t size;

	write_good("bits=2 center=data");
	data = load(&size);
	data[size] = 0;
	for (size_t n = 0; n < size; n++)
		ck_assert_msg(open_bytes(data, n, 0) != TQ_OK, "length %zu", n);
	ck_assert_int_ne(open_bytes(data, size + 1, 0), TQ_OK);
	free(data);
}
END_TEST

/**
 * Every 32-bit word of header and table gets values that overflow sums and products, checksums made
 * right: nothing is read outside the file, and only what does not matter is accepted.
 */
START_TEST(hostile_numbers_are_refused)
{
	static const uint32_t values[] = {0,  1,	  31,	      63,	  64,
					  65, 0x7fffffff, 0x80000000, 0xffffffc0, 0xffffffff};
	struct tq_file_header *h;
	unsigned char *data;
	size_t size, table;

	write_good("bits=3 center=both");
	data = load(&size);
	h = (void *)data;
	table = size - h->nsections * sizeof(struct tq_file_entry);
	for (size_t at = 8; at < size; at = at + 4 == 56 ? table : at + 4)
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			unsigned char *hostile = aligned_alloc(64, (size + 63) / 64 * 64);
			uint32_t old;
			int ret;

			memcpy(hostile, data, size);
			memcpy(&old, hostile + at, 4);
			memcpy(hostile + at, &values[v], 4);
			if (at < 64 || (at - table) % 32 != 24)
				seal(hostile, size);
			ret = open_bytes(hostile, size, 0);
			/* an application's own type and the ignorable mark are free */
			if (old != values[v] &&
			    !(at >= table && (at - table) % 32 == 0 && old > TQ_SECTION_CODES &&
			      values[v] >= TQ_SECTION_PRIVATE) &&
			    !(at >= table && (at - table) % 32 == 4 && values[v] == 1))
				ck_assert_msg(ret != TQ_OK, "word at %zu: %08x for %08x", at,
					      values[v], old);
			free(hostile);
		}
	free(data);
}
END_TEST

START_TEST(a_later_version_and_another_level_table_are_refused)
{
	struct tq_file_header *h;
	unsigned char *data;
	size_t size;

	write_good("bits=3");
	data = load(&size);
	h = (void *)data;
	h->version = 2;
	seal(data, size);
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_VERSION);
	h->version = 1;
	h->codebook_hash ^= 1;
	seal(data, size);
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_FORMAT);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "level table"));
	free(data);
}
END_TEST

START_TEST(unknown_sections_are_refused_unless_ignorable)
{
	struct tq_file_entry *last;
	unsigned char *data;
	size_t size;

	write_good("bits=3");
	data = load(&size);
	last = (void *)(data + size - sizeof(*last));
	last->type = 99;
	seal(data, size);
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_UNSUPPORTED);
	last->flags = TQ_SECTION_IGNORABLE;
	seal(data, size);
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_OK);
	last->type = TQ_SECTION_CODES;
	seal(data, size);
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_FORMAT);
	free(data);
}
END_TEST

START_TEST(deferred_rows_are_checked_by_verify)
{
	unsigned char *data;
	struct tq_file *f;
	size_t size;

	write_good("bits=3");
	data = load(&size);
	ck_assert_int_eq(open_bytes(data, size, TQ_FILE_DEFER), TQ_OK);
	ck_assert_int_eq(tq_file_open(ctx, path, TQ_FILE_DEFER, &f), TQ_OK);
	ck_assert_int_eq(tq_file_verify(f), TQ_OK);
	size_t codes_at =
		(size_t)((const unsigned char *)tq_file_codes(f) - (const unsigned char *)f->map);
	tq_file_close(f);
	data[codes_at + 5] ^= 4;
	ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_CHECKSUM);
	ck_assert_int_eq(open_bytes(data, size, TQ_FILE_DEFER), TQ_OK);
	ck_assert_int_eq(tq_file_open(ctx, path, TQ_FILE_DEFER, &f), TQ_OK);
	ck_assert_int_eq(tq_file_verify(f), TQ_ERR_CHECKSUM);
	tq_file_close(f);
	free(data);
}
END_TEST

START_TEST(abort_and_misuse_leave_what_was_there)
{
	struct tq_quantizer *q = quantizer("bits=2");
	unsigned char *codes = encode(q), *before, *after;
	struct tq_file_writer *w;
	size_t size, same;

	tq_file_abort(NULL);
	ck_assert_int_eq(tq_file_commit(NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, codes, ROWS), TQ_OK);
	ck_assert_uint_eq(entries(), 1);
	tq_file_abort(w);
	ck_assert_uint_eq(entries(), 0);
	write_good("bits=2");
	before = load(&size);
	ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, NULL, 1), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_append(w, codes, SIZE_MAX / 2), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_write(w, codes, 1), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_CODES, 0), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_KV, 2), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_REFINE + 1, 0), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_PRIVATE - 1, 0), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, 0, 0), TQ_ERR_ARG);
	ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_KV, 0), TQ_OK);
	ck_assert_int_eq(tq_file_append(w, codes, 1), TQ_ERR_ARG);
	tq_file_abort(w);
	after = load(&same);
	ck_assert_uint_eq(size, same);
	ck_assert_mem_eq(before, after, size);
	ck_assert_uint_eq(entries(), 1);
	free(before);
	free(after);
	free(codes);
	tq_quantizer_destroy(q);
}
END_TEST

/* Neither written nor read: one that is cut short, one too many, a few bytes over. */
START_TEST(ids_that_are_not_one_for_each_row_are_refused)
{
	static const size_t bytes[] = {0, 8 * ROWS - 8, 8 * ROWS - 1, 8 * ROWS + 3, 8 * ROWS + 8};
	static const unsigned char ids[8 * ROWS + 8];
	struct tq_quantizer *q = quantizer("bits=2");
	unsigned char *codes = encode(q), *data;
	struct tq_file_entry *e;
	struct tq_file_writer *w;
	size_t size, i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
		ck_assert_int_eq(tq_file_append(w, codes, ROWS), TQ_OK);
		ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_IDS, 0), TQ_OK);
		ck_assert_int_eq(tq_file_section_write(w, ids, bytes[i]), TQ_OK);
		ck_assert_int_eq(tq_file_commit(w), TQ_ERR_ARG);
		ck_assert_uint_eq(entries(), 0);
		/* the same bytes as an application's own section, which then turns into ids */
		ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
		ck_assert_int_eq(tq_file_append(w, codes, ROWS), TQ_OK);
		ck_assert_int_eq(tq_file_section_begin(w, TQ_SECTION_PRIVATE, 0), TQ_OK);
		ck_assert_int_eq(tq_file_section_write(w, ids, bytes[i]), TQ_OK);
		ck_assert_int_eq(tq_file_commit(w), TQ_OK);
		data = load(&size);
		e = (void *)(data + size - sizeof(*e));
		e->type = TQ_SECTION_IDS;
		seal(data, size);
		ck_assert_int_eq(open_bytes(data, size, 0), TQ_ERR_FORMAT);
		ck_assert_ptr_nonnull(strstr(tq_error_text(), "ids and rows differ"));
		unlink(path);
		free(data);
	}
	free(codes);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(an_open_file_outlives_its_replacement)
{
	unsigned char first[ROWS];
	struct tq_file *f;

	write_good("bits=2");
	ck_assert_int_eq(tq_file_open(ctx, path, 0, &f), TQ_OK);
	memcpy(first, tq_file_codes(f), sizeof(first));
	write_good("bits=7");
	ck_assert_mem_eq(first, tq_file_codes(f), sizeof(first));
	ck_assert_int_eq(tq_file_verify(f), TQ_OK);
	tq_file_close(f);
}
END_TEST

START_TEST(more_than_the_table_holds_is_full)
{
	struct tq_quantizer *q = quantizer("bits=2");
	struct tq_file_writer *w;
	struct tq_file *f;
	int ret = TQ_OK;
	unsigned n = 2;

	ck_assert_int_eq(tq_file_create(ctx, path, q, &w), TQ_OK);
	while ((ret = tq_file_section_begin(w, TQ_SECTION_PRIVATE, 0)) == TQ_OK)
		n++;
	ck_assert_int_eq(ret, TQ_ERR_FULL);
	ck_assert_uint_eq(n, TQ_FILE_MAX_SECTIONS);
	ck_assert_int_eq(tq_file_commit(w), TQ_OK);
	ck_assert_int_eq(tq_file_open(ctx, path, 0, &f), TQ_OK);
	ck_assert_uint_eq(tq_file_count(f), 0);
	tq_file_close(f);
	tq_quantizer_destroy(q);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file");
	TCase *tc = tcase_create("file");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, what_is_written_is_read, 0, sizeof(specs) / sizeof(specs[0]));
	tcase_add_test(tc, every_flipped_bit_is_refused);
	tcase_add_test(tc, every_shorter_and_longer_file_is_refused);
	tcase_add_test(tc, hostile_numbers_are_refused);
	tcase_add_test(tc, a_later_version_and_another_level_table_are_refused);
	tcase_add_test(tc, unknown_sections_are_refused_unless_ignorable);
	tcase_add_test(tc, deferred_rows_are_checked_by_verify);
	tcase_add_test(tc, abort_and_misuse_leave_what_was_there);
	tcase_add_test(tc, ids_that_are_not_one_for_each_row_are_refused);
	tcase_add_test(tc, an_open_file_outlives_its_replacement);
	tcase_add_test(tc, more_than_the_table_holds_is_full);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
