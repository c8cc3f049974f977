#pragma once

#include <string>
#include <string_view>

#include "command.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge::cli {

/// Writes "serverledge-cli: <message>" to stderr and returns `code`.
int fail(Exit code, std::string_view message);

/// Prints what the node answered: its JSON, indented, on stdout; a refusal as a sentence on stderr. Returns
/// what the process exits with.
int show(const Result<HttpResponse>& answer);

/// Prints JSON indented, and anything else as it is, on stdout, with a newline at the end.
void print_body(std::string_view body);

/// Why the node refused, as a sentence: "the node answered 404: Function unknown".
std::string refusal(const HttpResponse& answer);

}  // namespace serverledge::cli
