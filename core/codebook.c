/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Levels for the exact density of a coordinate of a random point on the sphere, f(u) ~
 * (1 - u^2/d)^((d-3)/2) in units of sigma = 1, on an integer grid. The density is symmetric, so all
 * work is on its positive half. FORMAT.md section 3 is the definition; every step is f64 + - * / sqrt
 * in the order written there.
 */

#include <math.h>
#include "plan.h"

#define CELLS 8192
#define BLOCK 16
#define LLOYD_STEPS 500
#define ODD_MAX_ONE_PLANE 127
#define ODD_MAX_TWO_PLANES 16383
#define GRID_TRIALS 128
#define HALF_MAX 128

/*
 * struct density - the positive half in equal cells, with running sums
 * @edge:   U, the right end
 * @width:  of one cell
 * @f:      density at the midpoint of each cell
 * @root:   cube roots of f
 * @mass, @first, @second: sums of f, f*u, f*u*u over the cells to the left
 */
struct density {
	double edge;
	double width;
	double f[CELLS];
	double mass[CELLS + 1];
	double first[CELLS + 1];
	double second[CELLS + 1];
	double root[CELLS];
};

/* Moments of [0, t]. */
struct moments {
	double mass, first, second;
};

static double midpoint(const struct density *s, int i)
{
	return (i + 0.5) * s->width;
}

static double density_at(double u, uint32_t dim)
{
	double p = 1.0 - u * u / dim, r = 1.0, base = p;
	uint32_t e, q;

	if (dim == 1)
		return 1.0;
	if (dim == 2)
		return 1.0 / sqrt(p);
	e = dim - 3;
	for (q = e / 2; q > 0; q /= 2) {
		if (q & 1)
			r = r * base;
		base = base * base;
	}
	return e & 1 ? r * sqrt(p) : r;
}

static void density_fill(struct density *s, uint32_t dim)
{
	double u, f;
	int i;

	s->edge = sqrt((double)dim);
	if (s->edge > 9.0)
		s->edge = 9.0;
	s->width = s->edge / CELLS;
	for (i = 0; i < CELLS; i++) {
		u = midpoint(s, i);
		f = density_at(u, dim);
		s->f[i] = f;
		s->mass[i + 1] = s->mass[i] + f;
		s->first[i + 1] = s->first[i] + f * u;
		s->second[i + 1] = s->second[i] + f * (u * u);
	}
}

static struct moments moments_to(const struct density *s, double t)
{
	double v = t / s->width, r, u, rf;
	int i = v < CELLS ? (int)v : CELLS - 1;

	r = v - i;
	if (r > 1.0)
		r = 1.0;
	u = midpoint(s, i);
	rf = r * s->f[i];
	return (struct moments){ s->mass[i] + rf, s->first[i] + rf * u,
				 s->second[i] + rf * (u * u) };
}

/*
 * Sixty steps of Newton's method from 1 for each number; a block whose numbers a step leaves alone
 * stays so. Blocks hide the latency of the divisions, and a compiler divides several of their numbers at once.
 */
static void cube_roots(const double *x, double *root)
{
	double y[BLOCK], next[BLOCK];
	int i, at, step, moved;

	for (at = 0; at < CELLS; at += BLOCK) {
		for (i = 0; i < BLOCK; i++)
			y[i] = 1.0;
		for (step = 0, moved = 1; step < 60 && moved; step++) {
			for (i = 0; i < BLOCK; i++)
				next[i] = (2.0 * y[i] + x[at + i] / (y[i] * y[i])) / 3.0;
			moved = memcmp(next, y, sizeof(y));
			memcpy(y, next, sizeof(y));
		}
		for (i = 0; i < BLOCK; i++)
			root[at + i] = x[at + i] < 1e-30 ? 0.0 : y[i];
	}
}

/* Panter and Dite: the best levels are spread like the cube root of the density. */
static void lloyd_start(struct density *s, int half, double *level)
{
	double total = 0.0, sum = 0.0;
	int i, k = 0;

	cube_roots(s->f, s->root);
	for (i = 0; i < CELLS; i++)
		total = total + s->root[i];
	for (i = 0; i < CELLS && k < half; i++) {
		sum = sum + s->root[i];
		while (k < half && sum >= (k + 0.5) / half * total)
			level[k++] = midpoint(s, i);
	}
}

static void lloyd(struct density *s, int half, double *level)
{
	struct moments left, right;
	double mass, next;
	int step, k;

	lloyd_start(s, half, level);
	for (step = 0; step < LLOYD_STEPS; step++) {
		left = moments_to(s, 0.0);
		for (k = 0; k < half; k++) {
			next = k + 1 < half ? 0.5 * (level[k] + level[k + 1]) : s->edge;
			right = moments_to(s, next);
			mass = right.mass - left.mass;
			if (mass > 0.0)
				level[k] = (right.first - left.first) / mass;
			left = right;
		}
	}
}

/* Odd multiples of h nearest to the levels, strictly ascending, at most top. */
static void round_to_grid(const double *level, int half, double h, int top, int *odd)
{
	int k;

	for (k = 0; k < half; k++) {
		odd[k] = 2 * (int)floor(level[k] / (2.0 * h)) + 1;
		if (odd[k] > top)
			odd[k] = top;
		if (k > 0 && odd[k] < odd[k - 1] + 2)
			odd[k] = odd[k - 1] + 2;
	}
	for (k = half - 1; k >= 0; k--)
		if (odd[k] > top - 2 * (half - 1 - k))
			odd[k] = top - 2 * (half - 1 - k);
}

