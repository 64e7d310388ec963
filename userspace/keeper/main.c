/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - sluiced: what the command line says, then the keeper.
 *
 * It runs in the foreground and logs to standard error; systemd, runit or a container runtime does
 * the rest. Exit codes: 0 fine, 1 could not run, 2 the command line or sluice.conf is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "config/config.h"
#include "keeper/guard.h"
#include "keeper/keeper.h"
#include "keeper/list_source.h"
#include "tls/tls.h"

#define DEFAULT_FILE "/etc/sluice/sluice.conf"

enum { EXIT_FINE, EXIT_FAILED, EXIT_WRONG };

static const char help_text[] =
	"usage: sluiced [-c FILE] [-t | -T [-j] | [-r] [-b]]\n"
	"\n"
	"Terminates TLS and WebSocket at the network edge. Stays in the foreground.\n"
	"\n"
	"  -c, --config FILE   read FILE (default: " DEFAULT_FILE ")\n"
	"  -t, --test          check the configuration, its certificates and lists, and exit\n"
	"  -T, --show          print the effective configuration, defaults included, and exit\n"
	"  -j, --json          with -T: as JSON\n"
	"  -r, --replace       take over from the sluiced that runs on the same runtime_dir, if one\n"
	"                      does: new clients come here, its own hear 1001; if this one fails\n"
	"                      to start, that one goes on\n"
	"  -b, --background    return when the daemon is ready, or has failed to become so\n"
	"  -V, --version       print the version and exit\n"
	"  -h, --help          print this and exit\n"
	"\n"
	"Examples:\n"
	"  sluiced -t -c sluice.conf           is this file right?\n"
	"  sluiced -T -j | jq .listeners       what would it listen on?\n"
	"  sluiced -c sluice.conf              run; Ctrl-C closes every client and ends\n"
	"  sluiced -rb -c sluice.conf          another version or configuration, nobody refused\n"
	"\n"
	"Signals: TERM and INT close every client with 1001 and end; a second one ends at once.\n"
	"Exit codes: 0 fine, 1 could not run, 2 the command line or the configuration is wrong.\n";

enum task { RUN, TEST, SHOW };

struct options {
	const char *file;
	enum task task;
	bool json;
	bool replace, background;
};

static int wrong(const char *why)
{
	fprintf(stderr, "sluiced: %s\nTry \"sluiced --help\".\n", why);
	return EXIT_WRONG;
}

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"test", no_argument, NULL, 't'},
		{"show", no_argument, NULL, 'T'},
		{"json", no_argument, NULL, 'j'},
		{"replace", no_argument, NULL, 'r'},
		{"background", no_argument, NULL, 'b'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	for (int c; (c = getopt_long(argc, argv, "c:tTjrbVh", known, NULL)) != -1;) {
		switch (c) {
		case 'c': o->file = optarg; break;
		case 't':
		case 'T':
			if (o->task != RUN && o->task != (c == 't' ? TEST : SHOW))
				return wrong("-t or -T, not both");
			o->task = c == 't' ? TEST : SHOW;
			break;
		case 'j': o->json = true; break;
		case 'r': o->replace = true; break;
		case 'b': o->background = true; break;
		case 'V': printf("sluiced " SLUICE_VERSION "\n"); return EXIT_FINE;
		case 'h': fputs(help_text, stdout); return EXIT_FINE;
		default: /* getopt has said which option it was */
			fprintf(stderr, "Try \"sluiced --help\".\n");
			return EXIT_WRONG;
		}
	}
	if (optind < argc) {
		char why[256];
		snprintf(why, sizeof(why), "\"%s\": a configuration file is named with -c",
			 argv[optind]);
		return wrong(why);
	}
	if (o->json && o->task != SHOW)
		return wrong("-j goes with -T");
	if ((o->replace || o->background) && o->task != RUN)
		return wrong("-r and -b go with neither -t nor -T");
	return -1;
}

/* Reads it, or says everything that is wrong with it. */
static struct config *load(const char *file)
{
	struct config_errors errors = {0};
	struct config *cfg = config_load(file, &errors);
	if (!cfg)
		config_error_print(&errors, stderr);
	config_errors_fini(&errors);
	return cfg;
}

/* Each by itself, so that its line can be told beside what tls has logged. A development certificate
 * may not have been made yet: that is no mistake, and a check makes nothing. */
