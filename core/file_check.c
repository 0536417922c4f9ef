/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checking a .tq file. The file is not trusted: the frame is checked from the outside in (length,
 * header, table, then the sections in their order, so that every byte belongs to exactly one
 * checksum or must be zero) before anything in it is used; the level table is computed again.
 */

#include <inttypes.h>
#include <string.h>
#include "core.h"
#include "context.h"
#include "file.h"
#include "plan.h"

static int check_header(struct tq_file *f)
{
	const struct tq_file_header *h = (const void *)f->map;

	if (memcmp(h->magic, TQ_FILE_MAGIC, sizeof(h->magic)))
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte 0: not a .tq file");
	if (h->version != TQ_FILE_VERSION)
		return tq_file_fail(f, TQ_ERR_VERSION,
				    "at byte 8: format version %u, this library reads %d",
				    h->version, TQ_FILE_VERSION);
	if (tq_crc32c(0, h, offsetof(struct tq_file_header, header_crc)) != h->header_crc)
		return tq_file_fail(f, TQ_ERR_CHECKSUM,
				    "at byte 0: the header does not match its checksum");
	if (h->header_bytes != sizeof(*h))
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte 12: the header has %u bytes, not %zu", h->header_bytes,
				    sizeof(*h));
	if (h->file_bytes != f->bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte 16: should have %" PRIu64 " bytes, has %zu",
				    h->file_bytes, f->bytes);
	if (h->dim < 1 || h->dim > TQ_MAX_DIM)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte 40: dimension %u is not in 1..%d",
				    h->dim, TQ_MAX_DIM);
	if (h->nsections > TQ_FILE_MAX_SECTIONS)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte 52: %u sections are more than %d",
				    h->nsections, TQ_FILE_MAX_SECTIONS);
	f->header = h;
	return TQ_OK;
}

static int check_zero(const struct tq_file *f, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at++)
		if (f->map[at])
			return tq_file_fail(f, TQ_ERR_FORMAT,
					    "at byte %" PRIu64 ": padding is not zero", at);
	return TQ_OK;
}

/**
 * check_table - sections lie one behind the other, and the table behind the last
 *
 * Every length is compared with the room that is left, so no sum can overflow.
 */
static int check_table(struct tq_file *f)
{
	uint64_t table_bytes = f->header->nsections * sizeof(struct tq_file_entry);
	uint64_t end = sizeof(struct tq_file_header);
	uint64_t table_at;

	if (table_bytes > f->bytes - end)
		return tq_file_fail(f, TQ_ERR_FORMAT, "is too short for its %u sections",
				    f->header->nsections);
	table_at = f->bytes - table_bytes;
	if (table_at % TQ_FILE_ALIGN)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte %" PRIu64 ": the table is not aligned", table_at);
	f->table = (const void *)(f->map + table_at);
	if (tq_crc32c(0, f->table, table_bytes) != f->header->table_crc)
		return tq_file_fail(f, TQ_ERR_CHECKSUM,
				    "at byte %" PRIu64
				    ": the section table does not match its checksum",
				    table_at);
	for (uint32_t i = 0; i < f->header->nsections; i++) {
		const struct tq_file_entry *e = &f->table[i];
		uint64_t at = end + tq_file_pad(end);

		if (e->flags & ~TQ_SECTION_IGNORABLE || e->zero)
			return tq_file_fail(f, TQ_ERR_FORMAT, "section %u: reserved bits are set",
					    i);
		if (e->at != at || at > table_at || e->bytes > table_at - at)
			return tq_file_fail(f, TQ_ERR_FORMAT,
					    "section %u: %" PRIu64 " bytes at %" PRIu64
					    " do not fit",
					    i, e->bytes, e->at);
		if (check_zero(f, end, at))
			return TQ_ERR_FORMAT;
		end = at + e->bytes;
	}
	if (end + tq_file_pad(end) != table_at)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte %" PRIu64 ": bytes that no section has", end);
	return check_zero(f, end, table_at);
}

