/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzz target without a fuzzer, fast: so many cases, each a file of the corpus with one to four changes:
 * bits flipped, bytes and 32- or 64-bit numbers set to values that are at the edge of something, pieces
 * moved, the end cut off. The same number of cases is the same cases.
 *
 *	usage: NAME CASES FILE...
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOM (1u << 16)
#define FILES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 32) * n >> 32);
}

static uint64_t edge(void)
{
	static const uint64_t values[] = {0, 1, 2, 7, 8, 63, 64, 65, 127, 128, 255, 256, 65535, 65536, 65537, INT32_MAX,
					  0x80000000u, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 61, INT64_MAX,
					  UINT64_C(1) << 63, UINT64_MAX - 63, UINT64_MAX};

	return values[below(sizeof(values) / sizeof(values[0]))] + (below(4) ? 0 : below(3) - 1);
}

/* One change of a case of at least 8 bytes; returns its new size */
static size_t change(uint8_t *data, size_t size)
{
	uint64_t value = edge();
	size_t at = below((uint32_t)size), bytes, to;

	switch (below(8)) {
	case 0:
	case 1:
		data[at] ^= (uint8_t)(1u << below(8));
		return size;
	case 2:
		data[at] = (uint8_t)below(256);
		return size;
	case 3:
	case 4:
		memcpy(data + at % (size - 3) / 4 * 4, &value, 4);
		return size;
	case 5:
		memcpy(data + at % (size - 7) / 8 * 8, &value, 8);
		return size;
	case 6:
		to = below((uint32_t)size);
		bytes = 1 + below((uint32_t)(size - (to > at ? to : at)));
		memmove(data + to, data + at, bytes);
		return size;
	default:
		return at < 8 ? 8 : at;
	}
}

static size_t load(const char *path, uint8_t *data)
{
	FILE *file = fopen(path, "rb");
	size_t size = file ? fread(data, 1, ROOM, file) : 0;

	if (file)
		fclose(file);
	if (size < 64)
		fprintf(stderr, "%s: cannot read, or too short\n", path);
	return size;
}

int main(int argc, char **argv)
{
	static uint8_t files[FILES_MAX][ROOM], data[ROOM];
	unsigned long cases = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, done;
	size_t sizes[FILES_MAX], size;
	int nfiles = argc - 2, f;
	unsigned changes;
	double seconds;

	if (!cases || nfiles > FILES_MAX)
		return 1;
	for (f = 0; f < nfiles; f++) {
		sizes[f] = load(argv[2 + f], files[f]);
		if (sizes[f] < 64)
			return 1;
	}
	for (done = 0; done < cases; done++) {
		f = (int)below((uint32_t)nfiles);
		size = sizes[f];
		memcpy(data, files[f], size);
		for (changes = 1 + below(4); changes; changes--)
			size = change(data, size);
		LLVMFuzzerTestOneInput(data, size);
	}
	seconds = (double)clock() / CLOCKS_PER_SEC;
	printf("%lu cases in %.1f s of CPU time: %.0f per second\n1 passed, 0 failed\n", cases, seconds,
	       (double)cases / seconds);
	return 0;
}
