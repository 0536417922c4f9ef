/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of codes of a fraction of a bit, up to 3.5. One query is multiplied by levels as they are looked up;
 * for several, sixteen rows become levels once. A query has its planes by units (radix.h), in the order of words that
 * radix_words.h gives, zeros where a unit has no coordinate:
 *
 *	struct query_head	64 bytes
 *	for each unit		64 bytes of the upper plane, then 64 of the lower one if there are two
 */

#include "grid.h"
#include "radix_words.h"

/* Levels of sixteen rows: unit u of row r at [BLOCK * u + r] */
struct grid {
	__m512i at[BLOCK * RADIX_UNITS];
};

static size_t units(const struct tq_plan *plan)
{
	return plan->radix->digits * radix_chunks(plan);
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return sizeof(struct query_head) + units(plan) * RADIX_UNIT * query_planes(plan);
}

/* The coordinates of a unit in the order of its words */
static void pack_unit(const struct radix_tables *t, const int8_t *q, size_t first, size_t n, int8_t *to)
{
	__m512i x = _mm512_maskz_loadu_epi8(bytes(n), n ? q + first : q);

	_mm512_store_si512(to, _mm512_permutexvar_epi8(_mm512_load_si512(t->place), x));
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	struct query_head head = { .scale = q->scale, .add = q->add, .sum = q->sum };
	int8_t *to = (int8_t *)packed + sizeof(head);
	size_t chunks = radix_chunks(plan), n = units(plan), u, first, m;

	memcpy(packed, &head, sizeof(head));
	for (u = 0; u < n; u++) {
		m = radix_unit(plan, u / chunks, u % chunks, &first);
		pack_unit(state, q->hi, first, m, to);
		to += RADIX_UNIT;
		if (query_planes(plan) < 2)
			continue;
		pack_unit(state, q->lo, first, m, to);
		to += RADIX_UNIT;
	}
}

/* Tables hold level + 128: twice a level is 2 (level + 128) - 256, and an exact half undoes it */
#define BETA 256
#define HALF 0.5f

/* Products of the levels of a chunk and one query on top of the sums of a row; @q: its first unit */
LEVELS_INLINE void multiply(const __m512i *level, uint32_t digits, const int8_t *q, size_t chunks, uint32_t planes,
			    __m512i *sum0, __m512i *sum1)
{
	const int8_t *at = q;
	uint32_t j;

#pragma GCC unroll 5
	for (j = 0; j < digits; j++, at += chunks * RADIX_UNIT * planes) {
		*sum0 = _mm512_dpbusd_epi32(*sum0, level[j], _mm512_load_si512(at));
		if (planes == 2)
			*sum1 = _mm512_dpbusd_epi32(*sum1, level[j], _mm512_load_si512(at + RADIX_UNIT));
	}
}

/* A of sixteen rows from @first on and one query of @planes */
LEVELS_INLINE __m512 sum_block(const struct tq_plan *plan, const struct radix_reader *l, uint32_t digits, uint32_t width,
			       size_t chunks, int small, const struct strip *strip, size_t first, const int8_t *q,
			       uint32_t planes, int64_t sum)
{
	size_t c, g, r;
	__m512i part[2][4], lane[2][GROUP], level[TQ_RADIX_DIGITS];
	const uint8_t *row[GROUP];
	uint8_t room[GROUP][RADIX_ROOM];

	for (g = 0; g < 4; g++, first += GROUP) {
#pragma GCC unroll 4
		for (r = 0; r < GROUP; r++) {
			lane[0][r] = lane[1][r] = _mm512_setzero_si512();
			fetch_row(plan, strip, first + r);
			row[r] = radix_row(plan, small, strip->row[first + r], room[r]);
		}
		for (c = 0; c < chunks; c++)
#pragma GCC unroll 4
			for (r = 0; r < GROUP; r++) {
				radix_read(plan, l, row[r], c, digits, width, level);
				multiply(level, digits, q + c * RADIX_UNIT * planes, chunks, planes, &lane[0][r],
					 &lane[1][r]);
			}
		group_sums(lane, planes, g, part);
	}
	return _mm512_mul_ps(block_sums(part, planes, BETA, sum), _mm512_set1_ps(HALF));
}

