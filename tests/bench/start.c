/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How soon does a process that maps an index have its first result, and how much of the file does it read?
 *
 *	bench-start FOLDER [MEGABYTES]		1024 unless given; less than a minute of CPU time
 *	bench-start --test FOLDER		16 MB; fails where a query reads far more than it must
 *
 * Builds FOLDER/start.tq (4 bits, d = 1536, partitions) through the public API, then runs itself again: each
 * child maps the file, searches, and says how long that took from making the context on, and how much of the
 * mapping is resident. The file is in the page cache, since it was just written. FOLDER keeps nothing.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tq/tq.h"

#define DIM 1536
#define TOPICS 4096
#define DIRECTIONS 8
#define BATCH 2048
#define K 10
#define CHILDREN 7

static float topics[TOPICS][DIM];

static void check(int status, const char *what)
{
	if (!status)
		return;
	fprintf(stderr, "%s: %s\n", what, tq_error_text());
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the file ---- */

static float uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

/* Topics differ in a few directions, as those of embeddings do: partitions are of about the same size then. */
static void draw_topics(uint64_t *state)
{
	static float directions[DIRECTIONS][DIM];

	for (size_t i = 0; i < DIRECTIONS * DIM; i++)
		directions[i / DIM][i % DIM] = uniform(state);
	for (size_t i = 0; i < TOPICS; i++)
		for (size_t k = 0; k < DIRECTIONS; k++) {
			float z = uniform(state) + uniform(state);

			for (size_t j = 0; j < DIM; j++)
				topics[i][j] += z * directions[k][j];
		}
}

/* Each row is its topic and noise. */
static void draw(float *rows, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++) {
		const float *topic = topics[(size_t)((uniform(state) + 1.0f) / 2.0f * (TOPICS - 1))];

		for (size_t j = 0; j < DIM; j++)
			rows[i * DIM + j] = topic[j] + 0.5f * uniform(state);
	}
}

static void build(const char *path, uint64_t bytes, uint32_t nlist)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_L2, .nlist = nlist};
	struct tq_options context_options = {.struct_size = sizeof(context_options), .threads = TQ_THREADS_AUTO};
	struct tq_index_info info = {.struct_size = sizeof(info)};
	size_t sample = (size_t)nlist * 64;
	float *rows = malloc((sample > BATCH ? sample : BATCH) * DIM * sizeof(*rows));
	struct tq_context *ctx;
	struct tq_index *ix;
	struct tq_spec spec;
	uint64_t state = 2;

	if (!rows)
		exit(1);
	draw_topics(&state);
	tq_spec_init(&spec);
	check(tq_spec_parse(&spec, "preset=search bits=4"), "spec");
	check(tq_context_create(&context_options, &ctx), "context");
	check(tq_index_create(ctx, &spec, DIM, &o, &ix), "index");
	draw(rows, sample, &state);
	check(tq_index_train(ix, rows, DIM, sample), "train");
	do {
		draw(rows, BATCH, &state);
		check(tq_index_add(ix, rows, DIM, BATCH, NULL), "add");
		check(tq_index_describe(ix, &info), "describe");
	} while (info.count * info.row_bytes < bytes);
	check(tq_index_save(ix, path), "save");
	free(rows);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}

/* ---- a process that searches it ---- */

/* Kilobytes of the mapping of a file that are resident; -1: not known */
static long resident(const char *path)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[4096];
	long sum = -1, kb;
	int ours = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			ours = strstr(line, path) != NULL;
		else if (ours && sscanf(line, "Rss: %ld kB", &kb) == 1)
			sum = (sum < 0 ? 0 : sum) + kb;
	}
	if (f)
		fclose(f);
	return sum;
}

