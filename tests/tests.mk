# SPDX-License-Identifier: MIT
# What the tests need; included by the Makefile.
