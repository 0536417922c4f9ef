/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzz target without a fuzzer: every file of the corpus, then every one cut short and with
 * single bytes changed. usage: NAME FILE...
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	uint8_t *data = malloc(1 << 20);
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!data || !file) {
		fprintf(stderr, "%s: cannot read\n", path);
		return 1;
	}
	size = fread(data, 1, 1 << 20, file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	for (size_t i = 0; i < size; i++) {
		uint8_t old = data[i];

		LLVMFuzzerTestOneInput(data, i);
		for (unsigned change = 1; change < 256; change = change * 4 + 3) {
			data[i] = (uint8_t)(old ^ change);
			LLVMFuzzerTestOneInput(data, size);
		}
		data[i] = old;
	}
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int ret = argc < 2;

	for (int i = 1; i < argc; i++)
		ret |= replay(argv[i]);
	return ret;
}
