/* SPDX-License-Identifier: BSD-2-Clause */
/* prog.c - the BPF programs in the kernel, as bpftool sees them, and where they are attached. */
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sluicectl/ctl.h"

/* reuseport_N picks for the daemon's listener N; "" if it is none or the daemon does not tell. */
static const char *listener_of(const char *pin, const json_t *listeners)
{
	if (strncmp(pin, "reuseport_", 10) != 0)
		return "";
	const json_t *l = json_array_get(listeners, strtoul(pin + 10, NULL, 10));
	return ctl_str(l, "name");
}

static void print_prog(const json_t *p, const char *pin, const char *listener)
{
	printf("%-14s id %-5llu %-13s jited %5llu bytes, %llu instructions, memory %s%s%s\n", pin,
	       ctl_u64(p, "id"), ctl_str(p, "type"), ctl_u64(p, "bytes_jited"),
	       ctl_u64(p, "bytes_xlated") / 8, ctl_bytes(ctl_u64(p, "bytes_memlock")),
	       *listener ? ", listener " : "", listener);
}

static int one(struct ctl *ctl, const char *dir, const char *pin, const json_t *listeners,
	       json_t *list)
{
	char path[800];
	int code = CTL_OK;
	bool link = strncmp(pin, "link_", 5) == 0;
	snprintf(path, sizeof(path), "%s/%s", dir, pin);
	const char *args[] = {link ? "link" : "prog", "show", "pinned", path, NULL};
	json_t *p = ctl_bpftool(ctl, args, &code);
	if (p == NULL || ctl->show_command) {
		json_decref(p);
		return code;
	}
	if (ctl->json) {
		json_object_set_new(p, "pin", json_string(pin));
		if (*listener_of(pin, listeners))
			json_object_set_new(p, "listener",
					    json_string(listener_of(pin, listeners)));
		json_array_append(list, p);
	} else if (link) {
		/* The pin is named after the interface's number: bpftool of Debian 12 does not tell it. */
		char name[IF_NAMESIZE];
		ctl_ifname(ctl, (unsigned)strtoul(pin + 5, NULL, 10), name);
		printf("%-14s id %-5llu link of program %llu to %s\n", pin, ctl_u64(p, "id"),
		       ctl_u64(p, "prog_id"), name);
	} else {
		print_prog(p, pin, listener_of(pin, listeners));
	}
	json_decref(p);
	return code;
}

static int is_shown(const struct dirent *e)
{
	return strcmp(e->d_name, "xdp") == 0 || strncmp(e->d_name, "reuseport_", 10) == 0 ||
	       strncmp(e->d_name, "link_", 5) == 0;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	bool given = ctl->pin_dir != NULL;
	const char *dir = ctl_pin_dir(ctl, "", &code);
	if (dir == NULL)
		return code;
	struct dirent **pins;
	int n = scandir(dir, &pins, is_shown, versionsort);
	if (n < 0)
		return ctl_fail(ctl, CTL_REFUSED, "%s: %s%s", dir, strerror(errno),
				errno == ENOENT ? ": the shield is off" : "");
	/* With --pin-dir there need not be a daemon: its listeners are then not named. */
	json_t *daemon = given ? NULL : ctl_ask(ctl, json_pack("{s:s}", "ask", "keeper"), &code);
	json_t *list = json_array();
	for (int i = 0; i < n; i++) {
		if (code == CTL_OK)
			code = one(ctl, dir, pins[i]->d_name, json_object_get(daemon, "listeners"),
				   list);
		free(pins[i]);
	}
	free(pins);
	json_decref(daemon);
	if (code == CTL_OK && ctl->json && !ctl->show_command)
		ctl_print_json(ctl, json_incref(list));
	json_decref(list);
	return code;
}

static const struct verb verbs[] = {
	{"show", show, "", "pinned programs and links with their sizes", VIA_BPFTOOL},
	{0},
};
const struct object prog_object = {
	.name = "prog",
	.verbs = verbs,
	.help = "the BPF programs and where they are attached",
	.examples = "  sluicectl prog show\n  sluicectl --show-command prog show\n",
};
