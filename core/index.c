/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vector index's life. What it holds is in index.h.
 */

#include "args.h"
#include "index_stage.h"
#include "tq/file.h"

const char *tq_metric_name(uint32_t metric)
{
	static const char *const names[] = {"ip", "cos", "l2"};

	return metric <= TQ_METRIC_L2 ? names[metric] : "unknown";
}

int tq_index_check_rows(const struct tq_index *ix, size_t stride, size_t n)
{
	if (stride < ix->dim)
		return tq_fail(TQ_ERR_ARG, "stride: %zu is less than the dimension %u", stride,
			       ix->dim);
	if (stride > PTRDIFF_MAX / sizeof(float) || n > PTRDIFF_MAX / (stride * sizeof(float)))
		return tq_fail(TQ_ERR_ARG, "stride: %zu rows of %zu exceed memory", n, stride);
	return TQ_OK;
}

int tq_index_check_finite(const struct tq_index *ix, const float *x, size_t stride, size_t n)
{
	size_t row = tq_first_nonfinite(ix->ctx, x, TQ_F32, ix->dim, stride, n, NULL);

	if (row == n)
		return TQ_OK;
	return tq_fail_row(TQ_ERR_NONFINITE, row, "x: row %zu holds NaN or infinity", row);
}

int tq_index_fail_at(int code, size_t first)
{
	uint64_t row = tq_error_row();

	if (row == TQ_NO_ROW)
		return code;
	return tq_fail_row(code, first + row, "x: row %llu: %s", (unsigned long long)(first + row),
			   tq_status_text(code));
}

/* ---- the centre ---- */

/* The codecs of rows and of their signs: with partitions the index takes the centre off, without them they do */
static int make_quantizers(const struct tq_index *ix, const float *mean, struct tq_quantizer **q,
			   struct tq_quantizer **sign)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = ix->driver};
	float *zero = NULL;
	int ret;

	if (ix->spec.center == TQ_CENTER_BOTH) {
		o.centre = mean;
		if (ix->nlist > 1) {
			zero = tq_alloc(ix->ctx, ix->dim * sizeof(*zero));
			if (!zero)
				return TQ_ERR_NOMEM;
			o.centre = zero;
		}
	}
	ret = tq_quantizer_create(ix->ctx, &ix->spec, ix->dim, &o, q);
	if (!ret)
		ret = tq_index_make_signer(ix, tq_code_size(*q), o.centre, sign);
	tq_free(ix->ctx, zero);
	return ret;
}

/*
 * The centroids as rows of @bits: what a row or query is nearest to is found among them. With cos their directions
 * count alone: the shorter a centroid, the wider its partition, and distances would put it too far behind.
 */
static int make_coarse(const struct tq_index *ix, const float *centroids, uint32_t bits, struct tq_index **coarse)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_L2, .driver = ix->driver};
	const float *rows = centroids;
	float *units = NULL;
	struct tq_spec spec;
	uint32_t i;
	int ret;

	if (ix->metric == TQ_METRIC_COS) {
		o.metric = TQ_METRIC_IP;
		rows = units = tq_alloc(ix->ctx, (size_t)ix->nlist * ix->dim * sizeof(*units));
		if (!units)
			return TQ_ERR_NOMEM;
		for (i = 0; i < ix->nlist; i++)
			tq_index_unit(centroids + (size_t)i * ix->dim, units + (size_t)i * ix->dim, ix->dim);
	}

	tq_spec_init(&spec);
	spec.bits = bits;
	spec.correction = TQ_CORR_UNBIASED;
	spec.seed = ix->spec.seed;
	spec.center = TQ_CENTER_BOTH;
	ret = tq_index_create(ix->ctx, &spec, ix->dim, &o, coarse);
	if (!ret) {
		ret = tq_index_train(*coarse, rows, ix->dim, ix->nlist);
		if (!ret)
			ret = tq_index_add(*coarse, rows, ix->dim, ix->nlist, NULL);
		if (ret) {
			tq_index_destroy(*coarse);
			*coarse = NULL;
		}
	}
	tq_free(ix->ctx, units);
	return ret;
}

