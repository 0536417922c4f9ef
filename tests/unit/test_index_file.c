/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved indexes and their logs: what was saved is what is opened, in memory or mapped; wrong bytes are
 * refused or at least harmless; what a log was told is there after any crash.
 *
 * TQ_TEST_KILLS=200 build/tests/unit/test_index_file kills a writer at 200 moments in place of a few.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "index_world.h"

#define DIM 24
#define ROWS 300
#define K 40

static char dir[64], path[128], log_path[128];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "index-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/i.tq", dir);
	snprintf(log_path, sizeof(log_path), "%s/i.tq.log", dir);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static unsigned char *load(const char *name, size_t *size)
{
	unsigned char *data = malloc(1 << 20);
	FILE *f = fopen(name, "rb");

	ck_assert(data && f);
	*size = fread(data, 1, 1 << 20, f);
	fclose(f);
	return data;
}

static void store(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(name, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

static uint64_t count_of(const struct tq_index *ix)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};

	OK(tq_index_describe(ix, &info));
	return info.count;
}

static int has(const struct tq_index *ix, int64_t id)
{
	float row[DIM];

	return tq_index_reconstruct(ix, &id, 1, row, DIM) == TQ_OK;
}

/* Two indexes answer alike, to the bit. */
static void check_same(const struct tq_index *a, const struct tq_index *b, const float *x)
{
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = 3};
	int64_t ids[2][10 * K];
	float scores[2][10 * K];

	ck_assert_uint_eq(count_of(a), count_of(b));
	OK(tq_index_search(a, x, DIM, 10, K, &o, ids[0], scores[0]));
	OK(tq_index_search(b, x, DIM, 10, K, &o, ids[1], scores[1]));
	ck_assert_mem_eq(ids[0], ids[1], sizeof(ids[0]));
	ck_assert_mem_eq(scores[0], scores[1], sizeof(scores[0]));
}

static struct tq_index *filled(struct tq_context *ctx, const char *spec, uint32_t metric,
			       uint32_t nlist, const float *x)
{
	struct tq_index *ix = index_of(ctx, spec, DIM, metric, nlist);
	int64_t ids[ROWS];
	int i;

	for (i = 0; i < ROWS; i++)
		ids[i] = (int64_t)(i * 7 % ROWS) * 1000;
	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, ROWS, ids));
	OK(tq_index_remove(ix, ids + 10, 5));
	OK(tq_index_update(ix, x, DIM, 3, ids + 20));
	return ix;
}

START_TEST(what_is_saved_is_opened)
{
	static const char *const specs[] = {"preset=search bits=3", "bits=2 scale=bf16",
					    "preset=search bits=1"};
	uint32_t flags = _i & 1 ? TQ_INDEX_MAP : 0, nlist = _i & 2 ? 5 : 0, metric = (uint32_t)_i / 4;
	struct tq_context *ctx = context(NULL, 1);
	float *x = draw(ROWS, DIM);
	struct tq_index *ix = filled(ctx, specs[metric], metric, nlist, x), *again, *more;
	unsigned char *first, *second;
	int64_t id = 5;
	size_t size, same;

	OK(tq_index_save(ix, path));
	OK(tq_index_open(ctx, path, flags, NULL, &again));
	OK(tq_index_verify(again));
	check_same(ix, again, x);
	first = load(path, &size);
	/* what is open stays when the file is replaced, by the same bytes too */
	OK(tq_index_save(again, path));
	second = load(path, &same);
	ck_assert_uint_eq(size, same);
	ck_assert_mem_eq(first, second, size);
	check_same(ix, again, x);
	/* and it can be changed like the other */
	OK(tq_index_add(ix, x, DIM, 200, NULL));
	OK(tq_index_add(again, x, DIM, 200, NULL));
	OK(tq_index_add(ix, x, DIM, 1, &id));
	OK(tq_index_add(again, x, DIM, 1, &id));
	id = 3000;
	OK(tq_index_remove(ix, &id, 1));
	OK(tq_index_remove(again, &id, 1));
	check_same(ix, again, x);
	OK(tq_index_create_like(ix, &more));
	OK(tq_index_merge(more, again));
	check_same(ix, more, x);
	free(first);
	free(second);
	free(x);
	tq_index_destroy(more);
	tq_index_destroy(again);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(wrong_bytes_are_refused_or_do_no_harm)
{
	struct tq_context *ctx = context(NULL, 1);
	float *x = draw(ROWS, DIM), scores[K];
	struct tq_index *ix = filled(ctx, "preset=search bits=1", TQ_METRIC_L2, _i ? 3 : 0, x);
	struct tq_index *again;
	unsigned char *data;
	int64_t ids[K];
	size_t size, i;

	OK(tq_index_save(ix, path));
	data = load(path, &size);
	for (i = 0; i < size; i += 1 + i % 5) {
		data[i] ^= (unsigned char)(1 + i % 200);
		store(path, data, size);
		ck_assert_msg(tq_index_open(ctx, path, 0, NULL, &again) != TQ_OK, "byte %zu", i);
		ck_assert_ptr_null(again);
		if (tq_index_open(ctx, path, TQ_INDEX_MAP, NULL, &again) == TQ_OK) {
			ck_assert_int_eq(tq_index_verify(again), TQ_ERR_CHECKSUM);
			tq_index_search(again, x, DIM, 1, K, NULL, ids, scores);
			tq_index_reconstruct(again, ids, 1, scores, DIM);
			tq_index_destroy(again);
		}
		data[i] ^= (unsigned char)(1 + i % 200);
	}
	for (i = 0; i < size; i += 1 + i % 61) {
		store(path, data, i);
		ck_assert_int_ne(tq_index_open(ctx, path, TQ_INDEX_MAP, NULL, &again), TQ_OK);
	}
	unlink(path);
	ck_assert_int_eq(tq_index_open(ctx, path, 0, NULL, &again), TQ_ERR_IO);
	ck_assert_int_eq(tq_index_open(ctx, path, 8, NULL, &again), TQ_ERR_ARG);
	free(data);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_file_of_codes_is_no_index)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_file_writer *w;
	struct tq_index *ix;
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	OK(tq_quantizer_create(ctx, &spec, DIM, NULL, &q));
	OK(tq_file_create(ctx, path, q, &w));
	OK(tq_file_commit(w));
	ck_assert_int_eq(tq_index_open(ctx, path, 0, NULL, &ix), TQ_ERR_FORMAT);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "is no index"));
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- the log ---- */

