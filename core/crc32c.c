/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C (Castagnoli), reflected polynomial 0x82F63B78. A table of 16 entries takes four
 * bits at a time.
 */

#include "core.h"

#define T(n) ((n) & 1 ? 0x82F63B78u ^ ((n) >> 1) : (n) >> 1)
#define T4(n) T(T(T(T((uint32_t)(n)))))

static const uint32_t table[16] = {
	T4(0), T4(1), T4(2),  T4(3),  T4(4),  T4(5),  T4(6),  T4(7),
	T4(8), T4(9), T4(10), T4(11), T4(12), T4(13), T4(14), T4(15),
};

uint32_t tq_crc32c(uint32_t crc, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t i;

	crc = ~crc;
	for (i = 0; i < size; i++) {
		crc ^= p[i];
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return ~crc;
}
