/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Specs of keys and values: one codec's, "raw", or two of a split with the channels of the first.
 */

#include <ctype.h>
#include <stdlib.h>
#include "kv.h"

#define SPLIT "split="
#define SLASH " / "

static int check_spec(const struct tq_spec *spec, const char *what, bool value)
{
	int ret = tq_spec_check(spec, 0);

	if (ret)
		return tq_fail(ret, "%s: %.400s", what, tq_error_text());
	if (spec->center != TQ_CENTER_OFF)
		return tq_fail(TQ_ERR_SPEC, "%s: center must be off: options.center centres keys", what);
	if (value && spec->correction >= TQ_CORR_QJL_GAUSS)
		return tq_fail(TQ_ERR_UNSUPPORTED, "%s: qjl corrections estimate inner products; values need rows",
			       what);
	return TQ_OK;
}

/* A codec's spec: the first @n characters of @text, over preset=cache */
static int read_codec(const char *text, size_t n, const char *what, bool value, struct tq_spec *spec)
{
	char own[TQ_SPEC_STRING_MAX];
	int ret;

	if (n >= sizeof(own))
		return tq_fail(TQ_ERR_SPEC, "%s: a spec of %zu characters", what, n);
	memcpy(own, text, n);
	own[n] = '\0';
	tq_spec_init(spec);
	ret = tq_spec_parse(spec, "preset=cache");
	if (!ret)
		ret = tq_spec_parse(spec, own);
	if (ret)
		return tq_fail(ret, "%s: %.400s", what, tq_error_text());
	return check_spec(spec, what, value);
}

static bool read_number(const char **at, uint32_t *n)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	*n = (uint32_t)strtoul(*at, &end, 10);
	if (end - *at > 4)
		return false;
	*at = end;
	return true;
}

/* What stands where a list should, up to a blank */
static int no_list(const char *what, const char *list)
{
	size_t n = strcspn(list, " \t\r\n");

	return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT "%.*s: not a list of channels such as 0-7,16", what, n < 40 ? (int)n : 40,
		       list);
}

/* "0-7,16,40-63" to a mark per channel; every one below @dim, once */
static int mark_channels(const char *list, const char *what, uint32_t dim, uint8_t *mark, uint32_t *n)
{
	uint32_t first, last, i;
	const char *at = list;

	for (*n = 0;; at++) {
		if (!read_number(&at, &first))
			return no_list(what, list);
		last = first;
		if (*at == '-' && (at++, !read_number(&at, &last)))
			return no_list(what, list);
		if (last < first)
			return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT ": channels %u-%u run backwards", what, first, last);
		if (last >= dim)
			return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT ": channel %u, where there are %u", what, last, dim);
		for (i = first; i <= last; i++, ++*n)
			if (mark[i]++)
				return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT ": channel %u is there twice", what, i);
		if (*at != ',')
			break;
	}
	return *at == ' ' ? TQ_OK : no_list(what, list);
}

int tq_kv_order(const struct tq_kv_code *code, const char *what, uint32_t dim, uint32_t *order, uint32_t *n)
{
	uint8_t mark[TQ_KV_MAX_DIM] = { 0 };
	uint32_t at[2] = { 0 }, i;
	int ret;

	ret = mark_channels(code->channels, what, dim, mark, n);
	if (ret)
		return ret;
	if (*n == dim)
		return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT ": all %u channels are in one group", what, dim);
	for (at[0] = *n, i = 0; i < dim; i++)
		order[at[mark[i]]++] = i;
	return TQ_OK;
}

static int read_split(const char *text, const char *what, bool value, struct tq_kv_code *code)
{
	const char *list = text + strlen(SPLIT), *first, *rest;
	uint8_t mark[TQ_KV_MAX_DIM] = { 0 };
	uint32_t n;
	int ret;

	code->groups = 2;
	code->channels = list;
	ret = mark_channels(list, what, TQ_KV_MAX_DIM, mark, &n);
	if (ret)
		return ret;
	first = strchr(list, ' ');
	rest = strstr(first, SLASH);
	if (!rest)
		return tq_fail(TQ_ERR_SPEC, "%s: " SPLIT ": not \"" SPLIT "CHANNELS SPEC / SPEC\"", what);
	ret = read_codec(first, (size_t)(rest - first), what, value, &code->spec[0]);
	if (ret)
		return ret;
	rest += strlen(SLASH);
	return read_codec(rest, strlen(rest), what, value, &code->spec[1]);
}

int tq_kv_spec(const char *text, const char *what, bool value, struct tq_kv_code *code)
{
	code->channels = NULL;
	code->groups = !text || strcmp(text, TQ_KV_RAW);
	if (!code->groups)
		return TQ_OK;
	if (text && !strncmp(text, SPLIT, strlen(SPLIT)))
		return read_split(text, what, value, code);
	return read_codec(text ? text : "", text ? strlen(text) : 0, what, value, &code->spec[0]);
}
