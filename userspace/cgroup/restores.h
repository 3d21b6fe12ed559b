/* SPDX-License-Identifier: MIT */
/* What undoes a sleep: files, and the text that each of them gets. One text for each file. */
#ifndef DOZE_RESTORES_H
#define DOZE_RESTORES_H

struct restore {
	char *path;
	char *text;
	struct restore *prev, *next;
};

/* Empty at first. Its files come in the order in which they were set first. */
struct restores {
	struct restore *first;
};

/* Instead of an earlier text for that path. -ENOMEM: all is as it was before. */
int restores_set(struct restores *all, const char *path, const char *text);

/* Nothing changes if there is no such path. */
void restores_drop(struct restores *all, const char *path);
void restores_clear(struct restores *all);

/*
 * Writes all of them. A file that is gone is none to be written. One that cannot be written, which
 * is logged, keeps no other from it: the first such -errno. why is for the log.
 */
int restores_write(const struct restores *all, const char *why);

#endif
