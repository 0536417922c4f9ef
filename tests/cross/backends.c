/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Plugins (or drivers) against scalar through the public API: the same code bytes, .tq files,
 * decoded elements and scores, to the last bit. Scalar takes most of the time: name together what
 * takes the same points.
 *
 *	backends [--full] [--dim D] [--min-dim D] [--max-dim D] [--sparse N] PLUGIN...
 *
 * The product is every dimension x rotation x correction x code x bits; of trellis codes, which scalar searches
 * slowly, one point in TRELLIS_SPARSE, of large dimensions LARGE_SPARSE; of fractions of a bit one in FRACTION_SPARSE. What else a spec has
 * (effort, centre, scale, query) and the type of the input follow from a hash of the point, so a
 * point is the same on every machine and in every run. Dense maps (haar, qjl:gauss, qjl:ortho) take
 * O(d^3) to make and O(d^2) a row: without --full they stop at DENSE_DIM. --sparse takes about one point in N.
 *
 * A line per dimension, rotation and plugin has CRC32Cs of what the plugin gave; two plugins, or two
 * machines, agree if their lines do. A plugin that cannot run here is left out, with the reason.
 * Status 0: all the same; 1: not; 77: none of the plugins can run here.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core.h"
#include "tq/tq.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_ROWS 21
#define LARGE_ROWS 9
#define LARGE_DIM 300
#define DENSE_DIM 256
#define SPARSE 16
#define TRELLIS_SPARSE 32
#define LARGE_SPARSE 192
#define FRACTION_SPARSE 8
#define QUERIES 3
#define GAP 3
#define SKIPPED 77
#define REPORTED_MAX 20
#define PLUGINS_MAX 4

static const uint32_t dims[] = {1,   2,	  3,   7,   64,	 80,   96,   100,
				128, 200, 256, 576, 768, 1000, 1536, 3072};
/* Dimensions that widths of vectors and tiles trip over: one point in SPARSE of these. */
static const uint32_t sparse_dims[] = {33, 1023, 4096, 5000, 8192};
static const char *const rotations[] = {"rht:1", "rht:2", "rht:3", "haar", "givens:4", "none"};
static const char *const corrections[] = {"none",      "norm",	    "ls",     "unbiased",
					  "qjl:gauss", "qjl:ortho", "qjl:rht"};
static const char *const codes[] = {"lm", "uniform", "sign"};
static const char *const trellises[] = {"tcq:8", "tcq:9"};
static const char *const fractions[] = {"lm:1.6", "lm:2.33", "lm:2.5", "lm:3.5", "lm:4.5"};
#define TRELLIS_BITS 4
#define TRELLIS_CORRECTIONS 4
static const char *const centers[] = {"off", "data", "both"};
static const char *const scales[] = {"f32", "bf16", "f16"};
static const char *const queries[] = {"auto", "s8", "s16", "f32"};

/* What one driver makes of a spec. */
struct side {
	struct tq_quantizer *q;
	unsigned char *codes;
	unsigned char *decoded;
	float *scores; /* QUERIES x rows, then a list of rows, then rows x rows */
	void *prepared;
	size_t codes_bytes;
	size_t decoded_bytes;
	size_t scores_count;
};

/* Checksums of one dimension and rotation. */
struct sums {
	unsigned specs;
	uint32_t codes;
	uint32_t files;
	uint32_t decoded;
	uint32_t scores;
};

struct run {
	struct tq_context *ctx;
	const char *plugins[PLUGINS_MAX];
	struct tq_quantizer *open[PLUGINS_MAX]; /* what a plugin starts for its first user, a GPU's context, stays started */
	size_t count;
	char path[2][64];
	unsigned passed;
	unsigned failed;
	unsigned unserved[PLUGINS_MAX];
	uint32_t dim;
	size_t rows;
	float *x;
	float *y;
	float *centre;
	uint16_t *narrow;
	uint32_t ids[MAX_ROWS];
};

static uint64_t random_state;

static uint32_t random_below(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((random_state >> 33) * below) >> 31);
}

static void *room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return memset(p, 0xa5, (bytes + 127) / 64 * 64);
}

