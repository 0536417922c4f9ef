/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index as a .tq file: its rows by partitions are the codes of the file, and beside their ids there is
 * a section that says what kind of index it is. So segments of a mapped index are pieces of the sections
 * as they lie in the file.
 */

#include "args.h"
#include "index_stage.h"
#include "tq/file.h"

#define VERSION 1
#define VERSION_REFINE 2 /* the same with second codes */
#define ROWS_AT_ONCE 1024

/**
 * The index section: this, nlist + 1 first rows (u64), then with partitions the mean and the centroids, then
 * with second codes a struct refine_header.
 */
struct index_header {
	uint32_t version, metric, nlist, trained;
	uint64_t generation, next_id;
};

/** What second codes are: the codebook's hash, their bytes, and the spec string, zeros behind it. */
struct refine_header {
	uint32_t codebook_hash, row_bytes;
	char spec[TQ_SPEC_STRING_MAX];
};

_Static_assert(TQ_SPEC_STRING_MAX == 256, "a spec takes 256 bytes in a file");

/* ---- writing ---- */

/* Rows of blocks, one by one into @room for ROWS_AT_ONCE of them */
static int write_blocks(const struct tq_index *ix, const struct tq_index_segment *s,
			struct tq_file_writer *w, uint8_t *room)
{
	uint32_t row, n = 0;
	int ret = TQ_OK;

	for (row = 0; !ret && row < s->n; row++) {
		if (tq_index_is_live(s, row))
			tq_index_get_code(ix, s, row, room + n++ * ix->row_bytes);
		if (n == ROWS_AT_ONCE || row + 1 == s->n) {
			ret = tq_file_append(w, room, n);
			n = 0;
		}
	}
	return ret;
}

static int write_rows(const struct tq_index *ix, const struct tq_index_segment *s,
		      struct tq_file_writer *w)
{
	uint32_t row, run;
	int ret = TQ_OK;

	for (row = 0; !ret && row < s->n; row += run) {
		for (run = 0; row + run < s->n && tq_index_is_live(s, row + run); run++)
			;
		ret = tq_file_append(w, s->codes + row * ix->row_bytes, run);
		run += !run;
	}
	return ret;
}

static int write_codes(const struct tq_index *ix, struct tq_file_writer *w)
{
	const struct tq_index_segment *s;
	uint8_t *room = NULL;
	uint32_t list, i;
	int ret = TQ_OK;

	if (ix->block_bytes) {
		room = tq_alloc(ix->ctx, ROWS_AT_ONCE * ix->row_bytes);
		if (!room)
			return TQ_ERR_NOMEM;
	}
	for (list = 0; list < ix->nlist; list++)
		for (i = 0; !ret && i < ix->lists[list].nsegments; i++) {
			s = &ix->lists[list].segments[i];
			ret = tq_index_in_blocks(ix, s) ? write_blocks(ix, s, w, room) :
							  write_rows(ix, s, w);
		}
	tq_free(ix->ctx, room);
	return ret;
}

static int write_fine(const struct tq_index *ix, struct tq_file_writer *w)
{
	const struct tq_index_segment *s;
	uint32_t list, i, row;
	int ret = TQ_OK;

	for (list = 0; list < ix->nlist; list++)
		for (i = 0; i < ix->lists[list].nsegments; i++) {
			s = &ix->lists[list].segments[i];
			for (row = 0; !ret && row < s->n; row++)
				if (tq_index_is_live(s, row))
					ret = tq_file_section_write(w, s->fine + row * ix->fine_bytes,
								    ix->fine_bytes);
		}
	return ret;
}

static int write_refine_header(const struct tq_index *ix, struct tq_file_writer *w)
{
	struct refine_header h = {.codebook_hash = tq_codebook_hash(ix->fine),
				  .row_bytes = (uint32_t)ix->fine_bytes};

	tq_spec_print(&ix->refine, h.spec, sizeof(h.spec));
	return tq_file_section_write(w, &h, sizeof(h));
}

static int write_ids(const struct tq_index *ix, struct tq_file_writer *w, uint64_t *first)
{
	const struct tq_index_segment *s;
	uint32_t list, i, row;
	int ret = TQ_OK;

	for (list = 0; list < ix->nlist; list++) {
		first[list + 1] = first[list];
		for (i = 0; i < ix->lists[list].nsegments; i++) {
			s = &ix->lists[list].segments[i];
			for (row = 0; !ret && row < s->n; row++) {
				if (!tq_index_is_live(s, row))
					continue;
				first[list + 1]++;
				ret = tq_file_section_write(w, &s->ids[row], sizeof(s->ids[row]));
			}
		}
	}
	return ret;
}