static long whole_resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (f && fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Queries are like rows: of one topic each. Prints: ms of CPU and by the clock to the first result, KB of the mapping then and after 20 queries,
 * KB in all, KB of the rows and ids that the first query looked at */
static int child(const char *path, uint32_t nprobe)
{
	double begin, first, cpu, cpu_begin;
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = nprobe};
	static float q[20][DIM];
	struct tq_context *ctx;
	struct tq_index_info info = {.struct_size = sizeof(info)};
	struct tq_index *ix;
	int64_t ids[K];
	float scores[K];
	uint64_t state = 2;
	size_t looked_at;
	long kb, kb_20;

	draw_topics(&state);
	state = 77;
	draw(q[0], 20, &state);
	begin = now(CLOCK_MONOTONIC);
	cpu_begin = now(CLOCK_PROCESS_CPUTIME_ID);
	check(tq_context_create(NULL, &ctx), "context");
	check(tq_index_open(ctx, path, TQ_INDEX_MAP, NULL, &ix), "open");
	check(tq_index_search(ix, q[0], DIM, 1, K, &o, ids, scores), "search");
	first = now(CLOCK_MONOTONIC) - begin;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
	if (ids[0] < 0)
		return 1;
	kb = resident(path);
	for (int i = 1; i < 20; i++)
		check(tq_index_search(ix, q[i], DIM, 1, K, &o, ids, scores), "search");
	kb_20 = resident(path);
	printf("%g %g %ld %ld %ld ", 1e3 * cpu, 1e3 * first, kb, kb_20, whole_resident());
	/* all rows of these partitions are near enough */
	check(tq_index_range(ix, q[0], INFINITY, &o, 0, NULL, NULL, &looked_at), "range");
	check(tq_index_describe(ix, &info), "describe");
	printf("%g\n", (double)(looked_at * info.row_bytes) / 1024);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Medians of what the children print */
static int run_children(const char *self, const char *path, uint32_t nprobe, double median[6])
{
	double got[6][CHILDREN];
	char command[8192];

	snprintf(command, sizeof(command), "'%s' --child '%s' %u", self, path, nprobe);
	for (int i = 0; i < CHILDREN; i++) {
		FILE *p = popen(command, "r");
		int n = p ? fscanf(p, "%lf %lf %lf %lf %lf %lf", &got[0][i], &got[1][i], &got[2][i], &got[3][i],
				   &got[4][i], &got[5][i]) : 0;

		if (!p || pclose(p) || n != 6)
			return 1;
	}
	for (int v = 0; v < 6; v++) {
		qsort(got[v], CHILDREN, sizeof(got[v][0]), compare);
		median[v] = got[v][CHILDREN / 2];
	}
	return 0;
}

int main(int argc, char **argv)
{
	int test = argc == 3 && !strcmp(argv[1], "--test"), bad;
	const char *folder = argc > 1 ? argv[1 + test] : NULL;
	uint64_t mb = test ? 16 : argc > 2 ? strtoull(argv[2], NULL, 10) : 1024;
	uint32_t nlist = mb < 256 ? 64 : 256, nprobe = nlist / 32;
	char path[4096], self[4096] = "";
	double median[6], touched, begin = now(CLOCK_PROCESS_CPUTIME_ID);

	if (argc == 4 && !strcmp(argv[1], "--child"))
		return child(argv[2], (uint32_t)atoi(argv[3]));
	if (!folder || !mb || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
		fprintf(stderr, "usage: bench-start FOLDER [MEGABYTES]\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/start.tq", folder);
	build(path, mb << 20, nlist);
	begin = now(CLOCK_PROCESS_CPUTIME_ID) - begin;
	bad = run_children(self, path, nprobe, median);
	unlink(path);
	if (bad) {
		fprintf(stderr, "a child failed\n");
		return 1;
	}
	/* and all centroids */
	touched = median[5] + nlist * DIM * 4.0 / 1024;
	printf("%llu MB, d = %d, %u partitions, built in %.0f s of CPU time\n"
	       "first result after %.1f ms, %.1f ms of CPU time (medians of %d processes)\n"
	       "resident of the file: %.0f KB after one query of %u partitions, %.0f after 20; one looks at %.0f KB\n"
	       "resident in all: %.0f KB\n",
	       (unsigned long long)mb, DIM, nlist, begin, median[1], median[0], CHILDREN, median[2], nprobe, median[3],
	       touched, median[4]);
	if (test && (median[2] < 0 || median[2] > 1.5 * touched + 256)) {
		printf("0 passed, 1 failed\n");
		return 1;
	}
	printf("1 passed, 0 failed\n");
	return 0;
}
