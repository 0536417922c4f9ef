/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKASM_H
#define CHECKASM_H

#include <stddef.h>
#include <stdint.h>
#include "tq/tq.h"
#include "tq/plugin.h"
#include "guard.h"

/** The operations of a driver, in the order in which they are checked. */
enum check_op {
	OP_ROTATE = 0,
	OP_UNROTATE,
	OP_QUANTIZE,
	OP_DEQUANTIZE,
	OP_SCORE,
	OP_SCORE_LIST,
	OP_SCORE_BLOCKS,
	OP_SCORE_PAIRS,
	OP_LOGITS,
	OP_WEIGH,
	OP_MIX,
	OP_RAW_SCORE,
	OP_RAW_MIX,
	OP_ENCODE,
	OP_DECODE,
	OP_COUNT,
};

extern const char *const check_op_name[OP_COUNT];

/** check_has_op - does the driver fill the slot */
int check_has_op(const struct tq_driver *drv, int op);

/** One plugin, opened. */
struct check_plugin {
	const struct tq_plugin *plugin;
	const char *path;
};

/**
 * check_plugin_open - dlopen one plugin and look at its header
 * @path: the file
 * @out:  receives it; @path is kept
 *
 * Return: NULL, or why it cannot be used.
 */
const char *check_plugin_open(const char *path, struct check_plugin *out);

/** check_cpu - TQ_CPU_* bits of this machine; @arch receives enum tq_arch */
uint64_t check_cpu(uint32_t *arch);

/** check_host - the services that drivers get */
const struct tq_host *check_host(void);

/** The built-in plugin that defines every result. */
extern const struct tq_plugin tq_plugin_scalar;

/** check_reference - scalar's driver of generic name @name that fills @op, or NULL */
const struct tq_driver *check_reference(const char *name, int op);

/**
 * struct trial - one comparison: what is run on what
 * @ctx:    a context without plugins
 * @drv:    the driver under test
 * @op:     enum check_op
 * @rng:    state of the generator; its first value names the trial
 * @spec:   what was drawn
 * @plan:   made of it
 * @rot:    the linear map under test: the plan's rotation or sketch
 * @why:    the first difference, "" if none
 */
struct trial {
	struct tq_context *ctx;
	const struct tq_driver *drv;
	int op;
	uint64_t rng;
	struct tq_spec spec;
	struct tq_plan *plan;
	const struct tq_rotation *rot;
	float *centre;
	char why[256];
};

uint64_t rng_next(uint64_t *s);
/** rng_below - 0 .. n-1 */
uint32_t rng_below(uint64_t *s, uint32_t n);
/** rng_normal - roughly normal, by a sum of uniforms */
float rng_normal(uint64_t *s);

/**
 * trial_draw - draw a spec and a dimension that the driver serves, and make the plan
 *
 * Return: 1; 0 if none was found in a few hundred draws.
 */
int trial_draw(struct trial *t);
void trial_free(struct trial *t);

/** trial_vectors - @n rows of every kind: normal, heavy-tailed, one-hot, constant, zero, tiny, huge
 */
void trial_vectors(struct trial *t, float *x, size_t stride, size_t dim, size_t n);

/** trial_codes - random rows: every index, scales from zero to large */
void trial_codes(struct trial *t, uint8_t *codes, size_t n);

/** trial_differ - note where two results differ; 1 if they do */
int trial_differ(struct trial *t, const char *what, const void *want, const void *got, size_t size,
		 size_t element);

/** check_rotation, check_quantizer, check_fused - run both sides; 0 equal, else @t->why says */
int check_rotation(struct trial *t);
int check_quantizer(struct trial *t);
int check_score(struct trial *t);
int check_attend(struct trial *t);
int check_fused(struct trial *t);

/**
 * bench_driver - print times per row of each operation beside scalar's
 * @only: one operation, or -1
 */
void bench_driver(struct tq_context *ctx, const char *plugin, const struct tq_driver *drv,
		  int only);

#endif
