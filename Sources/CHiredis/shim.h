#ifndef EVENTBUS_CHIREDIS_SHIM_H
#define EVENTBUS_CHIREDIS_SHIM_H

#include <hiredis/hiredis.h>

#endif
