// The C interface of RocksDB 7 takes loggers but makes none, so here is one in C++.
#include "base/rocksdb_logger.h"
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <rocksdb/env.h>
extern "C" {
#include "base/log_line.h"
}

struct rocksdb_logger_t { // as in RocksDB's db/c.cc
    std::shared_ptr<rocksdb::Logger> rep;
};

namespace
{
class Logger final : public rocksdb::Logger
{
  public:
    Logger() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL)
    {
    }
    using rocksdb::Logger::Logv;
    void LogHeader(const char *, va_list) override
    {
    } // a hundred lines of settings
    void Logv(const char *format, va_list args) override
    {
        if (!leat__log_enabled(LEAT__DEBUG))
            return;
        char text[512];
        vsnprintf(text, sizeof text, format, args);
        leat__log_line(LEAT__DEBUG, "rocksdb", "%s", text);
    }
};
} // namespace

void leat__rocksdb_use_logger(rocksdb_options_t *options)
{
    rocksdb_logger_t logger{std::make_shared<Logger>()};
    rocksdb_options_set_info_log(options, &logger);
}
