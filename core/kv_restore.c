/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence back from a .tq file. Nothing in the file is trusted: it is read through a cursor that ends
 * where the section ends, and must describe the cache that it is read into.
 */

#include "kv.h"
#include "kv_file.h"
#include "tq/file.h"

struct cursor {
	const char *path;
	const unsigned char *at;
	uint64_t left;
};

static int take(struct cursor *c, void *to, size_t bytes)
{
	if (bytes > c->left)
		return tq_fail(TQ_ERR_FORMAT, "%s: section kv ends too early", c->path);
	memcpy(to, c->at, bytes);
	c->at += bytes;
	c->left -= bytes;
	return TQ_OK;
}

/* The one kv section */
static int find_section(const struct tq_file *f, struct cursor *c)
{
	struct tq_file_section s = { .struct_size = sizeof(s) };
	bool found = false;
	size_t i;

	for (i = 0; tq_file_section_at(f, i, &s) == TQ_OK; i++) {
		if (s.type != TQ_SECTION_KV)
			continue;
		if (found)
			return tq_fail(TQ_ERR_FORMAT, "%s: two sections kv", c->path);
		found = true;
		c->at = s.data;
		c->left = s.bytes;
	}
	return found ? TQ_OK : tq_fail(TQ_ERR_FORMAT, "%s: no section kv", c->path);
}

static int check_number(const struct cursor *c, const char *what, uint32_t got, uint32_t want)
{
	return got == want ? TQ_OK :
			     tq_fail(TQ_ERR_UNSUPPORTED, "%s: %s is %u, the cache's is %u", c->path, what, got,
				     want);
}

static int check_header(const struct tq_kv *kv, struct cursor *c, struct tq_kv_file_header *h)
{
	const struct tq_kv_options *o = &kv->o;
	size_t i;
	int ret;

	ret = take(c, h, sizeof(*h));
	if (ret)
		return ret;
	if (h->version != TQ_KV_FILE_VERSION && h->version != TQ_KV_FILE_SPLIT)
		return tq_fail(TQ_ERR_VERSION, "%s: kv version %u, this library knows %d and %d", c->path,
			       h->version, TQ_KV_FILE_VERSION, TQ_KV_FILE_SPLIT);
	if ((h->version == TQ_KV_FILE_SPLIT) != kv->split)
		return tq_fail(TQ_ERR_UNSUPPORTED, "%s: %s, the cache has %s", c->path,
			       kv->split ? "no head is split" : "some heads are split", kv->split ? "some" : "none");
	const struct {
		const char *what;
		uint32_t got, want;
	} same[] = {
		{ "layers", h->layers, o->layers }, { "kv_heads", h->kv_heads, o->kv_heads },
		{ "query_heads", h->query_heads, o->query_heads }, { "key_dim", h->key_dim, o->key_dim },
		{ "key_raw_dim", h->key_raw_dim, o->key_raw_dim },
		{ "value_dim", h->value_dim, o->value_dim }, { "raw_type", h->raw_type, o->raw_type },
		{ "sinks", h->sinks, o->sinks }, { "window", h->window, o->window },
		{ "page_tokens", h->page_tokens, o->page_tokens }, { "center", h->center, o->center },
		{ "center_tokens", h->center_tokens, o->center_tokens },
	};

	for (i = 0; !ret && i < sizeof(same) / sizeof(same[0]); i++)
		ret = check_number(c, same[i].what, same[i].got, same[i].want);
	return ret;
}

/*
 * Effort, and a correction without a sketch, are how codes and scales were found, nothing of what they mean: a file
 * of others opens.
 */