static int write_sections(const struct tq_index *ix, uint64_t generation, struct tq_file_writer *w,
			  uint64_t *first)
{
	struct index_header h = {.version = ix->fine ? VERSION_REFINE : VERSION, .metric = ix->metric, .nlist = ix->nlist,
				 .trained = ix->centroids != NULL, .generation = generation,
				 .next_id = (uint64_t)ix->next_id};
	size_t row = ix->dim * sizeof(float);
	int ret;

	ret = write_codes(ix, w);
	if (!ret)
		ret = tq_file_section_begin(w, TQ_SECTION_IDS, 0);
	if (!ret)
		ret = write_ids(ix, w, first);
	if (!ret && ix->fine)
		ret = tq_file_section_begin(w, TQ_SECTION_REFINE, 0);
	if (!ret && ix->fine)
		ret = write_fine(ix, w);
	if (!ret)
		ret = tq_file_section_begin(w, TQ_SECTION_INDEX, 0);
	if (!ret)
		ret = tq_file_section_write(w, &h, sizeof(h));
	if (!ret)
		ret = tq_file_section_write(w, first, (ix->nlist + (size_t)1) * sizeof(*first));
	if (!ret && ix->centroids)
		ret = tq_file_section_write(w, ix->mean, row);
	if (!ret && ix->centroids)
		ret = tq_file_section_write(w, ix->centroids, ix->nlist * row);
	return ret || !ix->fine ? ret : write_refine_header(ix, w);
}

static int save(struct tq_index *ix, const char *path, uint64_t generation)
{
	struct tq_file_writer *w;
	uint64_t *first;
	int ret;

	first = tq_alloc(ix->ctx, (ix->nlist + (size_t)1) * sizeof(*first));
	if (!first)
		return TQ_ERR_NOMEM;
	ret = tq_file_create(ix->ctx, path, ix->q, &w);
	if (!ret) {
		ret = write_sections(ix, generation, w, first);
		if (ret)
			tq_file_abort(w);
		else
			ret = tq_file_commit(w);
	}
	tq_free(ix->ctx, first);
	return ret;
}

int tq_index_save(struct tq_index *index, const char *path)
{
	uint64_t other, generation;
	bool own;
	int ret;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(path);
	pthread_mutex_lock(&index->change);
	own = index->log && !strcmp(path, index->path);
	generation = index->generation + own;
	/* a log that lies there is not of this file */
	other = own ? 0 : tq_index_log_generation(index, path);
	if (other >= generation && other)
		generation = other;
	ret = save(index, path, generation);
	if (!ret && own) {
		index->generation = generation;
		ret = tq_index_log_renew(index);
	}
	pthread_mutex_unlock(&index->change);
	return ret;
}

/* ---- reading ---- */

/* The sections, and where in the index section things are */
struct contents {
	const struct tq_file *f;
	struct index_header h;
	const int64_t *ids;
	const uint64_t *first;
	const float *mean, *centroids;
	const uint8_t *fine;
	struct tq_spec refine;
	uint32_t codebook_hash, fine_bytes;
};

static int find_section(const struct tq_file *f, uint32_t type, struct tq_file_section *found)
{
	struct tq_file_section s = {.struct_size = sizeof(s)};
	size_t i, n = 0;

	for (i = 0; tq_file_section_at(f, i, &s) == TQ_OK; i++)
		if (s.type == type) {
			*found = s;
			n++;
		}
	if (n == 1)
		return TQ_OK;
	return tq_fail(TQ_ERR_FORMAT, "%s: %s", tq_section_type_name(type),
		       n ? "there are several such sections" : "is no index: there is no such section");
}

/* First rows ascend from 0 to the number of rows. */
static int check_first(const struct contents *c)
{
	uint32_t i, nlist = c->h.nlist;

	for (i = 0; i < nlist; i++)
		if (c->first[i] > c->first[i + 1] || c->first[i + 1] - c->first[i] >= UINT32_MAX)
			return tq_fail(TQ_ERR_FORMAT, "index: partition %u has a wrong end", i);
	if (c->first[0] || c->first[nlist] != tq_file_count(c->f))
		return tq_fail(TQ_ERR_FORMAT, "index: the partitions are not all rows");
	return TQ_OK;
}

static int check_finite(const struct contents *c)
{
	uint64_t n = c->centroids ? c->h.nlist + UINT64_C(1) : 0, i;
	uint32_t dim = tq_file_dim(c->f);

	for (i = 0; i < n * dim; i++)
		if ((tq_f32_bits(c->mean[i]) & 0x7f800000u) == 0x7f800000u)
			return tq_fail(TQ_ERR_FORMAT, "index: a centroid is not finite");
	return TQ_OK;
}

