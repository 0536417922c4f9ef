/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_OPEN_QUANTIZER_H
#define TQ_TEST_OPEN_QUANTIZER_H

#include "tq/tq.h"

/** open_quantizer - of a spec, with a centre where it wants one; @driver: a pin or NULL */
static inline int open_quantizer(struct tq_context *ctx, const char *text, uint32_t d, const char *driver,
				 struct tq_quantizer **q)
{
	static float centre[4096];
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = driver};
	struct tq_spec spec;
	uint32_t i;

	for (i = 0; i < d; i++)
		centre[i] = (float)(i % 5) * 0.125f;
	tq_spec_init(&spec);
	if (!ctx || tq_spec_parse(&spec, text))
		return TQ_ERR_SPEC;
	o.centre = spec.center ? centre : NULL;
	return tq_quantizer_create(ctx, &spec, d, &o, q);
}

#endif
