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
