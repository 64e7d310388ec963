/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_lists - a million prefixes on the deny list: how long it takes to load them, what memory
 * that costs at its height, and what a packet pays that is listed, or is not.
 *
 * The mix: 70 % hosts, 20 % /24, the rest of all lengths from /8 to /31, short ones few enough
 * that most addresses stay unlisted. "unlisted" and "listed" take 262,144 random addresses of
 * either kind in turn, so that what one leaves in the cache helps no other; the cost is what the
 * same frames take more than with the list empty. */
#include <sched.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/hash.h"
#include "tests/bpf/run.h"

#define PIECE  65536
#define PIECES 40 /* of which the fastest are told: */
#define FAST   10

#define BPF_ALU64_IMM(op, dst, i)                                                                  \
	((struct bpf_insn){.code = BPF_ALU64 | (op) | BPF_K, .dst_reg = (dst), .imm = (i)})
#define BPF_ALU64_REG(op, dst, src)                                                                \
	((struct bpf_insn){.code = BPF_ALU64 | (op) | BPF_X, .dst_reg = (dst), .src_reg = (src)})
#define BPF_MOV64_IMM(dst, i)   BPF_ALU64_IMM(BPF_MOV, dst, i)
#define BPF_MOV64_REG(dst, src) BPF_ALU64_REG(BPF_MOV, dst, src)
#define BPF_LDX_MEM(size, dst, src, o)                                                             \
	((struct bpf_insn){.code = BPF_LDX | (size) | BPF_MEM,                                     \
			   .dst_reg = (dst),                                                       \
			   .src_reg = (src),                                                       \
			   .off = (o)})
#define BPF_STX_MEM(size, dst, src, o)                                                             \
	((struct bpf_insn){.code = BPF_STX | (size) | BPF_MEM,                                     \
			   .dst_reg = (dst),                                                       \
			   .src_reg = (src),                                                       \
			   .off = (o)})
#define BPF_JMP_REG(op, dst, src, o)                                                               \
	((struct bpf_insn){                                                                        \
		.code = BPF_JMP | (op) | BPF_X, .dst_reg = (dst), .src_reg = (src), .off = (o)})
#define BPF_LD_PSEUDO(dst, kind, fd)                                                               \
	((struct bpf_insn){.code = BPF_LD | BPF_DW | BPF_IMM,                                      \
			   .dst_reg = (dst),                                                       \
			   .src_reg = (kind),                                                      \
			   .imm = (fd)}),                                                          \
		((struct bpf_insn){0})
#define BPF_LD_MAP_FD(dst, fd)       BPF_LD_PSEUDO(dst, BPF_PSEUDO_MAP_FD, fd)
#define BPF_LD_MAP_VALUE(dst, fd, o) BPF_LD_PSEUDO(dst, BPF_PSEUDO_MAP_VALUE, fd)
#define BPF_CALL_HELPER(f)           ((struct bpf_insn){.code = BPF_JMP | BPF_CALL, .imm = (f)})
#define BPF_RETURN()                 ((struct bpf_insn){.code = BPF_JMP | 0x90})
#define SAMPLES                      (1 << 18)

static struct run run;
static struct list_record *records;
static size_t n_records;
static uint64_t turn;

static uint32_t chance(void)
{
	return (uint32_t)hash_mix(++turn);
}

static unsigned any_len(void)
{
	uint32_t c = chance() % 1000;

	if (c < 700)
		return 32;
	if (c < 900)
		return 24;
	if (c < 990)
		return 25 + chance() % 7;
	if (c < 999)
		return 16 + chance() % 8;
	return 13 + chance() % 3;
}

static int by_prefix(const void *a, const void *b)
{
	const struct list_record *x = a, *y = b;
	int c = memcmp(x->addr, y->addr, 4);

	return c ? c : (x->len > y->len) - (x->len < y->len);
}

static void make_records(size_t n)
{
	records = calloc(n, sizeof(*records));
	assert(records);
	for (size_t i = 0; i < n; i++) {
		unsigned len = i < 8 ? 8 + (unsigned)i % 5 : any_len();

		records[i].family = 4;
		records[i].len = (uint8_t)len;
		store_be32(records[i].addr, chance() & (uint32_t)(~0ull << (32 - len)));
	}
	qsort(records, n, sizeof(*records), by_prefix);
	n_records = 0;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || by_prefix(&records[i - 1], &records[i]))
			records[n_records++] = records[i];
}

