/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_PLAN_H
#define TQ_OPENCL_PLAN_H

/*
 * What a kernel knows of a plan: struct tq_plan (tq/plugin.h) flattened. It lies at the start of a
 * buffer of tables, which it names by their offsets in bytes. Shared by the host code (C), and by the
 * kernels (OpenCL C) as the first of their sources.
 */

#ifdef __OPENCL_VERSION__
typedef uchar uint8_t;
typedef char int8_t;
typedef short int16_t;
typedef ushort uint16_t;
typedef uint uint32_t;
typedef int int32_t;
#else
#include <stdint.h>
#endif

/* Work-items of a group, and those of them that share a row: the lanes of dot16 (FORMAT.md 4) */
#define TQO_GROUP 64
#define TQO_LANES 16

/* Queries that one work-item of a score kernel takes */
#define TQO_QUERIES 4

/* Room for a query's head before its planes */
#define TQO_HEAD_BYTES 64

struct tqo_section {
	uint32_t width, shift, at, bytes;
};

/* Fractions of a bit: struct tq_radix. Without, digits is 0. */
struct tqo_radix {
	uint32_t digits, words, count[5], place[5], base[5];
};

struct tqo_plan {
	uint32_t dim, padded, index_bits, correction;
	uint32_t effort, center, scale, query;
	uint32_t row_bytes, cross_at, rnorm_at, sketch_at, sketch_bytes, has_sketch;
	uint32_t count, planes, nsections;
	float half_step, coef, centre_norm2;
	struct tqo_section section[3];
	struct tqo_radix radix;
	uint32_t odd_at, bounds_at, centre_at, reserved;
};

/* What loading a row leaves for the later stages */
struct tqo_stat {
	float norm2, cross;
	int32_t exponent, reserved;
};

/*
 * A packed query: this head in TQO_HEAD_BYTES, then its planes of plan.padded bytes (4 * padded for a
 * float query), then the sketch's. A row that is scored against rows is packed likewise, with its own
 * scale and cross.
 */
struct tqo_head {
	float scale, sketch_scale, add, reserved;
};

#endif
