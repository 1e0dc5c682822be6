# Tests are found by their place:
#   tests/unit/LAYER/test_X.c                  cmocka, links only src/LAYER and what is below it
#   tests/{conformance,integration,simulation}/test_X.c   cmocka, links the whole library
#   (X_*.c beside test_X.c: more of its sources, also of test_X_kafka.c)
#   tests/integration/recommender/test_X.c     cmocka, links the recommender's folders too
#   tests/{integration,crash,upgrade}/[FOLDER/]test_X.py   Python 3 without packages;
#                                              LEAT_BIN_DIR: programs, LEAT_SOURCE_DIR: sources
#   tests/fuzz/fuzz_LAYER_X.c                  libFuzzer; in other builds it replays tests/fuzz/corpus/LAYER_X
#   tests/**/test_*kafka*                      run beside one Kafka broker, which the fixture `kafka`
#                                              starts in BUILD/test-kafka: the file `bootstrap`
#                                              there (LEAT_TEST_KAFKA_FILE) says where it listens;
#                                              see tests/support/kafka.h and kafka.py
#   tests/lint/lint_X.py                       rules about the sources and documents (LEAT_LINT)
#   tests/install/test_X.py                    installing, and checkouts that move (LEAT_LINT)
# Exit status 77 means skipped: the test says why.  In CI a skip that tests/skips.txt does not list
# is a failure.
# LEAT_CRASH_ROUNDS is how often a crash test should kill; a sanitizer slows each round tenfold.
set(LEAT_CRASH_ROUNDS 20) # `make soak` does more
if(LEAT_SANITIZE OR LEAT_COVERAGE)
  set(LEAT_CRASH_ROUNDS 3)
endif()
set(LEAT_TEST_ENVIRONMENT
    "LEAT_CRASH_ROUNDS=${LEAT_CRASH_ROUNDS}"
    "LEAT_BIN_DIR=${CMAKE_BINARY_DIR}/bin"
    "LEAT_SOURCE_DIR=${CMAKE_SOURCE_DIR}"
    "LEAT_SANITIZE=${LEAT_SANITIZE}"
    "LEAT_TEST_KAFKA_FILE=${CMAKE_BINARY_DIR}/test-kafka/bootstrap"
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:halt_on_error=1:second_deadlock_stack=1"
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1")

function(leat_test_settings name label timeout_s)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout_s} LABELS ${label} SKIP_RETURN_CODE 77
                       ENVIRONMENT "${LEAT_TEST_ENVIRONMENT}")
  # What takes long begins first, so that nothing waits for it at the end.
  if(name MATCHES "crash_kafka|kafka_(broker|proxy)")
    set_tests_properties(${name} PROPERTIES COST 100)
  elseif(name MATCHES "stalls|evolution|partitions|handover|_guard|crash_|upgrade|log_kafka|processes|simulation")
    set_tests_properties(${name} PROPERTIES COST 50)
  endif()
  # Those that start, kill and fault brokers have their own.
  if(name MATCHES "kafka" AND NOT name MATCHES "kafka_(broker|proxy)" AND NOT label STREQUAL "crash")
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED kafka)
  endif()
endfunction()

# One broker for all tests of a build folder; each test uses topic names of its own.  No Java or no
# jars: skipped, and the tests see that there is no broker and skip themselves.
function(leat_kafka_fixture)
  set(tool ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/kafka)
  set(folder ${CMAKE_BINARY_DIR}/test-kafka)
  add_test(NAME fixture_kafka_start COMMAND ${tool} start --fresh --port 0 --compiler quick
                   --dir ${folder})
  add_test(NAME fixture_kafka_end COMMAND ${tool} destroy --dir ${folder})
  set_tests_properties(fixture_kafka_start PROPERTIES FIXTURES_SETUP kafka SKIP_RETURN_CODE 69
                       TIMEOUT 120)
  set_tests_properties(fixture_kafka_end PROPERTIES FIXTURES_CLEANUP kafka TIMEOUT 60)
endfunction()