/* Roughly normal, with outliers, zeros, ties and wide magnitudes by row. */
static void fill(float *x, size_t rows, size_t dim)
{
	static const float magnitude[] = {1.0f, 1.0f, 1e-3f, 100.0f, 1.0f};
	size_t i, j;
	float m;

	for (i = 0; i < rows; i++) {
		m = magnitude[i % 5];
		for (j = 0; j < dim; j++)
			x[i * dim + j] =
				m *
				((float)random_below(2001) + (float)random_below(2001) - 2000.0f) /
				500.0f;
		if (i % 4 == 1)
			x[i * dim + random_below((uint32_t)dim)] = m * 40.0f;
		for (j = 0; j < dim && i % 7 == 3; j++)
			x[i * dim + j] = j & 1 ? -0.0f : 0.0f;
		for (j = 0; j < dim && i % 7 == 5; j++)
			x[i * dim + j] = (float)((int)(j % 5) - 2);
	}
}

static void inputs_create(struct run *r, uint32_t dim)
{
	size_t i;

	r->dim = dim;
	r->rows = dim > LARGE_DIM ? LARGE_ROWS : MAX_ROWS;
	r->x = room(r->rows * dim * sizeof(float));
	r->y = room((QUERIES + 1) * (size_t)dim * sizeof(float));
	r->centre = r->y + QUERIES * (size_t)dim;
	r->narrow = room(r->rows * dim * sizeof(uint16_t));
	random_state = dim * 1000003u + 17;
	fill(r->x, r->rows, dim);
	fill(r->y, QUERIES + 1, dim);
	for (i = 0; i < r->rows; i++)
		r->ids[i] = random_below((uint32_t)r->rows);
}

static void inputs_destroy(struct run *r)
{
	free(r->x);
	free(r->y);
	free(r->narrow);
}

/* The upper half of a float is a bf16; as an f16 it is some number too, if finite. */
static const void *inputs_as(struct run *r, int dtype)
{
	size_t i;
	uint32_t b;

	if (dtype == TQ_F32)
		return r->x;
	for (i = 0; i < r->rows * r->dim; i++) {
		memcpy(&b, r->x + i, sizeof(b));
		r->narrow[i] = (uint16_t)(dtype == TQ_BF16 ? b >> 16 : b >> 16 & 0xbbffu);
	}
	return r->narrow;
}

static int side_create(struct run *r, struct side *s, const struct tq_spec *spec,
		       const char *driver)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = driver};

	memset(s, 0, sizeof(*s));
	o.centre = spec->center ? r->centre : NULL;
	return tq_quantizer_create(r->ctx, spec, r->dim, &o, &s->q);
}

static void side_destroy(struct side *s)
{
	free(s->codes);
	free(s->decoded);
	free(s->scores);
	free(s->prepared);
	tq_quantizer_destroy(s->q);
}

/* Every operation once; @dtype is the input's type, and the output is decoded to all three. */
static int side_run(struct run *r, struct side *s, const void *x, int dtype)
{
	size_t n = r->rows, d = r->dim, stride = d + GAP;
	int ret;

	s->codes_bytes = n * tq_code_size(s->q);
	s->decoded_bytes = n * stride * 8;
	s->scores_count = QUERIES * (n + 2) + n + n * n;
	s->codes = room(s->codes_bytes);
	s->decoded = room(s->decoded_bytes);
	s->scores = room(s->scores_count * sizeof(float));
	s->prepared = room(QUERIES * tq_query_size(s->q));
	ret = tq_encode_as(s->q, x, dtype, d, n, s->codes);
	if (!ret)
		ret = tq_decode_as(s->q, s->codes, n, s->decoded, TQ_F32, stride);
	if (!ret)
		ret = tq_decode_as(s->q, s->codes, n, s->decoded + n * stride * 4, TQ_F16, stride);
	if (!ret)
		ret = tq_decode_as(s->q, s->codes, n, s->decoded + n * stride * 6, TQ_BF16, stride);
	if (!ret)
		ret = tq_query_prepare(s->q, r->y, d, QUERIES, s->prepared);
	if (!ret)
		ret = tq_score(s->q, s->prepared, QUERIES, s->codes, n, s->scores, n + 2);
	if (!ret)
		ret = tq_score_list(s->q, s->prepared, s->codes, r->ids, n,
				    s->scores + QUERIES * (n + 2));
	if (!ret)
		ret = tq_score_pairs(s->q, s->codes, n, s->codes, n,
				     s->scores + QUERIES * (n + 2) + n, n);
	/* pairs are not defined for center=data and pure QJL */
	return ret == TQ_ERR_UNSUPPORTED ? TQ_OK : ret;
}

static int same(const char *what, const void *want, const void *got, size_t bytes, uint32_t dim,
		int dtype, const char *text, unsigned *failed)
{
	const unsigned char *p = want, *q = got;
	size_t i;

	for (i = 0; i < bytes && p[i] == q[i]; i++)
		;
	if (i == bytes)
		return 1;
	if (*failed < REPORTED_MAX)
		printf("FAILED %s: byte %zu of %zu is %02x, not %02x: d=%u dtype=%d %s\n", what, i,
		       bytes, q[i], p[i], dim, dtype, text);
	return 0;
}

