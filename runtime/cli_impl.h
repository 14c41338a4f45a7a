/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room: the words of the command line. Each is a file with one gw_cli_command and a line in the table of
 * cli_commands.c.
 */
#ifndef GW_RUNTIME_CLI_IMPL_H
#define GW_RUNTIME_CLI_IMPL_H

#include "config/load.h"
#include "runtime/cli.h"

struct gw_cli;

enum gw_cli_flags {
    GW_CLI_HIDDEN = 1,  /* not in the help */
    GW_CLI_REST = 2,    /* takes further words and flags of its own: rest[] */
    GW_CLI_BUILTIN = 4, /* without a configuration it is about a gateway that has none, either */
};

struct gw_cli_command {
    const char *word, *alias; /* alias: another word for it, or NULL */
    const char *help;         /* one line */
    unsigned flags;
    int (*run)(struct gw_cli *c); /* returns the exit code */
};

/** Ended by NULL; the first one is what runs without a word. */
extern const struct gw_cli_command *const gw_cli_commands[];

struct gw_cli_file {
    char *path;
    uint64_t changed_ns; /* when it was read */
};

struct gw_cli {
    const struct gw_cli_world *w;
    const struct gw_cli_command *command;
    const char **uris, **sets;
    size_t n_uris, n_sets;
    const char *gates, *mode, *format, *socket, *endpoint; /* NULL: not given */
    const char **rest; /* GW_CLI_REST: what is not one of the common flags, in order */
    size_t n_rest;
    bool demo, is_builtin;
    struct gw_arena arena; /* the tree */
    struct gw_diag diag;
    struct gw_cli_file *files; /* that the configuration was read from, last time */
    size_t n_files;
};

/* ---- saying things ---------------------------------------------------------------------------------------- */

void gw_cli_put(const struct gw_cli *c, int fd, struct gw_slice s);
void gw_cli_say(const struct gw_cli *c, int fd, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** "error: WHAT "WORD"; did you mean ...?"; words NULL-ended. Returns GW_EXIT_USAGE. */
int gw_cli_usage(const struct gw_cli *c, const char *what, const char *word, const char *const *words);
/** The exit code for a negative errno of running or asking. */
int gw_cli_exit_of(int rc);

/* ---- words and flags of a command's own (GW_CLI_REST) ------------------------------------------------------ */

/** The next word that is no flag, taken out of rest[]; NULL when there is none. */
const char *gw_cli_take_word(struct gw_cli *c);
/** "--flag value" or "--flag=value", taken out; NULL when it is not there. Twice: the last one counts.
 * *ret_missing is set when no value follows; it is never cleared. */
const char *gw_cli_take_flag(struct gw_cli *c, const char *flag, bool *ret_missing);
/** "--flag" without a value, taken out. */
bool gw_cli_take_switch(struct gw_cli *c, const char *flag);
/** 0, or GW_EXIT_USAGE after saying what is unknown; words: what could have been meant, NULL-ended. */
int gw_cli_no_more(struct gw_cli *c, const char *const *words);

/* ---- configuration, and the gateway that runs with it ------------------------------------------------------ */

/** Load and check; prints what there is to say. Returns an exit code; ret is the caller's (gw_service_free). */
int gw_cli_load(struct gw_cli *c, const struct gw_node **ret_root, struct gw_service **ret);
/** The same, once more, into memory of its own and without a word. Returns 0 or a negative errno. */
int gw_cli_read(struct gw_cli *c, struct gw_arena *arena, struct gw_diag *diag, const struct gw_node **ret_root,
                struct gw_service **ret);
/** What the first lines call the configuration. */
const char *gw_cli_source(struct gw_cli *c);
/**
 * Ask the gateway that runs with this configuration (or listens at --socket), and print its lines. args: a JSON object,
 * or empty. Returns the exit code.
 */
int gw_cli_ask(struct gw_cli *c, const char *command, struct gw_slice args);
/** Ask whoever listens there. Returns the exit code, or as gw_control_ask; then nothing was said. */
int gw_cli_ask_at(struct gw_cli *c, const char *path, const char *command, struct gw_slice args, struct gw_err *err);

#endif