function(leat_test source name)
  cmake_parse_arguments(ARG "" "LABEL" "LIBRARIES" ${ARGN})
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(part ${source} NAME_WE)
  string(REGEX REPLACE "^test_|_kafka$" "" part ${part})
  file(GLOB parts CONFIGURE_DEPENDS ${folder}/${part}_*.c)
  add_executable(${name} ${source} ${parts})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}
                             ${CMAKE_SOURCE_DIR}/apps ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} cmocka)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  leat_test_settings(${name} ${ARG_LABEL} 300)
endfunction()

# The targets that a test of `layer` links: src/LAYER, or that part of the recommender.
function(leat_layer_of result layer)
  if(TARGET leat_${layer})
    set(${result} leat_${layer} PARENT_SCOPE)
  elseif(TARGET recommender_${layer})
    set(${result} recommender_${layer} PARENT_SCOPE)
  else()
    set(${result} "" PARENT_SCOPE)
  endif()
endfunction()

function(leat_unit_tests)
  set(severity WARNING)
  if(LEAT_WERROR)
    set(severity FATAL_ERROR)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*/test_*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(layer ${folder} NAME)
    string(REGEX REPLACE "^test_" "" name ${name})
    leat_layer_of(library ${layer})
    if(NOT library)
      message(${severity} "tests/unit/${layer}: there is no such layer")
      continue()
    endif()
    leat_test(${source} test_${layer}_${name} LABEL unit LIBRARIES ${library})
  endforeach()
endfunction()

function(leat_whole_library_tests)
  set(recommender "")
  foreach(part candidates events evaluate job serve commands)
    if(TARGET recommender_${part})
      list(APPEND recommender recommender_${part})
    endif()
  endforeach()
  foreach(folder conformance integration simulation integration/recommender)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/test_*.c)
    string(REPLACE "/" "_" prefix ${folder})
    foreach(source ${sources})
      get_filename_component(name ${source} NAME_WE)
      string(REGEX REPLACE "^test_" "" name ${name})
      if(folder MATCHES recommender)
        leat_test(${source} test_${prefix}_${name} LABEL integration
                  LIBRARIES ${recommender} leat_testing)
      else()
        leat_test(${source} test_${prefix}_${name} LABEL ${folder} LIBRARIES leat_testing rdkafka)
      endif()
    endforeach()
  endforeach()
endfunction()

function(leat_script_test source name label timeout_s)
  add_test(NAME ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR} COMMAND ${Python3_EXECUTABLE}
           ${CMAKE_SOURCE_DIR}/tests/support/announce_skips.py ${source})
  leat_test_settings(${name} ${label} ${timeout_s})
endfunction()

