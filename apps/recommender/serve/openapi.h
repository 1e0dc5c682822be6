/* serve/openapi.h - openapi.yaml, made part of the program by CMake. */
#ifndef RECOMMENDER_OPENAPI_H
#define RECOMMENDER_OPENAPI_H
#include <stddef.h>
extern const char openapi_text[];
extern const size_t openapi_length;
#endif
