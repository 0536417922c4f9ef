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

static int check_spec(struct tq_file *f)
{
	const struct tq_file_entry *e;
	char text[TQ_SPEC_STRING_MAX], why[256];
	int ret = find_one(f, TQ_SECTION_SPEC, &e);

	if (ret != TQ_OK)
		return ret;
	if (!e || e->bytes >= sizeof(text))
		return tq_file_fail(f, TQ_ERR_FORMAT, "has no spec of at most %zu bytes",
				    sizeof(text) - 1);
	memcpy(text, f->map + e->at, e->bytes);
	text[e->bytes] = 0;
	if (strlen(text) != e->bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte %" PRIu64 ": the spec holds a zero byte", e->at);
	tq_spec_init(&f->spec);
	ret = tq_spec_parse(&f->spec, text);
	if (ret == TQ_OK)
		ret = tq_spec_check(&f->spec, f->header->dim);
	if (ret != TQ_OK) {
		snprintf(why, sizeof(why), "%s", tq_error_text());
		return tq_file_fail(f, ret, "at byte %" PRIu64 ": %s", e->at, why);
	}
	if (f->spec.seed != f->header->seed)
		return tq_file_fail(f, TQ_ERR_FORMAT, "at byte 32: the seed is not the spec's");
	return TQ_OK;
}

/** check_rows - centre and codes have the lengths that spec and dimension ask for */
static int check_rows(struct tq_file *f)
{
	const struct tq_file_header *h = f->header;
	struct tq_layout layout;
	uint64_t bytes;
	int ret;

	ret = find_one(f, TQ_SECTION_CENTRE, &f->centre);
	if (ret == TQ_OK)
		ret = find_one(f, TQ_SECTION_CODES, &f->codes);
	if (ret != TQ_OK)
		return ret;
	if (!f->centre != (f->spec.center == TQ_CENTER_OFF))
		return tq_file_fail(f, TQ_ERR_FORMAT, "spec and centre section do not agree");
	if (f->centre && f->centre->bytes != (uint64_t)h->dim * sizeof(float))
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte %" PRIu64 ": the centre has a wrong length",
				    f->centre->at);
	tq_layout_build(&f->spec, h->dim, &layout);
	if (h->row_bytes != layout.row_bytes)
		return tq_file_fail(f, TQ_ERR_FORMAT,
				    "at byte 44: rows have %u bytes, the spec says %u",
				    h->row_bytes, layout.row_bytes);
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

static int check_codebook(struct tq_file *f)
{
	struct tq_codebook book;
	uint32_t hash;
	uint32_t bits = tq_spec_index_bits(&f->spec);
	int ret = tq_shared_codebook(f->ctx, f->spec.code, bits, f->header->dim, &book);

	if (ret != TQ_OK)
		return ret;
	hash = tq_codebook_crc(f->spec.code, bits, &book);
	if (hash != f->header->codebook_hash)
		return tq_file_fail(
			f, TQ_ERR_FORMAT,
			"at byte 48: made with another level table: hash %08x, here %08x",
			f->header->codebook_hash, hash);
	return TQ_OK;
}

int tq_file_check(struct tq_file *f, uint32_t flags)
{
	int ret = check_header(f);

	if (ret == TQ_OK)
		ret = check_table(f);
	if (ret == TQ_OK)
		ret = check_sections(f, flags);
	if (ret == TQ_OK)
		ret = check_spec(f);
	if (ret == TQ_OK)
		ret = check_rows(f);
	if (ret == TQ_OK)
		ret = check_codebook(f);
	return ret;
}
