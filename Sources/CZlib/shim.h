#ifndef EVENTBUS_CZLIB_SHIM_H
#define EVENTBUS_CZLIB_SHIM_H

#include <zlib.h>

#endif
