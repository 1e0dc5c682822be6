/* base/number_text.h - floating point to its shortest text that reads back as the same number. */
#ifndef LEAT_BASE_NUMBER_TEXT_H
#define LEAT_BASE_NUMBER_TEXT_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { LEAT__NUMBER_TEXT_BYTES = 40 };
/* Write a NUL-terminated text of a finite value into LEAT__NUMBER_TEXT_BYTES; return its length. */
size_t leat__f64_text(char *text, double value);
size_t leat__f32_text(char *text, float value);
#ifdef __cplusplus
}
#endif
#endif
