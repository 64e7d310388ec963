/* SPDX-License-Identifier: BSD-2-Clause */
/* flood.h - a program that makes packets, each from another source.
 *
 * It writes a whole frame over whatever is there, then source, port and sequence number at random and
 * the checksums that fit, and sends it off: out of an interface, or into another program. Sources
 * are 2^30 (IPv4) and 2^32 nets (IPv6). Written as instructions, because the frame is part of it. */
#ifndef SLUICE_TESTS_BENCH_FLOOD_H
#define SLUICE_TESTS_BENCH_FLOOD_H

#include <bpf/bpf.h>
#include <sched.h>

#include "tests/bpf/packet.h"

/* For a few milliseconds nobody else has this core: what is interrupted says nothing. */
static inline void flood_alone(bool yes)
{
	struct sched_param p = {.sched_priority = yes ? 1 : 0};

	sched_setscheduler(0, yes ? SCHED_FIFO : SCHED_OTHER, &p);
}

struct code {
	struct bpf_insn at[256];
	unsigned n;
};

static inline void emit(struct code *c, __u8 op, __u8 dst, __u8 src, __s16 off, __s32 imm)
{
	assert(c->n < ARRAY_SIZE(c->at));
	c->at[c->n++] = (struct bpf_insn){
		.code = op, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm};
}

enum { MOV = BPF_ALU64 | BPF_MOV | BPF_X, MOVI = BPF_ALU64 | BPF_MOV | BPF_K };

/* A checksum at `at`: r1, which holds what varies, and the sum of everything else. */
static inline void emit_sum(struct code *c, int at, __s32 rest)
{
	emit(c, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, rest);
	for (int i = 0; i < 3; i++) {
		emit(c, MOV, 2, 1, 0, 0);
		emit(c, BPF_ALU64 | BPF_RSH | BPF_K, 2, 0, 0, 16);
		emit(c, BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, 0xffff);
		emit(c, BPF_ALU64 | BPF_ADD | BPF_X, 1, 2, 0, 0);
	}
	emit(c, BPF_ALU64 | BPF_XOR | BPF_K, 1, 0, 0, 0xffff);
	emit(c, BPF_STX | BPF_MEM | BPF_H, 7, 1, (__s16)at, 0);
}

/* What a checksum in the frame was made of, as a sum of words as they lie in memory. */
static inline __s32 flood_rest(const uint8_t *frame, size_t at)
{
	uint16_t sum;

	memcpy(&sum, frame + at, 2);
	return (uint16_t)~sum;
}

/* Always the same source, instead. */
static bool flood_still;

/* `frame` is a flood_frame(). Out of `ifindex`; if that is 0, into entry 0 of the program array. */
static inline int flood_prog(const uint8_t *frame, size_t n, bool v6, unsigned ifindex, int progs)
{
	int l4 = v6 ? 54 : 34, fd;
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	struct code c = {};
	unsigned hole;

	emit(&c, MOV, 6, 1, 0, 0);
	emit(&c, BPF_LDX | BPF_MEM | BPF_W, 7, 1, 0, 0);
	emit(&c, BPF_LDX | BPF_MEM | BPF_W, 8, 1, 4, 0);
	emit(&c, MOV, 1, 7, 0, 0);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, (__s32)n);
	hole = c.n;
	emit(&c, BPF_JMP | BPF_JGT | BPF_X, 1, 8, 0, 0);
	for (size_t i = 0; i + 4 <= n; i += 4) {
		__s32 word;

		memcpy(&word, frame + i, 4);
		emit(&c, BPF_ST | BPF_MEM | BPF_W, 7, 0, (__s16)i, word);
	}
	if (n % 4) {
		__u16 half;

		memcpy(&half, frame + n - 2, 2);
		emit(&c, BPF_ST | BPF_MEM | BPF_H, 7, 0, (__s16)(n - 2), half);
	}
	emit(&c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
	if (flood_still)
		emit(&c, MOVI, 0, 0, 0, 0x01020304);
	emit(&c, MOV, 8, 0, 0, 0); /* the source: its first byte in 16..79, nobody's loopback */
	emit(&c, BPF_ALU64 | BPF_AND | BPF_K, 8, 0, 0, v6 ? -1 : (__s32)0xffffff3f);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, v6 ? 0 : 0x10);
	emit(&c, BPF_STX | BPF_MEM | BPF_W, 7, 8, 26, 0);
	emit(&c, MOV, 9, 8, 0, 0);
	emit(&c, BPF_ALU64 | BPF_MUL | BPF_K, 9, 0, 0, 0x5e3779b1);
	emit(&c, BPF_ALU64 | BPF_RSH | BPF_K, 9, 0, 0, 12);
	emit(&c, BPF_STX | BPF_MEM | BPF_W, 7, 9, (__s16)(l4 + 4), 0); /* sequence number */
	emit(&c, MOV, 1, 9, 0, 0);
	emit(&c, BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 32);
	emit(&c, BPF_ALU64 | BPF_RSH | BPF_K, 1, 0, 0, 32);
	emit(&c, BPF_ALU64 | BPF_RSH | BPF_K, 9, 0, 0, 10);
	emit(&c, BPF_ALU64 | BPF_AND | BPF_K, 9, 0, 0, 0xffff);
	emit(&c, BPF_ALU64 | BPF_OR | BPF_K, 9, 0, 0, 4); /* ports from 1024 on */
	emit(&c, BPF_STX | BPF_MEM | BPF_H, 7, 9, (__s16)l4, 0);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_X, 1, 8, 0, 0);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_X, 1, 9, 0, 0);
	emit_sum(&c, l4 + 16, flood_rest(frame, (size_t)l4 + 16));
	if (!v6) {
		emit(&c, MOV, 1, 8, 0, 0);
		emit_sum(&c, 24, flood_rest(frame, 24));
	}
	if (ifindex) {
		emit(&c, MOVI, 1, 0, 0, (__s32)ifindex);
		emit(&c, MOVI, 2, 0, 0, 0);
		emit(&c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect);
	} else {
		emit(&c, MOV, 1, 6, 0, 0);
		emit(&c, BPF_LD | BPF_DW | BPF_IMM, 2, BPF_PSEUDO_MAP_FD, 0, progs);
		emit(&c, 0, 0, 0, 0, 0);
		emit(&c, MOVI, 3, 0, 0, 0);
		emit(&c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call);
		emit(&c, MOVI, 0, 0, 0, XDP_ABORTED);
	}
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	c.at[hole].off = (__s16)(c.n - hole - 1);
	emit(&c, MOVI, 0, 0, 0, XDP_ABORTED);
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "flood", "GPL", c.at, c.n, &frags);
	assert(fd >= 0);
	return fd;
}

/* The text's frame, with 0 for what varies, and sums that are right so. */
static inline size_t flood_frame(const char *text, bool v6, uint8_t *frame)
{
	size_t n = packet_make(text, frame), l4 = v6 ? 54 : 34;
	uint32_t sum;

	store_be32(frame + 26, 0);
	store_be16(frame + l4, 0);
	store_be32(frame + l4 + 4, 0);
	if (!v6) {
		store_be16(frame + 24, 0);
		store_be16(frame + 24, packet_fold(packet_sum(0, frame + 14, 20)));
	}
	store_be16(frame + l4 + 16, 0);
	sum = packet_sum((uint32_t)(n - l4) + 6, frame + (v6 ? 22 : 26), v6 ? 32 : 8);
	store_be16(frame + l4 + 16, packet_fold(packet_sum(sum, frame + l4, n - l4)));
	return n;
}

#endif
