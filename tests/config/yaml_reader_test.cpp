// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include "tests/catch.h"

namespace leafgate::config {
namespace {

using namespace std::chrono_literals;

std::string refusal(std::string_view yaml) {
  const auto tree = read_yaml(yaml, "f.yaml");
  REQUIRE_FALSE(tree.ok());
  CHECK(tree.error().kind == ErrorKind::kInvalid);
  return tree.error().message;
}

// A document and the reader of its top mapping.
struct Document {
  explicit Document(const std::string& yaml) : tree(read_yaml(yaml, "f.yaml").value()) {}

  std::string problem() const {
    const auto outcome = problems.outcome();
    return outcome ? "" : outcome.error().message;
  }

  YamlNode tree;
  YamlProblems problems{"f.yaml"};
  YamlMapping top{tree, "", problems};
};

TEST_CASE("values are read by key, absent ones give the fallback", "[config][yaml]") {
  Document doc(
      "t: hello\nn: 7\nb: true\nd: 5m\nl: [x, 'y z']\nm: {inner: 1}\nms: [{a: 1}, {a: 2}]\n");

  CHECK(doc.top.text("t") == "hello");
  CHECK(doc.top.text("absent", "fallback") == "fallback");
  CHECK(doc.top.integer("n", 0, 0, 10) == 7);
  CHECK(doc.top.integer("no_n", 3, 0, 10) == 3);
  CHECK(doc.top.boolean("b", false));
  CHECK(doc.top.duration("d", 1s, 0s, 1h) == 5min);
  CHECK(doc.top.texts("l", 2) == std::vector<std::string>{"x", "y z"});
  CHECK(doc.top.mapping("m").integer("inner", 0, 0, 10) == 1);
  auto list = doc.top.mappings("ms", 2);
  REQUIRE(list.size() == 2);
  CHECK(list[1].integer("a", 0, 0, 10) == 2);
  CHECK(list[1].path() == "ms[1]");
  CHECK(doc.top.mapping("no_m").text("x").empty());
  doc.top.finish();
  CHECK(doc.problem().empty());
}

TEST_CASE("an error names file, line, key and what would be right", "[config][yaml]") {
  Document doc("a: 1\nouter:\n  inner: wrong\n");
  enum class Colour { kRed, kBlue };
  auto outer = doc.top.mapping("outer");

  const auto colour =
      outer.choice("inner", Colour::kBlue,
                   {Word<Colour>{"red", Colour::kRed}, Word<Colour>{"blue", Colour::kBlue}});

  CHECK(colour == Colour::kBlue);
  CHECK(doc.problem() == "f.yaml:3: outer.inner: unknown value `wrong`: allowed: red | blue");
}

TEST_CASE("an unknown key is an error that lists the known ones", "[config][yaml]") {
  Document doc("first: 1\nsecnd: 2\n");

  doc.top.text("first");
  doc.top.text("second");
  doc.top.finish();

  CHECK(doc.problem() == "f.yaml:2: unknown key `secnd`: allowed: first | second");
}

TEST_CASE("a key stated twice is an error", "[config][yaml]") {
  Document doc("m:\n  a: 1\n  b: 2\n  a: 3\n");
  auto inner = doc.top.mapping("m");

  inner.text("a");
  inner.text("b");
  inner.finish();

  CHECK(doc.problem() == "f.yaml:4: m.a: stated twice: remove one");
}

TEST_CASE("the first problem is the one reported", "[config][yaml]") {
  Document doc("a: x\nb: y\n");

  doc.top.integer("b", 0, 0, 1);
  doc.top.integer("a", 0, 0, 1);

  CHECK_THAT(doc.problem(), ContainsSubstring("f.yaml:2: b: "));
}

TEST_CASE("values of the wrong shape are errors", "[config][yaml]") {
  const auto problem_of = [](const std::string& yaml, const auto& read) {
    Document doc(yaml);
    read(doc.top);
    return doc.problem();
  };
  const auto text = [](YamlMapping& top) { top.text("k"); };
  const auto texts = [](YamlMapping& top) { top.texts("k", 2); };
  const auto mapping = [](YamlMapping& top) { top.mapping("k"); };
  const auto number = [](YamlMapping& top) { top.integer("k", 0, 1, 9); };
  const auto duration = [](YamlMapping& top) { top.duration("k", 1s, 1s, 9s); };

  CHECK_THAT(problem_of("k: [a]", text), ContainsSubstring("f.yaml:1: k: must be one value"));
  CHECK_THAT(problem_of("k:\nj: 1", text), ContainsSubstring("f.yaml:1: k: must be one value"));
  CHECK_THAT(problem_of("k: ''", text), ContainsSubstring("must be one value"));
  CHECK_THAT(problem_of("k: \"a\\tb\"", text), ContainsSubstring("control characters"));
  CHECK_THAT(problem_of("k: \"a\\0b\"", text), ContainsSubstring("control characters"));
  CHECK_THAT(problem_of("k: " + std::string(kYamlTextBytesMax + 1, 'a'), text),
             ContainsSubstring("longer than"));
  CHECK_THAT(problem_of("k: a", texts), ContainsSubstring("must be a list"));
  CHECK_THAT(problem_of("k: [a, b, c]", texts), ContainsSubstring("more than 2 entries"));
  CHECK_THAT(problem_of("k: [a, [b]]", texts), ContainsSubstring("k[1]: must be one value"));
  CHECK_THAT(problem_of("k: a", mapping), ContainsSubstring("must hold keys and values"));
  for (const auto* value : {"0", "10", "5x", "x", "0x5", "5.0", "99999999999999999999"}) {
    CHECK_THAT(problem_of(std::string("k: ") + value, number), ContainsSubstring("allowed: 1..9"));
  }
  CHECK_THAT(problem_of("k: 5", duration), ContainsSubstring("is not a duration: allowed: 500ms"));
  CHECK_THAT(problem_of("k: 10s", duration), ContainsSubstring("allowed: 1000ms..9000ms"));
}

TEST_CASE("keys that are missing are reported", "[config][yaml]") {
  Document missing("a: 1\n");
  missing.top.require("b", "x | y");
  CHECK(missing.problem() == "f.yaml:1: b: must be stated: allowed: x | y");

  Document neither("a: 1\n");
  neither.top.require("a", "x");
  CHECK(neither.problem().empty());
}

TEST_CASE("text in an error message stays on its line and short", "[config][yaml]") {
  Document doc("? \"evil\\nkey\"\n: 1\n");
  doc.top.finish();
  CHECK(doc.problem().find('\n') == std::string::npos);

  Document longer(std::string(500, 'k') + ": 1\n");
  longer.top.finish();
  CHECK(longer.problem().size() < 200);

  // The cut falls between characters, never inside one.
  std::string euros;
  for (int i = 0; i < 40; ++i)
    euros += "\xE2\x82\xAC";
  Document cut(euros + ": 1\n");
  cut.top.finish();
  CHECK_THAT(cut.problem(), ContainsSubstring(euros.substr(0, 63) + "…`"));
}

TEST_CASE("anchors, aliases, tags and merge keys are refused", "[config][yaml]") {
  CHECK_THAT(refusal("a: 1\nb: &x 2\n"),
             ContainsSubstring("f.yaml:2:") && ContainsSubstring("anchors"));
  CHECK_THAT(refusal("a: &x [1]\nb: *x\n"), ContainsSubstring("anchors"));
  CHECK_THAT(refusal("a: *x\n"), ContainsSubstring("f.yaml:1:"));
  CHECK_THAT(refusal("a: !!str 1\n"), ContainsSubstring("tags"));
  CHECK_THAT(refusal("a: !mine [1]\n"), ContainsSubstring("tags"));
  CHECK_THAT(refusal("a: 1\n---\nb: 2\n"), ContainsSubstring("more than one document"));
  CHECK_THAT(refusal("[a, b]: 1\n"), ContainsSubstring("a key must be a plain word"));
  CHECK_THAT(refusal("{{a: 1}: 2}\n"), ContainsSubstring("a key must be a plain word"));
}

TEST_CASE("text that is not YAML is refused with its line", "[config][yaml]") {
  CHECK_THAT(refusal("a: 1\n  b: 2\n"), ContainsSubstring("f.yaml:2: not valid YAML: "));
  CHECK_THAT(refusal("a: [1, 2\n"), ContainsSubstring("not valid YAML"));
  CHECK_THAT(refusal("a: \"unclosed\n"), ContainsSubstring("not valid YAML"));
}

TEST_CASE("size, depth and number of values are limited", "[config][yaml]") {
  CHECK_THAT(refusal(std::string(kYamlBytesMax + 1, ' ')), ContainsSubstring("larger than"));

  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(read_yaml(nested(kYamlDepthMax), "f").ok());
  CHECK_THAT(refusal(nested(kYamlDepthMax + 1)), ContainsSubstring("nested too deep"));
  CHECK_THAT(refusal(std::string(100000, '[')), ContainsSubstring("f.yaml:1"));

  std::string many = "[";
  for (std::size_t i = 0; i < kYamlNodesMax; ++i)
    many += "1,";
  CHECK_THAT(refusal(many + "]"), ContainsSubstring("too many values"));
}

TEST_CASE("an empty text is an empty mapping", "[config][yaml]") {
  for (const auto* text : {"", "\n", "# only a comment\n", "---\n", "~"}) {
    Document doc(text);
    doc.top.require("k", "v");
    CHECK(doc.problem() == "f.yaml:1: k: must be stated: allowed: v");
  }
}

}  // namespace
}  // namespace leafgate::config
