/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shipped level tables of the trellis codes, put together. FORMAT.md section 3.
 */

#include "plan.h"
#include "trellis_tables.h"

const struct tq_trellis *tq_trellis_of(uint32_t code, uint32_t bits)
{
	if ((code != TQ_CODE_TCQ8 && code != TQ_CODE_TCQ9) || bits < 1 || bits > 4)
		return NULL;
	return &tables[code - TQ_CODE_TCQ8][bits - 1];
}

uint32_t tq_trellis_crc(const struct tq_trellis *t)
{
	uint32_t count = 1u << t->window, planes = 1, crc, s;
	int16_t odd;

	crc = tq_crc32c(0, &count, sizeof(count));
	crc = tq_crc32c(crc, &planes, sizeof(planes));
	crc = tq_crc32c(crc, &t->half_step, sizeof(t->half_step));
	for (s = 0; s < count; s++) {
		odd = t->odd[s];
		crc = tq_crc32c(crc, &odd, sizeof(odd));
	}
	return crc;
}