/* The whole .tq file of a side's codes; NULL if it cannot be written. */
static unsigned char *file_bytes(struct run *r, const struct side *s, const char *path,
				 size_t *size)
{
	struct tq_file_writer *writer;
	unsigned char *bytes;
	FILE *f;

	if (tq_file_create(r->ctx, path, s->q, &writer))
		return NULL;
	if (tq_file_append(writer, s->codes, r->rows)) {
		tq_file_abort(writer);
		return NULL;
	}
	if (tq_file_commit(writer))
		return NULL;
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	bytes = room(s->codes_bytes + 4 * (size_t)r->dim + 4096);
	*size = fread(bytes, 1, s->codes_bytes + 4 * (size_t)r->dim + 4096, f);
	fclose(f);
	unlink(path);
	return bytes;
}

static int same_files(struct run *r, const struct side *want, const struct side *got, int dtype,
		      const char *text, struct sums *sums)
{
	size_t size[2] = {0, 0};
	unsigned char *file[2];
	int ok;

	file[0] = file_bytes(r, want, r->path[0], &size[0]);
	file[1] = file_bytes(r, got, r->path[1], &size[1]);
	ok = file[0] && file[1] && size[0] == size[1];
	if (!ok)
		printf("FAILED file: %zu and %zu bytes (%s): d=%u %s\n", size[0], size[1],
		       tq_error_text(), r->dim, text);
	else
		ok = same("file", file[0], file[1], size[0], r->dim, dtype, text, &r->failed);
	if (ok)
		sums->files = tq_crc32c(sums->files, file[1], size[1]);
	free(file[0]);
	free(file[1]);
	return ok;
}

/* Is any stage served by another driver than scalar's? */
static int is_served(const struct tq_quantizer *q)
{
	int stage, served = 0;

	for (stage = 0; stage < TQ_STAGE_COUNT; stage++) {
		const char *name = tq_quantizer_driver(q, stage);

		served |= *name && !strstr(name, "-scalar");
	}
	return served;
}

/* What the plugin makes of the spec, against what scalar made of it. */
static void compare(struct run *r, size_t plugin, const struct tq_spec *spec, const struct side *want,
		    const char *text, int dtype, int with_file, struct sums *sums)
{
	struct side got;
	int ret, ok;

	ret = side_create(r, &got, spec, r->plugins[plugin]);
	if (ret == TQ_ERR_NO_DRIVER || (!ret && !is_served(got.q))) {
		r->unserved[plugin]++;
		goto out;
	}
	if (!ret)
		ret = side_run(r, &got, inputs_as(r, dtype), dtype);
	if (ret) {
		printf("FAILED %s: d=%u dtype=%d %s\n", tq_error_text(), r->dim, dtype, text);
		r->failed++;
		goto out;
	}
	ok = same("codes", want->codes, got.codes, want->codes_bytes, r->dim, dtype, text, &r->failed) &
	     same("decoded", want->decoded, got.decoded, want->decoded_bytes, r->dim, dtype, text,
		  &r->failed) &
	     same("scores", want->scores, got.scores, want->scores_count * sizeof(float), r->dim,
		  dtype, text, &r->failed);
	if (ok && with_file)
		ok = same_files(r, want, &got, dtype, text, sums);
	sums->specs++;
	sums->codes = tq_crc32c(sums->codes, got.codes, got.codes_bytes);
	sums->decoded = tq_crc32c(sums->decoded, got.decoded, got.decoded_bytes);
	sums->scores = tq_crc32c(sums->scores, got.scores, got.scores_count * sizeof(float));
	r->passed += ok != 0;
	r->failed += !ok;
out:
	side_destroy(&got);
}

static void compare_all(struct run *r, const char *text, int dtype, int with_file, struct sums *sums)
{
	struct side scalar = {0};
	struct tq_spec spec;
	size_t k;
	int ret;

	tq_spec_init(&spec);
	ret = tq_spec_parse(&spec, text);
	if (!ret)
		ret = side_create(r, &scalar, &spec, "scalar");
	if (!ret)
		ret = side_run(r, &scalar, inputs_as(r, dtype), dtype);
	if (ret) {
		printf("FAILED scalar: %s: d=%u dtype=%d %s\n", tq_error_text(), r->dim, dtype, text);
		r->failed++;
	}
	for (k = 0; k < r->count && !ret; k++)
		compare(r, k, &spec, &scalar, text, dtype, with_file, &sums[k]);
	side_destroy(&scalar);
}

