# What `make install PREFIX=...` copies: headers, both libraries, man pages, leat.pc.  Programs
# install themselves (leat_program).  leat.pc finds its prefix from its own place, so a staged or
# moved tree works.
function(leat_install)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/leat DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")
  install(TARGETS leat_static leat_shared
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

  foreach(section 1 3 7)
    file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()

  # The bundled librdkafka comes along, under a name that no other librdkafka has.
  set(needed ${LEAT_SYSTEM_LIBRARIES})
  if(LEAT_RDKAFKA_BUNDLED AND "rdkafka" IN_LIST needed)
    install(FILES ${LEAT_RDKAFKA_ROOT}/lib/librdkafka.a DESTINATION ${CMAKE_INSTALL_LIBDIR}
            RENAME libleat_rdkafka.a)
    list(TRANSFORM needed REPLACE "^rdkafka$" "leat_rdkafka")
    list(APPEND needed ${LEAT_RDKAFKA_NEEDS})
  endif()
  list(TRANSFORM needed PREPEND "-l" OUTPUT_VARIABLE LEAT_PC_PRIVATE)
  list(JOIN LEAT_PC_PRIVATE " " LEAT_PC_PRIVATE)
  string(REGEX REPLACE "[^/]+" ".." LEAT_PC_UP "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  configure_file(${CMAKE_SOURCE_DIR}/cmake/leat.pc.in ${CMAKE_BINARY_DIR}/leat.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/leat.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