int tq_index_set_centre(struct tq_index *ix, const float *mean, const float *centroids, bool training)
{
	size_t row = ix->dim * sizeof(float), room;
	struct tq_quantizer *q = NULL, *sign = NULL;
	struct tq_index *coarse = NULL, *probe = NULL;
	float *m, *c = NULL;
	size_t add_at = SIZE_MAX, sign_add_at = SIZE_MAX;
	int ret = TQ_ERR_NOMEM;

	m = tq_alloc(ix->ctx, row);
	if (!m)
		return ret;
	if (mean)
		memcpy(m, mean, row);
	if (centroids) {
		/* a search reads some here and some there */
		room = ix->nlist * row < 2 * TQ_HUGE_PAGE ? ix->nlist * row :
							    tq_round_up(ix->nlist * row, TQ_HUGE_PAGE);
		c = tq_alloc_huge(ix->ctx, room);
		if (!c)
			goto err_free;
		memcpy(c, centroids, ix->nlist * row);
		ret = make_coarse(ix, c, 8, &coarse);
		if (!ret && !training)
			ret = make_coarse(ix, c, 4, &probe);
		if (ret)
			goto err_coarse;
	}
	ret = make_quantizers(ix, m, &q, &sign);
	if (!ret && centroids)
		ret = tq_index_find_add(q, &add_at);
	if (!ret && centroids && sign)
		ret = tq_index_find_add(sign, &sign_add_at);
	if (ret)
		goto err_coarse;
	pthread_rwlock_wrlock(&ix->lock);
	tq_quantizer_destroy(ix->q);
	tq_quantizer_destroy(ix->sign);
	tq_index_destroy(ix->coarse);
	tq_index_destroy(ix->probe);
	tq_free(ix->ctx, ix->centroids);
	tq_free(ix->ctx, ix->mean);
	ix->q = q;
	ix->sign = sign;
	ix->coarse = coarse;
	ix->probe = probe;
	ix->add_at = add_at;
	ix->sign_add_at = sign_add_at;
	ix->centroids = c;
	ix->mean = m;
	ix->row_bytes = tq_code_size(q);
	ix->block_bytes = sign ? 0 : q->pipe.block_bytes;
	pthread_rwlock_unlock(&ix->lock);
	return TQ_OK;

err_coarse:
	tq_quantizer_destroy(sign);
	tq_quantizer_destroy(q);
	tq_index_destroy(probe);
	tq_index_destroy(coarse);
err_free:
	tq_free(ix->ctx, c);
	tq_free(ix->ctx, m);
	return ret;
}

/* ---- life ---- */

static int check_options(struct tq_context *ctx, const struct tq_spec *spec,
			 const struct tq_index_options *o, struct tq_index **out)
{
	TQ_CHECK_POINTER(ctx);
	TQ_CHECK_POINTER(spec);
	TQ_CHECK_POINTER(out);
	*out = NULL;
	if (spec->center == TQ_CENTER_DATA)
		return tq_fail(TQ_ERR_SPEC, "center=data: an index takes center=off or center=both");
	if (!o)
		return TQ_OK;
	if (o->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options->struct_size is %u, expected %zu",
			       o->struct_size, sizeof(*o));
	if (o->metric > TQ_METRIC_L2)
		return tq_fail(TQ_ERR_ARG, "options->metric: %u is none", o->metric);
	if (o->nlist > TQ_INDEX_MAX_LISTS)
		return tq_fail(TQ_ERR_ARG, "options->nlist: %u is more than %d", o->nlist,
			       TQ_INDEX_MAX_LISTS);
	if (o->flags & ~TQ_INDEX_STAGED)
		return tq_fail(TQ_ERR_ARG, "options->flags: 0x%x are unknown", o->flags);
	if (o->refine && o->refine->center != TQ_CENTER_OFF)
		return tq_fail(TQ_ERR_SPEC, "options->refine: center=off is needed: what it codes has no centre");
	return TQ_OK;
}

static int make_refiner(struct tq_index *ix, const struct tq_spec *refine)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = ix->driver};
	int ret;

	if (!refine)
		return TQ_OK;
	ix->refine = *refine;
	ret = tq_quantizer_create(ix->ctx, refine, ix->dim, &o, &ix->fine);
	if (!ret)
		ix->fine_bytes = tq_code_size(ix->fine);
	return ret;
}

