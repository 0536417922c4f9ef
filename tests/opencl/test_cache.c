/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL plugin's cache of binaries: what was stored comes back; anything else on disk, by accident,
 * by another or half written, is as good as absent.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glob.h>
#include "cache.h"

#define KEY "platform\ndevice\ndriver 1\n"

static char top[64], dir[128];

static void setup(void)
{
	strcpy(top, "/tmp/tq-opencl-cache-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/a/b", top);
}

static void teardown(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

static size_t files_of(const char *pattern, char *first)
{
	char path[256];
	glob_t found;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, pattern);
	if (glob(path, 0, NULL, &found))
		return 0;
	n = found.gl_pathc;
	if (first)
		strcpy(first, found.gl_pathv[0]);
	globfree(&found);
	return n;
}

static int has(const char *key, const char *want)
{
	size_t size = 0;
	char *got = tqo_cache_load(dir, key, &size);
	int ok = got && size == strlen(want) && !memcmp(got, want, size);

	ck_assert(ok || !got);
	free(got);
	return ok;
}

static void rewrite(const char *path, const char *bytes, size_t size)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

static size_t read_file(const char *path, char *bytes, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(bytes, 1, room, f);
	fclose(f);
	return n;
}

START_TEST(what_was_stored_comes_back)
{
	ck_assert(!has(KEY, "binary"));
	ck_assert_int_eq(tqo_cache_store(dir, KEY, "binary", 6), 0);
	ck_assert(has(KEY, "binary"));
	ck_assert_int_eq(tqo_cache_store(dir, KEY, "newer", 5), 0);
	ck_assert(has(KEY, "newer"));
	ck_assert_int_eq(tqo_cache_store(dir, KEY "2", "other", 5), 0);
	ck_assert(has(KEY, "newer") && has(KEY "2", "other"));
	ck_assert_uint_eq(files_of("*", NULL), 2);
}
END_TEST

START_TEST(every_damaged_byte_is_seen)
{
	char path[256], bytes[256];
	size_t n, i;

	ck_assert_int_eq(tqo_cache_store(dir, KEY, "binary", 6), 0);
	ck_assert_uint_eq(files_of("*", path), 1);
	n = read_file(path, bytes, sizeof(bytes));
	ck_assert_uint_eq(n, 32 + strlen(KEY) + 6);
	for (i = 0; i < n; i++) {
		bytes[i] ^= 0x10;
		rewrite(path, bytes, n);
		ck_assert_msg(!has(KEY, "binary"), "byte %zu", i);
		bytes[i] ^= 0x10;
	}
	for (i = 0; i < n; i++) {
		rewrite(path, bytes, i);
		ck_assert_msg(!has(KEY, "binary"), "cut to %zu", i);
	}
	bytes[n] = 0;
	rewrite(path, bytes, n + 1);
	ck_assert(!has(KEY, "binary"));
	rewrite(path, bytes, n);
	ck_assert(has(KEY, "binary"));
}
END_TEST

START_TEST(another_keys_file_is_refused)
{
	char mine[256], theirs[256], command[560];

	ck_assert_int_eq(tqo_cache_store(dir, KEY, "mine", 4), 0);
	ck_assert_uint_eq(files_of("*", mine), 1);
	ck_assert_int_eq(unlink(mine), 0);
	ck_assert_int_eq(tqo_cache_store(dir, KEY "of another driver", "theirs", 6), 0);
	ck_assert_uint_eq(files_of("*", theirs), 1);
	snprintf(command, sizeof(command), "cp %s %s", theirs, mine);
	ck_assert_int_eq(system(command), 0);
	ck_assert(!has(KEY, "theirs"));
	ck_assert_int_eq(tqo_cache_store(dir, KEY, "mine", 4), 0);
	ck_assert(has(KEY, "mine"));
}
END_TEST

START_TEST(what_others_may_write_is_refused)
{
	char path[256], aside[300];

	ck_assert_int_eq(tqo_cache_store(dir, KEY, "binary", 6), 0);
	ck_assert_uint_eq(files_of("*", path), 1);
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert(!has(KEY, "binary"));
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert(has(KEY, "binary"));
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert(!has(KEY, "binary"));
	ck_assert_int_ne(tqo_cache_store(dir, KEY, "binary", 6), 0);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 1, 1), 0);
		ck_assert(!has(KEY, "binary"));
		ck_assert_int_eq(chown(path, 0, 0), 0);
	}
	snprintf(aside, sizeof(aside), "%s.aside", path);
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert_int_eq(symlink(aside, path), 0);
	ck_assert(!has(KEY, "binary"));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!has(KEY, "binary"));
}
END_TEST