/* Second codes; @index: the section that says what they are */
static int read_refine(const struct tq_file *f, const struct tq_file_section *index, struct contents *c)
{
	struct tq_file_section fine;
	struct refine_header h;
	uint64_t bytes;
	int ret = find_section(f, TQ_SECTION_REFINE, &fine);

	if (ret)
		return ret;
	memcpy(&h, (const char *)index->data + index->bytes - sizeof(h), sizeof(h));
	if (h.spec[sizeof(h.spec) - 1])
		return tq_fail(TQ_ERR_FORMAT, "index: the spec of the second codes does not end");
	tq_spec_init(&c->refine);
	ret = tq_spec_parse(&c->refine, h.spec);
	if (ret)
		return tq_fail(ret, "index: second codes: %.300s", tq_error_text());
	if (c->refine.center != TQ_CENTER_OFF ||
	    __builtin_mul_overflow(tq_file_count(f), (uint64_t)h.row_bytes, &bytes) || bytes != fine.bytes)
		return tq_fail(TQ_ERR_FORMAT, "refine: %llu bytes are not one code for each row",
			       (unsigned long long)fine.bytes);
	c->fine = fine.data;
	c->fine_bytes = h.row_bytes;
	c->codebook_hash = h.codebook_hash;
	return TQ_OK;
}

/* The second codes are what this library takes them for. */
static int check_refiner(const struct tq_index *ix, const struct contents *c)
{
	if (!ix->fine || (ix->fine_bytes == c->fine_bytes && tq_codebook_hash(ix->fine) == c->codebook_hash))
		return TQ_OK;
	return tq_fail(TQ_ERR_FORMAT, "refine: made with another level table, or of another length");
}

static int read_contents(const struct tq_file *f, struct contents *c)
{
	struct tq_file_section index, ids;
	uint64_t row = tq_file_dim(f) * sizeof(float), want;
	int ret;

	c->f = f;
	ret = find_section(f, TQ_SECTION_INDEX, &index);
	if (!ret)
		ret = find_section(f, TQ_SECTION_IDS, &ids);
	if (ret)
		return ret;
	if (index.bytes < sizeof(c->h))
		return tq_fail(TQ_ERR_FORMAT, "index: has %llu bytes", (unsigned long long)index.bytes);
	memcpy(&c->h, index.data, sizeof(c->h));
	if (c->h.version != VERSION && c->h.version != VERSION_REFINE)
		return tq_fail(TQ_ERR_VERSION, "index: version %u is not known", c->h.version);
	if (c->h.metric > TQ_METRIC_L2 || c->h.nlist < 1 || c->h.nlist > TQ_INDEX_MAX_LISTS ||
	    c->h.trained > (c->h.nlist > 1) || c->h.next_id > INT64_MAX)
		return tq_fail(TQ_ERR_FORMAT, "index: metric %u, %u partitions, trained %u, next id %llu",
			       c->h.metric, c->h.nlist, c->h.trained, (unsigned long long)c->h.next_id);
	want = sizeof(c->h) + (c->h.nlist + UINT64_C(1)) * sizeof(uint64_t) +
	       (c->h.trained ? (c->h.nlist + UINT64_C(1)) * row : 0) +
	       (c->h.version == VERSION_REFINE ? sizeof(struct refine_header) : 0);
	if (index.bytes != want)
		return tq_fail(TQ_ERR_FORMAT, "index: has %llu bytes, not %llu",
			       (unsigned long long)index.bytes, (unsigned long long)want);
	c->ids = ids.data;
	c->first = (const void *)((const char *)index.data + sizeof(c->h));
	if (c->h.trained) {
		c->mean = (const float *)(const void *)(c->first + c->h.nlist + 1);
		c->centroids = c->mean + tq_file_dim(f);
	} else {
		c->mean = c->h.nlist == 1 ? tq_file_centre(f) : NULL;
		c->centroids = NULL;
		if (c->h.nlist > 1 && tq_file_count(f))
			return tq_fail(TQ_ERR_FORMAT, "index: has rows and was not trained");
	}
	if ((c->h.nlist > 1 || c->h.metric == TQ_METRIC_L2) &&
	    tq_file_spec(f)->center != TQ_CENTER_BOTH)
		return tq_fail(TQ_ERR_FORMAT, "index: needs center=both");
	ret = check_first(c);
	if (!ret)
		ret = check_finite(c);
	return ret || c->h.version != VERSION_REFINE ? ret : read_refine(f, &index, c);
}

static int map_list(struct tq_index *ix, const struct contents *c, uint32_t number)
{
	struct tq_index_list *list = &ix->lists[number];
	uint64_t first = c->first[number];
	uint32_t n = (uint32_t)(c->first[number + 1] - first);

	if (!n)
		return TQ_OK;
	list->segments = tq_alloc(ix->ctx, sizeof(*list->segments));
	if (!list->segments)
		return TQ_ERR_NOMEM;
	/* nothing is written there: it has no room */
	list->segments[0] = (struct tq_index_segment){
		.codes = (uint8_t *)(uintptr_t)tq_file_codes(c->f) + first * ix->row_bytes,
		.fine = ix->fine ? (uint8_t *)(uintptr_t)c->fine + first * ix->fine_bytes : NULL,
		.ids = (int64_t *)(uintptr_t)(c->ids + first), .n = n, .room = n};
	list->nsegments = list->room = 1;
	list->rows = n;
	return TQ_OK;
}