function(leat_script_tests)
  foreach(folder integration crash upgrade)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/test_*.py
         ${CMAKE_SOURCE_DIR}/tests/${folder}/*/test_*.py)
    if(LEAT_SANITIZE)
      list(FILTER sources EXCLUDE REGEX /file_faults/)
    endif()
    foreach(source ${sources})
      file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests ${source})
      string(REGEX REPLACE "(test_|\\.py)" "" name ${name})
      string(REPLACE "/" "_" name ${name})
      leat_script_test(${source} test_${name} ${folder} 900)
    endforeach()
  endforeach()
endfunction()

# What judges the crash tests on Kafka: librdkafka alone, nothing of leat.
function(leat_crash_clients)
  foreach(name load dump)
    set(folder ${CMAKE_SOURCE_DIR}/tests/crash/kafka)
    add_executable(crash_kafka_${name} ${folder}/${name}.c ${folder}/client.c)
    target_link_libraries(crash_kafka_${name} PRIVATE rdkafka)
    set_target_properties(crash_kafka_${name} PROPERTIES
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  endforeach()
  # Jobs beside user_counts: without state, with an exchange, with windows and timers.
  foreach(name relay regroup buckets)
    add_executable(crash_kafka_${name} ${CMAKE_SOURCE_DIR}/tests/crash/kafka/${name}.c)
    target_link_libraries(crash_kafka_${name} PRIVATE leat_static)
    set_target_properties(crash_kafka_${name} PROPERTIES LINKER_LANGUAGE CXX
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  endforeach()
  # user_counts without rule R1: the judge must find what goes wrong then.
  add_executable(user_counts_without_r1 ${CMAKE_SOURCE_DIR}/examples/user_counts.c
                 ${CMAKE_SOURCE_DIR}/src/log/kafka/producer.c)
  target_compile_definitions(user_counts_without_r1 PRIVATE LEAT_WITHOUT_R1)
  target_include_directories(user_counts_without_r1 PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(user_counts_without_r1 PRIVATE leat_static)
  set_target_properties(user_counts_without_r1 PROPERTIES LINKER_LANGUAGE CXX
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# A job whose bytes of earlier versions are in tests/upgrade/data, and a clock as it was then.
function(leat_upgrade_programs)
  set(shops upgrade_shop upgrade_shop_changed upgrade_shop_operator_renamed
            upgrade_shop_slot_renamed upgrade_shop_timer_renamed)
  foreach(name ${shops})
    add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/upgrade/shop.c)
    target_link_libraries(${name} PRIVATE leat_static)
  endforeach()
  target_compile_definitions(upgrade_shop_changed PRIVATE SHOP_CHANGED)
  target_compile_definitions(upgrade_shop_operator_renamed PRIVATE SHOP_VISIT="visitor")
  target_compile_definitions(upgrade_shop_slot_renamed PRIVATE SHOP_TALLY="number")
  target_compile_definitions(upgrade_shop_timer_renamed PRIVATE SHOP_QUIET="gone")
  add_executable(upgrade_kafka_load ${CMAKE_SOURCE_DIR}/tests/upgrade/kafka_load.c
                 ${CMAKE_SOURCE_DIR}/tests/crash/kafka/client.c)
  target_include_directories(upgrade_kafka_load PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(upgrade_kafka_load PRIVATE rdkafka)
  add_library(upgrade_clock MODULE ${CMAKE_SOURCE_DIR}/tests/upgrade/clock.c)
  target_link_libraries(upgrade_clock PRIVATE ${CMAKE_DL_LIBS})
  target_compile_options(upgrade_clock PRIVATE -Wno-missing-prototypes)
  set_target_properties(${shops} PROPERTIES LINKER_LANGUAGE CXX)
  set_target_properties(${shops} upgrade_kafka_load upgrade_clock PROPERTIES
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

function(leat_lint_tests)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/lint/lint_*.py)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    leat_script_test(${source} ${name} lint 300)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/install/test_*.py)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    leat_script_test(${source} ${name} install 300)
  endforeach()
endfunction()

# A fuzzer defines LLVMFuzzerTestOneInput.  Elsewhere the same file replays its corpus once, so
# that what a fuzzer found stays found.
function(leat_fuzzers)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
  add_custom_target(fuzzers)
  foreach(source ${sources})
    get_filename_component(target ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    string(REGEX REPLACE "_.*$" "" layer ${name})
    leat_layer_of(library ${layer})
    if(NOT library) # not named after a layer: about files, or about all of the library
      leat_layer_of(library events)
    endif()
    if(NOT library)
      set(library leat_testing)
    endif()
    add_executable(${target} ${source})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src)
    target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
    target_link_libraries(${target} PRIVATE ${library})
    add_dependencies(fuzzers ${target})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    if(LEAT_FUZZ)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
      add_test(NAME ${target} COMMAND ${target} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
      leat_test_settings(${target} fuzz 120)
    endif()
  endforeach()
endfunction()

# A library that makes calls on files go wrong (LD_PRELOAD). Not with sanitizers: those put themselves
# in front of the same calls, and want to be first.
function(leat_file_faults)
  set(folder ${CMAKE_SOURCE_DIR}/tests/crash/file_faults)
  add_library(file_faults MODULE ${folder}/faults.c ${folder}/disk.c)
  target_link_libraries(file_faults PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(file_faults PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET default
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

function(leat_tests)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  leat_fuzzers()
  if(LEAT_FUZZ)
    return()
  endif()
  leat_kafka_fixture()
  leat_crash_clients()
  if(NOT LEAT_SANITIZE)
    leat_file_faults()
  endif()
  leat_upgrade_programs()
  leat_unit_tests()
  leat_whole_library_tests()
  leat_script_tests()
  if(LEAT_LINT)
    leat_lint_tests()
  endif()
endfunction()