/* Is it listed? Asked of what the program reads, by our own code. */
static bool listed(uint32_t ip)
{
	uint8_t addr[16] = {0};

	store_be32(addr, ip);
	return list_table_lookup(&run.shield.list[LIST_DENY].table, 4, addr) != 0;
}

/* An address of the wanted kind, from a fixed sequence. */
static uint32_t any_ip(bool want)
{
	for (;;) {
		uint32_t ip = chance();

		if (want)
			ip = load_be32(records[ip % n_records].addr);
		if ((ip >> 24) % 128 != 127 && ip >> 24 && ip >> 28 < 14 && listed(ip) == want)
			return ip;
	}
}

/* A program in front of ours that gives the frame the next source of a table, so that many runs
 * go in one call: runs that each come out of a system call find the caches as that left them. */
static int front_prog, front_table, front_next;

static void front_open(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	__u32 zero = 0;

	front_table = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sources", 4, SAMPLES * 4, 1, NULL);
	front_next = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "next", 4, 4, 1, NULL);
	int count = bpf_map_create(BPF_MAP_TYPE_ARRAY, "count", 4, 8, 1, NULL);
	const struct bpf_insn code[] = {
		BPF_MOV64_REG(BPF_REG_6, BPF_REG_1),
		BPF_LD_MAP_VALUE(BPF_REG_7, count, 0),
		BPF_LDX_MEM(BPF_DW, BPF_REG_8, BPF_REG_7, 0),
		BPF_MOV64_REG(BPF_REG_9, BPF_REG_8),
		BPF_ALU64_IMM(BPF_ADD, BPF_REG_9, 1),
		BPF_STX_MEM(BPF_DW, BPF_REG_7, BPF_REG_9, 0),
		BPF_ALU64_IMM(BPF_AND, BPF_REG_8, SAMPLES - 1),
		BPF_ALU64_IMM(BPF_LSH, BPF_REG_8, 2),
		BPF_LD_MAP_VALUE(BPF_REG_9, front_table, 0),
		BPF_ALU64_REG(BPF_ADD, BPF_REG_9, BPF_REG_8),
		BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_9, 0),
		BPF_LDX_MEM(BPF_W, BPF_REG_2, BPF_REG_6, offsetof(struct xdp_md, data)),
		BPF_LDX_MEM(BPF_W, BPF_REG_3, BPF_REG_6, offsetof(struct xdp_md, data_end)),
		BPF_MOV64_REG(BPF_REG_4, BPF_REG_2),
		BPF_ALU64_IMM(BPF_ADD, BPF_REG_4, 34),
		BPF_JMP_REG(BPF_JGT, BPF_REG_4, BPF_REG_3, 6),
		BPF_STX_MEM(BPF_W, BPF_REG_2, BPF_REG_0, 26),
		BPF_MOV64_REG(BPF_REG_1, BPF_REG_6),
		BPF_LD_MAP_FD(BPF_REG_2, front_next),
		BPF_MOV64_IMM(BPF_REG_3, 0),
		BPF_CALL_HELPER(BPF_FUNC_tail_call),
		BPF_MOV64_IMM(BPF_REG_0, XDP_ABORTED),
		BPF_RETURN(),
	};

	front_prog =
		bpf_prog_load(BPF_PROG_TYPE_XDP, "front", "GPL", code, ARRAY_SIZE(code), &frags);
	if (front_prog < 0 || bpf_map_update_elem(front_next, &zero, &run.prog, BPF_ANY)) {
		perror("front");
		exit(1);
	}
}

/* The table is walked in pieces of some tens of milliseconds, the two that are compared in turn: what
 * else this machine does then hits both alike. The kernel leaves out the time in which somebody else has the
 * core, but not what he leaves in its caches: what is told is the mean of the fastest quarter. (Shorter
 * pieces would mostly measure cold caches: before each run the kernel waits some milliseconds.) */
static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double piece(const uint8_t *frame, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = PIECE);

	if (bpf_prog_test_run_opts(front_prog, &opts) || opts.retval == XDP_ABORTED) {
		perror("prog run");
		exit(1);
	}
	return opts.duration;
}

