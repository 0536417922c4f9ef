/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is every input value finite? An exponent of all ones carries into the top bit when the lowest
 * exponent bit is added; the carries of a row are or-ed together. Integers only, so that the compiler
 * may vectorize and -ffast-math cannot lie. Encode reads all its rows here before it writes any, so what it reads is
 * asked for ahead: the CPU's own prefetcher alone does not reach the speed of memory.
 */

#include "codec.h"
#include "fetch.h"
#include "registry.h"

/* Bytes between what is read and what is asked for */
#define AHEAD 4096

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t f32_carry(const char *row, size_t n)
{
	uint32_t carry = 0, bits;
	size_t i;

	for (i = 0; i < n; i++) {
		memcpy(&bits, row + 4 * i, sizeof(bits));
		carry |= (bits & 0x7f800000u) + 0x00800000u;
	}
	return carry >> 31;
}

INLINE uint32_t half_carry(const char *row, size_t n, uint16_t exponent, uint16_t lowest)
{
	uint16_t carry = 0, bits;
	size_t i;

	for (i = 0; i < n; i++) {
		memcpy(&bits, row + 2 * i, sizeof(bits));
		carry |= (uint16_t)((bits & exponent) + lowest);
	}
	return carry >> 15;
}

INLINE uint32_t centred_carry(const char *row, int dtype, size_t n, const float *centre)
{
	uint32_t carry = 0;
	size_t i;

	for (i = 0; i < n; i++)
		carry |= (tq_f32_bits(tq_load_element(row, dtype, i) - centre[i]) & 0x7f800000u) +
			 0x00800000u;
	return carry >> 31;
}

INLINE uint32_t row_carry(const char *row, int dtype, size_t n, const float *centre)
{
	if (centre)
		return centred_carry(row, dtype, n, centre);
	if (dtype == TQ_F32)
		return f32_carry(row, n);
	if (dtype == TQ_F16)
		return half_carry(row, n, 0x7c00u, 0x0400u);
	return half_carry(row, n, 0x7f80u, 0x0080u);
}

typedef uint32_t (*carry_fn)(const char *row, int dtype, size_t n, const float *centre);

static uint32_t carry_base(const char *row, int dtype, size_t n, const float *centre)
{
	return row_carry(row, dtype, n, centre);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t carry_avx2(const char *row, int dtype, size_t n, const float *centre)
{
	return row_carry(row, dtype, n, centre);
}
#endif

/* Beside the fastest encode this pass counts, so a CPU with wide registers uses them, if it may. */
static carry_fn choose_carry(const struct tq_context *ctx)
{
#if defined(__x86_64__)
	if (ctx->registry->cpu & TQ_CPU_X86_64_V3)
		return carry_avx2;
#endif
	return carry_base;
}

size_t tq_first_nonfinite(const struct tq_context *ctx, const void *x, int dtype, size_t dim, size_t stride, size_t n,
			  const float *centre)
{
	const carry_fn carry = choose_carry(ctx);
	size_t row_bytes = stride * tq_dtype_size(dtype), i;
	const char *row = x;

	for (i = 0; i < n; i++, row += row_bytes) {
		tq_fetch(row + AHEAD, dim * tq_dtype_size(dtype));
		if (carry(row, dtype, dim, centre))
			break;
	}
	return i;
}
