import Bytes
import JSON
import Testing

@Suite struct JSONParsing {
    @Test func keepsOrderAndNumberText() throws {
        let value = try JSONValue.parse(
            #"{"z": 1.50, "a": [true, null, -2e+3], "é": "\u00e9\ud83d\ude00\n"}"#, name: "t")
        guard case .object(let object) = value else { throw CrayonError(.malformed, in: "t", found: "no object") }
        #expect(object.names == ["z", "a", "é"])
        #expect(object["é"] == .string("é😀\n"))
        #expect(value.text() == #"{"z":1.50,"a":[true,null,-2e+3],"é":"é😀\n"}"#)
        #expect(value.text(style: .python, asciiOnly: true).hasSuffix(#""\u00e9": "\u00e9\ud83d\ude00\n"}"#))
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "01", "1.", ".5", "+1", "1e", "nul", "NaN",
        "\"\u{1}\"",
        "\"\\x\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"abc", "1 2", "[1 2]", "{a:1}", "{\"a\" 1}", "\"\\u12", "'a'",
    ])
    func refuses(_ text: String) {
        #expect(throws: CrayonError.self) { try JSONValue.parse(text, name: "t") }
    }

    @Test func refusesInvalidUTF8() {
        #expect(throws: CrayonError.self) {
            try JSONValue.parse(ByteRegion(copying: [0x22, 0xC3, 0x28, 0x22]), name: "t")
        }
    }

    @Test func refusesDepthAndSize() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: CrayonError.self) { try JSONValue.parse(deep, name: "t") }
        #expect(throws: CrayonError.self) { try JSONValue.parse("[1,2,3]", name: "t", limits: .init(bytes: 4)) }
        #expect(throws: Never.self) { try JSONValue.parse("[[1]]", name: "t", limits: .init(depth: 2)) }
        #expect(throws: CrayonError.self) { try JSONValue.parse("[[[1]]]", name: "t", limits: .init(depth: 2)) }
    }

    @Test func readerNamesFileAndKey() throws {
        let reader = try JSONReader(JSONValue.parse(#"{"a": {"b": "x"}}"#, name: "c.json"), place: "c.json")
        #expect(throws: CrayonError.self) { try reader.object("a").int("b") }
        do {
            _ = try reader.object("a").int("b")
        } catch {
            #expect(error.description == "c.json: key 'a.b': the string \"x\"; expected an integer")
        }
        #expect(try reader.optionalInt("absent") == nil)
    }
}

@Suite struct PythonNumbers {
    // Pairs printed by Python 3.11's repr.
    @Test(arguments: [
        (0.05121104046702385, "0.05121104046702385"), (1.0, "1.0"), (0.0, "0.0"), (-0.0, "-0.0"), (1e16, "1e+16"),
        (123456789012345680.0, "1.2345678901234568e+17"), (9999999999999998.0, "9999999999999998.0"),
        (0.0001, "0.0001"), (0.00001, "1e-05"), (1.5e-7, "1.5e-07"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (6.0, "6.0"), (100.0, "100.0"), (-2.5, "-2.5"),
        (1e22, "1e+22"), (0.1, "0.1"), (123456.789, "123456.789"),
    ])
    func matchPython(_ value: Double, _ text: String) {
        #expect(PythonNumber.repr(value) == text)
    }
}