int tq_file_check_crc(const struct tq_file *f, const struct tq_file_entry *e)
{
	if (tq_crc32c(0, f->map + e->at, e->bytes) != e->crc)
		return tq_file_fail(f, TQ_ERR_CHECKSUM,
				    "at byte %" PRIu64
				    ": section %td (%s) does not match its checksum",
				    e->at, e - f->table, tq_section_type_name(e->type));
	return TQ_OK;
}

/** find_one - the only section of @type, or NULL; two are an error */
static int find_one(struct tq_file *f, uint32_t type, const struct tq_file_entry **found)
{
	*found = NULL;
	for (uint32_t i = 0; i < f->header->nsections; i++) {
		if (f->table[i].type != type)
			continue;
		if (*found)
			return tq_file_fail(f, TQ_ERR_FORMAT, "section %u: a second one of type %s",
					    i, tq_section_type_name(type));
		*found = &f->table[i];
	}
	return TQ_OK;
}

static int check_sections(struct tq_file *f, uint32_t flags)
{
	for (uint32_t i = 0; i < f->header->nsections; i++) {
		const struct tq_file_entry *e = &f->table[i];

		if (!tq_file_type_known(e->type) && !(e->flags & TQ_SECTION_IGNORABLE))
			return tq_file_fail(f, TQ_ERR_UNSUPPORTED, "section %u: unknown type %u", i,
					    e->type);
		if (flags & TQ_FILE_DEFER && tq_file_is_deferred(e->type))
			continue;
		if (tq_file_check_crc(f, e))
			return TQ_ERR_CHECKSUM;
	}
	return TQ_OK;
}

/** read_spec - @bytes of text at @at: a spec that @dim coordinates can have */
static int read_spec(const struct tq_file *f, uint64_t at, uint64_t bytes, uint32_t dim, struct tq_spec *spec)
{
	char text[TQ_SPEC_STRING_MAX], why[256];
	int ret;

	if (bytes >= sizeof(text))
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte %" PRIu64 ": the spec has more than %zu bytes", at,
				    sizeof(text) - 1);
	memcpy(text, f->map + at, bytes);
	text[bytes] = 0;
	if (strlen(text) != bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte %" PRIu64 ": the spec holds a zero byte", at);
	tq_spec_init(spec);
	ret = tq_spec_parse(spec, text);
	if (ret == TQ_OK)
		ret = tq_spec_check(spec, dim);
	if (ret == TQ_OK)
		return ret;
	snprintf(why, sizeof(why), "%s", tq_error_text());
	return tq_file_fail(f, ret, "at byte %" PRIu64 ": %s", at, why);
}

/** check_split - two groups of channels, if that section is there: neither is empty, nothing else is meant by the rows */
static int check_split(struct tq_file *f)
{
	const struct tq_file_split *split;
	const struct tq_file_entry *e;
	uint64_t head;
	int ret = find_one(f, TQ_SECTION_SPLIT, &e);

	if (ret != TQ_OK || !e)
		return ret;
	split = (const void *)(f->map + e->at);
	if (e->bytes < sizeof(*split) || split->n < 1 || split->n >= f->header->dim ||
	    (e->bytes - sizeof(*split)) / sizeof(uint32_t) < split->n)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte %" PRIu64 ": no list of 1 to %u channels", e->at,
				    f->header->dim - 1);
	for (uint32_t i = 0; i < split->n; i++)
		if (split->channels[i] >= f->header->dim || (i && split->channels[i] <= split->channels[i - 1]))
			return tq_file_fail(f, TQ_ERR_FORMAT, "at byte %" PRIu64 ": channels do not ascend below %u", e->at,
					    f->header->dim);
	for (uint32_t i = 0; i < f->header->nsections; i++)
		if (f->table[i].type >= TQ_SECTION_INDEX && f->table[i].type <= TQ_SECTION_REFINE)
			return tq_file_fail(f, TQ_ERR_FORMAT, "section %u: %s of split rows", i,
					    tq_section_type_name(f->table[i].type));
	head = sizeof(*split) + (uint64_t)split->n * sizeof(uint32_t);
	f->split = split;
	return read_spec(f, e->at + head, e->bytes - head, f->header->dim - split->n, &f->rest);
}

