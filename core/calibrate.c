/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a calibration profile: every driver that passes the gate does the same work in turn, and
 * the least time of each is written down.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "calibration.h"
#include "conf_value.h"
#include "gate.h"
#include "selftest.h"

#define RUNNERS_MAX 32
#define SAMPLES 7
#define SAMPLE_NS 200e3
#define COORDINATES (1u << 18) /* per sample of rows */
#define QUERIES 8
#define PAIRS_LEFT 16
/* Tokens and queries of an attention */
#define ATTEND_ROWS 512
#define ATTEND_QUERIES 4

static const uint32_t dims[] = {128, 768};
static const uint32_t bits[] = {1, 2, 3, 4, 8};

/* One driver, in a pipeline of scalar otherwise. */
struct runner {
	const struct tq_entry *entry;
	struct tq_pipeline pipe;
	struct tq_served attend; /* of an attend(grid) driver alone: no pipeline has it */
	void *prepared;
	double ns;
};

/* Where it is done. */
struct lab {
	struct tq_context *ctx;
	const struct tq_plan *plan;
	size_t n;
	float *x, *y, *scores, *scratch;
	struct tq_row_stat *stat;
	int32_t *exponent;
	uint8_t *codes, *made;
	struct runner runners[RUNNERS_MAX];
	size_t nrunners;
	FILE *profile;
	FILE *out;
};

/* ---- the work ---- */

static void run_rotate(const struct lab *l, const struct runner *r)
{
	const struct tq_map *map = &r->pipe.rotation;

	map->ops->rotate(map->rot, map->state, l->x, l->y, l->n, l->scratch);
}

static void run_quantize(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_QUANTIZE];

	s->ops->quantize(l->plan, s->state, l->x, l->stat, l->n, l->made);
}

static void run_dequantize(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_DEQUANTIZE];

	s->ops->dequantize(l->plan, s->state, l->codes, l->n, l->y, l->exponent);
}

static void run_score(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_SCORE];

	s->ops->score(l->plan, s->state, r->prepared, 1, l->codes, l->n, l->scores, l->n);
	s->ops->score(l->plan, s->state, r->prepared, QUERIES, l->codes, l->n, l->scores, l->n);
}

static void run_pairs(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_SCORE_PAIRS];

	s->ops->score_pairs(l->plan, s->state, l->codes, PAIRS_LEFT, l->codes, l->n / PAIRS_LEFT,
			    l->scores, l->n);
}

static void run_encode(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_ENCODE];

	s->ops->encode(l->plan, s->state, l->x, TQ_F32, l->plan->dim, l->n, l->made);
}

static void run_decode(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->pipe.op[TQ_OP_DECODE];

	s->ops->decode(l->plan, s->state, l->codes, l->n, l->y, TQ_F32, l->plan->dim);
}

/* As a KV cache does for each head: logits to weights, then the rows by their weights */
static void run_attend(const struct lab *l, const struct runner *r)
{
	const struct tq_served *s = &r->attend;
	size_t t, n, q;

	for (t = 0; t < l->n; t += n) {
		n = l->n - t < ATTEND_ROWS ? l->n - t : ATTEND_ROWS;
		memcpy(l->scores, l->x, ATTEND_QUERIES * n * sizeof(float));
		for (q = 0; q < ATTEND_QUERIES; q++) {
			float *x = l->scores + q * n, top = s->ops->logits(x, n, 0.0f, 1.0f);

			s->ops->weigh(x, n, top, x);
		}
		memset(l->y, 0, ATTEND_QUERIES * l->plan->dim * sizeof(float));
		s->ops->mix(l->plan, s->state, l->scores, n, ATTEND_QUERIES,
			    l->codes + t * l->plan->layout.row_bytes, n, l->y, l->plan->dim);
	}
}

#define THE_ROTATION -1
#define ATTENTION -2

/* What the selection calls a stage, and how to do it; @each: times a row is touched */
static const struct work {
	const char *stage;
	int op; /* or one of the two below */
	double each;
	void (*run)(const struct lab *l, const struct runner *r);
} works[] = {
	{"rotate(rht)", THE_ROTATION, 1, run_rotate},
	{"quantize(grid)", TQ_OP_QUANTIZE, 1, run_quantize},
	{"dequantize(grid)", TQ_OP_DEQUANTIZE, 1, run_dequantize},
	{"score(grid)", TQ_OP_SCORE, 1 + QUERIES, run_score},
	{"score_pairs(grid)", TQ_OP_SCORE_PAIRS, 1, run_pairs},
	{"encode(rht,grid)", TQ_OP_ENCODE, 1, run_encode},
	{"decode(rht,grid)", TQ_OP_DECODE, 1, run_decode},
	{"attend(grid)", ATTENTION, 1, run_attend},
};

