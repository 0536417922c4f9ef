/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_RNG_H
#define TQ_RNG_H

#include <stddef.h>
#include <stdint.h>

/** tq_rng_words - words @first .. @first + @n - 1 of the stream (seed, role, sub); FORMAT.md section 1 */
void tq_rng_words(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
		  uint32_t *out);

/** tq_normal_quantile - what a standard normal is below with probability @u, 0 < @u < 1; the same everywhere */
double tq_normal_quantile(double u);

/** tq_rng_normals - standard normals of that stream, from number @first */
void tq_rng_normals(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
		    double *out);

#endif
