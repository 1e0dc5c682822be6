/* base/assert.h - asserts stay on in production and print their context before they stop. */
#ifndef LEAT_BASE_ASSERT_H
#define LEAT_BASE_ASSERT_H
_Noreturn void leat__assert_failed(const char *file, int line, const char *condition);
#define LEAT_ASSERT(condition) \
    ((condition) ? (void)0 : leat__assert_failed(__FILE__, __LINE__, #condition))
#endif
