// SPDX-License-Identifier: Apache-2.0
/*
 * tq_search - nearest neighbours inside SQLite, against the installed library alone. A loadable extension
 * with one table-valued function over a saved index:
 *
 *	.load ./tq_search
 *	SELECT id, score FROM tq_search('docs.tq', :query, 10);
 *	SELECT d.title, s.score FROM tq_search('docs.tq', :query, 10) s JOIN docs d ON d.id = s.id;
 *
 * The query is a blob of little-endian f32. Arguments: path, query, k (10), nprobe (the library's). The best
 * row comes first. The index is mapped and stays open for the connection; it is opened again when the file
 * or its log has changed.
 */
#include <sqlite3ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tq/tq.h>

SQLITE_EXTENSION_INIT1

enum { COL_ID, COL_SCORE, COL_PATH, COL_QUERY, COL_K, COL_NPROBE, COL_END };

/* What was opened, as the file system had it then */
struct stamp {
	struct stat file, log;
};

struct table {
	sqlite3_vtab base;
	struct tq_context *ctx;
	struct tq_index *index;
	char *path;
	struct stamp stamp;
};

struct cursor {
	sqlite3_vtab_cursor base;
	int64_t *ids;
	float *scores;
	int n, at;
};

static int fail(sqlite3_vtab *t, int code, const char *text)
{
	sqlite3_free(t->zErrMsg);
	t->zErrMsg = sqlite3_mprintf("tq_search: %s", text);
	return code;
}

/* ---- the table ---- */

static int connect_table(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
			 char **error)
{
	struct table *t;
	int ret;

	(void)aux, (void)argc, (void)argv;
	ret = sqlite3_declare_vtab(db, "CREATE TABLE x(id INTEGER, score REAL, path HIDDEN, query HIDDEN, "
				       "k HIDDEN, nprobe HIDDEN)");
	if (ret)
		return ret;
	t = calloc(1, sizeof(*t));
	if (!t)
		return SQLITE_NOMEM;
	if (tq_context_create(NULL, &t->ctx)) {
		*error = sqlite3_mprintf("tq_search: %s", tq_error_text());
		free(t);
		return SQLITE_ERROR;
	}
	*out = &t->base;
	return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *vtab)
{
	struct table *t = (struct table *)vtab;

	tq_index_destroy(t->index);
	tq_context_destroy(t->ctx);
	free(t->path);
	free(t);
	return SQLITE_OK;
}

/* The arguments are constraints on the hidden columns, handed to filter() in their order. */
static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
	int place[COL_END] = {0}, next = 1, mask = 0;

	for (int i = 0; i < info->nConstraint; i++) {
		const struct sqlite3_index_constraint *c = &info->aConstraint[i];

		if (c->iColumn < COL_PATH || c->op != SQLITE_INDEX_CONSTRAINT_EQ)
			continue;
		if (!c->usable)
			return SQLITE_CONSTRAINT;
		place[c->iColumn] = i + 1;
	}
	if (!place[COL_PATH] || !place[COL_QUERY])
		return fail(vtab, SQLITE_ERROR, "needs a path and a query");
	for (int column = COL_PATH; column < COL_END; column++) {
		if (!place[column])
			continue;
		info->aConstraintUsage[place[column] - 1].argvIndex = next++;
		info->aConstraintUsage[place[column] - 1].omit = 1;
		mask |= 1 << column;
	}
	info->idxNum = mask;
	info->estimatedCost = 1000;
	info->estimatedRows = 10;
	return SQLITE_OK;
}

/* ---- the index ---- */

static void stamp_of(const char *path, struct stamp *s)
{
	char *log = sqlite3_mprintf("%s.log", path);

	memset(s, 0, sizeof(*s));
	if (stat(path, &s->file))
		memset(&s->file, 0, sizeof(s->file));
	if (log && stat(log, &s->log))
		memset(&s->log, 0, sizeof(s->log));
	sqlite3_free(log);
}

static int same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int open_index(struct table *t, const char *path)
{
	struct stamp now;

	stamp_of(path, &now);
	if (t->index && !strcmp(path, t->path) && same_file(&now.file, &t->stamp.file) &&
	    same_file(&now.log, &t->stamp.log))
		return SQLITE_OK;
	tq_index_destroy(t->index);
	t->index = NULL;
	free(t->path);
	t->path = strdup(path);
	t->stamp = now;
	if (!t->path)
		return SQLITE_NOMEM;
	if (tq_index_open(t->ctx, path, TQ_INDEX_MAP, NULL, &t->index))
		return fail(&t->base, SQLITE_ERROR, tq_error_text());
	return SQLITE_OK;
}