static bool is_codec(const struct tq_kv_codec *codec, const struct tq_kv_file_codec *f)
{
	const struct tq_spec *mine = tq_quantizer_spec(codec->q);
	char want[TQ_SPEC_STRING_MAX], got[TQ_SPEC_STRING_MAX];
	struct tq_spec spec;

	if (tq_dim(codec->q) != f->dim || tq_codebook_hash(codec->q) != f->hash ||
	    !memchr(f->spec, '\0', sizeof(f->spec)))
		return false;
	tq_spec_init(&spec);
	if (tq_spec_parse(&spec, f->spec))
		return false;
	spec.effort = mine->effort;
	if (spec.correction < TQ_CORR_QJL_GAUSS && mine->correction < TQ_CORR_QJL_GAUSS)
		spec.correction = mine->correction;
	return !tq_spec_print(&spec, got, sizeof(got)) && !tq_spec_print(mine, want, sizeof(want)) &&
	       !strcmp(got, want);
}

/* The file's codecs */
struct codecs {
	const unsigned char *at;
	uint32_t n;
};

static bool same_codec(const struct codecs *codecs, uint32_t number, const struct tq_kv_codec *want)
{
	struct tq_kv_file_codec f;

	if (!want || number >= codecs->n)
		return !want && number == TQ_KV_FILE_RAW;
	memcpy(&f, codecs->at + number * sizeof(f), sizeof(f));
	return is_codec(want, &f);
}

/* A head's keys or values: codecs, and channels of a split, must be the cache's. UNSUPPORTED has no text yet. */
static int check_part(const struct tq_kv *kv, struct cursor *c, const struct codecs *codecs,
		      const struct tq_kv_part *part)
{
	uint32_t number[2] = { 0, TQ_KV_FILE_RAW }, order[TQ_KV_MAX_DIM], g;
	size_t bytes = part->order ? part->group[1].first * sizeof(*order) : 0;
	int ret;

	ret = take(c, number, (kv->split ? 2 : 1) * sizeof(number[0]));
	if (ret)
		return ret;
	for (g = 0; g < 2; g++)
		if (!same_codec(codecs, number[g], g < part->groups ? part->group[g].codec : NULL))
			return TQ_ERR_UNSUPPORTED;
	ret = take(c, order, bytes);
	if (ret || !bytes)
		return ret;
	return memcmp(order, part->order, bytes) ? TQ_ERR_UNSUPPORTED : TQ_OK;
}

static int check_codecs(const struct tq_kv *kv, struct cursor *c, uint32_t ncodecs)
{
	const struct codecs codecs = { c->at, ncodecs };
	size_t size = sizeof(struct tq_kv_file_codec);
	const struct tq_kv_head *h;
	uint32_t layer, head, k;
	int ret = TQ_OK;

	if (ncodecs > c->left / size)
		return tq_fail(TQ_ERR_FORMAT, "%s: section kv ends too early", c->path);
	c->at += ncodecs * size;
	c->left -= ncodecs * size;
	for (layer = 0; layer < kv->o.layers; layer++) {
		for (head = 0; head < kv->o.kv_heads; head++) {
			h = &kv->layers[layer].heads[head];
			for (k = 0; !ret && k < 2; k++)
				ret = check_part(kv, c, &codecs, k ? &h->value : &h->key);
			if (ret == TQ_ERR_UNSUPPORTED)
				return tq_fail(ret, "%s: layer %u, head %u: another %s spec", c->path, layer, head,
					       k == 1 ? "key" : "value");
			if (ret)
				return ret;
		}
	}
	return TQ_OK;
}

/* A centre that the cache lacks is taken over; one that it has must be the same. */
static int read_centre(struct tq_kv *kv, uint32_t layer, uint32_t centred, struct cursor *c)
{
	size_t n = (size_t)kv->o.kv_heads * kv->o.key_dim;
	struct tq_kv_layer *l = &kv->layers[layer];
	const unsigned char *from = c->at;
	int ret = TQ_OK;

	if (!centred)
		return TQ_OK;
	if (!l->centre || centred != 1)
		return tq_fail(TQ_ERR_FORMAT, "%s: layer %u: a centre, where there is none", c->path, layer);
	if (n * sizeof(float) > c->left)
		return tq_fail(TQ_ERR_FORMAT, "%s: section kv ends too early", c->path);
	c->at += n * sizeof(float);
	c->left -= n * sizeof(float);
	if (tq_first_nonfinite(kv->ctx, from, TQ_F32, n, n, 1, NULL) == 0)
		return tq_fail(TQ_ERR_FORMAT, "%s: layer %u: the centre holds NaN or infinity", c->path, layer);
	pthread_mutex_lock(&kv->lock);
	if (!atomic_load(&l->centred)) {
		memcpy(l->centre, from, n * sizeof(float));
		atomic_store(&l->centred, true);
	} else if (memcmp(l->centre, from, n * sizeof(float))) {
		ret = tq_fail(TQ_ERR_UNSUPPORTED, "%s: layer %u: the cache has learned another centre",
			      c->path, layer);
	}
	pthread_mutex_unlock(&kv->lock);
	return ret;
}

