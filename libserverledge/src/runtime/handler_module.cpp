#include "runtime/handler_module.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

namespace serverledge {
namespace {

bool is_python(const Function& function) { return function.runtime.starts_with("python"); }
bool is_nodejs(const Function& function) { return function.runtime.starts_with("nodejs"); }

Unexpected bad_handler(const Function& function, std::string_view expected) {
  return {ErrorCode::kInvalid,
          fmt::format("Handler: expected {}, got \"{:.200}\"", expected, function.handler)};
}

// "pkg.mod.function" -> "pkg/mod".
Result<std::string> python_module(const Function& function) {
  const std::string_view handler = function.handler;
  const std::size_t dot = handler.rfind('.');
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || (c & 0x80) != 0;
  };
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == handler.size() || handler.front() == '.' ||
      handler.find("..") != std::string_view::npos || !std::all_of(handler.begin(), handler.end(), fits)) {
    return bad_handler(function, "module.function, e.g. \"hello.handler\"");
  }
  std::string path(handler.substr(0, dot));
  std::replace(path.begin(), path.end(), '.', '/');
  return path;
}

// "lib/hello" or "hello.mjs": a path in the folder.
Result<std::string> nodejs_module(const Function& function) {
  const Result<std::vector<std::string>> parts = archive_path(function.handler);
  if (!parts || parts->empty())
    return bad_handler(function, "the path of a module in the code, e.g. \"hello\"");
  return fmt::format("{}", fmt::join(*parts, "/"));
}

bool has_extension(std::string_view path, const std::vector<std::string_view>& extensions) {
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](std::string_view one) { return path.ends_with(one); });
}

const std::vector<std::string_view> kNodejsExtensions{".js", ".mjs", ".cjs"};

Unexpected missing(const std::string& module, const std::vector<std::string>& looked_for,
                   const CodeTree& tree) {
  return {ErrorCode::kInvalid,
          fmt::format("Handler: the code holds no module \"{}\": looked for {}; there is {}", module,
                      fmt::join(looked_for, ", "), tree.summary())};
}

bool is_file(const CodeTree& tree, const std::string& path) {
  return tree.find(path) == CodeTree::Kind::kFile;
}

Result<void> check_python(const Function& function, const CodeTree& tree) {
  const Result<std::string> path = python_module(function);
  if (!path) return Unexpected(path.error());
  const std::vector<std::string> looked_for{*path + ".py", *path + "/__init__.py"};
  for (const std::string& file : looked_for) {
    if (is_file(tree, file)) return {};
  }
  const std::size_t slash = path->rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path->substr(0, slash);
  const std::string name = slash == std::string::npos ? *path : path->substr(slash + 1);
  if (is_file(tree, *path + ".pyc") || tree.has_file(folder, name + '.', ".so")) return {};
  return missing(*path, looked_for, tree);
}

Result<void> check_nodejs(const Function& function, const CodeTree& tree) {
  const Result<std::string> path = nodejs_module(function);
  if (!path) return Unexpected(path.error());
  std::vector<std::string> looked_for;
  if (has_extension(*path, kNodejsExtensions)) looked_for.push_back(*path);
  for (const std::string_view extension : kNodejsExtensions)
    looked_for.push_back(*path + std::string(extension));
  for (const char* file : {"/index.js", "/index.mjs", "/index.cjs", "/package.json"})
    looked_for.push_back(*path + file);
  for (const std::string& file : looked_for) {
    if (is_file(tree, file)) return {};
  }
  return missing(*path, looked_for, tree);
}

}  // namespace

Result<std::string> module_file(const Function& function) {
  if (is_python(function)) {
    Result<std::string> path = python_module(function);
    if (path) *path += ".py";
    return path;
  }
  if (is_nodejs(function)) {
    Result<std::string> path = nodejs_module(function);
    if (path && !has_extension(*path, kNodejsExtensions)) *path += ".js";
    return path;
  }
  return Unexpected(ErrorCode::kInvalid,
                    fmt::format("TarFunctionCode: expected a tar archive, plain or gzip, for the runtime {}",
                                function.runtime));
}

Result<void> check_module(const Function& function, const CodeTree& tree) {
  if (is_python(function)) return check_python(function, tree);
  if (is_nodejs(function)) return check_nodejs(function, tree);
  return {};
}

}  // namespace serverledge
