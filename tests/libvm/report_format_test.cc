// Goal: what scripts cut out of a report, or parse as JSON, is where LVM has it.
// Method: small tables with a column of each kind; the JSON is compared byte for byte and parsed
// too.
#include "libvm/report_format.h"

#include <nlohmann/json.hpp>

#include "tests/support/metadata_fixture.h"

namespace thinvol {
namespace {

constexpr std::uint64_t mib = 1 << 20;

constexpr Field fields[] = {{"lv_name", "LV", FieldKind::text, "."},
                            {"lv_size", "LSize", FieldKind::size, "."},
                            {"data_percent", "Data%", FieldKind::percent, "."},
                            {"lv_tags", "Tags", FieldKind::list, "."},
                            {"seg_count", "#Seg", FieldKind::number, "."}};
constexpr Field open_field{"lv_device_open", "DevOpen", FieldKind::flag, "."};

ReportTable sample() {
    ReportTable table;
    table.array_name = "lv";
    for (const Field& f : fields) table.columns.push_back(&f);
    table.rows = {
        {std::string("pool0"), Bytes(1024 * mib), Percent{1, 8}, std::vector<std::string>{"a", "b"},
         std::int64_t{12}},
        {std::string("a_long_name"), Bytes(12 * mib), {}, std::vector<std::string>{}, {}}};
    return table;
}
ReportTable only(std::size_t column, Cell cell) {
    ReportTable table = sample();
    table.columns = {table.columns[column]};
    table.rows = {{std::move(cell)}};
    return table;
}
FormatOptions as(ReportFormat format) {
    FormatOptions options;
    options.format = format;
    return options;
}

}  // namespace

TEST_CASE("columns are as wide as their widest cell, numbers on the right, text on the left") {
    CHECK(format_report(sample(), {}) ==
          "  LV           LSize Data% Tags #Seg\n"
          "  pool0        1.00g 12.50 a,b    12\n"
          "  a_long_name 12.00m                \n");
}

TEST_CASE("a heading is not printed when it is not wanted, or above nothing") {
    FormatOptions options;
    options.headings = false;
    CHECK(format_report(sample(), options) ==
          "  pool0        1.00g 12.50 a,b 12\n"
          "  a_long_name 12.00m             \n");
    ReportTable empty = sample();
    empty.rows.clear();
    CHECK(format_report(empty, {}).empty());
}

TEST_CASE("with a separator nothing is padded") {
    FormatOptions options;
    options.separator = "::";
    CHECK(format_report(sample(), options) ==
          "  LV::LSize::Data%::Tags::#Seg\n"
          "  pool0::1.00g::12.50::a,b::12\n"
          "  a_long_name::12.00m::::::\n");
}

TEST_CASE("units and suffix are those asked for") {
    FormatOptions options;
    options.headings = false;
    options.separator = " ";
    options.units = must(parse_units("m"));
    CHECK(format_report(only(1, Bytes(1536 * mib)), options) == "  1536.00m\n");
    options.units.suffix = false;
    CHECK(format_report(only(1, Bytes(1536 * mib)), options) == "  1536.00\n");
    options.units = must(parse_units("b"));
    options.units.suffix = false;
    CHECK(format_report(only(1, Bytes(4096)), options) == "  4096\n");
}

TEST_CASE("JSON has the layout that LVM prints") {
    CHECK(format_report(sample(), as(ReportFormat::json)) ==
          "  {\n"
          "      \"report\": [\n"
          "          {\n"
          "              \"lv\": [\n"
          "                  {\"lv_name\":\"pool0\", \"lv_size\":\"1.00g\", "
          "\"data_percent\":\"12.50\", \"lv_tags\":\"a,b\", \"seg_count\":\"12\"},\n"
          "                  {\"lv_name\":\"a_long_name\", \"lv_size\":\"12.00m\", "
          "\"data_percent\":\"\", \"lv_tags\":\"\", \"seg_count\":\"\"}\n"
          "              ]\n"
          "          }\n"
          "      ]\n"
          "  }\n");
}

TEST_CASE(
    "in JSON every value is a string, in json_std numbers and lists are themselves, sizes bytes") {
    const auto row = [](ReportFormat format, std::size_t n) {
        return nlohmann::json::parse(format_report(sample(), as(format)))
            .at("report")
            .at(0)
            .at("lv")
            .at(n);
    };
    for (std::size_t n = 0; n < 2; ++n) {
        for (const auto& value : row(ReportFormat::json, n)) CHECK(value.is_string());
    }
    const auto known = row(ReportFormat::json_std, 0);
    CHECK(known.at("lv_name") == "pool0");
    CHECK(known.at("lv_size") == 1024 * mib);
    CHECK(known.at("data_percent") == 12.5);
    CHECK(known.at("lv_tags") == nlohmann::json::array({"a", "b"}));
    CHECK(known.at("seg_count") == 12);
    const auto unknown = row(ReportFormat::json_std, 1);
    CHECK(unknown.at("lv_tags") == nlohmann::json::array());
    CHECK(unknown.at("data_percent").is_null());
    CHECK(unknown.at("seg_count").is_null());
}

TEST_CASE("flags are words, or numbers where a machine reads") {
    ReportTable table = sample();
    table.columns = {&open_field};
    table.rows = {{Flag{true, "open"}}, {Flag{false, "open"}}, {Cell()}};
    FormatOptions options;
    options.headings = false;
    CHECK(format_report(table, options) == "  open\n      \n      \n");
    options.binary = true;
    CHECK(format_report(table, options) == "  1 \n  0 \n  -1\n");
    const auto rows = nlohmann::json::parse(format_report(table, as(ReportFormat::json_std)))
                          .at("report")
                          .at(0)
                          .at("lv");
    CHECK(rows.at(0).at("lv_device_open") == 1);
    CHECK(rows.at(1).at("lv_device_open") == 0);
    CHECK(rows.at(2).at("lv_device_open").is_null());
}

TEST_CASE("assignments are what a shell can read, whatever is in the values") {
    ReportTable table = only(0, std::string("a'b c"));
    FormatOptions options;
    options.name_prefixes = true;
    CHECK(format_report(table, options) == "  LVM2_LV_NAME='a'\\''b c'\n");
    options.quotes = false;
    CHECK(format_report(table, options) == "  LVM2_LV_NAME=a'b c\n");
}

TEST_CASE("rows and columns change places") {
    FormatOptions options;
    options.rows = true;
    options.separator = " ";
    CHECK(format_report(sample(), options) ==
          "  LV pool0 a_long_name\n"
          "  LSize 1.00g 12.00m\n"
          "  Data% 12.50 \n"
          "  Tags a,b \n"
          "  #Seg 12 \n");
}

TEST_CASE("JSON of nothing is JSON, with an empty array") {
    ReportTable empty = sample();
    empty.rows.clear();
    for (const ReportFormat format : {ReportFormat::json, ReportFormat::json_std}) {
        const auto j = nlohmann::json::parse(format_report(empty, as(format)));
        CHECK(j.at("report").at(0).at("lv") == nlohmann::json::array());
    }
}

TEST_CASE("no text breaks the JSON") {
    for (const std::string& text :
         {std::string("\"quoted\\\"\n\t\x01"), std::string("\xc3\xa4\xe2\x82\xac"),
          std::string("bad \xff\xfe utf-8"), std::string("nul\0inside", 10)}) {
        for (const ReportFormat format : {ReportFormat::json, ReportFormat::json_std}) {
            for (const std::size_t column : {0U, 3U}) {
                const Cell cell = column == 0 ? Cell(text) : Cell(std::vector<std::string>{text});
                const auto j = nlohmann::json::parse(format_report(only(column, cell), as(format)));
                const auto row = j.at("report").at(0).at("lv").at(0);
                const auto value = column == 0 ? row.at("lv_name") : row.at("lv_tags");
                const auto shown = value.is_array() ? value.at(0) : value;
                if (text.find("bad") == std::string::npos) CHECK(shown == text);
                else CHECK(shown.get<std::string>().starts_with("bad "));
            }
        }
    }
}

TEST_CASE("separator, headings and widths are of columns only, not of JSON") {
    FormatOptions options = as(ReportFormat::json);
    const std::string text = format_report(sample(), options);
    options.separator = ";";
    options.headings = false;
    CHECK(format_report(sample(), options) == text);
}

TEST_CASE("columns stay aligned behind a cell that is no ASCII") {
    ReportTable table = sample();
    table.columns.resize(2);
    table.rows = {{std::string("\xc3\xa4\xc3\xb6"), Bytes(mib)}, {std::string("abcd"), Bytes(mib)}};
    const std::string text = format_report(table, {});
    const std::size_t first = text.find('\n') + 1, second = text.find('\n', first) + 1;
    // Two characters of two bytes each: the line is two bytes longer, but no character.
    CHECK(second - first == text.size() - second + 2);
}

}  // namespace thinvol
