/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

/*
 * Writing JSON to a stream. Commas and indentation come from the state; a key precedes every value
 * inside an object and is NULL inside an array. Strings that are not UTF-8 come out as Latin-1 read
 * byte by byte, so that the output is always valid.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned depth;
	bool comma;
};

void json_begin(struct json *j, FILE *out);
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_string(struct json *j, const char *key, const char *value);
void json_integer(struct json *j, const char *key, int64_t value);
void json_unsigned(struct json *j, const char *key, uint64_t value);
void json_boolean(struct json *j, const char *key, bool value);

/** json_number - shortest of %.9g and %.17g that reads back the same; null for NaN and infinity */
void json_number(struct json *j, const char *key, double value);

#endif
