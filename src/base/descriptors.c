#include "base/descriptors.h"
#include <sys/resource.h>

enum { PLENTY = 1 << 20, DATABASE_SHARE = 8 };

static uint32_t bounded(rlim_t limit)
{
    return limit == RLIM_INFINITY || limit > PLENTY ? PLENTY : (uint32_t)limit;
}

uint32_t leat__descriptors_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? bounded(limit.rlim_cur) : PLENTY;
}

uint32_t leat__descriptors_raise(uint32_t enough)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return PLENTY;
    uint32_t hard = bounded(limit.rlim_max), wanted = hard < enough ? hard : enough;
    if (bounded(limit.rlim_cur) < wanted) {
        limit.rlim_cur = wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what it is then is asked below */
    }
    return leat__descriptors_limit();
}

uint32_t leat__descriptors_share(uint32_t limit)
{
    uint32_t share = limit / DATABASE_SHARE;
    if (share < LEAT__DATABASE_FILES_MIN)
        return LEAT__DATABASE_FILES_MIN;
    return share > LEAT__DATABASE_FILES_MAX ? LEAT__DATABASE_FILES_MAX : share;
}

int leat__descriptors_of_database(void)
{
    return (int)leat__descriptors_share(leat__descriptors_limit());
}