/* ---- a search ---- */

static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
	struct cursor *c = calloc(1, sizeof(*c));

	(void)vtab;
	if (!c)
		return SQLITE_NOMEM;
	*out = &c->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
	struct cursor *c = (struct cursor *)base;

	free(c->ids);
	free(c->scores);
	free(c);
	return SQLITE_OK;
}

static int search(struct cursor *c, struct table *t, sqlite3_value *query, int64_t k, int64_t nprobe)
{
	struct tq_index_search_options o = {.struct_size = sizeof(o)};
	uint32_t dim = tq_dim(tq_index_quantizer(t->index));
	float *x;
	int ret = SQLITE_OK;

	if (k < 1 || k > TQ_TOP_K_MAX || nprobe < 0 || nprobe > TQ_INDEX_MAX_LISTS)
		return fail(&t->base, SQLITE_ERROR, "k or nprobe is out of range");
	if (sqlite3_value_type(query) != SQLITE_BLOB ||
	    (size_t)sqlite3_value_bytes(query) != dim * sizeof(float))
		return fail(&t->base, SQLITE_ERROR, "the query is no blob of as many f32 as rows have");
	o.nprobe = (uint32_t)nprobe;
	free(c->ids);
	free(c->scores);
	c->ids = malloc((size_t)k * sizeof(*c->ids));
	c->scores = malloc((size_t)k * sizeof(*c->scores));
	x = malloc(dim * sizeof(*x)); /* a blob need not be aligned */
	if (!c->ids || !c->scores || !x) {
		free(x);
		return SQLITE_NOMEM;
	}
	memcpy(x, sqlite3_value_blob(query), dim * sizeof(*x));
	if (tq_index_search(t->index, x, dim, 1, (size_t)k, &o, c->ids, c->scores))
		ret = fail(&t->base, SQLITE_ERROR, tq_error_text());
	free(x);
	for (c->n = 0; !ret && c->n < k && c->ids[c->n] >= 0; c->n++)
		;
	return ret;
}

static int filter(sqlite3_vtab_cursor *base, int mask, const char *text, int argc, sqlite3_value **argv)
{
	struct table *t = (struct table *)base->pVtab;
	struct cursor *c = (struct cursor *)base;
	int64_t k = 10, nprobe = 0;
	const char *path;
	int next = 2, ret;

	(void)text, (void)argc;
	c->n = c->at = 0;
	if (mask & 1 << COL_K)
		k = sqlite3_value_int64(argv[next++]);
	if (mask & 1 << COL_NPROBE)
		nprobe = sqlite3_value_int64(argv[next++]);
	path = (const char *)sqlite3_value_text(argv[0]);
	if (!path)
		return fail(&t->base, SQLITE_ERROR, "the path is NULL");
	ret = open_index(t, path);
	return ret ? ret : search(c, t, argv[1], k, nprobe);
}

static int next_row(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->at++;
	return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->at >= ((struct cursor *)base)->n;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *result, int number)
{
	const struct cursor *c = (struct cursor *)base;

	if (number == COL_ID)
		sqlite3_result_int64(result, c->ids[c->at]);
	else if (number == COL_SCORE)
		sqlite3_result_double(result, c->scores[c->at]);
	return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
	*out = ((struct cursor *)base)->at;
	return SQLITE_OK;
}

static const sqlite3_module module = {
	.xConnect = connect_table,
	.xBestIndex = best_index,
	.xDisconnect = disconnect_table,
	.xOpen = open_cursor,
	.xClose = close_cursor,
	.xFilter = filter,
	.xNext = next_row,
	.xEof = at_end,
	.xColumn = column,
	.xRowid = rowid,
};

/* The name that SQLite makes of tq_search.so: letters only */
int sqlite3_tqsearch_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

int sqlite3_tqsearch_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
	(void)error;
	SQLITE_EXTENSION_INIT2(api);
	return sqlite3_create_module(db, "tq_search", &module, NULL);
}
