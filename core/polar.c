/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shipped tables of the polar codes, put together. FORMAT.md section 3.
 */

#include "plan.h"
#include "polar_tables.h"
#include "tq/polar.h"

#define HALF_STEP (1.0f / TQ_POLAR_UNIT)

uint32_t tq_polar_radius_bits(uint32_t code)
{
	if (code == TQ_CODE_POLAR)
		return TQ_POLAR_F16;
	return code >= TQ_CODE_POLAR4 && code <= TQ_CODE_POLAR6 ? 4 + code - TQ_CODE_POLAR4 : 0;
}

void tq_polar_fill(uint32_t code, struct tq_polar *p)
{
	static const uint16_t *const radii[] = { polar_radius_4, polar_radius_5, polar_radius_6 };
	uint32_t k, n;

	memset(p, 0, sizeof(*p));
	p->struct_size = sizeof(*p);
	p->radius_bits = tq_polar_radius_bits(code);
	memcpy(p->cosine, polar_cosine, sizeof(p->cosine));
	memcpy(p->bound, polar_bound, sizeof(p->bound));
	if (p->radius_bits == TQ_POLAR_F16)
		return;
	n = 1u << p->radius_bits;
	memcpy(p->radius, radii[p->radius_bits - 4], n * sizeof(*p->radius));
	for (k = 0; k + 1 < n; k++)
		p->radius_bound[k] = (float)(p->radius[k] + p->radius[k + 1]) * (0.5f * HALF_STEP);
}

float tq_polar_half_step(void)
{
	return HALF_STEP;
}

uint32_t tq_polar_crc(uint32_t code)
{
	uint32_t count, planes = 2, crc;
	struct tq_polar p;
	float h = HALF_STEP;

	tq_polar_fill(code, &p);
	count = p.radius_bits == TQ_POLAR_F16 ? 0 : 1u << p.radius_bits;
	crc = tq_crc32c(0, &count, sizeof(count));
	crc = tq_crc32c(crc, &planes, sizeof(planes));
	crc = tq_crc32c(crc, &h, sizeof(h));
	crc = tq_crc32c(crc, p.cosine, sizeof(p.cosine));
	crc = tq_crc32c(crc, p.bound, sizeof(p.bound));
	return tq_crc32c(crc, p.radius, count * sizeof(*p.radius));
}