/* The point's own random choices: the same whatever else is run. */
static uint32_t hash(const char *text)
{
	random_state = tq_crc32c(0, text, strlen(text));
	random_below(2);
	return random_below(1u << 30);
}

static void point(struct run *r, const char *rotation, const char *correction, unsigned bits,
		  const char *code, unsigned sparse, struct sums *sums)
{
	char base[128], text[TQ_SPEC_STRING_MAX];
	uint32_t h;

	snprintf(base, sizeof(base), "rotation=%s code=%s bits=%u correction=%s", rotation, code,
		 bits, correction);
	h = hash(base) ^ r->dim;
	if (h / 2592 % sparse)
		return;
	snprintf(text, sizeof(text), "%s effort=%u seed=7 center=%s scale=%s query=%s", base,
		 strncmp(code, "tcq", 3) ? h % 3 : 0,
		 centers[h / 3 % 3], scales[h / 9 % 3], queries[h / 27 % 4]);
	compare_all(r, text, (int)(h / 108 % 3), bits == 1 + h / 324 % 8, sums);
}

static int is_dense(const char *rotation, const char *correction)
{
	return !strcmp(rotation, "haar") || !strcmp(correction, "qjl:gauss") ||
	       !strcmp(correction, "qjl:ortho");
}

/* A context keeps a dense matrix while a quantizer uses it: these use those of all points. */
static void keep_dense(struct run *r, struct tq_quantizer **keep)
{
	static const char *const users[] = {"rotation=haar correction=qjl:ortho seed=7",
					    "rotation=haar correction=qjl:gauss seed=7"};
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = "scalar"};
	struct tq_spec spec;
	size_t k;

	for (k = 0; k < COUNT(users); k++) {
		tq_spec_init(&spec);
		if (tq_spec_parse(&spec, users[k]) ||
		    tq_quantizer_create(r->ctx, &spec, r->dim, &o, &keep[k])) {
			printf("FAILED %s: d=%u %s\n", tq_error_text(), r->dim, users[k]);
			r->failed++;
		}
	}
}

static void trellis_points(struct run *r, const char *rotation, int full, unsigned sparse, struct sums *sums)
{
	unsigned c, k, bits;

	if (!full && r->dim > DENSE_DIM && is_dense(rotation, ""))
		return;
	sparse *= r->dim > LARGE_DIM ? LARGE_SPARSE : TRELLIS_SPARSE;
	for (c = 0; c < TRELLIS_CORRECTIONS; c++)
		for (bits = 1; bits <= TRELLIS_BITS; bits++)
			for (k = 0; k < COUNT(trellises) && r->dim * bits >= 9; k++)
				point(r, rotation, corrections[c], bits, trellises[k], sparse, sums);
}

static void fraction_points(struct run *r, const char *rotation, int full, unsigned sparse, struct sums *sums)
{
	static const unsigned bits[] = {2, 3, 3, 4, 5};
	unsigned c, k;

	if (!full && r->dim > DENSE_DIM && is_dense(rotation, ""))
		return;
	for (c = 0; c < TRELLIS_CORRECTIONS; c++)
		for (k = 0; k < COUNT(fractions); k++)
			point(r, rotation, corrections[c], bits[k], fractions[k], sparse * FRACTION_SPARSE, sums);
}

static void run_dim(struct run *r, uint32_t dim, int full, unsigned sparse)
{
	struct tq_quantizer *keep[2] = {NULL, NULL};
	size_t i, c, k, p;
	unsigned bits;

	inputs_create(r, dim);
	if (full || dim <= DENSE_DIM)
		keep_dense(r, keep);
	for (i = 0; i < COUNT(rotations); i++) {
		struct sums sums[PLUGINS_MAX] = {{0}};

		for (c = 0; c < COUNT(corrections); c++) {
			if (!full && dim > DENSE_DIM && is_dense(rotations[i], corrections[c]))
				continue;
			for (bits = 1; bits <= 8; bits++)
				for (k = 0; k < (bits == 1 ? 3 : 2); k++)
					point(r, rotations[i], corrections[c], bits, codes[k],
					      sparse, sums);
		}
		trellis_points(r, rotations[i], full, sparse, sums);
		fraction_points(r, rotations[i], full, sparse, sums);
		for (p = 0; p < r->count; p++)
			if (sums[p].specs)
				printf("d=%u rotation=%s specs=%u codes=%08x files=%08x decoded=%08x scores=%08x %s\n",
				       dim, rotations[i], sums[p].specs, sums[p].codes, sums[p].files,
				       sums[p].decoded, sums[p].scores, r->plugins[p]);
		fflush(stdout);
	}
	tq_quantizer_destroy(keep[0]);
	tq_quantizer_destroy(keep[1]);
	inputs_destroy(r);
}