static int check_spec(struct tq_file *f)
{
	const struct tq_file_entry *e;
	int ret = find_one(f, TQ_SECTION_SPEC, &e);

	if (ret != TQ_OK)
		return ret;
	if (!e)
		return tq_file_fail(f, TQ_ERR_FORMAT, "has no spec");
	ret = read_spec(f, e->at, e->bytes, f->split ? f->split->n : f->header->dim, &f->spec);
	if (ret != TQ_OK)
		return ret;
	if (f->spec.seed != f->header->seed)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte 32: the seed is not the spec's");
	return TQ_OK;
}

/** check_rows - centre and codes have the lengths that spec and dimension ask for */
static int check_rows(struct tq_file *f)
{
	const struct tq_file_header *h = f->header;
	bool centred = f->spec.center != TQ_CENTER_OFF || (f->split && f->rest.center != TQ_CENTER_OFF);
	struct tq_layout layout, rest = {0};
	uint64_t bytes;
	int ret;

	ret = find_one(f, TQ_SECTION_CENTRE, &f->centre);
	if (ret == TQ_OK)
		ret = find_one(f, TQ_SECTION_CODES, &f->codes);
	if (ret != TQ_OK)
		return ret;
	if (!f->centre == centred)
		return tq_file_fail(f, TQ_ERR_FORMAT, "spec and centre section do not agree");
	if (f->centre && f->centre->bytes != (uint64_t)h->dim * sizeof(float))
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte %" PRIu64 ": the centre has a wrong length",
				    f->centre->at);
	tq_layout_build(&f->spec, f->split ? f->split->n : h->dim, &layout);
	if (f->split)
		tq_layout_build(&f->rest, h->dim - f->split->n, &rest);
	if (h->row_bytes != layout.row_bytes + rest.row_bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte 44: rows have %u bytes, the spec says %u",
				    h->row_bytes, layout.row_bytes + rest.row_bytes);
	if (!f->codes)
		return tq_file_fail(f, TQ_ERR_FORMAT, "has no codes section");
	if (__builtin_mul_overflow(h->count, (uint64_t)h->row_bytes, &bytes) ||
	    bytes != f->codes->bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte 24: %" PRIu64 " rows of %u bytes are not the %" PRIu64
				    " bytes of the codes section",
				    h->count, h->row_bytes, f->codes->bytes);
	for (uint32_t i = 0; i < h->nsections; i++)
		if (f->table[i].type == TQ_SECTION_IDS &&
		    (f->table[i].bytes % 8 || f->table[i].bytes / 8 != h->count))
			return tq_file_fail(f, TQ_ERR_FORMAT,
					    "section %u: ids and rows differ in number", i);
	return TQ_OK;
}

static int check_codebook(const struct tq_file *f, const struct tq_spec *spec, uint32_t dim, uint32_t want)
{
	struct tq_codebook book;
	uint32_t hash;
	uint32_t bits = tq_spec_index_bits(spec);
	int ret = tq_shared_codebook(f->ctx, spec->code, bits, dim, &book);

	if (ret != TQ_OK)
		return ret;
	hash = tq_codebook_crc(spec->code, bits, &book);
	if (hash != want)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte %td: made with another level table: hash %08x, here %08x",
				    spec == &f->rest ? (const unsigned char *)&f->split->codebook_hash - f->map : (ptrdiff_t)48,
				    want, hash);
	return TQ_OK;
}

static int check_codebooks(const struct tq_file *f)
{
	uint32_t dim = f->header->dim, n = f->split ? f->split->n : dim;
	int ret = check_codebook(f, &f->spec, n, f->header->codebook_hash);

	return ret || !f->split ? ret : check_codebook(f, &f->rest, dim - n, f->split->codebook_hash);
}

int tq_file_check(struct tq_file *f, uint32_t flags)
{
	int ret = check_header(f);

	if (ret == TQ_OK)
		ret = check_table(f);
	if (ret == TQ_OK)
		ret = check_sections(f, flags);
	if (ret == TQ_OK)
		ret = check_split(f);
	if (ret == TQ_OK)
		ret = check_spec(f);
	if (ret == TQ_OK)
		ret = check_rows(f);
	if (ret == TQ_OK)
		ret = check_codebooks(f);
	return ret;
}
