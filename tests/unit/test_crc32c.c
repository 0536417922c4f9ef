/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C against its check value, RFC 3720's vectors, and one bit at a time. */

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "core.h"

static uint32_t bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;
	int b;

	for (; n; n--, p++)
		for (crc ^= *p, b = 0; b < 8; b++)
			crc = crc & 1 ? 0x82F63B78u ^ crc >> 1 : crc >> 1;
	return ~crc;
}

START_TEST(known_values)
{
	uint8_t data[32];
	int i;

	ck_assert_uint_eq(tq_crc32c(0, "123456789", 9), 0xE3069283u);
	ck_assert_uint_eq(tq_crc32c(0, "", 0), 0);
	memset(data, 0, sizeof(data));
	ck_assert_uint_eq(tq_crc32c(0, data, 32), 0x8A9136AAu);
	memset(data, 0xff, sizeof(data));
	ck_assert_uint_eq(tq_crc32c(0, data, 32), 0x62A8AB43u);
	for (i = 0; i < 32; i++)
		data[i] = (uint8_t)i;
	ck_assert_uint_eq(tq_crc32c(0, data, 32), 0x46DD794Eu);
}
END_TEST

START_TEST(any_length_from_any_address_in_any_pieces)
{
	uint8_t data[300];
	size_t at, n, cut;

	for (n = 0; n < sizeof(data); n++)
		data[n] = (uint8_t)(n * 167 + n / 7);
	for (at = 0; at < 9; at++)
		for (n = 0; at + n <= sizeof(data); n += 1 + n / 20) {
			ck_assert_uint_eq(tq_crc32c(0, data + at, n), bit_by_bit(data + at, n));
			cut = n * 3 / 7;
			ck_assert_uint_eq(tq_crc32c(tq_crc32c(0, data + at, cut), data + at + cut, n - cut),
					  bit_by_bit(data + at, n));
		}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crc32c");
	TCase *tc = tcase_create("crc32c");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, known_values);
	tcase_add_test(tc, any_length_from_any_address_in_any_pieces);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
