#pragma once

#include <string>
#include <string_view>

namespace serverledge {

/// What the ids of asynchronous calls tell of the node that accepted them, as the contract has it: the last
/// five characters of "(area)key", those left out that would need escaping in a URL. Not unique.
std::string request_tag(std::string_view area, std::string_view node_key);

/// Whether a node with that tag may have given that id: `<function>-<tag>...`.
bool may_be_from(std::string_view request_id, std::string_view tag);

/// Appends 16 hexadecimal digits that nobody can know beforehand (see `entropy`).
void append_random_digits(std::string& id);

}  // namespace serverledge
