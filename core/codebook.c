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

/*
 * struct side - the positive levels of a book
 * @half: how many
 * @zero: 1: there is a level at zero too
 */
struct side {
	int half;
	int zero;
	double level[HALF_MAX];
	int number[HALF_MAX];
};

/* Panter and Dite: the best levels are spread like the cube root of the density. */
static void lloyd_start(struct density *s, struct side *side)
{
	double total = 0.0, sum = 0.0, *level = side->level;
	double at = side->zero ? 1.0 : 0.5, parts = side->half + 0.5 * side->zero;
	int half = side->half;
	int i, k = 0;

	cube_roots(s->f, s->root);
	for (i = 0; i < CELLS; i++)
		total = total + s->root[i];
	for (i = 0; i < CELLS && k < half; i++) {
		sum = sum + s->root[i];
		while (k < half && sum >= (k + at) / parts * total)
			level[k++] = midpoint(s, i);
	}
}

static void lloyd(struct density *s, struct side *side)
{
	struct moments left, right;
	double mass, next, *level = side->level;
	int step, k, half = side->half;

	lloyd_start(s, side);
	for (step = 0; step < LLOYD_STEPS; step++) {
		left = moments_to(s, side->zero ? 0.5 * level[0] : 0.0);
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

/* Odd multiples of h nearest to the levels, even ones beside a zero, strictly ascending, at most top. */
static void round_to_grid(struct side *side, double h, int top)
{
	int k, half = side->half, *odd = side->number;

	top -= side->zero;
	for (k = 0; k < half; k++) {
		odd[k] = side->zero ? 2 * (int)floor(side->level[k] / (2.0 * h) + 0.5) :
				      2 * (int)floor(side->level[k] / (2.0 * h)) + 1;
		if (odd[k] < 1 + side->zero)
			odd[k] = 1 + side->zero;
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
static double grid_error(const struct density *s, const struct side *side, double h)
{
	struct moments left = moments_to(s, side->zero ? 0.5 * (side->number[0] * h) : 0.0), right;
	double error = side->zero ? left.second : 0.0, c, next;
	int k, half = side->half;
	const int *odd = side->number;

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

/* The multiple of the grid that fits the levels of both sides best; the first has the largest level. */
static void lm_one_plane(const struct density *s, struct side side[2], float *h)
{
	double error, best = INFINITY;
	struct side trial[2];
	float step;
	int j, k;

	memcpy(trial, side, sizeof(trial));
	for (j = 0; j < GRID_TRIALS; j++) {
		step = (float)(side[0].level[side[0].half - 1] / (128.0 - 0.25 * j));
		error = 0.0;
		for (k = 0; k < 2 && trial[k].half; k++) {
			round_to_grid(&trial[k], step, ODD_MAX_ONE_PLANE);
			error = error + grid_error(s, &trial[k], step);
		}
		if (error < best) {
			best = error;
			*h = step;
			memcpy(side, trial, sizeof(trial));
		}
	}
}

static void build_lm(struct density *s, struct tq_codebook *book, struct side side[2])
{
	int k;

	for (k = 0; k < 2 && side[k].half; k++)
		lloyd(s, &side[k]);
	if (book->planes == 1) {
		lm_one_plane(s, side, &book->half_step);
		return;
	}
	book->half_step = (float)(side[0].level[side[0].half - 1] / ODD_MAX_TWO_PLANES);
	for (k = 0; k < 2 && side[k].half; k++)
		round_to_grid(&side[k], book->half_step, ODD_MAX_TWO_PLANES);
}

static void build_uniform(const struct density *s, struct tq_codebook *book, struct side *side)
{
	double lo = 0.0, hi = s->edge / side->half, span, error, best;
	int pass, j, best_j;
	float step;

	for (j = 0; j < side->half; j++)
		side->number[j] = 2 * j + 1;
	for (pass = 0; pass < 3; pass++) {
		best = INFINITY;
		best_j = 1;
		span = hi - lo;
		for (j = 1; j <= 64; j++) {
			step = (float)(lo + span * j / 64);
			error = grid_error(s, side, step);
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

/* The levels of a side, ascending, from place @at of the book on, and the bounds between them */
static uint32_t mirror(struct tq_codebook *book, const struct side *side, uint32_t at)
{
	int16_t *level = book->odd + at;
	int i, half = side->half, up = half + side->zero;

	for (i = 0; i < half; i++) {
		level[up + i] = (int16_t)side->number[i];
		level[half - 1 - i] = (int16_t)-side->number[i];
	}
	for (i = 0; i + 1 < half + up; i++)
		book->bounds[at + (uint32_t)i] = (float)((level[i] + level[i + 1]) * 0.5 * (double)book->half_step);
	return at + (uint32_t)(half + up);
}

static void set_count(struct side *side, uint32_t count)
{
	side->half = (int)count / 2;
	side->zero = count % 2;
}

int tq_codebook_build(struct tq_context *ctx, uint32_t code, uint32_t bits, uint32_t dim,
		      struct tq_codebook *book)
{
	const struct tq_trellis *trellis = tq_trellis_of(code, bits);
	int polar = tq_polar_radius_bits(code) != 0, k;
	struct side side[2];
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
	book->planes = 1;
	memset(side, 0, sizeof(side));
	if (bits && !trellis && !polar)
		set_count(side, 1u << bits);
	for (k = 0; k < 2 && tq_radix_width(code); k++)
		set_count(&side[k], tq_radix_count(code, (uint32_t)k));
	if (trellis) {
		book->half_step = trellis->half_step;
	} else if (polar) {
		book->planes = 2;
		book->half_step = tq_polar_half_step();
	} else if (bits && code == TQ_CODE_SIGN) {
		side[0].number[0] = ODD_MAX_ONE_PLANE;
		book->half_step = (float)(1.0 / ODD_MAX_ONE_PLANE);
	} else if (bits && code == TQ_CODE_UNIFORM) {
		book->planes = bits <= 7 ? 1 : 2;
		build_uniform(s, book, side);
	} else if (bits) {
		book->planes = bits <= 4 ? 1 : 2;
		build_lm(s, book, side);
	}
	for (k = 0; k < 2 && side[k].half; k++)
		book->count = mirror(book, &side[k], book->count);
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
