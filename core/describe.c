/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A codec's own description: enough to create it again anywhere. FORMAT.md section 7. Bytes come from
 * anywhere, so every length is checked before it is used.
 *
 *	0	"TQCD"
 *	4	u32 version, 1
 *	8	u32 dim
 *	12	u32 codebook hash
 *	16	u32 bytes of the spec string
 *	20	u32 floats of the centre, 0 or dim
 *	24	spec string without a terminating zero, padded with zeros to a multiple of 4
 *		centre, f32
 *		u32 CRC32C of all before it
 */

#include "codec.h"

#define MAGIC "TQCD"
#define VERSION 1u
#define HEAD_BYTES 24u

static void put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
	at[2] = (uint8_t)(v >> 16);
	at[3] = (uint8_t)(v >> 24);
}

static uint32_t get_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static size_t padded(size_t n)
{
	return (n + 3) / 4 * 4;
}

int tq_describe(const struct tq_quantizer *q, void *buf, size_t *size)
{
	uint32_t dim, floats, length, i;
	char text[TQ_SPEC_STRING_MAX];
	size_t need, room;
	uint8_t *at = buf;
	int ret;

	if (!q || !size)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", q ? "size" : "q");
	ret = tq_spec_print(&q->spec, text, sizeof(text));
	if (ret)
		return ret;
	dim = q->plan->dim;
	floats = q->plan->centre ? dim : 0;
	length = (uint32_t)strlen(text);
	need = HEAD_BYTES + padded(length) + 4 * (size_t)floats + 4;
	room = *size;
	*size = need;
	if (!buf)
		return TQ_OK;
	if (room < need)
		return tq_fail(TQ_ERR_RANGE, "size: %zu bytes, %zu needed", room, need);
	memset(at, 0, need);
	memcpy(at, MAGIC, 4);
	put_u32(at + 4, VERSION);
	put_u32(at + 8, dim);
	put_u32(at + 12, q->hash);
	put_u32(at + 16, length);
	put_u32(at + 20, floats);
	at += HEAD_BYTES;
	memcpy(at, text, length);
	at += padded(length);
	for (i = 0; i < floats; i++, at += 4)
		put_u32(at, tq_f32_bits(q->plan->centre[i]));
	put_u32(at, tq_crc32c(0, buf, need - 4));
	return TQ_OK;
}

/* The parts of a description whose frame holds together. */
struct description {
	uint32_t dim, hash, floats;
	char text[TQ_SPEC_STRING_MAX];
	const uint8_t *centre;
};

static int read_frame(const uint8_t *at, size_t size, struct description *d)
{
	uint32_t length;
	size_t i;

	if (size < HEAD_BYTES + 4 || memcmp(at, MAGIC, 4))
		return tq_fail(TQ_ERR_FORMAT, "description: %zu bytes that are none", size);
	if (get_u32(at + 4) != VERSION)
		return tq_fail(TQ_ERR_VERSION, "description: version %u, this library reads %u",
			       get_u32(at + 4), VERSION);
	d->dim = get_u32(at + 8);
	d->hash = get_u32(at + 12);
	length = get_u32(at + 16);
	d->floats = get_u32(at + 20);
	if (d->dim < 1 || d->dim > TQ_MAX_DIM)
		return tq_fail(TQ_ERR_FORMAT, "description: dimension %u", d->dim);
	if (length >= sizeof(d->text) || (d->floats && d->floats != d->dim) ||
	    size != HEAD_BYTES + padded(length) + 4 * (size_t)d->floats + 4)
		return tq_fail(TQ_ERR_FORMAT, "description: lengths do not add up to %zu bytes", size);
	if (get_u32(at + size - 4) != tq_crc32c(0, at, size - 4))
		return tq_fail(TQ_ERR_CHECKSUM, "description: checksum mismatch");
	for (i = length; i < padded(length); i++)
		if (at[HEAD_BYTES + i])
			return tq_fail(TQ_ERR_FORMAT, "description: padding is not zero");
	memcpy(d->text, at + HEAD_BYTES, length);
	d->text[length] = '\0';
	if (strlen(d->text) != length)
		return tq_fail(TQ_ERR_FORMAT, "description: the spec holds a zero byte");
	d->centre = at + HEAD_BYTES + padded(length);
	return TQ_OK;
}

/* The spec must be the whole of the text, as tq_spec_print() writes it. */
static int read_spec(const struct description *d, struct tq_spec *spec)
{
	char again[TQ_SPEC_STRING_MAX];
	int ret;

	tq_spec_init(spec);
	ret = tq_spec_parse(spec, d->text);
	if (!ret)
		ret = tq_spec_print(spec, again, sizeof(again));
	if (ret)
		return tq_fail(TQ_ERR_FORMAT, "description: %.400s", tq_error_text());
	if (strcmp(again, d->text))
		return tq_fail(TQ_ERR_FORMAT, "description: the spec is not in its canonical form");
	if ((spec->center != TQ_CENTER_OFF) != (d->floats > 0))
		return tq_fail(TQ_ERR_FORMAT, "description: center=%s centre",
			       d->floats ? "off with a" : "on without a");
	return TQ_OK;
}

static float *read_centre(struct tq_context *ctx, const struct description *d)
{
	float *centre = tq_alloc(ctx, sizeof(*centre) * d->dim);
	uint32_t i;

	for (i = 0; centre && i < d->floats; i++)
		centre[i] = tq_bits_f32(get_u32(d->centre + 4 * (size_t)i));
	return centre;
}

int tq_quantizer_from_description(struct tq_context *ctx, const void *buf, size_t size,
				  const struct tq_quantizer_options *options,
				  struct tq_quantizer **out)
{
	struct tq_quantizer_options next = { .struct_size = sizeof(next) };
	struct description d = { 0 };
	struct tq_spec spec;
	float *centre;
	int ret;

	if (!ctx || !buf || !out)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !ctx ? "ctx" : !buf ? "buf" : "out");
	*out = NULL;
	if (options && options->struct_size < sizeof(*options))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u is not %zu", options->struct_size,
			       sizeof(*options));
	if (options && options->centre)
		return tq_fail(TQ_ERR_ARG, "options.centre: the description has its own");
	ret = read_frame(buf, size, &d);
	if (!ret)
		ret = read_spec(&d, &spec);
	if (ret)
		return ret;
	centre = read_centre(ctx, &d);
	if (!centre)
		return TQ_ERR_NOMEM;
	next.driver = options ? options->driver : NULL;
	next.centre = d.floats ? centre : NULL;
	ret = tq_quantizer_create(ctx, &spec, d.dim, &next, out);
	tq_free(ctx, centre);
	if (ret || tq_codebook_hash(*out) == d.hash)
		return ret;
	tq_quantizer_destroy(*out);
	*out = NULL;
	return tq_fail(TQ_ERR_FORMAT, "description: levels made by other rules");
}
