# SPDX-License-Identifier: MIT
# make help lists the targets. Everything that is built is under build/, and ./doze.

CC      := clang
CLANG   := clang
BPFTOOL := bpftool
PREFIX  := /usr/local
B       := build

CFLAGS   := -O2 -g -std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes \
            -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
CPPFLAGS := -D_GNU_SOURCE -Iinclude -Iuserspace -isystem $(B)/bpf
LDFLAGS  := -pie -Wl,-z,relro,-z,now
LDLIBS   := -lbpf -lcurl -lcjson -lyaml -lssl -lcrypto -levent_core -levent_openssl -lmnl -lnghttp2 -lcap -lseccomp

# -mcpu=v2: jumps on less-than, which every kernel we run on has; v3's 32-bit jumps cost nothing less.
BPF_CFLAGS := -g -O2 -Wall -Wextra -target bpf -mcpu=v2 -Iinclude -I.

SOURCES := $(wildcard userspace/*.c userspace/*/*.c)
OBJECTS := $(SOURCES:userspace/%.c=$(B)/userspace/%.o)
LIBRARY := $(B)/libdoze.a
SKELS   := $(B)/bpf/gate.skel.h $(B)/bpf/replay.skel.h $(B)/bpf/steer.skel.h \
           $(B)/bpf/sockdiag_answered.skel.h $(B)/bpf/kubelet.skel.h

.PHONY: all deps demo test confine check bench soak fuzz corpora format reference install clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: deps ## build ./doze, after installing what is missing
	@$(MAKE) --no-print-directory doze

doze: $(B)/userspace/main.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Everything but main(): the tests link it as well.
$(LIBRARY): $(filter-out $(B)/userspace/main.o,$(OBJECTS))
	rm -f $@
	ar rcs $@ $^

# -MD, not -MMD: the skeletons are included as system headers, and are no less a reason to build anew.
$(B)/userspace/%.o: userspace/%.c Makefile | $(SKELS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -MD -MP -c -o $@ $<

$(B)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MD -MP -c -o $@ $<

# Only those: a skeleton that has another name now may still stand in the dependencies of the last build.
$(SKELS): $(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@

deps: ## install the packages that are missing (Debian 12 and 13, as root)
	@deploy/install-deps.sh

include tests/tests.mk

format: ## lay out the code as .clang-format says
	clang-format -i $$(git ls-files '*.c' '*.h')

reference: doze ## write deploy/reference.md, as the settings are
	./doze help --markdown > deploy/reference.md

$(B)/doze.8: doze
	./doze help --man > $@

install: doze $(B)/doze.8 ## install doze and its man page under PREFIX (/usr/local)
	install -D -m 755 doze $(DESTDIR)$(PREFIX)/bin/doze
	install -D -m 644 $(B)/doze.8 $(DESTDIR)$(PREFIX)/share/man/man8/doze.8

clean: ## remove what was built
	rm -rf $(B) doze

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

-include $(shell find $(B) -name '*.d' 2>/dev/null)
