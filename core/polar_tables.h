/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_POLAR_TABLES_H
#define TQ_POLAR_TABLES_H

/*
 * Angles and radii of the polar codes. Written by tests/data/train_polar.py from tests/data/polar.txt; do not edit.
 */

#include <stdint.h>

/* Tangents of the angles between cells, by level less 1 */
static const float polar_bound[4][3] = {
	{ 0x1.a8279a0000000p-2f, 0x1.0000000000000p+0f, 0x1.3504f40000000p+1f },
	{ 0x1.0548720000000p-1f, 0x1.0000000000000p+0f, 0x1.f5a5cc0000000p+0f },
	{ 0x1.3a222c0000000p-1f, 0x1.0000000000000p+0f, 0x1.a13fd80000000p+0f },
	{ 0x1.69b7c00000000p-1f, 0x1.0000000000000p+0f, 0x1.6a5c200000000p+0f },
};

/* Cosines of the cells' angles; the sines are these backwards */
static const float polar_cosine[4][4] = {
	{ 0x1.f6297c0000000p-1f, 0x1.a9b6620000000p-1f, 0x1.1c73b40000000p-1f, 0x1.8f8b840000000p-3f },
	{ 0x1.e7a2040000000p-1f, 0x1.9c81960000000p-1f, 0x1.2f49500000000p-1f, 0x1.3824680000000p-2f },
	{ 0x1.d2300a0000000p-1f, 0x1.8feb2c0000000p-1f, 0x1.3fb3980000000p-1f, 0x1.a761ca0000000p-2f },
	{ 0x1.bb3f560000000p-1f, 0x1.85a4aa0000000p-1f, 0x1.4c25d60000000p-1f, 0x1.0045d60000000p-1f },
};

static const uint16_t polar_radius_4[16] = {
	1154, 1354, 1497, 1614, 1719, 1817, 1910, 2002, 2094, 2188, 2288, 2395, 2514, 2653, 2830, 3094,
};

static const uint16_t polar_radius_5[32] = {
	1011, 1172, 1282, 1370, 1446, 1513, 1574, 1631, 1686, 1737, 1788, 1836, 1884, 1932, 1979, 2026,
	2073, 2121, 2169, 2219, 2270, 2323, 2378, 2436, 2498, 2565, 2639, 2721, 2816, 2931, 3080, 3312,
};

static const uint16_t polar_radius_6[64] = {
	888, 1022, 1111, 1181, 1239, 1290, 1336, 1378, 1417, 1454, 1488, 1521, 1552, 1582, 1612, 1640,
	1667, 1694, 1721, 1747, 1772, 1797, 1822, 1846, 1871, 1895, 1919, 1943, 1967, 1990, 2014, 2038,
	2062, 2086, 2110, 2135, 2159, 2184, 2209, 2235, 2261, 2287, 2314, 2342, 2370, 2399, 2428, 2459,
	2491, 2524, 2558, 2594, 2632, 2671, 2714, 2760, 2809, 2863, 2924, 2993, 3074, 3173, 3306, 3514,
};

#endif