static int check_entry(const struct tq_kv *kv, uint32_t layer, const struct tq_kv_file_entry *e,
		       uint64_t end, uint64_t tokens, uint32_t centred)
{
	uint32_t page = kv->o.page_tokens;

	return e->coded <= 1 && !e->zero && e->count && e->count <= page && e->offset <= page - e->count &&
	       e->start >= end && e->start < tokens && e->count <= tokens - e->start &&
	       !(e->coded && (!kv->layers[layer].coded_bytes || e->start < kv->o.sinks)) &&
	       !(e->coded && kv->layers[layer].centre && !centred);
}

static bool scale_ok(const struct tq_plan *plan, const unsigned char *at)
{
	float s = tq_load_scale(plan, at);

	return s >= 0.0f && s <= 3.4028234e38f;
}

static bool group_ok(const struct tq_kv_group *g, const unsigned char *rows, const struct tq_kv_entry *e)
{
	const unsigned char *at = rows + g->at + e->offset * g->row_bytes;
	const struct tq_plan *plan = g->codec->q->plan;
	uint32_t t;

	for (t = 0; t < e->count; t++, at += g->row_bytes)
		if (!scale_ok(plan, at + plan->layout.scale_at) ||
		    (plan->layout.rnorm_at != TQ_NO_FIELD && !scale_ok(plan, at + plan->layout.rnorm_at)))
			return false;
	return true;
}

/* Numbers that arithmetic will meet: scales and residual norms, 16-bit rows */
static bool part_ok(const struct tq_kv *kv, const struct tq_kv_part *part, const unsigned char *rows,
		    const struct tq_kv_entry *e)
{
	uint32_t g;

	if (!part->groups)
		return tq_first_nonfinite(kv->ctx, rows + e->offset * part->row_bytes, (int)kv->o.raw_type, part->dim,
					  part->dim, e->count, NULL) == e->count;
	for (g = 0; g < part->groups; g++)
		if (!group_ok(&part->group[g], rows, e))
			return false;
	return true;
}

static bool raw_ok(const struct tq_kv *kv, const uint16_t *rows, size_t stride, size_t width,
		   const struct tq_kv_entry *e)
{
	return tq_first_nonfinite(kv->ctx, rows + e->offset * stride, (int)kv->o.raw_type, width, stride, e->count,
				  NULL) == e->count;
}

static bool head_ok(const struct tq_kv *kv, uint32_t layer, uint32_t head, const struct tq_kv_entry *e)
{
	const struct tq_kv_head *h = &kv->layers[layer].heads[head];
	const unsigned char *data = e->page->data;
	const uint16_t *rows;
	size_t stride;

	if (e->page->coded)
		return part_ok(kv, &h->key, data + h->key_at, e) && part_ok(kv, &h->value, data + h->value_at, e) &&
		       raw_ok(kv, (const uint16_t *)(const void *)(data + h->tail_at), kv->o.key_raw_dim,
			      kv->o.key_raw_dim, e);
	rows = tq_kv_raw_key(kv, e->page, head, &stride);
	if (!raw_ok(kv, rows, stride, kv->key_width, e))
		return false;
	rows = tq_kv_raw_value(kv, e->page, head, &stride);
	return raw_ok(kv, rows, stride, kv->out_dim, e);
}

