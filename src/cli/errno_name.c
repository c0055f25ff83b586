/* SPDX-License-Identifier: MIT */
/* The names of error numbers: strerrorname_np(3) is newer than the oldest glibc that we run on. */
#include "cli/json_value.h"

#include <errno.h>

#define NAME(e)                                                                                    \
	{                                                                                          \
		e, #e                                                                              \
	}

static const struct {
	int errnum;
	const char *name;
} names[] = {
	NAME(EPERM),        NAME(ENOENT),       NAME(EINTR),           NAME(EIO),
	NAME(ENXIO),        NAME(E2BIG),        NAME(EBADF),           NAME(ECHILD),
	NAME(EAGAIN),       NAME(ENOMEM),       NAME(EACCES),          NAME(EFAULT),
	NAME(ENOTBLK),      NAME(EBUSY),        NAME(EEXIST),          NAME(EXDEV),
	NAME(ENODEV),       NAME(ENOTDIR),      NAME(EISDIR),          NAME(EINVAL),
	NAME(ENFILE),       NAME(EMFILE),       NAME(ENOTTY),          NAME(ETXTBSY),
	NAME(EFBIG),        NAME(ENOSPC),       NAME(ESPIPE),          NAME(EROFS),
	NAME(EMLINK),       NAME(EPIPE),        NAME(ERANGE),          NAME(EDEADLK),
	NAME(ENAMETOOLONG), NAME(ENOLCK),       NAME(ENOSYS),          NAME(ELOOP),
	NAME(ENODATA),      NAME(ETIME),        NAME(ENOLINK),         NAME(EPROTO),
	NAME(EBADMSG),      NAME(EOVERFLOW),    NAME(EILSEQ),          NAME(EOPNOTSUPP),
	NAME(EADDRINUSE),   NAME(ENETDOWN),     NAME(ENETUNREACH),     NAME(ECONNABORTED),
	NAME(ECONNRESET),   NAME(ENOBUFS),      NAME(ENOTCONN),        NAME(ESHUTDOWN),
	NAME(ETIMEDOUT),    NAME(ECONNREFUSED), NAME(EHOSTDOWN),       NAME(EHOSTUNREACH),
	NAME(EALREADY),     NAME(EINPROGRESS),  NAME(ESTALE),          NAME(EREMOTEIO),
	NAME(EDQUOT),       NAME(ENOMEDIUM),    NAME(EMEDIUMTYPE),     NAME(ECANCELED),
	NAME(EUCLEAN),      NAME(EHWPOISON),    NAME(ENOTRECOVERABLE),
};

const char *errno_name(int errnum)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].errnum == errnum)
			return names[i].name;
	return NULL;
}
