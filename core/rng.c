/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers: the counter-based generator Philox4x32-10 of Salmon, Moraes, Dror and Shaw (SC 2011)
 * and normals by the rational approximation AS 241 (PPND16) of Wichura (1988). Every number is a pure
 * function of (seed, role, sub, position), so streams cannot overlap and any part can be made alone.
 */

#include <math.h>
#include <string.h>
#include "rng.h"

#define ROUNDS 10
#define BATCH 64

static void philox_block(uint64_t seed, uint32_t role, uint32_t sub, uint64_t i, uint32_t out[4])
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	uint32_t c0 = (uint32_t)i, c1 = (uint32_t)(i >> 32), c2 = role, c3 = sub;
	uint64_t p0, p1;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		p0 = (uint64_t)0xD2511F53u * c0;
		p1 = (uint64_t)0xCD9E8D57u * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c1 = (uint32_t)p1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

void tq_rng_words(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
		  uint32_t *out)
{
	uint32_t block[4];
	uint64_t i = first / 4;
	size_t at = first % 4, take;

	while (n > 0) {
		philox_block(seed, role, sub, i++, block);
		take = 4 - at < n ? 4 - at : n;
		memcpy(out, block + at, take * sizeof(*out));
		out += take;
		n -= take;
		at = 0;
	}
}

/* The natural logarithm by + - * / alone, so that no machine's libm matters. x is normal, > 0. */
static double written_ln(double x)
{
	uint64_t bits;
	double m, s, z, p;
	int e, k;

	memcpy(&bits, &x, sizeof(bits));
	e = (int)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
	memcpy(&m, &bits, sizeof(m));
	if (m > 1.4142135623730951) {
		m = m * 0.5;
		e = e + 1;
	}
	s = (m - 1.0) / (m + 1.0);
	z = s * s;
	p = 1.0 / 27.0;
	for (k = 25; k >= 3; k -= 2)
		p = p * z + 1.0 / k;
	return e * 0.6931471805599453 + 2.0 * (s * (p * z) + s);
}

/* Eight coefficients, highest first. */
static double horner(const double *c, double r)
{
	double v = c[0];
	int i;

	for (i = 1; i < 8; i++)
		v = v * r + c[i];
	return v;
}

double tq_normal_quantile(double u)
{
	static const double centre_num[8] = {
		2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
		45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
		133.14166789178437745, 3.3871328727963666080,
	};
	static const double centre_den[8] = {
		5226.4952788528545610, 28729.085735721942674, 39307.895800092710610,
		21213.794301586595867, 5394.1960214247511077, 687.18700749205790830,
		42.313330701600911252, 1.0,
	};
	static const double tail_num[8] = {
		7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
		1.27045825245236838258e0,  3.64784832476320460504e0,  5.76949722146069140550e0,
		4.63033784615654529590e0,  1.42343711074968357734e0,
	};
	static const double tail_den[8] = {
		1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
		1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
		2.05319162663775882187e0,  1.0,
	};
	static const double far_num[8] = {
		2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
		2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
		5.46378491116411436990e0,  6.65790464350110377720e0,
	};
	static const double far_den[8] = {
		2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
		7.86869131145613259100e-4,  1.48753612908506148525e-2, 1.36929880922735805310e-1,
		5.99832206555887937690e-1,  1.0,
	};
	double q = u - 0.5, r, v;

	if (fabs(q) <= 0.425) {
		r = 0.180625 - q * q;
		return (q * horner(centre_num, r)) / horner(centre_den, r);
	}
	r = sqrt(-written_ln(q < 0.0 ? u : 1.0 - u));
	if (r <= 5.0) {
		r = r - 1.6;
		v = horner(tail_num, r) / horner(tail_den, r);
	} else {
		r = r - 5.0;
		v = horner(far_num, r) / horner(far_den, r);
	}
	return q < 0.0 ? -v : v;
}

void tq_rng_normals(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
		    double *out)
{
	uint32_t words[2 * BATCH];
	uint64_t bits;
	size_t take, i;

	while (n > 0) {
		take = n < BATCH ? n : BATCH;
		tq_rng_words(seed, role, sub, 2 * first, 2 * take, words);
		for (i = 0; i < take; i++) {
			bits = (uint64_t)words[2 * i + 1] << 32 | words[2 * i];
			out[i] = tq_normal_quantile(((double)(bits >> 12) + 0.5) * 0x1p-52);
		}
		out += take;
		first += take;
		n -= take;
	}
}
