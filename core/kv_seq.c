/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of a KV cache: for each layer a list of entries, each some rows of a page. Entries are in the
 * order of positions; a trimmed sequence has a gap behind its sinks.
 */

#include "kv.h"

int tq_kv_run_push(struct tq_kv *kv, struct tq_kv_run *run, const struct tq_kv_entry *e)
{
	struct tq_kv_entry *more;
	size_t room;

	if (run->nentries == run->room) {
		room = 2 * run->room + 8;
		more = tq_alloc(kv->ctx, room * sizeof(*more));
		if (!more)
			return TQ_ERR_NOMEM;
		if (run->nentries)
			memcpy(more, run->entries, run->nentries * sizeof(*more));
		tq_free(kv->ctx, run->entries);
		run->entries = more;
		run->room = room;
	}
	run->entries[run->nentries++] = *e;
	return TQ_OK;
}

void tq_kv_run_rewind(struct tq_kv *kv, struct tq_kv_run *run, uint64_t tokens)
{
	struct tq_kv_entry *e;

	while (run->nentries) {
		e = &run->entries[run->nentries - 1];
		if (e->start < tokens) {
			if (tq_kv_end(e) > tokens)
				e->count = (uint32_t)(tokens - e->start);
			break;
		}
		tq_kv_page_put(kv, e->page);
		run->nentries--;
	}
	if (run->tokens > tokens)
		run->tokens = tokens;
}

static void run_free(struct tq_kv *kv, struct tq_kv_run *run)
{
	size_t i;

	for (i = 0; i < run->nentries; i++)
		tq_kv_page_put(kv, run->entries[i].page);
	tq_free(kv->ctx, run->entries);
}

int tq_kv_seq_create(struct tq_kv *kv, struct tq_kv_seq **out)
{
	struct tq_kv_seq *seq;

	if (!kv || !out)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", kv ? "seq" : "kv");
	*out = NULL;
	seq = tq_alloc(kv->ctx, sizeof(*seq) + kv->o.layers * sizeof(seq->runs[0]));
	if (!seq)
		return TQ_ERR_NOMEM;
	seq->kv = kv;
	*out = seq;
	return TQ_OK;
}

void tq_kv_seq_drop(struct tq_kv_seq *seq)
{
	uint32_t i;

	if (!seq)
		return;
	for (i = 0; i < seq->kv->o.layers; i++)
		run_free(seq->kv, &seq->runs[i]);
	tq_free(seq->kv->ctx, seq);
}

static int run_copy(struct tq_kv *kv, const struct tq_kv_run *from, struct tq_kv_run *to)
{
	size_t i;

	to->tokens = from->tokens;
	if (!from->nentries)
		return TQ_OK;
	to->entries = tq_alloc(kv->ctx, from->nentries * sizeof(*to->entries));
	if (!to->entries)
		return TQ_ERR_NOMEM;
	to->room = to->nentries = from->nentries;
	memcpy(to->entries, from->entries, from->nentries * sizeof(*to->entries));
	for (i = 0; i < to->nentries; i++)
		tq_kv_page_get(to->entries[i].page);
	return TQ_OK;
}

int tq_kv_seq_fork(struct tq_kv_seq *seq, struct tq_kv_seq **fork)
{
	uint32_t i;
	int ret;

	if (!seq || !fork)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", seq ? "fork" : "seq");
	ret = tq_kv_seq_create(seq->kv, fork);
	for (i = 0; !ret && i < seq->kv->o.layers; i++)
		ret = run_copy(seq->kv, &seq->runs[i], &(*fork)->runs[i]);
	if (ret && *fork) {
		tq_kv_seq_drop(*fork);
		*fork = NULL;
	}
	return ret;
}

uint64_t tq_kv_seq_tokens(const struct tq_kv_seq *seq, uint32_t layer)
{
	return seq && layer < seq->kv->o.layers ? seq->runs[layer].tokens : 0;
}

size_t tq_kv_seq_pages(const struct tq_kv_seq *seq, uint32_t layer)
{
	return seq && layer < seq->kv->o.layers ? seq->runs[layer].nentries : 0;
}

/* Would rewinding to @tokens end inside what was trimmed? Its two ends are fine places: a trim leaves the latter. */
static bool in_gap(const struct tq_kv_run *run, uint64_t tokens)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < run->nentries; i++) {
		if (tokens > end && tokens < run->entries[i].start)
			return true;
		end = tq_kv_end(&run->entries[i]);
	}
	return tokens > end && tokens < run->tokens;
}

int tq_kv_seq_rewind(struct tq_kv_seq *seq, uint64_t tokens)
{
	uint32_t i;

	if (!seq)
		return tq_fail(TQ_ERR_ARG, "seq is NULL");
	for (i = 0; i < seq->kv->o.layers; i++)
		if (tokens < seq->runs[i].tokens && in_gap(&seq->runs[i], tokens))
			return tq_fail(TQ_ERR_RANGE, "tokens: %llu lies among the trimmed positions of layer %u",
				       (unsigned long long)tokens, i);
	for (i = 0; i < seq->kv->o.layers; i++)
		tq_kv_run_rewind(seq->kv, &seq->runs[i], tokens);
	return TQ_OK;
}

/* Entries from the sinks on lose what lies before @position. */
static void run_trim(struct tq_kv *kv, struct tq_kv_run *run, uint64_t position)
{
	struct tq_kv_entry *e, *to = run->entries;
	uint32_t cut;

	for (e = run->entries; e < run->entries + run->nentries; e++) {
		if (e->start >= kv->o.sinks && tq_kv_end(e) <= position) {
			tq_kv_page_put(kv, e->page);
			continue;
		}
		if (e->start >= kv->o.sinks && e->start < position) {
			cut = (uint32_t)(position - e->start);
			e->start += cut;
			e->offset += cut;
			e->count -= cut;
		}
		*to++ = *e;
	}
	run->nentries = (size_t)(to - run->entries);
}

int tq_kv_seq_trim(struct tq_kv_seq *seq, uint64_t position)
{
	uint32_t i;

	if (!seq)
		return tq_fail(TQ_ERR_ARG, "seq is NULL");
	for (i = 0; i < seq->kv->o.layers; i++)
		if (position > seq->runs[i].tokens)
			return tq_fail(TQ_ERR_RANGE, "position: %llu, layer %u has %llu tokens",
				       (unsigned long long)position, i,
				       (unsigned long long)seq->runs[i].tokens);
	for (i = 0; i < seq->kv->o.layers; i++)
		if (seq->runs[i].entries)
			run_trim(seq->kv, &seq->runs[i], position);
	return TQ_OK;
}
