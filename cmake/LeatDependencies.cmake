# leat_dependency(NAME [STATIC archives...] [ALSO shared...]): lets every target name the library NAME.
#
# A program marked LEAT_SELF_CONTAINED takes the archives instead, so that it is one file; a
# library whose archive the system lacks stays shared there too.  ALSO are the shared libraries
# that the archives need in their turn.
function(leat_find_library result name)
  find_library(LEAT_LIBRARY_${name} ${name})
  if(NOT LEAT_LIBRARY_${name})
    message(FATAL_ERROR "lib${name} is not installed: run `make setup` (or install it by hand)")
  endif()
  set(${result} ${LEAT_LIBRARY_${name}} PARENT_SCOPE)
endfunction()

function(leat_dependency name)
  cmake_parse_arguments(ARG "" "" "STATIC;ALSO" ${ARGN})
  leat_find_library(shared ${name})
  set(inside "")
  foreach(archive ${ARG_STATIC})
    find_library(LEAT_ARCHIVE_${archive} lib${archive}.a)
    if(LEAT_ARCHIVE_${archive})
      list(APPEND inside ${LEAT_ARCHIVE_${archive}})
    else()
      leat_find_library(fallback ${archive})
      list(APPEND inside ${fallback})
      message(STATUS "no lib${archive}.a: programs need lib${archive}.so at run time")
    endif()
  endforeach()
  foreach(also ${ARG_ALSO})
    list(APPEND inside -l${also})
  endforeach()
  add_library(${name} INTERFACE)
  if(inside)
    set(wanted "$<BOOL:$<TARGET_PROPERTY:LEAT_SELF_CONTAINED>>")
    target_link_libraries(${name} INTERFACE "$<${wanted}:${inside}>" "$<$<NOT:${wanted}>:${shared}>")
  else()
    target_link_libraries(${name} INTERFACE ${shared})
  endif()
endfunction()

leat_dependency(simdjson) # Debian has no archive of it: see docs/decisions.md
leat_dependency(rocksdb STATIC rocksdb snappy lz4 zstd bz2 z gflags)
leat_dependency(microhttpd STATIC microhttpd ALSO gnutls)
leat_dependency(curl)
leat_dependency(zstd STATIC zstd)
leat_dependency(z STATIC z)

# rdkafka: the Kafka client.  `make setup` builds it in build/deps of the sources; without that, or
# with -DLEAT_LIBRDKAFKA=system, the distribution's is taken.  A self-contained program and
# libleat.so (LEAT_RDKAFKA_INSIDE) hold the archive; tests take the shared one, which links
# quickly and which TSan can tell apart.
set(LEAT_LIBRDKAFKA "" CACHE STRING "bundled | system | empty: bundled where it was built")
set(LEAT_RDKAFKA_ROOT ${CMAKE_SOURCE_DIR}/build/deps/rdkafka)
set(LEAT_RDKAFKA_NEEDS ssl crypto zstd z m pthread dl rt)

function(leat_rdkafka_bundled)
  set(archive ${LEAT_RDKAFKA_ROOT}/lib/librdkafka.a)
  set(inside "$<OR:$<BOOL:$<TARGET_PROPERTY:LEAT_SELF_CONTAINED>>,$<BOOL:$<TARGET_PROPERTY:LEAT_RDKAFKA_INSIDE>>>")
  list(TRANSFORM LEAT_RDKAFKA_NEEDS PREPEND "-l" OUTPUT_VARIABLE needs)
  add_library(rdkafka INTERFACE)
  target_include_directories(rdkafka SYSTEM INTERFACE ${LEAT_RDKAFKA_ROOT}/include)
  target_link_libraries(rdkafka INTERFACE "$<${inside}:${archive};${needs}>"
                        "$<$<NOT:${inside}>:${LEAT_RDKAFKA_ROOT}/lib/librdkafka.so.1>")
endfunction()

if(LEAT_LIBRDKAFKA STREQUAL "system")
  set(LEAT_RDKAFKA_BUNDLED OFF)
elseif(EXISTS ${LEAT_RDKAFKA_ROOT}/lib/librdkafka.a)
  set(LEAT_RDKAFKA_BUNDLED ON)
elseif(LEAT_LIBRDKAFKA STREQUAL "bundled")
  message(FATAL_ERROR "no librdkafka in build/deps/rdkafka: run `make setup`")
else()
  set(LEAT_RDKAFKA_BUNDLED OFF)
endif()

if(LEAT_RDKAFKA_BUNDLED)
  leat_rdkafka_bundled()
else()
  message(STATUS "librdkafka of the distribution: older, with slower commits (docs/kafka.md)")
  leat_dependency(rdkafka) # shared: its archive wants SASL and Kerberos libraries too
endif()
