/* SPDX-License-Identifier: MIT */
/*
 * Text from a grammar: each byte of an input chooses one of a symbol's texts. What comes out is
 * almost always well-formed, so that a fuzzer gets past a parser that it does not see into.
 */
#ifndef DOZE_FUZZ_GRAMMAR_H
#define DOZE_FUZZ_GRAMMAR_H

#include <stddef.h>
#include <stdint.h>

#define GRAMMAR_TEXTS_MAX 16
#define GRAMMAR_ROOM	  (1 << 16)

/* $X stands for the symbol X. At the input's end the first text is taken: no recursion. */
struct grammar_rule {
	char symbol;
	const char *texts[GRAMMAR_TEXTS_MAX]; /* NULL after the last */
};

struct grammar {
	const struct grammar_rule *rules; /* one without a symbol after the last */
	const uint8_t *data, *end;
	char out[GRAMMAR_ROOM];
	size_t len;
};

static inline const char *grammar_choose(struct grammar *g, char symbol)
{
	const struct grammar_rule *rule = g->rules;
	size_t count = 0;

	while (rule->symbol && rule->symbol != symbol)
		rule++;
	while (count < GRAMMAR_TEXTS_MAX && rule->texts[count])
		count++;
	if (!count)
		__builtin_trap(); /* the grammar has no such symbol */
	return rule->texts[g->data < g->end ? *g->data++ % count : 0];
}

/* Appends to out, which always is a string; what does not fit is cut. */
static inline void grammar_expand(struct grammar *g, const char *text)
{
	for (; *text; text++) {
		if (text[0] == '$' && text[1]) {
			grammar_expand(g, grammar_choose(g, *++text));
		} else if (g->len < GRAMMAR_ROOM - 1) {
			g->out[g->len++] = *text;
		}
	}
	g->out[g->len] = '\0';
}

#endif