/* Waiting changes go before new searches: otherwise a stream of searches would keep them out. */
static int init_locks(struct tq_index *ix)
{
	pthread_rwlockattr_t attr;
	int err;

	if (pthread_rwlockattr_init(&attr))
		return tq_fail(TQ_ERR_NOMEM, "out of memory: a lock");
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	err = pthread_rwlock_init(&ix->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (err)
		return tq_fail(TQ_ERR_NOMEM, "out of memory: a lock");
	pthread_mutex_init(&ix->change, NULL);
	return TQ_OK;
}

int tq_index_make(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		  const struct tq_index_options *options, const float *mean, const float *centroids,
		  struct tq_index **out)
{
	static const struct tq_index_options none = {.struct_size = sizeof(none)};
	const struct tq_index_options *o = options ? options : &none;
	struct tq_index *ix;
	int ret;

	ret = check_options(ctx, spec, options, out);
	if (ret)
		return ret;
	ix = tq_alloc(ctx, sizeof(*ix));
	if (!ix)
		return TQ_ERR_NOMEM;
	ix->ctx = ctx;
	ret = init_locks(ix);
	if (ret) {
		tq_free(ctx, ix);
		return ret;
	}
	ix->spec = *spec;
	ix->dim = dim;
	ix->metric = o->metric;
	ix->nlist = o->nlist > 1 ? o->nlist : 1;
	ix->staged = o->flags & TQ_INDEX_STAGED;
	if (ix->metric == TQ_METRIC_L2 || ix->nlist > 1)
		ix->spec.center = TQ_CENTER_BOTH;
	ret = TQ_ERR_NOMEM;
	ix->lists = tq_alloc(ctx, ix->nlist * sizeof(*ix->lists));
	if (!ix->lists)
		goto err_destroy;
	if (o->driver) {
		ix->driver = tq_alloc(ctx, strlen(o->driver) + 1);
		if (!ix->driver)
			goto err_destroy;
		strcpy(ix->driver, o->driver);
	}
	ret = make_refiner(ix, o->refine);
	if (!ret)
		ret = tq_index_set_centre(ix, mean, centroids, false);
	if (ret)
		goto err_destroy;
	*out = ix;
	return TQ_OK;

err_destroy:
	tq_index_destroy(ix);
	return ret;
}

int tq_index_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		    const struct tq_index_options *options, struct tq_index **index)
{
	return tq_index_make(ctx, spec, dim, options, NULL, NULL, index);
}

int tq_index_create_like(const struct tq_index *index, struct tq_index **like)
{
	struct tq_index_options o = {.struct_size = sizeof(o)};

	TQ_CHECK_POINTER(index);
	o.metric = index->metric;
	o.nlist = index->nlist;
	o.flags = index->staged ? TQ_INDEX_STAGED : 0;
	o.driver = index->driver;
	o.refine = index->fine ? &index->refine : NULL;
	return tq_index_make(index->ctx, &index->spec, index->dim, &o, index->mean,
			     index->centroids, like);
}

void tq_index_destroy(struct tq_index *index)
{
	struct tq_context *ctx;

	if (!index)
		return;
	ctx = index->ctx;
	tq_index_log_close(index);
	tq_index_lists_free(index);
	tq_file_close(index->file);
	tq_free(ctx, index->path);
	tq_index_ids_free(ctx, &index->ids);
	tq_index_destroy(index->coarse);
	tq_index_destroy(index->probe);
	tq_quantizer_destroy(index->fine);
	tq_quantizer_destroy(index->sign);
	tq_quantizer_destroy(index->q);
	tq_free(ctx, index->centroids);
	tq_free(ctx, index->mean);
	tq_free(ctx, index->driver);
	pthread_rwlock_destroy(&index->lock);
	pthread_mutex_destroy(&index->change);
	tq_free(ctx, index);
}

int tq_index_describe(const struct tq_index *index, struct tq_index_info *info)
{
	struct tq_index *ix = (struct tq_index *)(uintptr_t)index;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(info);
	if (info->struct_size != sizeof(*info))
		return tq_fail(TQ_ERR_ARG, "info->struct_size is %u, expected %zu",
			       info->struct_size, sizeof(*info));
	pthread_rwlock_rdlock(&ix->lock);
	info->dim = ix->dim;
	info->metric = ix->metric;
	info->nlist = ix->nlist > 1 ? ix->nlist : 0;
	info->row_bytes = ix->row_bytes + ix->fine_bytes + sizeof(int64_t);
	info->refine_bytes = ix->fine_bytes;
	info->count = ix->count;
	info->removed = ix->removed;
	info->next_id = ix->next_id;
	pthread_rwlock_unlock(&ix->lock);
	return TQ_OK;
}

const struct tq_quantizer *tq_index_quantizer(const struct tq_index *index)
{
	return index->q;
}

const struct tq_quantizer *tq_index_refiner(const struct tq_index *index)
{
	return index->fine;
}
