/* leat/leat.h - everything: streams that remember, exactly once. See leat/job.h to begin. */
#ifndef LEAT_LEAT_H
#define LEAT_LEAT_H
#include <leat/base.h>
#include <leat/job.h>
#include <leat/log.h>
#include <leat/record.h>
#endif
