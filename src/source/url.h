/* SPDX-License-Identifier: MIT */
/* source/url.h - URLs taken apart (RFC 3986), and shown without what must not be seen.
 *
 * Pure functions on text: no I/O, any thread. Errors never contain the user information (user and
 * password in front of the host). */
#ifndef SOURCE_URL_H
#define SOURCE_URL_H

#include "base/error.h"

#include <stddef.h>

enum url_scheme { URL_FILE, URL_HTTP, URL_HTTPS, URL_FTP, URL_SSH, URL_OTHER };

struct url_span {
	const char *at; /* not terminated */
	size_t len;
};

/* Borrows the text. All parts are as they were written, percent signs and all. */
struct url {
	enum url_scheme scheme;
	struct url_span scheme_name; /* "http" */
	bool has_userinfo, has_password; /* a password may be there and be empty */
	struct url_span user, password;
	struct url_span host; /* with the brackets of an IPv6 address */
	unsigned port; /* 0: not given */
	struct url_span path; /* from the "/" on; may be empty */
	struct url_span tail; /* query and fragment, from "?" or "#" on; may be empty */
};

/* Does it begin like one, SCHEME://? A local file of that very name goes first all the same. */
bool url_looks_like(const char *text);
/* Code USAGE: no URL at all, no host (but for file:), control characters, a host or port of
 * impossible characters. Scheme OTHER is no error here. */
bool url_parse(struct url *url, const char *text, struct bmap_error *err);
/* The text without user and password; of one that cannot be parsed but may hold some, only the
 * scheme. Anything else as it is. malloc'ed; NULL: no memory. */
char *url_display(const char *text);
/* Replaces %XX; a %00 or a broken one is an error. name is for the message. malloc'ed. */
char *url_decode(struct url_span part, const char *name, struct bmap_error *err);
/* The same scheme, host and port: what credentials are good for. */
bool url_same_origin(const struct url *a, const struct url *b);
/* The path of a file: URL, decoded; NULL with code USAGE if it names another machine or has a
 * query. malloc'ed. */
char *url_file_path(const char *text, struct bmap_error *err);
/* What to ask a server for: without user information and fragment, spaces and bytes that are no
 * ASCII written as %XX. malloc'ed; NULL: no memory. */
char *url_request_text(const struct url *url);
/* A local name for what the user named: of a file: URL its path, unless there is a local file of
 * that very name; everything else unchanged. malloc'ed. */
char *url_to_local(const char *name, struct bmap_error *err);
/* True for what source_open() would fetch from elsewhere: a URL, and no local file of that name. */
bool url_is_remote(const char *name);

#endif
