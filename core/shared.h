/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SHARED_H
#define TQ_SHARED_H

/*
 * Tables that the quantizers of a context share: level tables, which take milliseconds to make and
 * little room, are kept; dense matrices, which take O(d^3) time and 8 d^2 bytes, live as long as a
 * quantizer uses them. The tables themselves are read-only.
 */

#include <pthread.h>
#include "core.h"

#define TQ_SHARED_BOOKS 64

struct tq_shared_book;
struct tq_shared_dense;
struct tq_given_entry;

/**
 * struct tq_shared - what a context keeps
 * @lock:  guards the rest; never held while a table is made
 * @books: a ring, the oldest overwritten
 * @next:  where the next book goes
 * @dense: list of matrices in use
 * @given: list of what tq_given_add() brought
 */
struct tq_shared {
	pthread_mutex_t lock;
	struct tq_shared_book *books[TQ_SHARED_BOOKS];
	unsigned next;
	struct tq_shared_dense *dense;
	struct tq_given_entry *given;
};

void tq_shared_init(struct tq_context *ctx);

/** tq_shared_free - every rotation must be gone */
void tq_shared_free(struct tq_context *ctx);

/** tq_shared_codebook - tq_codebook_build(), at most once for what is kept */
int tq_shared_codebook(struct tq_context *ctx, uint32_t code, uint32_t bits, uint32_t dim,
		       struct tq_codebook *book);

/**
 * tq_shared_dense_get - take the matrix of a role, dimension and seed, if a rotation has it now
 * @rot: its dim and seed say which; receives rows and columns
 *
 * Return: whether there is one. Each is given back with tq_shared_dense_put().
 */
bool tq_shared_dense_get(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot);

/**
 * tq_shared_dense_add - offer a matrix to others
 * @rot: made by the caller, who now holds it as if by tq_shared_dense_get()
 *
 * Return: TQ_OK; TQ_ERR_NOMEM, and it is still the caller's alone.
 */
int tq_shared_dense_add(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot);

/** tq_shared_dense_put - the last to do so frees rows and columns */
void tq_shared_dense_put(struct tq_context *ctx, struct tq_rotation *rot);

#endif
