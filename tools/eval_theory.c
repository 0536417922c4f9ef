/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What theory says about a spec. With u a coordinate of a random unit vector times sqrt(d), and
 * c(u) the level next to it, two moments decide everything: A = E[u c] and C = E[c^2]. rho^2 = A^2
 * / C is the squared cosine between a vector and its code. The error of an inner product with an
 * orthogonal query is the energy of the reconstruction orthogonal to x, spread over d - 1
 * directions.
 */

#include <math.h>
#include "eval.h"

#define CELLS 400000

struct moments {
	double uc;
	double cc;
	double abs_u;
};

static double nearest(double u, const float *levels, unsigned count)
{
	unsigned k = 0;

	while (k + 1 < count && u > 0.5 * ((double)levels[k] + (double)levels[k + 1]))
		k++;
	return (double)levels[k];
}

/**
 * integrate - moments under the density of u = sqrt(d) sin(t), which is cos(t)^(d-2) in t
 *
 * In t nothing is singular for d >= 2; d = 1 has u = +-1 alone.
 */
static struct moments integrate(uint32_t dim, const float *levels, unsigned count)
{
	double limit = fmin(acos(-1) / 2, 12 / sqrt(dim)), mass = 0;
	struct moments m = {0};

	if (dim == 1) {
		double c = count ? nearest(1, levels, count) : 0;

		return (struct moments){c, c * c, 1};
	}
	for (unsigned i = 0; i < CELLS; i++) {
		double t = limit * (i + 0.5) / CELLS;
		double u = sqrt(dim) * sin(t), f = pow(cos(t), (double)dim - 2);
		double c = count ? nearest(u, levels, count) : 0;

		mass += f;
		m.uc += f * u * c;
		m.cc += f * c * c;
		m.abs_u += f * u;
	}
	return (struct moments){m.uc / mass, m.cc / mass, m.abs_u / mass};
}

/* A trellis, and angles of pairs, have no levels of their own for a coordinate. */
static bool has_levels(const struct tq_spec *spec)
{
	return spec->code == TQ_CODE_LM || spec->code == TQ_CODE_UNIFORM || spec->code == TQ_CODE_SIGN;
}

struct eval_figures eval_theory(const struct tq_spec *spec, uint32_t dim, const float *levels,
				unsigned count)
{
	struct moments m = integrate(dim, levels, count);
	double spread = dim > 1 ? dim / (dim - 1.0) : 1;
	double half_pi = acos(-1) / 2, kappa2 = 1 / (m.abs_u * m.abs_u), rho2, residual;

	if (!has_levels(spec))
		return (struct eval_figures){NAN, NAN, NAN};
	rho2 = m.cc > 0 ? m.uc * m.uc / m.cc : 0;
	residual = 1 - 2 * m.uc + m.cc;
	switch (spec->correction) {
	case TQ_CORR_NORM:
		return (struct eval_figures){2 - 2 * sqrt(rho2), sqrt(rho2), (1 - rho2) * spread};
	case TQ_CORR_LS:
		return (struct eval_figures){1 - rho2, rho2, rho2 * (1 - rho2) * spread};
	case TQ_CORR_UNBIASED:
		return (struct eval_figures){1 / rho2 - 1, 1, (1 / rho2 - 1) * spread};
	case TQ_CORR_QJL_GAUSS:
		return (struct eval_figures){residual * (half_pi - 1.0 / dim), 1,
					     residual * half_pi};
	case TQ_CORR_QJL_ORTHO:
	case TQ_CORR_QJL_RHT:
		return (struct eval_figures){residual * (kappa2 - 1), 1, residual * (kappa2 - 1)};
	default:
		return (struct eval_figures){residual, m.uc, (m.cc - m.uc * m.uc) * spread};
	}
}
