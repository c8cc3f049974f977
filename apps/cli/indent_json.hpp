#pragma once

#include <string>
#include <string_view>

namespace serverledge::cli {

/// A valid JSON text with one member or element per line, indented by tabs; every token keeps its bytes.
std::string indent_json(std::string_view json);

}  // namespace serverledge::cli
