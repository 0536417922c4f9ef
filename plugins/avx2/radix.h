/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_RADIX_H
#define TQ_AVX2_RADIX_H

/*
 * Codes of a fraction of a bit: a row to bytes in the order of coordinates. 32 words at a time are put
 * together from their fields, and divided by the count of each digit in turn: word / n = word * (2^16 / n + 1) / 2^16
 * for words below 256, two products of 16-bit lanes for even and odd bytes. A digit is what is left, below 16, and a
 * shuffle looks its level up.
 *
 * Odd counts have even level numbers, others odd ones: level = 2 g - beta, g in 0 .. 127, beta 128 or 127.
 *
 * Words of 4.5 bits are divided in 16 bits. Their digits are below 32 and take two shuffles a byte, of which a level has
 * two: g = 128 hi + lo, beta 16384 or 16383.
 */

#include "lanes.h"
#include "tq/radix.h"

#define RADIX_DIM_MAX 4096
#define RADIX_WORDS 32

/** Bytes of a row: up to the next 64 coordinates, and where the last digits may reach */
#define RADIX_ROOM (RADIX_DIM_MAX + 64 + RADIX_WORDS)

/** struct radix_book - the levels of a digit, alone */
struct radix_book {
	struct tq_codebook levels;
};

/**
 * struct radix_tables - state of the drivers
 * @planes:  bytes of g
 * @g:       of the digits, by value, if there is one
 * @hi, @lo: of the two digits of 4.5 bits, by value
 * @inverse: 2^16 / n + 1 of each
 * @beta:    of the first digit and of the others
 * @book:    levels of the first digit and, if @books is 2, of the other
 */
struct radix_tables {
	uint8_t g[TQ_RADIX_DIGITS][16];
	uint8_t hi[2][32];
	uint8_t lo[2][32];
	uint32_t planes;
	uint16_t inverse[TQ_RADIX_DIGITS];
	uint16_t beta[2];
	const struct tq_plan *plan;
	uint32_t books;
	struct radix_book book[2];
};

int avx2_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx2_radix_destroy(const struct tq_host *host, void *state);

void avx2_radix_quantize(const struct tq_plan *plan, const void *state, const float *y, const struct tq_row_stat *stat,
			 size_t n, uint8_t *codes);

/**
 * struct radix_levels - g of a row's coordinates; those past its end are anything
 * @hi: g itself if it has one byte
 */
struct radix_levels {
	uint8_t hi[RADIX_ROOM] __attribute__((aligned(32)));
	uint8_t lo[RADIX_ROOM] __attribute__((aligned(32)));
};

void avx2_radix_row(const struct radix_tables *t, const uint8_t *row, struct radix_levels *to);

/** radix_level - the level number of coordinate @i */
AVX2_INLINE int radix_level(const struct radix_tables *t, const struct radix_levels *v, size_t i)
{
	int g = t->planes == 2 ? 128 * v->hi[i] + v->lo[i] : v->hi[i];

	return 2 * g - t->beta[i >= t->plan->radix->words];
}

/** radix_beta - of coordinate @i */
AVX2_INLINE int radix_beta(const struct radix_tables *t, size_t i)
{
	return t->beta[i >= t->plan->radix->words];
}

#endif
