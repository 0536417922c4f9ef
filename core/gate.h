/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_GATE_H
#define TQ_GATE_H

/*
 * What the tests of the gate share: guarded buffers, inputs with the awkward values in them, batch
 * sizes around every likely vector width, and one way to say what was wrong.
 */

#include "compose.h"
#include "registry.h"
#include "rotation.h"

#define TQ_GATE_BUFFERS 16
#define TQ_GATE_ROWS_MAX 1024
#define TQ_GATE_POISON 0x5b

/** Memory with canaries on both sides. */
struct tq_gate_buffer {
	uint8_t *at;
	size_t size; /* room */
	size_t used; /* what the operation may write */
	void *block;
};

/**
 * struct tq_gate_bench - one driver under test on one family
 * @entry:  the driver
 * @state:  what its create() made
 * @dim:    coordinates
 * @random: state of the generator of inputs
 * @err:    TQ_OK, TQ_ERR_SELFTEST or TQ_ERR_NOMEM: the first thing that went wrong
 * @why:    the text of it
 */
struct tq_gate_bench {
	struct tq_context *ctx;
	struct tq_entry *entry;
	const struct tq_driver *driver;
	const struct tq_host *host;
	void *state;
	uint32_t dim;
	uint64_t random;
	int err;
	char *why;
	size_t why_size;
	size_t nbuffers;
	struct tq_gate_buffer none; /* what there is when memory is out */
	struct tq_gate_buffer buffers[TQ_GATE_BUFFERS];
};

void tq_gate_open(struct tq_gate_bench *b, struct tq_entry *e, uint32_t dim, char *why, size_t size);
void tq_gate_close(struct tq_gate_bench *b);

/** tq_gate_fault - record what was wrong, if nothing was before; returns b->err */
int tq_gate_fault(struct tq_gate_bench *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** tq_gate_buffer - @size bytes, @off bytes past a multiple of 64; b->err if there is no memory */
struct tq_gate_buffer *tq_gate_buffer(struct tq_gate_bench *b, size_t size, size_t off);

/** tq_gate_arm - fill the first @used bytes with a pattern and put canaries round them */
void tq_gate_arm(struct tq_gate_buffer *buf, size_t used);

/** tq_gate_intact - are the canaries alive; else tq_gate_fault() naming @what */
int tq_gate_intact(struct tq_gate_bench *b, const struct tq_gate_buffer *buf, const char *what,
		   size_t n);

/**
 * tq_gate_same - compare rows with the reference; else tq_gate_fault() naming row and byte
 * @at, @want: @n rows of @bytes, @step and @want_step bytes apart
 */
int tq_gate_same(struct tq_gate_bench *b, const char *what, const void *at, size_t step,
		 const void *want, size_t want_step, size_t bytes, size_t n);

/** tq_gate_size - the @i-th batch size up to @max, @max the last; 0 past it */
size_t tq_gate_size(size_t max, size_t i);

/** tq_gate_rows_for - how many rows to test if one costs @cost_per_row elementary steps */
size_t tq_gate_rows_for(const struct tq_gate_bench *b, double cost_per_row);

uint32_t tq_gate_word(struct tq_gate_bench *b);
/** tq_gate_normal - about a standard normal number, cheaply */
float tq_gate_normal(struct tq_gate_bench *b);

/**
 * tq_gate_vectors - input rows: mostly normal, and zeros, -0, denormals, huge, tiny, one-hot, constant
 * @tame: leave out what a 16-bit scale cannot hold
 */
void tq_gate_vectors(struct tq_gate_bench *b, float *x, size_t n, bool tame);

/** tq_gate_codes - rows with random fields, and rows of the highest, lowest and no level at all */
void tq_gate_codes(struct tq_gate_bench *b, const struct tq_plan *plan, uint8_t *codes, size_t n);

/** tq_gate_scalar - scalar's driver of this generic name, or NULL */
struct tq_entry *tq_gate_scalar(struct tq_context *ctx, const char *name);

/** tq_gate_is_scalar - the definition cannot be compared with itself: its golden vectors count */
bool tq_gate_is_scalar(const struct tq_entry *e);

/** tq_gate_pipeline - scalar everywhere, @e (unless NULL) wherever its generic name fits @plan */
int tq_gate_pipeline(struct tq_context *ctx, struct tq_entry *e, const struct tq_plan *plan,
		     struct tq_pipeline *pipe);

/** tq_gate_fits - does the driver's data allow the plan; supports() asked last */
bool tq_gate_fits(const struct tq_entry *e, const struct tq_plan *plan, char *why, size_t size);

/* The tests. Each creates and destroys its own state and records in the bench what it finds. */
int tq_gate_test_rotation(struct tq_gate_bench *b, const struct tq_rotation *rot);
int tq_gate_test_quantize(struct tq_gate_bench *b, const struct tq_plan *plan);
int tq_gate_test_score(struct tq_gate_bench *b, const struct tq_plan *plan);
int tq_gate_test_encode(struct tq_gate_bench *b, const struct tq_plan *plan);
int tq_gate_test_decode(struct tq_gate_bench *b, const struct tq_plan *plan);
int tq_gate_test_attend(struct tq_gate_bench *b, const struct tq_plan *plan);
int tq_gate_test_golden(struct tq_gate_bench *b);

#endif
