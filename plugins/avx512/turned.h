/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_TURNED_H
#define TQ_AVX512_TURNED_H

/*
 * Sixteen rows turned, on their way to codes: a register holds one coordinate of all of them.
 */

#include "lanes.h"

#define TURNED_DIM_MIN 64
#define TURNED_DIM_MAX 256
/** Registers of the buffer: three rounds move the rows by three thirds of the dimension */
#define TURNED_ROOM (2 * TURNED_DIM_MAX)

/**
 * struct turned - sixteen rows on their way
 * @ahead: rows to fetch meanwhile, a line of each in turn
 * @line:  how many lines were asked for
 * @lines: to be asked for with every sixteen coordinates that pass a step
 * @y:     the coordinates, from rounds * roll on before the rotation
 * @norm:  lanes of norm2
 * @yc:    lanes of sum y * odd
 * @cc:    sum of odd^2, which a float holds up to here
 */
struct turned {
	struct avx512_ahead ahead;
	size_t line;
	size_t lines;
	__m512 y[TURNED_ROOM];
	__m512 norm[16];
	__m512 yc[16];
	__m512 cc;
};

/** fetch_lines - ask for some lines: spread over all the work, since more at once would only queue */
AVX512_INLINE void fetch_lines(struct turned *t)
{
	size_t i;

	/* a prefetch may point anywhere */
	for (i = 0; i < t->lines; i++, t->line++)
		_mm_prefetch(t->ahead.x + t->line % 16 * t->ahead.step + t->line / 16 * 64, _MM_HINT_T0);
}

/** sum_turned - what lanes l, l + 8 and so on of a row add up to, in the order of sum_tree(); @lane is overwritten */
AVX512_INLINE __m512 sum_turned(__m512 *lane)
{
	int h, i;

#pragma GCC unroll 4
	for (h = 8; h; h /= 2)
#pragma GCC unroll 8
		for (i = 0; i < h; i++)
			lane[i] = _mm512_add_ps(lane[i], lane[i + h]);
	return lane[0];
}

/** avx512_quantize_turned - levels, their sums and bytes; @sigma of each row */
void avx512_quantize_turned(const struct tq_plan *plan, const struct avx512_tables *tab, struct turned *t,
			    __m512 sigma, uint8_t *codes);

/** avx512_turns - does avx512_encode_turned() serve a plan */
int avx512_turns(const struct tq_plan *plan, const struct avx512_tables *tab);

/**
 * avx512_encode_turned - encode sixteen rows
 * @x:     the first
 * @step:  bytes from one to the next
 * @ahead: what is read next
 *
 * Return: 0 if one of them has to be scaled by the general rule; then nothing is written.
 */
int avx512_encode_turned(const struct tq_plan *plan, const struct avx512_tables *tab, const char *x, int dtype,
			 size_t step, const struct avx512_ahead *ahead, uint8_t *codes);

#endif
