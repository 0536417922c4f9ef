/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig takes a few texts for something else than what they say: numbers beyond their width wrap
 * around, a string or comment may end with the file, a zero byte ends the text, and @include looks in
 * the working directory. This pass over the text refuses them with their line.
 */

#include <ctype.h>
#include <string.h>
#include "conf_value.h"

#define DIGITS_MAX 9

struct scan {
	const char *p;
	const char *end;
	struct tq_origin at;
};

static void step(struct scan *s)
{
	if (*s->p++ == '\n')
		s->at.line++;
}

static bool starts(const struct scan *s, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(s->end - s->p) >= n && !memcmp(s->p, text, n);
}

static int skip_string(struct scan *s)
{
	struct tq_origin start = s->at;

	for (step(s); s->p < s->end && *s->p != '"'; step(s))
		if (*s->p == '\\' && s->p + 1 < s->end)
			step(s);
	if (s->p == s->end)
		return tq_conf_fail(&start, "the string that starts here is not closed");
	step(s);
	return TQ_OK;
}

static int skip_comment(struct scan *s)
{
	struct tq_origin start = s->at;

	for (s->p += 2; s->p < s->end && !starts(s, "*/"); step(s))
		;
	if (s->p == s->end)
		return tq_conf_fail(&start, "the comment that starts here is not closed");
	s->p += 2;
	return TQ_OK;
}

static void skip_line(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		s->p++;
}

/* A key, a keyword or a number. */
static int skip_word(struct scan *s)
{
	const char *start = s->p;
	size_t n;

	while (s->p < s->end && (isalnum((unsigned char)*s->p) || strchr("_-+.*", *s->p)))
		s->p++;
	n = (size_t)(s->p - start);
	if (*start == '-' || *start == '+') {
		start++;
		n--;
	}
	if (n <= DIGITS_MAX || !isdigit((unsigned char)*start) || memchr(start, '.', n))
		return TQ_OK;
	return tq_conf_fail(&s->at, "number %.*s has more than %d digits; write it as text, such as "
			    "\"4G\"", (int)(n < 40 ? n : 40), start, DIGITS_MAX);
}

/* Also within a string, a comment or a word: libconfig sees nothing behind it. */
static int check_zero(struct scan s)
{
	const char *zero = memchr(s.p, '\0', (size_t)(s.end - s.p));

	if (!zero)
		return TQ_OK;
	while (s.p < zero)
		step(&s);
	return tq_conf_fail(&s.at, "zero byte: not a text file");
}

int tq_conf_scan(const char *path, const char *text, size_t size)
{
	struct scan s = { text, text + size, { TQ_FROM_FILE, path, 1 } };
	int ret = check_zero(s);

	while (!ret && s.p < s.end) {
		if (*s.p == '"')
			ret = skip_string(&s);
		else if (starts(&s, "/*"))
			ret = skip_comment(&s);
		else if (*s.p == '#' || starts(&s, "//"))
			skip_line(&s);
		else if (*s.p == '@')
			return tq_conf_fail(&s.at, "@include is not supported");
		else if (isalnum((unsigned char)*s.p) || *s.p == '-' || *s.p == '+')
			ret = skip_word(&s);
		else
			step(&s);
	}
	return ret;
}
