import Bytes
public import JSON

/// Where the pairs of a folder act when that is not at every position on what the layer reads: a thing that PEFT does
/// not know.
///
/// PEFT takes keys that it does not know with a warning and would apply the pairs to text too, so the type of such a folder
/// is not `LORA` and its tensors are not named `lora_A`: PEFT, and others that look at names alone, refuse it.
public struct PEFTRestriction: Sendable, Equatable {
    /// `image`: at the positions of image patches only.
    public let positions: String
    /// `hidden` or `crayon`.
    public let input: String

    static let type = "CRAYON_LORA"
    static let key = "crayon"

    public init(positions: String, input: String) {
        self.positions = positions
        self.input = input
    }

    init(_ reader: JSONReader) throws(CrayonError) {
        let own = try reader.object(Self.key)
        positions = try own.string("positions")
        input = try own.string("input")
        for (name, value, known) in [
            ("positions", positions, ["all", "image"]), ("input", input, ["hidden", "crayon"]),
        ] where !known.contains(value) {
            throw CrayonError(
                .unsupported, in: reader.place, item: "key '\(own.path).\(name)'", found: "'\(value)'",
                expected: known.map { "'\($0)'" }.joined(separator: " or "))
        }
    }

    /// What `adapter_config.json` says of it.
    public var members: [(name: String, value: JSONValue)] {
        [
            ("peft_type", .string(Self.type)),
            (Self.key, ["positions": .string(positions), "input": .string(input)]),
        ]
    }
}