/* ---- the clock ---- */

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double sample(const struct lab *l, const struct work *w, const struct runner *r)
{
	double start = now_ns(), took;
	unsigned loops = 0;

	do {
		w->run(l, r);
		loops++;
		took = now_ns() - start;
	} while (took < SAMPLE_NS);
	return took / loops;
}

static bool serves(const struct runner *r, const struct work *w)
{
	const struct tq_choice *c = w->op == THE_ROTATION ? &r->pipe.rotation.choice :
				    w->op == ATTENTION	  ? &r->attend.choice :
							    &r->pipe.op[w->op].choice;

	return c->driver == r->entry->driver;
}

static void report(const struct lab *l, const struct work *w, const struct runner *r, double ns)
{
	uint32_t b = w->op == THE_ROTATION ? 0 : l->plan->index_bits;
	double ps = ns * 1e3;

	if (ps < 1)
		ps = 1;
	if (ps > 999999999)
		ps = 999999999;
	fprintf(l->profile,
		"  { stage = \"%s\"; dim = %u; bits = %u; driver = \"%s\"; ps = %.0f; },\n",
		w->stage, l->plan->dim, b, r->entry->driver->driver_name, ps);
	if (l->out)
		fprintf(l->out, "%-18s d=%-4u bits=%u  %-22s %11.2f ns per row\n", w->stage,
			l->plan->dim, b, r->entry->driver->driver_name, ns);
}

/* All drivers of a stage, in turn, so that a disturbance hits all alike. */
static void measure(struct lab *l, const struct work *w)
{
	struct runner *r;
	double ns;
	int i;

	for (r = l->runners; r < l->runners + l->nrunners; r++)
		r->ns = 0;
	for (i = 0; i <= SAMPLES; i++)
		for (r = l->runners; r < l->runners + l->nrunners; r++) {
			if (!serves(r, w))
				continue;
			ns = sample(l, w, r);
			if (i && (r->ns == 0 || ns < r->ns))
				r->ns = ns;
		}
	for (r = l->runners; r < l->runners + l->nrunners; r++)
		if (serves(r, w))
			report(l, w, r, r->ns / ((double)l->n * w->each));
}

/* ---- one plan ---- */

/* The state of an attend(grid) driver; of any other, nothing */
static int open_attend(struct runner *r, struct tq_entry *e, const struct tq_plan *plan)
{
	const struct tq_quantizer_ops *ops = e->driver->ops;

	if (strcmp(e->driver->name, "attend(grid)"))
		return TQ_OK;
	if (ops->create && ops->create(&e->module->host, plan, &r->attend.state))
		return tq_fail(TQ_ERR_NOMEM, "%s: create failed", e->driver->driver_name);
	r->attend.ops = ops;
	r->attend.choice.driver = e->driver;
	r->attend.choice.host = &e->module->host;
	return TQ_OK;
}

static int add_runner(struct lab *l, struct tq_entry *e)
{
	struct runner *r = &l->runners[l->nrunners];
	bool passed = false;
	int err;

	if (l->nrunners == RUNNERS_MAX || e->driver->memory != TQ_MEM_HOST)
		return TQ_OK;
	err = tq_gate_entry(e, l->plan, &passed);
	if (err || !passed)
		return err;
	memset(r, 0, sizeof(*r));
	r->entry = e;
	err = tq_gate_pipeline(l->ctx, e, l->plan, &r->pipe);
	if (err)
		return err;
	l->nrunners++;
	err = open_attend(r, e, l->plan);
	if (err)
		return err;
	r->prepared = tq_alloc(l->ctx, QUERIES * r->pipe.query_bytes);
	if (!r->prepared)
		return TQ_ERR_NOMEM;
	return tq_pipeline_prepare(&r->pipe, l->x, l->plan->dim, QUERIES, r->prepared);
}

static void remove_runners(struct lab *l)
{
	struct runner *r;

	while (l->nrunners--) {
		r = &l->runners[l->nrunners];
		if (r->attend.ops && r->attend.ops->destroy)
			r->attend.ops->destroy(r->attend.choice.host, r->attend.state);
		tq_free(l->ctx, r->prepared);
		tq_pipeline_destroy(&r->pipe);
	}
	l->nrunners = 0;
}