/* The same where a register holds two rows, r and r + 4, and each unit of the query its coordinates twice */
LEVELS_INLINE __m512 sum_pairs(const struct tq_plan *plan, const struct radix_reader *l, const struct strip *strip,
			       size_t first, const int8_t *q, uint32_t planes, int64_t sum)
{
	__m512i part[2][2], lane[2][4], level[TQ_RADIX_DIGITS], s[3];
	const uint8_t *const *row = strip->row + first;
	size_t g, r;
	uint32_t k;

	for (r = 0; r < BLOCK; r++)
		fetch_row(plan, strip, first + r);
#pragma GCC unroll 2
	for (g = 0; g < 2; g++, row += 8) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			lane[0][r] = lane[1][r] = _mm512_setzero_si512();
			radix_read_pair(plan, l, row[r], row[r + 4], level);
			multiply(level, 5, q, 1, planes, &lane[0][r], &lane[1][r]);
		}
#pragma GCC unroll 2
		for (k = 0; k < planes; k++)
			part[k][g] = add_lanes(lane[k][0], lane[k][1], lane[k][2], lane[k][3]);
	}
#pragma GCC unroll 2
	for (k = 0; k < planes; k++)
		s[k] = _mm512_add_epi32(_mm512_shuffle_i32x4(part[k][0], part[k][1], 0x88),
					_mm512_shuffle_i32x4(part[k][0], part[k][1], 0xdd));
	return _mm512_mul_ps(combine(s, (int)planes, BETA, sum), _mm512_set1_ps(HALF));
}

LEVELS_INLINE void decode(const struct tq_plan *plan, const struct radix_reader *l, uint32_t digits, uint32_t width,
			  const struct strip *strip, size_t first, __m512i *grid)
{
	size_t chunks = radix_chunks(plan), c, r, j;
	__m512i level[TQ_RADIX_DIGITS];
	int small = radix_is_small(plan);
	uint8_t room[RADIX_ROOM];
	const uint8_t *row;

	for (r = 0; r < BLOCK; r++)
		fetch_row(plan, strip, first + r);
	for (r = 0; r < BLOCK; r++) {
		row = radix_row(plan, small, strip->row[first + r], room);
		for (c = 0; c < chunks; c++) {
			radix_read(plan, l, row, c, digits, width, level);
#pragma GCC unroll 5
			for (j = 0; j < digits; j++)
				_mm512_store_si512(&grid[BLOCK * (j * chunks + c) + r], level[j]);
		}
	}
}

/* One query, its planes at @q, and a strip */
LEVELS_INLINE void score_one(const struct score_job *job, const struct radix_reader *l, uint32_t digits, uint32_t width,
			     int paired, const struct strip *strip, const int8_t *q, float *scores)
{
	const struct query_head *head = (const struct query_head *)(const void *)job->packed;
	const struct tq_plan *plan = job->plan;
	size_t chunks = radix_chunks(plan), i;
	int small = radix_is_small(plan);
	__m512 a;

	for (i = 0; i < strip->n; i += BLOCK) {
		if (paired)
			a = query_planes(plan) == 1 ? sum_pairs(plan, l, strip, i, q, 1, head->sum)
						    : sum_pairs(plan, l, strip, i, q, 2, head->sum);
		else if (query_planes(plan) == 2)
			a = sum_block(plan, l, digits, width, chunks, small, strip, i, q, 2, head->sum);
		else if (chunks == 1 && !small)
			a = sum_block(plan, l, digits, width, 1, 0, strip, i, q, 1, head->sum);
		else
			a = sum_block(plan, l, digits, width, chunks, small, strip, i, q, 1, head->sum);
		a = finish_rows(plan, head, strip, i, a, _mm512_setzero_ps());
		_mm512_mask_storeu_ps(scores + i, lanes(strip->n - i), a);
	}
}

/* A query of units of up to 32 coordinates, each of them in both halves */
static void duplicate(const int8_t *q, size_t n, int8_t *to)
{
	__m512i x;

	for (; n; n--, q += RADIX_UNIT, to += RADIX_UNIT) {
		x = _mm512_load_si512(q);
		_mm512_store_si512(to, _mm512_shuffle_i64x2(x, x, 0x44));
	}
}

