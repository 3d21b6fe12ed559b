/* SPDX-License-Identifier: MIT */
/*
 * Reads a kubeconfig's current context: its cluster's server and CA, its user's token or client
 * certificate. Data that is in the file itself (…-data) is put into files in memory, since libcurl
 * takes files; they end with the process.
 * https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
 */
#ifndef DOZE_KUBECONFIG_H
#define DOZE_KUBECONFIG_H

#include "kube/kube_access.h"

/* -errno with a sentence in error. Exec plugins and auth providers are refused by name. */
int kubeconfig_read(struct kube_access *out, const char *path, char error[KUBE_ERROR_MAX]);

#endif
