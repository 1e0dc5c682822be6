/* apps/leat/base64.h - bytes that are no text, as a JSON string (RFC 4648). */
#ifndef LEAT_APP_BASE64_H
#define LEAT_APP_BASE64_H
#include "base/buffer.h"

void append_base64(leat__buffer *out, leat_str bytes); /* with the quotes */
#endif
