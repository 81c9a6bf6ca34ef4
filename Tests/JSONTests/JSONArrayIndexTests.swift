import Bytes
import JSON
import Testing

@Suite struct JSONArrayIndexTests {
    private func index(_ text: String) throws -> JSONFileIndex {
        try JSONFileIndex(ByteRegion(copying: Array(text.utf8)), name: "data.json")
    }

    /// Texts in which brackets and commas stand where they mean nothing.
    @Test(arguments: [
        "[]", " [ ] ", "[1]", "[1, 2.5e-3 ,-0]", #"["a]", "b\",", "\\", "{[\\\"]}"]"#, "[[1, [2]], [], {}]",
        #"[{"a": [1, {"b": "}"}]}, null, true, "x"]"#, "[\n1\n,\t2\r]", #"["é", "日本", "\u00e9"]"#,
    ])
    func elementsAreThoseOfTheParser(text: String) throws {
        let elements = try #require(try index(text).elements)
        guard case .array(let values) = try JSONValue.parse(text, name: "") else { return }
        #expect(elements.count == values.count)
        for (position, value) in values.enumerated() { #expect(try elements.value(position) == value) }
    }

    @Test func membersOfAnObject() throws {
        let file = try index(
            #"{"a": [{"id": 3, "deep": [[1]], "name": "n"}, 7], "b": {"c": [1]}, "d": "x", "\u0065": []}"#)
        let records = try file.array("a")
        #expect(records.count == 2 && file.elements == nil)
        #expect(try records.members(0, named: ["id", "name", "none"])?.object.names == ["id", "name"])
        #expect(try records.members(1, named: ["id"]) == nil)
        #expect(try records.reader(0).int("id") == 3)
        #expect(try file.array("e").count == 0)
        #expect(file.has("b") && file.has("d") && !file.has("c"))
        for key in ["b", "d", "none"] {
            let error = #expect(throws: CrayonError.self) { try file.array(key) }
            #expect(error?.description.contains("key '\(key)'") == true)
        }
        let error = #expect(throws: CrayonError.self) { try records.reader(1) }
        #expect(error?.item == "key 'a[1]'")
    }

    @Test(arguments: [
        "", "1", "\"a\"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "[{]}", "{\"a\"}", "{\"a\":}", "{a: 1}",
        "{\"a\": 1,}",
        "{\"a\": [1,]}", "[\"a]", "[\"a\\", "[1] 2", "{\"a\": 1, \"a\": 2}", "{\"\\ud800\": 1}", "]", "[\"a\"1]",
    ])
    func brokenBones(text: String) {
        let error = #expect(throws: CrayonError.self) { _ = try index(text) }
        #expect(error?.place == "data.json")
    }

    /// What the bones do not show comes up with the record.
    @Test(arguments: ["[nul]", "[01]", "[\"\u{1}\"]", "[{\"a\": 1, \"a\": 2}]", "[{\"a\" 1}]", "[1:2]"])
    func brokenRecord(text: String) throws {
        let elements = try #require(try index(text).elements)
        let error = #expect(throws: CrayonError.self) { try elements.value(0) }
        #expect(error?.item?.hasPrefix("JSON at byte ") == true)
    }
}
