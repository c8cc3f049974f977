#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <optional>
#include <sstream>

#include "assembly/settings_text.hpp"

namespace serverledge {
namespace {

/// Notes where a document begins, and nothing of what is in it.
class DocumentStart final : public YAML::EventHandler {
 public:
  const YAML::Mark& mark() const { return mark_; }
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  YAML::Mark mark_;
};

/// Where a second document begins, or what is left of a broken one. (YAML::LoadAll never returns on some of
/// the latter.)
std::optional<YAML::Mark> second_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStart start;
  parser.HandleNextDocument(start);
  if (!parser) return std::nullopt;
  parser.HandleNextDocument(start);
  return start.mark();
}

class YamlReader {
 public:
  explicit YamlReader(const std::string& file) : file_(file) {}

  Result<std::vector<FileSetting>> read(std::string_view text) {
    try {
      const std::string whole(text);
      if (const auto rest = second_document(whole)) {
        return problem(rest->line + 1, "the settings end before this; a file holds one YAML document");
      }
      const YAML::Node document = YAML::Load(whole);
      if (document.IsDefined() && !document.IsNull()) {
        if (!document.IsMap()) return problem(1, "expected settings, \"key: value\"");
        take_map(document, "", 0);
      }
    } catch (const YAML::Exception& failure) {
      return problem(failure.mark.line + 1, failure.msg);
    }
    if (error_) return Unexpected(*error_);
    return std::move(settings_);
  }

 private:
  Unexpected problem(int line, std::string_view what) const {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{}:{}: {}", file_, line > 0 ? line : 1, what));
  }
  /// Remembers the first problem.
  void fail(const YAML::Mark& at, std::string_view what) {
    if (!error_) error_ = problem(at.line + 1, what).error();
  }

  void take_map(const YAML::Node& map, const std::string& prefix, int depth) {
    for (const auto& member : map) {
      if (error_) return;
      const YAML::Mark at = member.first.Mark();
      if (!member.first.IsScalar() || member.first.Scalar().empty()) return fail(at, "a key must be a text");
      take(member.second, prefix + member.first.Scalar(), at, depth + 1);
    }
  }

  void take(const YAML::Node& value, const std::string& key, const YAML::Mark& at, int depth) {
    // Aliases may repeat, even contain, what they stand in.
    if (depth > kDeepestSetting || ++taken_ > kMostSettings)
      return fail(at, "too many or too deeply nested settings");
    FileSetting setting{key, {}, false, at.line + 1};
    switch (value.Type()) {
      case YAML::NodeType::Map:
        return take_map(value, key + ".", depth);
      case YAML::NodeType::Scalar:
        setting.values.push_back(value.Scalar());
        break;
      case YAML::NodeType::Sequence:
        setting.list = true;
        for (const YAML::Node& element : value) {
          if (!element.IsScalar())
            return fail(element.Mark(), key + ": the elements of a list must be plain values");
          if (++taken_ > kMostSettings) return fail(at, "too many or too deeply nested settings");
          setting.values.push_back(element.Scalar());
        }
        break;
      default:
        return;
    }
    settings_.push_back(std::move(setting));
  }

  const std::string& file_;
  std::vector<FileSetting> settings_;
  std::optional<Error> error_;
  std::size_t taken_ = 0;
};

}  // namespace

Result<std::vector<FileSetting>> read_yaml_settings(std::string_view text, const std::string& file) {
  return YamlReader(file).read(text);
}

}  // namespace serverledge
