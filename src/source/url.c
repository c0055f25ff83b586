/* SPDX-License-Identifier: MIT */
#include "source/url.h"
#include "base/checked.h"

#include <bmap/log.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define LARGEST_PORT 65535u

static size_t scheme_length(const char *text);
static enum url_scheme scheme_of(struct url_span name);
static bool parse_authority(struct url *url, struct url_span all, const char *shown,
			    struct bmap_error *err);
static bool parse_host(struct url *url, struct url_span all, const char *shown,
		       struct bmap_error *err);

static struct url_span span(const char *begin, const char *end)
{
	return (struct url_span){ begin, (size_t)(end - begin) };
}

bool url_looks_like(const char *text)
{
	return scheme_length(text) > 0;
}

/* RFC 3986 3.1; 0: there is none, or no "//" behind it. */
static size_t scheme_length(const char *text)
{
	size_t len = 0;

	if (!isalpha((unsigned char)*text))
		return 0;
	while (isalnum((unsigned char)text[len]) || (text[len] && strchr("+-.", text[len])))
		len++;
	return strncmp(text + len, "://", 3) ? 0 : len;
}

/* The text that messages show when the parts are not known. */
static void show_scheme(char shown[64], const char *text)
{
	size_t len = scheme_length(text);

	snprintf(shown, 64, "%.*s://...", (int)min_u64(len, 40), text);
}

bool url_parse(struct url *url, const char *text, struct bmap_error *err)
{
	size_t len = scheme_length(text);
	const char *authority = text + len + 3, *path;
	char shown[64];

	*url = (struct url){ 0 };
	if (!len)
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: this is no URL", text);
	show_scheme(shown, text);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%s: control characters in a URL", shown);
	url->scheme_name = (struct url_span){ text, len };
	url->scheme = scheme_of(url->scheme_name);
	path = authority + strcspn(authority, "/?#");
	url->path = (struct url_span){ path, strcspn(path, "?#") };
	url->tail = (struct url_span){ path + url->path.len, strlen(path + url->path.len) };
	return parse_authority(url, span(authority, path), shown, err);
}

static enum url_scheme scheme_of(struct url_span name)
{
	static const char *const names[] = {
		[URL_FILE] = "file", [URL_HTTP] = "http", [URL_HTTPS] = "https",
		[URL_FTP] = "ftp",   [URL_SSH] = "ssh",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == name.len && !strncasecmp(names[i], name.at, name.len))
			return (enum url_scheme)i;
	return URL_OTHER;
}

static bool parse_authority(struct url *url, struct url_span all, const char *shown,
			    struct bmap_error *err)
{
	/* The last one: a password with an "@" that was not written as %40 is taken as meant, and
	 * never becomes part of a host. */
	const char *at = memrchr(all.at, '@', all.len), *end = all.at + all.len;

	if (at) {
		const char *colon = memchr(all.at, ':', (size_t)(at - all.at));

		url->has_userinfo = true;
		url->has_password = colon != NULL;
		url->user = span(all.at, colon ? colon : at);
		if (colon)
			url->password = span(colon + 1, at);
		all = span(at + 1, end);
	}
	return parse_host(url, all, shown, err);
}

static bool host_character(unsigned char c, bool bracketed)
{
	/* Bytes beyond ASCII: international names, as they are typed. */
	return isalnum(c) || c == '.' || c == '-' || c == '_' || c >= 0x80 ||
	       (bracketed && (c == ':' || c == '%'));
}

static bool parse_port(struct url *url, struct url_span digits, const char *shown,
		       struct bmap_error *err)
{
	unsigned port = 0;

	for (size_t i = 0; i < digits.len; i++) {
		if (!isdigit((unsigned char)digits.at[i]))
			port = LARGEST_PORT + 1;
		else
			port = port * 10 + (unsigned)(digits.at[i] - '0');
		if (port > LARGEST_PORT)
			break;
	}
	if (port > LARGEST_PORT || (digits.len && !port))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: behind the host's \":\" there is no port number (a "
				      "password that holds a \"/\" has to be written with %%2F)",
				      shown);
	url->port = port;
	return true;
}

static bool parse_host(struct url *url, struct url_span all, const char *shown,
		       struct bmap_error *err)
{
	const char *end = all.at + all.len, *host_end;
	bool bracketed = all.len && all.at[0] == '[';
	size_t margin = bracketed ? 1 : 0;

	if (bracketed) {
		host_end = memchr(all.at, ']', all.len);
		host_end = host_end ? host_end + 1 : all.at;
	} else {
		host_end = memchr(all.at, ':', all.len);
		host_end = host_end ? host_end : end;
	}
	url->host = span(all.at, host_end);
	if (url->host.len <= 2 * margin && url->scheme != URL_FILE)
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: a URL without a host", shown);
	for (size_t i = margin; i + margin < url->host.len; i++)
		if (!host_character((unsigned char)url->host.at[i], bracketed))
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%s: there is a character in the host that no host's "
					      "name has",
					      shown);
	if (host_end == end)
		return true;
	if (*host_end != ':')
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: no \":\" behind the host's \"]\"",
				      shown);
	return parse_port(url, span(host_end + 1, end), shown, err);
}