START_TEST(a_place_that_cannot_be_is_an_error)
{
	char file[160];

	snprintf(file, sizeof(file), "%s/file", top);
	rewrite(file, "x", 1);
	snprintf(dir, sizeof(dir), "%s/file/below", top);
	ck_assert_int_ne(tqo_cache_store(dir, KEY, "binary", 6), 0);
	ck_assert(!has(KEY, "binary"));
}
END_TEST

#define BINARY_BYTES 40000
#define WRITERS 4
#define ROUNDS 60

/* Writers each store binaries of one letter; a reader sees a whole one of somebody's, or none. */
START_TEST(writers_at_once_leave_whole_files)
{
	static char binary[BINARY_BYTES];
	pid_t pid[WRITERS];
	int w, i, status, seen = 0;
	size_t size, k;
	char *got;

	for (w = 0; w < WRITERS; w++) {
		pid[w] = fork();
		ck_assert_int_ge(pid[w], 0);
		if (pid[w])
			continue;
		memset(binary, 'a' + w, sizeof(binary));
		for (i = 0; i < ROUNDS; i++)
			if (tqo_cache_store(dir, KEY, binary, sizeof(binary) - (size_t)(100 * w)))
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < 1000000 && (seen < ROUNDS || i < 4 * ROUNDS); i++) {
		got = tqo_cache_load(dir, KEY, &size);
		if (!got)
			continue;
		seen++;
		ck_assert_uint_eq(size, (size_t)(BINARY_BYTES - 100 * (got[0] - 'a')));
		for (k = 0; k < size && got[k] == got[0]; k++)
			;
		ck_assert_uint_eq(k, size);
		free(got);
	}
	for (w = 0; w < WRITERS; w++) {
		ck_assert_int_eq(waitpid(pid[w], &status, 0), pid[w]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_gt(seen, 0);
	ck_assert_uint_eq(files_of("*", NULL), 1);
	got = tqo_cache_load(dir, KEY, &size);
	ck_assert_ptr_nonnull(got);
	free(got);
}
END_TEST

START_TEST(the_place_follows_setting_and_environment)
{
	char got[64];

	ck_assert_int_eq(setenv("XDG_CACHE_HOME", "/x", 1), 0);
	ck_assert_int_eq(setenv("HOME", "/home/h", 1), 0);
	ck_assert_int_eq(tqo_cache_dir(NULL, got, sizeof(got)), 0);
	ck_assert_str_eq(got, "/x/tq/opencl");
	ck_assert_int_eq(tqo_cache_dir("auto", got, sizeof(got)), 0);
	ck_assert_str_eq(got, "/x/tq/opencl");
	ck_assert_int_eq(tqo_cache_dir("/own", got, sizeof(got)), 0);
	ck_assert_str_eq(got, "/own");
	ck_assert_int_ne(tqo_cache_dir("off", got, sizeof(got)), 0);
	ck_assert_int_ne(tqo_cache_dir("relative", got, sizeof(got)), 0);
	ck_assert_int_ne(tqo_cache_dir("/too/long", got, 8), 0);
	ck_assert_int_eq(setenv("XDG_CACHE_HOME", "relative", 1), 0);
	ck_assert_int_eq(tqo_cache_dir(NULL, got, sizeof(got)), 0);
	ck_assert_str_eq(got, "/home/h/.cache/tq/opencl");
	ck_assert_int_eq(unsetenv("HOME"), 0);
	ck_assert_int_ne(tqo_cache_dir(NULL, got, sizeof(got)), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("opencl cache");
	TCase *tc = tcase_create("cache");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_was_stored_comes_back);
	tcase_add_test(tc, every_damaged_byte_is_seen);
	tcase_add_test(tc, another_keys_file_is_refused);
	tcase_add_test(tc, what_others_may_write_is_refused);
	tcase_add_test(tc, a_place_that_cannot_be_is_an_error);
	tcase_add_test(tc, writers_at_once_leave_whole_files);
	tcase_add_test(tc, the_place_follows_setting_and_environment);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