START_TEST(changes_on_a_log_are_there_again)
{
	struct tq_context *ctx = context(NULL, 1);
	float *x = draw(ROWS, DIM);
	struct tq_index *ix = filled(ctx, "preset=search bits=2", TQ_METRIC_COS, _i ? 4 : 0, x);
	struct tq_index *logged, *other;
	int64_t ids[3] = {9, 1000, 2000};
	unsigned char *before, *after;
	size_t size, n;

	OK(tq_index_save(ix, path));
	OK(tq_index_open(ctx, path, TQ_INDEX_LOG | TQ_INDEX_MAP, NULL, &logged));
	ck_assert_int_eq(tq_index_open(ctx, path, TQ_INDEX_LOG, NULL, &other), TQ_ERR_IO);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "in use"));
	OK(tq_index_add(logged, x, DIM, 100, NULL));
	OK(tq_index_add(logged, x, DIM, 1, ids));
	OK(tq_index_update(logged, x + 40 * DIM, DIM, 2, ids + 1));
	OK(tq_index_remove(logged, ids, 2));
	/* a reader sees what is on the disk */
	OK(tq_index_open(ctx, path, 0, NULL, &other));
	check_same(logged, other, x);
	tq_index_destroy(other);
	tq_index_destroy(logged);
	OK(tq_index_open(ctx, path, TQ_INDEX_LOG, NULL, &logged));
	OK(tq_index_add(logged, x, DIM, 5, NULL));
	before = load(log_path, &size);
	/* saved: the file has it all, and the log of before is known to be old */
	OK(tq_index_save(logged, path));
	after = load(log_path, &n);
	ck_assert_uint_eq(n, 32);
	store(log_path, before, size);
	OK(tq_index_open(ctx, path, 0, NULL, &other));
	check_same(logged, other, x);
	tq_index_destroy(other);
	/* the log of a later file is not this one's, nor that of another index */
	store(log_path, after, n);
	OK(tq_index_save(ix, path));
	OK(tq_index_open(ctx, path, 0, NULL, &other));
	check_same(ix, other, x);
	tq_index_destroy(other);
	unlink(log_path);
	OK(tq_index_save(ix, path));
	store(log_path, after, n);
	ck_assert_int_eq(tq_index_open(ctx, path, 0, NULL, &other), TQ_ERR_FORMAT);
	free(before);
	free(after);
	free(x);
	tq_index_destroy(logged);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* Cut anywhere, a log gives its whole records; a wrong byte never gives a wrong row. */
