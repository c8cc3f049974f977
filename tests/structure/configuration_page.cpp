// configuration_page <docs/configuration.md> [--check]
// Writes the table of keys into the page, below what people write; with --check it only says whether the page
// has the table as it is in the code.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "serverledge/core/configuration.hpp"

int main(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : "";
  const bool check = argc > 2 && std::string(argv[2]) == "--check";
  std::ifstream in(path, std::ios::binary);
  const std::string page(std::istreambuf_iterator<char>(in), {});
  if (page.empty()) {
    std::cerr << "cannot read " << path << "\n";
    return 1;
  }
  const std::string reference = serverledge::configuration_reference();
  const std::string heading = reference.substr(0, reference.find('\n') + 1);
  const std::string wanted = page.substr(0, page.find(heading)) + reference;
  if (page == wanted) return 0;
  if (check) {
    std::cerr << path << " is not what the table of keys says: build the target update_configuration_page\n";
    return 1;
  }
  return (std::ofstream(path, std::ios::binary) << wanted).flush() ? 0 : 1;
}