char *url_display(const char *text)
{
	struct url url;
	char *out;

	if (!scheme_length(text))
		return strdup(text);
	if (!url_parse(&url, text, NULL)) {
		char shown[64];

		show_scheme(shown, text);
		return strdup(strchr(text, '@') ? shown : text);
	}
	if (!url.has_userinfo)
		return strdup(text);
	if (asprintf(&out, "%.*s://%s", (int)url.scheme_name.len, url.scheme_name.at, url.host.at) <
	    0)
		return NULL;
	return out;
}

char *bmap_name_to_show(const char *name)
{
	return url_display(name);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *url_decode(struct url_span part, const char *name, struct bmap_error *err)
{
	char *out = malloc(part.len + 1);
	size_t len = 0;

	if (!out) {
		bmap_error_memory(err, name);
		return NULL;
	}
	for (size_t i = 0; i < part.len; i++) {
		int high, low;

		if (part.at[i] != '%') {
			out[len++] = part.at[i];
			continue;
		}
		high = i + 2 < part.len ? hex_value(part.at[i + 1]) : -1;
		low = high >= 0 ? hex_value(part.at[i + 2]) : -1;
		if (low < 0 || !(high | low)) {
			free(out);
			bmap_error_set(err, BMAP_ERR_USAGE,
				       "%s: a \"%%\" without two hexadecimal digits of a character "
				       "behind it (the sign itself is written %%25)",
				       name);
			return NULL;
		}
		out[len++] = (char)(high << 4 | low);
		i += 2;
	}
	out[len] = '\0';
	return out;
}

static unsigned port_or_usual(const struct url *url)
{
	static const unsigned usual[] = {
		[URL_HTTP] = 80, [URL_HTTPS] = 443, [URL_FTP] = 21, [URL_SSH] = 22
	};

	if (url->port || url->scheme >= ARRAY_LEN(usual))
		return url->port;
	return usual[url->scheme];
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->scheme == b->scheme && a->scheme != URL_OTHER && a->host.len == b->host.len &&
	       !strncasecmp(a->host.at, b->host.at, a->host.len) &&
	       port_or_usual(a) == port_or_usual(b);
}

char *url_file_path(const char *text, struct bmap_error *err)
{
	struct url url;
	const char *host;

	if (!url_parse(&url, text, err))
		return NULL;
	host = url.host.at;
	if ((url.host.len && (url.host.len != 9 || strncasecmp(host, "localhost", 9))) ||
	    url.has_userinfo || url.port) {
		bmap_error_set(err, BMAP_ERR_USAGE,
			       "%s: a file on another machine cannot be opened by file: (a path of "
			       "this one has three slashes: file:///path)",
			       url.has_userinfo ? "file://..." : text);
		return NULL;
	}
	if (url.tail.len || !url.path.len) {
		bmap_error_set(err, BMAP_ERR_USAGE,
			       "%s: not the URL of a file (\"?\" and \"#\" in a name are written "
			       "%%3F and %%23)",
			       text);
		return NULL;
	}
	return url_decode(url.path, text, err);
}

char *url_request_text(const struct url *url)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *begin = url->host.at, *end = url->tail.at + url->tail.len;
	const char *fragment = memchr(url->tail.at, '#', url->tail.len);
	char *out, *p;

	if (fragment)
		end = fragment;
	out = malloc(url->scheme_name.len + 4 + 3 * (size_t)(end - begin));
	if (!out)
		return NULL;
	p = out + sprintf(out, "%.*s://", (int)url->scheme_name.len, url->scheme_name.at);
	for (const char *at = begin; at < end; at++) {
		unsigned char c = (unsigned char)*at;

		/* In the host the library does what is right for international names. */
		if (at < url->path.at || (c > ' ' && c < 0x7f)) {
			*p++ = (char)c;
		} else {
			*p++ = '%';
			*p++ = digits[c >> 4];
			*p++ = digits[c & 15];
		}
	}
	*p = '\0';
	return out;
}

/* Only what certainly is not there makes room for a URL: other errors are a local file's. */
static bool local_file_exists(const char *name)
{
	struct stat st;

	return !stat(name, &st) || (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG);
}

char *url_to_local(const char *name, struct bmap_error *err)
{
	char *copy;

	if (url_looks_like(name) && !strncasecmp(name, "file:", 5) && !local_file_exists(name))
		return url_file_path(name, err);
	copy = strdup(name);
	if (!copy)
		bmap_error_memory(err, name);
	return copy;
}

bool url_is_remote(const char *name)
{
	return url_looks_like(name) && strncasecmp(name, "file:", 5) && !local_file_exists(name);
}