LEVELS_INLINE void run_width(const struct score_job *job, const struct radix_tables *t, uint32_t digits, uint32_t width)
{
	const int8_t *q = (const int8_t *)job->packed + sizeof(struct query_head);
	int8_t twice[2 * TQ_RADIX_DIGITS * RADIX_UNIT] __attribute__((aligned(64)));
	int paired = width == 8 && job->plan->radix->words <= 32;
	struct radix_reader reader;
	struct strip strip;
	struct grid grid;
	size_t i, j;

	radix_reader_load(t, digits, width, &reader);
	if (paired && job->nq == 1) {
		duplicate(q, TQ_RADIX_DIGITS * query_planes(job->plan), twice);
		q = twice;
	}
	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		avx512_strip_numbers(job->plan, &strip);
		if (job->nq == 1)
			score_one(job, &reader, digits, width, paired, &strip, q, job->scores + j);
		for (i = 0; job->nq > 1 && i < strip.n; i += BLOCK) {
			decode(job->plan, &reader, digits, width, &strip, i, grid.at);
			grid_score(job, &strip, grid.at, i, units(job->plan), BETA, HALF, job->scores + j + i);
		}
	}
}

static void run(const struct score_job *job, const struct radix_tables *t)
{
#define RUN(digits, width) run_width(job, t, digits, width)
	RADIX_EACH_WIDTH(job->plan->radix, RUN);
#undef RUN
}

LEVELS_INLINE void decode_width(const struct tq_plan *plan, const struct radix_tables *t, uint32_t digits, uint32_t width,
				const struct strip *strip, size_t first, __m512i *grid)
{
	struct radix_reader reader;

	radix_reader_load(t, digits, width, &reader);
	decode(plan, &reader, digits, width, strip, first, grid);
}

static void decode_rows(const struct tq_plan *plan, const void *state, const struct strip *strip, size_t first,
			__m512i *grid)
{
#define DECODE(digits, width) decode_width(plan, state, digits, width, strip, first, grid)
	RADIX_EACH_WIDTH(plan->radix, DECODE);
#undef DECODE
}

LEVELS_INLINE int64_t unpack_width(const struct tq_plan *plan, const struct radix_tables *t, uint32_t digits,
				   uint32_t width, const uint8_t *row, int8_t *to)
{
	__m512i level[TQ_RADIX_DIGITS], sum = _mm512_setzero_si512();
	size_t chunks = radix_chunks(plan), c, j, first, n;
	struct radix_reader reader;
	uint8_t room[RADIX_ROOM];
	__mmask64 there;

	radix_reader_load(t, digits, width, &reader);
	row = radix_row(plan, radix_is_small(plan), row, room);
	for (c = 0; c < chunks; c++) {
		radix_read(plan, &reader, row, c, digits, width, level);
#pragma GCC unroll 5
		for (j = 0; j < digits; j++) {
			n = radix_unit(plan, j, c, &first);
			there = _mm512_cmplt_epu8_mask(_mm512_load_si512(t->place), _mm512_set1_epi8((char)n));
			level[j] = _mm512_maskz_sub_epi8(there, level[j], _mm512_set1_epi8(-128));
			sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), level[j]);
			_mm512_store_si512(to + RADIX_UNIT * (j * chunks + c), level[j]);
		}
	}
	return _mm512_reduce_add_epi32(sum);
}

static int64_t unpack(const struct tq_plan *plan, const void *state, const uint8_t *row, int8_t *to)
{
	int64_t sum;

#define UNPACK(digits, width) sum = unpack_width(plan, state, digits, width, row, to)
	RADIX_EACH_WIDTH(plan->radix, UNPACK);
#undef UNPACK
	return sum;
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na, const uint8_t *b,
			size_t nb, float *scores, size_t ld)
{
	const struct grid_code code = { decode_rows, unpack, units(plan), BETA, HALF };
	struct score_job job = { plan, NULL, NULL, na, b, NULL, nb, scores, ld };
	int8_t query[RADIX_UNIT * RADIX_UNITS] __attribute__((aligned(64)));
	struct grid grid;

	grid_pairs(&job, state, &code, a, na, grid.at, query);
}

#include "score_calls.h"

const struct tq_quantizer_ops avx512_radix_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
