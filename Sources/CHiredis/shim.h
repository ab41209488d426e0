#ifndef EVENTBUS_CHIREDIS_SHIM_H
#define EVENTBUS_CHIREDIS_SHIM_H

// Versions 0.14 and 1.x: the latter have more members in redisReplyObjectFunctions, and wider counts.
#include <hiredis/hiredis.h>

#endif
