#pragma once

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace serverledge::test {

/// Ends a test that this machine cannot run, as skipped and not as passed (SKIP_RETURN_CODE of
/// serverledge_test). ctest runs every test case in a process of its own, so that nothing else ends with it.
[[noreturn]] inline void skip_test(std::string_view why) {
  std::cout << "SKIPPED: " << why << std::endl;
  std::exit(4);
}

}  // namespace serverledge::test
