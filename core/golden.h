/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_GOLDEN_H
#define TQ_GOLDEN_H

/*
 * Golden results for the gate. Written by tests/data/make_golden.py from the numpy reference; do not edit.
 *
 * Value i of vector v is (float)normal number v * dim + i of the stream (seed 7, role 0x200, sub 0).
 * Vectors 0 .. rows-1 are encoded, decoded and scored; vectors rows .. rows+queries-1 are the queries.
 * The sums are CRC32C over the row bytes, over the decoded floats [row][dim], and over the scores
 * [query][row]; floats as their little-endian bytes.
 */

#include <stdint.h>

struct tq_golden {
	const char *spec;
	uint32_t dim, rows, queries;
	uint32_t codes_crc, decoded_crc, scores_crc;
};

static const struct tq_golden tq_goldens[] = {
	{ "rotation=rht:2 bits=4 correction=ls",
	  128, 5, 3, 0x6d7b5be3u, 0x8ae5ba6du, 0x76da5b79u },
	{ "rotation=rht:3 bits=3 correction=unbiased effort=1",
	  100, 5, 3, 0x07ac2f9eu, 0x2b0cb9c9u, 0x1efc5560u },
	{ "rotation=rht:1 bits=2 correction=norm",
	  96, 5, 3, 0x6ddc8e27u, 0xc45159c2u, 0x9d703512u },
	{ "rotation=rht:2 code=sign bits=1 correction=unbiased",
	  200, 5, 3, 0x1cbc7149u, 0x9fff3848u, 0xe09d4bafu },
	{ "rotation=haar bits=1 correction=unbiased",
	  40, 5, 3, 0xebf2e1b7u, 0xeb41df34u, 0x67a42005u },
	{ "rotation=givens:16 bits=5 correction=none",
	  80, 5, 3, 0xa8ced679u, 0xb85a8c22u, 0xf94d27a4u },
	{ "rotation=none bits=8 correction=unbiased",
	  33, 5, 3, 0x1bcf8bf1u, 0xe20273ecu, 0xfac478f0u },
	{ "rotation=rht:2 code=uniform bits=6 correction=ls scale=bf16",
	  130, 5, 3, 0x59f7457fu, 0x31380e55u, 0xc6bcc7c3u },
	{ "rotation=rht:2 bits=7 correction=ls query=f32",
	  75, 5, 3, 0x46d656c1u, 0xd079fd58u, 0x451651ddu },
	{ "rotation=rht:2 bits=4 correction=qjl:gauss",
	  37, 5, 3, 0x75d3f999u, 0x7d615d6fu, 0xd2c2ebeau },
	{ "rotation=rht:2 bits=3 correction=qjl:ortho seed=9",
	  48, 5, 3, 0xd26c7aa7u, 0x183bc14du, 0x904609fdu },
	{ "rotation=rht:2 bits=1 correction=qjl:rht",
	  64, 5, 3, 0x7b37c7c0u, 0xbedc915eu, 0x216dcd2bu },
	{ "rotation=rht:2 bits=4 correction=unbiased effort=2 scale=f16",
	  72, 5, 3, 0x82482047u, 0x49c8e8a9u, 0xd0bb15c5u },
	{ "rotation=rht:2 bits=4 correction=unbiased query=s16",
	  7, 5, 3, 0xdb95fe74u, 0x78d7059eu, 0xcb597e78u },
	{ "rotation=rht:2 bits=2 correction=ls",
	  1, 5, 3, 0x853a82abu, 0x116df0f9u, 0x7745d923u },
	{ "rotation=rht:3 code=tcq:9 bits=4 correction=ls",
	  128, 5, 3, 0xc122228eu, 0x04990270u, 0x343973bau },
	{ "rotation=rht:3 code=tcq:9 bits=3 correction=unbiased",
	  200, 5, 3, 0x174a50eeu, 0x93f81839u, 0xcec39095u },
	{ "rotation=rht:2 code=tcq:8 bits=2 correction=norm scale=f16",
	  96, 5, 3, 0xf71d3622u, 0x12fa118bu, 0xffc01b94u },
	{ "rotation=rht:3 code=tcq:9 bits=1 correction=ls",
	  64, 5, 3, 0xef5ac5d4u, 0xe5f1e15eu, 0x81a6107du },
	{ "rotation=none code=tcq:8 bits=3 correction=none query=f32",
	  37, 5, 3, 0xc2c18eb5u, 0x267a21abu, 0x17be7842u },
	{ "rotation=rht:2 code=polar bits=4 correction=none",
	  128, 5, 3, 0x9c27a8cau, 0x54d26a80u, 0x310f7204u },
	{ "rotation=rht:2 code=polar:4 bits=4 correction=ls",
	  100, 5, 3, 0x8fb662c4u, 0xd59f1724u, 0x4daad26eu },
	{ "rotation=rht:2 code=polar:5 bits=4 correction=unbiased query=f32",
	  64, 5, 3, 0xb21421d3u, 0x8802ef3fu, 0x163965cau },
	{ "rotation=none code=polar:6 bits=4 correction=norm scale=f16 query=s16",
	  33, 5, 3, 0xdee03dd2u, 0x199a71b9u, 0xa8e39158u },
	{ "rotation=rht:2 code=lm:1.6 bits=2 correction=unbiased",
	  128, 5, 3, 0xcd5e39b8u, 0x8e5d6568u, 0xa6a11981u },
	{ "rotation=rht:2 code=lm:2.33 bits=3 correction=ls effort=1",
	  100, 5, 3, 0x5d3a9a3bu, 0xb3acd635u, 0xe5c8468au },
	{ "rotation=none code=lm:2.5 bits=3 correction=ls query=f32",
	  37, 5, 3, 0x027b2397u, 0xe5a191c1u, 0x3c4bed6du },
	{ "rotation=rht:2 code=lm:3.5 bits=4 correction=ls",
	  128, 5, 3, 0x38efc2dau, 0x057258cbu, 0xc03bcffdu },
	{ "rotation=rht:3 code=lm:4.5 bits=5 correction=norm effort=2 scale=f16",
	  33, 5, 3, 0xfa9b1a64u, 0x9ed9725bu, 0x0a98b8c4u },
};

#endif