/* Mean square error of levels odd * h, up to a constant factor. */
static double grid_error(const struct density *s, const int *odd, int half, double h)
{
	struct moments left = moments_to(s, 0.0), right;
	double error = 0.0, c, next;
	int k;

	for (k = 0; k < half; k++) {
		c = odd[k] * h;
		next = k + 1 < half ? 0.5 * (c + odd[k + 1] * h) : s->edge;
		right = moments_to(s, next);
		error = error + ((right.second - left.second) -
				 (2.0 * c) * (right.first - left.first) +
				 (c * c) * (right.mass - left.mass));
		left = right;
	}
	return error;
}

static void lm_one_plane(const struct density *s, const double *level, int half, int *odd, float *h)
{
	double error, best = INFINITY;
	int trial[HALF_MAX], j;
	float step;

	for (j = 0; j < GRID_TRIALS; j++) {
		step = (float)(level[half - 1] / (128.0 - 0.25 * j));
		round_to_grid(level, half, step, ODD_MAX_ONE_PLANE, trial);
		error = grid_error(s, trial, half, step);
		if (error < best) {
			best = error;
			*h = step;
			memcpy(odd, trial, (size_t)half * sizeof(*odd));
		}
	}
}

static void build_lm(struct density *s, int half, struct tq_codebook *book, int *odd)
{
	double level[HALF_MAX] = { 0 };

	lloyd(s, half, level);
	if (book->planes == 1) {
		lm_one_plane(s, level, half, odd, &book->half_step);
		return;
	}
	book->half_step = (float)(level[half - 1] / ODD_MAX_TWO_PLANES);
	round_to_grid(level, half, book->half_step, ODD_MAX_TWO_PLANES, odd);
}

static void build_uniform(const struct density *s, int half, struct tq_codebook *book, int *odd)
{
	double lo = 0.0, hi = s->edge / half, span, error, best;
	int pass, j, best_j;
	float step;

	for (j = 0; j < half; j++)
		odd[j] = 2 * j + 1;
	for (pass = 0; pass < 3; pass++) {
		best = INFINITY;
		best_j = 1;
		span = hi - lo;
		for (j = 1; j <= 64; j++) {
			step = (float)(lo + span * j / 64);
			error = grid_error(s, odd, half, step);
			if (error < best) {
				best = error;
				best_j = j;
				book->half_step = step;
			}
		}
		hi = lo + span * (best_j + 1) / 64;
		lo = lo + span * (best_j - 1) / 64;
	}
}

static void mirror(struct tq_codebook *book, const int *odd, int half)
{
	uint32_t k;
	int i;

	for (i = 0; i < half; i++) {
		book->odd[half + i] = (int16_t)odd[i];
		book->odd[half - 1 - i] = (int16_t)-odd[i];
	}
	for (k = 0; k + 1 < book->count; k++)
		book->bounds[k] = (float)((book->odd[k] + book->odd[k + 1]) * 0.5 *
					  (double)book->half_step);
}

int tq_codebook_build(struct tq_context *ctx, uint32_t code, uint32_t bits, uint32_t dim,
		      struct tq_codebook *book)
{
	int odd[HALF_MAX] = { 0 }, half = bits ? 1 << (bits - 1) : 0;
	const struct tq_trellis *trellis = tq_trellis_of(code, bits);
	int polar = tq_polar_radius_bits(code) != 0;
	struct density *s;
	struct moments all;

	s = tq_alloc(ctx, sizeof(*s));
	if (!s)
		return TQ_ERR_NOMEM;
	density_fill(s, dim);
	all = moments_to(s, s->edge);
	memset(book, 0, sizeof(*book));
	book->struct_size = sizeof(*book);
	book->kappa = dim == 1 ? 1.0f : (float)(all.mass / all.first);
	book->count = bits && !trellis && !polar ? 1u << bits : 0;
	book->planes = 1;
	if (trellis) {
		book->half_step = trellis->half_step;
	} else if (polar) {
		book->planes = 2;
		book->half_step = tq_polar_half_step();
	} else if (bits && code == TQ_CODE_SIGN) {
		odd[0] = ODD_MAX_ONE_PLANE;
		book->half_step = (float)(1.0 / ODD_MAX_ONE_PLANE);
	} else if (bits && code == TQ_CODE_UNIFORM) {
		book->planes = bits <= 7 ? 1 : 2;
		build_uniform(s, half, book, odd);
	} else if (bits) {
		book->planes = bits <= 4 ? 1 : 2;
		build_lm(s, half, book, odd);
	}
	if (book->count)
		mirror(book, odd, half);
	tq_free(ctx, s);
	return TQ_OK;
}

uint32_t tq_codebook_crc(uint32_t code, uint32_t bits, const struct tq_codebook *book)
{
	const struct tq_trellis *trellis = tq_trellis_of(code, bits);
	uint32_t crc;

	if (trellis)
		return tq_trellis_crc(trellis);
	if (tq_polar_radius_bits(code))
		return tq_polar_crc(code);
	crc = tq_crc32c(0, &book->count, sizeof(book->count));
	crc = tq_crc32c(crc, &book->planes, sizeof(book->planes));
	crc = tq_crc32c(crc, &book->half_step, sizeof(book->half_step));
	crc = tq_crc32c(crc, book->odd, book->count * sizeof(book->odd[0]));
	if (book->count)
		crc = tq_crc32c(crc, book->bounds, (book->count - 1) * sizeof(book->bounds[0]));
	return crc;
}
