/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that the quantizers of a context share. Two threads that want the same one at the same
 * time may both make it; they are equal.
 */

#include <string.h>
#include "context.h"
#include "given.h"
#include "plan.h"

struct tq_shared_book {
	uint32_t code, bits, dim;
	struct tq_codebook book;
};

struct tq_shared_dense {
	struct tq_shared_dense *next;
	uint32_t role, dim;
	uint64_t seed;
	unsigned users;
	const float *rows, *columns;
};

void tq_shared_init(struct tq_context *ctx)
{
	pthread_mutex_init(&ctx->shared.lock, NULL);
}

void tq_shared_free(struct tq_context *ctx)
{
	unsigned i;

	tq_given_free(ctx);
	for (i = 0; i < TQ_SHARED_BOOKS; i++)
		tq_free(ctx, ctx->shared.books[i]);
	pthread_mutex_destroy(&ctx->shared.lock);
}

static bool find_book(struct tq_shared *shared, uint32_t code, uint32_t bits, uint32_t dim,
		      struct tq_codebook *book)
{
	const struct tq_shared_book *b;
	bool found = false;
	unsigned i;

	pthread_mutex_lock(&shared->lock);
	for (i = 0; i < TQ_SHARED_BOOKS && !found; i++) {
		b = shared->books[i];
		found = b && b->code == code && b->bits == bits && b->dim == dim;
		if (found)
			*book = b->book;
	}
	pthread_mutex_unlock(&shared->lock);
	return found;
}

int tq_shared_codebook(struct tq_context *ctx, uint32_t code, uint32_t bits, uint32_t dim,
		       struct tq_codebook *book)
{
	struct tq_shared *shared = &ctx->shared;
	struct tq_shared_book *b, *old;
	int ret;

	if (find_book(shared, code, bits, dim, book))
		return TQ_OK;
	b = tq_alloc(ctx, sizeof(*b));
	if (!b)
		return TQ_ERR_NOMEM;
	b->code = code;
	b->bits = bits;
	b->dim = dim;
	ret = tq_codebook_build(ctx, code, bits, dim, &b->book);
	if (ret) {
		tq_free(ctx, b);
		return ret;
	}
	*book = b->book;
	pthread_mutex_lock(&shared->lock);
	old = shared->books[shared->next];
	shared->books[shared->next] = b;
	shared->next = (shared->next + 1) % TQ_SHARED_BOOKS;
	pthread_mutex_unlock(&shared->lock);
	tq_free(ctx, old);
	return TQ_OK;
}

bool tq_shared_dense_get(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	struct tq_shared_dense *m;

	pthread_mutex_lock(&ctx->shared.lock);
	for (m = ctx->shared.dense; m; m = m->next)
		if (m->role == role && m->dim == rot->dim && m->seed == rot->seed)
			break;
	if (m) {
		m->users++;
		rot->rows = m->rows;
		rot->columns = m->columns;
	}
	pthread_mutex_unlock(&ctx->shared.lock);
	return m;
}

int tq_shared_dense_add(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	struct tq_shared_dense *m = tq_alloc(ctx, sizeof(*m));

	if (!m)
		return TQ_ERR_NOMEM;
	m->role = role;
	m->dim = rot->dim;
	m->seed = rot->seed;
	m->users = 1;
	m->rows = rot->rows;
	m->columns = rot->columns;
	pthread_mutex_lock(&ctx->shared.lock);
	m->next = ctx->shared.dense;
	ctx->shared.dense = m;
	pthread_mutex_unlock(&ctx->shared.lock);
	return TQ_OK;
}

void tq_shared_dense_put(struct tq_context *ctx, struct tq_rotation *rot)
{
	struct tq_shared_dense *m, **at;
	bool last = true;

	pthread_mutex_lock(&ctx->shared.lock);
	for (at = &ctx->shared.dense; *at && (*at)->rows != rot->rows; at = &(*at)->next)
		;
	m = *at;
	if (m) {
		last = --m->users == 0;
		if (last)
			*at = m->next;
	}
	pthread_mutex_unlock(&ctx->shared.lock);
	if (!last)
		return;
	tq_free(ctx, m);
	tq_free(ctx, (void *)(uintptr_t)rot->rows);
	tq_free(ctx, (void *)(uintptr_t)rot->columns);
}
