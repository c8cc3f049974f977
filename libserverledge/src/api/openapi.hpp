#pragma once

#include <string_view>

namespace serverledge {

/// docs/openapi.yaml, as it was when this was built.
std::string_view openapi_description();

}  // namespace serverledge