static void copy_code(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		      const uint8_t *code)
{
	uint8_t sign[TQ_BLOCK_ROW_MAX];
	float error;

	tq_index_put_code(ix, s, row, code);
	if (!ix->sign)
		return;
	tq_index_sign_rows(ix, code, 1, sign, &error);
	tq_index_put_sign(ix, s, row, sign, error);
}

static int copy_list(struct tq_index *ix, const struct contents *c, uint32_t number)
{
	struct tq_index_list *list = &ix->lists[number];
	uint64_t first = c->first[number];
	uint32_t n = (uint32_t)(c->first[number + 1] - first), i;
	struct tq_index_segment *s;
	int ret;

	for (i = 0; i < n; i++)
		if (c->ids[first + i] < 0 || c->ids[first + i] >= (int64_t)c->h.next_id)
			return tq_fail(TQ_ERR_FORMAT, "ids: %lld is not below the next id",
				       (long long)c->ids[first + i]);
	ret = tq_index_list_fit(ix, number, n);
	if (ret || !n)
		return ret;
	s = &list->segments[0];
	for (i = 0; i < n; i++)
		copy_code(ix, s, i, (const uint8_t *)tq_file_codes(c->f) + (first + i) * ix->row_bytes);
	memcpy(s->ids, c->ids + first, n * sizeof(*s->ids));
	if (ix->fine)
		memcpy(s->fine, c->fine + first * ix->fine_bytes, n * ix->fine_bytes);
	s->first = 0;
	s->n = list->rows = n;
	return TQ_OK;
}

int tq_index_read(struct tq_context *ctx, struct tq_file *f, uint32_t flags, const char *driver,
		  struct tq_index **out)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .driver = driver,
				     .flags = flags & TQ_INDEX_STAGED};
	bool map = flags & TQ_INDEX_MAP;
	struct contents c = {0};
	struct tq_index *ix;
	uint32_t i;
	int ret;

	ret = read_contents(f, &c);
	if (ret)
		return ret;
	o.refine = c.fine ? &c.refine : NULL;
	o.metric = c.h.metric;
	o.nlist = c.h.nlist;
	ret = tq_index_make(ctx, tq_file_spec(f), tq_file_dim(f), &o, c.mean, c.centroids, &ix);
	if (ret)
		return ret;
	ret = check_refiner(ix, &c);
	for (i = 0; !ret && i < ix->nlist; i++)
		ret = map ? map_list(ix, &c, i) : copy_list(ix, &c, i);
	ix->count = tq_file_count(f);
	ix->next_id = (int64_t)c.h.next_id;
	ix->generation = c.h.generation;
	if (!ret && !map)
		ret = tq_index_ids_ready(ix);
	if (ret) {
		tq_index_destroy(ix);
		return ret;
	}
	if (map)
		ix->file = f;
	*out = ix;
	return TQ_OK;
}

int tq_index_open(struct tq_context *ctx, const char *path, uint32_t flags, const char *driver,
		  struct tq_index **index)
{
	bool map = flags & TQ_INDEX_MAP;
	struct tq_file *f;
	int ret;

	TQ_CHECK_POINTER(ctx);
	TQ_CHECK_POINTER(path);
	TQ_CHECK_POINTER(index);
	*index = NULL;
	if (flags & ~(TQ_INDEX_MAP | TQ_INDEX_LOG | TQ_INDEX_STAGED))
		return tq_fail(TQ_ERR_ARG, "flags: 0x%x are unknown", flags);
	if (map && flags & TQ_INDEX_STAGED)
		return tq_fail(TQ_ERR_ARG, "flags: what a map has is not made for two stages");
	ret = tq_file_open(ctx, path, map ? TQ_FILE_DEFER : 0, &f);
	if (ret)
		return ret;
	ret = tq_index_read(ctx, f, flags, driver, index);
	if (ret)
		ret = tq_fail(ret, "%s: %.400s", path, tq_error_text());
	if (ret || !map)
		tq_file_close(f);
	if (ret)
		return ret;
	ret = tq_index_log_attach(*index, path, flags & TQ_INDEX_LOG);
	if (ret) {
		tq_index_destroy(*index);
		*index = NULL;
	}
	return ret;
}

int tq_index_verify(const struct tq_index *index)
{
	TQ_CHECK_POINTER(index);
	return index->file ? tq_file_verify(index->file) : TQ_OK;
}
