/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The header of .npy files: magic, version, length, then a Python dictionary literal such as
 *
 *	{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 128), }
 *
 * filled up with blanks and a line feed.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "npy.h"

static const char magic[6] = "\x93NUMPY";

struct scan {
	const char *text;
	size_t at, end;
	char *why;
	size_t why_size;
};

static int fail(struct scan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct scan *s, const char *fmt, ...)
{
	int used = snprintf(s->why, s->why_size, "at byte %zu: ", s->at);
	va_list args;

	va_start(args, fmt);
	if (used > 0 && (size_t)used < s->why_size)
		vsnprintf(s->why + used, s->why_size - (size_t)used, fmt, args);
	va_end(args);
	return -1;
}

static void skip_blanks(struct scan *s)
{
	while (s->at < s->end && s->text[s->at] == ' ')
		s->at++;
}

/** accept - skip blanks, then @c if it is next */
static bool accept(struct scan *s, char c)
{
	skip_blanks(s);
	if (s->at == s->end || s->text[s->at] != c)
		return false;
	s->at++;
	return true;
}

static int expect(struct scan *s, char c)
{
	return accept(s, c) ? 0 : fail(s, "'%c' expected in the header", c);
}

/** word - skip blanks, then @w if it is next */
static bool word(struct scan *s, const char *w)
{
	size_t n = strlen(w);

	skip_blanks(s);
	if (s->end - s->at < n || memcmp(s->text + s->at, w, n))
		return false;
	s->at += n;
	return true;
}

/** quoted - a string of at most 31 plain characters in either kind of quotes */
static int quoted(struct scan *s, char out[32])
{
	size_t n = 0;
	char quote;

	skip_blanks(s);
	quote = s->at < s->end ? s->text[s->at] : 0;
	if (quote != '\'' && quote != '"')
		return fail(s, "a string expected in the header");
	s->at++;
	while (s->at < s->end && s->text[s->at] != quote && n < 31 && s->text[s->at] >= ' ' &&
	       s->text[s->at] <= '~' && s->text[s->at] != '\\')
		out[n++] = s->text[s->at++];
	out[n] = 0;
	return expect(s, quote);
}

static int number(struct scan *s, uint64_t *value)
{
	size_t start;

	skip_blanks(s);
	start = s->at;
	*value = 0;
	while (s->at < s->end && s->text[s->at] >= '0' && s->text[s->at] <= '9') {
		unsigned digit = (unsigned)(s->text[s->at] - '0');

		if (__builtin_mul_overflow(*value, 10u, value) ||
		    __builtin_add_overflow(*value, digit, value))
			return fail(s, "the shape is too large");
		s->at++;
	}
	return s->at > start ? 0 : fail(s, "a number expected in the header");
}

static int read_descr(struct scan *s, struct npy_header *h)
{
	char descr[32];

	if (quoted(s, descr))
		return -1;
	if (!strcmp(descr, "<f4"))
		h->dtype = TQ_F32;
	else if (!strcmp(descr, "<f2"))
		h->dtype = TQ_F16;
	else if (!strcmp(descr, "<i4"))
		h->dtype = NPY_I32;
	else if (!strcmp(descr, "<i8"))
		h->dtype = NPY_I64;
	else
		return fail(s, "elements are '%s'; '<f4' and '<f2' are read", descr);
	return 0;
}

static int read_shape(struct scan *s, struct npy_header *h)
{
	if (expect(s, '(') || number(s, &h->shape[0]) || expect(s, ','))
		return -1;
	h->dims = 1;
	if (accept(s, ')'))
		return 0;
	while (h->dims < NPY_DIMS_MAX) {
		if (number(s, &h->shape[h->dims++]))
			return -1;
		if (accept(s, ')'))
			return 0;
		if (expect(s, ','))
			return -1;
		if (accept(s, ')'))
			return 0;
	}
	return fail(s, "the array has more than %d dimensions", NPY_DIMS_MAX);
}

static int read_order(struct scan *s)
{
	if (word(s, "False"))
		return 0;
	return fail(s, word(s, "True") ? "the array is in Fortran order" : "False expected");
}

static int read_dictionary(struct scan *s, struct npy_header *h)
{
	static const char *const keys[] = {"descr", "fortran_order", "shape"};
	unsigned seen = 0;

	if (expect(s, '{'))
		return -1;
	while (!accept(s, '}')) {
		char key[32];
		unsigned k = 0;
		int ret;

		if (quoted(s, key) || expect(s, ':'))
			return -1;
		while (k < 3 && strcmp(key, keys[k]))
			k++;
		if (k == 3 || seen & 1u << k)
			return fail(s, "%s key '%s' in the header", k == 3 ? "unknown" : "second",
				    key);
		seen |= 1u << k;
		ret = k == 0 ? read_descr(s, h) : k == 1 ? read_order(s) : read_shape(s, h);
		if (ret)
			return -1;
		if (!accept(s, ',')) {
			if (expect(s, '}'))
				return -1;
			break;
		}
	}
	if (seen != 7)
		return fail(s, "the header lacks a key");
	if (h->dims == 1 && h->dtype < NPY_I32)
		return fail(s, "the array has one dimension, not two");
	return 0;
}

int npy_parse(const void *data, size_t size, struct npy_header *header, char *why, size_t why_size)
{
	const unsigned char *byte = data;
	struct scan s = {.text = data, .why = why, .why_size = why_size};
	size_t length, at;

	if (size < 10 || memcmp(data, magic, sizeof(magic)))
		return fail(&s, "not a .npy file");
	s.at = 6;
	if (byte[6] < 1 || byte[6] > 3 || byte[7] != 0)
		return fail(&s, "version %u.%u of the .npy format is not known", byte[6], byte[7]);
	at = byte[6] == 1 ? 10 : 12;
	s.at = 8;
	length = byte[8] | (size_t)byte[9] << 8;
	if (at == 12 && size >= 12)
		length |= (size_t)byte[10] << 16 | (size_t)byte[11] << 24;
	if (size < at || length > size - at)
		return fail(&s, "the header of %zu bytes is cut short or too long", length);
	s.at = at;
	s.end = at + length;
	if (read_dictionary(&s, header))
		return -1;
	skip_blanks(&s);
	if (s.at + 1 != s.end || s.text[s.at] != '\n')
		return fail(&s, "the header does not end here");
	header->data_at = s.end;
	return 0;
}

static const char *descr_of(int dtype)
{
	return dtype == TQ_F16 ? "<f2" : dtype == NPY_I32 ? "<i4" : dtype == NPY_I64 ? "<i8" : "<f4";
}

size_t npy_format(const struct npy_header *header, char *buf, size_t size)
{
	size_t end;
	int used = snprintf(buf, size,
			    "%.6s%c%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu64,
			    magic, 1, 0, 0, 0, descr_of(header->dtype), header->shape[0]);

	for (unsigned i = 1; i < header->dims; i++)
		used += snprintf(buf + used, size - (size_t)used, ", %" PRIu64, header->shape[i]);
	used += snprintf(buf + used, size - (size_t)used, "%s), }", header->dims == 1 ? "," : "");

	end = ((size_t)used + 1 + 63) / 64 * 64;
	memset(buf + used, ' ', end - (size_t)used);
	buf[end - 1] = '\n';
	buf[8] = (char)(end - 10);
	buf[9] = 0;
	return end;
}
