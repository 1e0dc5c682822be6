# leat_layer(NAME DEPENDS layers... LIBRARIES system libs...): src/NAME/**.c as libleat_NAME.a
set(LEAT_LAYERS "")
set(LEAT_SYSTEM_LIBRARIES "")

function(leat_layer name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c
       ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  if(sources)
    add_library(leat_${name} STATIC ${sources})
    target_include_directories(leat_${name} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
    set(scope PUBLIC)
    set(LEAT_LAYERS ${LEAT_LAYERS} ${name} PARENT_SCOPE)
  else()
    add_library(leat_${name} INTERFACE)
    target_include_directories(leat_${name} INTERFACE ${CMAKE_SOURCE_DIR}/include
                               ${CMAKE_SOURCE_DIR}/src)
    set(scope INTERFACE)
  endif()
  foreach(layer ${ARG_DEPENDS})
    target_link_libraries(leat_${name} ${scope} leat_${layer})
  endforeach()
  target_link_libraries(leat_${name} ${scope} ${ARG_LIBRARIES} Threads::Threads m)
  set(known ${LEAT_SYSTEM_LIBRARIES} ${ARG_LIBRARIES})
  list(REMOVE_DUPLICATES known)
  set(LEAT_SYSTEM_LIBRARIES ${known} PARENT_SCOPE)
endfunction()

# The one library that users link: all layers, static and shared.
function(leat_library name)
  set(objects "")
  foreach(layer ${LEAT_LAYERS})
    list(APPEND objects $<TARGET_OBJECTS:leat_${layer}>)
  endforeach()
  foreach(kind STATIC SHARED)
    string(TOLOWER ${name}_${kind} target)
    add_library(${target} ${kind} ${objects})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE CXX
                          VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(${target} PUBLIC ${LEAT_SYSTEM_LIBRARIES} Threads::Threads m)
  endforeach()
  set_target_properties(${name}_shared PROPERTIES LEAT_RDKAFKA_INSIDE ON)
  # Symbols are hidden at compile time; the script also keeps C++ template instances inside.
  target_link_options(${name}_shared PRIVATE
                      -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/leat.map)
  if(NOT LEAT_SANITIZE AND NOT LEAT_FUZZ) # their run time is in the program, not in the library
    target_link_options(${name}_shared PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${name}_shared PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/leat.map)
endfunction()

# leat_program(NAME sources... [LIBRARIES targets...]): a program in bin/ that links the library.
# In a release build it is one stripped file with RocksDB and the HTTP server inside; in an
# instrumented build it takes the system's shared libraries.
function(leat_program name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src
                             ${CMAKE_SOURCE_DIR}/apps)
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} leat_static)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX LEAT_PROGRAM ON
                        LEAT_SELF_CONTAINED ${LEAT_SELF_CONTAINED})
  if(LEAT_SELF_CONTAINED)
    target_link_options(${name} PRIVATE -Wl,--strip-all -Wl,--as-needed)
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# apps/*: one program a folder; examples/*.c: one program a file, in bin/examples.
function(leat_programs)
  file(GLOB examples CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/examples/*.c)
  foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^[0-9]+-" "" name ${name})
    add_executable(example_${name} ${source})
    target_link_libraries(example_${name} PRIVATE leat_static)
    set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE CXX
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/examples)
  endforeach()
  foreach(app leat recommender)
    if(EXISTS ${CMAKE_SOURCE_DIR}/apps/${app}/CMakeLists.txt)
      add_subdirectory(${CMAKE_SOURCE_DIR}/apps/${app})
    endif()
  endforeach()
  if(EXISTS ${CMAKE_SOURCE_DIR}/bench/CMakeLists.txt)
    add_subdirectory(${CMAKE_SOURCE_DIR}/bench)
  endif()
endfunction()