static int read_page(const struct tq_kv *kv, uint32_t layer, struct cursor *c, const struct tq_kv_entry *e)
{
	uint32_t h;
	int ret;

	ret = take(c, e->page->data, e->page->bytes);
	for (h = 0; !ret && h < kv->o.kv_heads; h++)
		if (!head_ok(kv, layer, h, e))
			ret = tq_fail(TQ_ERR_FORMAT, "%s: layer %u, head %u, tokens from %llu: not finite", c->path,
				      layer, h, (unsigned long long)e->start);
	return ret;
}

static int read_entries(struct tq_kv *kv, uint32_t layer, struct cursor *c,
			const struct tq_kv_file_layer *head, struct tq_kv_run *run)
{
	struct tq_kv_entry entry;
	struct tq_kv_file_entry e;
	uint64_t end = 0;
	uint32_t i;
	int ret = TQ_OK;

	for (i = 0; i < head->nentries; i++) {
		ret = take(c, &e, sizeof(e));
		if (!ret && !check_entry(kv, layer, &e, end, head->tokens, head->centred))
			ret = tq_fail(TQ_ERR_FORMAT, "%s: layer %u: entry %u is none", c->path, layer, i);
		if (!ret)
			ret = tq_kv_page_new(kv, layer, e.coded, 0, &entry.page);
		if (ret)
			return ret;
		entry.start = e.start;
		entry.offset = e.offset;
		entry.count = e.count;
		end = tq_kv_end(&entry);
		ret = tq_kv_run_push(kv, run, &entry);
		if (ret) {
			tq_kv_page_put(kv, entry.page);
			return ret;
		}
	}
	for (i = 0; !ret && i < run->nentries; i++)
		ret = read_page(kv, layer, c, &run->entries[i]);
	run->tokens = head->tokens;
	return ret;
}

static int read_layer(struct tq_kv_seq *seq, uint32_t layer, struct cursor *c)
{
	struct tq_kv_file_layer head;
	int ret;

	ret = take(c, &head, sizeof(head));
	if (!ret && head.tokens > UINT64_C(1) << 48)
		ret = tq_fail(TQ_ERR_FORMAT, "%s: layer %u: %llu tokens", c->path, layer,
			      (unsigned long long)head.tokens);
	if (!ret)
		ret = read_centre(seq->kv, layer, head.centred, c);
	return ret ? ret : read_entries(seq->kv, layer, c, &head, &seq->runs[layer]);
}

static int read_all(struct tq_kv_seq *seq, struct cursor *c)
{
	struct tq_kv_file_header h;
	uint32_t i;
	int ret;

	ret = check_header(seq->kv, c, &h);
	if (!ret)
		ret = check_codecs(seq->kv, c, h.ncodecs);
	for (i = 0; !ret && i < seq->kv->o.layers; i++)
		ret = read_layer(seq, i, c);
	if (!ret && c->left)
		ret = tq_fail(TQ_ERR_FORMAT, "%s: section kv has %llu bytes too many", c->path,
			      (unsigned long long)c->left);
	return ret;
}

int tq_kv_section_read(struct tq_kv *kv, const char *path, const void *data, uint64_t bytes,
		       struct tq_kv_seq **out)
{
	struct cursor c = { .path = path, .at = data, .left = bytes };
	int ret;

	ret = tq_kv_seq_create(kv, out);
	if (ret)
		return ret;
	ret = read_all(*out, &c);
	if (ret) {
		tq_kv_seq_drop(*out);
		*out = NULL;
	}
	return ret;
}

int tq_kv_seq_restore(struct tq_kv *kv, const char *path, struct tq_kv_seq **out)
{
	struct cursor c = { .path = path };
	struct tq_file *f;
	int ret;

	if (!kv || !path || !out)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !kv ? "kv" : !path ? "path" : "seq");
	*out = NULL;
	ret = tq_file_open(kv->ctx, path, 0, &f);
	if (ret)
		return ret;
	ret = find_section(f, &c);
	if (!ret)
		ret = tq_kv_section_read(kv, path, c.at, c.left, out);
	tq_file_close(f);
	return ret;
}
