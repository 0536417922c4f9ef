/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_RADIX_H
#define TQ_NEON_RADIX_H

/*
 * Codes of a fraction of a bit: a row to levels in the order of coordinates. 32 words at a time are put together from
 * their fields and divided by the count of each digit in turn; what is left is below 32, and one look-up in registers
 * gives its level. A byte is divided by n as byte * (2^(8 + s) / n + 1) / 2^(8 + s), 2^s the power of two below n;
 * words of nine bits, of lm:4.5 alone, in 16 bits, by 2^16 likewise.
 *
 * A level is one byte up to 3.5 bits and two bytes at 4.5, as odd.h has them: odd = 128 * hi + lo.
 */

#include "odd.h"
#include "tq/radix.h"

#define RADIX_DIM_MAX 4096
#define RADIX_WORDS 32

/** Bytes of a row and plane, with those that the last digits may reach */
#define RADIX_ROOM (RADIX_DIM_MAX + 2 * RADIX_WORDS)

/** struct radix_book - the levels of a digit, alone */
struct radix_book {
	struct tq_codebook levels;
};

/**
 * struct radix_tables - state of the drivers
 * @hi, @lo: levels of the digits, by value; hi is used if @planes is 2
 * @factor:  of each digit: 2^(8 + s) / n + 1
 * @shift:   s
 * @wide:    2^15 / n + 1 of the first digit, for words of nine bits
 * @book:    levels of the first digit and, if @books is 2, of the other
 */
struct radix_tables {
	const struct tq_plan *plan;
	uint32_t planes;
	uint32_t books;
	struct radix_book book[2];
	int8_t hi[TQ_RADIX_DIGITS][32];
	int8_t lo[TQ_RADIX_DIGITS][32];
	uint8_t factor[TQ_RADIX_DIGITS];
	int8_t shift[TQ_RADIX_DIGITS];
	int16_t wide;
};

/** struct radix_levels - a row's, in the order of coordinates; those past its end are anything */
struct radix_levels {
	int8_t hi[RADIX_ROOM];
	int8_t lo[RADIX_ROOM];
};

int neon_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void neon_radix_destroy(const struct tq_host *host, void *state);

/** neon_radix_row - the levels of a row */
void neon_radix_row(const struct radix_tables *t, const uint8_t *row, struct radix_levels *to);

void neon_radix_quantize(const struct tq_plan *plan, const void *state, const float *y, const struct tq_row_stat *stat,
			 size_t n, uint8_t *codes);

/** radix_look_up - levels of 16 values of digit @j */
NEON_INLINE void radix_look_up(const struct radix_tables *t, uint32_t j, uint8x16_t value, int8x16_t *hi, int8x16_t *lo)
{
	*hi = vdupq_n_s8(0);
	*lo = vreinterpretq_s8_u8(vqtbl2q_u8(vld1q_u8_x2((const uint8_t *)t->lo[j]), value));
	if (t->planes == 2)
		*hi = vreinterpretq_s8_u8(vqtbl2q_u8(vld1q_u8_x2((const uint8_t *)t->hi[j]), value));
}

/** radix_odd - the two bytes of 16 levels to odd integers */
NEON_INLINE void radix_odd(const struct radix_tables *t, int8x16_t hi, int8x16_t lo, int16x8_t *odd)
{
	odd[0] = vmovl_s8(vget_low_s8(lo));
	odd[1] = vmovl_high_s8(lo);
	if (t->planes == 2) {
		odd[0] = vaddq_s16(odd[0], vshll_n_s8(vget_low_s8(hi), 7));
		odd[1] = vaddq_s16(odd[1], vshll_high_n_s8(hi, 7));
	}
}

#endif