static double fast(double *ns)
{
	double sum = 0;

	qsort(ns, PIECES, sizeof(*ns), by_size);
	for (int i = 0; i < FAST; i++)
		sum += ns[i];
	return sum / FAST;
}

/* These sources with the list and without it: the program looks no further where it has no entries. */
static void row(const char *what, const uint32_t *ip)
{
	static double with[PIECES], without[PIECES];
	struct shield_list *now = &run.shield.lists[LIST_DENY];
	uint32_t *count = &now->n[now->bank & 1].v4, v4 = *count, zero = 0;
	uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 tcp S opts=5", frame);

	if (bpf_map_update_elem(front_table, &zero, ip, BPF_ANY)) {
		perror("sources");
		exit(1);
	}
	for (int i = 0; i < PIECES; i++) {
		*count = 0;
		without[i] = piece(frame, n);
		*count = v4;
		with[i] = piece(frame, n);
	}
	printf("  %-10s %4.0f ns a packet, with an empty list %4.0f: net %4.0f\n", what, fast(with),
	       fast(without), fast(with) - fast(without));
}

static double mib(double bytes)
{
	return bytes / (1 << 20);
}

static size_t list_bytes(void)
{
	const struct list *l = &run.shield.list[LIST_DENY];

	return list_table_bytes(&l->table) + l->notes_max * sizeof(struct list_note);
}

static double cpu_seconds(void)
{
	struct rusage now;

	getrusage(RUSAGE_SELF, &now);
	return (double)(now.ru_utime.tv_sec + now.ru_stime.tv_sec) +
	       (double)(now.ru_utime.tv_usec + now.ru_stime.tv_usec) / 1e6;
}

static void load(const char *what, const char *name)
{
	double cpu = cpu_seconds();
	struct list_batch batch = {.records = records, .n = n_records};
	struct list_built built;
	uint64_t from = clock_mono_ns();
	int err;

	snprintf(batch.name, sizeof(batch.name), "%s", name);
	err = shield_list_build(&run.shield, LIST_DENY, &batch, &built);
	if (!err)
		err = shield_list_switch(&run.shield, LIST_DENY, &batch, &built);
	if (err) {
		fprintf(stderr, "load: %s\n", strerror(-err));
		exit(1);
	}
	printf("  %s %.2f s, of them %.2f s of processor time\n", what,
	       (double)(clock_mono_ns() - from) / 1e9, cpu_seconds() - cpu);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct shield_protect one = {.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	struct rusage before, after;
	uint32_t *ip[2];
	cpu_set_t cpu;

	if (!run_may()) {
		puts("skipped: needs root to load BPF");
		return 0;
	}
	CPU_ZERO(&cpu);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	run_open(&run);
	run_loopback(&run, false);
	if (run_policy(&run, &one, 1))
		return 1;
	front_open();
	make_records(n);
	getrusage(RUSAGE_SELF, &before);
	printf("%zu prefixes, %.1f MiB of records\n", n_records,
	       mib((double)(n_records * sizeof(*records))));
	load("first load  ", "bench");
	printf("  maps         %.1f MiB (blocks %u of %u)\n", mib((double)list_bytes()),
	       run.shield.lists[0].blocks, run.shield.lists[0].blocks_max);
	getrusage(RUSAGE_SELF, &after);
	printf("  peak of this process while loading, its records and mapped maps included: %.0f MiB "
	       "(before: %.0f)\n",
	       mib((double)after.ru_maxrss * 1024), mib((double)before.ru_maxrss * 1024));
	for (int k = 0; k < 2; k++) {
		ip[k] = calloc(SAMPLES, sizeof(*ip[k]));
		assert(ip[k]);
		for (unsigned i = 0; i < SAMPLES; i++)
			ip[k][i] = htonl(any_ip(k == 1));
	}
	row("unlisted", ip[0]);
	row("listed", ip[1]);
	load("load again  ", "bench");
	getrusage(RUSAGE_SELF, &after);
	printf("  peak with both: %.0f MiB\n", mib((double)after.ru_maxrss * 1024));
	run_close(&run);
	return 0;
}