static bool check_certificates(const struct config *cfg)
{
	struct tls_material all = {0}; /* the certificates alone */
	bool ok = true;
	all.pem = calloc(cfg->n_certificates + 1, sizeof(*all.pem));
	for (uint32_t i = 0; all.pem && i < cfg->n_certificates; i++) {
		const struct config_certificate *c = &cfg->certificates[i];
		struct config one = *cfg;
		one.certificates = c;
		one.n_certificates = 1;
		one.n_listeners = 0;
		one.tls.ticket_key_file = NULL;
		struct tls_material *m = c->dev ? NULL : tls_material_load(&one);
		if (!c->dev && (!m || !tls_material_check(&one, m))) {
			char *file = config_tame(strdup(c->conf_file));
			fprintf(stderr,
				"%s:%u: certificate %s: cannot be used, the reason stands above\n",
				file ? file : "", c->conf_line, c->name);
			free(file);
			ok = false;
		}
		if (m) {
			all.pem[i].cert = m->pem[0].cert;
			m->pem[0].cert = BYTES(NULL, 0);
		}
		tls_material_free(m);
		all.n = i + 1;
	}
	tls_material_check_names(cfg, &all);
	for (uint32_t i = 0; i < all.n; i++)
		free((void *)all.pem[i].cert.p);
	free(all.pem);
	return ok && all.n == cfg->n_certificates;
}

/* Those that clients' certificates are believed by. */
static bool check_authorities(const struct config *cfg)
{
	struct config none = *cfg;
	none.n_certificates = 0;
	none.tls.ticket_key_file = NULL;
	struct tls_material *m = tls_material_load(&none);
	bool ok = m != NULL && tls_material_check(&none, m);
	tls_material_free(m);
	return ok;
}

/* As a start or SIGHUP would read them, which go on without the one that is wrong. */
static bool check_lists(const struct config *cfg)
{
	bool ok = true;
	for (uint32_t i = 0; i < cfg->shield.n_lists; i++)
		ok &= list_source_check(&cfg->shield.lists[i]);
	return ok;
}

/* What config_check() does, and before it says that all is well a look at what a file alone cannot
 * tell: users, groups, certificates, the files of lists. */
static int test(const char *file)
{
	struct config *cfg = load(file);
	if (!cfg)
		return EXIT_WRONG;
	bool ok = true;
	log_init("sluiced", LOG_WARN, false);
	ok = keeper_check(cfg);
	ok &= check_certificates(cfg);
	ok &= check_authorities(cfg);
	ok &= check_lists(cfg);
	guards_log(cfg);
	struct tls_tickets tickets;
	ok &= tls_tickets_load(cfg, &tickets);
	explicit_bzero(&tickets, sizeof(tickets));
	config_free(cfg);
	return ok ? config_check(file, stdout) : EXIT_WRONG;
}

static int show(const char *file, bool json)
{
	struct config *cfg = load(file);
	if (!cfg)
		return EXIT_WRONG;
	(json ? config_show_json : config_show)(cfg, stdout);
	config_free(cfg);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "sluiced: cannot write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_FINE;
}

/* In the parent: -1 in the child, with *ready_fd to write to; else the exit code, when the child is
 * ready or has ended. */
static int go_behind(int *ready_fd)
{
	int end[2], status;
	if (pipe2(end, O_CLOEXEC) < 0) {
		fprintf(stderr, "sluiced: cannot go to the background: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(end[0]);
		setsid(); /* whoever started us may end with his terminal */
		*ready_fd = end[1];
		return -1;
	}
	close(end[1]);
	char byte;
	ssize_t n = pid < 0 ? -1 : TEMP_FAILURE_RETRY(read(end[0], &byte, 1));
	close(end[0]);
	if (n == 1)
		return EXIT_FINE;
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return EXIT_FAILED;
	return WEXITSTATUS(status);
}

static int run(const struct options *o)
{
	struct keeper_how how = {.replace = o->replace, .ready_fd = -1};
	struct config *cfg = load(o->file);
	if (!cfg)
		return EXIT_WRONG;
	log_init("keeper", cfg->log_level, cfg->log_json);
	int code = keeper_check(cfg) ? -1 : EXIT_WRONG;
	if (code < 0 && o->background)
		code = go_behind(&how.ready_fd);
	if (code < 0)
		code = keeper_run(cfg, &how);
	config_free(cfg);
	return code;
}

/* A descriptor 0, 1 or 2 that nobody opened would become a port or a key file, and then the log. */
static void fill_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	fill_standard_descriptors();
	struct options o = {.file = DEFAULT_FILE, .task = RUN};
	int code = parse(argc, argv, &o);
	if (code >= 0)
		return code;
	switch (o.task) {
	case TEST: return test(o.file);
	case SHOW: return show(o.file, o.json);
	case RUN: break;
	}
	return run(&o);
}
