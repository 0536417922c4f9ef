/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "baseline.h"
#include "scan.h"

/* Rows that are really encoded; the rest of the memory holds copies of them */
#define FRESH_ROWS ((size_t)1024)

void *scan_prepare(const struct tq_quantizer *q, size_t nq)
{
	size_t dim = tq_dim(q), size = nq * tq_query_size(q);
	float *x = malloc(nq * dim * sizeof(*x));
	void *prepared = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!x || !prepared)
		bench_die("out of memory");
	bench_normals(x, nq * dim, 11);
	if (tq_query_prepare(q, x, dim, nq, prepared))
		bench_die("%s", tq_error_text());
	free(x);
	return prepared;
}

size_t scan_fill(const struct tq_quantizer *q, uint8_t *codes, size_t bytes)
{
	size_t dim = tq_dim(q), size = tq_code_size(q), rows = bytes / size;
	size_t fresh = rows < FRESH_ROWS ? rows : FRESH_ROWS;
	float *x = malloc(fresh * dim * sizeof(*x));

	if (!x)
		bench_die("out of memory");
	bench_normals(x, fresh * dim, 7);
	if (tq_encode(q, x, dim, fresh, codes))
		bench_die("%s", tq_error_text());
	bench_repeat(codes, fresh * size, rows * size);
	free(x);
	return rows;
}

/* With a pool of threads a call has enough rows for each to be worth waking */
static size_t block_rows(const struct scan *s)
{
	size_t n = SCAN_SCORES / s->nq;

	if (s->threads > 1)
		return n * s->threads;
	return n > SCAN_BLOCK ? SCAN_BLOCK : n;
}

void scan_codes(void *arg)
{
	const struct scan *s = arg;
	size_t block = block_rows(s), i, n;

	for (i = 0; i < s->rows; i += n) {
		n = s->rows - i < block ? s->rows - i : block;
		if (tq_score(s->q, s->prepared, s->nq, s->codes + i * s->row_bytes, n, s->scores,
			     block))
			bench_die("%s", tq_error_text());
	}
}

void scan_stream(void *arg)
{
	const struct scan *s = arg;
	volatile uint64_t sink;

	sink = baseline_sum(s->codes, s->rows * s->row_bytes);
	(void)sink;
}

void scan_dot16(void *arg)
{
	const struct scan *s = arg;
	const uint16_t *x = s->plain;
	size_t i, n;

	for (i = 0; i < s->rows; i += n) {
		n = s->rows - i < SCAN_BLOCK ? s->rows - i : SCAN_BLOCK;
		baseline_dot16(s->query, x + i * s->dim, n, s->dim, s->scores);
	}
}

void scan_dot32(void *arg)
{
	const struct scan *s = arg;
	const float *x = s->plain;
	size_t i, n;

	for (i = 0; i < s->rows; i += n) {
		n = s->rows - i < SCAN_BLOCK ? s->rows - i : SCAN_BLOCK;
		baseline_dot32(s->query, x + i * s->dim, n, s->dim, s->scores);
	}
}

void scan_halves(void *p, size_t bytes)
{
	size_t n = bytes / 2, fresh = n < 65536 ? n : 65536, i;
	uint64_t seed = 3;
	uint16_t *h = p;

	for (i = 0; i < fresh; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		h[i] = (uint16_t)(0x3800 | (seed >> 33 & 0x83ff));
	}
	bench_repeat(p, fresh * 2, n * 2);
}