static int is_called(const struct tq_driver_info *info, const char *name)
{
	return !strcmp(info->plugin, name) || !strcmp(info->driver_name, name);
}

/* A driver that the gate refused must not look like one that is absent; returns how many. */
static unsigned refused(struct tq_context *ctx, const char *plugin)
{
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	unsigned n = 0;
	size_t i;

	for (i = 0; tq_context_driver(ctx, i, &info) == TQ_OK; i++) {
		if (!is_called(&info, plugin))
			continue;
		if (info.state != TQ_STATE_FAILED_TEST && info.state != TQ_STATE_REJECTED)
			continue;
		printf("FAILED %s is %s: %s\n", info.driver_name, tq_driver_state_name(info.state),
		       info.reason);
		n++;
	}
	return n;
}

/* Can the plugin do anything here? The text says why not. @q: what it does is in use until this is destroyed. */
static int is_present(const struct run *r, const char *plugin, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = plugin};
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	struct tq_spec spec;
	size_t i;

	tq_spec_init(&spec);
	if (tq_quantizer_create(r->ctx, &spec, 128, &o, q) == TQ_OK)
		return 1;
	printf("%s", tq_error_text());
	for (i = 0; tq_context_driver(r->ctx, i, &info) == TQ_OK; i++)
		if (is_called(&info, plugin) && *info.reason) {
			printf(": %s", info.reason);
			break;
		}
	putchar('\n');
	return 0;
}

/* The plugins of the command line that can run here. */
static void choose(struct run *r, char **names, int n)
{
	for (; n; names++, n--) {
		if (is_present(r, *names, &r->open[r->count]))
			r->plugins[r->count++] = *names;
		r->failed += refused(r->ctx, *names);
	}
}

int main(int argc, char **argv)
{
	struct tq_options options = {.struct_size = sizeof(options)};
	uint32_t least = 1, most = TQ_MAX_DIM, sparse = 1, *number;
	struct run r = {0};
	int full = 0, i;
	size_t k;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		number = !strcmp(argv[i], "--min-dim") ? &least :
			 !strcmp(argv[i], "--max-dim") ? &most :
			 !strcmp(argv[i], "--sparse")  ? &sparse :
							 NULL;
		if (!strcmp(argv[i], "--full"))
			full = 1;
		else if (i + 1 == argc || atoi(argv[i + 1]) <= 0)
			break;
		else if (!strcmp(argv[i], "--dim"))
			least = most = (uint32_t)atoi(argv[++i]);
		else if (number)
			*number = (uint32_t)atoi(argv[++i]);
		else
			break;
	}
	if (i == argc || argv[i][0] == '-' || argv[argc - 1][0] == '-' || argc - i > PLUGINS_MAX ||
	    tq_context_create(&options, &r.ctx)) {
		fprintf(stderr,
			"usage: backends [--full] [--dim D] [--min-dim D] [--max-dim D] [--sparse N] PLUGIN... %s\n",
			tq_error_text());
		return 2;
	}
	for (k = 0; k < 2; k++)
		snprintf(r.path[k], sizeof(r.path[k]), "backends-%d-%zu.tq", (int)getpid(), k);
	choose(&r, argv + i, argc - i);
	if (!r.count) {
		tq_context_destroy(r.ctx);
		return r.failed ? 1 : SKIPPED;
	}
	for (k = 0; k < COUNT(dims); k++)
		if (dims[k] >= least && dims[k] <= most)
			run_dim(&r, dims[k], full, sparse);
	for (k = 0; k < COUNT(sparse_dims); k++)
		if (sparse_dims[k] >= least && sparse_dims[k] <= most)
			run_dim(&r, sparse_dims[k], full, SPARSE * sparse);
	for (k = 0; k < r.count; k++) {
		r.failed += refused(r.ctx, r.plugins[k]);
		printf("%s: %u specs that it does not serve\n", r.plugins[k], r.unserved[k]);
		tq_quantizer_destroy(r.open[k]);
	}
	tq_context_destroy(r.ctx);
	printf("%u passed, %u failed\n", r.passed, r.failed);
	return r.failed || !r.passed ? 1 : 0;
}
