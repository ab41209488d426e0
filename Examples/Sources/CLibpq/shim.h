#ifndef SHOP_LIBPQ_SHIM_H
#define SHOP_LIBPQ_SHIM_H

// Debian keeps the header in a directory of its own, other systems do not.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

#endif