static int fill(struct lab *l)
{
	struct tq_pipeline scalar;
	uint32_t s = 1;
	size_t i;
	int err;

	for (i = 0; i < l->n * l->plan->dim; i++) {
		s = s * 1664525u + 1013904223u;
		l->x[i] = (float)((s >> 8 & 0xfff) + (s >> 20)) * (1.0f / 1672) - 2.45f;
	}
	for (i = 0; i < l->n; i++)
		l->stat[i].norm2 =
			tq_dot16(l->x + i * l->plan->dim, l->x + i * l->plan->dim, l->plan->dim);
	err = tq_gate_pipeline(l->ctx, NULL, l->plan, &scalar);
	if (err)
		return err;
	err = tq_pipeline_encode(&scalar, l->x, TQ_F32, l->plan->dim, l->n, l->codes);
	tq_pipeline_destroy(&scalar);
	return err;
}

static int open_lab(struct lab *l)
{
	size_t d = l->plan->dim, n = COORDINATES / d, bytes = n * l->plan->layout.row_bytes;

	l->n = n;
	l->x = tq_alloc(l->ctx, n * d * sizeof(float));
	l->y = tq_alloc(l->ctx, n * d * sizeof(float));
	l->scores = tq_alloc(l->ctx, n * PAIRS_LEFT * sizeof(float));
	l->scratch = tq_alloc(l->ctx, 2 * d * sizeof(float));
	l->stat = tq_alloc(l->ctx, n * sizeof(*l->stat));
	l->exponent = tq_alloc(l->ctx, n * sizeof(*l->exponent));
	l->codes = tq_alloc(l->ctx, bytes);
	l->made = tq_alloc(l->ctx, bytes);
	if (!l->x || !l->y || !l->scores || !l->scratch || !l->stat || !l->exponent || !l->codes ||
	    !l->made)
		return TQ_ERR_NOMEM;
	return fill(l);
}

static void close_lab(struct lab *l)
{
	tq_free(l->ctx, l->x);
	tq_free(l->ctx, l->y);
	tq_free(l->ctx, l->scores);
	tq_free(l->ctx, l->scratch);
	tq_free(l->ctx, l->stat);
	tq_free(l->ctx, l->exponent);
	tq_free(l->ctx, l->codes);
	tq_free(l->ctx, l->made);
}

static int measure_plan(struct lab *l, bool rotation)
{
	struct tq_module *m;
	size_t i;
	int err;

	err = open_lab(l);
	for (m = l->ctx->registry->first; m && !err; m = m->next)
		for (i = 0; i < m->nentries && !err; i++)
			err = add_runner(l, &m->entries[i]);
	for (i = rotation ? 0 : 1; i < sizeof(works) / sizeof(works[0]) && !err; i++)
		measure(l, &works[i]);
	remove_runners(l);
	close_lab(l);
	return err;
}