START_TEST(a_torn_log_loses_its_last_record_only)
{
	struct tq_context *ctx = context(NULL, 1);
	float *x = draw(ROWS, DIM);
	struct tq_index *ix = index_of(ctx, "preset=search bits=1", DIM, TQ_METRIC_L2, 0), *again;
	size_t ends[6], size, i, records;
	unsigned char *data;
	int status;

	OK(tq_index_save(ix, path));
	tq_index_destroy(ix);
	OK(tq_index_open(ctx, path, TQ_INDEX_LOG, NULL, &ix));
	ends[0] = 32;
	for (i = 1; i < 6; i++) {
		OK(tq_index_add(ix, x, DIM, i, NULL));
		free(load(log_path, &ends[i]));
	}
	tq_index_destroy(ix);
	data = load(log_path, &size);
	for (i = 0; i <= size; i++) {
		store(log_path, data, i);
		status = tq_index_open(ctx, path, i % 2 ? TQ_INDEX_LOG : 0, NULL, &again);
		if (i < 32) {
			ck_assert_int_eq(status, TQ_ERR_FORMAT);
			continue;
		}
		for (records = 0; records < 5 && ends[records + 1] <= i; records++)
			;
		ck_assert_int_eq(status, TQ_OK);
		ck_assert_uint_eq(count_of(again), records * (records + 1) / 2);
		if (i % 2) {
			/* what is added behind the cut is there too */
			OK(tq_index_add(again, x, DIM, 2, NULL));
			tq_index_destroy(again);
			OK(tq_index_open(ctx, path, 0, NULL, &again));
			ck_assert_uint_eq(count_of(again), records * (records + 1) / 2 + 2);
		}
		tq_index_destroy(again);
	}
	for (i = 0; i < size; i++) {
		data[i] ^= 0x40;
		store(log_path, data, size);
		status = tq_index_open(ctx, path, 0, NULL, &again);
		for (records = 0; ends[records + 1] <= i; records++)
			;
		ck_assert_msg(status != TQ_OK || count_of(again) == records * (records + 1) / 2,
			      "byte %zu", i);
		if (status == TQ_OK)
			tq_index_destroy(again);
		data[i] ^= 0x40;
	}
	free(data);
	free(x);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- kill -9 ---- */

/* Adds five rows at a time, says so, and saves now and then, until it is killed. */
static void write_until_killed(const float *x, int acknowledge)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index_info info = {.struct_size = sizeof(info)};
	struct tq_index *ix;
	int step;

	if (tq_index_open(ctx, path, TQ_INDEX_LOG | TQ_INDEX_MAP, NULL, &ix))
		_exit(1);
	for (step = 1;; step++) {
		if (tq_index_describe(ix, &info) || tq_index_add(ix, x + step % 50 * DIM, DIM, 5, NULL))
			_exit(1);
		info.next_id += 5;
		if (write(acknowledge, &info.next_id, sizeof(info.next_id)) != sizeof(info.next_id))
			_exit(1);
		if (step % 9 == 0 && tq_index_save(ix, path))
			_exit(1);
	}
}

START_TEST(what_was_acknowledged_survives_kill_9)
{
	const char *kills = getenv("TQ_TEST_KILLS");
	int n = kills ? atoi(kills) : 6, i, pipe_ends[2], status;
	struct tq_context *ctx = context(NULL, 1);
	float *x = draw(ROWS, DIM);
	struct tq_index *ix = index_of(ctx, "preset=search bits=2", DIM, TQ_METRIC_L2, _i ? 4 : 0);
	int64_t acknowledged = 0, id;
	struct timespec moment = {0};
	pid_t child;

	rng_state ^= (uint64_t)time(NULL);
	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_save(ix, path));
	tq_index_destroy(ix);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pipe(pipe_ends), 0);
		child = fork();
		if (child == 0)
			write_until_killed(x, pipe_ends[1]);
		close(pipe_ends[1]);
		/* it is at work once it has said so */
		if (read(pipe_ends[0], &id, sizeof(id)) == sizeof(id))
			acknowledged = id;
		moment.tv_nsec = (long)rng(40000000);
		nanosleep(&moment, NULL);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		ck_assert_msg(WIFSIGNALED(status), "the writer ended by itself");
		while (read(pipe_ends[0], &id, sizeof(id)) == sizeof(id))
			acknowledged = id;
		close(pipe_ends[0]);
		ck_assert_msg(tq_index_open(ctx, path, 0, NULL, &ix) == TQ_OK, "kill %d: %s", i,
			      tq_error_text());
		ck_assert_uint_ge(count_of(ix), (uint64_t)acknowledged);
		ck_assert_uint_eq(count_of(ix) % 5, 0);
		for (id = 0; id < acknowledged; id++)
			ck_assert_msg(has(ix, id), "kill %d: id %lld of %lld is lost", i, (long long)id,
				      (long long)acknowledged);
		tq_index_destroy(ix);
	}
	printf("%d kills, %lld rows\n", n, (long long)acknowledged);
	ck_assert_int_gt(acknowledged, 0);
	free(x);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index_file");
	TCase *tc = tcase_create("files");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, what_is_saved_is_opened, 0, 12);
	tcase_add_loop_test(tc, wrong_bytes_are_refused_or_do_no_harm, 0, 2);
	tcase_add_test(tc, a_file_of_codes_is_no_index);
	tcase_add_loop_test(tc, changes_on_a_log_are_there_again, 0, 2);
	tcase_add_test(tc, a_torn_log_loses_its_last_record_only);
	tcase_add_loop_test(tc, what_was_acknowledged_survives_kill_9, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
