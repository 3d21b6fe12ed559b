/* SPDX-License-Identifier: MIT */
/* Carries out what the scaler says (target/scaler.h). For target.c alone. */
#ifndef DOZE_TARGET_EFFECTS_H
#define DOZE_TARGET_EFFECTS_H

#include <stdbool.h>

struct target;

/* A set of enum scaler_effect, in the order of their values. May raise events. */
void target_effects_carry_out(struct target *t, unsigned int effects);

/* Of struct wake_ticket: its turn has come. */
void target_effects_grow_now(void *target);

/* It no longer counts as one that wakes. If it still waits for its turn, it grows now. */
void target_effects_end_wake(struct target *t);

/* Delivers the held frames. Returns how many. */
unsigned int target_effects_replay(struct target *t);

/* Whether somebody listens on the port that readiness is asked on; arg: the target. */
bool target_effects_is_listening(void *arg);

#endif