static int measure_all(struct tq_context *ctx, FILE *profile, FILE *out)
{
	struct tq_plan *plan;
	struct tq_spec spec;
	struct lab *l;
	size_t d, b;
	int err = TQ_OK;

	for (d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (b = 0; b < sizeof(bits) / sizeof(bits[0]) && !err; b++) {
			tq_spec_init(&spec);
			spec.bits = bits[b];
			l = tq_alloc(ctx, sizeof(*l));
			if (!l)
				return TQ_ERR_NOMEM;
			err = tq_plan_create(ctx, &spec, dims[d], NULL, &plan);
			if (!err) {
				l->ctx = ctx;
				l->plan = plan;
				l->profile = profile;
				l->out = out;
				err = measure_plan(l, b == 0);
				tq_plan_destroy(ctx, plan);
			}
			tq_free(ctx, l);
		}
	return err;
}

/* ---- the file ---- */

static void write_text(FILE *f, const char *key, const char *value)
{
	fprintf(f, "%s = ", key);
	tq_conf_print_quoted(f, value);
	fputs(";\n", f);
}

void tq_calibration_head(struct tq_context *ctx, FILE *f)
{
	struct tq_calibration_key key;
	struct tq_calibrated_plugin p;
	const struct tq_module *m;

	tq_calibration_here(ctx, &key);
	fprintf(f, "# Made by tq-probe --calibrate: picoseconds per row and driver; see "
		   "docs/TOOLS.md.\n"
		   "format = 1;\n");
	write_text(f, "version", key.version);
	write_text(f, "build", key.build);
	write_text(f, "cpu", key.cpu);
	write_text(f, "features", key.features);
	fputs("plugins = (\n", f);
	for (m = ctx->registry->first; m; m = m->next) {
		if (!m->nentries)
			continue;
		tq_calibration_plugin_here(m, &p);
		fprintf(f, "  { name = \"%s\"; version = ", p.name);
		tq_conf_print_quoted(f, p.version);
		fprintf(f, "; build = \"%s\"; }%s\n", p.build, ",");
	}
	fputs("  { name = \"\"; version = \"\"; build = \"\"; }\n);\n", f);
}

static int fail_write(const char *path)
{
	return tq_fail(TQ_ERR_IO, "%s: %s", path, strerror(errno));
}

/* The whole text appears under its name, or nothing. */
static int write_whole(const char *path, const char *text, size_t size)
{
	char *partial;
	ssize_t n = 0;
	int fd, err = TQ_OK;

	if (asprintf(&partial, "%s.XXXXXX", path) < 0)
		return tq_fail(TQ_ERR_NOMEM, "out of memory");
	fd = mkostemp(partial, O_CLOEXEC);
	if (fd < 0) {
		err = fail_write(path);
		free(partial);
		return err;
	}
	for (; size && n >= 0; text += n, size -= (size_t)n)
		n = write(fd, text, size);
	if (n < 0 || fchmod(fd, 0644) || fsync(fd))
		err = fail_write(path);
	if (close(fd) && !err)
		err = fail_write(path);
	if (!err && rename(partial, path))
		err = fail_write(path);
	if (err)
		unlink(partial);
	free(partial);
	return err;
}

/* The cache directory and the library's own below it need not be there yet. */
static void make_directories(const char *path)
{
	char *dir = strdup(path), *slash, *upper;

	slash = dir ? strrchr(dir, '/') : NULL;
	if (slash && slash > dir) {
		*slash = '\0';
		upper = strrchr(dir, '/');
		if (upper && upper > dir) {
			*upper = '\0';
			mkdir(dir, 0700);
			*upper = '/';
		}
		mkdir(dir, 0755);
	}
	free(dir);
}

/* Measuring takes minutes: a file that could not be written is found before. */
static int check_directory(const char *path)
{
	char *copy = strdup(path);
	int err = TQ_OK;

	if (!copy)
		return tq_fail(TQ_ERR_NOMEM, "out of memory");
	if (access(dirname(copy), W_OK | X_OK))
		err = fail_write(path);
	free(copy);
	return err;
}

static int make_profile(struct tq_context *ctx, FILE *f, FILE *out)
{
	int err;

	err = tq_registry_open(ctx);
	if (err)
		return err;
	tq_calibration_head(ctx, f);
	fputs("timings = (\n", f);
	err = measure_all(ctx, f, out);
	/* lists of libconfig 1.5 end without a comma: a last entry that no stage asks for */
	fputs("  { stage = \"\"; dim = 0; bits = 0; driver = \"\"; ps = 1; }\n);\n", f);
	return err;
}

int tq_context_calibrate(struct tq_context *ctx, const char *path, FILE *out)
{
	struct tq_calibration read = {0};
	char *place = NULL, *text = NULL;
	size_t size;
	FILE *f;
	int err;

	if (!ctx)
		return tq_fail(TQ_ERR_ARG, "ctx is NULL");
	place = path ? strdup(path) : tq_calibration_place(ctx);
	if (!place)
		return tq_fail(TQ_ERR_ARG,
			       "path is NULL, and the setting \"calibration\" names no file");
	if (!path)
		make_directories(place);
	err = check_directory(place);
	f = err ? NULL : open_memstream(&text, &size);
	if (!f) {
		free(place);
		return err ? err : tq_fail(TQ_ERR_NOMEM, "out of memory");
	}
	pthread_mutex_lock(&ctx->registry->lock);
	err = make_profile(ctx, f, out);
	pthread_mutex_unlock(&ctx->registry->lock);
	if (fclose(f) && !err)
		err = tq_fail(TQ_ERR_NOMEM, "out of memory");
	if (!err)
		err = tq_calibration_parse(ctx, place, text, size, &read);
	if (!err)
		err = write_whole(place, text, size);
	if (!err && out)
		fprintf(out, "%s: written\n", place);
	tq_calibration_free(ctx, &read);
	free(text);
	free(place);
	return err;
}
