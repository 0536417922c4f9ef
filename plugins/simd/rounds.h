/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_ROUNDS_H
#define TQ_SIMD_ROUNDS_H

/*
 * The rounds of the randomized Hadamard rotation, FORMAT.md section 2, for every instruction set.
 * The file that includes this one defines the registers that window.h asks for, and names the
 * operations: rounds_rotate and rounds_unrotate are those of struct tq_rotation_ops.
 *
 * The roll by floor(d/3) after a round moves the vector to a lower address instead of around: only
 * the last floor(d/3) coordinates are copied, to just below the others. A row therefore works in a
 * buffer of dim + rounds * roll floats; dimensions above SIMD_FUSED_DIM_MAX, whose buffer would not
 * fit the stack, move between the output and the caller's scratch.
 */

#include "window.h"

/* One round of @n rows @stride apart: a window of all of them, whose chains of stages are
 * independent, then the other */
static inline void round_forward(const struct tq_rotation *rot, uint32_t t, float *y, size_t stride,
				 size_t n)
{
	const float *signs = round_signs(rot, t);
	size_t w = rot->window, i;

	for (i = 0; i < n; i++)
		window_forward(y + i * stride, signs, w);
	for (i = 0; i < n && w < rot->dim; i++)
		window_forward(y + i * stride + rot->dim - w, signs + w, w);
}

static inline void round_backward(const struct tq_rotation *rot, uint32_t t, float *y)
{
	const float *signs = round_signs(rot, t);
	size_t w = rot->window;

	if (w < rot->dim)
		window_backward(y + rot->dim - w, signs + w, w);
	window_backward(y, signs, w);
}

/** rounds_forward - y = R x of @n rows; x lies at @buf + i * stride + rounds * roll, y at @buf + i *
 * stride */
static inline void rounds_forward(const struct tq_rotation *rot, float *buf, size_t stride,
				  size_t n)
{
	size_t d = rot->dim, r = rot->roll, i;
	float *y = buf + rot->rounds * r;
	uint32_t t;

	for (t = 0; t < rot->rounds; t++) {
		round_forward(rot, t, y, stride, n);
		for (i = 0; i < n && r; i++)
			memcpy(y + i * stride - r, y + i * stride + d - r, r * sizeof(float));
		y -= r;
	}
}

/** rounds_backward - x = R^T y; y lies at @buf, x at @buf + rounds * roll */
static inline void rounds_backward(const struct tq_rotation *rot, float *buf)
{
	size_t d = rot->dim, r = rot->roll;
	float *y = buf;
	uint32_t t;

	for (t = rot->rounds; t-- > 0;) {
		if (r)
			memcpy(y + d, y, r * sizeof(float));
		y += r;
		round_backward(rot, t, y);
	}
}

/* to[(i + r) mod d] = from[i] */
static inline void roll_to(const float *from, float *to, size_t d, size_t r)
{
	memcpy(to + r, from, (d - r) * sizeof(float));
	memcpy(to, from + d - r, r * sizeof(float));
}

static inline void rotate_large(const struct tq_rotation *rot, const float *x, float *y,
				float *scratch)
{
	size_t d = rot->dim, r = rot->roll;
	float *from = r && (rot->rounds & 1) ? scratch : y, *to = from == y ? scratch : y, *swap;
	uint32_t t;

	memcpy(from, x, d * sizeof(float));
	for (t = 0; t < rot->rounds; t++) {
		round_forward(rot, t, from, 0, 1);
		if (r) {
			roll_to(from, to, d, r);
			swap = from;
			from = to;
			to = swap;
		}
	}
}

static inline void unrotate_large(const struct tq_rotation *rot, const float *x, float *y,
				  float *scratch)
{
	size_t d = rot->dim, r = rot->roll;
	float *from = r && (rot->rounds & 1) ? scratch : y, *to = from == y ? scratch : y, *swap;
	uint32_t t;

	memcpy(from, x, d * sizeof(float));
	for (t = rot->rounds; t-- > 0;) {
		if (r) {
			roll_to(from, to, d, d - r);
			swap = from;
			from = to;
			to = swap;
		}
		round_backward(rot, t, from);
	}
}

/** rounds_rotate - rotate of struct tq_rotation_ops for rht */
static void rounds_rotate(const struct tq_rotation *rot, const void *state, const float *x,
			  float *y, size_t n, float *scratch)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	size_t d = rot->dim, i;

	for (i = 0; i < n; i++, x += d, y += d) {
		if (rot->roll == 0) {
			memcpy(y, x, d * sizeof(float));
			rounds_forward(rot, y, 0, 1);
		} else if (d <= SIMD_FUSED_DIM_MAX) {
			memcpy(buf + rot->rounds * rot->roll, x, d * sizeof(float));
			rounds_forward(rot, buf, 0, 1);
			memcpy(y, buf, d * sizeof(float));
		} else {
			rotate_large(rot, x, y, scratch);
		}
	}
}

/** rounds_unrotate - unrotate of struct tq_rotation_ops for rht */
static void rounds_unrotate(const struct tq_rotation *rot, const void *state, const float *x,
			    float *y, size_t n, float *scratch)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	size_t d = rot->dim, i;

	for (i = 0; i < n; i++, x += d, y += d) {
		if (rot->roll == 0) {
			memcpy(y, x, d * sizeof(float));
			rounds_backward(rot, y);
		} else if (d <= SIMD_FUSED_DIM_MAX) {
			memcpy(buf, x, d * sizeof(float));
			rounds_backward(rot, buf);
			memcpy(y, buf + rot->rounds * rot->roll, d * sizeof(float));
		} else {
			unrotate_large(rot, x, y, scratch);
		}
	}
}

#endif
