/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SCALE_H
#define TEST_SCALE_H

#include <stdlib.h>

/** test_scale - TQ_TEST_SCALE, the part of its work that a test does: 1, or less under sanitizers and emulators */
static inline double test_scale(void)
{
	const char *text = getenv("TQ_TEST_SCALE");
	double scale = text ? atof(text) : 1.0;

	return scale > 0.0 && scale < 1.0 ? scale : 1.0;
}

#endif
