/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The randomized Hadamard rotation, FORMAT.md section 2: the registers for ../simd/window.h.
 *
 * Stages h = 1, 2 stay inside a register: with p = x and partners changed over, p + x * (1, -1,
 * ...) is u + v in the first place of each pair and u - v in the second: one permutation and one
 * fma whose product is exact.
 */

#include "lanes.h"
#include "drivers.h"

typedef float32x4_t vec;

#define VEC_FLOATS 4
#define VEC_NEXT 8
#define vec_load(p) vld1q_f32(p)
#define vec_store(p, v) vst1q_f32(p, v)
#define vec_add(a, b) vaddq_f32(a, b)
#define vec_sub(a, b) vsubq_f32(a, b)
#define vec_mul(a, b) vmulq_f32(a, b)

NEON_INLINE float32x4_t vec_stages(float32x4_t x)
{
	const float32x4_t s1 = {1, -1, 1, -1}, s2 = {1, 1, -1, -1};

	x = vfmaq_f32(vrev64q_f32(x), x, s1);
	return vfmaq_f32(vextq_f32(x, x, 2), x, s2);
}

#include "../simd/rounds.h"

void neon_rht_forward(const struct tq_rotation *rot, float *buf)
{
	rounds_forward(rot, buf, 0, 1);
}

void neon_rht_backward(const struct tq_rotation *rot, float *buf)
{
	rounds_backward(rot, buf);
}

const struct tq_rotation_ops neon_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rounds_rotate,
	.unrotate = rounds_unrotate,
};
